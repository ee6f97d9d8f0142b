// A fixed set of threads that work through numbered tasks together with the caller.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace d2c::kernels {

/// `body(task, worker)`: worker is below ThreadPool::threads(), and no two run at once with the same one. Refers to what it is
/// made from and allocates nothing.
class Task {
 public:
  template <class Body>
  requires(!std::is_same_v<Body, Task>)
      Task(const Body& body)  // NOLINT(google-explicit-constructor): a lambda is passed as a task
      : body_(&body),
        call_([](const void* b, std::int64_t task, unsigned worker) { (*static_cast<const Body*>(b))(task, worker); }) {
  }

  void operator()(std::int64_t task, unsigned worker) const { call_(body_, task, worker); }

 private:
  const void* body_;
  void (*call_)(const void*, std::int64_t, unsigned);
};

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
