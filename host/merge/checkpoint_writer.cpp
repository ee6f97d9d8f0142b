#include "host/merge/checkpoint_writer.hpp"

#include "host/stop/stop.hpp"
#include "libs/numeric/convert.hpp"

#include <d2c/half.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <utility>

namespace d2c::host {
namespace {

/// So many numbers stay in a core's cache with all that is made of them.
constexpr std::int64_t kCachedElements = std::int64_t{1} << 15;

std::size_t to_size(std::int64_t n) { return static_cast<std::size_t>(n); }

/// Buffers of one worker; they grow to the largest tile and stay.
struct Buffers {
  std::vector<float> base, merged, stored;
  std::vector<std::byte> out;
};

/// Values whose exponent bits are all set are NaN or infinite.
template <class Bits>
bool has_nonfinite(const void* data, std::size_t count, Bits exponent) {
  const auto* values = static_cast<const Bits*>(data);
  Bits found = 0;
  for (std::size_t i = 0; i < count; ++i) found |= static_cast<Bits>((values[i] & exponent) == exponent);
  return found != 0;
}

bool has_nonfinite(DType type, const void* data, std::size_t count) {
  switch (type) {
    case DType::f16: return has_nonfinite<std::uint16_t>(data, count, 0x7c00);
    case DType::bf16: return has_nonfinite<std::uint16_t>(data, count, 0x7f80);
    case DType::f32: return has_nonfinite<std::uint32_t>(data, count, 0x7f800000);
    default: return false;
  }
}

/// Rounds to nearest even, once.
void round_to(DType type, std::span<const float> in, std::byte* out) {
  if (type == DType::f32) {
    std::memcpy(out, in.data(), in.size_bytes());
  } else if (type == DType::f16) {
    (void)numeric::float_to_half(in.data(), in.size(), reinterpret_cast<std::uint16_t*>(out));
  } else {
    std::transform(in.begin(), in.end(), reinterpret_cast<std::uint16_t*>(out), float_to_bf16);
  }
}

}  // namespace

/// The work on one tensor. Its adapters are read by the first tile and forgotten with the last.
class CheckpointWriter::Job {
 public:
  Job(const CheckpointWriter& owner, std::size_t index)
      : index_(index),
        owner_(owner),
        tensor_(owner.layout_.tensors()[index]),
        stored_type_(owner.source_.tensors()[tensor_.source_tensor].type.dtype),
        columns_(std::max<std::int64_t>(1, columns_of(tensor_.type.shape))),
        rows_(rows_of(tensor_.type.shape)),
        stored_rows_(rows_of(owner.source_.tensors()[tensor_.source_tensor].type.shape)),
        tile_rows_(std::max<std::int64_t>(1, kTileElements / columns_)),
        proofs_(to_size(std::max<std::int64_t>(1, (rows_ + tile_rows_ - 1) / tile_rows_))),
        remaining_(proofs_.size()) {}

  [[nodiscard]] std::size_t index() const noexcept { return index_; }
  [[nodiscard]] std::size_t tiles() const noexcept { return proofs_.size(); }
  [[nodiscard]] std::uint64_t tile_bytes(std::size_t tile) const { return bytes(rows_of_tile(tile).count); }

  void do_tile(std::size_t tile, Buffers& buffers) {
    std::call_once(opened_, [&] { open(buffers); });
    const Rows whole = rows_of_tile(tile);
    if (tasks_.empty() && stored_type_ == tensor_.type.dtype) return copy(whole);
    buffers.out.resize(tile_bytes(tile));
    for (Rows rows{whole.first, 0}; rows.first < whole.end(); rows.first = rows.end()) {
      rows.count = std::min(rows_in_cache(), whole.end() - rows.first);
      proofs_[tile] += merge(rows, buffers, buffers.out.data() + bytes(rows.first - whole.first));
    }
    write(whole, buffers.out.data());
  }

  /// After one of its tiles; true for the last.
  [[nodiscard]] bool tile_done() { return --remaining_ == 0; }

  [[nodiscard]] MergeProof proof() const {
    MergeProof sum;
    for (const MergeProof& p : proofs_) sum += p;
    return sum;
  }

 private:
  struct Rows {
    std::int64_t first = 0, count = 0;
    [[nodiscard]] std::int64_t end() const noexcept { return first + count; }
  };

