// weight.bin: the blob storage beside a model (version 2). A 64-byte header, then for every blob a 64-byte record with its
// data directly behind it, records at multiples of 64 and nothing after the last blob. All numbers are little-endian.
#pragma once

#include <d2c/tensor.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace d2c::coreml {

inline constexpr std::uint64_t kBlobAlignment = 64;
using BlobBlock = std::array<std::byte, kBlobAlignment>;

/// One blob. `offset` is where its record lies and what a model refers to; the data follow at data_offset().
struct BlobRecord {
  DType dtype = DType::none;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;     ///< bytes of data, padding bits included
  unsigned padding_bits = 0;  ///< unused high bits of the last byte; sub-byte types only

  [[nodiscard]] std::uint64_t data_offset() const noexcept { return offset + kBlobAlignment; }
  [[nodiscard]] std::uint64_t end() const noexcept { return data_offset() + size; }
};

/// Can the storage hold this type? Booleans, strings and 64-bit types it cannot.
[[nodiscard]] bool is_blob_dtype(DType dtype) noexcept;

[[nodiscard]] BlobBlock encode_blob_header(std::size_t blob_count);
[[nodiscard]] BlobBlock encode_blob_record(const BlobRecord& record);

/// Reads a record that was found at `offset` of a file of `file_size` bytes. Everything a record can lie about is checked;
/// Error(input) names `where`.
[[nodiscard]] BlobRecord decode_blob_record(std::span<const std::byte, kBlobAlignment> block, std::uint64_t offset,
                                            std::uint64_t file_size, const std::string& where);

/// Assigns places to blobs in the order they are added.
class BlobLayout {
 public:
  /// Throws Error(input) where the type cannot be stored or the tensor is empty or impossibly large.
  const BlobRecord& add(const TensorType& type);

  [[nodiscard]] const std::vector<BlobRecord>& records() const noexcept { return records_; }
  /// Exact size of the file; 0 without blobs, because then there is none.
  [[nodiscard]] std::uint64_t file_size() const noexcept { return records_.empty() ? 0 : records_.back().end(); }

 private:
  std::vector<BlobRecord> records_;
};

/// The table of contents of an existing file. Opening walks every record, so what the constructor accepts is gap-free,
/// free of overlaps and inside the file; errors are Error(input).
class BlobFile {
 public:
  explicit BlobFile(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] const std::vector<BlobRecord>& records() const noexcept { return records_; }

  /// The blob whose record lies at `offset`, which must hold exactly a tensor of `type`. `where` opens the message.
  [[nodiscard]] BlobRecord find(std::uint64_t offset, const TensorType& type, const std::string& where) const;

 private:
  std::filesystem::path path_;
  std::uint64_t size_ = 0;
  std::vector<BlobRecord> records_;  // in file order
};

}  // namespace d2c::coreml
