// JSON-like values: plugin options, model configs, recipe settings. Owning, ordered, standard library only.
#pragma once

#include <d2c/abi.h>
#include <d2c/error.hpp>

#include <cmath>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace d2c {

/// Null, bool, integer, real, text, list or table (keys in insertion order).
///
///     Value v = Value::table();
///     v.set("bits", 4);
///     int bits = v.at("bits").as_int();
class Value {
 public:
  using List = std::vector<Value>;
  using Member = std::pair<std::string, Value>;
  using Table = std::vector<Member>;

  Value() = default;
  Value(std::nullptr_t) {}
  Value(bool b) : data_(b) {}
  template <class Integer>
  requires(std::is_integral_v<Integer> && !std::is_same_v<Integer, bool>) Value(Integer i)
      : data_(static_cast<std::int64_t>(i)) {}
  Value(double d) : data_(d) {}
  Value(const char* s) : data_(std::string(s)) {}
  Value(std::string s) : data_(std::move(s)) {}
  Value(std::string_view s) : data_(std::string(s)) {}
  Value(List l) : data_(std::move(l)) {}
  Value(Table t) : data_(std::move(t)) {}

  static Value table() { return Value(Table{}); }
  static Value list() { return Value(List{}); }
  /// Deep copy of the C form; a null pointer gives null.
  static Value from_c(const d2c_value* v);

  [[nodiscard]] d2c_value_kind kind() const noexcept { return static_cast<d2c_value_kind>(data_.index()); }
  [[nodiscard]] bool is_null() const noexcept { return kind() == D2C_VALUE_NULL; }
  [[nodiscard]] bool is_bool() const noexcept { return kind() == D2C_VALUE_BOOL; }
  [[nodiscard]] bool is_integer() const noexcept { return kind() == D2C_VALUE_INTEGER; }
  [[nodiscard]] bool is_number() const noexcept { return is_integer() || kind() == D2C_VALUE_REAL; }
  [[nodiscard]] bool is_text() const noexcept { return kind() == D2C_VALUE_TEXT; }
  [[nodiscard]] bool is_list() const noexcept { return kind() == D2C_VALUE_LIST; }
  [[nodiscard]] bool is_table() const noexcept { return kind() == D2C_VALUE_TABLE; }
  [[nodiscard]] const char* kind_name() const noexcept;

  // Typed access; a wrong kind throws Error(usage) naming both kinds. `as_real` accepts integers.
  [[nodiscard]] bool as_bool() const { return get<bool>("a boolean"); }
  [[nodiscard]] std::int64_t as_int() const { return get<std::int64_t>("an integer"); }
  [[nodiscard]] double as_real() const {
    return is_integer() ? static_cast<double>(as_int()) : get<double>("a number");
  }
  [[nodiscard]] const std::string& as_text() const { return get<std::string>("a string"); }
  [[nodiscard]] const List& items() const { return get<List>("a list"); }
  [[nodiscard]] const Table& members() const { return get<Table>("a table"); }
  [[nodiscard]] List& items() { return const_cast<List&>(std::as_const(*this).items()); }
  [[nodiscard]] Table& members() { return const_cast<Table&>(std::as_const(*this).members()); }

  /// The member, or null where this is no table or has no such key (or the member is null).
  [[nodiscard]] const Value* find(std::string_view key) const noexcept;
  [[nodiscard]] Value* find(std::string_view key) noexcept {
    return const_cast<Value*>(std::as_const(*this).find(key));
  }
  /// The member; throws Error(usage) naming the key where it is missing.
  [[nodiscard]] const Value& at(std::string_view key) const;
  /// Adds or replaces a member of a table.
  Value& set(std::string_view key, Value value);
  void push_back(Value value) { items().push_back(std::move(value)); }

  // `find` with a default; a present member of the wrong kind throws.
  [[nodiscard]] bool bool_or(std::string_view key, bool d) const { return optional(key, d, &Value::as_bool); }
  [[nodiscard]] std::int64_t int_or(std::string_view key, std::int64_t d) const {
    return optional(key, d, &Value::as_int);
  }
  [[nodiscard]] double real_or(std::string_view key, double d) const { return optional(key, d, &Value::as_real); }
  [[nodiscard]] std::string text_or(std::string_view key, std::string d) const {
    return optional(key, std::move(d), &Value::as_text);
  }

  friend bool operator==(const Value&, const Value&) = default;

 private:
  template <class T>
  const T& get(const char* wanted) const {
    if (const T* p = std::get_if<T>(&data_)) return *p;
    fail_usage(std::string("expected ") + wanted + ", found " + kind_name());
  }
  template <class T, class Getter>
  T optional(std::string_view key, T fallback, Getter getter) const {
    const Value* v = find(key);
    if (v == nullptr) return fallback;
    try {
      return (v->*getter)();
    } catch (const Error& e) {
      fail_usage(std::string(key) + ": " + e.what());
    }
  }

  // The alternatives stand in the order of d2c_value_kind.
  std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Table> data_;
};

inline const char* Value::kind_name() const noexcept {
  static constexpr const char* kNames[] = {"nothing",  "a boolean", "an integer", "a number",
                                           "a string", "a list",    "a table"};
  return kNames[data_.index()];
}

