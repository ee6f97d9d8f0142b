// A shared library opened with Boost.DLL. Boost stays in library.cpp.
#pragma once

#include <d2c/abi.h>

#include <filesystem>
#include <memory>
#include <string>

namespace d2c::host {

class Library {
 public:
  /// Error(plugin) with the dynamic linker's own reason.
  explicit Library(const std::filesystem::path& path);
  ~Library();

  /// The exported entry, null where the library has none.
  [[nodiscard]] const d2c_plugin_entry* entry() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace d2c::host
