#include "host/executor/executor.hpp"

#include "host/executor/stopwatch.hpp"
#include "host/stop/stop.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

namespace d2c::host {
namespace {

/// Code, stacks and small allocations that no formula counts.
constexpr std::uint64_t kSlack = std::uint64_t{24} << 20;

struct WorkerNeeds {
  std::uint64_t per_worker = 0;  ///< largest working set of any tile
  std::uint64_t open = 0;        ///< largest memory of an open weight
};

WorkerNeeds needs_of(Executor::Weights weights) {
  WorkerNeeds needs;
  for (const auto& weight : weights) {
    const Tiling tiling(weight->layout, weight->shape);
    needs.per_worker = std::max(needs.per_worker, WeightStream::working_bytes(*weight, tiling));
    needs.open = std::max(needs.open, WeightStream::open_bytes(*weight));
  }
  return needs;
}

}  // namespace

MemoryPlan plan_workers(unsigned threads, std::uint64_t max_memory, std::uint64_t fixed, std::uint64_t per_worker) {
  fixed += kSlack;
  const std::uint64_t smallest = fixed + per_worker;
  if (smallest > max_memory)
    fail(Code::resource,
         "--max-memory: this run needs at least " + std::to_string((smallest + (1u << 20) - 1) >> 20) + "M");
  const std::uint64_t fitting = per_worker == 0 ? threads : (max_memory - fixed) / per_worker;
  const auto workers = static_cast<unsigned>(std::min<std::uint64_t>(threads, fitting));
  return {std::max(1u, workers), fixed + workers * per_worker};
}

MemoryPlan plan_memory(Executor::Weights weights, unsigned threads, std::uint64_t max_memory, std::uint64_t resident) {
  const WorkerNeeds needs = needs_of(weights);
  return plan_workers(threads, max_memory, resident + needs.open, needs.per_worker);
}

/// A weight whose tiles are being worked on.
struct Executor::OpenWeight {
  std::size_t index;
  const PlannedWeight& weight;
  Tiling tiling;
  WeightStream stream;
  void* job = nullptr;
  std::vector<d2c_tile_stats> stats;
  std::vector<numeric::RoundingStats> rounding;
  std::int64_t remaining;

  OpenWeight(std::size_t i, const PlannedWeight& w)
      : index(i),
        weight(w),
        tiling(w.layout, w.shape),
        stream(w, tiling),
        stats(static_cast<std::size_t>(tiling.count()), d2c_tile_stats{}),
        rounding(stats.size()),
        remaining(tiling.count()) {
    if (w.dense()) return;
    const auto& quantizer = w.quantizer->quantizer;
    const d2c_weight_desc desc{sizeof desc, w.tensor.c_str(), w.role.c_str(), TensorType{DType::none, w.shape}.c()};
    quantizer.check(quantizer->begin(quantizer->self, &desc, &job));
  }
  OpenWeight(const OpenWeight&) = delete;
  OpenWeight& operator=(const OpenWeight&) = delete;
  ~OpenWeight() {
    if (job == nullptr) return;
    const auto& quantizer = weight.quantizer->quantizer;
    quantizer->end(quantizer->self, job);
  }

  [[nodiscard]] WeightResult result() const {
    WeightResult sum;
    sum.done = true;
    for (std::size_t t = 0; t < stats.size(); ++t) {
      sum.rounding += rounding[t];
      sum.stats.squared_error += stats[t].squared_error;
      sum.stats.squared_sum += stats[t].squared_sum;
      sum.stats.max_error = std::max(sum.stats.max_error, stats[t].max_error);
      sum.stats.groups += stats[t].groups;
      sum.stats.groups_certified += stats[t].groups_certified;
      sum.stats.distinct_values += stats[t].distinct_values;
    }
    return sum;
  }
};

/// What is to be done next. Tiles of open weights come first; a new weight is opened while the memory for open ones lasts.
class Executor::Schedule {
 public:
  struct Task {
    enum class Kind { open, tile, extra } kind;
    std::size_t index = 0;  ///< open: weight; tile: tile; extra: extra
    OpenWeight* weight = nullptr;
  };

