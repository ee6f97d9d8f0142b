#include "host/executor/weight_stream.hpp"

#include "host/executor/stopwatch.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace d2c::host {
namespace {

constexpr std::int64_t kCachedElements = std::int64_t{1} << 15;

std::size_t to_size(std::int64_t n) { return static_cast<std::size_t>(n); }

void grow(auto& buffer, std::int64_t size) {
  if (buffer.size() < to_size(size)) buffer.resize(to_size(size));
}

std::uint64_t count_nonfinite(const float* values, std::size_t count) {
  return static_cast<std::uint64_t>(std::count_if(values, values + count, [](float v) { return !std::isfinite(v); }));
}

/// Halves with all exponent bits set are NaN or infinite.
std::uint64_t count_nonfinite(const std::uint16_t* halves, std::size_t count) {
  return static_cast<std::uint64_t>(
      std::count_if(halves, halves + count, [](std::uint16_t h) { return (h & 0x7c00u) == 0x7c00u; }));
}

/// Infinities become the largest finite value of their sign.
void saturate(std::uint16_t* halves, std::size_t count) {
  constexpr std::uint16_t kInfinity = 0x7c00, kSign = 0x8000;
  std::for_each_n(halves, count, [](std::uint16_t& h) {
    if ((h & ~kSign) == kInfinity) --h;
  });
}

}  // namespace

WeightStream::WeightStream(const PlannedWeight& weight, const Tiling& tiling) : weight_(weight), tiling_(tiling) {
  if (weight.part != D2C_PART_FULL) {
    factor_ = weight.merged->factor(weight.tensor, weight.part == D2C_PART_LORA_A ? D2C_FACTOR_A : D2C_FACTOR_B);
    return;
  }
  if (weight.merged == nullptr) return;
  merge_ = std::make_unique<MergeTask>(weight.merged->merger(), weight.tensor);
  if ((weight.merged->target(weight.tensor)->flags & D2C_TARGET_PREPARE) != 0) observe_whole_weight();
}

void WeightStream::observe_whole_weight() {
  std::vector<float> floats;
  for (std::int64_t tile = 0; tile < tiling_.count(); ++tile) {
    const std::int64_t first = tiling_.first_row(tile), rows = tiling_.real_rows(tile);
    const std::int64_t count = rows * tiling_.columns();
    grow(floats, count);
    base(first, rows, floats.data());
    merge_->observe(first, rows, floats.data());
  }
}

void WeightStream::base(std::int64_t first, std::int64_t rows, float* out) const {
  const TensorType& stored = weight_.source->tensors()[weight_.source_tensor].type;
  const std::int64_t there = std::clamp<std::int64_t>(rows_of(stored.shape) - first, 0, rows);
  if (there > 0) {
    const RowView view = weight_.source->rows(weight_.source_tensor, first, there);
    numeric::to_float(stored.dtype, view.data(), to_size(there * tiling_.columns()), out);
  }
  std::fill(out + there * tiling_.columns(), out + rows * tiling_.columns(), 0.0f);
}

void WeightStream::load_floats(std::int64_t first, std::int64_t rows, float* floats, StageTimes& times) const {
  {
    const Stopwatch reading(times.read);
    const std::int64_t columns = tiling_.columns();
    if (factor_.empty()) base(first, rows, floats);
    else std::copy_n(factor_.data() + first * columns, rows * columns, floats);
  }
  if (merge_ == nullptr) return;
  const Stopwatch merging(times.merge);
  merge_->process(first, rows, floats);
}

numeric::RoundingStats WeightStream::load_halves(std::int64_t first, std::int64_t rows, Scratch& scratch,
                                                 StageTimes& times) const {
  const std::int64_t count = rows * tiling_.columns();
  const bool plain = factor_.empty() && merge_ == nullptr;
  const DType stored = plain ? weight_.source->tensors()[weight_.source_tensor].type.dtype : DType::f32;
  std::uint16_t* out = scratch.halves.data();
  if (stored == DType::f32) {
    grow(scratch.floats, tiling_.largest());
    // A few rows at a time stay in the cache until they are rounded.
    const std::int64_t columns = tiling_.columns(),
                       step = std::max<std::int64_t>(1, kCachedElements / std::max<std::int64_t>(1, columns));
    numeric::RoundingStats rounding;
    for (std::int64_t at = 0; at < rows; at += step) {
      const std::int64_t some = std::min(step, rows - at);
      float* floats = scratch.floats.data() + at * columns;
      load_floats(first + at, some, floats, times);
      rounding += numeric::float_to_half(floats, to_size(some * columns), out + at * columns);
    }
    return rounding;
  }
  // 16-bit sources that nothing changes need no detour through fp32.
  const Stopwatch reading(times.read);
  const RowView view = weight_.source->rows(weight_.source_tensor, first, rows);
  if (stored == DType::bf16)
    return numeric::bf16_to_half(static_cast<const std::uint16_t*>(view.data()), to_size(count), out);
  std::memcpy(out, view.data(), to_size(count) * sizeof(std::uint16_t));
  return {.nonfinite = count_nonfinite(out, to_size(count))};
}

