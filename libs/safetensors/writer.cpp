#include "libs/safetensors/writer.hpp"

#include "libs/json/json.hpp"

#include <d2c/error.hpp>
#include <d2c/value.hpp>

#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

namespace d2c::safetensors {
namespace fs = std::filesystem;
namespace {

const char* spelled(DType type, const std::string& name) {
  switch (type) {
    case DType::boolean: return "BOOL";
    case DType::f16: return "F16";
    case DType::bf16: return "BF16";
    case DType::f32: return "F32";
    case DType::f64: return "F64";
    case DType::i8: return "I8";
    case DType::i16: return "I16";
    case DType::i32: return "I32";
    case DType::i64: return "I64";
    case DType::u8: return "U8";
    case DType::u16: return "U16";
    case DType::u32: return "U32";
    case DType::u64: return "U64";
    default: fail_usage("tensor '" + name + "': safetensors has no type " + std::string(name_of(type)));
  }
}

Value numbers(const Shape& shape) { return Value::List(shape.begin(), shape.end()); }

/// A file beside its final place; removed unless published.
class Draft {
 public:
  explicit Draft(const std::string& path) : path_(path), draft_(path + ".part") {
    const fs::path folder = fs::path(path).parent_path();
    std::error_code ignored;
    if (!folder.empty() && !fs::is_directory(folder, ignored))
      fail_usage(path + ": the folder " + folder.string() + " does not exist");
    file_ = std::fopen(draft_.c_str(), "wb");
    if (file_ == nullptr) give_up();
  }
  ~Draft() {
    if (file_ != nullptr) std::fclose(file_);
    if (!published_) std::remove(draft_.c_str());
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;

  void write(const void* data, std::size_t size) {
    if (size > 0 && std::fwrite(data, 1, size, file_) != size) give_up();
  }
  void publish() {
    if (std::fflush(file_) != 0 || ::fsync(::fileno(file_)) != 0) give_up();
    if (std::fclose(std::exchange(file_, nullptr)) != 0) give_up();
    if (std::rename(draft_.c_str(), path_.c_str()) != 0) give_up();
    published_ = true;
  }

 private:
  [[noreturn]] void give_up() const {
    fail(Code::resource, path_ + ": cannot be written: " + std::generic_category().message(errno));
  }

  std::string path_, draft_;
  std::FILE* file_ = nullptr;
  bool published_ = false;
};

}  // namespace

FileLayout::FileLayout(std::span<const Entry> entries, const std::map<std::string, std::string>& metadata) {
  Value header = Value::table();
  if (!metadata.empty()) {
    Value table = Value::table();
    for (const auto& [key, text] : metadata) table.set(key, text);
    header.set("__metadata__", std::move(table));
  }
  std::set<std::string_view> names;
  for (const Entry& e : entries) {
    if (!names.insert(e.name).second) fail_usage("tensor '" + e.name + "' would stand twice in one file");
    const std::uint64_t end = data_size_ + static_cast<std::uint64_t>(e.type.bytes());
    Value entry = Value::table();
    entry.set("dtype", spelled(e.type.dtype, e.name));
    entry.set("shape", numbers(e.type.shape));
    entry.set("data_offsets", numbers({static_cast<std::int64_t>(data_size_), static_cast<std::int64_t>(end)}));
    header.members().emplace_back(e.name, std::move(entry));
    starts_.push_back(std::exchange(data_size_, end));
  }
  std::string text = json::dump(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the tensors start aligned
  const std::uint64_t length = text.size();
  header_.resize(sizeof length);
  std::memcpy(header_.data(), &length, sizeof length);
  header_ += text;
}

void write_file(const std::string& path, std::span<const NamedTensor> tensors,
                const std::map<std::string, std::string>& metadata) {
  std::vector<FileLayout::Entry> entries;
  for (const NamedTensor& t : tensors) {
    if (t.type.bytes() != static_cast<std::int64_t>(t.data.size()))
      fail_usage("tensor '" + t.name + "' of " + t.type.text() + " comes with " + std::to_string(t.data.size()) +
                 " bytes");
    entries.push_back({t.name, t.type});
  }
  const FileLayout layout(entries, metadata);
  Draft draft(path);
  draft.write(layout.header().data(), layout.header().size());
  for (const NamedTensor& t : tensors) draft.write(t.data.data(), t.data.size());
  draft.publish();
}

}  // namespace d2c::safetensors
