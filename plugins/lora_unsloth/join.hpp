// How the factors of several adapters become one pair of factors, as PEFT's add_weighted_adapter does it.
#pragma once

#include "plugins/lora_unsloth/stored_tensor.hpp"

#include <cstdint>
#include <span>
#include <string>
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
};

enum class Majority { total, frequency };

struct JoinSettings {
  double density = 0.5;  ///< share of elements that pruning keeps
  Majority majority = Majority::total;
  std::uint64_t seed = 0;
  std::int64_t svd_rank = 0;  ///< 0: the largest rank of the adapters
};

/// One of several tensors of the same shape that are to be joined.
struct Summand {
  std::vector<float> values;
  double scale = 1;
  std::string name;  ///< decides, with the seed, what is dropped at random
};

/// Joins tensors element by element, in fp32 and in order. As in PEFT, what is kept of a random choice is enlarged to make
/// up for what was dropped.
[[nodiscard]] std::vector<float> join_values(std::vector<Summand> summands, Join join, const JoinSettings& settings);
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

/// The product of rank `rank` nearest to a matrix [rows, columns]. In double; takes nearest_product_bytes() of memory and
/// time that grows with the cube of the shorter side.
[[nodiscard]] Product nearest_product(std::span<const float> matrix, std::int64_t rows, std::int64_t columns,
                                      std::int64_t rank);
[[nodiscard]] std::size_t nearest_product_bytes(std::int64_t rows, std::int64_t columns);

/// Q R of the first `rank` columns of a matrix, R taken on to all columns: what a QR decomposition's leading part is.
[[nodiscard]] Product leading_product(std::span<const float> matrix, std::int64_t rows, std::int64_t columns,
                                      std::int64_t rank);

}  // namespace d2c::lora