WeightStream::Tile WeightStream::tile(std::int64_t index, Scratch& scratch, StageTimes& times) const {
  const std::int64_t first = tiling_.first_row(index), rows = tiling_.real_rows(index);
  const std::int64_t real = rows * tiling_.columns(), all = tiling_.rows(index) * tiling_.columns();
  Tile result{};
  if (weight_.layout.input_dtype == D2C_F16) {
    grow(scratch.halves, tiling_.largest());
    if (rows > 0) result.rounding = load_halves(first, rows, scratch, times);
    if (result.rounding.overflowed != 0) saturate(scratch.halves.data(), to_size(real));
    std::fill(scratch.halves.begin() + real, scratch.halves.begin() + all, std::uint16_t{0});
    result.data = scratch.halves.data();
  } else {
    grow(scratch.floats, tiling_.largest());
    if (rows > 0) load_floats(first, rows, scratch.floats.data(), times);
    result.rounding.nonfinite = count_nonfinite(scratch.floats.data(), to_size(real));
    std::fill(scratch.floats.begin() + real, scratch.floats.begin() + all, 0.0f);
    result.data = scratch.floats.data();
  }
  check(result.rounding, first, rows);
  return result;
}

void WeightStream::check(const numeric::RoundingStats& rounding, std::int64_t first, std::int64_t rows) const {
  const auto where = [&] {
    return "tensor '" + weight_.tensor + "', rows " + std::to_string(first) + ".." + std::to_string(first + rows - 1) +
           ": ";
  };
  if (rounding.nonfinite != 0)
    fail_input(where() + std::to_string(rounding.nonfinite) +
               " values are NaN or infinite; the checkpoint or an adapter is damaged, fetch it again");
  if (rounding.overflowed > weight_.max_overflow) refuse_overflow(rounding.overflowed, where());
}

void WeightStream::check_overflow(std::uint64_t overflowed) const {
  if (overflowed > weight_.max_overflow) refuse_overflow(overflowed, "tensor '" + weight_.tensor + "': ");
}

void WeightStream::refuse_overflow(std::uint64_t overflowed, const std::string& where) const {
  fail_input(where + std::to_string(overflowed) +
             " values are beyond fp16's range of +-65504; an adapter weight may be too large, or the model needs "
             "graph.precision=\"fp32\" with quantize.plugin=\"none\"; quantize.max_overflow allows some to become "
             "+-65504");
}

std::uint64_t WeightStream::working_bytes(const PlannedWeight& weight, const Tiling& tiling) {
  const auto elements = static_cast<std::uint64_t>(tiling.largest());
  const bool plain = weight.part == D2C_PART_FULL && weight.merged == nullptr;
  const DType stored =
      weight.part == D2C_PART_FULL ? weight.source->tensors()[weight.source_tensor].type.dtype : DType::f32;
  const bool floats = !plain || stored == DType::f32 || weight.layout.input_dtype == D2C_F32;
  const std::uint64_t view = elements * static_cast<std::uint64_t>(bits_of(stored) / 8);
  return view + (floats ? elements * 4 : 0) + (weight.layout.input_dtype == D2C_F16 ? elements * 2 : 0) +
         tiling.largest_output() + weight.layout.scratch_bytes;
}

std::uint64_t WeightStream::open_bytes(const PlannedWeight& weight) {
  const bool factor = weight.part != D2C_PART_FULL;
  const std::uint64_t merging =
      !factor && weight.merged != nullptr ? weight.merged->target(weight.tensor)->job_bytes : 0;
  return weight.layout.job_bytes + merging + (factor ? static_cast<std::uint64_t>(count_of(weight.shape)) * 4 : 0);
}

}  // namespace d2c::host
