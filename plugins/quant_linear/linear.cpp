#include "plugins/quant_linear/linear.hpp"

#include "libs/quantizer_options/quantizer_options.hpp"
#include "plugins/quant_linear/linear_job.hpp"

#include <limits>
#include <string>

namespace d2c::linear {
namespace {

using quantizer_options::choice;
using quantizer_options::refuse;

/// A weight as the job sees it: axis 0, and everything behind it as columns.
LinearJob::Shape geometry_of(const WeightDesc& weight, const Options& options) {
  if (weight.shape.size() < 2 || weight.shape.size() > D2C_MAX_RANK)
    refuse(weight,
           "scales need a weight of 2 to " + std::to_string(D2C_MAX_RANK) + " dimensions; leave this one dense");
  if (count_of(weight.shape) == 0) refuse(weight, "an empty weight has no scale; leave it dense");
  const std::int64_t width = weight.shape[1], columns = columns_of(weight.shape);
  if (columns > std::numeric_limits<std::int32_t>::max()) refuse(weight, "its rows hold more than 2^31 - 1 values");
  const std::int64_t group = options.per_channel ? width : options.group_size;
  quantizer_options::check_divides(weight, group, "input columns");
  return {rows_of(weight.shape), columns, columns / (width / group)};
}

DType data_dtype(const Grid& grid) {
  if (grid.offset == OffsetKind::none) return grid.bits == 4 ? DType::i4 : DType::i8;
  return grid.bits == 4 ? DType::u4 : DType::u8;
}

/// Rows after which every plane stands at a whole byte.
std::int64_t tile_rows_of(const LinearJob::Shape& shape, const Grid& grid) {
  const bool odd = shape.columns % 2 != 0 || (grid.offset == OffsetKind::integer && shape.blocks() % 2 != 0);
  return grid.bits == 4 && odd ? 2 : 1;
}

std::string label_of(const Options& options) {
  std::string label(name_of(data_dtype(options.grid)));
  label += options.per_channel ? ", per channel" : ", blocks of " + std::to_string(options.group_size);
  if (options.grid.offset == OffsetKind::integer) label += ", with offset";
  if (options.grid.offset == OffsetKind::fp16) label += ", with fp16 offset";
  return label;
}

}  // namespace

Options Options::from(const Config& config) {
  Options o;
  if (config.find("bits") != nullptr) o.grid.bits = static_cast<int>(config.require_one_of("bits", {4, 8}));
  o.per_channel = choice(config, "granularity", {"per_block", "per_channel"}) == "per_channel";
  o.group_size = quantizer_options::group_size(config, o.group_size);
  const std::string offset = choice(config, "offset", {"none", "integer", "fp16"});
  if (offset == "integer") o.grid.offset = OffsetKind::integer;
  if (offset == "fp16") o.grid.offset = OffsetKind::fp16;
  o.search = choice(config, "mode", {"least_squares", "range"}) == "least_squares";
  return o;
}

Layout Linear::plan(const WeightDesc& weight) const {
  const LinearJob::Shape shape = geometry_of(weight, options_);
  const Grid& grid = options_.grid;
  Shape scales(weight.shape.size(), 1);
  scales[0] = shape.rows;
  scales[1] = shape.blocks();

  Layout layout;
  layout.scheme = D2C_SCHEME_BLOCKWISE;
  layout.input_dtype = DType::f16;
  layout.padded_rows = shape.rows;
  layout.tile_rows = tile_rows_of(shape, grid);
  layout.bits = grid.bits;
  layout.scratch_bytes = LinearJob::scratch_bytes(shape);
  layout.job_bytes = sizeof(LinearJob);
  layout.planes = {{D2C_PLANE_DATA, {data_dtype(grid), weight.shape}}, {D2C_PLANE_SCALE, {DType::f16, scales}}};
  if (grid.offset != OffsetKind::none)
    layout.planes.push_back(
        {D2C_PLANE_OFFSET, {grid.offset == OffsetKind::fp16 ? DType::f16 : data_dtype(grid), scales}});
  layout.label = label_of(options_);
  return layout;
}

std::unique_ptr<QuantizeJob> Linear::begin(const WeightDesc& weight) {
  return std::make_unique<LinearJob>(weight.name, geometry_of(weight, options_), options_.grid, options_.search);
}

}  // namespace d2c::linear
