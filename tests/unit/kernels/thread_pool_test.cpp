#include "libs/kernels/thread_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace d2c::kernels {
namespace {

class Pool : public testing::TestWithParam<unsigned> {};

TEST_P(Pool, RunsEveryTaskOnce) {
  ThreadPool pool(GetParam());
  for (const std::int64_t tasks : {0, 1, 2, 3, 17, 1000}) {
    std::vector<int> runs(static_cast<std::size_t>(tasks));  // each element belongs to one task
    pool.run(tasks, [&](std::int64_t task, unsigned) { ++runs[static_cast<std::size_t>(task)]; });
    for (const int n : runs) EXPECT_EQ(n, 1);
  }
}

TEST_P(Pool, NeverRunsTwoTasksWithOneWorkerNumber) {
  ThreadPool pool(GetParam());
  std::vector<std::atomic<int>> busy(pool.threads());
  std::atomic<bool> clash = false;
  for (int job = 0; job < 200; ++job)
    pool.run(8, [&](std::int64_t, unsigned worker) {
      if (worker >= pool.threads() || busy[worker].fetch_add(1) != 0) clash = true;
      std::this_thread::yield();
      busy[worker].fetch_sub(1);
    });
  EXPECT_FALSE(clash);
}

TEST_P(Pool, MakesResultsVisibleToTheCaller) {
  ThreadPool pool(GetParam());
  std::vector<std::int64_t> sums(64);
  for (std::int64_t job = 0; job < 2000; ++job) {
    pool.run(64, [&](std::int64_t task, unsigned) { sums[static_cast<std::size_t>(task)] += job; });
  }
  for (const std::int64_t s : sums) EXPECT_EQ(s, 2000 * 1999 / 2);
}

TEST_P(Pool, WakesSleepingThreads) {
  ThreadPool pool(GetParam());
  for (int job = 0; job < 5; ++job) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int> runs = 0;
    pool.run(32, [&](std::int64_t, unsigned) { runs.fetch_add(1); });
    EXPECT_EQ(runs, 32);
  }
}

TEST(ThreadPool, CountsTheCaller) {
  EXPECT_EQ(ThreadPool(1).threads(), 1U);
  EXPECT_EQ(ThreadPool(3).threads(), 3U);
}

TEST(ThreadPool, ServesSeveralPoolsAtOnce) {
  std::atomic<int> runs = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i)
    callers.emplace_back([&] {
      ThreadPool pool(3);
      for (int job = 0; job < 100; ++job) pool.run(5, [&](std::int64_t, unsigned) { runs.fetch_add(1); });
    });
  for (std::thread& t : callers) t.join();
  EXPECT_EQ(runs, 3 * 100 * 5);
}

INSTANTIATE_TEST_SUITE_P(Threads, Pool, testing::Values(1U, 2U, 5U, 16U));

}  // namespace
}  // namespace d2c::kernels
