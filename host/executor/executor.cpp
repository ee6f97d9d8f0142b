#include "host/executor/executor.hpp"

#include "host/executor/stopwatch.hpp"
#include "host/executor/tile_proof.hpp"
#include "host/stop/stop.hpp"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <optional>
#include <thread>

namespace d2c::host {
namespace {

/// Code, stacks and small allocations that no formula counts.
constexpr std::uint64_t kSlack = std::uint64_t{24} << 20;
/// How much of its libraries a process holds differs from run to run; what it is planned with must not.
constexpr std::uint64_t kResidentStep = std::uint64_t{8} << 20;

WorkerNeeds needs_of(Executor::Weights weights) {
  WorkerNeeds needs;
  for (const auto& weight : weights) {
    const Tiling tiling(weight->layout, weight->shape);
    needs.per_worker = std::max(needs.per_worker, WeightStream::working_bytes(*weight, tiling) + proof_bytes(*weight));
    needs.open = std::max(needs.open, WeightStream::open_bytes(*weight));
  }
  return needs;
}

}  // namespace

MemoryPlan plan_workers(unsigned threads, std::uint64_t max_memory, std::uint64_t resident, const WorkerNeeds& needs) {
  const std::uint64_t steady = (resident + kResidentStep - 1) / kResidentStep * kResidentStep;
  const std::uint64_t fixed = steady + needs.open + kSlack, per_worker = needs.per_worker;
  const std::uint64_t smallest = fixed + per_worker;
  if (smallest > max_memory)
    fail(Code::resource,
         "--max-memory: this run needs at least " + std::to_string((smallest + (1u << 20) - 1) >> 20) + "M");
  const std::uint64_t fitting = per_worker == 0 ? threads : (max_memory - fixed) / per_worker;
  const auto workers = static_cast<unsigned>(std::min<std::uint64_t>(threads, fitting));
  return {std::max(1u, workers), fixed + workers * per_worker};
}

MemoryPlan plan_memory(Executor::Weights weights, unsigned threads, std::uint64_t max_memory, std::uint64_t resident) {
  return plan_workers(threads, max_memory, resident, needs_of(weights));
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
  std::vector<MergeProof> proofs;  ///< one for each tile; empty where nothing is proved
  std::array<std::vector<std::byte>, D2C_MAX_PLANES> whole_planes;  ///< what the proof of every tile needs
  std::int64_t remaining;

  OpenWeight(std::size_t i, const PlannedWeight& w)
      : index(i),
        weight(w),
        tiling(w.layout, w.shape),
        stream(w, tiling),
        stats(static_cast<std::size_t>(tiling.count()), d2c_tile_stats{}),
        rounding(stats.size()),
        proofs(can_prove(w) ? stats.size() : 0),
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
      sum.stats.excess_bound += stats[t].excess_bound;
    }
    if (!proofs.empty()) sum.merge = std::accumulate(proofs.begin(), proofs.end(), MergeProof());
    return sum;
  }
};

/// What is to be done next. Tiles of open weights come first; a new weight is opened while the memory for open ones lasts.
class Executor::Schedule {
 public:
  struct Task {
    enum class Kind { open, tile, errand } kind;
    std::size_t index = 0;  ///< open: weight; tile: tile; errand: errand
    OpenWeight* weight = nullptr;
  };

  Schedule(Weights weights, std::vector<WeightResult>& results, std::span<const Errand> errands)
      : weights_(weights), results_(results), errands_(errands), steps_given_(errands.size()), busy_(errands.size()) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      budget_ = std::max(budget_, WeightStream::open_bytes(*weights[i]));
      if (results[i].done) continue;
      waiting_.push_back(i);
      tiles_to_give_ += static_cast<double>(Tiling(weights[i]->layout, weights[i]->shape).count());
    }
    std::stable_sort(waiting_.begin(), waiting_.end(), [&](std::size_t a, std::size_t b) {
      return weights[a]->source_tensor < weights[b]->source_tensor;
    });
    for (const Errand& errand : errands) steps_to_give_ += static_cast<double>(errand.steps);
  }

  [[nodiscard]] const Errand& errand(std::size_t index) const { return errands_[index]; }

  void step_done(std::size_t errand) {
    const std::scoped_lock lock(mutex_);
    busy_[errand] = false;
  }

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
    // What an errand reads, workers find in the page cache soon after or a moment before: the pace must be the same.
    if (given_steps_ * tiles_to_give_ <= given_tiles_ * steps_to_give_)
      if (auto step = take_step(false)) return step;
    if (!tiles_.empty()) {
      const Task task = tiles_.front();
      tiles_.pop_front();
      ++given_tiles_;
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
    return take_step(true);
  }

  /// A step of the first errand that is not through, or else, with `any`, of one that nobody is at.
  std::optional<Task> take_step(bool any) {
    for (std::size_t e = 0; e < errands_.size(); ++e) {
      if (steps_given_[e] == errands_[e].steps) continue;
      if (!busy_[e]) {
        busy_[e] = true;
        ++steps_given_[e];
        ++given_steps_;
        return Task{Task::Kind::errand, e, nullptr};
      }
      if (!any) break;
    }
    return std::nullopt;
  }

  Weights weights_;
  std::vector<WeightResult>& results_;
  std::span<const Errand> errands_;
  std::vector<std::size_t> steps_given_;
  std::vector<bool> busy_;
  double given_steps_ = 0, steps_to_give_ = 0, given_tiles_ = 0, tiles_to_give_ = 0;
  std::mutex mutex_;
  std::mutex finish_mutex_;
  std::condition_variable changed_;
  std::deque<std::size_t> waiting_;
  std::deque<Task> tiles_;
  std::vector<std::unique_ptr<OpenWeight>> open_;
  std::uint64_t open_bytes_ = 0;
  std::uint64_t budget_ = 0;
  int running_ = 0;
  std::exception_ptr failure_;
};

