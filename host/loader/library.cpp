#include "host/loader/library.hpp"

#include <d2c/error.hpp>

#include <boost/dll/shared_library.hpp>

#include <fstream>
#include <vector>

#ifdef __ELF__
#include <elf.h>
#endif

namespace d2c::host {
namespace {

#ifdef __ELF__
/// The dynamic linker maps what the headers promise, and the process dies of SIGBUS where a cut file ends earlier.
bool is_cut(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  Elf64_Ehdr header{};
  if (!file.read(reinterpret_cast<char*>(&header), sizeof header)) return false;  // the linker names such files well
  if (std::string_view(reinterpret_cast<const char*>(header.e_ident), SELFMAG) != ELFMAG) return false;
  if (header.e_ident[EI_CLASS] != ELFCLASS64) return false;
  // The section table is what a linker writes last.
  const std::uint64_t size = std::filesystem::file_size(path);
  const std::uint64_t table = std::uint64_t{header.e_shnum} * header.e_shentsize;
  return header.e_shoff > size || table > size - header.e_shoff;
}
#else
bool is_cut(const std::filesystem::path&) { return false; }
#endif

/// Boost wraps the linker's message: "... (dlerror system message: /x.so: undefined symbol: foo): Bad file descriptor".
std::string linker_reason(const std::string& text) {
  static constexpr std::string_view kMark = "dlerror system message: ";
  const auto start = text.find(kMark);
  const auto end = text.rfind("): ");
  if (start == std::string::npos || end == std::string::npos) return text;
  return text.substr(start + kMark.size(), end - start - kMark.size());
}

}  // namespace

struct Library::Impl {
  boost::dll::shared_library library;
};

Library::Library(const std::filesystem::path& path) : impl_(std::make_unique<Impl>()) {
  if (is_cut(path)) fail(Code::plugin, path.string() + ": the file is cut short; copy it again");
  using mode = boost::dll::load_mode::type;
  try {
    impl_->library.load(path.string(), mode::rtld_now | mode::rtld_local);
  } catch (const boost::dll::fs::system_error& e) {
    std::string reason = linker_reason(e.what());
    if (reason.find(path.string()) == std::string::npos) reason = path.string() + ": " + reason;
    fail(Code::plugin, reason);
  }
}

Library::~Library() {
  // Never unloaded: exceptions, thread-local destructors and leak reports may still point into it. The library object
  // is leaked on purpose.
  static auto* const kept = new std::vector<boost::dll::shared_library>;
  kept->push_back(std::move(impl_->library));
}

const d2c_plugin_entry* Library::entry() const {
  if (!impl_->library.has("d2c_plugin")) return nullptr;
  return &impl_->library.get<const d2c_plugin_entry>("d2c_plugin");
}

}  // namespace d2c::host
