// Ops that treat every element by itself, with broadcasting.
#include "libs/kernels/row_kernels.hpp"
#include "libs/kernels/thread_pool.hpp"
#include "libs/mil_cpu/ops.hpp"
#include "libs/mil_cpu/stored.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace d2c::mil_cpu {
namespace {

/// Two operands walked together over the shape that they broadcast to, adjacent axes joined where both allow it.
struct Walk2 {
  Shape extents, a, b;

  Walk2(const Shape& shape, const Shape& from_a, const Shape& from_b) {
    const Shape sa = broadcast_strides(from_a, shape), sb = broadcast_strides(from_b, shape);
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] == 1) continue;
      if (!extents.empty() && a.back() == sa[i] * shape[i] && b.back() == sb[i] * shape[i]) {
        extents.back() *= shape[i];
        a.back() = sa[i];
        b.back() = sb[i];
      } else {
        extents.push_back(shape[i]);
        a.push_back(sa[i]);
        b.push_back(sb[i]);
      }
    }
    if (extents.empty()) extents = {1}, a = {0}, b = {0};
  }

  [[nodiscard]] std::int64_t row_count() const { return count_of(std::span(extents).first(extents.size() - 1)); }

  /// Calls row(offset in a, offset in b, offset in the result) for the runs [first, last) along the last axis.
  template <class Row>
  void rows(std::int64_t first, std::int64_t last, Row&& row) const {
    const std::size_t outer = extents.size() - 1;
    std::int64_t at_a = 0, at_b = 0, at = first * extents.back();
    std::int64_t index[D2C_MAX_RANK] = {};
    for (std::size_t i = outer, left = static_cast<std::size_t>(first); i-- > 0;) {
      const auto extent = static_cast<std::size_t>(extents[i]);
      index[i] = static_cast<std::int64_t>(left % extent);
      at_a += a[i] * index[i], at_b += b[i] * index[i];
      left /= extent;
    }
    for (; first < last; ++first, at += extents.back()) {
      row(at_a, at_b, at);
      for (std::size_t i = outer; i-- > 0;) {
        at_a += a[i], at_b += b[i];
        if (++index[i] < extents[i]) break;
        at_a -= a[i] * extents[i], at_b -= b[i] * extents[i];
        index[i] = 0;
      }
    }
  }
};

/// Elements that are worth waking another thread for.
constexpr std::int64_t kTaskElements = 8192;

/// Shares [0, count) out to the threads, `work` being the elements that each of them stands for.
template <class Part>
void in_parts(const Frame& f, std::int64_t count, std::int64_t work, const Part& part) {
  const std::int64_t step = std::max<std::int64_t>(1, kTaskElements / std::max<std::int64_t>(work, 1));
  if (count <= step) return part(0, count);
  f.pool->run((count + step - 1) / step,
              [&](std::int64_t task, unsigned) { part(task * step, std::min(count, (task + 1) * step)); });
}

template <class In, class Out, class F>
void apply_rows(const Walk2& w, std::int64_t first, std::int64_t last, const In* a, const In* b, Out* out, F f) {
  const std::int64_t n = w.extents.back(), sa = w.a.back(), sb = w.b.back();
  w.rows(first, last, [&](std::int64_t ia, std::int64_t ib, std::int64_t io) {
    const In *x = a + ia, *y = b + ib;
    Out* z = out + io;
    if (sa == 1 && sb == 1) {
      for (std::int64_t i = 0; i < n; ++i) z[i] = f(x[i], y[i]);
    } else if (sa == 1 && sb == 0) {
      const In v = *y;
      for (std::int64_t i = 0; i < n; ++i) z[i] = f(x[i], v);
    } else {
      for (std::int64_t i = 0; i < n; ++i) z[i] = f(x[i * sa], y[i * sb]);
    }
  });
}

