// Objects of every kind, used as the host uses them: through the C structs of a loaded library.
#include "host/loader/plugin_registry.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace d2c::host {
namespace {

const std::vector<std::filesystem::path> kFolders{std::filesystem::path(FIXTURES) / "good"};

class Objects : public testing::Test {
 protected:
  template <class CStruct>
  Handle<CStruct> create(Value options) {
    return registry_.create<CStruct>(plugin(), options);
  }
  /// An object that fails at `function`.
  template <class CStruct>
  Handle<CStruct> failing(const std::string& function) {
    return create<CStruct>(options("fail", function));
  }
  static Value options(const std::string& key, Value value) {
    Value adapter = Value::table();
    adapter.set("path", "adapter");
    Value v = Value::table();
    v.set("bits", 1);
    v.set("path", "model");
    v.set("adapters", Value::List{adapter});
    v.set(key, std::move(value));
    return v;
  }
  std::shared_ptr<Plugin> plugin(const std::string& name = "all_kinds") { return registry_.find(name); }

  PluginRegistry registry_{kFolders, {}};
};

/// Code and text of the Error that `body` throws.
template <class Body>
std::pair<Code, std::string> error_of(Body body) {
  try {
    body();
  } catch (const Error& e) {
    return {e.code(), e.what()};
  }
  return {Code::ok, "no error"};
}

template <class CStruct>
std::pair<Code, std::string> error_of(const Handle<CStruct>& object, d2c_code code) {
  return error_of([&] { object.check(code); });
}

std::pair<Code, std::string> told(const std::string& function) {
  return {Code::input, "all_kinds: " + function + " was told to fail"};
}

TEST_F(Objects, EntryTellsNameVersionAndKinds) {
  const auto p = plugin();
  EXPECT_STREQ(p->entry().version, "1.2.3");
  EXPECT_STREQ(p->entry().summary, "One object of every kind.");
  EXPECT_THAT(p->kinds(), testing::ElementsAre("d2c.weight_source/1", "d2c.adapter_merger/1", "d2c.quantizer/1",
                                               "d2c.function_emitter/1", "d2c.package_writer/1", "d2c.package_reader/1",
                                               "d2c.runner/1", "d2c.fetcher/1"));
  EXPECT_EQ(p->factory("d2c.juggler/1"), nullptr);
}

TEST_F(Objects, FactoryDescribesItsOptions) {
  const auto specs = plugin()->options(D2C_QUANTIZER);
  ASSERT_EQ(specs.size(), 2u);
  EXPECT_STREQ(specs[1]->name, "bits");
  EXPECT_EQ(specs[1]->kind, D2C_VALUE_INTEGER);
  EXPECT_STREQ(specs[1]->default_json, "1");
  EXPECT_STREQ(specs[1]->allowed_json, "[1,2]");
}

TEST_F(Objects, ProbeScoresAndNeverThrows) {
  const d2c_factory* factory = plugin()->factory(D2C_WEIGHT_SOURCE);
  EXPECT_EQ(factory->probe("mine"), 100);
  EXPECT_EQ(factory->probe("yours"), 0);
  EXPECT_EQ(factory->probe("throw"), 0);
  EXPECT_EQ(plugin()->factory(D2C_QUANTIZER)->probe, nullptr);
}

TEST_F(Objects, CreateRefusesABadOptionByName) {
  const auto error = error_of([&] { (void)create<d2c_quantizer>(options("bits", 9)); });
  EXPECT_EQ(error, std::make_pair(Code::usage, std::string("all_kinds: bits: 9 is not one of 1,2")));
}

TEST_F(Objects, CreateOfEveryKindCanFail) {
  EXPECT_EQ(error_of([&] { (void)failing<d2c_weight_source>("create"); }), told("create"));
  EXPECT_EQ(error_of([&] { (void)failing<d2c_adapter_merger>("create"); }), told("create"));
  EXPECT_EQ(error_of([&] { (void)failing<d2c_quantizer>("create"); }), told("create"));
  EXPECT_EQ(error_of([&] { (void)failing<d2c_function_emitter>("create"); }), told("create"));
  EXPECT_EQ(error_of([&] { (void)failing<d2c_package_writer>("create"); }), told("create"));
  EXPECT_EQ(error_of([&] { (void)failing<d2c_package_reader>("create"); }), told("create"));
  EXPECT_EQ(error_of([&] { (void)failing<d2c_runner>("create"); }), told("create"));
}

TEST_F(Objects, AnyExceptionBecomesACodeAndText) {
  EXPECT_EQ(error_of([&] { (void)failing<d2c_quantizer>("create:bad_alloc"); }),
            std::make_pair(Code::resource, std::string("all_kinds: out of memory")));
  EXPECT_EQ(error_of([&] { (void)failing<d2c_quantizer>("create:logic_error"); }),
            std::make_pair(Code::plugin, std::string("all_kinds: create is wrong")));
  EXPECT_EQ(error_of([&] { (void)failing<d2c_quantizer>("create:int"); }),
            std::make_pair(Code::plugin, std::string("all_kinds: unknown exception")));
}

TEST_F(Objects, ACodeWithoutAMessageIsStillASentence) {
  EXPECT_EQ(error_of([&] { plugin()->check(77); }),
            std::make_pair(Code::plugin, std::string("all_kinds: failed with code 77 and no message")));
}

TEST_F(Objects, AnUnlistedKindIsRefused) {
  const auto error = error_of([&] { (void)registry_.create<d2c_runner>(plugin("quant_c11"), Value::table()); });
  EXPECT_EQ(error, std::make_pair(Code::usage,
                                  std::string("plugin 'quant_c11' is no d2c.runner/1; it offers d2c.quantizer/1")));
}

TEST_F(Objects, AShorterStructIsRefused) {
  const auto error = error_of([&] { (void)registry_.create<d2c_quantizer>(plugin("small_object"), Value::table()); });
  EXPECT_EQ(error.first, Code::plugin);
  EXPECT_EQ(error.second,
            "plugin 'small_object' 0.1.0 made a d2c.quantizer/1 of 48 bytes where 64 are needed - rebuild it against "
            "d2c-sdk 1.x");
}

TEST_F(Objects, WeightSourceLendsRows) {
  const auto source = create<d2c_weight_source>(options("fail", ""));
  EXPECT_EQ(Value::from_c(source->config(source->self)).at("hidden_size").as_int(), 2);
  ASSERT_EQ(source->tensor_count(source->self), 1u);
  d2c_tensor_info info{};
  source.check(source->tensor(source->self, 0, &info));
  EXPECT_STREQ(info.name, "weight");
  EXPECT_EQ(TensorType::from_c(info.type), (TensorType{DType::f32, {3, 2}}));
  EXPECT_STREQ(source->file(source->self, info.file), "model");

  d2c_view view{};
  source.check(source->view(source->self, 0, 1, 2, &view));
  ASSERT_EQ(view.size, 4 * sizeof(float));
  EXPECT_THAT(std::vector<float>(static_cast<const float*>(view.data), static_cast<const float*>(view.data) + 4),
              testing::ElementsAre(2, 3, 4, 5));
  view.release(&view);

  d2c_asset asset{};
  ASSERT_EQ(source->asset_count(source->self), 1u);
  source.check(source->asset(source->self, 0, &asset));
  EXPECT_EQ(std::string(static_cast<const char*>(asset.data), asset.size), "{}");
}

TEST_F(Objects, WeightSourceReportsFailures) {
  const auto source = failing<d2c_weight_source>("view");
  d2c_view view{};
  EXPECT_EQ(error_of(source, source->view(source->self, 0, 0, 1, &view)), told("view"));
  d2c_tensor_info info{};
  EXPECT_EQ(error_of(source, source->tensor(source->self, 1, &info)).first, Code::plugin);
  d2c_asset asset{};
  EXPECT_EQ(error_of(source, source->asset(source->self, 1, &asset)).first, Code::plugin);
}

class Adapters : public Objects {
 protected:
  d2c_code bind(const Handle<d2c_adapter_merger>& merger) const {
    const d2c_base_model base{sizeof base, config_.c(), &tensor_, 1, 0};
    return merger->bind(merger->self, &base);
  }

