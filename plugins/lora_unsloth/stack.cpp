#include "plugins/lora_unsloth/stack.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>

namespace d2c::lora {
namespace {

/// PEFT adds factors with the square root of each weight on both sides; the sign goes on A.
void add_terms(LowRank& sum, const LowRank& part) {
  for (std::size_t i = 0; i < part.b.size(); ++i) {
    const double scale = part.b[i].scale * part.a[i].scale;
    const double root = std::sqrt(std::abs(scale));
    sum.b.push_back({part.b[i].tensor, root});
    sum.a.push_back({part.a[i].tensor, std::copysign(root, scale)});
  }
}

void require_uniform_rank(const Adapter& adapter, const std::string& combination) {
  if (adapter.config().rank_pattern.empty() && adapter.config().alpha_pattern.empty()) return;
  fail_input(adapter.directory() + ": combination '" + combination +
             "' with rank_pattern or alpha_pattern is not supported; use 'cat' or 'sequential'");
}

std::int64_t joined_rank(const TensorChanges& all, const std::vector<Adapter>& adapters,
                         const Combination& combination) {
  if (combination.join == Join::svd) {
    std::int64_t rank = combination.settings.svd_rank;
    if (rank == 0)
      for (const Adapter& adapter : adapters) rank = std::max(rank, adapter.config().rank);
    return std::min({rank, all.rank(), rows_of(all.shape), columns_of(all.shape)});
  }
  const std::int64_t rank = std::get<LowRank>(all.changes.front()).rank;
  for (const Change& change : all.changes)
    if (const std::int64_t other = std::get<LowRank>(change).rank; other != rank)
      fail_input(all.tensor + ": combination '" + combination.name + "' needs equal ranks, found " +
                 std::to_string(rank) + " and " + std::to_string(other) + "; use 'cat' or 'svd'");
  return rank;
}

TensorChanges join(const TensorChanges& all, const std::vector<Adapter>& adapters, const Combination& combination) {
  LowRank joined;
  joined.rank = joined_rank(all, adapters, combination);
  joined.transposed = std::get<LowRank>(all.changes.front()).transposed;
  joined.join = combination.join;
  joined.settings = combination.settings;
  for (const Change& change : all.changes) add_terms(joined, std::get<LowRank>(change));
  // The joined adapter keeps use_rslora of the first one and takes its own rank as alpha.
  if (adapters.front().config().rank_stabilised) joined.scale = std::sqrt(static_cast<double>(joined.rank));
  return {all.tensor, all.shape, {std::move(joined)}};
}

void require_low_rank(const Adapter& adapter, const std::vector<TensorChanges>& changes) {
  for (const TensorChanges& c : changes) {
    if (c.low_rank()) continue;
    fail_input(adapter.directory() +
               ": combinations other than 'sequential' join plain low-rank adapters only, and this one changes " +
               c.tensor + " in another way; use 'sequential'");
  }
}

/// The norms that embedding DoRA needs are known only after one pass over the tensor; a second one would need another.
void require_one_pass(const TensorChanges& changes) {
  const auto passes = std::count_if(changes.changes.begin(), changes.changes.end(),
                                    [](const Change& c) { return std::holds_alternative<ColumnMagnitude>(c); });
  if (passes > 1)
    fail_input(changes.tensor + ": more than one adapter with DoRA on the embedding in a stack is not supported");
}

}  // namespace

Combination parse_combination(const std::string& name, const JoinSettings& settings) {
  using Kind = Combination::Kind;
  if (!(settings.density > 0 && settings.density <= 1))
    fail_usage("adapters.density is the share of elements to keep, above 0 and at most 1");
  if (settings.svd_rank < 0) fail_usage("adapters.svd_rank is a rank, or 0 for the largest of the adapters");
  if (name == "sequential") return {Kind::sequential, Join::sum, settings, name};
  if (name == "cat") return {Kind::cat, Join::sum, settings, name};
  static constexpr std::pair<std::string_view, Join> kJoined[] = {
      {"linear", Join::sum},          {"svd", Join::svd},
      {"ties", Join::ties},           {"dare_linear", Join::dare_linear},
      {"dare_ties", Join::dare_ties}, {"magnitude_prune", Join::magnitude_prune}};
  for (const auto& [known, how] : kJoined)
    if (known == name) return {Kind::joined, how, settings, name};
  static constexpr std::array kFactorizing = {"ties_svd", "dare_ties_svd", "dare_linear_svd", "magnitude_prune_svd"};
  if (std::find(kFactorizing.begin(), kFactorizing.end(), name) != kFactorizing.end())
    fail_usage("combination '" + name +
               "' factorizes whole weight matrices anew and is not supported; use the one without _svd, or combine the "
               "adapters with PEFT's add_weighted_adapter, save the result and use that");
  fail_usage("combination '" + name +
             "' is none of sequential, cat, linear, svd, ties, dare_linear, dare_ties, magnitude_prune");
}

std::vector<TensorChanges> combine(const std::vector<Adapter>& adapters, const Combination& combination,
                                   const BaseIndex& base) {
  std::map<std::string, TensorChanges> by_tensor;
  for (const Adapter& adapter : adapters) {
    std::vector<TensorChanges> changes = adapter.bind(base);
    if (combination.kind != Combination::Kind::sequential) require_low_rank(adapter, changes);
    if (combination.kind == Combination::Kind::joined && combination.join != Join::svd)
      require_uniform_rank(adapter, combination.name);
    for (TensorChanges& c : changes) {
      TensorChanges& all = by_tensor.try_emplace(c.tensor, TensorChanges{c.tensor, c.shape, {}}).first->second;
      std::move(c.changes.begin(), c.changes.end(), std::back_inserter(all.changes));
    }
  }
  std::vector<TensorChanges> result;
  for (const std::string& tensor : base.tensors()) {
    const auto it = by_tensor.find(tensor);
    if (it == by_tensor.end()) continue;
    require_one_pass(it->second);
    result.push_back(combination.kind == Combination::Kind::joined ? join(it->second, adapters, combination)
                                                                   : std::move(it->second));
  }
  return result;
}

}  // namespace d2c::lora
