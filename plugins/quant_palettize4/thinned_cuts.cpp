#include "plugins/quant_palettize4/thinned_cuts.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace d2c::palettize4 {
namespace {

/// On either side of the bulk: outliers keep their cuts, or they would make it wide.
constexpr double kTailShare = 0.002;

/// The values of one bin around its first.
class Bin {
 public:
  /// The square of the bin's spread with a further value; `d` is how far that lies above the first.
  [[nodiscard]] double spread_with(double d, double count) const noexcept {
    const double sum = sum_ + count * d;
    return (weight_ + count) * (squares_ + count * d * d) - sum * sum;
  }
  void add(double d, double count) noexcept {
    weight_ += count;
    sum_ += count * d;
    squares_ += count * d * d;
  }

 private:
  double weight_ = 0, sum_ = 0, squares_ = 0;
};

}  // namespace

void ThinnedCuts::choose(const Cuts& all, std::span<const float> values, std::span<const std::uint32_t> counts,
                         double loss) {
  const auto cut_at = [&](double weight) {
    const auto* const begin = all.weight.data();
    return static_cast<std::size_t>(std::lower_bound(begin, begin + all.size(), weight) - begin);
  };
  const double total = all.weight[all.size() - 1];
  const std::size_t first = cut_at(kTailShare * total), last = cut_at((1 - kTailShare) * total) - 1;
  const double low = values[first], width = values[last] - low;
  const double spread = loss / (2 * width);

  cuts_.resize(all.size());
  original_.resize(all.size());
  std::size_t kept = 0;
  const auto keep = [&](std::size_t cut) {
    cuts_.weight[kept] = all.weight[cut];
    cuts_.sum[kept] = all.sum[cut];
    original_[kept++] = static_cast<std::uint32_t>(cut);
  };
  for (std::size_t cut = 0; cut <= first; ++cut) keep(cut);
  Bin bin;
  double bin_start = low;
  for (std::size_t i = first; i <= last; ++i) {
    if (bin.spread_with(values[i] - bin_start, counts[i]) > spread * spread) {
      keep(i);
      bin = {};
      bin_start = values[i];
    }
    bin.add(values[i] - bin_start, counts[i]);
  }
  for (std::size_t cut = last + 1; cut < all.size(); ++cut) keep(cut);
  cuts_.resize(kept);

  const auto value_at = [&](double value) { return std::lower_bound(values.begin(), values.end(), value); };
  const auto middle = static_cast<std::size_t>(value_at(low + width / 4) - values.begin());
  const auto middle_end = static_cast<std::size_t>(value_at(low + width * 3 / 4) - values.begin());
  loss_ = loss;
  least_error_of_one_border_ = (all.weight[middle_end] - all.weight[middle]) * width * width / 16;
}

double ThinnedCuts::bound(double error) const noexcept {
  return least_error_of_one_border_ > error ? loss_ : std::numeric_limits<double>::infinity();
}

}  // namespace d2c::palettize4
