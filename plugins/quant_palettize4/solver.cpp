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

/// Sums over the values of a group, in two interleaved series so that one addition need not wait for the other.
class Errors {
 public:
  void add(std::span<const float> values, const std::uint32_t* counts, double entry) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double value = values[i], count = counts[i], error = std::abs(value - entry);
      squared_error_[i % 2] += count * (error * error);
      squared_sum_[i % 2] += count * (value * value);
    }
    // The largest error of a cell is at one of its ends.
    if (values.empty()) return;
    max_error_ = std::max({max_error_, std::abs(values.front() - entry), std::abs(values.back() - entry)});
  }

  void store_in(Palette& palette) const {
    palette.squared_error = squared_error_[0] + squared_error_[1];
    palette.squared_sum = squared_sum_[0] + squared_sum_[1];
    palette.max_error = max_error_;
  }

 private:
  double squared_error_[2] = {}, squared_sum_[2] = {};
  double max_error_ = 0;
};

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

Palette Solver::solve(const Distribution& group, std::size_t size, double allowance) {
  if (group.size() <= size) return verbatim(group, size);
  load(group);
  double multiplier = coarse_multiplier(group, size);
  Palette palette;
  palette.size = size;
  if (allowance == 0 || !solve_thinned(group, allowance, multiplier, palette)) {
    palette.certified = true;
    round_means(path_.find(cuts_, size, multiplier), palette);
  }
  improve_rounding(group, palette);
  return palette;
}

/// False where leaving cuts out saves little, or the allowance turns out to be exceeded.
bool Solver::solve_thinned(const Distribution& group, double allowance, double multiplier, Palette& palette) {
  // The coarse error lies a little above the one that counts.
  constexpr double kMargin = 0.95;
  if (coarse_error_ == 0) return false;
  thinned_.choose(cuts_, {values_.data(), group.size()}, group.counts, kMargin * allowance * coarse_error_);
  if (thinned_.cuts().size() > cuts_.size() * 2 / 3) return false;
  const auto path = path_.find(thinned_.cuts(), palette.size, multiplier);
  const double error = squares_ + path_error(thinned_.cuts(), path);
  const double excess = thinned_.bound(error);
  if (excess > allowance * (error - excess)) return false;
  palette.excess = excess;
  cells_.clear();
  for (const std::uint32_t cut : path) cells_.push_back(thinned_.original(cut));
  round_means(cells_, palette);
  return true;
}

void Solver::load(const Distribution& group) {
  const std::size_t n = group.size();
  values_.resize(n);
  cuts_.resize(n + 1);
  numeric::to_float(DType::f16, group.bits.data(), n, values_.data());
  // Sums around a value of the group: less cancellation where all values are alike.
  origin_ = values_[n / 2];
  double weight = 0, sum = 0;
  squares_ = 0;
  cuts_.weight[0] = cuts_.sum[0] = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double count = group.counts[i];
    weight += count;
    const double value = values_[i] - origin_;
    sum += count * value;
    squares_ += count * value * value;
    cuts_.weight[i + 1] = weight;
    cuts_.sum[i + 1] = sum;
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
  coarse_error_ = 0;
  if (n < 4 * bins) return multiplier;
  coarse_cuts_.resize(bins + 2);
  std::size_t cut = 0;
  const auto add = [&](std::size_t at) {
    coarse_cuts_.weight[cut] = cuts_.weight[at];
    coarse_cuts_.sum[cut++] = cuts_.sum[at];
  };
  add(0);
  const float step = total / static_cast<float>(bins);
  float next = step;
  for (std::size_t i = 0; i + 1 < n; ++i) {
    if (measure_[i] < next) continue;
    add(i + 1);
    next = measure_[i] + step;
  }
  add(n);
  coarse_cuts_.resize(cut);
  if (cut > links + 1) coarse_error_ = squares_ + path_error(coarse_cuts_, path_.find(coarse_cuts_, links, multiplier));
  return multiplier;
}

void Solver::round_means(std::span<const std::uint32_t> path, Palette& palette) const {
  for (std::size_t e = 0; e < palette.size; ++e) {
    const std::size_t from = path[e], to = path[e + 1];
    // An empty run (its entry was nobody's nearest) keeps its entry.
    if (from == to) continue;
    const double mean = (cuts_.sum[to] - cuts_.sum[from]) / (cuts_.weight[to] - cuts_.weight[from]);
    palette.entries[e] = nearest_half(origin_ + mean);
  }
}

/// Gives each value to its nearest entry: fills the errors, and cells_ with the cuts between entries.
void Solver::measure(const Distribution& group, Palette& palette) {
  const auto* const begin = values_.data();
  const auto* const end = begin + group.size();
  const auto* from = begin;
  Errors errors;
  cells_.assign(1, 0);
  for (std::size_t e = 0; e < palette.size; ++e) {
    const double entry = half_to_float(palette.entries[e]);
    const auto* to = end;
    if (e + 1 < palette.size) to = std::upper_bound(from, end, (entry + half_to_float(palette.entries[e + 1])) / 2);
    errors.add({from, to}, group.counts.data() + (from - begin), entry);
    cells_.push_back(static_cast<std::uint32_t>(to - begin));
    from = to;
  }
  errors.store_in(palette);
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
  return distinct * 2 * sizeof(float) + Cuts::bytes(distinct + 1) +
         Cuts::bytes((kCoarseBinsPerEntry + 1) * kMaxEntries) + kMaxEntries * sizeof(std::uint32_t) +
         ThinnedCuts::bytes(distinct + 1) + KLinkPath::bytes(distinct + 1);
}

}  // namespace d2c::palettize4
