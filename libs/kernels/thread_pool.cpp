#include "libs/kernels/thread_pool.hpp"

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
constexpr int kSpins = 2000;

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
  std::atomic<unsigned> sleeping{0};
  bool stopping = false;  // guarded by mutex

  /// Tasks that nobody has taken yet, on a cache line of its own. `tasks` and `body` change only while it is 0 and all
  /// tasks are done, so whoever took a task may read them.
  alignas(64) std::atomic<std::int64_t> left{0};
  alignas(64) std::atomic<std::int64_t> done{0};
  std::int64_t tasks = 0;
  const Task* body = nullptr;

  void work(unsigned worker) {
    for (std::int64_t seen = left.load(std::memory_order_acquire); seen > 0;) {
      if (!left.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
      (*body)(tasks - seen, worker);
      done.fetch_add(1, std::memory_order_release);
      seen = left.load(std::memory_order_acquire);
    }
  }

  /// Returns when there may be a task; false when the pool ends.
  bool wait() {
    for (int i = 0; i < kSpins; ++i) {
      if (left.load(std::memory_order_relaxed) > 0) return true;
      pause();
    }
    std::unique_lock lock(mutex);
    sleeping.fetch_add(1);
    wake.wait(lock, [&] { return stopping || left.load() > 0; });
    sleeping.fetch_sub(1);
    return !stopping;
  }

  void loop(unsigned worker) {
    while (wait()) work(worker);
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
  impl_->done.store(0, std::memory_order_relaxed);
  impl_->left.store(tasks);
  // Both this load and a sleeper's look at `left` are sequentially consistent: one of the two sees the other.
  if (impl_->sleeping.load() > 0) {
    { const std::scoped_lock lock(impl_->mutex); }
    impl_->wake.notify_all();
  }
  impl_->work(0);
  for (int i = 0; impl_->done.load(std::memory_order_acquire) < tasks; ++i) {
    if (i < kSpins) pause();
    else std::this_thread::yield();
  }
}

}  // namespace d2c::kernels