Executor::Executor(Weights weights, WritePlane write, std::function<void(std::size_t, const WeightResult&)> on_finished)
    : weights_(weights), write_(std::move(write)), on_finished_(std::move(on_finished)) {}

Executor::~Executor() = default;

void Executor::run(const MemoryPlan& memory, std::vector<WeightResult>& results, std::span<const Errand> errands,
                   Progress& progress) {
  Schedule schedule(weights_, results, errands);
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
        case Schedule::Task::Kind::errand:
          schedule.errand(task->index).step(times);
          schedule.step_done(task->index);
          break;
        case Schedule::Task::Kind::tile: {
          OpenWeight& weight = *task->weight;
          const auto tile = static_cast<std::int64_t>(task->index);
          do_tile(weight, tile, scratch, times);
          const auto bytes = static_cast<std::uint64_t>(weight.tiling.rows(tile) * weight.tiling.columns()) * 2;
          const auto finished = schedule.tile_done(weight);
          progress.advance(bytes, finished != nullptr);
          if (finished) {
            finished->stream.check_overflow(finished->result().rounding.overflowed);
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
  if (!open->proofs.empty()) keep_whole_planes(*open, scratch, times);
  return open;
}

/// A palette of the whole tensor comes with its first rows only, and the proof of no tile can do without.
void Executor::keep_whole_planes(OpenWeight& open, Scratch& scratch, StageTimes& times) const {
  const d2c_layout& layout = open.weight.layout;
  const std::int64_t rows = std::min(layout.tile_rows, layout.padded_rows);
  const d2c_tile tile{0, rows, open.stream.tile(0, scratch, times).data};
  void* planes[D2C_MAX_PLANES] = {};
  for (std::uint32_t p = 0; p < layout.plane_count; ++p) {
    const bool whole = layout.planes[p].rows_per_slice == 0;
    std::vector<std::byte>& plane = whole ? open.whole_planes[p] : scratch.planes[p];
    plane.resize(open.tiling.range(p, 0).size);
    planes[p] = plane.data();
  }
  d2c_tile_stats ignored{};
  ignored.struct_size = sizeof ignored;
  const auto& quantizer = open.weight.quantizer->quantizer;
  quantizer.check(quantizer->process(quantizer->self, open.job, &tile, planes, &ignored));
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
  if (!open.proofs.empty()) {
    const Stopwatch proving(times.prove);
    prove(open, t, scratch, planes);
  }
  const Stopwatch writing(times.write);
  write_planes(open, t, planes);
}

void Executor::prove(OpenWeight& open, std::int64_t t, const Scratch& scratch, std::span<void* const> planes) const {
  std::array<const void*, D2C_MAX_PLANES> all{};
  std::copy(planes.begin(), planes.end(), all.begin());
  for (std::size_t p = 0; p < all.size(); ++p)
    if (!open.whole_planes[p].empty()) all[p] = open.whole_planes[p].data();
  open.proofs[static_cast<std::size_t>(t)] = prove_tile(open.stream, open.weight, open.tiling, t, scratch, all);
}

void Executor::write_planes(const OpenWeight& open, std::int64_t t, std::span<void* const> planes) const {
  for (std::uint32_t p = 0; p < open.weight.layout.plane_count; ++p) {
    const PlaneRange range = open.tiling.range(p, t);
    if (range.size == 0) continue;
    write_(open.index, p, range.offset, {static_cast<const std::byte*>(planes[p]), range.size});
  }
}

}  // namespace d2c::host
