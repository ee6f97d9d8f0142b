#include "plugins/source_gguf/header.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numeric>
#include <unordered_set>

namespace d2c::source_gguf {
namespace {

constexpr std::uint32_t kMagic = 0x46554747u;  // "GGUF"
constexpr std::uint32_t kDefaultAlignment = 32;
constexpr std::uint32_t kMaxDimensions = 4;
constexpr std::uint64_t kMaxKey = 65535;         // the format's own limit
constexpr std::uint64_t kMaxTensorName = 64;     // the format's own limit
constexpr std::uint64_t kMaxText = 16u << 20;    // far above any chat template
constexpr std::uint64_t kMaxEntries = 1u << 18;  // far above any model's tensors or keys
constexpr std::uint64_t kMaxItems = 1u << 23;    // far above any vocabulary
// What an entry takes at least, so that a count can be held against the file's size before anything is allocated.
constexpr std::uint64_t kLeastPair = 8 + 4 + 1;
constexpr std::uint64_t kLeastTensor = 8 + 4 + 8 + 4 + 8;

/// Size of a fixed-width value, 0 for strings, arrays and unknown types.
constexpr std::uint64_t size_of(ValueType type) noexcept {
  switch (type) {
    case ValueType::u8:
    case ValueType::i8:
    case ValueType::boolean: return 1;
    case ValueType::u16:
    case ValueType::i16: return 2;
    case ValueType::u32:
    case ValueType::i32:
    case ValueType::f32: return 4;
    case ValueType::u64:
    case ValueType::i64:
    case ValueType::f64: return 8;
    default: return 0;
  }
}

bool is_utf8(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<std::uint8_t>(text[i++]);
    if (lead < 0x80) continue;
    const int tail = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || text.size() - i < static_cast<std::size_t>(tail)) return false;
    std::uint32_t point = lead & (0x3fu >> tail);
    for (int k = 0; k < tail; ++k) {
      const auto byte = static_cast<std::uint8_t>(text[i++]);
      if ((byte & 0xc0) != 0x80) return false;
      point = (point << 6) | (byte & 0x3fu);
    }
    constexpr std::uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (point < kLeast[tail] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
  }
  return true;
}

/// The decimal number a 32-bit real was written as.
double decimal(float value) {
  if (!std::isfinite(value)) return value;
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  double result = value;
  std::from_chars(digits, end, result);
  return result;
}

/// Reads forward through a window. Its errors name the file and what was being read.
class Cursor {
 public:
  Cursor(const ByteSource& source, std::uint64_t position) : source_(source), position_(position) {}

  void reading(std::string what) { what_ = std::move(what); }
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  [[nodiscard]] std::uint64_t remaining() const noexcept { return source_.size() - position_; }
  [[noreturn]] void fail(const std::string& problem) const {
    fail_input(source_.name() + ": " + what_ + " " + problem);
  }

  void require(std::uint64_t bytes) const {
    if (bytes > remaining()) {
      fail("needs " + std::to_string(bytes) + " bytes where the file has " + std::to_string(remaining()) +
           " left; it is truncated or damaged");
    }
  }

  template <class T>
  T number() {
    T value;
    copy(&value, sizeof value);
    return value;
  }

  std::string text(std::uint64_t limit) {
    std::string text(checked_length(limit), '\0');
    copy(text.data(), text.size());
    if (!is_utf8(text)) fail("is not UTF-8 text");
    return text;
  }

  void skip_text() { skip(number<std::uint64_t>()); }

  void skip(std::uint64_t bytes) {
    require(bytes);
    position_ += bytes;
  }

 private:
  static constexpr std::size_t kWindow = 64u << 10;

  std::size_t checked_length(std::uint64_t limit) {
    const auto length = number<std::uint64_t>();
    require(length);
    if (length > limit)
      fail("is text of " + std::to_string(length) + " bytes, more than the " + std::to_string(limit) + " allowed");
    return static_cast<std::size_t>(length);
  }

