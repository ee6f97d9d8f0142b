#include "libs/mil_cpu/runner.hpp"

#include "libs/kernels/thread_pool.hpp"
#include "libs/mil_cpu/feature_io.hpp"
#include "libs/mil_cpu/memory.hpp"
#include "libs/mil_cpu/program.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

namespace d2c::mil_cpu {
namespace {

/// Marks a state as used by a call, for as long as it lives.
class Claim {
 public:
  explicit Claim(std::atomic<bool>& busy) : busy_(busy) {
    if (busy_.exchange(true, std::memory_order_acquire))
      fail_usage("a call is already using this state; use one state for each session");
  }
  ~Claim() { busy_.store(false, std::memory_order_release); }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

 private:
  std::atomic<bool>& busy_;
};

class SessionState final : public RunnerState {
 public:
  explicit SessionState(std::shared_ptr<const std::vector<Feature>> features) : features_(std::move(features)) {
    for (const Feature& f : *features_)
      memory_.emplace_back(static_cast<std::size_t>(f.type.bytes()), "state '" + f.name + "'");
  }

  Buffer buffer(const std::string& name) override {
    for (std::size_t i = 0; i < memory_.size(); ++i)
      if ((*features_)[i].name == name) return {name, memory_[i].bytes()};
    fail_usage("there is no state '" + name + "'");
  }

  [[nodiscard]] bool belongs_to(const std::vector<Feature>& features) const noexcept {
    return features_.get() == &features;
  }
  [[nodiscard]] std::atomic<bool>& busy() noexcept { return busy_; }
  [[nodiscard]] std::vector<StateBytes> bytes() const {
    std::vector<StateBytes> all;
    for (const ZeroedMemory& m : memory_) all.push_back({m.bytes().data(), m.bytes().size()});
    return all;
  }

 private:
  std::shared_ptr<const std::vector<Feature>> features_;
  std::vector<ZeroedMemory> memory_;
  std::atomic<bool> busy_ = false;
};

/// The states of all functions, each once: functions share them by name.
std::vector<Feature> states_of(const std::vector<Signature>& signatures) {
  std::map<std::string, TensorType> all;
  for (const Signature& s : signatures)
    for (const Feature& f : s.states) all.emplace(f.name, f.type);
  std::vector<Feature> list;
  for (const auto& [name, type] : all) list.push_back({name, type});
  return list;
}

unsigned thread_count(unsigned wanted) {
  return wanted > 0 ? wanted : std::max(1u, std::thread::hardware_concurrency());
}

class PackageRunner final : public Runner {
 public:
  PackageRunner(const std::filesystem::path& root, const RunnerOptions& options)
      : package_(load_package(root)), pool_(thread_count(options.threads)) {
    for (const Function& f : package_.functions) signatures_.push_back(f.signature());
    states_ = std::make_shared<const std::vector<Feature>>(states_of(signatures_));
    for (const Function& f : package_.functions)
      plans_.push_back(compile(f, *states_, {options.precision, pool_.threads(), options.fuse}, root.string()));
    for (const Signature& s : signatures_) check_features(s, root.string());
    description_ = make_description();
  }

  [[nodiscard]] const std::vector<Signature>& signatures() const override { return signatures_; }
  [[nodiscard]] const Value& describe() const override { return description_; }
  [[nodiscard]] std::unique_ptr<RunnerState> make_state() override { return std::make_unique<SessionState>(states_); }

  void call(const std::string& function, RunnerState* state, std::span<const Buffer> inputs,
            std::span<const Buffer> outputs) override {
    const std::size_t index = index_of(function);
    if (signatures_[index].states.empty()) return run(plans_[index], {}, inputs, outputs);
    auto* session = dynamic_cast<SessionState*>(state);
    if (session == nullptr || !session->belongs_to(*states_))
      fail_usage("function '" + function + "' needs a state that make_state() of this runner made");
    const Claim claim(session->busy());
    run(plans_[index], session->bytes(), inputs, outputs);
  }

 private:
  static void check_features(const Signature& s, const std::string& where) {
    for (const auto* list : {&s.inputs, &s.outputs})
      for (const Feature& f : *list)
        if (!is_feature_dtype(f.type.dtype))
          fail_input(where + ": function '" + s.function + "': '" + f.name + "' is " + f.type.text() +
                     ", which no input or output can be");
  }

