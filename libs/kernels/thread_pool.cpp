#include "libs/kernels/thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace d2c::kernels {
namespace {

/// A job of a language model's step follows the last one within microseconds; waking a sleeping thread takes tens.
constexpr int kSpins = 4000;

void pause() noexcept {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

struct ThreadPool::Impl {
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<std::uint64_t> job{0};
  std::atomic<std::int64_t> next{0};
  std::atomic<unsigned> working{0};
  std::int64_t tasks = 0;
  const Task* body = nullptr;
  bool stopping = false;

  void work(unsigned worker) {
    for (std::int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) (*body)(task, worker);
  }

  /// The number of the job after `seen`, or `seen` when the pool ends.
  std::uint64_t wait(std::uint64_t seen) {
    for (int i = 0; i < kSpins; ++i) {
      if (const std::uint64_t now = job.load(std::memory_order_acquire); now != seen) return now;
      pause();
    }
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return stopping || job.load(std::memory_order_acquire) != seen; });
    return job.load(std::memory_order_acquire);
  }

  void loop(unsigned worker) {
    for (std::uint64_t seen = 0;;) {
      const std::uint64_t now = wait(seen);
      if (now == seen) return;
      seen = now;
      work(worker);
      working.fetch_sub(1, std::memory_order_release);
    }
  }
};

ThreadPool::ThreadPool(unsigned threads) : impl_(std::make_unique<Impl>()) {
  for (unsigned worker = 1; worker < threads; ++worker)
    impl_->threads.emplace_back([this, worker] { impl_->loop(worker); });
}

ThreadPool::~ThreadPool() {
  {
    const std::scoped_lock lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  for (std::thread& t : impl_->threads) t.join();
}

unsigned ThreadPool::threads() const noexcept { return static_cast<unsigned>(impl_->threads.size()) + 1; }

void ThreadPool::run(std::int64_t tasks, const Task& body) {
  if (tasks <= 0) return;
  if (impl_->threads.empty() || tasks == 1) {
    for (std::int64_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  impl_->tasks = tasks;
  impl_->body = &body;
  impl_->next.store(0, std::memory_order_relaxed);
  impl_->working.store(static_cast<unsigned>(impl_->threads.size()), std::memory_order_relaxed);
  {
    const std::scoped_lock lock(impl_->mutex);
    impl_->job.fetch_add(1, std::memory_order_release);
  }
  impl_->wake.notify_all();
  impl_->work(0);
  for (int i = 0; impl_->working.load(std::memory_order_acquire) > 0; ++i) {
    if (i < kSpins) pause();
    else std::this_thread::yield();
  }
}

}  // namespace d2c::kernels
