#include "libs/mil_cpu/compiler.hpp"

#include "libs/mil_cpu/ops.hpp"
#include "libs/mil_cpu/stored.hpp"
#include "libs/numeric/convert.hpp"

#include <algorithm>
#include <bit>

namespace d2c::mil_cpu {
namespace {

constexpr std::size_t kArenaAlignment = 64;

/// Rounds numbers to the nearest that fp16 has, in place.
void round_to_half(float* numbers, std::int64_t count) {
  constexpr std::int64_t kChunk = 512;
  std::uint16_t halves[kChunk];
  for (std::int64_t at = 0; at < count; at += kChunk) {
    const auto n = static_cast<std::size_t>(std::min(kChunk, count - at));
    (void)numeric::float_to_half(numbers + at, n, halves);
    numeric::to_float(DType::f16, halves, n, numbers + at);
  }
}

std::size_t aligned(std::size_t bytes) { return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment; }

}  // namespace

// ---------------------------------------------------------------- compiler

Compiler::Compiler(const Function& function, const std::vector<Feature>& states, const CompileOptions& options,
                   const std::string& where)
    : function_(function),
      states_(states),
      options_(options),
      where_(where + ": function '" + function.name + "'"),
      fusions_(find_fusions(function, {options.fuse, options.fuse && options.precision != Precision::fp16})),
      tensors_(function.values.size()) {
  plan_.function = function.name;
}

Plan Compiler::compile() {
  for (ValueId id = 0; id < tensors_.size(); ++id) {
    tensors_[id].type = function_.values[id].type;
    tensors_[id].stored = function_.values[id].stored;
  }
  for (const ValueId id : function_.inputs)
    plan_.inputs.push_back({{function_.values[id].name, tensors_[id].type}, make(id)});
  for (std::size_t i = 0; i < function_.operations.size(); ++i) {
    now_ = i + 1;
    Op op(*this, function_, i, where_);
    const OpFunction add_op = find_op(op.operation().type);
    if (add_op == nullptr) op.fail("this runner does not know the op");
    if (fusions_.skipped.contains(i)) continue;
    if (const auto fused = fusions_.attention.find(i); fused != fusions_.attention.end())
      add_attention(op, fused->second);
    else if (fusions_.in_place.contains(i)) add_update_in_place(op);
    else add_op(op);
  }
  now_ = function_.operations.size() + 1;
  for (const ValueId id : function_.outputs) {
    if (function_.values[id].kind != ProgramValue::Kind::result)
      fail_input(where_ + ": output '" + function_.values[id].name + "' is no result of an op");
    plan_.outputs.push_back({{function_.values[id].name, tensors_[id].type}, numbers(id)});
  }
  assign_offsets();
  return std::move(plan_);
}

std::shared_ptr<const Place> Compiler::numbers(ValueId id) {
  Tensor& t = tensors_[id];
  if (t.type.count() == 0)
    fail_input(where_ + ": '" + function_.values[id].name + "' is empty, used where numbers belong");
  if (t.place == nullptr && t.stored != nullptr) add_constant(id);
  if (t.place == nullptr && t.region) return materialize(t);
  if (t.place == nullptr)
    fail_input(where_ + ": '" + function_.values[id].name + "' is a state, used where a tensor belongs");
  touch(*t.place);
  return t.place;
}

std::shared_ptr<Place> Compiler::make(ValueId id) {
  Tensor& t = tensors_[id];
  t.place = new_buffer(static_cast<std::size_t>(t.type.count()) * sizeof(float));
  return t.place;
}

std::shared_ptr<const Place> Compiler::scratch(std::size_t bytes) { return new_buffer(bytes); }

std::shared_ptr<Place> Compiler::new_buffer(std::size_t bytes) {
  auto place = std::make_shared<Place>();
  buffer_of_[place.get()] = buffers_.size();
  buffers_.push_back({place, aligned(std::max<std::size_t>(bytes, 1)), now_, now_});
  return place;
}

void Compiler::touch(const Place& place) {
  if (const auto at = buffer_of_.find(&place); at != buffer_of_.end()) buffers_[at->second].last = now_;
}

void Compiler::alias(ValueId result, ValueId of) {
  if (tensors_[of].region) {
    tensors_[result].region = tensors_[of].region;
    tensors_[result].region->shape = tensors_[result].type.shape;
    return;
  }
  (void)numbers(of);
  tensors_[result].place = tensors_[of].place;
}

void Compiler::set_region(ValueId result, StateRegion region) { tensors_[result].region = std::move(region); }

void Compiler::add_constant(ValueId id) {
  Tensor& t = tensors_[id];
  const std::string where = where_ + ": constant '" + function_.values[id].name + "'";
  auto bits = std::make_shared<std::vector<std::uint32_t>>();
  if (is_real(t.type.dtype)) {
    for (const float v : reals(*t.stored)) bits->push_back(std::bit_cast<std::uint32_t>(v));
  } else {
    for (const std::int32_t v : integers(*t.stored, where)) bits->push_back(std::bit_cast<std::uint32_t>(v));
  }
  t.place = std::make_shared<Place>();
  t.place->constant = std::move(bits);
}

/// Copies a region of a state to where an op can read it.
std::shared_ptr<Place> Compiler::materialize(const Tensor& tensor) {
  const StateRegion region = *tensor.region;
  const DType dtype = states_[region.state].type.dtype;
  const std::int64_t count = tensor.type.count();
  auto place = new_buffer(static_cast<std::size_t>(count) * sizeof(float));
  add([place, region, dtype, count](Frame& f) { read_region(f, region, dtype, 0, count, place->reals_out(f)); });
  return place;
}

void Compiler::round_result(ValueId id) {
  if (options_.precision != Precision::fp16 || tensors_[id].type.dtype != DType::f16) return;
  const auto place = tensors_[id].place;
  const std::int64_t count = tensors_[id].type.count();
  add([place, count](Frame& f) { round_to_half(place->reals_out(f), count); });
}

std::size_t Compiler::state_index(ValueId state) const {
  for (std::size_t i = 0; i < states_.size(); ++i)
    if (function_.values[state].kind == ProgramValue::Kind::state && states_[i].name == function_.values[state].name)
      return i;
  fail_input(where_ + ": '" + function_.values[state].name + "' is no state");
}

/// First fit by size: a buffer goes to the lowest place that none alive at the same time covers.
void Compiler::assign_offsets() {
  std::vector<Buffer*> order;
  for (Buffer& b : buffers_) order.push_back(&b);
  std::ranges::stable_sort(order, std::greater<>(), [](const Buffer* b) { return b->bytes; });
  std::vector<const Buffer*> placed;  // by offset
  for (Buffer* b : order) {
    std::size_t offset = 0;
    for (const Buffer* other : placed) {
      if (other->last < b->first || b->last < other->first) continue;
      if (offset + b->bytes <= other->place->offset) break;
      offset = std::max(offset, other->place->offset + other->bytes);
    }
    b->place->offset = offset;
    placed.insert(std::ranges::upper_bound(placed, offset, {}, [](const Buffer* p) { return p->place->offset; }), b);
    plan_.arena_bytes = std::max(plan_.arena_bytes, offset + b->bytes);
  }
}

// ---------------------------------------------------------------- one op

Op::Op(Compiler& compiler, const Function& function, std::size_t index, std::string where)
    : compiler_(compiler),
      function_(function),
      operation_(function.operations[index]),
      index_(index),
      where_(std::move(where) + ": " + operation_.type + " '" + operation_.name + "'") {}

bool Op::has(std::string_view name) const { return operation_.arguments.contains(std::string(name)); }

std::span<const ValueId> Op::ids(std::string_view name) const {
  const auto at = operation_.arguments.find(std::string(name));
  if (at == operation_.arguments.end()) fail("'" + std::string(name) + "' is missing");
  return at->second;
}

ValueId Op::id(std::string_view name) const {
  const auto all = ids(name);
  if (all.size() != 1) fail("'" + std::string(name) + "' takes one value");
  return all[0];
}

Shape Op::integers(std::string_view name) const {
  const Known& known = compiler_.fusions().known[id(name)];
  Shape values;
  for (const auto& v : known) {
    if (!v) break;
    values.push_back(*v);
  }
  if (values.size() == known.size() && !known.empty()) return values;
  if (type(name).count() == 0) return {};
  fail("'" + std::string(name) + "' must be known before running");
}

std::int64_t Op::integer(std::string_view name, std::int64_t fallback) const {
  if (!has(name)) return fallback;
  const Shape values = integers(name);
  if (values.size() != 1) fail("'" + std::string(name) + "' is one number");
  return values[0];
}

double Op::real(std::string_view name, double fallback) const {
  if (!has(name)) return fallback;
  const auto& stored = tensor(name).stored;
  if (stored == nullptr || stored->type.count() != 1 || !is_real(stored->type.dtype))
    fail("'" + std::string(name) + "' must be one number, known before running");
  return reals(*stored)[0];
}

std::string Op::text(std::string_view name) const {
  const auto& stored = tensor(name).stored;
  if (stored == nullptr || stored->type.dtype != DType::string) fail("'" + std::string(name) + "' must be text");
  std::string text(reinterpret_cast<const char*>(stored->data.data()), stored->data.size());
  while (!text.empty() && text.back() == '\0') text.pop_back();
  return text;
}

std::vector<bool> Op::flags(std::string_view name, std::size_t count) const {
  std::vector<bool> out(count, false);
  if (!has(name)) return out;
  const auto& stored = tensor(name).stored;
  if (stored == nullptr || stored->type.dtype != DType::boolean ||
      stored->type.count() != static_cast<std::int64_t>(count))
    fail("'" + std::string(name) + "' must be " + std::to_string(count) + " booleans, known before running");
  const auto values = mil_cpu::integers(*stored, where_);
  for (std::size_t i = 0; i < count; ++i) out[i] = values[i] != 0;
  return out;
}

std::size_t Op::normalized(std::int64_t axis, std::size_t rank) const {
  const auto n = static_cast<std::int64_t>(rank);
  if (axis < -n || axis >= n) fail("axis " + std::to_string(axis) + " of a tensor of rank " + std::to_string(rank));
  return static_cast<std::size_t>(axis < 0 ? axis + n : axis);
}

std::size_t Op::axis(std::string_view name, std::int64_t fallback, std::size_t rank) const {
  return normalized(integer(name, fallback), rank);
}

ValueId Op::result(const TensorType& type, std::size_t i) const {
  if (i >= operation_.results.size()) fail("has " + std::to_string(operation_.results.size()) + " results");
  const ValueId id = operation_.results[i];
  if (function_.values[id].type != type)
    fail("declares " + function_.values[id].type.text() + " where it makes " + type.text());
  return id;
}

void Op::need_results(std::size_t count) const {
  if (operation_.results.size() != count) fail("has " + std::to_string(operation_.results.size()) + " results");
}

void Op::only(std::initializer_list<std::string_view> names) const {
  for (const auto& [name, ids] : operation_.arguments)
    if (std::ranges::find(names, name) == names.end()) fail("has no parameter '" + name + "'");
}

void Op::need_real(std::string_view name) const {
  if (!is_real(type(name).dtype)) fail("'" + std::string(name) + "' is " + type(name).text());
}

void Op::fail(const std::string& message) const { fail_input(where_ + ": " + message); }

Shape broadcast(const Op& op, const Shape& a, const Shape& b) {
  Shape out(std::max(a.size(), b.size()), 1);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1, y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1) op.fail(to_string(a) + " and " + to_string(b) + " do not broadcast");
    out[out.size() - 1 - i] = x == 1 ? y : x;
  }
  return out;
}

