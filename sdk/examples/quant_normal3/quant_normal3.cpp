// Palettes of eight entries that lie as normal weights do, one palette for a group of output rows.
//
// Trained weights are close to normal. For such numbers the eight values of the least mean squared error are known (Lloyd
// 1957, Max 1960); all that is left to find for a group is one scale.
#include <d2c/half.hpp>
#include <d2c/plugin.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace {

constexpr int kBits = 3;
constexpr std::array<float, 8> kLevels{-2.1520f, -1.3439f, -0.7560f, -0.2451f, 0.2451f, 0.7560f, 1.3439f, 2.1520f};
constexpr float kLargestScale = 30000;  // times the outermost level it stays within fp16

int nearest(float w) {
  int index = 0;
  for (std::size_t k = 0; k + 1 < kLevels.size(); ++k) index += w > (kLevels[k] + kLevels[k + 1]) / 2;
  return index;
}

/// The root mean square, moved once to the least squares for the levels it gives.
float scale_of(std::span<const float> weights) {
  double squares = 0, products = 0, levels = 0;
  for (const float w : weights) squares += double{w} * w;
  const double start = std::sqrt(squares / static_cast<double>(weights.size()));
  if (start == 0) return 0;
  for (const float w : weights) {
    const double level = kLevels[static_cast<std::size_t>(nearest(static_cast<float>(w / start)))];
    products += w * level;
    levels += level * level;
  }
  return std::min(static_cast<float>(products / levels), kLargestScale);
}

class Job final : public d2c::QuantizeJob {
 public:
  Job(d2c::WeightDesc weight, std::int64_t group)
      : weight_(std::move(weight)), columns_(d2c::columns_of(weight_.shape)), group_(group) {}

  void process(const d2c::Tile& tile, std::span<void* const> planes, d2c_tile_stats& stats) override {
    auto* bytes = static_cast<std::uint8_t*>(planes[0]);
    auto* lut = static_cast<std::uint16_t*>(planes[1]);
    const auto weights = tile.as<float>(columns_);
    std::fill_n(bytes, (weights.size() * kBits + 7) / 8, std::uint8_t{0});
    for (std::int64_t row = 0; row < tile.rows; row += group_, lut += kLevels.size()) {
      // The rows that only fill the last group up must not count.
      const std::int64_t real = std::min(group_, weight_.shape[0] - tile.first_row - row);
      const auto first = static_cast<std::size_t>(row * columns_);
      const auto group = weights.subspan(first, static_cast<std::size_t>(real * columns_));
      if (!std::all_of(group.begin(), group.end(), [](float w) { return std::isfinite(w); }))
        d2c::fail_input(weight_.name + ": an infinity or NaN has no entry in a palette");
      const float scale = scale_of(group);
      for (std::size_t k = 0; k < kLevels.size(); ++k) lut[k] = d2c::float_to_half(scale * kLevels[k]);
      for (std::size_t i = 0; i < group.size(); ++i) {
        const int index = scale > 0 ? nearest(group[i] / scale) : 0;
        put(bytes, first + i, index);
        add_error(group[i], d2c::half_to_float(lut[index]), stats);
      }
      ++stats.groups;
    }
  }

 private:
  /// Index `i` of a stream of three bits each, which may straddle two bytes.
  static void put(std::uint8_t* bytes, std::size_t i, int index) {
    const std::size_t bit = i * kBits;
    const unsigned shifted = static_cast<unsigned>(index) << bit % 8;
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] | shifted);
    if (shifted > 0xff) bytes[bit / 8 + 1] = static_cast<std::uint8_t>(shifted >> 8);
  }

  static void add_error(float weight, float stored, d2c_tile_stats& stats) {
    const double error = std::abs(double{weight} - stored);
    stats.squared_error += error * error;
    stats.squared_sum += double{weight} * weight;
    stats.max_error = std::max(stats.max_error, error);
  }

  d2c::WeightDesc weight_;
  std::int64_t columns_;
  std::int64_t group_;
};

class Normal3 final : public d2c::Quantizer {
 public:
  static constexpr d2c::OptionSpec kOptions[] = {
      {"group_size", D2C_VALUE_INTEGER, "8", "[1, 2, 4, 8, 16, 32]", "Output rows that share a palette."}};

  explicit Normal3(const d2c::Config& options) : group_(options.get_or("group_size", 8)) {}

  d2c::Layout plan(const d2c::WeightDesc& weight) const override {
    if (weight.shape.size() > D2C_MAX_RANK - 2 || d2c::count_of(weight.shape) == 0)
      d2c::fail_usage(weight.name + ": no palette for a weight of shape " + d2c::to_string(weight.shape));
    d2c::Shape padded = weight.shape, lut(weight.shape.size(), 1);
    padded[0] += (group_ - padded[0] % group_) % group_;
    lut[0] = padded[0] / group_;
    lut.insert(lut.end(), {static_cast<std::int64_t>(kLevels.size()), 1});

    d2c::Layout layout;
    layout.scheme = D2C_SCHEME_PALETTE;
    layout.input_dtype = d2c::DType::f32;
    layout.padded_rows = padded[0];
    // Whole groups whose last row ends at a whole byte.
    layout.tile_rows = std::lcm(group_, 8 / std::gcd(d2c::columns_of(weight.shape), std::int64_t{8}));
    layout.bits = kBits;
    layout.planes = {{D2C_PLANE_INDICES, {d2c::DType::u3, padded}, 1}, {D2C_PLANE_LUT, {d2c::DType::f16, lut}, group_}};
    layout.label = "normal 3-bit, groups of " + std::to_string(group_);
    return layout;
  }
  std::unique_ptr<d2c::QuantizeJob> begin(const d2c::WeightDesc& weight) override {
    return std::make_unique<Job>(weight, group_);
  }

 private:
  std::int64_t group_;
};

}  // namespace

D2C_PLUGIN("quant_normal3", "1.0.0", "Palettes of 3 bits for normal weights.", d2c::quantizer<Normal3>);
