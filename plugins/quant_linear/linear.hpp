// The quantizer: reads the options and lays out the planes.
#pragma once

#include "plugins/quant_linear/block_fit.hpp"

#include <d2c/plugin.hpp>

#include <cstdint>
#include <memory>

namespace d2c::linear {

struct Options {
  Grid grid;
  bool per_channel = false;
  std::int64_t group_size = 32;
  bool search = true;

  /// Throws Error(usage) naming the option.
  static Options from(const Config& config);
};

class Linear final : public Quantizer {
 public:
  static constexpr OptionSpec kOptions[] = {
      {"bits", D2C_VALUE_INTEGER, "4", "[4, 8]", "Bits of an integer."},
      {"granularity", D2C_VALUE_TEXT, "\"per_block\"", "[\"per_block\", \"per_channel\"]",
       "One scale per block of an output row, or one for the whole row."},
      {"group_size", D2C_VALUE_INTEGER, "32", nullptr,
       "Input columns that share a scale with granularity per_block; divides the width."},
      {"offset", D2C_VALUE_TEXT, "\"none\"", "[\"none\", \"integer\", \"fp16\"]",
       "none: symmetric around zero; else an offset beside every scale, of the weights' integer type or fp16."},
      {"mode", D2C_VALUE_TEXT, "\"least_squares\"", "[\"least_squares\", \"range\"]",
       "least_squares: the scale with the least squared error of 24; range: the one that spans a block's extremes."},
  };

  explicit Linear(const Config& config) : options_(Options::from(config)) {}

  [[nodiscard]] Layout plan(const WeightDesc& weight) const override;
  [[nodiscard]] std::unique_ptr<QuantizeJob> begin(const WeightDesc& weight) override;

 private:
  Options options_;
};

}  // namespace d2c::linear