  void copy(void* out, std::size_t bytes) {
    require(bytes);
    if (bytes > kWindow) {
      source_.read(position_, {static_cast<std::byte*>(out), bytes});
    } else if (bytes > 0) {
      if (position_ < start_ || position_ + bytes > start_ + window_.size()) refill();
      std::memcpy(out, window_.data() + (position_ - start_), bytes);
    }
    position_ += bytes;
  }

  void refill() {
    start_ = position_;
    window_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kWindow, remaining())));
    source_.read(start_, window_);
  }

  const ByteSource& source_;
  std::uint64_t position_;
  std::string what_ = "the header";
  std::uint64_t start_ = 0;
  std::vector<std::byte> window_;
};

std::int64_t read_integer(Cursor& cursor, ValueType type) {
  switch (type) {
    case ValueType::u8: return cursor.number<std::uint8_t>();
    case ValueType::i8: return cursor.number<std::int8_t>();
    case ValueType::u16: return cursor.number<std::uint16_t>();
    case ValueType::i16: return cursor.number<std::int16_t>();
    case ValueType::u32: return cursor.number<std::uint32_t>();
    case ValueType::i32: return cursor.number<std::int32_t>();
    case ValueType::i64: return cursor.number<std::int64_t>();
    case ValueType::u64: {
      const auto value = cursor.number<std::uint64_t>();
      if (value > static_cast<std::uint64_t>(INT64_MAX)) cursor.fail("holds an integer beyond 63 bits");
      return static_cast<std::int64_t>(value);
    }
    default: cursor.fail("holds no integers");
  }
}

class Parser {
 public:
  explicit Parser(const ByteSource& source) : source_(source), cursor_(source, 0), metadata_(source.name()) {}

  Header parse() {
    read_counts();
    for (std::uint64_t k = 0; k < pair_count_; ++k) read_pair(k);
    read_alignment();
    for (std::uint64_t t = 0; t < tensor_count_; ++t) read_tensor(t);
    place_tensors();
    return {std::move(metadata_), std::move(tensors_)};
  }

 private:
  void read_counts() {
    if (source_.size() < 4 || cursor_.number<std::uint32_t>() != kMagic)
      fail_input(source_.name() + ": is not a GGUF file");
    const auto version = cursor_.number<std::uint32_t>();
    if (version == 0x02000000u || version == 0x03000000u) {
      fail_input(source_.name() + ": is big-endian; only little-endian GGUF files are supported");
    }
    if (version != 2 && version != 3) {
      fail_input(source_.name() + ": has GGUF version " + std::to_string(version) + "; versions 2 and 3 are supported");
    }
    tensor_count_ = cursor_.number<std::uint64_t>();
    pair_count_ = cursor_.number<std::uint64_t>();
    check_count("tensors", tensor_count_, kLeastTensor);
    check_count("metadata keys", pair_count_, kLeastPair);
  }

  void check_count(const char* what, std::uint64_t count, std::uint64_t least_size) const {
    if (count > kMaxEntries || count > cursor_.remaining() / least_size) {
      cursor_.fail("announces " + std::to_string(count) + " " + what + ", more than the file can hold");
    }
  }

  void read_pair(std::uint64_t index) {
    cursor_.reading("metadata key " + std::to_string(index));
    std::string key = cursor_.text(kMaxKey);
    if (key.empty()) cursor_.fail("is empty");
    cursor_.reading("the value of " + in_quotes(key));
    const auto type = static_cast<ValueType>(cursor_.number<std::uint32_t>());
    MetadataValue value = read_value(type);
    if (!metadata_.add(key, std::move(value)))
      fail_input(source_.name() + ": the key " + in_quotes(key) + " stands twice");
  }

  MetadataValue read_value(ValueType type) {
    switch (type) {
      case ValueType::f32: return decimal(cursor_.number<float>());
      case ValueType::f64: return cursor_.number<double>();
      case ValueType::boolean: return read_boolean();
      case ValueType::string: return cursor_.text(kMaxText);
      case ValueType::array: return read_array();
      case ValueType::u64: return read_unsigned();
      default: break;
    }
    if (size_of(type) == 0) cursor_.fail("has the unknown type " + std::to_string(static_cast<std::uint32_t>(type)));
    return read_integer(cursor_, type);
  }

