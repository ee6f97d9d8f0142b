#include "plugins/lora_unsloth/merge.hpp"

#include "plugins/lora_unsloth/low_rank_kernel.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <span>
#include <utility>

namespace d2c::lora {
namespace {

struct RowTile {
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::span<float> weights;

  [[nodiscard]] std::span<float> row(std::int64_t i) const {
    return weights.subspan(static_cast<std::size_t>(i * columns), static_cast<std::size_t>(columns));
  }
};

/// One change made ready: its factors are in memory as fp32. `apply` is thread-safe.
class Step {
 public:
  virtual ~Step() = default;
  virtual void observe(const RowTile& /*tile*/) {}
  virtual void apply(const RowTile& tile) const = 0;
};

std::vector<float> transpose(const std::vector<float>& in, std::int64_t rows, std::int64_t columns) {
  std::vector<float> out(in.size());
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j)
      out[static_cast<std::size_t>(j * rows + i)] = in[static_cast<std::size_t>(i * columns + j)];
  return out;
}

/// Row-major [rows of the side, columns of the side], whichever way the terms are stored.
std::vector<float> side_values(const LowRank& change, std::span<const Term> side) {
  std::vector<float> values = join_terms(side, change.of_products ? Join::sum : change.join, change.settings);
  const Shape& stored = side.front().tensor.shape();
  return change.transposed ? transpose(values, stored[0], stored[1]) : values;
}

/// The product of each adapter, as it stands before any joining.
std::vector<Product> single_products(const LowRank& change, bool weighted) {
  std::vector<Product> parts;
  for (std::size_t i = 0; i < change.b.size(); ++i) {
    const Shape& stored = change.a[i].tensor.shape();
    const Term a{change.a[i].tensor, weighted ? change.a[i].scale : 1};
    parts.push_back({change.transposed ? stored[1] : stored[0], side_values(change, {&change.b[i], 1}),
                     side_values(change, {&a, 1})});
  }
  return parts;
}

std::vector<float> multiplied(const Product& product, std::int64_t rows, std::int64_t columns) {
  std::vector<float> dense(static_cast<std::size_t>(rows * columns));
  PackedFactor(product.a, product.rank, columns).add_product(product.b.data(), rows, dense.data());
  return dense;
}

Product joined_products(const LowRank& change, const Shape& shape) {
  const std::int64_t rows = rows_of(shape), columns = columns_of(shape);
  if (change.join == Join::sum) return nearest_product(single_products(change, true), rows, columns, change.rank);
  std::vector<Summand> summands;
  for (const Product& part : single_products(change, false)) {
    const std::size_t i = summands.size();
    summands.push_back({multiplied(part, rows, columns), change.a[i].scale, change.b[i].tensor.name()});
  }
  return nearest_product(join_values(std::move(summands), change.join, change.settings), rows, columns, change.rank);
}

Product product_of(const LowRank& change, const Shape& shape) {
  Product product = change.of_products
                        ? joined_products(change, shape)
                        : Product{change.rank, side_values(change, change.b), side_values(change, change.a)};
  if (change.scale != 1)
    for (float& v : product.b) v *= static_cast<float>(change.scale);
  return product;
}

class LowRankStep final : public Step {
 public:
  LowRankStep(Product product, std::int64_t columns)
      : rank_(product.rank), b_(std::move(product.b)), a_(product.a, product.rank, columns) {}

  void apply(const RowTile& tile) const override {
    a_.add_product(b_.data() + tile.first_row * rank_, tile.rows, tile.weights.data());
  }

 private:
  std::int64_t rank_;
  std::vector<float> b_;
  PackedFactor a_;
};

/// In double and in an order that does not depend on the instruction set; several sums let the compiler overlap them.
double squared_norm(std::span<const float> row) {
  constexpr std::size_t kSums = 8;
  std::array<double, kSums> sums{};
  std::size_t j = 0;
  for (; j + kSums <= row.size(); j += kSums)
    for (std::size_t lane = 0; lane < kSums; ++lane) sums[lane] += static_cast<double>(row[j + lane]) * row[j + lane];
  for (; j < row.size(); ++j) sums[0] += static_cast<double>(row[j]) * row[j];
  double total = 0;
  for (const double s : sums) total += s;
  return total;
}

/// A row of zeros stays zero instead of becoming NaN.
float stretch(float length, double squared) {
  constexpr double kLeastNorm = 1e-9;
  return static_cast<float>(length / std::max(std::sqrt(squared), kLeastNorm));
}

class RowMagnitudeStep final : public Step {
 public:
  explicit RowMagnitudeStep(const RowMagnitude& change) : lengths_(change.lengths.values()) {}

