// The header of a GGUF file: its metadata and the catalogue of its tensors, checked against the file's size.
#pragma once

#include "plugins/source_gguf/block_format.hpp"
#include "plugins/source_gguf/bytes.hpp"

#include <d2c/tensor.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace d2c::source_gguf {

/// Types of metadata values, as numbered in the file.
enum class ValueType : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

/// An array that stays in the file until somebody needs it.
struct Array {
  ValueType type;
  std::uint64_t count;
  std::uint64_t offset;  ///< of the first item
};

/// Integers beyond int64 are reals. A 32-bit real is the decimal number that was meant: 1e-05, not 9.9999997e-06.
using MetadataValue = std::variant<bool, std::int64_t, double, std::string, Array>;

/// The getters give nothing where the key is absent; Error(input) naming file and key where it holds another kind.
class Metadata {
 public:
  explicit Metadata(std::string file) : file_(std::move(file)) {}

  /// False where the key was there already.
  [[nodiscard]] bool add(std::string key, MetadataValue value) {
    return values_.try_emplace(std::move(key), std::move(value)).second;
  }
  [[nodiscard]] bool has(std::string_view key) const { return values_.contains(std::string(key)); }
  [[nodiscard]] std::optional<bool> boolean(std::string_view key) const { return get<bool>(key, "a boolean"); }
  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view key) const {
    return get<std::int64_t>(key, "an integer");
  }
  [[nodiscard]] std::optional<double> real(std::string_view key) const {
    return get<double>(key, "a floating-point number");
  }
  [[nodiscard]] std::optional<std::string> text(std::string_view key) const {
    return get<std::string>(key, "a string");
  }
  [[nodiscard]] std::optional<Array> array(std::string_view key) const { return get<Array>(key, "an array"); }
  [[nodiscard]] bool is_array(std::string_view key) const;

  [[noreturn]] void fail_at(std::string_view key, const std::string& problem) const;

 private:
  template <class T>
  std::optional<T> get(std::string_view key, const char* wanted) const {
    const auto found = values_.find(std::string(key));
    if (found == values_.end()) return std::nullopt;
    if (const T* value = std::get_if<T>(&found->second)) return *value;
    fail_at(key, std::string("is not ") + wanted);
  }

  std::string file_;
  std::unordered_map<std::string, MetadataValue> values_;
};

struct TensorRecord {
  std::string name;
  const BlockFormat* format;
  Shape shape;           ///< row-major: the file's dimensions in reverse
  std::uint64_t offset;  ///< from the start of the file
  std::uint64_t bytes;
};

struct Header {
  Metadata metadata;
  std::vector<TensorRecord> tensors;  ///< in file order
};

/// Reads and checks the header of a little-endian GGUF file of version 2 or 3. Every range it reports lies within the
/// file, tensors do not overlap, and no name or key stands twice. Error(input) with the file and the key or tensor.
[[nodiscard]] Header parse_header(const ByteSource& source);

/// The items of an array of strings; Error(input) naming `key` where it holds another type.
[[nodiscard]] std::vector<std::string> read_texts(const ByteSource& source, std::string_view key, const Array& array);

/// The items of an array of integers of any width.
[[nodiscard]] std::vector<std::int64_t> read_integers(const ByteSource& source, std::string_view key,
                                                      const Array& array);

/// Text of a file, in quotes, fit for a message: what is not printable is escaped, what is too long is cut.
[[nodiscard]] std::string in_quotes(std::string_view text);

}  // namespace d2c::source_gguf
