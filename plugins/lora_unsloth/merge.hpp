// The changes an adapter stack makes to one tensor, and the jobs that carry them out on row tiles.
#pragma once

#include "plugins/lora_unsloth/join.hpp"
#include "plugins/lora_unsloth/stored_tensor.hpp"

#include <d2c/plugin.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace d2c::lora {

/// W += B*A. B [out, rank] and A [rank, in], or stored transposed, are joined from terms of one shape. The products of the
/// terms may be joined instead, whatever their ranks, and the result brought to `rank`; then b carries the scalings and a
/// the weights.
struct LowRank {
  std::int64_t rank = 0;
  std::vector<Term> b;
  std::vector<Term> a;
  bool transposed = false;
  bool of_products = false;
  Join join = Join::sum;
  JoinSettings settings{};
  double scale = 1;  ///< of the joined B
};

/// DoRA: every row is brought to the length the vector says.
struct RowMagnitude {
  StoredTensor lengths;
};

/// DoRA of an embedding: every column is brought to its length; needs the norms of the whole tensor first.
struct ColumnMagnitude {
  StoredTensor lengths;
};

struct Replace {
  StoredTensor values;
  bool base_copy = false;  ///< the layer below the adapter as it was in training
};

struct ReplaceRows {
  StoredTensor values;
  std::vector<std::int64_t> rows;
};

struct Add {
  Term term;
};

/// What OLoRA took out of the base before training: the leading part of its QR decomposition times a scale. Needs the
/// whole tensor first.
struct TakeOut {
  std::int64_t rank = 0;
  double scale = 1;
};

/// A vocabulary grew: rows from `first` on become the mean of those before. Needs the whole tensor first.
struct FillRows {
  std::int64_t first = 0;
};

using Change = std::variant<LowRank, RowMagnitude, ColumnMagnitude, Replace, ReplaceRows, Add, TakeOut, FillRows>;

/// What happens to one tensor of the base, in order.
struct TensorChanges {
  std::string tensor;
  Shape shape;
  std::vector<Change> changes;
  /// Of the embedding of a tied model and of its head: both become the same.
  bool tied = false;

  [[nodiscard]] bool low_rank() const;
  [[nodiscard]] bool needs_prepare() const;
  /// Sum of the ranks of the low-rank parts; 0 where there are none.
  [[nodiscard]] std::int64_t rank() const;
  /// Memory that its job takes.
  [[nodiscard]] std::size_t job_bytes() const;
};

/// Does the change work on what one pass over the whole tensor has shown?
[[nodiscard]] bool needs_prepare(const Change& change);

[[nodiscard]] std::unique_ptr<MergeJob> make_job(const TensorChanges& changes);

/// One side of the whole change, the changes side by side; `changes.low_rank()` only.
[[nodiscard]] Factor make_factor(const TensorChanges& changes, d2c_factor_side side, bool with_values);

}  // namespace d2c::lora
