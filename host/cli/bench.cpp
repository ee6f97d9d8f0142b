#include "host/cli/bench.hpp"

#include "host/cli/arguments.hpp"
#include "host/cli/output.hpp"
#include "host/executor/stopwatch.hpp"
#include "host/inference/embedder.hpp"
#include "host/inference/percentile.hpp"
#include "host/inference/sampler.hpp"
#include "host/inference/session.hpp"
#include "host/platform/process.hpp"
#include "host/progress/progress_text.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

namespace d2c::host::cli {
namespace {

constexpr std::int64_t kPromptTokens = 128, kNewTokens = 64;
constexpr const char* kMethod = "linear interpolation between ranks, over the tokens of all repeats";

/// Milliseconds that `body` takes.
template <class Body>
double timed(Body&& body) {
  double seconds = 0;
  {
    const Stopwatch watch(seconds);
    body();
  }
  return seconds * 1e3;
}

/// Tokens without meaning, the same in every run.
std::vector<std::int32_t> made_up(std::int64_t count, std::int64_t vocab) {
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < count; ++i) tokens.push_back(static_cast<std::int32_t>((i * 7919 + 13) % vocab));
  return tokens;
}

struct Generated {
  std::int64_t prompt_tokens = 0, new_tokens = 0;
  std::vector<double> first_token_ms;  ///< one per repeat
  std::vector<double> token_ms;        ///< one per further token of every repeat
  KvUsage kv;
};

class GenerationBench {
 public:
  GenerationBench(const Model& model, const BenchOptions& o) : session_(model), options_(o) {
    const std::int64_t context = session_.context();
    done_.new_tokens = o.new_tokens.value_or(std::clamp<std::int64_t>(context / 2, 1, kNewTokens));
    done_.prompt_tokens =
        o.prompt_tokens.value_or(std::clamp<std::int64_t>(context - done_.new_tokens, 1, kPromptTokens));
    if (done_.prompt_tokens > context || done_.new_tokens > context - done_.prompt_tokens)
      fail_input("--prompt-tokens " + std::to_string(done_.prompt_tokens) + " and --new-tokens " +
                 std::to_string(done_.new_tokens) + " do not fit into the package's context of " +
                 std::to_string(context));
  }

  Generated run() {
    for (std::int64_t i = 0; i < options_.warmup; ++i) (void)once();
    done_.first_token_ms.clear();
    done_.token_ms.clear();
    for (std::int64_t i = 0; i < options_.repeats; ++i) once();
    done_.kv = session_.kv_usage();
    return done_;
  }

 private:
  void once() {
    session_.rewind(0);
    std::int32_t token = 0;
    const auto prompt = made_up(done_.prompt_tokens, session_.vocab());
    done_.first_token_ms.push_back(timed([&] { token = argmax(session_.feed(prompt)); }));
    for (std::int64_t i = 0; i < done_.new_tokens; ++i)
      done_.token_ms.push_back(timed([&] { token = argmax(session_.feed({&token, 1})); }));
  }

