#include "host/planner/weight_table.hpp"

#include "host/planner/layout_check.hpp"

#include <algorithm>

namespace d2c::host {
namespace {

/// "model.layers.0.mlp.up_proj.weight" -> "model_layers_0_mlp_up_proj_weight"
std::string identifier(const std::string& tensor) {
  std::string name = tensor;
  for (char& c : name) {
    const bool legal = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!legal) c = '_';
  }
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) name.insert(0, "w_");
  return name;
}

const char* part_name(d2c_weight_part part) { return part == D2C_PART_LORA_A ? "lora_a" : "lora_b"; }

bool always_dense(const PlannedWeight& weight) {
  return weight.shape.size() < 2 || weight.role == "norm" || weight.role == "bias" || weight.role == "lora";
}

d2c_layout dense_layout(const Shape& shape, DType dtype) {
  Layout layout;
  layout.scheme = D2C_SCHEME_DENSE;
  layout.input_dtype = dtype;
  layout.padded_rows = rows_of(shape);
  layout.bits = bits_of(dtype);
  layout.planes = {{D2C_PLANE_DENSE, {dtype, shape}, 1}};
  layout.label = name_of(dtype);
  return abi::to_c(layout);
}

/// Do adapters of a tied model leave embedding and head with different weights?
bool tells_head_from_embedding(const AdapterStack* adapters) {
  if (adapters == nullptr) return false;
  const AdapterTarget* embedding = adapters->target(kEmbedding);
  const bool alone = embedding != nullptr && (embedding->flags & D2C_TARGET_HEAD_FOLLOWS) == 0;
  return alone || adapters->target(kHead) != nullptr;
}

}  // namespace

std::uint64_t PlannedWeight::bytes() const {
  std::uint64_t total = 0;
  for (std::uint32_t p = 0; p < layout.plane_count; ++p)
    total += static_cast<std::uint64_t>(TensorType::from_c(layout.planes[p].type).bytes());
  return total;
}

WeightTable::WeightTable(std::vector<NamedSource> sources, std::map<std::string, const AdapterStack*> stacks,
                         const Quantization& quantization, DType precision, TiedPolicy tied)
    : sources_(std::move(sources)),
      stacks_(std::move(stacks)),
      quantization_(quantization),
      precision_(precision),
      tied_(tied) {}

const AdapterStack* WeightTable::stack(const std::string& name) const {
  const auto it = stacks_.find(name);
  return it == stacks_.end() ? nullptr : it->second;
}

bool WeightTable::has_tensor(std::uint32_t source, const std::string& tensor) const {
  const Source& s = *sources_.at(source).source;
  return s.find(tensor).has_value() || (tensor == kHead && s.tied());
}

/// A tied head that stays one with the embedding changes as that does.
const std::string& WeightTable::adapted(const std::string& tensor) const {
  static const std::string embedding = kEmbedding;
  return tensor == kHead && tied_ == TiedPolicy::shared && sources_.front().source->tied() ? embedding : tensor;
}

int WeightTable::adapter_rank(const std::string& stack_name, const std::string& tensor) const {
  const AdapterStack* s = stack(stack_name);
  const AdapterTarget* target = s == nullptr ? nullptr : s->target(adapted(tensor));
  return target == nullptr ? 0 : target->rank;
}

WeightCatalogue::Entry WeightTable::resolve(const WeightRef& ref) {
  PlannedWeight weight = ref.part == D2C_PART_FULL ? full(ref) : factor(ref);
  const auto [it, added] = by_key_.emplace(weight.key, static_cast<std::uint32_t>(weights_.size()));
  if (added) {
    choose_storage(weight);
    weight.name = unique_name(weight);
    weights_.push_back(std::make_unique<PlannedWeight>(std::move(weight)));
  }
  const PlannedWeight& planned = *weights_[it->second];
  if (!ref.shape.empty() && planned.shape != ref.shape)
    fail_input("tensor '" + ref.tensor + "' has shape " + to_string(planned.shape) + ", the model's config says " +
               to_string(ref.shape));
  return {it->second, planned.expanded, planned.name};
}

