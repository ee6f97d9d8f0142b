#include "plugins/quant_palettize4/k_link_path.hpp"

#include <limits>
#include <numeric>
#include <utility>

namespace d2c::palettize4 {

void KLinkPath::find_shortest(const Cuts& cuts, double multiplier) {
  shortest_.find(cuts, multiplier, path_.cuts);
  path_.error = path_error(cuts, path_.cuts);
}

/// Starts from the two partitions known without a search: one run for everything, one run for each value.
void KLinkPath::bracket(const Cuts& cuts) {
  fewer_.cuts = {0, static_cast<std::uint32_t>(cuts.size() - 1)};
  fewer_.error = path_error(cuts, fewer_.cuts);
  more_.cuts.resize(cuts.size());
  std::iota(more_.cuts.begin(), more_.cuts.end(), 0u);
  more_.error = path_error(cuts, more_.cuts);
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

std::span<const std::uint32_t> KLinkPath::find(const Cuts& cuts, std::size_t links, double& multiplier) {
  find_shortest(cuts, multiplier);
  if (path_.links() == links) return path_.cuts;

  // High-resolution theory: the multiplier falls with the third power of the number of links.
  constexpr int kGuesses = 12;
  bracket(cuts);
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
    find_shortest(cuts, multiplier);
    if (path_.links() == links) return path_.cuts;
    // At the slope both ends are equally long; where nothing shorter lies between, both are shortest.
    if (!guessing && (path_.links() <= fewer_.links() || path_.links() >= more_.links())) {
      splice(links);
      return path_.cuts;
    }
  }
}

std::size_t KLinkPath::bytes(std::size_t cuts) noexcept {
  return ShortestPath::bytes(cuts) + cuts * 3 * sizeof(std::uint32_t);
}

}  // namespace d2c::palettize4