template <class In, class Out, class F>
void apply2(const Frame& frame, const Walk2& w, const In* a, const In* b, Out* out, F f) {
  in_parts(frame, w.row_count(), w.extents.back(),
           [&](std::int64_t first, std::int64_t last) { apply_rows(w, first, last, a, b, out, f); });
}

/// Integers wrap as the hardware's do; division by zero gives zero instead of a trap.
struct Add {
  static float apply(float a, float b) { return a + b; }
  static std::int32_t apply(std::int32_t a, std::int32_t b) {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
  }
};
struct Sub {
  static float apply(float a, float b) { return a - b; }
  static std::int32_t apply(std::int32_t a, std::int32_t b) {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) - static_cast<std::uint32_t>(b));
  }
};
struct Mul {
  static float apply(float a, float b) { return a * b; }
  static std::int32_t apply(std::int32_t a, std::int32_t b) {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) * static_cast<std::uint32_t>(b));
  }
};
std::int64_t floor_quotient(std::int64_t a, std::int64_t b) {
  return b == 0 ? 0 : a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}
struct Div {
  static float apply(float a, float b) { return a / b; }
  static std::int32_t apply(std::int32_t a, std::int32_t b) {
    return b == 0 ? 0 : static_cast<std::int32_t>(static_cast<std::int64_t>(a) / b);
  }
};
struct FloorDiv {
  static float apply(float a, float b) { return std::floor(a / b); }
  static std::int32_t apply(std::int32_t a, std::int32_t b) { return static_cast<std::int32_t>(floor_quotient(a, b)); }
};
struct Mod {
  static float apply(float a, float b) { return a - std::floor(a / b) * b; }
  static std::int32_t apply(std::int32_t a, std::int32_t b) {
    return static_cast<std::int32_t>(a - floor_quotient(a, b) * b);
  }
};
struct Maximum {
  static float apply(float a, float b) { return std::max(a, b); }
  static std::int32_t apply(std::int32_t a, std::int32_t b) { return std::max(a, b); }
};
struct Minimum {
  static float apply(float a, float b) { return std::min(a, b); }
  static std::int32_t apply(std::int32_t a, std::int32_t b) { return std::min(a, b); }
};
struct Pow {
  static float apply(float a, float b) { return std::pow(a, b); }
  static std::int32_t apply(std::int32_t a, std::int32_t b) {
    const double v = std::pow(static_cast<double>(a), static_cast<double>(b));
    return std::abs(v) < 2147483648.0 ? static_cast<std::int32_t>(v) : 0;
  }
};

TensorType operands(const Op& op) {
  op.only({"x", "y"});
  op.need_results(1);
  const TensorType &x = op.type("x"), &y = op.type("y");
  if (x.dtype != y.dtype) op.fail("x is " + x.text() + ", y is " + y.text());
  return {x.dtype, broadcast(op, x.shape, y.shape)};
}

template <class F>
void add_binary(Op& op) {
  const TensorType type = operands(op);
  if (!is_real(type.dtype) && type.dtype != DType::i32) op.fail("does not work on " + type.text());
  const Walk2 walk(type.shape, op.shape("x"), op.shape("y"));
  const auto x = op.numbers("x"), y = op.numbers("y");
  const ValueId id = op.result(type);
  const auto out = op.compiler().make(id);
  if (is_real(type.dtype)) {
    op.compiler().add([=](Frame& f) {
      apply2(f, walk, x->reals(f), y->reals(f), out->reals_out(f), [](float a, float b) { return F::apply(a, b); });
    });
  } else {
    op.compiler().add([=](Frame& f) {
      apply2(f, walk, x->integers(f), y->integers(f), out->integers_out(f),
             [](std::int32_t a, std::int32_t b) { return F::apply(a, b); });
    });
  }
  op.compiler().round_result(id);
}

/// A sum of two regions of one state stays in the state: caches of fp32 graphs keep each number as two halves.
void add_sum(Op& op) {
  const auto &x = op.tensor("x").region, &y = op.tensor("y").region;
  if (!x || !y || x->rest || y->rest || x->state != y->state || x->shape != y->shape ||
      op.type("x").dtype != DType::f32)
    return add_binary<Add>(op);
  const TensorType type = operands(op);
  op.compiler().set_region(op.result(type), {x->state, x->offset, type.shape, y->offset});
}