  [[nodiscard]] Rows rows_of_tile(std::size_t tile) const {
    const auto first = static_cast<std::int64_t>(tile) * tile_rows_;
    return {first, std::min(tile_rows_, rows_ - first)};
  }
  [[nodiscard]] std::size_t elements(std::int64_t rows) const { return to_size(rows * columns_of(tensor_.type.shape)); }
  [[nodiscard]] std::uint64_t bytes(std::int64_t rows) const {
    return static_cast<std::uint64_t>(bytes_of(tensor_.type.dtype, rows * columns_of(tensor_.type.shape)));
  }
  /// So many at a time go through all steps before the next ones are read.
  [[nodiscard]] std::int64_t rows_in_cache() const { return std::max<std::int64_t>(1, kCachedElements / columns_); }

  void copy(Rows rows) const {
    const RowView view = owner_.source_.rows(tensor_.source_tensor, rows.first, rows.count);
    check(rows, view.data(), elements(rows.count));
    write(rows, view.data());
  }

  /// Merges and rounds into `out`.
  [[nodiscard]] MergeProof merge(Rows rows, Buffers& buffers, std::byte* out) const {
    load(rows, buffers.merged);
    if (!tasks_.empty()) buffers.base = buffers.merged;
    for (const auto& task : tasks_) task->process(rows.first, rows.count, buffers.merged.data());
    round_to(tensor_.type.dtype, buffers.merged, out);
    if (has_nonfinite(tensor_.type.dtype, out, buffers.merged.size()))
      refuse(rows, "values beyond the range of " + std::string(name_of(tensor_.type.dtype)) +
                       "; an adapter's weight may be too large, or choose --dtype bf16 or fp32");
    if (tasks_.empty()) return {};
    buffers.stored.resize(buffers.merged.size());
    numeric::to_float(tensor_.type.dtype, out, buffers.stored.size(), buffers.stored.data());
    return prove_merge(buffers.base.data(), buffers.merged.data(), buffers.stored.data(), buffers.stored.data(),
                       buffers.stored.size());
  }

  /// The base's rows as fp32; zeros in place of those it lacks, where a vocabulary grew.
  void load(Rows rows, std::vector<float>& out) const {
    const std::int64_t there = std::clamp<std::int64_t>(stored_rows_ - rows.first, 0, rows.count);
    out.resize(elements(rows.count));
    std::fill(out.begin() + static_cast<std::ptrdiff_t>(elements(there)), out.end(), 0.0f);
    if (there == 0) return;
    const RowView view = owner_.source_.rows(tensor_.source_tensor, rows.first, there);
    check(rows, view.data(), elements(there));
    numeric::to_float(stored_type_, view.data(), elements(there), out.data());
  }

  void check(Rows rows, const void* stored, std::size_t elements) const {
    if (has_nonfinite(stored_type_, stored, elements)) refuse(rows, "NaN or infinite values in the checkpoint");
  }

  void open(Buffers& buffers) {
    for (const std::string& target : tensor_.targets) {
      auto task = std::make_unique<MergeTask>(owner_.stack_->merger(), target);
      if ((owner_.stack_->target(target)->flags & D2C_TARGET_PREPARE) != 0) observe(*task, buffers);
      tasks_.push_back(std::move(task));
    }
  }

  /// Shows a task the whole tensor, as the tasks before it leave it.
  void observe(MergeTask& task, Buffers& buffers) {
    for (std::size_t tile = 0; tile < tiles(); ++tile) {
      stop::throw_if_requested();
      const Rows rows = rows_of_tile(tile);
      load(rows, buffers.merged);
      for (const auto& earlier : tasks_) earlier->process(rows.first, rows.count, buffers.merged.data());
      task.observe(rows.first, rows.count, buffers.merged.data());
    }
  }

  void write(Rows rows, const void* data) const {
    const std::uint64_t start = owner_.layout_.shards()[tensor_.shard].layout.offset(tensor_.entry);
    owner_.files_[tensor_.shard]->write(start + bytes(rows.first),
                                        {static_cast<const std::byte*>(data), bytes(rows.count)});
  }

  [[noreturn]] void refuse(Rows rows, const std::string& problem) const {
    fail_input("tensor '" + tensor_.name + "', rows " + std::to_string(rows.first) + ".." +
               std::to_string(rows.end() - 1) + ": " + problem);
  }

