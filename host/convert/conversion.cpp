#include "host/convert/conversion.hpp"

#include "host/convert/assembly.hpp"
#include "host/convert/provenance.hpp"
#include "host/convert/report.hpp"
#include "host/convert/unit_digests.hpp"
#include "host/executor/executor.hpp"
#include "host/log/log.hpp"
#include "host/platform/process.hpp"
#include "host/stop/stop.hpp"
#include "host/workspace/progress_record.hpp"
#include "host/workspace/workspace.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

namespace d2c::host {
namespace {

unsigned worker_count(const RunOptions& options) {
  return options.threads != 0 ? options.threads : std::max(1u, std::thread::hardware_concurrency());
}

Value memory_value(const MemoryPlan& plan) {
  Value v = Value::table();
  v.set("bytes", plan.bytes);
  v.set("threads", plan.threads);
  return v;
}

Value time_value(const StageTimes& times, double seconds, unsigned threads) {
  Value v = Value::table();
  v.set("read", times.read);
  v.set("merge", times.merge);
  v.set("quantize", times.quantize);
  v.set("write", times.write);
  v.set("idle", std::max(0.0, seconds * threads - times.read - times.merge - times.quantize - times.write));
  return v;
}

/// The model file, manifest and attachments beside the weights; graphs are small, tokenizers a few megabytes.
constexpr std::uint64_t kPackageOverhead = std::uint64_t{64} << 20;

}  // namespace

struct Conversion::Impl {
  Recipe recipe;
  Assembly assembly;
  Value description;

  Impl(const Recipe& r, PluginRegistry& plugins)
      : recipe(r), assembly(recipe, plugins), description(describe(recipe, assembly)) {}

  [[nodiscard]] MemoryPlan memory(const RunOptions& options) const {
    return plan_memory(assembly.weights(), worker_count(options), options.max_memory, resident_memory());
  }
  StageTimes produce(const RunOptions& options, const MemoryPlan& memory, Workspace& workspace, Provenance& provenance,
                     std::vector<WeightResult>& results, Progress& progress) const;
  void finish(const Provenance& provenance) const;
};

/// Hands the writer everything but the weights.
void Conversion::Impl::finish(const Provenance& provenance) const {
  const auto metadata = package_metadata(assembly.program(), description);
  std::vector<d2c_entry> entries;
  for (const auto& [key, value] : metadata) entries.push_back({key.c_str(), value.c_str()});
  const std::vector<Asset> files = provenance.attachments();
  std::vector<d2c_attachment> attachments;
  for (const Asset& file : files) attachments.push_back({file.name.c_str(), file.data.data(), file.data.size()});
  const std::string summary = recipe.name + " converted by dolphin2coreml";
  const d2c_package_info info{sizeof info,       summary.c_str(), "dolphin2coreml", "",
                              D2C_SDK_VERSION,   entries.data(),  entries.size(),   attachments.data(),
                              attachments.size()};
  const auto& writer = assembly.writer();
  writer.check(writer->finish(writer->self, &info));
}

Conversion::Conversion(const Recipe& recipe, PluginRegistry& plugins)
    : impl_(std::make_unique<Impl>(recipe, plugins)) {}
Conversion::~Conversion() = default;

Value Conversion::plan(const RunOptions& options) const {
  Value report = impl_->description;
  report.set("memory", memory_value(impl_->memory(options)));
  report.set("disk_bytes", impl_->assembly.weight_bytes() + kPackageOverhead);
  report.set("bytes_read", bytes_read());
  return report;
}

namespace {

Value to_value(const WeightResult& r) {
  Value v = Value::list();
  v.push_back(r.stats.squared_error);
  v.push_back(r.stats.squared_sum);
  v.push_back(r.stats.max_error);
  v.push_back(r.stats.groups);
  v.push_back(r.stats.groups_certified);
  v.push_back(r.stats.distinct_values);
  v.push_back(r.rounding.underflowed);
  v.push_back(r.rounding.subnormal);
  return v;
}

WeightResult from_value(const Value& v) {
  const Value::List& list = v.items();
  if (list.size() != 8) fail_input("a journal entry has " + std::to_string(list.size()) + " numbers");
  WeightResult r;
  r.done = true;
  r.stats.struct_size = sizeof r.stats;
  r.stats.squared_error = list[0].as_real();
  r.stats.squared_sum = list[1].as_real();
  r.stats.max_error = list[2].as_real();
  r.stats.groups = list[3].as_int();
  r.stats.groups_certified = list[4].as_int();
  r.stats.distinct_values = list[5].as_int();
  r.rounding.underflowed = static_cast<std::uint64_t>(list[6].as_int());
  r.rounding.subnormal = static_cast<std::uint64_t>(list[7].as_int());
  return r;
}

std::vector<ProgressRecord::Unit> units_of(const Recipe& recipe, const Assembly& assembly) {
  const std::vector<std::string> digests = unit_digests(recipe, assembly);
  std::vector<ProgressRecord::Unit> units;
  for (std::size_t i = 0; i < digests.size(); ++i)
    units.push_back({assembly.weights()[i]->key, digests[i], assembly.weights()[i]->bytes()});
  return units;
}

/// Gives the package's folder to this run: emptied, unless an earlier run's work in it is wanted.
void prepare_package(const Workspace& workspace, bool resume) {
  if (!resume) std::filesystem::remove_all(workspace.package());
  if (!resume) std::filesystem::remove(workspace.journal());
  std::filesystem::create_directory(workspace.package());
}

/// Begins a phase over the weights that are still to be done; sizes as fp16.
void begin_progress(Progress& progress, const Assembly& assembly, const std::vector<WeightResult>& results) {
  std::uint64_t bytes = 0, tensors = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].done) continue;
    const PlannedWeight& w = *assembly.weights()[i];
    bytes += static_cast<std::uint64_t>(w.layout.padded_rows * w.columns()) * 2;
    ++tensors;
  }
  progress.begin("convert", bytes, tensors);
}

}  // namespace

