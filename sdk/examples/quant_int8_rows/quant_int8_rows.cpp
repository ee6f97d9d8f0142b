// int8 weights with one fp16 scale per row: weight[r, c] = scale[r] * data[r, c].
#include <d2c/half.hpp>
#include <d2c/plugin.hpp>

#include <algorithm>
#include <cmath>

namespace {

constexpr float kLargest = 65472;  // of fp16, with room for a scale that is rounded up

struct Job final : d2c::QuantizeJob {
  Job(std::int64_t columns, float limit) : columns_(columns), limit_(limit) {}

  void process(const d2c::Tile& tile, std::span<void* const> planes, d2c_tile_stats& stats) override {
    const float* w = static_cast<const float*>(tile.data);
    auto* data = static_cast<std::int8_t*>(planes[0]);
    auto* scales = static_cast<std::uint16_t*>(planes[1]);
    for (std::int64_t r = 0; r < tile.rows; ++r) {
      const auto [low, high] = std::minmax_element(w, w + columns_);
      scales[r] = d2c::float_to_half(std::min(std::max(-*low, *high), kLargest) / limit_);
      const float scale = d2c::half_to_float(scales[r]);
      for (const float* end = w + columns_; w != end; ++w) {
        const float q = scale > 0 ? std::clamp(std::round(*w / scale), -limit_, limit_) : 0;
        const double error = double{d2c::half_to_float(d2c::float_to_half(scale * q))} - *w;  // as fp16, like the scale
        *data++ = static_cast<std::int8_t>(q);
        stats.squared_error += error * error;
        stats.squared_sum += double{*w} * *w;
        stats.max_error = std::max(stats.max_error, std::abs(error));
      }
    }
  }

  std::int64_t columns_;
  float limit_;
};

class Int8Rows final : public d2c::Quantizer {
 public:
  static constexpr d2c::OptionSpec kOptions[] = {
      {"limit", D2C_VALUE_INTEGER, "127", "[7,31,127]", "Largest magnitude of a quantized value."}};
  explicit Int8Rows(const d2c::Config& options) : limit_(static_cast<float>(options.get_or("limit", 127))) {}

  d2c::Layout plan(const d2c::WeightDesc& weight) const override {
    d2c::Shape scales(weight.shape.size(), 1);
    scales[0] = weight.shape[0];
    return {.scheme = D2C_SCHEME_BLOCKWISE,
            .input_dtype = d2c::DType::f32,
            .padded_rows = weight.shape[0],
            .bits = 8,
            .planes = {{D2C_PLANE_DATA, {d2c::DType::i8, weight.shape}}, {D2C_PLANE_SCALE, {d2c::DType::f16, scales}}},
            .label = "int8, one scale per row"};
  }
  std::unique_ptr<d2c::QuantizeJob> begin(const d2c::WeightDesc& weight) override {
    return std::make_unique<Job>(d2c::columns_of(weight.shape), limit_);
  }

 private:
  float limit_;
};

}  // namespace

D2C_PLUGIN("quant_int8_rows", "1.0.0", "int8 weights with one scale per row.", d2c::quantizer<Int8Rows>);
