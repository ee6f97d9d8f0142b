// The quantizer: reads the options, lays out the planes, and runs the solver over the groups of a tensor.
#pragma once

#include <d2c/plugin.hpp>

#include <cstdint>
#include <memory>

namespace d2c::palettize4 {

enum class Granularity { grouped_channel, tensor };

struct Options {
  int bits = 4;
  Granularity granularity = Granularity::grouped_channel;
  std::int64_t group_size = 16;
  int axis = 0;
  double allowance = 0;  ///< share of its least squared error that a group may be given on top of it

  /// Throws Error(usage) naming the option.
  static Options from(const Config& config);

  [[nodiscard]] std::size_t entries() const noexcept { return std::size_t{1} << bits; }
  /// Bands of rows, which need no look at the whole tensor?
  [[nodiscard]] bool groups_rows() const noexcept { return granularity == Granularity::grouped_channel && axis == 0; }
};

class ScratchPool;

class Palettize4 final : public Quantizer {
 public:
  static constexpr OptionSpec kOptions[] = {
      {"bits", D2C_VALUE_INTEGER, "4", "[1, 2, 3, 4, 6, 8]", "Bits of an index; a palette has 2^bits entries."},
      {"granularity", D2C_VALUE_TEXT, "\"per_grouped_channel\"", "[\"per_grouped_channel\", \"per_tensor\"]",
       "One palette per group of channels, or one for the whole tensor."},
      {"group_size", D2C_VALUE_INTEGER, "16", nullptr, "Channels that share a palette, 1 to 65536."},
      {"axis", D2C_VALUE_INTEGER, "0", "[0, 1]", "What a channel is: 0 an output row, 1 an input column."},
      {"mode", D2C_VALUE_TEXT, "\"exact\"", "[\"exact\", \"fast\"]",
       "exact: every palette has the least squared error there is; fast: at most 0.01 % more, in less time."},
  };

  explicit Palettize4(const Config& config);

  [[nodiscard]] Layout plan(const WeightDesc& weight) const override;
  [[nodiscard]] std::unique_ptr<QuantizeJob> begin(const WeightDesc& weight) override;

 private:
  Options options_;
  std::shared_ptr<ScratchPool> scratch_;
};

}  // namespace d2c::palettize4
