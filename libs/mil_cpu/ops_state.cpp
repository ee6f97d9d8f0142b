// States: read, written, and updated where they are.
#include "libs/mil_cpu/ops.hpp"
#include "libs/mil_cpu/slice.hpp"
#include "libs/numeric/convert.hpp"

#include <algorithm>
#include <cstring>

namespace d2c::mil_cpu {
namespace {

void store(DType dtype, const float* from, std::int64_t count, std::byte* to) {
  if (dtype == DType::f32) std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof *from);
  else (void)numeric::float_to_half(from, static_cast<std::size_t>(count), reinterpret_cast<std::uint16_t*>(to));
}

void add_read(Op& op) {
  op.only({"input"});
  op.need_results(1);
  Compiler& c = op.compiler();
  const TensorType& type = op.type("input");
  const std::size_t state = c.state_index(op.id("input"));
  const ValueId id = op.result(type);
  if (c.fusions().viewed.contains(op.index())) return c.set_region(id, {state, 0, type.shape});
  const auto out = c.make(id);
  c.add([=, dtype = type.dtype, count = static_cast<std::size_t>(type.count())](Frame& f) {
    numeric::to_float(dtype, f.states[state].data, count, out->reals_out(f));
  });
}

void add_write(Op& op) {
  op.only({"input", "data"});
  op.need_results(0);
  const TensorType type = op.type("input");
  const std::size_t state = op.compiler().state_index(op.id("input"));
  if (op.type("data") != type) op.fail("data are " + op.type("data").text() + ", the state is " + type.text());
  const auto data = op.numbers("data");
  op.compiler().add([=](Frame& f) { store(type.dtype, data->reals(f), type.count(), f.states[state].data); });
}

constexpr NamedOp kOps[] = {{"read_state", add_read}, {"write_state", add_write}};

}  // namespace

void add_update_in_place(Op& op) {
  op.need_results(1);
  const Tensor& x = op.tensor("x");
  const std::size_t state = op.compiler().update_state(op.index());
  (void)op.result(x.type);
  const SliceUpdate slice = slice_update(op);
  const auto update = op.numbers("update");
  op.compiler().add([=, dtype = x.type.dtype](Frame& f) {
    std::byte* to = f.states[state].data;
    for_each_run(slice.extents, slice.box(f), [&](std::int64_t at, std::int64_t done, std::int64_t n) {
      store(dtype, update->reals(f) + done, n, to + bytes_of(dtype, at));
    });
  });
}

std::span<const NamedOp> state_ops() { return kOps; }

}  // namespace d2c::mil_cpu