template <class Compare>
void add_comparison(Op& op) {
  const TensorType type = operands(op);
  const Walk2 walk(type.shape, op.shape("x"), op.shape("y"));
  const auto x = op.numbers("x"), y = op.numbers("y");
  const auto out = op.compiler().make(op.result({DType::boolean, type.shape}));
  if (is_real(type.dtype)) {
    op.compiler().add([=](Frame& f) {
      apply2(f, walk, x->reals(f), y->reals(f), out->integers_out(f),
             [](float a, float b) { return std::int32_t{Compare()(a, b)}; });
    });
  } else {
    op.compiler().add([=](Frame& f) {
      apply2(f, walk, x->integers(f), y->integers(f), out->integers_out(f),
             [](std::int32_t a, std::int32_t b) { return std::int32_t{Compare()(a, b)}; });
    });
  }
}

template <class F>
void add_logical(Op& op) {
  if (op.type("x").dtype != DType::boolean) op.fail("x is " + op.type("x").text());
  add_comparison<F>(op);
}

// ---------------------------------------------------------------- one operand

struct Sigmoid {
  static float apply(float x) { return 1 / (1 + std::exp(-x)); }
};
struct Tanh {
  static float apply(float x) { return std::tanh(x); }
};
struct Relu {
  static float apply(float x) { return std::max(x, 0.0F); }
};
struct Exp {
  static float apply(float x) { return std::exp(x); }
};
struct Sqrt {
  static float apply(float x) { return std::sqrt(x); }
};
struct Sin {
  static float apply(float x) { return std::sin(x); }
};
struct Cos {
  static float apply(float x) { return std::cos(x); }
};
struct Abs {
  static float apply(float x) { return std::abs(x); }
};
struct Square {
  static float apply(float x) { return x * x; }
};

/// `part(from, count, to)` maps numbers that lie side by side.
template <class Part>
void map_parts(Op& op, ValueId id, Part part) {
  op.need_real("x");
  const std::int64_t count = op.type("x").count();
  const auto x = op.numbers("x");
  const auto out = op.compiler().make(id);
  op.compiler().add([=](Frame& frame) {
    const float* from = x->reals(frame);
    float* to = out->reals_out(frame);
    in_parts(frame, count, 1,
             [&](std::int64_t first, std::int64_t last) { part(from + first, last - first, to + first); });
  });
  op.compiler().round_result(id);
}

template <class F>
void map_reals(Op& op, ValueId id, F f) {
  map_parts(op, id, [f](const float* from, std::int64_t count, float* to) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = f(from[i]);
  });
}

template <class F>
void map_reals(Op& op, F f) {
  op.need_results(1);
  map_reals(op, op.result(op.type("x")), f);
}

template <class F>
void add_unary(Op& op) {
  op.only({"x"});
  map_reals(op, [](float x) { return F::apply(x); });
}

void add_silu(Op& op) {
  op.only({"x"});
  op.need_results(1);
  map_parts(op, op.result(op.type("x")), kernels::silu);
}

void add_rsqrt(Op& op) {
  op.only({"x", "epsilon"});
  const auto epsilon = static_cast<float>(op.real("epsilon", 1e-12));
  map_reals(op, [epsilon](float x) { return 1 / std::sqrt(x + epsilon); });
}

void add_inverse(Op& op) {
  op.only({"x", "epsilon"});
  const auto epsilon = static_cast<float>(op.real("epsilon", 1e-4));
  map_reals(op, [epsilon](float x) { return 1 / (x + epsilon); });
}

void add_clip(Op& op) {
  op.only({"x", "alpha", "beta"});
  const auto low = static_cast<float>(op.real("alpha", 0)), high = static_cast<float>(op.real("beta", 0));
  map_reals(op, [=](float x) { return std::min(std::max(x, low), high); });
}

