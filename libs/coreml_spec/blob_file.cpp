#include "libs/coreml_spec/blob_file.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>

namespace d2c::coreml {
namespace {

constexpr std::uint32_t kVersion = 2;
constexpr std::uint32_t kSentinel = 0xDEADBEEF;

struct StorageCode {
  std::uint32_t code;
  DType dtype;
};
constexpr StorageCode kCodes[] = {
    {1, DType::f16}, {2, DType::f32}, {3, DType::u8},  {4, DType::i8},   {5, DType::bf16},
    {6, DType::i16}, {7, DType::u16}, {8, DType::i4},  {9, DType::u1},   {10, DType::u2},
    {11, DType::u4}, {12, DType::u3}, {13, DType::u6}, {14, DType::i32}, {15, DType::u32},
};

std::uint32_t code_of(DType dtype) noexcept {
  const auto* found = std::ranges::find(kCodes, dtype, &StorageCode::dtype);
  return found == std::end(kCodes) ? 0 : found->code;
}

DType dtype_of(std::uint32_t code) noexcept {
  const auto* found = std::ranges::find(kCodes, code, &StorageCode::code);
  return found == std::end(kCodes) ? DType::none : found->dtype;
}

template <class Integer>
void put(std::span<std::byte> block, std::size_t at, Integer value) {
  for (std::size_t i = 0; i < sizeof value; ++i) block[at + i] = static_cast<std::byte>(value >> (8 * i));
}

template <class Integer>
Integer get(std::span<const std::byte> block, std::size_t at) {
  Integer value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i)
    value |= static_cast<Integer>(std::to_integer<Integer>(block[at + i]) << (8 * i));
  return value;
}

constexpr std::uint64_t align_up(std::uint64_t offset) noexcept {
  return (offset + kBlobAlignment - 1) / kBlobAlignment * kBlobAlignment;
}

constexpr unsigned padding_bits(DType dtype, std::int64_t count) noexcept {
  const auto used = static_cast<unsigned>(count % 8 * bits_of(dtype) % 8);
  return (8 - used) % 8;
}

std::string at(const std::string& where, std::uint64_t offset) {
  return where + ": record at offset " + std::to_string(offset);
}

}  // namespace

bool is_blob_dtype(DType dtype) noexcept { return code_of(dtype) != 0; }

BlobBlock encode_blob_header(std::size_t blob_count) {
  if (blob_count > std::numeric_limits<std::uint32_t>::max()) fail_input("too many blobs for one weight file");
  BlobBlock block{};
  put(block, 0, static_cast<std::uint32_t>(blob_count));
  put(block, 4, kVersion);
  return block;
}

BlobBlock encode_blob_record(const BlobRecord& record) {
  BlobBlock block{};
  put(block, 0, kSentinel);
  put(block, 4, code_of(record.dtype));
  put(block, 8, record.size);
  put(block, 16, record.data_offset());
  put(block, 24, std::uint64_t{record.padding_bits});
  return block;
}

BlobRecord decode_blob_record(std::span<const std::byte, kBlobAlignment> block, std::uint64_t offset,
                              std::uint64_t file_size, const std::string& where) {
  if (get<std::uint32_t>(block, 0) != kSentinel)
    fail_input(at(where, offset) + " has no blob mark; the file is damaged");
  const auto code = get<std::uint32_t>(block, 4);
  const DType dtype = dtype_of(code);
  if (dtype == DType::none) fail_input(at(where, offset) + " has unknown type code " + std::to_string(code));
  const auto size = get<std::uint64_t>(block, 8);
  const auto data = get<std::uint64_t>(block, 16);
  const auto padding = get<std::uint64_t>(block, 24);
  if (offset > file_size || file_size - offset < kBlobAlignment || data != offset + kBlobAlignment)
    fail_input(at(where, offset) + " says its data lie at " + std::to_string(data) + ", not directly behind it");
  if (size > file_size - data)
    fail_input(at(where, offset) + " claims " + std::to_string(size) + " bytes, but the file ends after " +
               std::to_string(file_size - data) + "; it is truncated or damaged");
  const auto bits = static_cast<std::uint64_t>(bits_of(dtype));
  if (padding > 7 || (padding != 0 && (bits >= 8 || size == 0)))
    fail_input(at(where, offset) + " claims " + std::to_string(padding) + " padding bits");
  return {dtype, offset, size, static_cast<unsigned>(padding)};
}

