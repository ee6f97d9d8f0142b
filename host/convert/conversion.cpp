#include "host/convert/conversion.hpp"

#include "host/convert/assembly.hpp"
#include "host/convert/merge_report.hpp"
#include "host/convert/package_facts.hpp"
#include "host/convert/part.hpp"
#include "host/convert/provenance.hpp"
#include "host/convert/report.hpp"
#include "host/convert/time_report.hpp"
#include "host/convert/unit_digests.hpp"
#include "host/executor/executor.hpp"
#include "host/log/log.hpp"
#include "host/platform/files.hpp"
#include "host/platform/positioned_file.hpp"
#include "host/platform/process.hpp"
#include "host/stop/stop.hpp"
#include "host/workspace/progress_record.hpp"
#include "host/workspace/workspace.hpp"
#include "libs/json/json.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>
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

/// The model file, manifest and attachments beside the weights; graphs are small, tokenizers a few megabytes.
constexpr std::uint64_t kPackageOverhead = std::uint64_t{64} << 20;

}  // namespace

namespace {

/// Where the bytes of a run go, and what completes it.
struct Destination {
  std::vector<std::size_t> weights;  ///< those that the run makes
  WritePlane write;
  std::function<void()> sync;  ///< makes durable what was written
  std::function<void(const std::vector<WeightResult>&)> complete;
};

}  // namespace

struct Conversion::Impl {
  Recipe recipe;
  Assembly assembly;
  std::vector<Finding> findings;
  Value description;

  Impl(const Recipe& r, PluginRegistry& plugins)
      : recipe(r),
        assembly(recipe, plugins),
        findings(check_guardrails(recipe, assembly)),
        description(describe(recipe, assembly)) {
    description.set("guardrails", to_value(findings));
  }

  void heed_guardrails() const;

