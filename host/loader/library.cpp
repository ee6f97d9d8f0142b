#include "host/loader/library.hpp"

#include <d2c/error.hpp>

#include <boost/dll/runtime_symbol_info.hpp>
#include <boost/dll/shared_library.hpp>

#include <vector>

namespace d2c::host {
namespace {

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

std::filesystem::path program_path() { return boost::dll::program_location().string(); }

}  // namespace d2c::host
