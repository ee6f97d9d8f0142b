#include "libs/hub_cache/contents.hpp"
#include "tests/unit/hub_cache/cache_folder.hpp"

#include <gmock/gmock.h>

namespace d2c::hub {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Contents = CacheFolder;

TEST_F(Contents, AreListedByModelAndCommit) {
  const Repository b(cache_, "org/b"), a(cache_, "org/a-1");
  add(b, new_, "config.json", "{}");
  add(a, new_, "config.json", "{}");
  add(a, new_, "tokenizer.json", "{\"t\": 1}");
  a.set_ref("main", new_);
  fs::create_directories(cache_ / "datasets--org--c/blobs");
  fs::create_directories(cache_ / "models--strange");
  const auto models = read_cache(cache_);
  ASSERT_THAT(models, SizeIs(2));
  EXPECT_EQ(models[0].id, "org/a-1");
  EXPECT_EQ(models[0].bytes, 10u);
  ASSERT_THAT(models[0].snapshots, SizeIs(1));
  EXPECT_THAT(models[0].snapshots[0].refs, ElementsAre("main"));
  EXPECT_THAT(models[0].snapshots[0].files, ElementsAre("config.json", "tokenizer.json"));
  EXPECT_EQ(models[1].id, "org/b");
}

TEST_F(Contents, OfAMissingCacheAreNone) { EXPECT_THAT(read_cache(cache_), IsEmpty()); }

TEST_F(Contents, AreVerifiedByTheirNames) {
  const Repository repository(cache_, "org/name");
  add(repository, new_, "config.json", "{}");
  const std::string damaged = add(repository, new_, "a.json", "[1]"), gone = add(repository, new_, "b.json", "[2]");
  write(repository.incomplete(old_), "half");
  std::uint64_t bytes = 0;
  const auto check = [&] { return verify(read_cache(cache_).at(0), [&](std::uint64_t n) { bytes += n; }); };
  EXPECT_THAT(check(), IsEmpty());
  EXPECT_EQ(bytes, 8u);
  write(repository.blob(damaged), "[3]");
  fs::remove(repository.blob(gone));
  const auto damage = check();
  ASSERT_THAT(damage, SizeIs(2));
  EXPECT_EQ(damage[0].path, repository.blob(damaged));
  EXPECT_EQ(damage[1].path, repository.snapshot(new_) / "b.json");
}

TEST_F(Contents, ArePrunedToWhatRefsLeadTo) {
  const Repository repository(cache_, "org/name");
  const std::string shared = add(repository, old_, "config.json", "{}");
  const std::string unused = add(repository, old_, "old.json", "[0]");
  add(repository, new_, "config.json", "{}");
  repository.set_ref("main", new_);
  write(repository.incomplete(new_), "half");
  EXPECT_THAT(*prune(cache_, "org/name", true), SizeIs(3));
  EXPECT_TRUE(fs::exists(repository.incomplete(new_)));
  EXPECT_THAT(*prune(cache_, "org/name", false), SizeIs(3));
  EXPECT_FALSE(fs::exists(repository.snapshot(old_)));
  EXPECT_FALSE(fs::exists(repository.blob(unused)));
  EXPECT_FALSE(fs::exists(repository.incomplete(new_)));
  EXPECT_TRUE(repository.has(new_, "config.json"));
  EXPECT_TRUE(fs::exists(repository.blob(shared)));
  EXPECT_THAT(*prune(cache_, "org/name", false), IsEmpty());
}

TEST_F(Contents, InUseAreNotPruned) {
  const Repository repository(cache_, "org/name");
  add(repository, old_, "config.json", "{}");
  {
    const auto lock = repository.try_lock(git_name("{}"));
    EXPECT_THAT(*prune(cache_, "org/name", true), SizeIs(1));
  }
  const Lock lock = repository.lock_shared();
  EXPECT_EQ(prune(cache_, "org/name", false), std::nullopt);
  EXPECT_TRUE(repository.has(old_, "config.json"));
}

TEST_F(Contents, LinksOutOfTheCacheAreNotFollowedWhenPruned) {
  const Repository repository(cache_, "org/name");
  repository.create(old_);
  const fs::path outside = cache_ / "outside";
  fs::create_directories(outside);
  write(outside / "mine.txt", "precious");
  fs::create_directory_symlink(outside, repository.snapshot(old_) / "folder");
  fs::create_symlink(outside / "mine.txt", repository.blob(std::string(40, '0')));
  EXPECT_THAT(*prune(cache_, "org/name", false), SizeIs(1));
  EXPECT_TRUE(fs::exists(outside / "mine.txt"));
}

}  // namespace
}  // namespace d2c::hub
