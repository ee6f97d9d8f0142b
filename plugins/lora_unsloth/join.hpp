// How the factors of several adapters become one pair of factors, as PEFT's add_weighted_adapter does it.
#pragma once

#include "plugins/lora_unsloth/stored_tensor.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace d2c::lora {

/// A stored tensor times a number.
struct Term {
  StoredTensor tensor;
  double scale = 1;
};

enum class Join {
  sum,              ///< all terms are added
  ties,             ///< trimmed, a sign elected for every element, the mean of those that agree
  dare_linear,      ///< elements dropped at random, then added
  dare_ties,        ///< elements dropped at random, then the election
  magnitude_prune,  ///< trimmed, then added
  svd,              ///< the low-rank matrix nearest to the sum of the products
};

enum class Majority { total, frequency };

struct JoinSettings {
  double density = 0.5;  ///< share of elements that pruning keeps
  Majority majority = Majority::total;
  std::uint64_t seed = 0;
  std::int64_t svd_rank = 0;  ///< 0: the largest rank of the adapters
};

/// Joins tensors of one shape element by element, in fp32 and in order; not for Join::svd.
///
/// What is dropped at random depends on the seed and the tensor's name alone. As in PEFT, what is kept is not enlarged to
/// make up for what was dropped.
[[nodiscard]] std::vector<float> join_terms(std::span<const Term> terms, Join join, const JoinSettings& settings);

/// A product B*A, both row-major.
struct Product {
  std::int64_t rank = 0;
  std::vector<float> b;  ///< [rows, rank]
  std::vector<float> a;  ///< [rank, columns]
};

/// The product of rank `rank` nearest to the sum of `parts`; singular values go to B. In double.
[[nodiscard]] Product nearest_product(std::span<const Product> parts, std::int64_t rows, std::int64_t columns,
                                      std::int64_t rank);

}  // namespace d2c::lora
