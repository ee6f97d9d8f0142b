// Every weight of the package: where it comes from, what changes it, and how it is stored.
#pragma once

#include "host/graph/weight_catalogue.hpp"
#include "host/planner/adapter_stack.hpp"
#include "host/planner/quantization.hpp"
#include "host/planner/source.hpp"

#include <d2c/plugin.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace d2c::host {

/// One weight. Equal references share an entry, so functions share blobs by construction.
struct PlannedWeight {
  std::string key;   ///< canonical reference: "model:model.layers.0.mlp.up_proj.weight@chat"
  std::string name;  ///< MIL identifier
  std::string role;
  std::string tensor;  ///< as adapters know it ("lm_head.weight" even where the bytes are embed_tokens')
  const Source* source = nullptr;
  std::size_t source_tensor = 0;  ///< whose rows are read; unused for adapter factors
  d2c_weight_part part = D2C_PART_FULL;
  const AdapterStack* merged =
      nullptr;  ///< stack merged in (FULL), or whose factor this is; null for plain base weights
  Shape shape;  ///< before padding
  d2c_layout layout{};
  const QuantizerChoice* quantizer = nullptr;  ///< null: dense
  TensorType expanded;                         ///< as graphs see it
  std::uint64_t max_overflow = 0;              ///< values that may lie beyond fp16's range

  [[nodiscard]] std::int64_t rows() const { return rows_of(shape); }
  [[nodiscard]] std::int64_t columns() const { return columns_of(shape); }
  [[nodiscard]] bool dense() const noexcept { return quantizer == nullptr; }
  /// Bytes of all planes.
  [[nodiscard]] std::uint64_t bytes() const;
};

class WeightTable final : public WeightCatalogue {
 public:
  struct NamedSource {
    std::string name;  ///< "model" or "encoder"
    const Source* source;
  };

  WeightTable(std::vector<NamedSource> sources, std::map<std::string, const AdapterStack*> stacks,
              const Quantization& quantization, DType precision, TiedPolicy tied);

  Entry resolve(const WeightRef& ref) override;
  [[nodiscard]] bool has_tensor(std::uint32_t source, const std::string& tensor) const override;
  [[nodiscard]] int adapter_rank(const std::string& stack, const std::string& tensor) const override;

  [[nodiscard]] const std::vector<std::unique_ptr<PlannedWeight>>& weights() const noexcept { return weights_; }

  /// Weights of a source that no function reads; a checkpoint with more layers than its config says has them.
  [[nodiscard]] std::vector<std::string> unread_tensors(const Source& source) const;

  /// Base tensors an adapter of `stack` changes that no function reads: an effect that would be lost.
  [[nodiscard]] std::vector<std::string> unused_targets(const AdapterStack& stack) const;

 private:
  PlannedWeight full(const WeightRef& ref) const;
  PlannedWeight factor(const WeightRef& ref) const;
  void choose_storage(PlannedWeight& weight) const;
  [[nodiscard]] const AdapterStack* stack(const std::string& name) const;
  /// The tensor that unmerged adapters of this one are adapters of.
  [[nodiscard]] const std::string& adapted(const std::string& tensor) const;
  [[nodiscard]] std::string unique_name(const PlannedWeight& weight) const;

  std::vector<NamedSource> sources_;
  std::map<std::string, const AdapterStack*> stacks_;
  const Quantization& quantization_;
  DType precision_;
  TiedPolicy tied_;
  std::vector<std::unique_ptr<PlannedWeight>> weights_;
  std::unordered_map<std::string, std::uint32_t> by_key_;
};

}  // namespace d2c::host
