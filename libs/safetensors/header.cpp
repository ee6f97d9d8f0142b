#include "libs/json/json.hpp"
#include "libs/safetensors/safetensors.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>

namespace d2c::safetensors {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit

struct StoredType {
  std::string_view name;
  DType dtype;
  std::uint64_t bits;
};

constexpr StoredType kStoredTypes[] = {
    {"BOOL", DType::boolean, 8},
    {"F4", DType::none, 4},
    {"F6_E2M3", DType::none, 6},
    {"F6_E3M2", DType::none, 6},
    {"U8", DType::u8, 8},
    {"I8", DType::i8, 8},
    {"F8_E5M2", DType::none, 8},
    {"F8_E4M3", DType::none, 8},
    {"F8_E8M0", DType::none, 8},
    {"F8_E4M3FNUZ", DType::none, 8},
    {"F8_E5M2FNUZ", DType::none, 8},
    {"I16", DType::i16, 16},
    {"U16", DType::u16, 16},
    {"F16", DType::f16, 16},
    {"BF16", DType::bf16, 16},
    {"I32", DType::i32, 32},
    {"U32", DType::u32, 32},
    {"F32", DType::f32, 32},
    {"C64", DType::none, 64},
    {"F64", DType::f64, 64},
    {"I64", DType::i64, 64},
    {"U64", DType::u64, 64},
};

const StoredType* find_type(std::string_view name) {
  const auto* found = std::ranges::find(kStoredTypes, name, &StoredType::name);
  return found == std::end(kStoredTypes) ? nullptr : found;
}

std::uint64_t little_endian_u64(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  return value;
}

/// Reads the entry of one tensor; offsets in it are relative to the data.
class EntryParser {
 public:
  EntryParser(const std::string& where, const std::string& name, const Value& entry)
      : where_(where), name_(name), entry_(entry) {}

  [[nodiscard]] Tensor parse() const {
    if (!entry_.is_table()) refuse("its entry is not an object");
    const std::string& dtype = member("dtype", &Value::is_text, "a string").as_text();
    const StoredType* type = find_type(dtype);
    if (type == nullptr) refuse("unknown dtype '" + dtype + "'");
    const std::vector<std::int64_t> shape = naturals("shape");
    const std::vector<std::int64_t> range = naturals("data_offsets");
    if (range.size() != 2 || range[0] > range[1]) refuse("data_offsets is not [begin, end]");

    const auto begin = static_cast<std::uint64_t>(range[0]);
    const std::uint64_t size = static_cast<std::uint64_t>(range[1]) - begin;
    if (size != bytes_of_shape(shape, type->bits))
      refuse("shape " + to_string(shape) + " of " + dtype + " does not take the " + std::to_string(size) +
             " bytes of its data_offsets");
    return {name_, dtype, type->dtype, shape, begin, size};
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    fail_input(where_ + ": tensor '" + name_ + "': " + why + "; the file is damaged, fetch or save it again");
  }

  const Value& member(const char* key, bool (Value::*is_kind)() const noexcept, const char* kind) const {
    const Value* value = entry_.find(key);
    if (value == nullptr) refuse(std::string("has no ") + key);
    if (!(value->*is_kind)()) refuse(std::string(key) + " is not " + kind);
    return *value;
  }

  std::vector<std::int64_t> naturals(const char* key) const {
    std::vector<std::int64_t> numbers;
    for (const Value& item : member(key, &Value::is_list, "a list").items()) {
      if (!item.is_integer() || item.as_int() < 0) refuse(std::string(key) + " holds something that is no size");
      numbers.push_back(item.as_int());
    }
    return numbers;
  }

  std::uint64_t bytes_of_shape(const std::vector<std::int64_t>& shape, std::uint64_t bits) const {
    const std::optional<std::int64_t> count = checked_count(shape);
    if (!count || static_cast<std::uint64_t>(*count) > std::numeric_limits<std::uint64_t>::max() / bits)
      refuse("shape " + to_string(shape) + " overflows");
    const std::uint64_t total = static_cast<std::uint64_t>(*count) * bits;
    if (total % 8 != 0) refuse("shape " + to_string(shape) + " does not fill whole bytes");
    return total / 8;
  }