inline const Value* Value::find(std::string_view key) const noexcept {
  const Table* table = std::get_if<Table>(&data_);
  if (table == nullptr) return nullptr;
  for (const auto& [name, value] : *table)
    if (name == key) return value.is_null() ? nullptr : &value;
  return nullptr;
}

inline const Value& Value::at(std::string_view key) const {
  if (const Value* v = find(key)) return *v;
  fail_usage("missing key '" + std::string(key) + "'");
}

inline Value& Value::set(std::string_view key, Value value) {
  for (auto& [name, old] : members())
    if (name == key) return old = std::move(value);
  members().emplace_back(std::string(key), std::move(value));
  return members().back().second;
}

inline Value Value::from_c(const d2c_value* v) {
  if (v == nullptr) return {};
  switch (v->kind) {
    case D2C_VALUE_BOOL: return Value(v->boolean != 0);
    case D2C_VALUE_INTEGER: return Value(v->integer);
    case D2C_VALUE_REAL: return Value(v->real);
    case D2C_VALUE_TEXT: return Value(v->text);
    case D2C_VALUE_LIST: {
      List list;
      list.reserve(v->count);
      for (std::size_t i = 0; i < v->count; ++i) list.push_back(from_c(&v->items[i]));
      return list;
    }
    case D2C_VALUE_TABLE: {
      Table table;
      table.reserve(v->count);
      for (std::size_t i = 0; i < v->count; ++i) table.emplace_back(v->keys[i], from_c(&v->items[i]));
      return table;
    }
    default: return {};
  }
}

/// Keeps the C form of a value alive. Move-only; the tree stays where it is when moved.
class ValueExport {
 public:
  explicit ValueExport(const Value& v) : source_(v) { fill(root_.emplace_back(), source_); }
  ValueExport(ValueExport&&) noexcept = default;
  ValueExport& operator=(ValueExport&&) noexcept = default;
  ValueExport(const ValueExport&) = delete;
  ValueExport& operator=(const ValueExport&) = delete;

  [[nodiscard]] const d2c_value* c() const noexcept { return &root_.front(); }

 private:
  void fill(d2c_value& out, const Value& v) {
    out = {};
    out.kind = v.kind();
    switch (out.kind) {
      case D2C_VALUE_BOOL: out.boolean = v.as_bool(); break;
      case D2C_VALUE_INTEGER: out.integer = v.as_int(); break;
      case D2C_VALUE_REAL: out.real = v.as_real(); break;
      case D2C_VALUE_TEXT: out.text = texts_.emplace_back(v.as_text()).c_str(); break;
      case D2C_VALUE_LIST: {
        auto& nodes = nodes_.emplace_back(v.items().size());
        for (std::size_t i = 0; i < nodes.size(); ++i) fill(nodes[i], v.items()[i]);
        out.items = nodes.data();
        out.count = nodes.size();
        break;
      }
      case D2C_VALUE_TABLE: {
        auto& nodes = nodes_.emplace_back(v.members().size());
        auto& keys = keys_.emplace_back();
        for (std::size_t i = 0; i < nodes.size(); ++i) {
          fill(nodes[i], v.members()[i].second);
          keys.push_back(texts_.emplace_back(v.members()[i].first).c_str());
        }
        out.items = nodes.data();
        out.keys = keys.data();
        out.count = nodes.size();
        break;
      }
      default: break;
    }
  }

  Value source_;
  // Deques: what is in them never moves, so the pointers of the tree stay good.
  std::deque<d2c_value> root_;
  std::deque<std::string> texts_;
  std::deque<std::vector<d2c_value>> nodes_;
  std::deque<std::vector<const char*>> keys_;
};

/// The options of a plugin object, with errors that name the option.
///
///     explicit Mine(const d2c::Config& c) : bits_(c.require_one_of("bits", {1, 2, 4})) {}
class Config {
 public:
  explicit Config(Value options) : options_(std::move(options)) {}

  [[nodiscard]] const Value& value() const noexcept { return options_; }
  [[nodiscard]] const Value* find(std::string_view key) const noexcept { return options_.find(key); }
  [[nodiscard]] std::int64_t get_or(std::string_view key, std::int64_t d) const { return options_.int_or(key, d); }
  [[nodiscard]] std::int64_t get_or(std::string_view key, int d) const { return options_.int_or(key, d); }
  [[nodiscard]] double get_or(std::string_view key, double d) const { return options_.real_or(key, d); }
  [[nodiscard]] bool get_or(std::string_view key, bool d) const { return options_.bool_or(key, d); }
  [[nodiscard]] std::string get_or(std::string_view key, const char* d) const { return options_.text_or(key, d); }
  [[nodiscard]] std::string require_text(std::string_view key) const { return options_.at(key).as_text(); }

  /// An integer option that must be one of `allowed`: "bits: 9 is not one of 1,2,4".
  [[nodiscard]] std::int64_t require_one_of(std::string_view key, std::initializer_list<std::int64_t> allowed) const {
    const std::int64_t v = options_.at(key).as_int();
    std::string list;
    for (const std::int64_t a : allowed) {
      if (a == v) return v;
      if (!list.empty()) list += ',';
      list += std::to_string(a);
    }
    fail_usage(std::string(key) + ": " + std::to_string(v) + " is not one of " + list);
  }

 private:
  Value options_;
};

}  // namespace d2c