  const ValueExport config_{Value::table()};
  const d2c_tensor_info tensor_{sizeof(d2c_tensor_info), "weight", {D2C_F32, 2, {2, 2}}, 0};
};

TEST_F(Adapters, MergerSeesTheTensorAndThenChangesIt) {
  const auto merger = create<d2c_adapter_merger>(options("fail", ""));
  merger.check(bind(merger));
  ASSERT_EQ(merger->target_count(merger->self), 1u);
  d2c_adapter_target target{};
  merger.check(merger->target(merger->self, 0, &target));
  EXPECT_STREQ(target.tensor, "weight");
  EXPECT_EQ(target.flags, D2C_TARGET_PREPARE | D2C_TARGET_LOW_RANK);

  void* job = nullptr;
  merger.check(merger->begin(merger->self, "weight", &job));
  std::vector<float> row{5, 6};
  merger.check(merger->observe(merger->self, job, 0, 1, row.data()));
  merger.check(merger->observe(merger->self, job, 1, 1, row.data()));
  merger.check(merger->process(merger->self, job, 1, 1, row.data()));
  EXPECT_THAT(row, testing::ElementsAre(7, 8));
  merger->end(merger->self, job);

  EXPECT_STREQ(merger->file(merger->self, 0), "adapter");
  EXPECT_STREQ(merger->summary(merger->self), "one adapter");
}

TEST_F(Adapters, FactorGivesItsShapeAloneOrWithValues) {
  const auto merger = create<d2c_adapter_merger>(options("fail", ""));
  d2c_type type{};
  merger.check(merger->factor(merger->self, "weight", D2C_FACTOR_B, &type, nullptr));
  EXPECT_EQ(TensorType::from_c(type), (TensorType{DType::f32, {2, 1}}));
  std::vector<float> values(2);
  merger.check(merger->factor(merger->self, "weight", D2C_FACTOR_A, &type, values.data()));
  EXPECT_EQ(TensorType::from_c(type), (TensorType{DType::f32, {1, 2}}));
  EXPECT_THAT(values, testing::ElementsAre(1, 2));
}

TEST_F(Adapters, MergerReportsFailures) {
  const auto unbound = failing<d2c_adapter_merger>("bind");
  EXPECT_EQ(error_of(unbound, bind(unbound)), told("bind"));
  const auto no_job = failing<d2c_adapter_merger>("begin");
  no_job.check(bind(no_job));
  void* job = nullptr;
  EXPECT_EQ(error_of(no_job, no_job->begin(no_job->self, "weight", &job)), told("begin"));
  const auto no_factor = failing<d2c_adapter_merger>("factor");
  d2c_type type{};
  EXPECT_EQ(error_of(no_factor, no_factor->factor(no_factor->self, "weight", D2C_FACTOR_A, &type, nullptr)),
            told("factor"));
  for (const std::string function : {"observe", "process"}) {
    const auto merger = failing<d2c_adapter_merger>(function);
    merger.check(bind(merger));
    merger.check(merger->begin(merger->self, "weight", &job));
    float row[2] = {};
    const d2c_code code = function == "observe" ? merger->observe(merger->self, job, 0, 1, row)
                                                : merger->process(merger->self, job, 0, 1, row);
    EXPECT_EQ(error_of(merger, code), told(function));
    merger->end(merger->self, job);
  }
}

const d2c_weight_desc kWeight{sizeof(d2c_weight_desc), "weight", "mlp", {D2C_F32, 2, {8, 2}}};

TEST_F(Objects, QuantizerPlansObservesAndWritesPlanes) {
  const auto quantizer = create<d2c_quantizer>(options("fail", ""));
  d2c_layout layout{};
  quantizer.check(quantizer->plan(quantizer->self, &kWeight, &layout));
  EXPECT_EQ(layout.struct_size, sizeof layout);
  EXPECT_EQ(layout.scheme, D2C_SCHEME_PALETTE);
  EXPECT_EQ(layout.needs_observe, 1);
  ASSERT_EQ(layout.plane_count, 2u);
  EXPECT_EQ(layout.planes[1].rows_per_slice, 0);
  EXPECT_STREQ(layout.label, "signs, with a label that is longer than the for");

  void* job = nullptr;
  quantizer.check(quantizer->begin(quantizer->self, &kWeight, &job));
  std::vector<float> weights(16, -1);
  weights[3] = 4;
  const d2c_tile tile{0, 8, weights.data()};
  quantizer.check(quantizer->observe(quantizer->self, job, &tile));
  unsigned char indices[2] = {};
  float lut[2] = {};
  void* const planes[] = {indices, lut};
  d2c_tile_stats stats{};
  stats.struct_size = sizeof stats;
  quantizer.check(quantizer->process(quantizer->self, job, &tile, planes, &stats));
  quantizer->end(quantizer->self, job);
  EXPECT_EQ(indices[0], 8);
  EXPECT_EQ(indices[1], 0);
  EXPECT_EQ(lut[1], 4);
  EXPECT_EQ(stats.groups, 1);
}

TEST_F(Objects, QuantizerReportsFailures) {
  d2c_layout layout{};
  void* job = nullptr;
  const auto no_plan = failing<d2c_quantizer>("plan");
  EXPECT_EQ(error_of(no_plan, no_plan->plan(no_plan->self, &kWeight, &layout)), told("plan"));
  const auto no_job = failing<d2c_quantizer>("begin");
  EXPECT_EQ(error_of(no_job, no_job->begin(no_job->self, &kWeight, &job)), told("begin"));
  const float weights[16] = {};
  const d2c_tile tile{0, 8, weights};
  for (const std::string function : {"observe", "process"}) {
    const auto quantizer = failing<d2c_quantizer>(function);
    quantizer.check(quantizer->begin(quantizer->self, &kWeight, &job));
    unsigned char indices[2] = {};
    void* const planes[] = {indices, nullptr};
    d2c_tile_stats stats{};
    const d2c_code code = function == "observe" ? quantizer->observe(quantizer->self, job, &tile)
                                                : quantizer->process(quantizer->self, job, &tile, planes, &stats);
    EXPECT_EQ(error_of(quantizer, code), told(function));
    quantizer->end(quantizer->self, job);
  }
}

/// A graph builder that writes down what it is asked, and can refuse.
class Recorder {
 public:
  explicit Recorder(const Plugin& plugin) : plugin_(plugin) {
    c_.struct_size = sizeof c_;
    c_.self = this;
    c_.input = [](void* self, const char* name, const d2c_type*, d2c_value_id* out) { return of(self).add(name, out); };
    c_.op = [](void* self, const char* type, const char* name, const d2c_argument* arguments, size_t count,
               d2c_value_id* results, size_t) {
      auto& r = of(self);
      if (!r.refusal.empty()) return r.plugin_.host().fail(r.plugin_.host().self, D2C_USAGE, r.refusal.c_str());
      return r.add(std::string(type) + " " + name + "(" + arguments[count - 1].name + ")", results);
    };
    c_.output = [](void* self, d2c_value_id, const char* name) { return of(self).add(name, nullptr); };
  }