  const std::string& where_;
  const std::string& name_;
  const Value& entry_;
};

std::map<std::string, std::string> parse_metadata(const Value& metadata, const std::string& where) {
  std::map<std::string, std::string> out;
  if (metadata.is_null()) return out;
  if (!metadata.is_table()) fail_input(where + ": __metadata__ is not an object");
  for (const auto& [key, value] : metadata.members()) {
    if (!value.is_text()) fail_input(where + ": __metadata__: '" + key + "' is not a string");
    out.emplace(key, value.as_text());
  }
  return out;
}

/// Sorts tensors by their bytes, moves offsets from data to file and demands that they tile the data exactly.
void place(std::vector<Tensor>& tensors, std::uint64_t data_start, std::uint64_t file_size, const std::string& where) {
  std::ranges::sort(tensors, {},
                    [](const Tensor& t) { return std::tuple(t.offset, t.size, std::string_view(t.name)); });
  const std::uint64_t data_size = file_size - data_start;
  std::uint64_t end = 0;
  for (Tensor& t : tensors) {
    if (t.offset != end)
      fail_input(where + ": tensor '" + t.name + "' " +
                 (t.offset < end ? "overlaps the one before it" : "leaves a gap before it") + " (data offset " +
                 std::to_string(t.offset) + ", expected " + std::to_string(end) + ")");
    if (t.size > data_size - end)
      fail_input(where + ": tensor '" + t.name +
                 "' ends past the end of the file; the file is cut short, fetch it again");
    end += t.size;
    t.offset += data_start;
  }
  if (end != data_size)
    fail_input(where + ": " + std::to_string(data_size - end) +
               " bytes after the last tensor belong to none; the file is damaged");
}

}  // namespace

DType Tensor::require_dtype(const std::string& where) const {
  if (dtype == DType::none)
    fail_input(where + ": tensor '" + name + "' is stored as " + stored_dtype +
               ", which cannot be read; convert the checkpoint to BF16, F16 or F32");
  return dtype;
}

std::uint64_t header_size(std::span<const std::byte> start, std::uint64_t file_size, const std::string& where) {
  if (file_size < kLengthBytes || start.size() < kLengthBytes)
    fail_input(where + ": " + std::to_string(file_size) + " bytes are too few for a safetensors file");
  const std::uint64_t length = little_endian_u64(start);
  if (length > kMaxHeaderBytes)
    fail_input(where + ": a header of " + std::to_string(length) + " bytes is more than the format allows (" +
               std::to_string(kMaxHeaderBytes) + "); this is no safetensors file");
  if (length > file_size - kLengthBytes)
    fail_input(where + ": the header (" + std::to_string(length) + " bytes) ends past the end of the file (" +
               std::to_string(file_size) + " bytes); the file is cut short, fetch it again");
  return kLengthBytes + length;
}

Header parse_header(std::span<const std::byte> start, std::uint64_t file_size, const std::string& where) {
  const std::uint64_t data_start = header_size(start, file_size, where);
  if (start.size() < data_start) fail_input(where + ": the header is incomplete");
  const auto text = start.subspan(kLengthBytes, data_start - kLengthBytes);
  const Value root = json::parse({reinterpret_cast<const char*>(text.data()), text.size()}, where + ": header");
  if (!root.is_table()) fail_input(where + ": the header is not a JSON object");

  Header header;
  for (const auto& [name, entry] : root.members()) {
    if (name == "__metadata__") header.metadata = parse_metadata(entry, where);
    else header.tensors.push_back(EntryParser(where, name, entry).parse());
  }
  place(header.tensors, data_start, file_size, where);
  return header;
}

}  // namespace d2c::safetensors