  void apply(const RowTile& tile) const override {
    for (std::int64_t i = 0; i < tile.rows; ++i) {
      const std::span<float> row = tile.row(i);
      const float factor = stretch(lengths_[static_cast<std::size_t>(tile.first_row + i)], squared_norm(row));
      for (float& w : row) w *= factor;
    }
  }

 private:
  std::vector<float> lengths_;
};

class ColumnMagnitudeStep final : public Step {
 public:
  ColumnMagnitudeStep(const ColumnMagnitude& change, std::string tensor, std::int64_t rows)
      : lengths_(change.lengths.values()), squares_(lengths_.size()), tensor_(std::move(tensor)), rows_(rows) {}

  void observe(const RowTile& tile) override {
    if (tile.first_row != seen_) fail(Code::plugin, tensor_ + ": tiles were observed out of order");
    for (std::int64_t i = 0; i < tile.rows; ++i) {
      const std::span<float> row = tile.row(i);
      for (std::size_t j = 0; j < row.size(); ++j) squares_[j] += static_cast<double>(row[j]) * row[j];
    }
    seen_ += tile.rows;
    if (seen_ != rows_) return;
    factors_.resize(lengths_.size());
    std::transform(lengths_.begin(), lengths_.end(), squares_.begin(), factors_.begin(), stretch);
  }

  void apply(const RowTile& tile) const override {
    if (factors_.empty()) fail(Code::plugin, tensor_ + ": the whole tensor has to be observed before it is merged");
    for (std::int64_t i = 0; i < tile.rows; ++i) {
      const std::span<float> row = tile.row(i);
      std::transform(row.begin(), row.end(), factors_.begin(), row.begin(), std::multiplies<>());
    }
  }

 private:
  std::vector<float> lengths_;
  std::vector<double> squares_;
  std::vector<float> factors_;
  std::string tensor_;
  std::int64_t rows_;
  std::int64_t seen_ = 0;
};

class ReplaceStep final : public Step {
 public:
  explicit ReplaceStep(Replace change) : values_(std::move(change.values)) {}

  void apply(const RowTile& tile) const override { values_.read(tile.first_row * tile.columns, tile.weights); }

 private:
  StoredTensor values_;
};

class ReplaceRowsStep final : public Step {
 public:
  explicit ReplaceRowsStep(ReplaceRows change) : change_(std::move(change)) {}

  void apply(const RowTile& tile) const override {
    for (std::size_t i = 0; i < change_.rows.size(); ++i) {
      const std::int64_t row = change_.rows[i] - tile.first_row;
      if (row >= 0 && row < tile.rows) change_.values.read(static_cast<std::int64_t>(i) * tile.columns, tile.row(row));
    }
  }

 private:
  ReplaceRows change_;
};

class AddStep final : public Step {
 public:
  explicit AddStep(const Add& change) : values_(join_terms({&change.term, 1}, Join::sum, {})) {}

  void apply(const RowTile& tile) const override {
    const float* first = values_.data() + tile.first_row * tile.columns;
    std::transform(tile.weights.begin(), tile.weights.end(), first, tile.weights.begin(), std::plus<>());
  }

 private:
  std::vector<float> values_;
};

class TakeOutStep final : public Step {
 public:
  TakeOutStep(const TakeOut& change, std::string tensor, const Shape& shape)
      : change_(change),
        tensor_(std::move(tensor)),
        rows_(rows_of(shape)),
        columns_(columns_of(shape)),
        matrix_(static_cast<std::size_t>(rows_ * columns_)) {}