/// Completes the package in the workspace. On a failure worth continuing from, the workspace stays.
StageTimes Conversion::Impl::produce(const RunOptions& options, const MemoryPlan& memory, Workspace& workspace,
                                     Provenance& provenance, std::vector<WeightResult>& results,
                                     Progress& progress) const {
  prepare_package(workspace, options.resume);
  const auto& writer = assembly.writer();
  writer.check(writer->begin(writer->self, workspace.package().c_str()));
  ProgressRecord record(workspace.journal(), units_of(recipe, assembly),
                        [&] { writer.check(writer->sync(writer->self)); });
  for (std::size_t i = 0; i < results.size(); ++i)
    if (record.finished(i)) results[i] = from_value(*record.finished(i));
  if (record.resumed() > 0)
    log::info("resuming: " + std::to_string(record.resumed()) + " of " + std::to_string(results.size()) +
              " weights are finished already");
  begin_progress(progress, assembly, results);
  const auto hashing = provenance.work();
  Executor executor(assembly.weights(), writer,
                    [&](std::size_t weight, const WeightResult& r) { record.add(weight, to_value(r)); });
  try {
    executor.run(memory, results, hashing, progress);
    provenance.check_unchanged();
    finish(provenance);
    stop::throw_if_requested();
  } catch (const Error& e) {
    if (!options.resume) throw;
    record.give_up(e, workspace, "weights");
  }
  progress.end();
  return executor.times();
}

Value Conversion::run(const RunOptions& options, Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  const Assembly& assembly = impl_->assembly;
  const std::filesystem::path output =
      options.output.empty() ? std::filesystem::path(impl_->recipe.output.path) : options.output;
  if (output.empty()) fail_usage("no output: pass -o, or set output.path in the recipe");
  const MemoryPlan memory = impl_->memory(options);
  if (memory.threads < worker_count(options))
    log::warn("--max-memory leaves room for " + std::to_string(memory.threads) + " of " +
              std::to_string(worker_count(options)) + " workers");

  Workspace workspace(output, options.force);
  workspace.require_space(assembly.weight_bytes() + kPackageOverhead);
  Provenance provenance(impl_->recipe, assembly);
  std::vector<WeightResult> results(assembly.weights().size());
  const StageTimes times = impl_->produce(options, memory, workspace, provenance, results, progress);
  workspace.publish();

  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  Value report = impl_->description;
  add_results(report, assembly, results);
  report.set("package", std::filesystem::absolute(output).lexically_normal().string());
  report.set("seconds", seconds);
  report.set("time", time_value(times, seconds, memory.threads));
  report.set("memory", memory_value(memory));
  report.set("peak_memory", peak_resident_memory());
  return report;
}

}  // namespace d2c::host