  Schedule(Weights weights, std::vector<WeightResult>& results, std::span<const std::function<void()>> extras)
      : weights_(weights), results_(results), extras_(extras) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (!results[i].done) waiting_.push_back(i);
      budget_ = std::max(budget_, WeightStream::open_bytes(*weights[i]));
    }
  }

  [[nodiscard]] const std::function<void()>& extra(std::size_t index) const { return extras_[index]; }

  /// Blocks until there is something to do; nothing once all is done or something failed.
  std::optional<Task> next() {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (failure_) return std::nullopt;
      if (auto task = take()) {
        ++running_;
        return task;
      }
      if (running_ == 0) return std::nullopt;
      changed_.wait(lock);
    }
  }

  void opened(std::unique_ptr<OpenWeight> weight) {
    const std::scoped_lock lock(mutex_);
    for (std::int64_t tile = 0; tile < weight->tiling.count(); ++tile)
      tiles_.push_back({Task::Kind::tile, static_cast<std::size_t>(tile), weight.get()});
    open_.push_back(std::move(weight));
  }

  /// The weight, when that was its last tile.
  std::unique_ptr<OpenWeight> tile_done(OpenWeight& weight) {
    const std::scoped_lock lock(mutex_);
    std::unique_ptr<OpenWeight> finished;
    if (--weight.remaining == 0) {
      const auto it = std::find_if(open_.begin(), open_.end(), [&](const auto& o) { return o.get() == &weight; });
      finished = std::move(*it);
      open_.erase(it);
      open_bytes_ -= WeightStream::open_bytes(weight.weight);
      results_[weight.index] = finished->result();
    }
    return finished;
  }

  void failed(std::exception_ptr failure) {
    const std::scoped_lock lock(mutex_);
    if (!failure_) failure_ = std::move(failure);
  }

  /// Once per task that `next` gave out, however it ended.
  void task_done() {
    const std::scoped_lock lock(mutex_);
    --running_;
    changed_.notify_all();
  }

  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

  /// One worker at a time.
  std::mutex& finish_mutex() { return finish_mutex_; }

 private:
  std::optional<Task> take() {
    if (!tiles_.empty()) {
      const Task task = tiles_.front();
      tiles_.pop_front();
      return task;
    }
    if (!waiting_.empty()) {
      const std::uint64_t needed = WeightStream::open_bytes(*weights_[waiting_.front()]);
      if (open_bytes_ + needed <= budget_) {
        open_bytes_ += needed;
        const Task task{Task::Kind::open, waiting_.front(), nullptr};
        waiting_.pop_front();
        return task;
      }
    }
    if (next_extra_ < extras_.size()) return Task{Task::Kind::extra, next_extra_++, nullptr};
    return std::nullopt;
  }

  Weights weights_;
  std::vector<WeightResult>& results_;
  std::span<const std::function<void()>> extras_;
  std::mutex mutex_;
  std::mutex finish_mutex_;
  std::condition_variable changed_;
  std::deque<std::size_t> waiting_;
  std::deque<Task> tiles_;
  std::vector<std::unique_ptr<OpenWeight>> open_;
  std::uint64_t open_bytes_ = 0;
  std::uint64_t budget_ = 0;
  std::size_t next_extra_ = 0;
  int running_ = 0;
  std::exception_ptr failure_;
};

Executor::Executor(Weights weights, const Handle<d2c_package_writer>& writer,
                   std::function<void(std::size_t, const WeightResult&)> on_finished)
    : weights_(weights), writer_(writer), on_finished_(std::move(on_finished)) {}

Executor::~Executor() = default;

