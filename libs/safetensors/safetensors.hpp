// Reads .safetensors files: a strictly checked header, and tensor bytes mapped or copied on demand.
#pragma once

#include <d2c/plugin.hpp>
#include <d2c/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::safetensors {

struct Tensor {
  std::string name;
  std::string stored_dtype;   ///< as the file spells it: "BF16", "F8_E4M3"
  DType dtype = DType::none;  ///< `none` where the framework has no such type (8-bit floats, complex numbers)
  Shape shape;
  std::uint64_t offset = 0;  ///< of the first byte, from the start of the file
  std::uint64_t size = 0;    ///< bytes

  /// `dtype`, or Error(input) naming the tensor and `where` (the file) where it is `none`.
  [[nodiscard]] DType require_dtype(const std::string& where) const;
};

struct Header {
  std::vector<Tensor> tensors;                  ///< in the order of their bytes, which follow one another without gaps
  std::map<std::string, std::string> metadata;  ///< "__metadata__"
};

/// The bytes a file's header takes, the 8 of its length included, from the first 8 bytes (or fewer, if the file has no
/// more) and the file's size. `where` (a file name) opens every error message; errors are Error(input).
[[nodiscard]] std::uint64_t header_size(std::span<const std::byte> start, std::uint64_t file_size,
                                        const std::string& where);

/// Checks and parses a header, given the first `header_size` bytes (or more) of a file of `file_size` bytes. Refuses
/// whatever the reference implementation refuses, and a name that stands twice.
[[nodiscard]] Header parse_header(std::span<const std::byte> start, std::uint64_t file_size, const std::string& where);

/// One open file. Const members are thread-safe.
///
///     const File file("model.safetensors");
///     if (const Tensor* t = file.find("model.norm.weight")) View bytes = file.map(*t, 0, t->size);
class File {
 public:
  /// Opens and checks the header; anything but a readable, valid regular file is Error(input).
  explicit File(std::string path);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const std::vector<Tensor>& tensors() const noexcept { return header_.tensors; }
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const noexcept { return header_.metadata; }
  /// Null where there is no such tensor; valid as long as the file.
  [[nodiscard]] const Tensor* find(std::string_view name) const;

  /// Maps bytes [offset, offset + size) of a tensor. They stay valid, even beyond the File, until the last copy of the
  /// view's owner goes, which gives their memory back. Aligned for the element type (a window the file misaligns is
  /// copied). A file that became shorter since it was opened is Error(input); one that is cut short while a view of it
  /// lives ends the process with SIGBUS on access, as with any mapping.
  [[nodiscard]] View map(const Tensor& tensor, std::uint64_t offset, std::uint64_t size) const;

  /// Copies bytes [offset, offset + out.size()) of a tensor.
  void read(const Tensor& tensor, std::uint64_t offset, std::span<std::byte> out) const;

 private:
  void check_window(const Tensor& tensor, std::uint64_t offset, std::uint64_t size) const;
  void read_at(std::uint64_t position, std::span<std::byte> out) const;

  std::string path_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
  Header header_;
  std::map<std::string_view, std::size_t> by_name_;  // keys point into header_.tensors
};

}  // namespace d2c::safetensors
