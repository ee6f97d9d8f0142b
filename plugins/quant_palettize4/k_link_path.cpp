#include "plugins/quant_palettize4/k_link_path.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace d2c::palettize4 {
namespace {

/// Squared error of one run, less the sum of its squares.
double run_error(const Node& from, const Node& to) noexcept {
  const double sum = to.sum - from.sum;
  return -(sum * sum / (to.weight - from.weight));
}

/// Length of the path to `from` and on to `to` in one link, less the prefix sum of squares at `to`.
double reach(const Node& from, const Node& to) noexcept { return from.potential + run_error(from, to); }

/// The first node in [first, last] that the newer candidate serves better, or last + 1. Once better, it stays better.
std::uint32_t crossing(std::span<const Node> nodes, const Node& older, const Node& newer,
                       std::uint32_t first) noexcept {
  const auto end = static_cast<std::uint32_t>(nodes.size());
  const auto newer_wins = [&](std::uint32_t at) { return reach(newer, nodes[at]) < reach(older, nodes[at]); };
  // Crossings of successive candidates lie close together: look nearby first.
  std::uint32_t low = first, step = 1;
  while (low < end) {
    const std::uint32_t probe = std::min(low + step - 1, end - 1);
    if (newer_wins(probe)) {
      std::uint32_t high = probe;
      while (low < high) {
        const std::uint32_t middle = low + (high - low) / 2;
        if (newer_wins(middle)) high = middle;
        else low = middle + 1;
      }
      return low;
    }
    low = probe + 1;
    step *= 2;
  }
  return end;
}

}  // namespace

void KLinkPath::enqueue(std::span<const Node> nodes, std::uint32_t node) {
  while (back_ > front_) {
    const Node& at = nodes[queue_[back_].start];
    if (reach(nodes[queue_[back_].node], at) <= reach(nodes[node], at)) break;
    --back_;
  }
  const std::uint32_t first = std::max(queue_[back_].start, node) + 1;
  const std::uint32_t start = crossing(nodes, nodes[queue_[back_].node], nodes[node], first);
  if (start < nodes.size()) queue_[++back_] = {node, start};
}

void KLinkPath::find_shortest(std::span<Node> nodes, double multiplier) {
  if (queue_.size() < nodes.size()) queue_.resize(nodes.size());
  front_ = back_ = 0;
  queue_[0] = {0, 1};
  nodes[0].potential = 0;
  for (std::uint32_t to = 1; to < nodes.size(); ++to) {
    while (front_ < back_ && queue_[front_ + 1].start <= to) ++front_;
    nodes[to].parent = queue_[front_].node;
    nodes[to].potential = multiplier + reach(nodes[queue_[front_].node], nodes[to]);
    if (to + 1 < nodes.size()) enqueue(nodes, to);
  }
  trace(nodes);
}

void KLinkPath::trace(std::span<const Node> nodes) {
  path_.cuts.clear();
  path_.cuts.push_back(static_cast<std::uint32_t>(nodes.size() - 1));
  while (path_.cuts.back() != 0) path_.cuts.push_back(nodes[path_.cuts.back()].parent);
  std::reverse(path_.cuts.begin(), path_.cuts.end());
  path_.error = 0;
  for (std::size_t i = 1; i < path_.cuts.size(); ++i)
    path_.error += run_error(nodes[path_.cuts[i - 1]], nodes[path_.cuts[i]]);
}

/// Starts from the two partitions known without a search: one run for everything, one run for each value.
void KLinkPath::bracket(std::span<const Node> nodes) {
  fewer_.cuts = {0, static_cast<std::uint32_t>(nodes.size() - 1)};
  fewer_.error = run_error(nodes.front(), nodes.back());
  more_.cuts.resize(nodes.size());
  std::iota(more_.cuts.begin(), more_.cuts.end(), 0u);
  more_.error = 0;
  for (std::size_t i = 1; i < nodes.size(); ++i) more_.error += run_error(nodes[i - 1], nodes[i]);
}

/// Joins the head of `more_` to the tail of `fewer_` by an edge that lies inside one of the latter's, so that by the
/// Monge property the result is as short as both.
void KLinkPath::splice(std::size_t links) {
  const std::size_t extra = links - fewer_.links();
  std::size_t i = fewer_.links() - 1;
  while (fewer_.cuts[i] > more_.cuts[i + extra]) --i;
  path_.cuts.assign(more_.cuts.begin(), more_.cuts.begin() + static_cast<std::ptrdiff_t>(i + extra + 1));
  path_.cuts.insert(path_.cuts.end(), fewer_.cuts.begin() + static_cast<std::ptrdiff_t>(i + 1), fewer_.cuts.end());
}

std::span<const std::uint32_t> KLinkPath::find(std::span<Node> nodes, std::size_t links, double& multiplier) {
  find_shortest(nodes, multiplier);
  if (path_.links() == links) return path_.cuts;

  // High-resolution theory: the multiplier falls with the third power of the number of links.
  constexpr int kGuesses = 12;
  bracket(nodes);
  double low = 0, high = std::numeric_limits<double>::infinity();  // multipliers of more_ and fewer_
  for (int guesses = 0;; ++guesses) {
    const bool is_fewer = path_.links() < links;
    std::swap(is_fewer ? fewer_ : more_, path_);
    (is_fewer ? high : low) = multiplier;

    const double ratio = static_cast<double>((is_fewer ? fewer_ : more_).links()) / static_cast<double>(links);
    const double guess = multiplier * ratio * ratio * ratio;
    const double slope = (fewer_.error - more_.error) / static_cast<double>(more_.links() - fewer_.links());
    const bool guessing = guesses < kGuesses && guess > low && guess < high;
    multiplier = guessing ? guess : slope;
    find_shortest(nodes, multiplier);
    if (path_.links() == links) return path_.cuts;
    // At the slope both ends are equally long; where nothing shorter lies between, both are shortest.
    if (!guessing && (path_.links() <= fewer_.links() || path_.links() >= more_.links())) {
      splice(links);
      return path_.cuts;
    }
  }
}

std::size_t KLinkPath::bytes(std::size_t nodes) noexcept {
  return nodes * (sizeof(Candidate) + 3 * sizeof(std::uint32_t));
}

}  // namespace d2c::palettize4