  MetadataValue read_unsigned() {
    const auto value = cursor_.number<std::uint64_t>();
    if (value > static_cast<std::uint64_t>(INT64_MAX)) return static_cast<double>(value);
    return static_cast<std::int64_t>(value);
  }

  bool read_boolean() {
    const auto value = cursor_.number<std::uint8_t>();
    if (value > 1) cursor_.fail("is a boolean of value " + std::to_string(value));
    return value == 1;
  }

  Array read_array() {
    const auto type = static_cast<ValueType>(cursor_.number<std::uint32_t>());
    const auto count = cursor_.number<std::uint64_t>();
    const Array array{type, count, cursor_.position()};
    if (type == ValueType::array) cursor_.fail("is an array of arrays, which no Llama model has");
    if (type == ValueType::string) {
      if (count > cursor_.remaining() / sizeof(std::uint64_t)) fail_length(count);
      for (std::uint64_t i = 0; i < count; ++i) cursor_.skip_text();
      return array;
    }
    const std::uint64_t size = size_of(type);
    if (size == 0) cursor_.fail("is an array of the unknown type " + std::to_string(static_cast<std::uint32_t>(type)));
    if (count > cursor_.remaining() / size) fail_length(count);
    cursor_.skip(count * size);
    return array;
  }

  [[noreturn]] void fail_length(std::uint64_t count) const {
    cursor_.fail("is an array of " + std::to_string(count) + " items, more than the file can hold");
  }

  void read_alignment() {
    const auto alignment = metadata_.integer("general.alignment");
    if (!alignment) return;
    if (*alignment <= 0 || *alignment > INT32_MAX || !std::has_single_bit(static_cast<std::uint64_t>(*alignment))) {
      metadata_.fail_at("general.alignment", "is " + std::to_string(*alignment) + ", not a power of two");
    }
    alignment_ = static_cast<std::uint64_t>(*alignment);
  }

  void read_tensor(std::uint64_t index) {
    cursor_.reading("the name of tensor " + std::to_string(index));
    TensorRecord tensor{cursor_.text(kMaxTensorName), nullptr, {}, 0, 0};
    if (tensor.name.empty()) cursor_.fail("is empty");
    cursor_.reading("tensor " + in_quotes(tensor.name));
    if (!names_.insert(tensor.name).second) cursor_.fail("stands twice");
    tensor.shape = read_shape();
    tensor.format = read_format();
    tensor.bytes = stored_bytes(tensor);
    tensor.offset = cursor_.number<std::uint64_t>();
    if (tensor.offset % alignment_ != 0) {
      cursor_.fail("starts at offset " + std::to_string(tensor.offset) + ", no multiple of the alignment " +
                   std::to_string(alignment_));
    }
    tensors_.push_back(std::move(tensor));
  }

  Shape read_shape() {
    const auto rank = cursor_.number<std::uint32_t>();
    if (rank == 0 || rank > kMaxDimensions)
      cursor_.fail("has " + std::to_string(rank) + " dimensions instead of 1 to 4");
    Shape shape(rank);
    for (auto d = shape.rbegin(); d != shape.rend(); ++d) {
      const auto size = cursor_.number<std::uint64_t>();
      if (size == 0 || size > static_cast<std::uint64_t>(INT64_MAX))
        cursor_.fail("has a dimension of " + std::to_string(size));
      *d = static_cast<std::int64_t>(size);
    }
    return shape;
  }

  const BlockFormat* read_format() {
    const auto type = cursor_.number<std::uint32_t>();
    if (const BlockFormat* format = find_block_format(type)) return format;
    std::string supported;
    for (const BlockFormat& f : block_formats()) supported += (supported.empty() ? "" : ", ") + std::string(f.name);
    cursor_.fail("is stored as " + ggml_type_name(type) + ", which is not supported; convert the model to one of " +
                 supported);
  }

