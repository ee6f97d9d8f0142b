#include "plugins/quant_palettize4/palettize4.hpp"

#include "libs/quantizer_options/quantizer_options.hpp"
#include "plugins/quant_palettize4/column_group_job.hpp"
#include "plugins/quant_palettize4/row_group_job.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

namespace d2c::palettize4 {
namespace {

using quantizer_options::choice;
using quantizer_options::refuse;

constexpr double kFastAllowance = 1e-4;
constexpr std::int64_t kMaxGroupValues = std::numeric_limits<std::uint32_t>::max();

/// A weight as the jobs see it: axis 0, and everything behind it as columns.
struct Geometry {
  std::int64_t rows = 0;
  std::int64_t padded_rows = 0;
  std::int64_t columns = 0;
  std::int64_t group_rows = 0;     // padded_rows where a group spans all of them
  std::int64_t group_columns = 0;  // columns where a group spans all of them

  [[nodiscard]] std::int64_t group_values() const noexcept { return group_rows * group_columns; }
};

void check_shape(const WeightDesc& weight) {
  constexpr std::size_t kMaxRank = D2C_MAX_RANK - 2;  // a LUT has two dimensions more
  if (weight.shape.size() < 2 || weight.shape.size() > kMaxRank)
    refuse(weight, "palettes need a weight of 2 to " + std::to_string(kMaxRank) + " dimensions; leave this one dense");
  if (count_of(weight.shape) == 0) refuse(weight, "an empty weight has no palette; leave it dense");
}

Geometry geometry_of(const WeightDesc& weight, const Options& options) {
  check_shape(weight);
  Geometry g;
  g.rows = g.padded_rows = g.group_rows = rows_of(weight.shape);
  g.columns = g.group_columns = columns_of(weight.shape);
  const std::int64_t size = options.group_size;
  if (options.groups_rows()) {
    if (g.columns > kMaxGroupValues / size)
      refuse(weight,
             "groups of " + std::to_string(size) + " rows hold more than 2^32 - 1 values; use a smaller group_size");
    const std::int64_t padding = (size - g.rows % size) % size;
    if (g.rows > std::numeric_limits<std::int64_t>::max() - padding) refuse(weight, "too many rows");
    g.padded_rows = g.rows + padding;
    g.group_rows = size;
  } else if (options.granularity == Granularity::grouped_channel) {
    quantizer_options::check_divides(weight, size, "input columns (axis 1)");
    g.group_columns = size * (g.columns / weight.shape[1]);
  }
  if (g.group_columns > kMaxGroupValues / g.group_rows)
    refuse(weight, "a group would hold more than 2^32 - 1 values; use smaller groups");
  return g;
}

/// Rows after which every plane stands at a whole byte, in whole groups.
std::int64_t tile_rows_of(const Geometry& g, const Options& options) {
  const std::int64_t row_bits = g.columns % 8 * options.bits;
  const std::int64_t aligned = 8 / std::gcd(row_bits, std::int64_t{8});
  return options.groups_rows() ? std::lcm(g.group_rows, aligned) : aligned;
}

Shape lut_shape_of(const WeightDesc& weight, const Geometry& g, const Options& options) {
  Shape lut(weight.shape.size(), 1);
  lut[0] = g.padded_rows / g.group_rows;
  lut[1] = g.columns / g.group_columns;
  lut.push_back(static_cast<std::int64_t>(options.entries()));
  lut.push_back(1);
  return lut;
}

std::string label_of(const Options& options) {
  const std::string bits = "palette " + std::to_string(options.bits) + "-bit, ";
  if (options.granularity == Granularity::tensor) return bits + "per tensor";
  return bits + "groups of " + std::to_string(options.group_size) + (options.axis == 1 ? " columns" : "");
}

}  // namespace

Options Options::from(const Config& config) {
  const auto one_of = [&config](const char* key, std::int64_t fallback, std::initializer_list<std::int64_t> allowed) {
    return static_cast<int>(config.find(key) == nullptr ? fallback : config.require_one_of(key, allowed));
  };
  Options o;
  o.bits = one_of("bits", o.bits, {1, 2, 3, 4, 6, 8});
  o.axis = one_of("axis", o.axis, {0, 1});
  o.group_size = quantizer_options::group_size(config, o.group_size);
  const bool whole = choice(config, "granularity", {"per_grouped_channel", "per_tensor"}) == "per_tensor";
  o.granularity = whole ? Granularity::tensor : Granularity::grouped_channel;
  o.allowance = choice(config, "mode", {"exact", "fast"}) == "fast" ? kFastAllowance : 0;
  return o;
}

Palettize4::Palettize4(const Config& config)
    : options_(Options::from(config)), scratch_(std::make_shared<ScratchPool>()) {}

Layout Palettize4::plan(const WeightDesc& weight) const {
  const Geometry g = geometry_of(weight, options_);
  const bool whole = !options_.groups_rows();
  Shape padded = weight.shape;
  padded[0] = g.padded_rows;
  static_cast<void>(count_of(padded));

  Layout layout;
  layout.scheme = D2C_SCHEME_PALETTE;
  layout.input_dtype = DType::f16;
  layout.padded_rows = g.padded_rows;
  layout.tile_rows = tile_rows_of(g, options_);
  layout.needs_observe = whole;
  layout.bits = options_.bits;
  layout.scratch_bytes = Scratch::bytes(static_cast<std::size_t>(g.group_values()), options_.entries());
  const auto groups = static_cast<std::size_t>(g.columns / g.group_columns);
  layout.job_bytes = whole ? ColumnGroupJob::bytes(groups, options_.entries()) : sizeof(RowGroupJob);
  layout.planes = {{D2C_PLANE_INDICES, {index_dtype(options_.bits), padded}, 1},
                   {D2C_PLANE_LUT, {DType::f16, lut_shape_of(weight, g, options_)}, whole ? 0 : g.group_rows}};
  layout.label = label_of(options_);
  return layout;
}

std::unique_ptr<QuantizeJob> Palettize4::begin(const WeightDesc& weight) {
  const Geometry g = geometry_of(weight, options_);
  const Solving solving{options_.bits, options_.allowance};
  if (options_.groups_rows())
    return std::make_unique<RowGroupJob>(weight.name, RowGroupJob::Shape{g.rows, g.columns, g.group_rows}, solving,
                                         scratch_);
  return std::make_unique<ColumnGroupJob>(weight.name, ColumnGroupJob::Shape{g.rows, g.columns, g.group_columns},
                                          solving, scratch_);
}

}  // namespace d2c::palettize4