void add_gelu(Op& op) {
  op.only({"x", "mode"});
  const std::string mode = op.has("mode") ? op.text("mode") : "EXACT";
  if (mode == "EXACT") return map_reals(op, [](float x) { return 0.5F * x * (1 + std::erf(x * 0.70710678F)); });
  if (mode == "TANH_APPROXIMATION")
    return map_reals(op, [](float x) { return 0.5F * x * (1 + std::tanh(0.79788456F * (x + 0.044715F * x * x * x))); });
  if (mode == "SIGMOID_APPROXIMATION") return map_reals(op, [](float x) { return x / (1 + std::exp(-1.702F * x)); });
  op.fail("has no mode '" + mode + "'");
}

void add_logical_not(Op& op) {
  op.only({"x"});
  op.need_results(1);
  if (op.type("x").dtype != DType::boolean) op.fail("x is " + op.type("x").text());
  const std::int64_t count = op.type("x").count();
  const auto x = op.numbers("x");
  const auto out = op.compiler().make(op.result(op.type("x")));
  op.compiler().add([=](Frame& f) {
    for (std::int64_t i = 0; i < count; ++i) out->integers_out(f)[i] = x->integers(f)[i] == 0 ? 1 : 0;
  });
}

// ---------------------------------------------------------------- cast, select

DType dtype_named(const Op& op, const std::string& name) {
  for (const DType t :
       {DType::f16, DType::f32, DType::i32, DType::boolean, DType::i8, DType::u8, DType::i16, DType::u16})
    if (name_of(t) == name) return t;
  op.fail("casts to no type '" + name + "'");
}

std::int32_t to_integer(float v, std::int64_t low, std::int64_t high) {
  if (std::isnan(v)) return 0;
  return static_cast<std::int32_t>(
      std::clamp(static_cast<double>(v), static_cast<double>(low), static_cast<double>(high)));
}

struct Limits {
  std::int64_t low = std::numeric_limits<std::int32_t>::min(), high = std::numeric_limits<std::int32_t>::max();
};

Limits limits_of(DType t) {
  switch (t) {
    case DType::i8: return {-128, 127};
    case DType::u8: return {0, 255};
    case DType::i16: return {-32768, 32767};
    case DType::u16: return {0, 65535};
    default: return {};
  }
}

void add_conversion(Op& op, ValueId id, DType from, DType to) {
  const std::int64_t count = op.type("x").count();
  const auto x = op.numbers("x");
  const auto out = op.compiler().make(id);
  const auto each = [&](auto convert) {
    op.compiler().add([=](Frame& f) {
      for (std::int64_t i = 0; i < count; ++i) convert(f, i);
    });
  };
  if (is_real(from) && to == DType::boolean)
    return each([=](Frame& f, std::int64_t i) { out->integers_out(f)[i] = x->reals(f)[i] != 0 ? 1 : 0; });
  const Limits limits = limits_of(to);
  if (is_real(from))
    return each([=](Frame& f, std::int64_t i) {
      out->integers_out(f)[i] = to_integer(x->reals(f)[i], limits.low, limits.high);
    });
  if (is_real(to))
    return each([=](Frame& f, std::int64_t i) { out->reals_out(f)[i] = static_cast<float>(x->integers(f)[i]); });
  if (to == DType::boolean)
    return each([=](Frame& f, std::int64_t i) { out->integers_out(f)[i] = x->integers(f)[i] != 0 ? 1 : 0; });
  each([=](Frame& f, std::int64_t i) {
    out->integers_out(f)[i] =
        static_cast<std::int32_t>(std::clamp<std::int64_t>(x->integers(f)[i], limits.low, limits.high));
  });
}

