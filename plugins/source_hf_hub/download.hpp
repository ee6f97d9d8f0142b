// Brings the files of one commit into the cache, several ranges of bytes at a time.
#pragma once

#include "libs/hub_cache/repository.hpp"
#include "plugins/source_hf_hub/blob_file.hpp"
#include "plugins/source_hf_hub/hub.hpp"
#include "plugins/source_hf_hub/transfers.hpp"

#include <d2c/plugin.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace d2c::hub {

/// One file. Ranges arrive in any order, wait in memory for those before them, and are written in order.
class FileDownload {
 public:
  struct Place {
    const Hub& hub;
    const Repository& repository;
    const std::string& commit;
  };
  using Advance = std::function<void(std::uint64_t bytes, bool file_done)>;

  FileDownload(const Place& place, RemoteFile file, Advance advance);

  /// Does a little of what must precede the first range: takes the lock, reads what is here already. `later`: somebody
  /// else is writing this blob. `never`: ready, or done.
  Transfers::Supply prepare(const Host& host);
  [[nodiscard]] bool done() const noexcept { return done_; }
  /// The next range to ask for; nothing where all of them were.
  [[nodiscard]] std::optional<Job> next();
  /// Ranges asked for and not yet written.
  [[nodiscard]] std::size_t under_way() const noexcept { return under_way_; }

 private:
  struct Piece {
    Range range;
    std::string bytes;  ///< as many as have arrived
  };

  void finish();
  [[nodiscard]] Request request(const Piece& piece) const;
  [[nodiscard]] Verdict take(Piece& piece, Response& response);
  [[nodiscard]] bool elsewhere(const Response& response) const;
  void arrived(Piece& piece);
  void write(const std::string& bytes);

  Place place_;
  RemoteFile file_;
  Advance advance_;
  std::string what_;
  std::string location_;  ///< where the hub sent the first request; empty: ask the hub
  std::optional<Lock> lock_;
  std::unique_ptr<BlobFile> blob_;
  std::uint64_t asked_ = 0;     ///< up to where ranges were asked for
  std::uint64_t reported_ = 0;  ///< up to where `advance_` was told
  std::size_t under_way_ = 0;
  std::map<std::uint64_t, std::string> early_;  ///< by first byte, until those before are there
  int corruptions_ = 0;
  bool told_waiting_ = false;
  bool ready_ = false;
  bool done_ = false;
};

/// Error(resource) before the first byte where the disk has too little room.
void download(const FileDownload::Place& place, const std::vector<RemoteFile>& files, const FetchRequest& listener,
              Transfers& transfers, const Host& host);

}  // namespace d2c::hub
