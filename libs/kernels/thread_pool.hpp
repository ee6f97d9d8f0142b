// A fixed set of threads that work through numbered tasks together with the caller.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace d2c::kernels {

/// `body(task, worker)`: worker is below ThreadPool::threads(), and no two run at once with the same one.
using Task = std::function<void(std::int64_t task, unsigned worker)>;

/// Threads wait spinning for a few microseconds after a job, because the next is usually near, and sleep after that.
/// Nobody waits for a thread that has not started on a task: on a busy machine the caller does the work itself.
class ThreadPool {
 public:
  /// `threads` counts the caller; at least 1.
  explicit ThreadPool(unsigned threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] unsigned threads() const noexcept;

  /// Calls `body` once for each task in [0, tasks) and returns when all are done. Tasks must not throw and not call run().
  /// One run() at a time; fewer than 2^32 tasks.
  void run(std::int64_t tasks, const Task& body);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace d2c::kernels