  const std::size_t index_;
  const CheckpointWriter& owner_;
  const MergedTensor& tensor_;
  const DType stored_type_;
  const std::int64_t columns_, rows_, stored_rows_, tile_rows_;
  std::once_flag opened_;
  std::vector<std::unique_ptr<MergeTask>> tasks_;
  std::vector<MergeProof> proofs_;
  std::size_t remaining_;
};

/// Tiles in order, so that no more tensors are open than there are workers.
class CheckpointWriter::Queue {
 public:
  struct Task {
    std::shared_ptr<Job> job;
    std::size_t tile = 0;
  };

  Queue(const CheckpointWriter& owner, const std::vector<std::size_t>& wanted) : owner_(owner), wanted_(wanted) {}

  /// Nothing once all is given out or something failed.
  std::optional<Task> next() {
    const std::scoped_lock lock(mutex_);
    if (failure_) return std::nullopt;
    if (job_ == nullptr || next_tile_ == job_->tiles()) {
      if (next_job_ == wanted_.size()) return std::nullopt;
      job_ = std::make_shared<Job>(owner_, wanted_[next_job_++]);
      next_tile_ = 0;
    }
    return Task{job_, next_tile_++};
  }

  /// True when that was the job's last tile.
  bool done(Job& job) {
    const std::scoped_lock lock(mutex_);
    const bool last = job.tile_done();
    if (last && job_.get() == &job) job_.reset();
    return last;
  }

  void failed(std::exception_ptr failure) {
    const std::scoped_lock lock(mutex_);
    if (!failure_) failure_ = std::move(failure);
  }

  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

  std::mutex finishing;  ///< one worker at a time

 private:
  const CheckpointWriter& owner_;
  const std::vector<std::size_t>& wanted_;
  std::mutex mutex_;
  std::shared_ptr<Job> job_;
  std::size_t next_job_ = 0;
  std::size_t next_tile_ = 0;
  std::exception_ptr failure_;
};

CheckpointWriter::CheckpointWriter(const Source& source, const AdapterStack* stack, const CheckpointLayout& layout,
                                   std::function<void(std::size_t, const MergeProof&)> on_finished)
    : source_(source), stack_(stack), layout_(layout), on_finished_(std::move(on_finished)) {}

CheckpointWriter::~CheckpointWriter() = default;

void CheckpointWriter::open(const std::filesystem::path& folder) {
  for (const ShardFile& shard : layout_.shards()) {
    files_.push_back(std::make_unique<PositionedFile>(folder / shard.file, PositionedFile::Access::write));
    files_.back()->resize(shard.layout.size());
    files_.back()->write(0, std::as_bytes(std::span(shard.layout.header())));
  }
}

void CheckpointWriter::run(unsigned threads, const std::vector<std::size_t>& wanted, Progress& progress) {
  Queue queue(*this, wanted);
  {
    std::vector<std::jthread> workers;
    for (unsigned i = 0; i < threads; ++i) workers.emplace_back([&] { work(queue, progress); });
  }
  queue.rethrow();
}

void CheckpointWriter::work(Queue& queue, Progress& progress) {
  Buffers buffers;
  while (const auto task = queue.next()) {
    try {
      stop::throw_if_requested();
      task->job->do_tile(task->tile, buffers);
      const bool finished = queue.done(*task->job);
      progress.advance(task->job->tile_bytes(task->tile), finished);
      if (!finished) continue;
      const std::scoped_lock lock(queue.finishing);
      on_finished_(task->job->index(), task->job->proof());
    } catch (...) {
      queue.failed(std::current_exception());
    }
  }
}

void CheckpointWriter::sync() const {
  for (const auto& file : files_) file->sync();
}

MemoryPlan CheckpointWriter::plan(unsigned threads, std::uint64_t max_memory, std::uint64_t resident) const {
  WorkerNeeds needs;
  for (const MergedTensor& t : layout_.tensors()) {
    const std::int64_t columns = std::max<std::int64_t>(1, columns_of(t.type.shape));
    const std::int64_t rows = std::max<std::int64_t>(1, kTileElements / columns);
    const auto elements = static_cast<std::uint64_t>(std::min(rows, rows_of(t.type.shape)) * columns);
    // Stored and written rows; what needs the whole tensor first is shown it as fp32.
    constexpr std::uint64_t kMoved = 4 + 4;
    std::uint64_t bytes = elements * (kMoved + (t.targets.empty() ? 0 : sizeof(float)));
    for (const std::string& target : t.targets) bytes += stack_->target(target)->job_bytes;
    needs.per_worker = std::max(needs.per_worker, bytes);
  }
  return plan_workers(threads, max_memory, resident, needs);
}

}  // namespace d2c::host