  Session session_;
  const BenchOptions& options_;
  Generated done_;
};

/// Milliseconds of one call of `encode`, whose cost does not depend on the text.
std::vector<double> embedding_times(const Model& model, const BenchOptions& o) {
  const Embedder embedder(model);
  const std::vector<EncoderInput> input{{{0}, {}}};
  std::vector<double> times;
  for (std::int64_t i = -o.warmup; i < o.repeats; ++i) {
    const double ms = timed([&] { (void)embedder.embed(input); });
    if (i >= 0) times.push_back(ms);
  }
  return times;
}

double mean(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return v.empty() ? 0 : sum / static_cast<double>(v.size());
}

Value latency(const std::vector<double>& ms) {
  Value v = Value::table();
  v.set("p50_ms", percentile(ms, 50));
  v.set("p90_ms", percentile(ms, 90));
  v.set("p99_ms", percentile(ms, 99));
  v.set("samples", ms.size());
  v.set("method", kMethod);
  return v;
}

Value kv_cache(const KvUsage& kv) {
  Value v = Value::table();
  v.set("allocated_bytes", kv.allocated_bytes);
  v.set("bytes_per_token", kv.bytes_per_token);
  v.set("context", kv.context);
  v.set("occupied_tokens", kv.occupied);
  v.set("residency_pct",
        100 * static_cast<double>(kv.occupied) / static_cast<double>(std::max<std::int64_t>(kv.context, 1)));
  v.set("consistent", kv.consistent());
  v.set("evicted_tokens", 0);
  return v;
}

void add_generation(Value& v, const Generated& g) {
  const double first = percentile(g.first_token_ms, 50), each = mean(g.token_ms);
  v.set("prompt_tokens", g.prompt_tokens);
  v.set("new_tokens", g.new_tokens);
  v.set("init_ms", first);
  v.set("prefill_tokens_per_second", 1e3 * static_cast<double>(g.prompt_tokens) / first);
  v.set("tokens_per_second", 1e3 / each);
  v.set("decode_ms_per_token", each);
  v.set("decode_latency", latency(g.token_ms));
  v.set("kv_cache", kv_cache(g.kv));
}

Value memory(const Model& model) {
  Value v = Value::table();
  v.set("peak_bytes", peak_resident_memory());
  for (const char* key : {"weight_bytes", "state_bytes", "scratch_bytes"})
    if (const Value* known = model.description().find(key)) v.set(key, *known);
  return v;
}

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string size_of(const Value& v, const char* key) { return size_text(static_cast<std::uint64_t>(v.int_or(key, 0))); }

void add_generation_rows(Table& t, const Value& v) {
  const Value& decode = v.at("decode_latency");
  const Value& kv = v.at("kv_cache");
  t.add({"time to first token", fixed(v.at("init_ms").as_real(), 1) + " ms",
         std::to_string(v.int_or("prompt_tokens", 0)) + " tokens of prompt"});
  t.add({"prefill", fixed(v.at("prefill_tokens_per_second").as_real(), 1) + " tokens/s", ""});
  t.add({"decode", fixed(v.at("tokens_per_second").as_real(), 1) + " tokens/s",
         std::to_string(v.int_or("new_tokens", 0)) + " tokens, " + std::to_string(v.int_or("repeats", 0)) + " times"});
  for (const auto& [label, key] : {std::pair{"p50", "p50_ms"}, {"p90", "p90_ms"}, {"p99", "p99_ms"}})
    t.add({std::string("  per token, ") + label, fixed(decode.at(key).as_real(), 2) + " ms", ""});
  t.add({"KV cache", size_of(kv, "allocated_bytes"), size_of(kv, "bytes_per_token") + " a token"});
  t.add({"  occupied", fixed(kv.at("residency_pct").as_real(), 1) + " %",
         std::to_string(kv.int_or("occupied_tokens", 0)) + " of " + std::to_string(kv.int_or("context", 0)) +
             " tokens" + (kv.at("consistent").as_bool() ? "" : "; the runner's cache disagrees with the session")});
}

std::string table_of(const Value& v) {
  const Value& memory = v.at("memory");
  Table t({v.at("package").as_text(), "", ""}, {false, true, false});
  t.add({"load", fixed(v.at("load_ms").as_real(), 1) + " ms", v.at("precision").as_text()});
  if (v.find("decode_latency") != nullptr) add_generation_rows(t, v);
  if (const Value* embed = v.find("embed_ms")) t.add({"embed", fixed(embed->as_real(), 1) + " ms", "one text"});
  t.add({"peak memory", size_of(memory, "peak_bytes"), "weights " + size_of(memory, "weight_bytes") + ", mapped"});
  return t.text();
}

}  // namespace

std::string bench(const Arguments& a) {
  const BenchOptions& o = a.bench;
  PluginRegistry plugins(a.plugin_dirs, {});
  std::unique_ptr<Model> model;
  const double load_ms = timed([&] { model = std::make_unique<Model>(plugins, a.subject, o.runner); });
  Value v = Value::table();
  v.set("package", a.subject);
  v.set("precision", o.runner.precision);
  v.set("threads", o.runner.threads);
  v.set("repeats", o.repeats);
  v.set("warmup", o.warmup);
  v.set("load_ms", load_ms);
  const bool encodes = model->find("encode") != nullptr;
  const bool generates = model->find("decode") != nullptr || model->find("init") != nullptr || !encodes;
  if (generates) add_generation(v, GenerationBench(*model, o).run());
  if (encodes) v.set("embed_ms", percentile(embedding_times(*model, o), 50));
  v.set("memory", memory(*model));
  return result(a.json, v, table_of(v));
}

}  // namespace d2c::host::cli