  void observe(const RowTile& tile) override {
    if (tile.first_row != seen_) fail(Code::plugin, tensor_ + ": tiles were observed out of order");
    std::copy(tile.weights.begin(), tile.weights.end(), matrix_.begin() + tile.first_row * columns_);
    seen_ += tile.rows;
    if (seen_ != rows_) return;
    Product part = leading_product(matrix_, rows_, columns_, change_.rank);
    for (float& v : part.b) v *= static_cast<float>(-change_.scale);
    matrix_ = {};
    taken_ = std::make_unique<LowRankStep>(std::move(part), columns_);
  }

  void apply(const RowTile& tile) const override {
    if (!taken_) fail(Code::plugin, tensor_ + ": the whole tensor has to be observed before it is merged");
    taken_->apply(tile);
  }

 private:
  TakeOut change_;
  std::string tensor_;
  std::int64_t rows_;
  std::int64_t columns_;
  std::vector<float> matrix_;
  std::unique_ptr<LowRankStep> taken_;
  std::int64_t seen_ = 0;
};

class FillRowsStep final : public Step {
 public:
  FillRowsStep(const FillRows& change, const Shape& shape)
      : first_(change.first), sums_(static_cast<std::size_t>(columns_of(shape))) {}

  void observe(const RowTile& tile) override {
    for (std::int64_t i = 0; i < tile.rows && tile.first_row + i < first_; ++i) {
      const std::span<float> row = tile.row(i);
      std::transform(row.begin(), row.end(), sums_.begin(), sums_.begin(), std::plus<double>());
    }
  }

  void apply(const RowTile& tile) const override {
    const auto mean = [this](double sum) { return static_cast<float>(sum / static_cast<double>(first_)); };
    for (std::int64_t i = std::max<std::int64_t>(0, first_ - tile.first_row); i < tile.rows; ++i)
      std::transform(sums_.begin(), sums_.end(), tile.row(i).begin(), mean);
  }

 private:
  std::int64_t first_;
  std::vector<double> sums_;
};

std::unique_ptr<Step> make_step(const TensorChanges& owner, const Change& change) {
  struct Maker {
    const TensorChanges& owner;
    std::unique_ptr<Step> operator()(const LowRank& c) const {
      return std::make_unique<LowRankStep>(product_of(c, owner.shape), columns_of(owner.shape));
    }
    std::unique_ptr<Step> operator()(const RowMagnitude& c) const { return std::make_unique<RowMagnitudeStep>(c); }
    std::unique_ptr<Step> operator()(const ColumnMagnitude& c) const {
      return std::make_unique<ColumnMagnitudeStep>(c, owner.tensor, rows_of(owner.shape));
    }
    std::unique_ptr<Step> operator()(const Replace& c) const { return std::make_unique<ReplaceStep>(c); }
    std::unique_ptr<Step> operator()(const ReplaceRows& c) const { return std::make_unique<ReplaceRowsStep>(c); }
    std::unique_ptr<Step> operator()(const Add& c) const { return std::make_unique<AddStep>(c); }
    std::unique_ptr<Step> operator()(const TakeOut& c) const {
      return std::make_unique<TakeOutStep>(c, owner.tensor, owner.shape);
    }
    std::unique_ptr<Step> operator()(const FillRows& c) const { return std::make_unique<FillRowsStep>(c, owner.shape); }
  };
  return std::visit(Maker{owner}, change);
}

class Job final : public MergeJob {
 public:
  explicit Job(const TensorChanges& changes)
      : tensor_(changes.tensor), rows_(rows_of(changes.shape)), columns_(columns_of(changes.shape)) {
    for (const Change& change : changes.changes) {
      steps_.push_back(make_step(changes, change));
      if (lora::needs_prepare(change)) observer_ = steps_.size() - 1;
    }
  }

  void observe(std::int64_t first_row, std::int64_t rows, std::span<const float> weights) override {
    if (observer_ == kNone) return;
    std::vector<float> copy(weights.begin(), weights.end());
    const RowTile tile = checked(first_row, rows, copy);
    for (std::size_t i = 0; i < observer_; ++i) steps_[i]->apply(tile);
    steps_[observer_]->observe(tile);
  }