  std::uint64_t stored_bytes(const TensorRecord& tensor) const {
    const BlockFormat& format = *tensor.format;
    const auto elements = checked_count(tensor.shape);
    if (!elements || *elements > INT64_MAX / format.bytes)
      cursor_.fail("has the impossible shape " + to_string(tensor.shape));
    if (tensor.shape.back() % format.elements != 0) {
      cursor_.fail("has rows of " + std::to_string(tensor.shape.back()) + " elements, which blocks of " +
                   std::to_string(format.elements) + " (" + format.name + ") do not divide");
    }
    return static_cast<std::uint64_t>(*elements / format.elements * format.bytes);
  }

  /// Turns offsets into positions in the file and checks that every tensor has its bytes for itself.
  void place_tensors() {
    const std::uint64_t padding = (alignment_ - cursor_.position() % alignment_) % alignment_;
    const std::uint64_t data = cursor_.position() + padding;
    const std::uint64_t available = source_.size() - std::min(source_.size(), data);
    for (TensorRecord& t : tensors_) {
      if (t.offset > available || t.bytes > available - t.offset) {
        fail_input(source_.name() + ": tensor " + in_quotes(t.name) + " needs " + std::to_string(t.bytes) +
                   " bytes at offset " + std::to_string(t.offset) + ", the file has " + std::to_string(available) +
                   " bytes of data; it is truncated or damaged");
      }
      t.offset += data;
    }
    check_overlaps();
  }

  void check_overlaps() const {
    std::vector<const TensorRecord*> order(tensors_.size());
    std::transform(tensors_.begin(), tensors_.end(), order.begin(), [](const TensorRecord& t) { return &t; });
    std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
    for (std::size_t i = 1; i < order.size(); ++i) {
      if (order[i - 1]->offset + order[i - 1]->bytes > order[i]->offset) {
        fail_input(source_.name() + ": tensors " + in_quotes(order[i - 1]->name) + " and " + in_quotes(order[i]->name) +
                   " overlap");
      }
    }
  }

  const ByteSource& source_;
  Cursor cursor_;
  Metadata metadata_;
  std::uint64_t tensor_count_ = 0, pair_count_ = 0;
  std::uint64_t alignment_ = kDefaultAlignment;
  std::vector<TensorRecord> tensors_;
  std::unordered_set<std::string> names_;
};

}  // namespace

bool Metadata::is_array(std::string_view key) const {
  const auto found = values_.find(std::string(key));
  return found != values_.end() && std::holds_alternative<Array>(found->second);
}

void Metadata::fail_at(std::string_view key, const std::string& problem) const {
  fail_input(file_ + ": the key '" + std::string(key) + "' " + problem);
}

Header parse_header(const ByteSource& source) { return Parser(source).parse(); }

std::vector<std::string> read_texts(const ByteSource& source, std::string_view key, const Array& array) {
  Cursor cursor(source, array.offset);
  cursor.reading("an item of '" + std::string(key) + "'");
  if (array.type != ValueType::string) cursor.fail("is no string");
  if (array.count > kMaxItems) cursor.fail("is one of " + std::to_string(array.count) + ", too many");
  std::vector<std::string> texts;
  texts.reserve(static_cast<std::size_t>(array.count));
  for (std::uint64_t i = 0; i < array.count; ++i) texts.push_back(cursor.text(kMaxText));
  return texts;
}

std::vector<std::int64_t> read_integers(const ByteSource& source, std::string_view key, const Array& array) {
  Cursor cursor(source, array.offset);
  cursor.reading("the array '" + std::string(key) + "'");
  if (array.count > kMaxItems) cursor.fail("has " + std::to_string(array.count) + " items, too many");
  std::vector<std::int64_t> integers;
  for (std::uint64_t i = 0; i < array.count; ++i) integers.push_back(read_integer(cursor, array.type));
  return integers;
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 80;
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "'";
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<std::uint8_t>(c);
    if (byte >= 0x20 && byte < 0x7f) out += c;
    else out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
  }
  return out + (text.size() > kLongest ? "...'" : "'");
}

}  // namespace d2c::source_gguf
