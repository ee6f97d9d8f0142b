// The record of finished work in a workspace: one JSON line per unit, durable before it counts.
#pragma once

#include <d2c/value.hpp>

#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace d2c::host {

struct JournalEntry {
  std::string key;     ///< which unit
  std::string digest;  ///< of everything that determines its bytes
  Value payload;       ///< what the report says about it
};

/// Not thread-safe.
class Journal {
 public:
  /// The whole lines of an earlier run's journal; a torn or foreign line ends the reading. Empty where there is none.
  [[nodiscard]] static std::vector<JournalEntry> read(const std::filesystem::path& file);

  /// Starts a journal that holds `kept` alone, replacing an earlier one in one step.
  Journal(std::filesystem::path file, std::span<const JournalEntry> kept);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// Durable on return. The bytes that an entry vouches for must be durable before.
  void append(std::span<const JournalEntry> entries);

 private:
  std::filesystem::path file_;
  int fd_ = -1;
};

}  // namespace d2c::host