  [[nodiscard]] std::size_t index_of(const std::string& function) const {
    std::string known;
    for (std::size_t i = 0; i < signatures_.size(); ++i) {
      if (signatures_[i].function == function) return i;
      known += (i == 0 ? "" : ", ") + signatures_[i].function;
    }
    fail_usage("there is no function '" + function + "'; the package has " + known);
  }

  static const Buffer& find(const PlannedFeature& wanted, std::span<const Buffer> given, const Plan& plan) {
    const auto at = std::ranges::find(given, wanted.feature.name, &Buffer::name);
    if (at == given.end()) fail_usage("function '" + plan.function + "' needs input '" + wanted.feature.name + "'");
    check_size(wanted, *at, plan);
    return *at;
  }

  static void check_size(const PlannedFeature& feature, const Buffer& buffer, const Plan& plan) {
    const auto expected = static_cast<std::size_t>(feature.feature.type.bytes());
    if (buffer.data.size() != expected)
      fail_usage("function '" + plan.function + "': '" + buffer.name + "' is " + feature.feature.type.text() + ", " +
                 std::to_string(expected) + " bytes, not " + std::to_string(buffer.data.size()));
  }

  static const PlannedFeature& output_for(const Buffer& buffer, const Plan& plan) {
    const auto at = std::ranges::find_if(plan.outputs, [&](const auto& o) { return o.feature.name == buffer.name; });
    if (at == plan.outputs.end()) fail_usage("function '" + plan.function + "' has no output '" + buffer.name + "'");
    check_size(*at, buffer, plan);
    return *at;
  }

  void run(const Plan& plan, std::vector<StateBytes> states, std::span<const Buffer> inputs,
           std::span<const Buffer> outputs) {
    if (inputs.size() != plan.inputs.size())
      fail_usage("function '" + plan.function + "' takes " + std::to_string(plan.inputs.size()) + " inputs, not " +
                 std::to_string(inputs.size()));
    for (const Buffer& out : outputs) (void)output_for(out, plan);

    const std::scoped_lock turn(turn_);
    if (arena_.bytes().size() < plan.arena_bytes)
      arena_ = ZeroedMemory(plan.arena_bytes, "working memory of function '" + plan.function + "'");
    Frame frame{arena_.bytes().data(), std::move(states), &pool_};
    for (const PlannedFeature& input : plan.inputs) {
      const TensorType& type = input.feature.type;
      widen_feature(type.dtype, find(input, inputs, plan).data.data(), static_cast<std::size_t>(type.count()),
                    input.place->reals_out(frame));
    }
    for (const Step& step : plan.steps) step(frame);
    for (const Buffer& out : outputs) {
      const PlannedFeature& planned = output_for(out, plan);
      const TensorType& type = planned.feature.type;
      narrow_feature(type.dtype, planned.place->reals(frame), static_cast<std::size_t>(type.count()), out.data.data());
    }
  }

  [[nodiscard]] Value make_description() const {
    Value::Table metadata, scratch;
    for (const auto& [key, text] : package_.metadata) metadata.emplace_back(key, text);
    for (const Plan& plan : plans_) scratch.emplace_back(plan.function, plan.arena_bytes);
    std::int64_t state_bytes = 0;
    for (const Feature& f : *states_) state_bytes += f.type.bytes();
    return Value::Table{{"metadata", metadata},
                        {"weight_bytes", package_.weight_bytes},
                        {"state_bytes", state_bytes},
                        {"scratch_bytes", scratch}};
  }

  Package package_;
  kernels::ThreadPool pool_;
  std::vector<Signature> signatures_;
  std::shared_ptr<const std::vector<Feature>> states_;
  std::vector<Plan> plans_;
  Value description_;
  std::mutex turn_;  // guards arena_ and the use of pool_
  ZeroedMemory arena_;
};

}  // namespace

Precision precision_named(std::string_view name) {
  if (name == "fp32") return Precision::fp32;
  if (name == "fp16") return Precision::fp16;
  if (name == "fast") return Precision::fast;
  fail_usage("precision: '" + std::string(name) + "' is not one of fp32, fp16, fast");
}

std::unique_ptr<Runner> open_runner(const std::filesystem::path& package, const RunnerOptions& options) {
  return std::make_unique<PackageRunner>(package, options);
}

}  // namespace d2c::mil_cpu
