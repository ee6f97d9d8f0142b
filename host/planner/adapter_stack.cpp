#include "host/planner/adapter_stack.hpp"

#include <algorithm>

namespace d2c::host {

MergeTask::MergeTask(const Handle<d2c_adapter_merger>& merger, const std::string& tensor) : merger_(merger) {
  merger_.check(merger_->begin(merger_->self, tensor.c_str(), &job_));
}

MergeTask::~MergeTask() { merger_->end(merger_->self, job_); }

void MergeTask::observe(std::int64_t first_row, std::int64_t rows, const float* weights) {
  merger_.check(merger_->observe(merger_->self, job_, first_row, rows, weights));
}

void MergeTask::process(std::int64_t first_row, std::int64_t rows, float* weights) {
  merger_.check(merger_->process(merger_->self, job_, first_row, rows, weights));
}

AdapterStack::AdapterStack(std::string name, Handle<d2c_adapter_merger> merger, const Source& base, TiedPolicy tied)
    : name_(std::move(name)), merger_(std::move(merger)) {
  std::vector<d2c_tensor_info> tensors;
  for (const TensorInfo& t : base.tensors()) tensors.push_back(abi::to_c(t));
  const bool own_head = base.tied() && tied == TiedPolicy::untie;
  if (own_head) {
    d2c_tensor_info head = tensors[*base.find(kEmbedding)];
    head.name = kHead;
    tensors.push_back(head);
  }
  const ValueExport config(base.config());
  const d2c_base_model model{sizeof model, config.c(), tensors.data(), tensors.size(), own_head};
  merger_.check(merger_->bind(merger_->self, &model));
  for (std::size_t i = 0; i < merger_->target_count(merger_->self); ++i) {
    d2c_adapter_target target{};
    merger_.check(merger_->target(merger_->self, i, &target));
    index_.emplace(target.tensor, targets_.size());
    targets_.push_back({target.tensor, target.rank, target.flags, target.rows, target.job_bytes});
    check_rows(targets_.back(), tensors);
  }
}

/// What a plugin says of sizes must hold together before memory is taken by it.
void AdapterStack::check_rows(const AdapterTarget& target, const std::vector<d2c_tensor_info>& tensors) const {
  if (target.rows == 0) return;
  const auto base =
      std::find_if(tensors.begin(), tensors.end(), [&](const d2c_tensor_info& t) { return target.tensor == t.name; });
  if (base == tensors.end()) fail(Code::plugin, merger_.plugin().name() + ": no base tensor '" + target.tensor + "'");
  Shape shape = TensorType::from_c(base->type).shape;
  const std::int64_t rows = rows_of(shape);
  shape.front() = target.rows;
  if (target.rows <= rows || !checked_count(shape))
    fail(Code::plugin, merger_.plugin().name() + ": '" + target.tensor + "' of " + std::to_string(rows) +
                           " rows cannot grow to " + std::to_string(target.rows));
}

const AdapterTarget* AdapterStack::target(const std::string& tensor) const {
  const auto it = index_.find(tensor);
  return it == index_.end() ? nullptr : &targets_[it->second];
}

Shape AdapterStack::merged_shape(const std::string& tensor, Shape base) const {
  const AdapterTarget* changed = target(tensor);
  if (changed != nullptr && changed->rows != 0) base.front() = changed->rows;
  return base;
}

std::optional<std::int64_t> AdapterStack::grown_vocabulary() const {
  for (const AdapterTarget& target : targets_)
    if (target.rows != 0) return target.rows;
  return std::nullopt;
}

bool AdapterStack::low_rank() const {
  return std::all_of(targets_.begin(), targets_.end(),
                     [](const AdapterTarget& t) { return (t.flags & D2C_TARGET_LOW_RANK) != 0; });
}

std::vector<std::string> AdapterStack::files() const {
  std::vector<std::string> files;
  for (std::size_t i = 0; i < merger_->file_count(merger_->self); ++i)
    files.emplace_back(merger_->file(merger_->self, i));
  return files;
}

Shape AdapterStack::factor_shape(const std::string& tensor, d2c_factor_side side) const {
  d2c_type type{};
  merger_.check(merger_->factor(merger_->self, tensor.c_str(), side, &type, nullptr));
  return TensorType::from_c(type).shape;
}

std::vector<float> AdapterStack::factor(const std::string& tensor, d2c_factor_side side) const {
  std::vector<float> values(static_cast<std::size_t>(count_of(factor_shape(tensor, side))));
  d2c_type type{};
  merger_.check(merger_->factor(merger_->self, tensor.c_str(), side, &type, values.data()));
  return values;
}

}  // namespace d2c::host