const BlobRecord& BlobLayout::add(const TensorType& type) {
  if (!is_blob_dtype(type.dtype)) fail_input(type.text() + " cannot be stored in a weight file");
  // Elements of at most 4 bytes, and room left for the file's offsets: sizes can neither wrap here nor in a file system.
  constexpr std::int64_t kMaxCount = std::int64_t{1} << 56;
  const std::int64_t count = type.count();
  if (count == 0) fail_input("an empty tensor cannot be stored in a weight file: " + type.text());
  const std::uint64_t start = records_.empty() ? kBlobAlignment : align_up(records_.back().end());
  if (count > kMaxCount || start > static_cast<std::uint64_t>(kMaxCount))
    fail_input("tensor too large for a weight file: " + type.text());
  return records_.emplace_back(BlobRecord{type.dtype, start, static_cast<std::uint64_t>(bytes_of(type.dtype, count)),
                                          padding_bits(type.dtype, count)});
}

BlobFile::BlobFile(const std::filesystem::path& path) : path_(path) {
  std::error_code error;
  // Opening anything else than a file could block (a pipe) or read something that is no package (a device).
  if (!std::filesystem::is_regular_file(path, error)) fail_input(path.string() + ": no such weight file");
  size_ = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) fail_input(path.string() + ": cannot be read");
  const auto read = [&](std::uint64_t offset) {
    BlobBlock block;
    file.seekg(static_cast<std::streamoff>(offset));
    if (!file.read(reinterpret_cast<char*>(block.data()), block.size()))
      fail_input(path.string() + ": ends at byte " + std::to_string(size_) +
                 ", where a record was to follow; it is truncated");
    return block;
  };
  const BlobBlock header = read(0);
  const auto version = get<std::uint32_t>(header, 4);
  if (version != kVersion)
    fail_input(path.string() + ": storage version " + std::to_string(version) + "; only version 2 is known");
  std::uint64_t next = kBlobAlignment;
  for (auto left = get<std::uint32_t>(header, 0); left > 0; --left) {
    records_.push_back(decode_blob_record(read(next), next, size_, path.string()));
    next = align_up(records_.back().end());
  }
  const std::uint64_t end = records_.empty() ? kBlobAlignment : records_.back().end();
  if (size_ > align_up(end))
    fail_input(path.string() + ": " + std::to_string(size_ - end) +
               " bytes follow the last blob that its header counts");
}

BlobRecord BlobFile::find(std::uint64_t offset, const TensorType& type, const std::string& where) const {
  const auto found = std::ranges::lower_bound(records_, offset, {}, &BlobRecord::offset);
  if (found == records_.end() || found->offset != offset)
    fail_input(where + ": no blob at offset " + std::to_string(offset) + " of " + path_.string());
  if (found->dtype != type.dtype)
    fail_input(where + ": is " + type.text() + ", but the blob at offset " + std::to_string(offset) + " holds " +
               std::string(name_of(found->dtype)));
  // A count in bits that fits the file cannot overflow; an impossible one is refused first.
  const std::int64_t count = type.count();
  const auto bits = static_cast<std::int64_t>(bits_of(type.dtype));
  const bool fits = count <= std::numeric_limits<std::int64_t>::max() / bits;
  if (!fits || static_cast<std::uint64_t>(bytes_of(type.dtype, count)) != found->size ||
      padding_bits(type.dtype, count) != found->padding_bits)
    fail_input(where + ": " + type.text() + " does not match the " + std::to_string(found->size) +
               " bytes of the blob at offset " + std::to_string(offset));
  return *found;
}

}  // namespace d2c::coreml