  [[nodiscard]] MemoryPlan memory(const RunOptions& options) const {
    return plan_memory(assembly.weights(), worker_count(options), options.max_memory, resident_memory());
  }
  StageTimes produce(const RunOptions& options, const MemoryPlan& memory, Workspace& workspace,
                     const Destination& destination, Provenance& provenance, std::vector<WeightResult>& results,
                     Progress& progress) const;
  void finish(const Provenance& provenance) const;
  [[nodiscard]] Destination package(const std::filesystem::path& folder, const Provenance& provenance) const;
  StageTimes produce_part(const RunOptions& options, const MemoryPlan& memory, Workspace& workspace,
                          std::vector<WeightResult>& results, Progress& progress) const;
  std::vector<WeightResult> join(const std::vector<std::filesystem::path>& parts, const Provenance& provenance,
                                 const WritePlane& write) const;
  [[nodiscard]] Value outcome(const std::vector<WeightResult>& results, const std::filesystem::path& output) const;
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

/// Warnings are logged; an error that the recipe does not accept is one.
void Conversion::Impl::heed_guardrails() const {
  if (const Finding* error = first_error(findings))
    fail_usage(error->text() + "; to go on nevertheless, add \"" + error->rule->id + "\" to target.accept");
  for (const Finding& f : findings)
    if (f.severity >= Severity::warning && !f.accepted) log::warn(f.text());
}

Conversion::Conversion(const Recipe& recipe, PluginRegistry& plugins)
    : impl_(std::make_unique<Impl>(recipe, plugins)) {}
Conversion::~Conversion() = default;

Value Conversion::plan(const RunOptions& options) const {
  Value report = impl_->description;
  report.set("passed", first_error(impl_->findings) == nullptr);
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
  v.push_back(r.stats.excess_bound);
  v.push_back(r.rounding.overflowed);
  if (r.merge) v.push_back(r.merge->to_value());
  return v;
}

WeightResult from_value(const Value& v) {
  const Value::List& list = v.items();
  if (list.size() != 10 && list.size() != 11)
    fail_input("a journal entry has " + std::to_string(list.size()) + " numbers");
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
  r.stats.excess_bound = list[8].as_real();
  r.rounding.overflowed = static_cast<std::uint64_t>(list[9].as_int());
  if (list.size() == 11) r.merge = MergeProof::from_value(list[10]);
  return r;
}

std::filesystem::path output_of(const RunOptions& options, const Recipe& recipe) {
  const std::filesystem::path output =
      options.output.empty() ? std::filesystem::path(recipe.output.path) : options.output;
  if (output.empty()) fail_usage("no output: pass -o, or set output.path in the recipe");
  return output;
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

/// Makes, completes and publishes what the destination asks for. On a failure worth continuing from, the workspace stays.
StageTimes Conversion::Impl::produce(const RunOptions& options, const MemoryPlan& memory, Workspace& workspace,
                                     const Destination& destination, Provenance& provenance,
                                     std::vector<WeightResult>& results, Progress& progress) const {
  const std::vector<std::size_t>& wanted = destination.weights;
  const std::vector<std::string> digests = unit_digests(recipe, assembly);
  std::vector<ProgressRecord::Unit> units;
  std::vector<std::size_t> unit_of(results.size());
  for (const std::size_t weight : wanted) {
    unit_of[weight] = units.size();
    units.push_back({assembly.weights()[weight]->key, digests[weight]});
  }
  ProgressRecord record(workspace.journal(), units, destination.sync);
  for (WeightResult& result : results) result.done = true;
  for (std::size_t u = 0; u < wanted.size(); ++u)
    results[wanted[u]] = record.finished(u) ? from_value(*record.finished(u)) : WeightResult{};
  if (record.resumed() > 0)
    log::info("resuming: " + std::to_string(record.resumed()) + " of " + std::to_string(units.size()) +
              " weights are finished already");
  begin_progress(progress, assembly, results);
  const std::vector<Errand> errands = provenance.errands();
  Executor executor(assembly.weights(), destination.write,
                    [&](std::size_t weight, const WeightResult& r) { record.add(unit_of[weight], to_value(r)); });
  try {
    executor.run(memory, results, errands, progress);
    provenance.check_unchanged();
    record.finish();
    destination.complete(results);
    stop::throw_if_requested();
    workspace.publish();
  } catch (const Error& e) {
    if (!options.resume) throw;
    record.give_up(e, workspace, "weights");
  }
  progress.end();
  return executor.times();
}

/// Everything, into a package that grows in `folder`.
Destination Conversion::Impl::package(const std::filesystem::path& folder, const Provenance& provenance) const {
  const auto& writer = assembly.writer();
  writer.check(writer->begin(writer->self, folder.c_str()));
  std::vector<std::size_t> all(assembly.weights().size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return {std::move(all),
          [&writer](std::size_t weight, std::uint32_t plane, std::uint64_t offset, std::span<const std::byte> bytes) {
            writer.check(writer->write(writer->self, weight, plane, offset, bytes.data(), bytes.size()));
          },
          [&writer] { writer.check(writer->sync(writer->self)); },
          [this, &provenance](const std::vector<WeightResult>&) { finish(provenance); }};
}

/// The shard's weights, into a part that grows in the workspace.
StageTimes Conversion::Impl::produce_part(const RunOptions& options, const MemoryPlan& memory, Workspace& workspace,
                                          std::vector<WeightResult>& results, Progress& progress) const {
  const PartLayout layout(assembly, *options.shard);
  workspace.require_space(layout.file_size());
  workspace.prepare(options.resume);
  const PositionedFile file(part_file(workspace.package()), PositionedFile::Access::write);
  file.resize(layout.file_size());
  sync_directory(workspace.package());  // the journal will vouch for what the file holds
  Provenance provenance(recipe, assembly);
  const auto save_record = [&](const std::vector<WeightResult>& made) {
    const std::vector<std::string> digests = unit_digests(recipe, assembly, Identity::anywhere);
    PartRecord record{*options.shard, provenance.inputs(), {}};
    for (const std::size_t w : layout.weights())
      record.weights.push_back({assembly.weights()[w]->key, digests[w], to_value(made[w])});
    file.sync();
    record.save(workspace.package());
  };
  const Destination destination{
      layout.weights(),
      [&](std::size_t weight, std::uint32_t plane, std::uint64_t offset, std::span<const std::byte> bytes) {
        file.write(layout.offset(weight, plane) + offset, bytes);
      },
      [&] { file.sync(); }, save_record};
  return produce(options, memory, workspace, destination, provenance, results, progress);
}

Value Conversion::Impl::outcome(const std::vector<WeightResult>& results, const std::filesystem::path& output) const {
  Value report = description;
  add_results(report, assembly, results);
  add_merge_proof(report, assembly, results);
  report.set("package", std::filesystem::absolute(output).lexically_normal().string());
  return report;
}

Value Conversion::run(const RunOptions& options, Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  impl_->heed_guardrails();
  const Assembly& assembly = impl_->assembly;
  const std::filesystem::path package = output_of(options, impl_->recipe);
  const std::filesystem::path output = options.shard ? options.shard->part_of(package) : package;
  const MemoryPlan memory = impl_->memory(options);
  if (memory.threads < worker_count(options))
    log::warn("--max-memory leaves room for " + std::to_string(memory.threads) + " of " +
              std::to_string(worker_count(options)) + " workers");

  Workspace workspace(output, options.force, options.keep_temporary);
  std::vector<WeightResult> results(assembly.weights().size());
  StageTimes times;
  if (options.shard) {
    times = impl_->produce_part(options, memory, workspace, results, progress);
  } else {
    workspace.require_space(assembly.weight_bytes() + kPackageOverhead);
    workspace.prepare(options.resume);
    Provenance provenance(impl_->recipe, assembly);
    const Destination destination = impl_->package(workspace.package(), provenance);
    times = impl_->produce(options, memory, workspace, destination, provenance, results, progress);
  }

  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  Value report = impl_->outcome(results, output);
  if (options.shard) report.set("shard", options.shard->text());
  report.set("seconds", seconds);
  report.set("time", time_value(times, seconds, memory.threads));
  report.set("bounded_by", bounded_by(times, seconds, memory.threads));
  report.set("memory", memory_value(memory));
  report.set("peak_memory", peak_resident_memory());
  return report;
}

/// Checks the parts against the plan and hands their bytes on. Every weight must be there, made from the same inputs with
/// the same settings.
std::vector<WeightResult> Conversion::Impl::join(const std::vector<std::filesystem::path>& parts,
                                                 const Provenance& provenance, const WritePlane& write) const {
  const std::vector<std::string> digests = unit_digests(recipe, assembly, Identity::anywhere);
  const std::string inputs = json::dump(provenance.inputs());
  std::vector<WeightResult> results(assembly.weights().size());
  unsigned count = 0;
  for (const std::filesystem::path& part : parts) {
    const PartRecord record = PartRecord::load(part);
    if (count != 0 && record.shard.count != count)
      fail_input(part.string() + ": is shard " + record.shard.text() + ", but another part is one of " +
                 std::to_string(count) + "; remove those that do not belong here");
    count = record.shard.count;
    const PartLayout layout(assembly, record.shard);
    const std::string other = part.string() + ": was made with other settings, plugins or inputs; run shard " +
                              record.shard.text() + " again";
    if (record.weights.size() != layout.weights().size() || json::dump(record.inputs) != inputs) fail_input(other);
    for (std::size_t i = 0; i < record.weights.size(); ++i) {
      const std::size_t weight = layout.weights()[i];
      if (record.weights[i].key != assembly.weights()[weight]->key || record.weights[i].digest != digests[weight])
        fail_input(other);
      results[weight] = from_value(record.weights[i].note);
    }
    copy_part(part, layout, assembly, write);
  }
  const std::vector<unsigned> owner = share_out(assembly.weights(), std::max(1u, count));
  for (std::size_t w = 0; w < results.size(); ++w)
    if (!results[w].done)
      fail_input(count == 0
                     ? "there are no parts to assemble; run convert --shard 1/N to N/N with the same output first"
                     : "the part of shard " + Shard{owner[w], count}.text() + " is missing");
  return results;
}

Value Conversion::assemble(const RunOptions& options, Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  const Assembly& assembly = impl_->assembly;
  const std::filesystem::path output = output_of(options, impl_->recipe);
  const std::vector<std::filesystem::path> parts = find_parts(output);
  Workspace workspace(output, options.force, options.keep_temporary);
  workspace.require_space(assembly.weight_bytes() + kPackageOverhead);
  workspace.prepare(false);
  Provenance provenance(impl_->recipe, assembly);
  std::vector<WeightResult> nothing_to_make(assembly.weights().size());
  for (WeightResult& result : nothing_to_make) result.done = true;
  progress.begin("assemble", assembly.weight_bytes(), parts.size());
  const std::vector<Errand> hashing = provenance.errands();
  Executor(assembly.weights(), {}, {}).run({worker_count(options), 0}, nothing_to_make, hashing, progress);
  provenance.check_unchanged();
  const Destination package = impl_->package(workspace.package(), provenance);
  const std::vector<WeightResult> results = impl_->join(parts, provenance, package.write);
  package.complete(results);
  stop::throw_if_requested();
  workspace.publish();
  for (const std::filesystem::path& part : parts) std::filesystem::remove_all(part);
  progress.end();

  Value report = impl_->outcome(results, output);
  report.set("seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  report.set("peak_memory", peak_resident_memory());
  return report;
}

}  // namespace d2c::host
