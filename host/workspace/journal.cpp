#include "host/workspace/journal.hpp"

#include "host/platform/files.hpp"
#include "libs/json/json.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace d2c::host {
namespace {

std::string lines_of(std::span<const JournalEntry> entries) {
  std::string text;
  for (const JournalEntry& entry : entries) {
    Value line = Value::table();
    line.set("key", entry.key);
    line.set("digest", entry.digest);
    line.set("payload", entry.payload);
    text += json::dump(line) + "\n";
  }
  return text;
}

[[noreturn]] void fail_write(const std::filesystem::path& file) {
  fail(Code::resource, file.string() + ": cannot write the journal: " + std::strerror(errno));
}

void write_durably(int fd, const std::string& text, const std::filesystem::path& file) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_write(file);
    done += static_cast<std::size_t>(n);
  }
  if (fsync(fd) != 0) fail_write(file);
}

}  // namespace

std::vector<JournalEntry> Journal::read(const std::filesystem::path& file) {
  std::vector<JournalEntry> entries;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line) && !in.eof();) {  // at eof: the newline is missing, the line is torn
    try {
      const Value v = json::parse(line, file.string());
      entries.push_back({v.at("key").as_text(), v.at("digest").as_text(), v.at("payload")});
    } catch (const Error&) {
      break;
    }
  }
  return entries;
}

Journal::Journal(std::filesystem::path file, std::span<const JournalEntry> kept) : file_(std::move(file)) {
  const std::filesystem::path fresh = file_.string() + ".new";
  fd_ = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) fail_write(fresh);
  try {
    write_durably(fd_, lines_of(kept), fresh);
    if (std::rename(fresh.c_str(), file_.c_str()) != 0) fail_write(file_);
  } catch (...) {
    close(fd_);
    throw;
  }
  sync_directory(file_.parent_path());
}

Journal::~Journal() { close(fd_); }

void Journal::append(std::span<const JournalEntry> entries) {
  if (!entries.empty()) write_durably(fd_, lines_of(entries), file_);
}

}  // namespace d2c::host
