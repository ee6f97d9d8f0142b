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

/// W += B*A. B [out, rank] and A [rank, in], or stored transposed, are joined from terms of one shape; with Join::svd the
/// products of the terms are, which may have any ranks.
struct LowRank {
  std::int64_t rank = 0;
  std::vector<Term> b;
  std::vector<Term> a;
  bool transposed = false;
  Join join = Join::sum;
  JoinSettings settings;
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
};

struct ReplaceRows {
  StoredTensor values;
  std::vector<std::int64_t> rows;
};

struct Add {
  Term term;
};

using Change = std::variant<LowRank, RowMagnitude, ColumnMagnitude, Replace, ReplaceRows, Add>;

/// What happens to one tensor of the base, in order.
struct TensorChanges {
  std::string tensor;
  Shape shape;
  std::vector<Change> changes;

  [[nodiscard]] bool low_rank() const;
  [[nodiscard]] bool needs_prepare() const;
  /// Sum of the ranks of the low-rank parts; 0 where there are none.
  [[nodiscard]] std::int64_t rank() const;
};

[[nodiscard]] std::unique_ptr<MergeJob> make_job(const TensorChanges& changes);

/// One side of the whole change, the changes side by side; `changes.low_rank()` only.
[[nodiscard]] Factor make_factor(const TensorChanges& changes, d2c_factor_side side, bool with_values);

}  // namespace d2c::lora
