// A cache in a temporary folder, filled as downloads fill it.
#pragma once

#include "libs/hub_cache/blob_digest.hpp"
#include "libs/hub_cache/repository.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <span>
#include <string>

namespace d2c::hub {

inline std::string git_name(const std::string& bytes) {
  BlobDigest digest(std::string(40, '0'), bytes.size());
  digest.update(std::as_bytes(std::span(bytes)));
  return digest.finish();
}

inline void write(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

class CacheFolder : public ::testing::Test {
 protected:
  CacheFolder()
      : cache_(std::filesystem::temp_directory_path() /
               ("hub_cache_test." + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()))) {
    std::filesystem::remove_all(cache_);
  }
  ~CacheFolder() override { std::filesystem::remove_all(cache_); }

  /// The file's blob, and the file in a snapshot.
  std::string add(const Repository& repository, const std::string& commit, const std::string& file,
                  const std::string& bytes) const {
    repository.create(commit);
    write(repository.blob(git_name(bytes)), bytes);
    repository.link(commit, file, git_name(bytes));
    return git_name(bytes);
  }

  std::filesystem::path cache_;
  std::string old_ = std::string(40, 'a');
  std::string new_ = std::string(40, 'b');
};

}  // namespace d2c::hub