void Executor::run(const MemoryPlan& memory, std::vector<WeightResult>& results,
                   std::span<const std::function<void()>> extras, Progress& progress) {
  Schedule schedule(weights_, results, extras);
  {
    std::vector<std::jthread> workers;
    for (unsigned i = 0; i < memory.threads; ++i) workers.emplace_back([&] { work(schedule, progress); });
  }
  schedule.rethrow();
}

void Executor::work(Schedule& schedule, Progress& progress) {
  Scratch scratch;
  StageTimes times;
  while (const auto task = schedule.next()) {
    try {
      stop::throw_if_requested();
      switch (task->kind) {
        case Schedule::Task::Kind::open: schedule.opened(open(task->index, scratch, times)); break;
        case Schedule::Task::Kind::extra: schedule.extra(task->index)(); break;
        case Schedule::Task::Kind::tile: {
          OpenWeight& weight = *task->weight;
          const auto tile = static_cast<std::int64_t>(task->index);
          do_tile(weight, tile, scratch, times);
          const auto bytes = static_cast<std::uint64_t>(weight.tiling.rows(tile) * weight.tiling.columns()) * 2;
          const auto finished = schedule.tile_done(weight);
          progress.advance(bytes, finished != nullptr);
          if (finished) {
            const std::scoped_lock lock(schedule.finish_mutex());
            on_finished_(finished->index, finished->result());
          }
          break;
        }
      }
    } catch (...) {
      schedule.failed(std::current_exception());
    }
    schedule.task_done();
  }
  const std::scoped_lock lock(schedule.finish_mutex());
  times_ += times;
}

std::unique_ptr<Executor::OpenWeight> Executor::open(std::size_t index, Scratch& scratch, StageTimes& times) const {
  auto open = std::make_unique<OpenWeight>(index, *weights_[index]);
  if (open->weight.dense() || open->weight.layout.needs_observe == 0) return open;
  const auto& quantizer = open->weight.quantizer->quantizer;
  for (std::int64_t t = 0; t < open->tiling.count(); ++t) {
    stop::throw_if_requested();
    const auto content = open->stream.tile(t, scratch, times);
    const d2c_tile tile{open->tiling.first_row(t), open->tiling.rows(t), content.data};
    quantizer.check(quantizer->observe(quantizer->self, open->job, &tile));
  }
  return open;
}

void Executor::do_tile(OpenWeight& open, std::int64_t t, Scratch& scratch, StageTimes& times) const {
  const auto content = open.stream.tile(t, scratch, times);
  open.rounding[static_cast<std::size_t>(t)] = content.rounding;
  void* planes[D2C_MAX_PLANES] = {};
  if (open.weight.dense()) {
    planes[0] = const_cast<void*>(content.data);
  } else {
    const Stopwatch quantizing(times.quantize);
    for (std::uint32_t p = 0; p < open.weight.layout.plane_count; ++p) {
      const PlaneRange range = open.tiling.range(p, t);
      if (range.size == 0) continue;
      scratch.planes[p].assign(range.size, std::byte{0});
      planes[p] = scratch.planes[p].data();
    }
    d2c_tile_stats& stats = open.stats[static_cast<std::size_t>(t)];
    stats.struct_size = sizeof stats;
    const d2c_tile tile{open.tiling.first_row(t), open.tiling.rows(t), content.data};
    const auto& quantizer = open.weight.quantizer->quantizer;
    quantizer.check(quantizer->process(quantizer->self, open.job, &tile, planes, &stats));
  }
  const Stopwatch writing(times.write);
  write_planes(open, t, planes);
}

void Executor::write_planes(const OpenWeight& open, std::int64_t t, std::span<void* const> planes) const {
  for (std::uint32_t p = 0; p < open.weight.layout.plane_count; ++p) {
    const PlaneRange range = open.tiling.range(p, t);
    if (range.size == 0) continue;
    writer_.check(writer_->write(writer_->self, open.index, p, range.offset, planes[p], range.size));
  }
}

}  // namespace d2c::host