Shape broadcast_strides(const Shape& from, const Shape& to) {
  Shape strides(to.size(), 0);
  std::int64_t stride = 1;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::int64_t extent = from[from.size() - 1 - i];
    if (extent != 1) strides[to.size() - 1 - i] = stride;
    stride *= extent;
  }
  return strides;
}

void read_region(const Frame& frame, const StateRegion& region, DType dtype, std::int64_t first, std::int64_t count,
                 float* out) {
  const std::byte* state = frame.states[region.state].data;
  numeric::to_float(dtype, state + bytes_of(dtype, region.offset + first), static_cast<std::size_t>(count), out);
  if (!region.rest) return;
  constexpr std::int64_t kChunk = 512;
  float rest[kChunk];
  for (std::int64_t at = 0; at < count; at += kChunk) {
    const std::int64_t n = std::min(kChunk, count - at);
    numeric::to_float(dtype, state + bytes_of(dtype, *region.rest + first + at), static_cast<std::size_t>(n), rest);
    for (std::int64_t i = 0; i < n; ++i) out[at + i] += rest[i];
  }
}

Plan compile(const Function& function, const std::vector<Feature>& states, const CompileOptions& options,
             const std::string& where) {
  return Compiler(function, states, options, where).compile();
}

OpFunction find_op(std::string_view type) {
  for (const auto ops : {elementwise_ops(), layout_ops(), indexing_ops(), matrix_ops(), reduction_ops(), state_ops()})
    for (const NamedOp& op : ops)
      if (op.type == type) return op.add;
  return nullptr;
}

}  // namespace d2c::mil_cpu