/// A weight of the source with the stack's change merged in. A tied head is the embedding itself unless an adapter
/// tells the two apart.
PlannedWeight WeightTable::full(const WeightRef& ref) const {
  const NamedSource& named = sources_.at(ref.source);
  const Source& source = *named.source;
  PlannedWeight w;
  w.source = &source;
  w.tensor = ref.tensor;
  w.role = ref.role;
  const AdapterStack* adapters = stack(ref.stack);

  std::string stored = ref.tensor;
  if (ref.tensor == kHead && !source.find(kHead) && source.tied()) {
    stored = kEmbedding;
    if (!tells_head_from_embedding(adapters) || tied_ == TiedPolicy::shared) {
      w.tensor = kEmbedding;
      w.role = "embedding";
    }
  }
  const auto index = source.find(stored);
  if (!index) fail_input("tensor '" + ref.tensor + "' is missing from the model");
  w.source_tensor = *index;
  const TensorInfo& info = source.tensors()[*index];
  if (info.type.dtype != DType::f16 && info.type.dtype != DType::bf16 && info.type.dtype != DType::f32)
    fail_input("tensor '" + ref.tensor + "' is " + std::string(name_of(info.type.dtype)) +
               "; only fp16, bf16 and fp32 weights can be converted");
  w.shape = info.type.shape;
  if (adapters != nullptr && adapters->target(w.tensor) != nullptr) w.merged = adapters;
  if (w.merged != nullptr) w.shape = adapters->merged_shape(w.tensor, w.shape);
  w.key = named.name + ":" + w.tensor + (w.merged != nullptr ? "@" + w.merged->name() : "");
  return w;
}

PlannedWeight WeightTable::factor(const WeightRef& ref) const {
  PlannedWeight w;
  w.merged = stack(ref.stack);
  w.tensor = adapted(ref.tensor);
  if (w.merged == nullptr || w.merged->target(w.tensor) == nullptr)
    fail(Code::plugin, "an emitter asked for the adapter factor of '" + ref.tensor + "', which stack '" + ref.stack +
                           "' leaves alone");
  w.role = "lora";
  w.part = ref.part;
  w.shape = w.merged->factor_shape(w.tensor, ref.part == D2C_PART_LORA_A ? D2C_FACTOR_A : D2C_FACTOR_B);
  w.key = ref.stack + ":" + w.tensor + "#" + part_name(ref.part);
  return w;
}

void WeightTable::choose_storage(PlannedWeight& w) const {
  w.max_overflow = quantization_.max_overflow();
  w.quantizer = always_dense(w) ? nullptr : quantization_.choose(w.tensor, w.role);
  if (w.dense()) {
    w.layout = dense_layout(w.shape, precision_);
    w.expanded = {precision_, w.shape};
    return;
  }
  const Handle<d2c_quantizer>& quantizer = w.quantizer->quantizer;
  const d2c_weight_desc desc{sizeof desc, w.tensor.c_str(), w.role.c_str(), TensorType{DType::none, w.shape}.c()};
  w.layout.struct_size = sizeof w.layout;
  quantizer.check(quantizer->plan(quantizer->self, &desc, &w.layout));
  check_layout(w.layout, w.tensor, w.shape, quantizer.plugin().name());
  Shape padded = w.shape;
  padded[0] = w.layout.padded_rows;
  w.expanded = {expanded_dtype(w.layout), padded};
}

std::string WeightTable::unique_name(const PlannedWeight& w) const {
  std::string name = identifier(w.tensor);
  if (w.part != D2C_PART_FULL) name += std::string("_") + part_name(w.part) + "_" + w.merged->name();
  const auto taken = [&](const std::string& n) {
    return std::any_of(weights_.begin(), weights_.end(), [&](const auto& other) { return other->name == n; });
  };
  if (taken(name)) name = identifier(w.key);
  while (taken(name)) name += "_";
  return name;
}

std::vector<std::string> WeightTable::unread_tensors(const Source& source) const {
  std::vector<bool> read(source.tensors().size(), false);
  for (const auto& w : weights_)
    if (w->source == &source) read[w->source_tensor] = true;
  std::vector<std::string> unread;
  for (std::size_t i = 0; i < read.size(); ++i)
    if (!read[i]) unread.push_back(source.tensors()[i].name);
  return unread;
}

std::vector<std::string> WeightTable::unused_targets(const AdapterStack& stack) const {
  std::vector<std::string> unused;
  for (const AdapterTarget& target : stack.targets()) {
    const bool used = std::any_of(weights_.begin(), weights_.end(),
                                  [&](const auto& w) { return w->merged == &stack && w->tensor == target.tensor; });
    if (!used) unused.push_back(target.tensor);
  }
  return unused;
}

}  // namespace d2c::host
