#include "plugins/quant_palettize4/solver.hpp"

#include "libs/numeric/convert.hpp"
#include "plugins/quant_palettize4/half_order.hpp"

#include <d2c/half.hpp>

#include <algorithm>
#include <bit>
#include <cmath>

namespace d2c::palettize4 {
namespace {

constexpr std::size_t kCoarseBinsPerEntry = 8;

/// Cube root to a few percent: enough to place bins, and the same everywhere.
float rough_cube_root(float x) noexcept {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) / 3 + 0x2a5137a0u);
}

std::uint16_t nearest_half(double value) noexcept {
  const std::uint16_t bits = float_to_half(static_cast<float>(value));
  return bits == kHalfSign ? std::uint16_t{0} : bits;
}

/// An exactly representable palette: nothing to solve.
Palette verbatim(const Distribution& group, std::size_t size) {
  Palette palette;
  palette.size = size;
  palette.certified = true;
  std::copy(group.bits.begin(), group.bits.end(), palette.entries.begin());
  std::fill(palette.entries.begin() + static_cast<std::ptrdiff_t>(group.size()),
            palette.entries.begin() + static_cast<std::ptrdiff_t>(size), group.bits.back());
  for (std::size_t i = 0; i < group.size(); ++i) {
    const double value = half_to_float(group.bits[i]);
    palette.squared_sum += group.counts[i] * (value * value);
  }
  return palette;
}

}  // namespace

Palette Solver::solve(const Distribution& group, std::size_t size) {
  if (group.size() <= size) return verbatim(group, size);
  load(group);
  double multiplier = coarse_multiplier(group, size);
  Palette palette;
  palette.size = size;
  palette.certified = true;
  round_means(path_.find(nodes_, size, multiplier), palette);
  improve_rounding(group, palette);
  return palette;
}

void Solver::load(const Distribution& group) {
  const std::size_t n = group.size();
  values_.resize(n);
  nodes_.resize(n + 1);
  numeric::to_float(DType::f16, group.bits.data(), n, values_.data());
  // Sums around a value of the group: less cancellation where all values are alike.
  origin_ = values_[n / 2];
  double weight = 0, sum = 0;
  nodes_[0] = {};
  for (std::size_t i = 0; i < n; ++i) {
    const double count = group.counts[i];
    weight += count;
    sum += count * (values_[i] - origin_);
    nodes_[i + 1].weight = weight;
    nodes_[i + 1].sum = sum;
  }
}

/// Solves the problem on a few cuts that split the error evenly (Panter and Dite's density, count^1/3 gap^2/3), to find
/// a multiplier that very likely fits the full problem.
double Solver::coarse_multiplier(const Distribution& group, std::size_t links) {
  const std::size_t n = group.size();
  measure_.resize(n);
  float total = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const float gap = (values_[std::min(i + 1, n - 1)] - values_[i == 0 ? 0 : i - 1]) / 2;
    total += rough_cube_root(static_cast<float>(group.counts[i]) * (gap * gap));
    measure_[i] = total;
  }
  const double k = static_cast<double>(links);
  double multiplier = static_cast<double>(total) * total * total / (6 * k * k * k);

  const std::size_t bins = kCoarseBinsPerEntry * links;
  if (n < 4 * bins) return multiplier;
  coarse_nodes_.assign(1, nodes_[0]);
  const float step = total / static_cast<float>(bins);
  float next = step;
  for (std::size_t i = 0; i + 1 < n; ++i) {
    if (measure_[i] < next) continue;
    coarse_nodes_.push_back(nodes_[i + 1]);
    next = measure_[i] + step;
  }
  coarse_nodes_.push_back(nodes_[n]);
  if (coarse_nodes_.size() > links + 1) path_.find(coarse_nodes_, links, multiplier);
  return multiplier;
}

void Solver::round_means(std::span<const std::uint32_t> cuts, Palette& palette) const {
  for (std::size_t e = 0; e < palette.size; ++e) {
    const Node& from = nodes_[cuts[e]];
    const Node& to = nodes_[cuts[e + 1]];
    // An empty run (its entry was nobody's nearest) keeps its entry.
    if (cuts[e] != cuts[e + 1])
      palette.entries[e] = nearest_half(origin_ + (to.sum - from.sum) / (to.weight - from.weight));
  }
}

/// Gives each value to its nearest entry: fills the errors, and cells_ with the cuts between entries.
void Solver::measure(const Distribution& group, Palette& palette) {
  const std::size_t n = group.size();
  cells_.assign(1, 0);
  palette.squared_error = palette.squared_sum = palette.max_error = 0;
  std::size_t i = 0;
  for (std::size_t e = 0; e < palette.size; ++e) {
    const double entry = half_to_float(palette.entries[e]);
    const bool last = e + 1 == palette.size;
    const double middle = last ? 0 : (entry + half_to_float(palette.entries[e + 1])) / 2;
    for (; i < n && (last || values_[i] <= middle); ++i) {
      const double value = values_[i];
      const double count = group.counts[i];
      const double error = std::abs(value - entry);
      palette.squared_error += count * (error * error);
      palette.squared_sum += count * (value * value);
      palette.max_error = std::max(palette.max_error, error);
    }
    cells_.push_back(static_cast<std::uint32_t>(i));
  }
}

/// Rounding the means can move a value to a neighbouring entry, whose best place then changes: follow while it helps.
void Solver::improve_rounding(const Distribution& group, Palette& palette) {
  constexpr int kRounds = 8;
  measure(group, palette);
  for (int round = 0; round < kRounds; ++round) {
    Palette next = palette;
    round_means(cells_, next);
    if (next.entries == palette.entries) return;
    measure(group, next);
    if (next.squared_error >= palette.squared_error) return;
    palette = next;
  }
}

std::size_t Solver::bytes(std::size_t distinct) noexcept {
  return distinct * (2 * sizeof(float) + sizeof(Node)) + (kCoarseBinsPerEntry + 1) * kMaxEntries * sizeof(Node) +
         kMaxEntries * sizeof(std::uint32_t) + KLinkPath::bytes(distinct + 1);
}

}  // namespace d2c::palettize4
