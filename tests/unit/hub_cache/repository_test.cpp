#include "libs/hub_cache/repository.hpp"
#include "tests/unit/hub_cache/cache_folder.hpp"

#include <d2c/error.hpp>

namespace d2c::hub {
namespace {

namespace fs = std::filesystem;

TEST(RepositoryId, IsAnOwnerAndAName) {
  for (const char* id : {"dphn/Dolphin3.0-Llama3.1-8B", "a/b", "meta-llama/Llama-3.2_1B"})
    EXPECT_TRUE(is_repository_id(id)) << id;
  for (const char* id : {"", "gpt2", "a/b/c", "/b", "a/", "../b", "a/..", ".a/b", "a/b.", "a--b/c", "a/b c", "a\n/b",
                         "a/b:c", "a/b..c", "-a/b"})
    EXPECT_FALSE(is_repository_id(id)) << id;
}

TEST(RevisionName, StaysBelowItsFolder) {
  for (const char* revision : {"main", "v1.0", "refs/pr/7", "0123abc"}) EXPECT_TRUE(is_revision(revision)) << revision;
  for (const char* revision : {"", "/main", "..", "a/../b", "a/..", "a//../b", "main/", "a\nb", "./a"})
    EXPECT_FALSE(is_revision(revision)) << revision;
  EXPECT_FALSE(is_revision(std::string("a\0b", 3)));
}

TEST(PlainFileName, HasNoFolder) {
  EXPECT_TRUE(is_plain_file_name("model-00001-of-00004.safetensors"));
  for (const char* name : {"", ".", "..", "a/b", "a\\b", "a\tb"}) EXPECT_FALSE(is_plain_file_name(name)) << name;
}

using RepositoryTest = CacheFolder;

TEST_F(RepositoryTest, FilesAreRelativeLinksToBlobs) {
  const Repository repository(cache_, "org/name");
  EXPECT_FALSE(repository.has(new_, "config.json"));
  const std::string blob = add(repository, new_, "config.json", "{}");
  EXPECT_TRUE(repository.has(new_, "config.json"));
  EXPECT_EQ(fs::read_symlink(cache_ / "models--org--name/snapshots" / new_ / "config.json"), "../../blobs/" + blob);
  fs::remove(repository.blob(blob));
  EXPECT_FALSE(repository.has(new_, "config.json"));
}

TEST_F(RepositoryTest, LinksReplaceWhatHasTheirName) {
  const Repository repository(cache_, "org/name");
  add(repository, new_, "config.json", "{}");
  const std::string blob = add(repository, new_, "config.json", "{\"a\": 1}");
  EXPECT_EQ(fs::read_symlink(repository.snapshot(new_) / "config.json").filename(), blob);
}

TEST_F(RepositoryTest, RefsRememberCommits) {
  const Repository repository(cache_, "org/name");
  EXPECT_EQ(repository.commit_of("refs/pr/7"), std::nullopt);
  repository.set_ref("refs/pr/7", old_);
  repository.set_ref("refs/pr/7", new_);
  EXPECT_EQ(repository.commit_of("refs/pr/7"), new_);
  EXPECT_EQ(repository.commit_of(old_), old_);
  write(repository.folder() / "refs/refs/pr/7", "../../../etc");
  EXPECT_EQ(repository.commit_of("refs/pr/7"), std::nullopt);
}

TEST_F(RepositoryTest, ABlobIsLockedOnce) {
  const Repository repository(cache_, "org/name");
  auto lock = repository.try_lock(old_);
  ASSERT_TRUE(lock);
  EXPECT_FALSE(repository.try_lock(old_));
  EXPECT_TRUE(repository.try_lock(new_));
  lock.reset();
  EXPECT_TRUE(repository.try_lock(old_));
}

TEST_F(RepositoryTest, ManyMayRelyOnItAndThenNobodyHasItWhole) {
  const Repository repository(cache_, "org/name");
  {
    const Lock first = repository.lock_shared(), second = repository.lock_shared();
    EXPECT_FALSE(repository.try_lock_whole());
  }
  EXPECT_TRUE(repository.try_lock_whole());
}

TEST(Repository, SaysWhereItCannotWrite) {
  try {
    Repository("/proc/cache", "org/name").create(std::string(40, '0'));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::resource);
    EXPECT_NE(std::string(e.what()).find("/proc/cache"), std::string::npos);
  }
}

}  // namespace
}  // namespace d2c::hub