  std::vector<std::string> calls;
  std::string refusal;
  [[nodiscard]] const d2c_graph_builder& c() const { return c_; }

 private:
  static Recorder& of(void* self) { return *static_cast<Recorder*>(self); }
  d2c_code add(const std::string& call, d2c_value_id* out) {
    if (out != nullptr) *out = static_cast<d2c_value_id>(calls.size());
    calls.push_back(call);
    return D2C_OK;
  }

  const Plugin& plugin_;
  d2c_graph_builder c_{};
};

TEST_F(Objects, EmitterBuildsThroughTheHost) {
  const auto emitter = create<d2c_function_emitter>(options("fail", ""));
  Recorder recorder(emitter.plugin());
  const d2c_emit_request request{sizeof request, "decode", 0, 0, "chat", nullptr, nullptr, nullptr};
  emitter.check(emitter->emit(emitter->self, &request, &recorder.c()));
  EXPECT_THAT(recorder.calls, testing::ElementsAre("x", "relu decode_chat(x)", "y"));
}

TEST_F(Objects, EmitterPassesTheHostsOwnRefusalThrough) {
  const auto emitter = create<d2c_function_emitter>(options("fail", ""));
  Recorder recorder(emitter.plugin());
  recorder.refusal = "decode_chat: relu takes no fp8";
  const d2c_emit_request request{sizeof request, "decode", 0, 0, "chat", nullptr, nullptr, nullptr};
  EXPECT_EQ(error_of(emitter, emitter->emit(emitter->self, &request, &recorder.c())),
            std::make_pair(Code::usage, std::string("all_kinds: decode_chat: relu takes no fp8")));
  const auto failing_emitter = failing<d2c_function_emitter>("emit");
  EXPECT_EQ(error_of(failing_emitter, failing_emitter->emit(failing_emitter->self, &request, &recorder.c())),
            told("emit"));
}

TEST_F(Objects, WriterLaysOutAndTakesBytes) {
  const auto writer = create<d2c_package_writer>(options("fail", ""));
  d2c_program program{};
  program.struct_size = sizeof program;
  program.weight_count = 1;
  std::uint64_t bytes = 0;
  writer.check(writer->plan(writer->self, &program, &bytes));
  EXPECT_EQ(bytes, 164u);
  d2c_blob blob{};
  writer.check(writer->blob(writer->self, 0, 0, &blob));
  EXPECT_STREQ(blob.file, "weight.bin");
  EXPECT_EQ(blob.offset, 64u);
  writer.check(writer->begin(writer->self, "/tmp"));
  writer.check(writer->write(writer->self, 0, 0, 0, "x", 1));
  writer.check(writer->sync(writer->self));
  const d2c_package_info info{};
  writer.check(writer->finish(writer->self, &info));
  EXPECT_EQ(error_of(writer, writer->blob(writer->self, 1, 0, &blob)),
            std::make_pair(Code::plugin, std::string("all_kinds: one weight only")));
}

TEST_F(Objects, WriterReportsFailures) {
  const d2c_program program{};
  const d2c_package_info info{};
  std::uint64_t bytes = 0;
  d2c_blob blob{};
  const auto code_of = [&](const std::string& f, const Handle<d2c_package_writer>& w) {
    if (f == "plan") return w->plan(w->self, &program, &bytes);
    if (f == "blob") return w->blob(w->self, 0, 0, &blob);
    if (f == "begin") return w->begin(w->self, "/tmp");
    if (f == "write") return w->write(w->self, 0, 0, 0, "x", 1);
    if (f == "sync") return w->sync(w->self);
    return w->finish(w->self, &info);
  };
  for (const std::string function : {"plan", "blob", "begin", "write", "sync", "finish"}) {
    const auto writer = failing<d2c_package_writer>(function);
    EXPECT_EQ(error_of(writer, code_of(function, writer)), told(function));
  }
}

TEST_F(Objects, ReaderDescribes) {
  const auto reader = create<d2c_package_reader>(options("fail", ""));
  const d2c_value* description = nullptr;
  reader.check(reader->describe(reader->self, &description));
  EXPECT_EQ(Value::from_c(description).at("weight_bytes").as_int(), 64);
}

TEST_F(Objects, RunnerKeepsStateBetweenCalls) {
  const auto runner = create<d2c_runner>(options("fail", ""));
  ASSERT_EQ(runner->function_count(runner->self), 1u);
  d2c_signature signature{};
  runner.check(runner->signature(runner->self, 0, &signature));
  EXPECT_STREQ(signature.function, "count");
  ASSERT_EQ(signature.state_count, 1u);
  EXPECT_STREQ(signature.states[0].name, "counter");

  void* state = nullptr;
  runner.check(runner->make_state(runner->self, &state));
  std::int32_t value = 0;
  const d2c_buffer output{"value", &value, sizeof value};
  runner.check(runner->call(runner->self, "count", state, nullptr, 0, &output, 1));
  runner.check(runner->call(runner->self, "count", state, nullptr, 0, &output, 1));
  EXPECT_EQ(value, 2);
  d2c_buffer counter{};
  runner.check(runner->state_buffer(runner->self, state, "counter", &counter));
  ASSERT_EQ(counter.size, sizeof value);
  EXPECT_EQ(std::memcmp(counter.data, &value, sizeof value), 0);
  EXPECT_EQ(error_of(runner, runner->state_buffer(runner->self, state, "sum", &counter)),
            std::make_pair(Code::usage, std::string("all_kinds: no state 'sum'")));
  const d2c_value* description = nullptr;
  runner.check(runner->describe(runner->self, &description));
  EXPECT_EQ(Value::from_c(description).at("state_bytes").as_int(), 4);
  EXPECT_EQ(error_of(runner, runner->call(runner->self, "sum", state, nullptr, 0, &output, 1)),
            std::make_pair(Code::usage, std::string("all_kinds: no function 'sum'")));
  runner->free_state(runner->self, state);
}

TEST_F(Objects, RunnerReportsFailures) {
  const auto stateless = failing<d2c_runner>("make_state");
  void* state = nullptr;
  EXPECT_EQ(error_of(stateless, stateless->make_state(stateless->self, &state)), told("make_state"));
  const auto runner = failing<d2c_runner>("call");
  EXPECT_EQ(error_of(runner, runner->call(runner->self, "count", nullptr, nullptr, 0, nullptr, 0)), told("call"));
  d2c_signature signature{};
  EXPECT_EQ(error_of(runner, runner->signature(runner->self, 1, &signature)).first, Code::plugin);
}

TEST_F(Objects, FetcherTellsHowFarItIsAndWhereItPutThings) {
  const auto fetcher = create<d2c_fetcher>(options("fail", ""));
  std::string heard;
  d2c_fetch_request request{};
  request.struct_size = sizeof request;
  request.id = "mine/model";
  request.revision = "main";
  request.purpose = D2C_FETCH_ADAPTER;
  request.listener = &heard;
  request.begin = [](void* listener, std::uint64_t bytes, std::uint64_t files) {
    *static_cast<std::string*>(listener) += "begin " + std::to_string(bytes) + " " + std::to_string(files);
  };
  request.advance = [](void* listener, std::uint64_t bytes, std::int32_t file_done) {
    *static_cast<std::string*>(listener) += ", " + std::to_string(bytes) + " " + std::to_string(file_done);
  };
  d2c_fetched fetched{};
  fetcher.check(fetcher->fetch(fetcher->self, &request, &fetched));
  EXPECT_EQ(heard, "begin 2 1, 1 0, 1 1");
  EXPECT_STREQ(fetched.folder, "/here/adapter");
  EXPECT_STREQ(fetched.name, "mine/model");
  EXPECT_STREQ(fetched.revision, "main!");
  const auto bad = failing<d2c_fetcher>("fetch");
  EXPECT_EQ(error_of(bad, bad->fetch(bad->self, &request, &fetched)), told("fetch"));
}

TEST_F(Objects, APlainCQuantizerWorksLikeAnyOther) {
  Value step = Value::table();
  step.set("step", 0.5);
  const auto quantizer = registry_.create<d2c_quantizer>(plugin("quant_c11"), step);
  d2c_layout layout{};
  quantizer.check(quantizer->plan(quantizer->self, &kWeight, &layout));
  EXPECT_STREQ(layout.label, "rounded to 0.5");
  void* job = nullptr;
  quantizer.check(quantizer->begin(quantizer->self, &kWeight, &job));
  std::vector<float> weights(16, 0.75F);
  weights[0] = 1.125F;
  std::vector<float> rounded(16);
  const d2c_tile tile{0, 8, weights.data()};
  void* const planes[] = {rounded.data()};
  d2c_tile_stats stats{};
  stats.struct_size = sizeof stats;
  quantizer.check(quantizer->process(quantizer->self, job, &tile, planes, &stats));
  quantizer->end(quantizer->self, job);
  EXPECT_EQ(rounded[0], 1.0F);
  EXPECT_EQ(rounded[1], 1.0F);
  EXPECT_EQ(stats.max_error, 0.25);

  d2c_weight_desc vector = kWeight;
  vector.type.rank = 1;
  EXPECT_EQ(
      error_of(quantizer, quantizer->plan(quantizer->self, &vector, &layout)),
      std::make_pair(Code::usage, std::string("quant_c11: weight: only matrices can be rounded, this has rank 1")));
  step.set("step", -1.0);
  EXPECT_EQ(error_of([&] { (void)registry_.create<d2c_quantizer>(plugin("quant_c11"), step); }),
            std::make_pair(Code::usage, std::string("quant_c11: step: must be above 0")));
}

}  // namespace
}  // namespace d2c::host
