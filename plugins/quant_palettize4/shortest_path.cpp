#include "plugins/quant_palettize4/shortest_path.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "plugins/quant_palettize4/shortest_path.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace d2c::palettize4::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Rows that are solved together. Fixed, like everything here that chooses what is compared with what, so that the
// path does not depend on how wide the machine's vectors are.
constexpr std::size_t kRows = Cuts::kReadBeyond;
// From a last run of this many cuts on, rows are solved in blocks.
constexpr std::size_t kShortRun = 4 * kRows;

/// One cut after the other gets the best cut before it. Those best cuts never move back as the list goes on (the errors
/// of runs have the Monge property), which leaves few to try. In a block of cuts that is short against the run that ends
/// there, none is best reached from inside the block: that is assumed, checked at the block's end, where by the same
/// property it would show, and tried again with half the block where it does not hold.
class Search {
 public:
  Search(const double* weight, const double* sum, double charge, double* length, std::int64_t* parent)
      : weight_(weight), sum_(sum), charge_(charge), length_(length), parent_(parent) {}

  void run(std::size_t count) {
    length_[0] = 0;
    std::size_t block = 0;
    for (std::size_t to = 1; to < count;) {
      const auto earliest = to == 1 ? std::size_t{0} : static_cast<std::size_t>(parent_[to - 1]);
      const std::size_t last_run = to - earliest;
      if (block == 0) block = last_run / kShortRun * kRows;
      block = std::min(block, (count - to) / kRows * kRows);
      if (block == 0) {
        store(to, nearest(to, earliest, to));
        ++to;
      } else if (try_block(to, block, earliest)) {
        to += block;
        block = 0;
      } else {
        block = block / 2 / kRows * kRows;
        if (block != 0) continue;
        store(to, nearest(to, earliest, to));
        ++to;
      }
    }
  }

 private:
  using D = hn::CappedTag<double, kRows>;
  using DI = hn::RebindToSigned<D>;
  using V = hn::Vec<D>;
  using VI = hn::Vec<DI>;

  struct Candidate {
    double length;
    std::int64_t from;
  };

  void store(std::size_t to, const Candidate& best) {
    length_[to] = charge_ + best.length;
    parent_[to] = best.from;
  }

  /// The first of the cuts in [first, last) from which `to` is reached in the shortest way.
  Candidate nearest(std::size_t to, std::size_t first, std::size_t last) const {
    const D d;
    const DI di;
    const std::size_t lanes = hn::Lanes(d);
    const V weight = hn::Set(d, weight_[to]), sum = hn::Set(d, sum_[to]);
    const VI end = hn::Set(di, static_cast<std::int64_t>(last));
    V best = hn::Inf(d);
    VI best_from = hn::Set(di, static_cast<std::int64_t>(first)), from = hn::Iota(di, static_cast<std::int64_t>(first));
    for (std::size_t i = first; i < last; i += lanes) {
      const V s = hn::Sub(sum, hn::LoadU(d, sum_ + i));
      const V error = hn::Div(hn::Mul(s, s), hn::Sub(weight, hn::LoadU(d, weight_ + i)));
      const V length = hn::Sub(hn::LoadU(d, length_ + i), error);
      const auto better = hn::And(hn::Lt(length, best), hn::RebindMask(d, hn::Lt(from, end)));
      best = hn::IfThenElse(better, length, best);
      best_from = hn::IfThenElse(hn::RebindMask(di, better), from, best_from);
      from = hn::Add(from, hn::Set(di, static_cast<std::int64_t>(lanes)));
    }
    HWY_ALIGN double lengths[kRows];
    HWY_ALIGN std::int64_t froms[kRows];
    hn::Store(best, d, lengths);
    hn::Store(best_from, di, froms);
    Candidate result{lengths[0], froms[0]};
    for (std::size_t l = 1; l < lanes; ++l)
      if (lengths[l] < result.length || (lengths[l] == result.length && froms[l] < result.from))
        result = {lengths[l], froms[l]};
    return result;
  }

  /// Solves for cuts [to, to + kRows), each reached from one in [first, last].
  void solve_rows(std::size_t to, std::size_t first, std::size_t last) {
    const D d;
    const DI di;
    for (std::size_t row = to; row < to + kRows; row += hn::Lanes(d)) {
      const V weight = hn::LoadU(d, weight_ + row), sum = hn::LoadU(d, sum_ + row);
      V best = hn::Inf(d);
      VI best_from = hn::Set(di, static_cast<std::int64_t>(first));
      for (std::size_t i = first; i <= last; ++i) {
        const V s = hn::Sub(sum, hn::Set(d, sum_[i]));
        const V error = hn::Div(hn::Mul(s, s), hn::Sub(weight, hn::Set(d, weight_[i])));
        const V length = hn::Sub(hn::Set(d, length_[i]), error);
        const auto better = hn::Lt(length, best);
        best = hn::IfThenElse(better, length, best);
        best_from = hn::IfThenElse(hn::RebindMask(di, better), hn::Set(di, static_cast<std::int64_t>(i)), best_from);
      }
      hn::StoreU(hn::Add(hn::Set(d, charge_), best), d, length_ + row);
      hn::StoreU(best_from, di, parent_ + row);
    }
  }

  /// Solves for cuts [to, to + count), a multiple of kRows, each reached from one in [first, last].
  void solve(std::size_t to, std::size_t count, std::size_t first, std::size_t last) {
    if (count == kRows) return solve_rows(to, first, last);
    const std::size_t half = count / 2 / kRows * kRows;
    const auto middle = static_cast<std::size_t>(nearest(to + half - 1, first, last + 1).from);
    solve(to, half, first, middle);
    solve(to + half, count - half, middle, last);
  }

  /// Solves for cuts [to, to + count) as if none were reached from another of them; false where one is.
  bool try_block(std::size_t to, std::size_t count, std::size_t earliest) {
    const std::size_t end = to + count - 1;
    solve(to, count, earliest, static_cast<std::size_t>(nearest(end, earliest, to).from));
    return charge_ + nearest(end, to, end).length >= length_[end];
  }

  const double* weight_;
  const double* sum_;
  double charge_;
  double* length_;
  std::int64_t* parent_;
};

void search(const double* weight, const double* sum, double charge, std::size_t count, double* length,
            std::int64_t* parent) {
  Search(weight, sum, charge, length, parent).run(count);
}

}  // namespace
}  // namespace d2c::palettize4::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace d2c::palettize4 {
namespace {

HWY_EXPORT(search);

}  // namespace

double path_error(const Cuts& cuts, std::span<const std::uint32_t> path) noexcept {
  double error = 0;
  for (std::size_t i = 1; i < path.size(); ++i) error += run_error(cuts, path[i - 1], path[i]);
  return error;
}

void ShortestPath::find(const Cuts& cuts, double charge, std::vector<std::uint32_t>& path) {
  const std::size_t n = cuts.size();
  length_.resize(std::max(length_.size(), n + Cuts::kReadBeyond));
  parent_.resize(length_.size());
  HWY_DYNAMIC_DISPATCH(search)(cuts.weight.data(), cuts.sum.data(), charge, n, length_.data(), parent_.data());
  path.clear();
  path.push_back(static_cast<std::uint32_t>(n - 1));
  while (path.back() != 0) path.push_back(static_cast<std::uint32_t>(parent_[path.back()]));
  std::reverse(path.begin(), path.end());
}

std::size_t ShortestPath::bytes(std::size_t cuts) noexcept {
  return (cuts + Cuts::kReadBeyond) * (sizeof(double) + sizeof(std::int64_t));
}

}  // namespace d2c::palettize4
#endif
