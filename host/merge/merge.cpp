#include "host/merge/merge.hpp"

#include "host/convert/assembly.hpp"
#include "host/convert/published_assets.hpp"
#include "host/convert/unit_digests.hpp"
#include "host/log/log.hpp"
#include "host/platform/files.hpp"
#include "host/platform/process.hpp"
#include "host/stop/stop.hpp"
#include "host/workspace/progress_record.hpp"
#include "host/workspace/workspace.hpp"
#include "libs/digest/sha256.hpp"
#include "libs/json/json.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <set>
#include <thread>
#include <utility>

namespace d2c::host {
namespace fs = std::filesystem;
namespace {

constexpr const char* kConfig = "config.json";
constexpr const char* kIndex = "model.safetensors.index.json";

/// Refuses a model that this program would misread, before a merge hides the fault in a new checkpoint.
void check_model(Recipe recipe, PluginRegistry& plugins) {
  recipe.adapters.clear();
  recipe.variants.clear();
  std::erase_if(recipe.functions, [](const FunctionSection& f) { return f.stack != "chat"; });
  recipe.encoder = Value::table();
  const Assembly whole(recipe, plugins);
}

/// What there is to merge: one stack, its head a tensor of its own whatever becomes of it later.
Recipe merging(Recipe recipe) {
  for (const AdapterSection& adapter : recipe.adapters)
    if (adapter.stack != "chat")
      fail_usage("merge: " + adapter.path + " belongs to the stack '" + adapter.stack +
                 "'; a checkpoint has one stack, pass its adapters with --adapter");
  recipe.combine.tied = "untie";
  recipe.functions.clear();
  recipe.variants.clear();
  recipe.encoder = Value::table();
  return recipe;
}

TiedPolicy tied_policy(const Recipe& recipe) {
  return recipe.combine.tied == "shared" ? TiedPolicy::shared : TiedPolicy::untie;
}

ModelInputs open_checked(const Recipe& recipe, PluginRegistry& plugins) {
  check_model(recipe, plugins);
  return open_inputs(merging(recipe), plugins);
}

const Asset* find_asset(const std::vector<Asset>& assets, const std::string& name) {
  const auto it = std::find_if(assets.begin(), assets.end(), [&](const Asset& a) { return a.name == name; });
  return it == assets.end() ? nullptr : &*it;
}

/// A source without a config.json of its own is no Hugging Face checkpoint: what it stores is expanded to fp16.
std::optional<DType> output_dtype(const std::string& name, const Source& source) {
  if (name == "fp16") return DType::f16;
  if (name == "bf16") return DType::bf16;
  if (name == "fp32") return DType::f32;
  if (name != "source") fail_usage("--dtype: '" + name + "' is none of source, fp16, bf16, fp32");
  if (find_asset(source.assets(), kConfig) != nullptr) return std::nullopt;
  return DType::f16;
}

const char* torch_name(DType type) {
  return type == DType::f16 ? "float16" : type == DType::bf16 ? "bfloat16" : "float32";
}

/// Files that decide what is written must still be the ones that were opened.
std::vector<std::string> files_of(const ModelInputs& inputs) {
  std::vector<std::string> files = inputs.model->files();
  if (inputs.chat) {
    const std::vector<std::string> more = inputs.chat->files();
    files.insert(files.end(), more.begin(), more.end());
  }
  return files;
}

/// Gives the folder to this run: emptied, or rid of what an earlier run under other settings left.
void prepare(const Workspace& workspace, const CheckpointLayout& layout, bool resume) {
  workspace.prepare(resume);
  std::set<std::string> wanted;
  for (const ShardFile& shard : layout.shards()) wanted.insert(shard.file);
  for (const auto& entry : fs::directory_iterator(workspace.package()))
    if (!wanted.contains(entry.path().filename().string())) fs::remove_all(entry.path());
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", share * 100);
  return text;
}

}  // namespace

Merge::Merge(const Recipe& recipe, PluginRegistry& plugins, const MergeOptions& options)
    : recipe_(recipe),
      inputs_(open_checked(recipe, plugins)),
      dtype_(output_dtype(options.dtype, *inputs_.model)),
      layout_(*inputs_.model, inputs_.chat.get(), tied_policy(recipe), dtype_, options.max_shard_bytes),
      proofs_(layout_.tensors().size()) {
  for (const std::string& file : files_of(inputs_)) identities_.push_back(file_identity(file));
}

Value Merge::run(const RunOptions& options, Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  if (options.output.empty()) fail_usage("no output: pass -o with the folder to write");
  const unsigned threads = options.threads != 0 ? options.threads : std::max(1u, std::thread::hardware_concurrency());
  const CheckpointWriter sizing(*inputs_.model, inputs_.chat.get(), layout_, nullptr);
  const MemoryPlan memory = sizing.plan(threads, options.max_memory, resident_memory());
  Workspace workspace(options.output, options.force, options.keep_temporary);
  workspace.require_space(layout_.bytes());
  produce(options, memory, workspace, progress);
  Value result = report();
  result.set("output", fs::absolute(options.output).lexically_normal().string());
  result.set("seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  result.set("memory", memory.bytes);
  result.set("peak_memory", peak_resident_memory());
  return result;
}

/// Completes and publishes the checkpoint. On a failure worth continuing from, the workspace stays.
void Merge::produce(const RunOptions& options, const MemoryPlan& memory, Workspace& workspace, Progress& progress) {
  prepare(workspace, layout_, options.resume);
  ProgressRecord* record = nullptr;  // must go before the writer, whose files it syncs
  CheckpointWriter writer(*inputs_.model, inputs_.chat.get(), layout_, [&](std::size_t i, const MergeProof& proof) {
    proofs_[i] = proof;
    record->add(i, proof.to_value());
  });
  writer.open(workspace.package());
  sync_directory(workspace.package());  // the journal will vouch for what the files hold
  const std::vector<std::string> digests = unit_digests();
  std::vector<ProgressRecord::Unit> units;
  for (std::size_t i = 0; i < digests.size(); ++i) units.push_back({layout_.tensors()[i].name, digests[i]});
  ProgressRecord durable(workspace.journal(), units, [&] { writer.sync(); });
  record = &durable;
  std::vector<std::size_t> wanted;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < units.size(); ++i) {
    if (const auto& note = record->finished(i)) {
      proofs_[i] = MergeProof::from_value(*note);
    } else {
      wanted.push_back(i);
      bytes += static_cast<std::uint64_t>(layout_.tensors()[i].type.bytes());
    }
  }
  if (record->resumed() > 0)
    log::info("resuming: " + std::to_string(record->resumed()) + " of " + std::to_string(units.size()) +
              " tensors are finished already");
  progress.begin("merge", bytes, wanted.size());
  try {
    writer.run(memory.threads, wanted, progress);
    check_sources();
    record->finish();
    writer.sync();
    write_companions(workspace.package());
    sync_directory(workspace.package());
    stop::throw_if_requested();
    workspace.publish();
  } catch (const Error& e) {
    if (!options.resume) throw;
    record->give_up(e, workspace, "tensors");
  }
  progress.end();
}

void Merge::check_sources() const {
  const std::vector<std::string> files = files_of(inputs_);
  for (std::size_t i = 0; i < files.size(); ++i)
    if (file_identity(files[i]) != identities_[i])
      fail_input(files[i] + ": changed while it was being merged; run again once it is complete");
}

void Merge::write_companions(const fs::path& folder) const {
  const std::vector<Asset> assets = published_assets(*inputs_.model, inputs_.chat.get());
  const Asset* original = find_asset(assets, kConfig);
  const Value merged = config();
  const bool same = original != nullptr && merged == inputs_.model->config();
  write_durably(folder / kConfig, same ? original->data : json::dump(merged, 2) + "\n");
  for (const Asset& asset : assets)
    if (asset.name != kConfig) write_durably(folder / asset.name, asset.data);
  if (const std::string index = layout_.index(); !index.empty()) write_durably(folder / kIndex, index);
}

Value Merge::config() const {
  Value config = inputs_.model->config();
  if (layout_.untied()) config.set("tie_word_embeddings", false);
  if (inputs_.chat && inputs_.chat->grown_vocabulary()) config.set("vocab_size", *inputs_.chat->grown_vocabulary());
  if (dtype_) config.set(config.find("dtype") != nullptr ? "dtype" : "torch_dtype", torch_name(*dtype_));
  return config;
}

std::vector<std::string> Merge::unit_digests() const {
  std::vector<std::string> digests;
  for (const MergedTensor& t : layout_.tensors()) {
    const ShardFile& shard = layout_.shards()[t.shard];
    Value identity = Value::table();
    identity.set("name", t.name);
    identity.set("type", t.type.text());
    identity.set("place", shard.file + "@" + std::to_string(shard.layout.offset(t.entry)));
    identity.set("source", source_identity(*inputs_.model, t.source_tensor));
    identity.set("targets", Value::List(t.targets.begin(), t.targets.end()));
    if (!t.targets.empty()) identity.set("stack", stack_identity(*inputs_.chat, recipe_));
    digests.push_back(sha256_of(json::dump(identity)));
  }
  return digests;
}

Value Merge::report() const {
  Value report = Value::table(), files = Value::list(), changed = Value::list(), notes = Value::list();
  for (const ShardFile& shard : layout_.shards()) {
    Value file = Value::table();
    file.set("name", shard.file);
    file.set("bytes", shard.layout.size());
    files.push_back(std::move(file));
  }
  MergeProof all;
  for (std::size_t i = 0; i < proofs_.size(); ++i) {
    if (layout_.tensors()[i].targets.empty()) continue;
    const Value proof = proofs_[i].report();
    Value entry = Value::table();
    entry.set("name", layout_.tensors()[i].name);
    for (const auto& [key, value] : proof.members()) entry.set(key, value);
    changed.push_back(std::move(entry));
    all += proofs_[i];
  }
  if (layout_.untied())
    notes.push_back("embedding and head were one tensor; an adapter changes them differently, so " +
                    std::string(kHead) + " is written beside " + kEmbedding);
  if (all.intended > 0 && all.share() < kLeastShare)
    notes.push_back("only " + percent(all.share()) +
                    " of the adapters' change survives the rounding; choose --dtype fp32, or bf16 to fp16");
  report.set("model", recipe_.model.source);
  report.set("adapters", inputs_.chat ? Value(Value::List{inputs_.chat->summary()}) : Value::list());
  report.set("untied", layout_.untied());
  report.set("files", std::move(files));
  report.set("bytes", layout_.bytes());
  report.set("tensors", layout_.tensors().size());
  report.set("merge", all.report());
  report.set("notes", std::move(notes));
  report.set("changed", std::move(changed));
  return report;
}

}  // namespace d2c::host
