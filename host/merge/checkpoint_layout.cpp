#include "host/merge/checkpoint_layout.hpp"

#include "libs/json/json.hpp"

#include <cstdio>
#include <utility>

namespace d2c::host {
namespace {

bool is_floating(DType type) { return type == DType::f16 || type == DType::bf16 || type == DType::f32; }

std::string shard_name(std::size_t index, std::size_t count) {
  if (count == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

const AdapterTarget* target_of(const AdapterStack* stack, const std::string& tensor) {
  return stack == nullptr ? nullptr : stack->target(tensor);
}

}  // namespace

CheckpointLayout::CheckpointLayout(const Source& source, const AdapterStack* stack, TiedPolicy tied,
                                   std::optional<DType> dtype, std::uint64_t max_shard_bytes) {
  choose_tensors(source, stack, tied, dtype);
  fill_shards(max_shard_bytes);
}

void CheckpointLayout::choose_tensors(const Source& source, const AdapterStack* stack, TiedPolicy tied,
                                      std::optional<DType> dtype) {
  const auto add = [&](std::string name, std::size_t index) -> MergedTensor& {
    TensorType type = source.tensors()[index].type;
    if (dtype && is_floating(type.dtype)) type.dtype = *dtype;
    tensors_.push_back({std::move(name), index, std::move(type), {}, 0, 0});
    return tensors_.back();
  };
  for (std::size_t i = 0; i < source.tensors().size(); ++i) {
    MergedTensor& tensor = add(source.tensors()[i].name, i);
    if (target_of(stack, tensor.name) == nullptr) continue;
    tensor.targets.push_back(tensor.name);
    tensor.type.shape = stack->merged_shape(tensor.name, tensor.type.shape);
  }
  if (!source.tied()) return;
  const AdapterTarget* head = target_of(stack, kHead);
  const AdapterTarget* embedding = target_of(stack, kEmbedding);
  if (head == nullptr && embedding == nullptr) return;
  if (head == nullptr && (embedding->flags & D2C_TARGET_HEAD_FOLLOWS) != 0) return;
  const std::size_t shared = *source.find(kEmbedding);
  // Replacing one of the two unties them in PEFT's merge too; everything else changes the one tensor there is.
  const auto replaced = [](const AdapterTarget* t) { return t != nullptr && t->rank == 0; };
  if (tied == TiedPolicy::shared && !replaced(head) && !replaced(embedding)) {
    if (head != nullptr) tensors_[shared].targets.emplace_back(kHead);
    return;
  }
  untied_ = true;
  MergedTensor& own = add(kHead, shared);
  if (head == nullptr) return;
  own.targets.emplace_back(kHead);
  own.type.shape = stack->merged_shape(kHead, own.type.shape);
}

void CheckpointLayout::fill_shards(std::uint64_t max_shard_bytes) {
  std::vector<std::vector<safetensors::FileLayout::Entry>> contents(1);
  std::uint64_t filled = 0;
  for (MergedTensor& t : tensors_) {
    const auto bytes = static_cast<std::uint64_t>(t.type.bytes());
    if (!contents.back().empty() && filled + bytes > max_shard_bytes) {
      contents.emplace_back();
      filled = 0;
    }
    t.shard = contents.size() - 1;
    t.entry = contents.back().size();
    contents.back().push_back({t.name, t.type});
    filled += bytes;
  }
  for (std::size_t s = 0; s < contents.size(); ++s)
    shards_.push_back({shard_name(s, contents.size()), safetensors::FileLayout(contents[s], {{"format", "pt"}})});
}

std::uint64_t CheckpointLayout::bytes() const {
  std::uint64_t sum = 0;
  for (const ShardFile& shard : shards_) sum += shard.layout.size();
  return sum;
}

std::string CheckpointLayout::index() const {
  if (shards_.size() == 1) return {};
  Value map = Value::table(), metadata = Value::table(), index = Value::table();
  std::int64_t total = 0;
  for (const MergedTensor& t : tensors_) {
    map.members().emplace_back(t.name, shards_[t.shard].file);
    total += t.type.bytes();
  }
  metadata.set("total_size", total);
  index.set("metadata", std::move(metadata));
  index.set("weight_map", std::move(map));
  return json::dump(index, 2) + "\n";
}

}  // namespace d2c::host
