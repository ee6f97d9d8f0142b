#include "plugins/lora_unsloth/stack.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>

namespace d2c::lora {
namespace {

/// PEFT adds factors with the square root of each weight on both sides; the sign goes on A.
void add_terms(LowRank& sum, const LowRank& part) {
  for (std::size_t i = 0; i < part.b.size(); ++i) {
    if (sum.of_products) {
      sum.b.push_back(part.b[i]);
      sum.a.push_back(part.a[i]);
      continue;
    }
    const double scale = part.b[i].scale * part.a[i].scale;
    const double root = std::sqrt(std::abs(scale));
    sum.b.push_back({part.b[i].tensor, root});
    sum.a.push_back({part.a[i].tensor, std::copysign(root, scale)});
  }
}

std::int64_t joined_rank(const TensorChanges& all, const std::vector<Adapter>& adapters,
                         const Combination& combination) {
  if (combination.of_products) {
    std::int64_t rank = combination.settings.svd_rank;
    if (rank == 0)
      for (const Adapter& adapter : adapters) rank = std::max(rank, adapter.config().largest_rank());
    const std::int64_t most = combination.join == Join::sum ? all.rank() : rank;
    return std::min({rank, most, rows_of(all.shape), columns_of(all.shape)});
  }
  const std::int64_t rank = std::get<LowRank>(all.changes.front()).rank;
  for (const Change& change : all.changes)
    if (const std::int64_t other = std::get<LowRank>(change).rank; other != rank)
      fail_input(all.tensor + ": combination '" + combination.name + "' needs equal ranks, found " +
                 std::to_string(rank) + " and " + std::to_string(other) + "; use 'cat' or 'svd'");
  return rank;
}

/// PEFT's joined adapter takes its own rank as alpha, which cancels out, but keeps use_rslora of the first adapter; then
/// the root of that rank stays.
double inherited_scale(const std::vector<Adapter>& adapters, const Combination& combination) {
  if (!adapters.front().config().rank_stabilised) return 1;
  std::int64_t sum = 0, most = 0;
  for (const Adapter& adapter : adapters) {
    sum += adapter.config().largest_rank();
    most = std::max(most, adapter.config().largest_rank());
  }
  const bool cut = combination.of_products && combination.settings.svd_rank != 0;
  const std::int64_t rank = combination.kind == Combination::Kind::cat ? sum
                            : cut                                      ? combination.settings.svd_rank
                                                                       : most;
  return std::sqrt(static_cast<double>(rank));
}

TensorChanges join(const TensorChanges& all, const std::vector<Adapter>& adapters, const Combination& combination) {
  LowRank joined;
  joined.rank = joined_rank(all, adapters, combination);
  joined.transposed = std::get<LowRank>(all.changes.front()).transposed;
  joined.of_products = combination.of_products;
  joined.join = combination.join;
  joined.settings = combination.settings;
  for (const Change& change : all.changes) add_terms(joined, std::get<LowRank>(change));
  joined.scale = inherited_scale(adapters, combination);
  return {all.tensor, all.shape, {std::move(joined)}};
}

TensorChanges side_by_side(TensorChanges all, const std::vector<Adapter>& adapters, const Combination& combination) {
  for (Change& change : all.changes) std::get<LowRank>(change).scale = inherited_scale(adapters, combination);
  return all;
}

bool is_base_copy(const Change& change) {
  const auto* replace = std::get_if<Replace>(&change);
  return replace != nullptr && replace->base_copy;
}

void require_low_rank(const Adapter& adapter, const std::vector<TensorChanges>& changes) {
  for (const TensorChanges& c : changes) {
    const bool joinable = std::all_of(c.changes.begin(), c.changes.end(), [](const Change& change) {
      return std::holds_alternative<LowRank>(change) || is_base_copy(change);
    });
    if (joinable) continue;
    fail_input(adapter.directory() +
               ": combinations other than 'sequential' join plain low-rank adapters only, and this one changes " +
               c.tensor + " in another way; use 'sequential'");
  }
}

/// Joins what is low-rank. Copies of the base that adapters bring along come first, and the last one counts.
TensorChanges join_above_base(TensorChanges all, const std::vector<Adapter>& adapters, const Combination& combination) {
  const auto low_rank = std::stable_partition(all.changes.begin(), all.changes.end(), is_base_copy);
  std::vector<Change> copies(all.changes.begin(), low_rank);
  all.changes.erase(all.changes.begin(), low_rank);
  TensorChanges joined = combination.kind == Combination::Kind::cat
                             ? side_by_side(std::move(all), adapters, combination)
                             : join(all, adapters, combination);
  if (!copies.empty()) joined.changes.insert(joined.changes.begin(), std::move(copies.back()));
  return joined;
}

/// What needs the whole tensor first gets one pass over it; a second one would need another.
void require_one_pass(const TensorChanges& changes) {
  const auto passes =
      std::count_if(changes.changes.begin(), changes.changes.end(), [](const Change& c) { return needs_prepare(c); });
  if (passes > 1)
    fail_input(changes.tensor +
               ": more than one adapter of the stack needs the whole tensor first (DoRA of the embedding, raw OLoRA, a "
               "grown vocabulary); merge the first adapter, then the other into the result");
}

void add_changes(std::map<std::string, TensorChanges>& by_tensor, const Adapter& adapter, TensorChanges added) {
  const auto [it, is_new] =
      by_tensor.try_emplace(added.tensor, TensorChanges{added.tensor, added.shape, {}, added.tied});
  TensorChanges& all = it->second;
  if (!is_new && all.shape != added.shape)
    fail_input(adapter.directory() + ": grows " + added.tensor + " to " + to_string(added.shape) +
               ", which an adapter before it changes already; put the adapter that grows the vocabulary first");
  all.tied = all.tied && added.tied;
  std::move(added.changes.begin(), added.changes.end(), std::back_inserter(all.changes));
}

/// Embedding and head of a tied model that become the same stay one tensor.
void keep_tied(std::vector<TensorChanges>& changes) {
  const auto find = [&](bool (*is_it)(std::string_view)) {
    return std::find_if(changes.begin(), changes.end(), [&](const TensorChanges& c) {
      return c.tensor.ends_with(kWeight) && is_it(module_of(c.tensor));
    });
  };
  const auto embedding = find(is_embedding), head = find(is_output_head);
  if (embedding == changes.end() || head == changes.end()) return;
  embedding->tied = head->tied = embedding->tied && head->tied;
  if (head->tied) changes.erase(head);
}

}  // namespace

Combination parse_combination(const std::string& name, const JoinSettings& settings) {
  using Kind = Combination::Kind;
  if (!(settings.density > 0 && settings.density <= 1))
    fail_usage("adapters.density is the share of elements to keep, above 0 and at most 1");
  if (settings.svd_rank < 0) fail_usage("adapters.svd_rank is a rank, or 0 for the largest of the adapters");
  if (name == "sequential") return {Kind::sequential, Join::sum, false, settings, name};
  if (name == "cat") return {Kind::cat, Join::sum, false, settings, name};
  static constexpr std::pair<std::string_view, Join> kJoined[] = {{"linear", Join::sum},
                                                                  {"ties", Join::ties},
                                                                  {"dare_linear", Join::dare_linear},
                                                                  {"dare_ties", Join::dare_ties},
                                                                  {"magnitude_prune", Join::magnitude_prune}};
  if (name == "svd") return {Kind::joined, Join::sum, true, settings, name};
  constexpr std::string_view kOfProducts = "_svd";
  const bool of_products = name.ends_with(kOfProducts);
  const std::string_view how_named(name.data(), name.size() - (of_products ? kOfProducts.size() : 0));
  for (const auto& [known, how] : kJoined)
    if (known == how_named && !(of_products && how == Join::sum))
      return {Kind::joined, how, of_products, settings, name};
  fail_usage(
      "combination '" + name +
      "' is none of sequential, cat, linear, svd, ties, dare_linear, dare_ties, magnitude_prune, and the last four "
      "with _svd");
}

std::vector<TensorChanges> combine(const std::vector<Adapter>& adapters, const Combination& combination,
                                   BaseIndex base) {
  std::map<std::string, TensorChanges> by_tensor;
  for (const Adapter& adapter : adapters) {
    std::vector<TensorChanges> changes = adapter.bind(base);
    if (combination.kind != Combination::Kind::sequential) require_low_rank(adapter, changes);
    for (TensorChanges& c : changes) {
      base.resize(c.tensor, c.shape);
      add_changes(by_tensor, adapter, std::move(c));
    }
  }
  std::vector<TensorChanges> result;
  for (const std::string& tensor : base.tensors()) {
    const auto it = by_tensor.find(tensor);
    if (it == by_tensor.end()) continue;
    require_one_pass(it->second);
    result.push_back(combination.kind == Combination::Kind::sequential
                         ? std::move(it->second)
                         : join_above_base(std::move(it->second), adapters, combination));
  }
  keep_tied(result);
  return result;
}

}  // namespace d2c::lora
