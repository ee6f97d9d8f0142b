#include "plugins/source_hf_hub/download.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <system_error>
#include <utility>

namespace d2c::hub {
namespace fs = std::filesystem;
namespace {

using Supply = Transfers::Supply;

constexpr std::uint64_t kPiece = 4u << 20;
/// One range for every connection, and as many again that wait for a slow one.
constexpr std::size_t kWindow = 2 * Transfers::kConnections;
constexpr int kMaxCorruptions = 3;
/// An attempt that brought this much did not fail in vain.
constexpr std::size_t kProgress = 256u << 10;

/// Why an answer has fewer bytes than were asked for.
std::string shortage(const Response& response) { return response.error.empty() ? "a short answer" : response.error; }

/// A place the hub sends to is good for a while only.
bool location_expired(int status) { return status == 401 || status == 403 || status == 404 || status == 410; }

/// Bytes of a file that are still to come, by what is on disk.
std::uint64_t missing_bytes(const Repository& repository, const RemoteFile& file) {
  std::error_code error;
  if (fs::is_regular_file(repository.blob(file.blob), error)) return 0;
  const std::uintmax_t here = fs::file_size(repository.incomplete(file.blob), error);
  return error || here > file.size ? file.size : file.size - here;
}

void require_space(const Repository& repository, std::uint64_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(repository.folder(), error);
  if (error || space.available >= bytes) return;
  fail(Code::resource, repository.folder().string() + ": " + std::to_string(bytes) + " bytes are to be downloaded, " +
                           std::to_string(space.available) +
                           " are free; free space, or point HF_HUB_CACHE to a larger disk");
}

/// Files in their order, so that the first are complete early; a file that somebody else writes is passed over.
Supply supply(std::deque<FileDownload>& downloads, Transfers& transfers, const Host& host) {
  std::size_t under_way = 0;
  for (const FileDownload& d : downloads) under_way += d.under_way();
  Supply state = Supply::never;
  for (FileDownload& d : downloads) {
    if (d.done()) continue;
    state = Supply::later;
    if (under_way >= kWindow) break;
    const Supply preparation = d.prepare(host);
    if (preparation == Supply::more || d.done()) return Supply::more;
    if (preparation == Supply::later) continue;
    if (auto job = d.next()) {
      transfers.add(std::move(*job));
      return Supply::more;
    }
  }
  return state;
}

}  // namespace

FileDownload::FileDownload(const Place& place, RemoteFile file, Advance advance)
    : place_(place), file_(std::move(file)), advance_(std::move(advance)), what_(place.hub.title_of(file_.name)) {}

Supply FileDownload::prepare(const Host& host) {
  if (done_ || ready_) return Supply::never;
  if (!lock_) {
    lock_ = place_.repository.try_lock(file_.blob);
    if (!lock_ && !std::exchange(told_waiting_, true)) host.info(file_.name + ": is being downloaded already, waiting");
    if (!lock_) return Supply::later;
  }
  if (!blob_) {
    std::error_code ignored;
    if (fs::is_regular_file(place_.repository.blob(file_.blob), ignored)) {
      finish();
      return Supply::never;
    }
    blob_ = std::make_unique<BlobFile>(place_.repository, file_.blob, file_.size);
  }
  if (blob_->reread()) return Supply::more;
  ready_ = true;
  asked_ = reported_ = blob_->position();
  if (asked_ == file_.size) write({});
  return Supply::never;
}

std::optional<Job> FileDownload::next() {
  if (done_ || asked_ == file_.size) return std::nullopt;
  const auto piece = std::make_shared<Piece>(Piece{{asked_, std::min(kPiece, file_.size - asked_)}, {}});
  asked_ += piece->range.count;
  ++under_way_;
  return Job{what_, [this, piece] { return request(*piece); },
             [this, piece](Response& response) { return take(*piece, response); }};
}

Request FileDownload::request(const Piece& piece) const {
  Request request{location_.empty() ? place_.hub.url_of(place_.commit, file_.name) : location_, false, {}, 0};
  const std::uint64_t here = piece.bytes.size();
  const Range range{piece.range.first + here, piece.range.count - here};
  // A server that knows no ranges can still serve what fits into one.
  if (range.count != file_.size) request.range = range;
  request.max_bytes = range.count;
  return request;
}

Verdict FileDownload::take(Piece& piece, Response& response) {
  const bool success = response.status == 200 || response.status == 206;
  if (!success) {
    if (std::string trouble = passing_trouble(response); !trouble.empty()) return {std::move(trouble)};
    if (elsewhere(response) && location_expired(response.status)) {
      location_.clear();
      return {"HTTP " + std::to_string(response.status) + " from where the hub sent us"};
    }
    if (response.status == 416) return {"the server has fewer bytes than it announced (HTTP 416)"};
    place_.hub.refuse(response, what_);
  }
  if (std::string wrong = wrong_bytes(response, request(piece).range, file_.size); !wrong.empty()) {
    piece.bytes.clear();
    return {"the server sent " + wrong};
  }
  if (elsewhere(response)) location_ = response.url;
  piece.bytes += response.body;
  if (piece.bytes.size() < piece.range.count) return {shortage(response), response.body.size() >= kProgress};
  arrived(piece);
  return {};
}

/// Not from the hub itself, but from where it keeps large files.
bool FileDownload::elsewhere(const Response& response) const {
  return origin_of(response.url) != origin_of(place_.hub.url_of(place_.commit, file_.name));
}

void FileDownload::arrived(Piece& piece) {
  early_.emplace(piece.range.first, std::move(piece.bytes));
  while (!early_.empty() && early_.begin()->first == blob_->position()) {
    const std::string bytes = std::move(early_.extract(early_.begin()).mapped());
    --under_way_;
    write(bytes);
  }
}

void FileDownload::write(const std::string& bytes) {
  blob_->append(std::as_bytes(std::span(bytes)));
  const std::uint64_t position = blob_->position();
  if (position > reported_) advance_(position - std::exchange(reported_, position), position == file_.size);
  if (position < file_.size) return;
  if (blob_->publish()) {
    finish();
    return;
  }
  if (++corruptions_ >= kMaxCorruptions || file_.size == 0)
    fail(Code::network, what_ + ": its bytes do not have the digest that the server announced (" + file_.blob + "), " +
                            std::to_string(corruptions_) + " times; the server or the way to it corrupts data");
  asked_ = 0;
}

void FileDownload::finish() {
  place_.repository.link(place_.commit, file_.name, file_.blob);
  blob_.reset();
  lock_.reset();
  done_ = true;
}

void download(const FileDownload::Place& place, const std::vector<RemoteFile>& files, const FetchRequest& listener,
              Transfers& transfers, const Host& host) {
  if (files.empty()) return;
  std::uint64_t missing = 0;
  for (const RemoteFile& file : files) missing += missing_bytes(place.repository, file);
  require_space(place.repository, missing);
  listener.begin(missing, files.size());
  std::deque<FileDownload> downloads;
  for (const RemoteFile& file : files) downloads.emplace_back(place, file, listener.advance);
  transfers.run([&] { return supply(downloads, transfers, host); });
}

}  // namespace d2c::hub