void add_cast(Op& op) {
  op.only({"x", "dtype"});
  op.need_results(1);
  const DType from = op.type("x").dtype, to = dtype_named(op, op.text("dtype"));
  const ValueId id = op.result({to, op.shape("x")});
  const bool rounds = op.compiler().options().precision == Precision::fp16 && to == DType::f16 && from != to;
  if ((is_real(from) && is_real(to) && !rounds) || from == to) return op.compiler().alias(id, op.id("x"));
  if (is_real(from) && is_real(to)) return map_reals(op, id, [](float v) { return v; });
  add_conversion(op, id, from, to);
  op.compiler().round_result(id);
}

void add_select(Op& op) {
  op.only({"cond", "a", "b"});
  op.need_results(1);
  const TensorType &cond = op.type("cond"), &a = op.type("a"), &b = op.type("b");
  if (cond.dtype != DType::boolean || a.dtype != b.dtype) op.fail("takes a bool and two tensors of one type");
  const Shape shape = broadcast(op, cond.shape, broadcast(op, a.shape, b.shape));
  const ValueId id = op.operation().results[0];
  // coremltools declares a select between two scalars as a scalar, whatever the condition's shape.
  const bool declared_scalar = a.shape.empty() && b.shape.empty() && op.compiler().tensor(id).type == a;
  if (declared_scalar) op.compiler().set_type(id, {a.dtype, shape});
  else (void)op.result({a.dtype, shape});
  const Walk2 from_a(shape, a.shape, cond.shape), from_b(shape, b.shape, cond.shape);
  const auto c = op.numbers("cond"), x = op.numbers("a"), y = op.numbers("b");
  const auto out = op.compiler().make(id);
  op.compiler().add([=](Frame& f) {
    const std::int32_t *keep = c->integers(f), *left = x->integers(f), *right = y->integers(f);
    std::int32_t* to = out->integers_out(f);
    const auto choose = [&](const Walk2& w, const std::int32_t* from, bool when) {
      const std::int64_t n = w.extents.back(), s = w.a.back(), sc = w.b.back();
      w.rows(0, w.row_count(), [&](std::int64_t at, std::int64_t at_c, std::int64_t at_out) {
        for (std::int64_t i = 0; i < n; ++i)
          if ((keep[at_c + i * sc] != 0) == when) to[at_out + i] = from[at + i * s];
      });
    };
    choose(from_a, left, true);
    choose(from_b, right, false);
  });
}

constexpr NamedOp kOps[] = {
    {"add", add_sum},
    {"sub", add_binary<Sub>},
    {"mul", add_binary<Mul>},
    {"real_div", add_binary<Div>},
    {"floor_div", add_binary<FloorDiv>},
    {"mod", add_binary<Mod>},
    {"maximum", add_binary<Maximum>},
    {"minimum", add_binary<Minimum>},
    {"pow", add_binary<Pow>},
    {"less", add_comparison<std::less<>>},
    {"less_equal", add_comparison<std::less_equal<>>},
    {"greater", add_comparison<std::greater<>>},
    {"greater_equal", add_comparison<std::greater_equal<>>},
    {"equal", add_comparison<std::equal_to<>>},
    {"not_equal", add_comparison<std::not_equal_to<>>},
    {"logical_and", add_logical<std::logical_and<>>},
    {"logical_or", add_logical<std::logical_or<>>},
    {"logical_not", add_logical_not},
    {"silu", add_silu},
    {"sigmoid", add_unary<Sigmoid>},
    {"tanh", add_unary<Tanh>},
    {"relu", add_unary<Relu>},
    {"exp", add_unary<Exp>},
    {"sqrt", add_unary<Sqrt>},
    {"sin", add_unary<Sin>},
    {"cos", add_unary<Cos>},
    {"abs", add_unary<Abs>},
    {"square", add_unary<Square>},
    {"rsqrt", add_rsqrt},
    {"inverse", add_inverse},
    {"clip", add_clip},
    {"gelu", add_gelu},
    {"cast", add_cast},
    {"select", add_select},
};

}  // namespace

std::span<const NamedOp> elementwise_ops() { return kOps; }

}  // namespace d2c::mil_cpu