  void process(std::int64_t first_row, std::int64_t rows, std::span<float> weights) override {
    const RowTile tile = checked(first_row, rows, weights);
    for (const auto& step : steps_) step->apply(tile);
  }

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  [[nodiscard]] RowTile checked(std::int64_t first_row, std::int64_t rows, std::span<float> weights) const {
    if (first_row < 0 || rows < 0 || first_row > rows_ - rows ||
        static_cast<std::int64_t>(weights.size()) != rows * columns_) {
      fail(Code::plugin, tensor_ + ": rows " + std::to_string(first_row) + " to " + std::to_string(first_row + rows) +
                             " are no tile of " + std::to_string(rows_) + " rows by " + std::to_string(columns_));
    }
    return {first_row, rows, columns_, weights};
  }

  std::string tensor_;
  std::int64_t rows_;
  std::int64_t columns_;
  std::vector<std::unique_ptr<Step>> steps_;
  std::size_t observer_ = kNone;
};

/// Copies the columns of `part` [rows, width] to column `at` of `out`.
void paste_columns(const std::vector<float>& part, std::int64_t width, std::int64_t at, Factor& out) {
  for (std::int64_t i = 0; i < out.rows; ++i)
    std::copy_n(part.begin() + i * width, width, out.values.begin() + i * out.columns + at);
}

}  // namespace

bool TensorChanges::low_rank() const {
  return std::all_of(changes.begin(), changes.end(),
                     [](const Change& c) { return std::holds_alternative<LowRank>(c); });
}

bool needs_prepare(const Change& change) {
  return std::holds_alternative<ColumnMagnitude>(change) || std::holds_alternative<TakeOut>(change) ||
         std::holds_alternative<FillRows>(change);
}

bool TensorChanges::needs_prepare() const {
  return std::any_of(changes.begin(), changes.end(), [](const Change& c) { return lora::needs_prepare(c); });
}

std::size_t TensorChanges::job_bytes() const {
  const std::int64_t rows = rows_of(shape), columns = columns_of(shape);
  const auto floats = [](std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(float); };
  std::size_t bytes = 0;
  for (const Change& change : changes) {
    if (const auto* part = std::get_if<LowRank>(&change)) {
      // B and A, and the copy of A that the inner loop reads.
      bytes += floats(part->rank * (rows + 2 * columns));
      if (!part->of_products || part->join == Join::sum) continue;
      constexpr std::int64_t kJoining = 3;  // the result, and what sorting by size takes
      const auto adapters = static_cast<std::int64_t>(part->b.size());
      bytes += floats((adapters + kJoining) * rows * columns) + nearest_product_bytes(rows, columns);
    } else if (const auto* takes = std::get_if<TakeOut>(&change)) {
      constexpr std::int64_t kDoubles = 4;  // Q twice, and the first columns
      bytes += floats(rows * columns + kDoubles * takes->rank * (rows + columns));
    } else {
      bytes += floats(rows + 4 * columns);
    }
  }
  return bytes;
}

std::int64_t TensorChanges::rank() const {
  std::int64_t sum = 0;
  for (const Change& change : changes)
    if (const auto* part = std::get_if<LowRank>(&change)) sum += part->rank;
  return sum;
}

std::unique_ptr<MergeJob> make_job(const TensorChanges& changes) { return std::make_unique<Job>(changes); }

Factor make_factor(const TensorChanges& changes, d2c_factor_side side, bool with_values) {
  const bool is_a = side == D2C_FACTOR_A;
  Factor out;
  out.rows = is_a ? changes.rank() : rows_of(changes.shape);
  out.columns = is_a ? columns_of(changes.shape) : changes.rank();
  if (!with_values) return out;
  if (!is_a) out.values.resize(static_cast<std::size_t>(out.rows * out.columns));
  std::int64_t column = 0;
  for (const Change& change : changes.changes) {
    const Product part = product_of(std::get<LowRank>(change), changes.shape);
    if (is_a) out.values.insert(out.values.end(), part.a.begin(), part.a.end());
    else paste_columns(part.b, part.rank, column, out);
    column += part.rank;
  }
  return out;
}

}  // namespace d2c::lora
