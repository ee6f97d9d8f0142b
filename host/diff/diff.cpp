#include "host/diff/diff.hpp"

#include "host/stop/stop.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <unordered_map>
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

using Entry = Tensors::Entry;

struct Side {
  const Tensors& tensors;
  std::size_t index;

  [[nodiscard]] const Entry& entry() const { return tensors.entries()[index]; }
};

bool same_bytes(const Side& a, const Side& b, std::int64_t first, std::int64_t rows) {
  if (a.entry().dtype == DType::none || a.entry().dtype != b.entry().dtype) return false;
  const auto left = a.tensors.bytes(a.index, first, rows), right = b.tensors.bytes(b.index, first, rows);
  return std::memcmp(left->data(), right->data(), left->size()) == 0;
}

bool has_numbers(const Side& side) { return side.tensors.is_package() || is_floating(side.entry().dtype); }

Difference compare(const Side& a, const Side& b, std::int64_t all, std::int64_t columns) {
  const std::int64_t step = std::max<std::int64_t>(1, kTileElements / std::max<std::int64_t>(1, columns));
  const bool floating = has_numbers(a) && has_numbers(b);
  Difference difference;
  std::vector<float> x, y;
  for (std::int64_t first = 0; first < all; first += step) {
    stop::throw_if_requested();
    const std::int64_t rows = std::min(step, all - first);
    const bool same = same_bytes(a, b, first, rows);
    difference.same_bytes = difference.same_bytes && same;
    if (!floating) {
      if (!same) difference.max_abs = std::numeric_limits<double>::infinity();
      continue;
    }
    x.resize(static_cast<std::size_t>(rows * columns));
    y.resize(x.size());
    a.tensors.numbers(a.index, first, rows, x.data());
    b.tensors.numbers(b.index, first, rows, y.data());
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

/// Rows that both have, where the rest is a package's padding; nothing where the shapes really differ. Dimensions of one
/// element do not count where a package is concerned.
std::optional<std::int64_t> common_rows(const Side& a, const Side& b) {
  Shape x = a.entry().shape, y = b.entry().shape;
  if (x == y) return rows_of(x);
  if (!a.tensors.is_package() && !b.tensors.is_package()) return std::nullopt;
  std::erase(x, 1);
  std::erase(y, 1);
  if (x == y && a.entry().shape.front() == b.entry().shape.front()) return rows_of(a.entry().shape);
  if (x.size() < 2 || x.size() != y.size() || !std::equal(x.begin() + 1, x.end(), y.begin() + 1)) return std::nullopt;
  const bool padded = x.front() > y.front() ? a.tensors.is_package() : b.tensors.is_package();
  return padded ? std::optional(std::min(x.front(), y.front())) : std::nullopt;
}

/// Null where the two count as equal.
Value compare_tensors(const Side& a, const Side& b, const DiffOptions& options) {
  Value result = Value::table();
  const auto rows = common_rows(a, b);
  if (!rows) {
    result.set("reason", "the shapes differ");
  } else {
    const Difference difference = compare(a, b, *rows, columns_of(a.entry().shape));
    const bool by_number = options.tolerance > 0 || a.tensors.is_package() || b.tensors.is_package();
    if (difference.same_bytes || (by_number && difference.max_abs <= options.tolerance)) return {};
    result = describe(difference);
    if (difference.max_abs == 0) result.set("reason", "the values are equal, the types differ");
  }
  result.set("type_a", a.entry().stored);
  result.set("type_b", b.entry().stored);
  return result;
}

/// "model.layers.0.mlp.up_proj.weight" as a package has it.
std::string mil_spelling(std::string name) {
  for (char& c : name)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))) c = '_';
  return name;
}

using Index = std::unordered_map<std::string, std::size_t>;

Index index_of(const Tensors& tensors, bool as_in_mil) {
  Index index;
  for (std::size_t i = 0; i < tensors.entries().size(); ++i) {
    const std::string& name = tensors.entries()[i].name;
    index.emplace(as_in_mil ? mil_spelling(name) : name, i);
  }
  return index;
}

}  // namespace

Value diff(const Tensors& a, const Tensors& b, const DiffOptions& options) {
  const bool as_in_mil = a.is_package() || b.is_package();
  const auto key = [&](const Entry& e) { return as_in_mil ? mil_spelling(e.name) : e.name; };
  const Index in_a = index_of(a, as_in_mil), in_b = index_of(b, as_in_mil);
  Value different = Value::list(), missing = Value::list(), extra = Value::list();
  std::int64_t compared = 0;
  for (std::size_t i = 0; i < a.entries().size(); ++i) {
    const Entry& entry = a.entries()[i];
    const auto found = in_b.find(key(entry));
    if (found == in_b.end()) {
      missing.push_back(entry.name);
      continue;
    }
    ++compared;
    const Value result = compare_tensors({a, i}, {b, found->second}, options);
    if (result.is_null()) continue;
    Value described = Value::table();
    described.set("name", entry.name);
    for (const auto& [name, value] : result.members()) described.set(name, value);
    different.push_back(std::move(described));
  }
  for (const Entry& entry : b.entries())
    if (!in_a.contains(key(entry))) extra.push_back(entry.name);
  const bool complete = (missing.items().empty() || (a.is_package() && !b.is_package())) &&
                        (extra.items().empty() || (b.is_package() && !a.is_package()));
  Value report = Value::table();
  report.set("equal", complete && compared > 0 && different.items().empty());
  report.set("compared", compared);
  report.set("different", std::move(different));
  report.set("missing", std::move(missing));
  report.set("extra", std::move(extra));
  return report;
}

}  // namespace d2c::host
