#include "host/diff/diff.hpp"

#include "host/stop/stop.hpp"
#include "libs/numeric/convert.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace d2c::host {
namespace {

constexpr std::int64_t kTileElements = std::int64_t{1} << 20;

struct Difference {
  bool same_bytes = true;
  double max_abs = 0;
  double squared_a = 0, squared_b = 0, squared_difference = 0, overlap = 0;

  void add(float x, float y) {
    const double a = x, b = y, d = std::abs(a - b);
    // NaN differs from everything, itself too unless the bytes are the same.
    max_abs = d <= max_abs ? max_abs : std::isnan(d) ? std::numeric_limits<double>::infinity() : d;
    squared_a += a * a;
    squared_b += b * b;
    squared_difference += d * d;
    overlap += a * b;
  }
};

bool is_floating(DType type) { return type == DType::f16 || type == DType::bf16 || type == DType::f32; }

Difference compare(const Source& a, std::size_t i, const Source& b, std::size_t j) {
  const TensorType &type_a = a.tensors()[i].type, &type_b = b.tensors()[j].type;
  const bool floating = is_floating(type_a.dtype) && is_floating(type_b.dtype);
  const std::int64_t all = rows_of(type_a.shape), columns = columns_of(type_a.shape);
  const std::int64_t step = std::max<std::int64_t>(1, kTileElements / std::max<std::int64_t>(1, columns));
  Difference difference;
  difference.same_bytes = type_a.dtype == type_b.dtype;
  std::vector<float> x, y;
  for (std::int64_t first = 0; first < all; first += step) {
    stop::throw_if_requested();
    const std::int64_t rows = std::min(step, all - first);
    const RowView left = a.rows(i, first, rows), right = b.rows(j, first, rows);
    if (type_a.dtype == type_b.dtype && std::memcmp(left.data(), right.data(), left.size()) == 0 && !floating) continue;
    difference.same_bytes = difference.same_bytes && std::memcmp(left.data(), right.data(), left.size()) == 0;
    if (!floating) {
      difference.max_abs = std::numeric_limits<double>::infinity();
      continue;
    }
    x.resize(static_cast<std::size_t>(rows * columns));
    y.resize(x.size());
    numeric::to_float(type_a.dtype, left.data(), x.size(), x.data());
    numeric::to_float(type_b.dtype, right.data(), y.size(), y.data());
    for (std::size_t k = 0; k < x.size(); ++k) difference.add(x[k], y[k]);
  }
  return difference;
}

Value describe(const Difference& d) {
  const auto or_null = [](double v) { return std::isfinite(v) ? Value(v) : Value(); };
  const double norms = std::sqrt(d.squared_a * d.squared_b);
  Value v = Value::table();
  v.set("max_abs", or_null(d.max_abs));
  v.set("relative", d.squared_a > 0 ? or_null(std::sqrt(d.squared_difference / d.squared_a)) : Value());
  v.set("cosine", norms > 0 ? or_null(d.overlap / norms) : Value());
  return v;
}

/// Null where the two count as equal.
Value compare_tensors(const Source& a, std::size_t i, const Source& b, std::size_t j, const DiffOptions& options) {
  const TensorType &type_a = a.tensors()[i].type, &type_b = b.tensors()[j].type;
  Value result = Value::table();
  if (type_a.shape != type_b.shape) {
    result.set("reason", "the shapes differ");
  } else {
    const Difference difference = compare(a, i, b, j);
    if (difference.same_bytes || (options.tolerance > 0 && difference.max_abs <= options.tolerance)) return {};
    result = describe(difference);
    if (difference.max_abs == 0) result.set("reason", "the values are equal, the types differ");
  }
  result.set("type_a", type_a.text());
  result.set("type_b", type_b.text());
  return result;
}

}  // namespace

Value diff(const Source& a, const Source& b, const DiffOptions& options) {
  Value different = Value::list(), missing = Value::list(), extra = Value::list();
  std::int64_t compared = 0;
  for (std::size_t i = 0; i < a.tensors().size(); ++i) {
    const std::string& name = a.tensors()[i].name;
    const auto j = b.find(name);
    if (!j) {
      missing.push_back(name);
      continue;
    }
    ++compared;
    const Value result = compare_tensors(a, i, b, *j, options);
    if (result.is_null()) continue;
    Value entry = Value::table();
    entry.set("name", name);
    for (const auto& [key, value] : result.members()) entry.set(key, value);
    different.push_back(std::move(entry));
  }
  for (const TensorInfo& t : b.tensors())
    if (!a.find(t.name)) extra.push_back(t.name);
  Value report = Value::table();
  report.set("equal", different.items().empty() && missing.items().empty() && extra.items().empty());
  report.set("compared", compared);
  report.set("different", std::move(different));
  report.set("missing", std::move(missing));
  report.set("extra", std::move(extra));
  return report;
}

}  // namespace d2c::host
