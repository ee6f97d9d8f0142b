#include "host/inference/model.hpp"

#include "libs/json/json.hpp"
#include "libs/numeric/convert.hpp"

#include <algorithm>
#include <utility>

namespace d2c::host {
namespace {

Value parse_default(const d2c_option_spec& spec) {
  return spec.default_json == nullptr ? Value() : json::parse(spec.default_json, spec.name);
}

bool has_option(const Plugin& plugin, const std::string& name) {
  const auto specs = plugin.options(D2C_RUNNER);
  return std::any_of(specs.begin(), specs.end(), [&](const d2c_option_spec* s) { return s->name == name; });
}

/// A runner need not know precisions or threads; it must if the user asks for one.
Value runner_options(const Plugin& plugin, const std::string& path, const RunnerOptions& wanted) {
  const RunnerOptions usual;
  Value options = Value::table();
  for (const d2c_option_spec* spec : plugin.options(D2C_RUNNER)) options.set(spec->name, parse_default(*spec));
  options.set("path", path);
  const auto set = [&](const char* name, Value value, bool asked_for) {
    if (has_option(plugin, name)) options.set(name, std::move(value));
    else if (asked_for)
      fail_usage("runner '" + plugin.name() + "' has no option '" + name + "'; leave --" + name + " out");
  };
  set("precision", wanted.precision, wanted.precision != usual.precision);
  set("threads", wanted.threads, wanted.threads != usual.threads);
  return options;
}

Handle<d2c_runner> open(PluginRegistry& plugins, const std::string& path, const RunnerOptions& options) {
  const auto plugin = options.plugin.empty() ? plugins.probe(D2C_RUNNER, path) : plugins.find(options.plugin);
  return plugins.create<d2c_runner>(plugin, runner_options(*plugin, path, options));
}

std::vector<Feature> features(const d2c_feature* first, std::size_t count) {
  std::vector<Feature> list;
  for (std::size_t i = 0; i < count; ++i) list.push_back({first[i].name, TensorType::from_c(first[i].type)});
  return list;
}

std::string names_of(const std::vector<Feature>& features) {
  std::string names;
  for (const Feature& f : features) names += (names.empty() ? "" : ", ") + f.name;
  return names.empty() ? "none" : names;
}

std::vector<d2c_buffer> to_c(std::span<const Buffer> buffers) {
  std::vector<d2c_buffer> list;
  for (const Buffer& b : buffers) list.push_back({b.name.c_str(), b.data.data(), b.data.size()});
  return list;
}

std::int32_t token_id(std::int64_t v) {
  if (v < 0 || v > INT32_MAX) fail_input("token id " + std::to_string(v) + " is out of range");
  return static_cast<std::int32_t>(v);
}

ModelFacts parse_model(const Value& v) {
  ModelFacts f;
  f.architecture = v.text_or("architecture", "");
  f.kv = v.text_or("kv", "");
  f.precision = v.text_or("precision", "");
  for (const auto& [field, key] : {std::pair{&f.vocab_size, "vocab_size"},
                                   {&f.hidden_size, "hidden_size"},
                                   {&f.layers, "layers"},
                                   {&f.heads, "heads"},
                                   {&f.kv_heads, "kv_heads"},
                                   {&f.head_dim, "head_dim"},
                                   {&f.context, "context"},
                                   {&f.prefill, "prefill"}})
    *field = v.int_or(key, 0);
  if (const Value* bos = v.find("bos_token_id")) f.bos = token_id(bos->as_int());
  if (const Value* eos = v.find("eos_token_ids"))
    for (const Value& id : eos->items()) f.eos.push_back(token_id(id.as_int()));
  return f;
}

EncoderFacts parse_encoder(const Value& v) {
  EncoderFacts f;
  f.pooling = v.text_or("pooling", f.pooling);
  f.max_length = v.int_or("max_length", 0);
  f.hidden_size = v.int_or("hidden_size", 0);
  f.vocab_size = v.int_or("vocab_size", 0);
  f.doc_max_length = v.int_or("doc_max_length", f.doc_max_length);
  f.skip_instruction = v.bool_or("skip_instruction", f.skip_instruction);
  f.chat_wrapper = v.bool_or("chat_wrapper", f.chat_wrapper);
  f.end_of_text = v.text_or("end_of_text", f.end_of_text);
  return f;
}

/// What `parse` makes of a metadata key, or nothing where the package lacks it.
template <class Facts>
std::optional<Facts> parsed(const Model& model, const std::string& key, Facts (*parse)(const Value&)) {
  const Value value = model.metadata(key);
  if (value.is_null()) return std::nullopt;
  try {
    return parse(value);
  } catch (const Error& e) {
    fail_input(model.path() + ": metadata '" + key + "': " + e.what());
  }
}

}  // namespace

ModelState::~ModelState() {
  if (state_ != nullptr) (*runner_)->free_state((*runner_)->self, state_);
}

std::span<std::byte> ModelState::bytes(const std::string& name) const {
  d2c_buffer buffer{};
  runner_->check((*runner_)->state_buffer((*runner_)->self, state_, name.c_str(), &buffer));
  return {static_cast<std::byte*>(buffer.data), buffer.size};
}

Model::Model(PluginRegistry& plugins, std::string path, const RunnerOptions& options)
    : path_(std::move(path)), runner_(open(plugins, path_, options)), signatures_(read_signatures()) {
  const d2c_value* description = nullptr;
  runner_.check(runner_->describe(runner_->self, &description));
  description_ = Value::from_c(description);
  facts_ = parsed(*this, "d2c.model", parse_model);
  encoder_facts_ = parsed(*this, "d2c.encoder", parse_encoder);
}

std::vector<Signature> Model::read_signatures() const {
  std::vector<Signature> list;
  for (std::size_t i = 0; i < runner_->function_count(runner_->self); ++i) {
    d2c_signature s{};
    runner_.check(runner_->signature(runner_->self, i, &s));
    list.push_back({s.function, features(s.inputs, s.input_count), features(s.states, s.state_count),
                    features(s.outputs, s.output_count)});
  }
  return list;
}

const Signature* Model::find(const std::string& function) const noexcept {
  const auto at =
      std::find_if(signatures_.begin(), signatures_.end(), [&](const Signature& s) { return s.function == function; });
  return at == signatures_.end() ? nullptr : &*at;
}

const Signature& Model::function(const std::string& name) const {
  if (const Signature* s = find(name)) return *s;
  std::string known;
  for (const Signature& s : signatures_) known += (known.empty() ? "" : ", ") + s.function;
  fail_input(path_ + ": the package has no function '" + name + "', only " + known + "; convert it again with '" +
             name + "' in graph.functions");
}

Value Model::metadata(const std::string& key) const {
  const Value* all = description_.find("metadata");
  const Value* text = all == nullptr ? nullptr : all->find(key);
  if (text == nullptr || !text->is_text()) return {};
  return json::parse(text->as_text(), path_ + ": metadata '" + key + "'");
}

ModelState Model::make_state() const {
  void* state = nullptr;
  runner_.check(runner_->make_state(runner_->self, &state));
  return {runner_, state};
}

void Model::call(const std::string& function, ModelState* state, std::span<const Buffer> inputs,
                 std::span<const Buffer> outputs) const {
  const auto in = to_c(inputs), out = to_c(outputs);
  runner_.check(runner_->call(runner_->self, function.c_str(), state == nullptr ? nullptr : state->get(), in.data(),
                              in.size(), out.data(), out.size()));
}

const Feature& require_feature(const std::vector<Feature>& features, const std::string& name,
                               std::span<const DType> dtypes, std::size_t rank, const std::string& where) {
  const auto at = std::find_if(features.begin(), features.end(), [&](const Feature& f) { return f.name == name; });
  if (at == features.end()) fail_input(where + " has no '" + name + "', only " + names_of(features));
  if (std::find(dtypes.begin(), dtypes.end(), at->type.dtype) == dtypes.end() || at->type.shape.size() != rank ||
      at->type.count() <= 0)
    fail_input(where + ": '" + name + "' is " + at->type.text() + ", not " + std::string(name_of(dtypes[0])) +
               " of rank " + std::to_string(rank));
  return *at;
}

std::span<const float> widen(DType dtype, std::span<const std::byte> bytes, std::vector<float>& room) {
  const std::size_t count = bytes.size() / static_cast<std::size_t>(bytes_of(dtype, 1));
  room.resize(count);
  numeric::to_float(dtype, bytes.data(), count, room.data());
  return room;
}

}  // namespace d2c::host
