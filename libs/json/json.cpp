#include "libs/json/json.hpp"

#include "libs/whole_file/whole_file.hpp"

#include <nlohmann/json.hpp>

#include <set>

namespace d2c::json {
namespace {

constexpr std::size_t kMaxDepth = 128;

/// Builds a Value while the text is read, so that what a DOM would forget (duplicate keys) is seen.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(const std::string& where) : where_(where) {}

  Value take() { return std::move(root_); }

  bool null() override { return add(Value()); }
  bool boolean(bool v) override { return add(v); }
  bool number_integer(number_integer_t v) override { return add(v); }
  bool number_unsigned(number_unsigned_t v) override {
    return v <= static_cast<number_unsigned_t>(INT64_MAX) ? add(static_cast<std::int64_t>(v))
                                                          : add(static_cast<double>(v));
  }
  bool number_float(number_float_t v, const string_t&) override { return add(v); }
  bool string(string_t& v) override { return add(std::move(v)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Value::table()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Value::list()); }
  bool end_array() override { return close(); }
  bool key(string_t& k) override {
    if (!open_.back().keys.insert(k).second) fail_input(where_ + ": the key '" + k + "' stands twice in one object");
    open_.back().key = std::move(k);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& e) override {
    const std::string text = e.what();  // "[json.exception...] parse error at line 1, column 2: ..."
    const auto start = text.find("] ");
    fail_input(where_ + ": not valid JSON: " + (start == std::string::npos ? text : text.substr(start + 2)));
  }

 private:
  struct Level {
    Value value;
    std::string key;
    std::set<std::string> keys;
  };

  bool add(Value v) {
    if (open_.empty()) root_ = std::move(v);
    else if (Level& level = open_.back(); level.value.is_list()) level.value.push_back(std::move(v));
    else level.value.members().emplace_back(std::move(level.key), std::move(v));
    return true;
  }
  bool open(Value v) {
    if (open_.size() == kMaxDepth) fail_input(where_ + ": nested deeper than " + std::to_string(kMaxDepth) + " levels");
    open_.push_back({std::move(v), {}, {}});
    return true;
  }
  bool close() {
    Value v = std::move(open_.back().value);
    open_.pop_back();
    return add(std::move(v));
  }

  const std::string& where_;
  Value root_;
  std::vector<Level> open_;
};

nlohmann::ordered_json to_json(const Value& v) {
  switch (v.kind()) {
    case D2C_VALUE_BOOL: return v.as_bool();
    case D2C_VALUE_INTEGER: return v.as_int();
    case D2C_VALUE_REAL: return v.as_real();
    case D2C_VALUE_TEXT: return v.as_text();
    case D2C_VALUE_LIST: {
      auto list = nlohmann::ordered_json::array();
      for (const Value& item : v.items()) list.push_back(to_json(item));
      return list;
    }
    case D2C_VALUE_TABLE: {
      // By way of the vector beneath: insertion by key searches it, which is quadratic in a vocabulary's size.
      auto table = nlohmann::ordered_json::object();
      auto& members = table.get_ref<nlohmann::ordered_json::object_t&>();
      members.reserve(v.members().size());
      for (const auto& [key, item] : v.members()) members.emplace_back(key, to_json(item));
      return table;
    }
    default: return nullptr;
  }
}

}  // namespace

Value parse(std::string_view text, const std::string& where) {
  // The parser takes a NUL for the end of the text and would let anything follow it.
  if (text.find('\0') != std::string_view::npos) fail_input(where + ": not valid JSON: holds a NUL byte");
  Builder builder(where);
  nlohmann::json::sax_parse(text, &builder);
  return builder.take();
}

Value parse_file(const std::string& path, std::size_t max_bytes) {
  return parse(read_whole_file(path, max_bytes), path);
}

std::string dump(const Value& value, int indent) {
  return to_json(value).dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace d2c::json
