// The C interface: handles around a Runner, exceptions turned into codes and text.
#include "libs/mil_cpu/runner.hpp"

#include <dolphin2coreml/runtime.h>

#include <map>
#include <new>
#include <string>
#include <utility>
#include <vector>

using d2c::Buffer;
using d2c::Feature;
using d2c::Signature;

struct d2c_rt_package {
  std::shared_ptr<d2c::Runner> runner;
  std::vector<std::pair<std::string, std::string>> metadata;  // sorted by key
};

struct d2c_rt_state {
  std::shared_ptr<d2c::Runner> runner;  // a state may be freed after its package is closed
  std::unique_ptr<d2c::RunnerState> state;
};

namespace {

thread_local std::string last_error;

d2c_rt_code failed(d2c_rt_code code, const char* message) noexcept {
  try {
    last_error = message;
  } catch (...) {
    last_error.clear();
  }
  return code;
}

template <class Body>
d2c_rt_code guard(Body&& body) noexcept {
  try {
    body();
    return D2C_RT_OK;
  } catch (const d2c::Error& e) {
    return failed(static_cast<d2c_rt_code>(e.code()), e.what());
  } catch (const std::bad_alloc&) {
    return failed(D2C_RT_RESOURCE, "out of memory");
  } catch (const std::exception& e) {
    return failed(D2C_RT_INTERNAL, e.what());
  } catch (...) {
    return failed(D2C_RT_INTERNAL, "unknown exception");
  }
}

template <class T>
T& need(T* pointer, const char* what) {
  if (pointer == nullptr) d2c::fail_usage(std::string(what) + " is NULL");
  return *pointer;
}

const Signature* find_signature(const d2c_rt_package* package, const char* function) noexcept {
  if (package == nullptr || function == nullptr) return nullptr;
  for (const Signature& s : package->runner->signatures())
    if (s.function == function) return &s;
  return nullptr;
}

const std::vector<Feature>* features_of(const d2c_rt_package* package, const char* function,
                                        d2c_rt_kind kind) noexcept {
  const Signature* s = find_signature(package, function);
  if (s == nullptr) return nullptr;
  switch (kind) {
    case D2C_RT_INPUTS: return &s->inputs;
    case D2C_RT_STATES: return &s->states;
    case D2C_RT_OUTPUTS: return &s->outputs;
    default: return nullptr;
  }
}

d2c::mil_cpu::Precision precision_of(d2c_rt_precision precision) {
  switch (precision) {
    case D2C_RT_FP32: return d2c::mil_cpu::Precision::fp32;
    case D2C_RT_FP16: return d2c::mil_cpu::Precision::fp16;
    case D2C_RT_FAST: return d2c::mil_cpu::Precision::fast;
    default: d2c::fail_usage("precision " + std::to_string(precision) + " is none of D2C_RT_FP32, _FP16, _FAST");
  }
}

std::vector<Buffer> buffers(std::size_t count, const char* const* names, const void* const* data,
                            const std::size_t* sizes) {
  std::vector<Buffer> out;
  for (std::size_t i = 0; i < count; ++i) {
    // Inputs are only read; Buffer has one form for both directions.
    auto* bytes = const_cast<std::byte*>(static_cast<const std::byte*>((&need(data, "an array of data"))[i]));
    out.push_back({&need((&need(names, "an array of names"))[i], "a name"),
                   {&need(bytes, "data"), (&need(sizes, "an array of sizes"))[i]}});
  }
  return out;
}

std::uint64_t described(const d2c_rt_package* package, const char* key) noexcept {
  if (package == nullptr) return 0;
  const d2c::Value* v = package->runner->describe().find(key);
  return v == nullptr || !v->is_integer() ? 0 : static_cast<std::uint64_t>(v->as_int());
}

}  // namespace

std::uint32_t d2c_rt_version(void) { return D2C_RT_VERSION; }

const char* d2c_rt_last_error(void) { return last_error.c_str(); }

d2c_rt_code d2c_rt_open(const char* path, d2c_rt_precision precision, std::uint32_t threads, d2c_rt_package** out) {
  return guard([&] {
    need(out, "out") = nullptr;
    auto package = std::make_unique<d2c_rt_package>();
    package->runner = d2c::mil_cpu::open_runner(&need(path, "path"), {precision_of(precision), threads});
    std::map<std::string, std::string> sorted;
    for (const auto& [key, text] : package->runner->describe().at("metadata").members()) sorted[key] = text.as_text();
    package->metadata.assign(sorted.begin(), sorted.end());
    *out = package.release();
  });
}

void d2c_rt_close(d2c_rt_package* package) { delete package; }

std::size_t d2c_rt_function_count(const d2c_rt_package* package) {
  return package == nullptr ? 0 : package->runner->signatures().size();
}

const char* d2c_rt_function_name(const d2c_rt_package* package, std::size_t index) {
  return index < d2c_rt_function_count(package) ? package->runner->signatures()[index].function.c_str() : nullptr;
}

std::size_t d2c_rt_feature_count(const d2c_rt_package* package, const char* function, d2c_rt_kind kind) {
  const auto* features = features_of(package, function, kind);
  return features == nullptr ? 0 : features->size();
}

d2c_rt_code d2c_rt_feature(const d2c_rt_package* package, const char* function, d2c_rt_kind kind, std::size_t index,
                           const char** name, d2c_rt_dtype* dtype, std::size_t* rank, const std::int64_t** dimensions) {
  return guard([&] {
    const auto* features = features_of(package, function, kind);
    if (features == nullptr || index >= features->size())
      d2c::fail_usage("there is no feature " + std::to_string(index) + " of that kind and function");
    const Feature& f = (*features)[index];
    if (name != nullptr) *name = f.name.c_str();
    if (dtype != nullptr) *dtype = static_cast<d2c_rt_dtype>(f.type.dtype);
    if (rank != nullptr) *rank = f.type.shape.size();
    if (dimensions != nullptr) *dimensions = f.type.shape.data();
  });
}

std::size_t d2c_rt_metadata_count(const d2c_rt_package* package) {
  return package == nullptr ? 0 : package->metadata.size();
}

const char* d2c_rt_metadata_key(const d2c_rt_package* package, std::size_t index) {
  return index < d2c_rt_metadata_count(package) ? package->metadata[index].first.c_str() : nullptr;
}

const char* d2c_rt_metadata(const d2c_rt_package* package, const char* key) {
  if (package == nullptr || key == nullptr) return nullptr;
  for (const auto& [name, text] : package->metadata)
    if (name == key) return text.c_str();
  return nullptr;
}

std::uint64_t d2c_rt_weight_bytes(const d2c_rt_package* package) { return described(package, "weight_bytes"); }

std::uint64_t d2c_rt_state_bytes(const d2c_rt_package* package) { return described(package, "state_bytes"); }

std::uint64_t d2c_rt_scratch_bytes(const d2c_rt_package* package, const char* function) {
  if (find_signature(package, function) == nullptr) return 0;
  const d2c::Value* scratch = package->runner->describe().find("scratch_bytes");
  const d2c::Value* bytes = scratch == nullptr ? nullptr : scratch->find(function);
  return bytes == nullptr || !bytes->is_integer() ? 0 : static_cast<std::uint64_t>(bytes->as_int());
}

d2c_rt_code d2c_rt_state_make(d2c_rt_package* package, d2c_rt_state** out) {
  return guard([&] {
    need(out, "out") = nullptr;
    const auto& runner = need(package, "package").runner;
    *out = new d2c_rt_state{runner, runner->make_state()};
  });
}

void d2c_rt_state_free(d2c_rt_state* state) { delete state; }

d2c_rt_code d2c_rt_state_buffer(d2c_rt_state* state, const char* name, void** data, std::size_t* size) {
  return guard([&] {
    const Buffer buffer = need(state, "state").state->buffer(&need(name, "name"));
    need(data, "data") = buffer.data.data();
    need(size, "size") = buffer.data.size();
  });
}

d2c_rt_code d2c_rt_call(d2c_rt_package* package, const char* function, d2c_rt_state* state, std::size_t input_count,
                        const char* const* input_names, const void* const* input_data, const std::size_t* input_sizes,
                        std::size_t output_count, const char* const* output_names, void* const* output_data,
                        const std::size_t* output_sizes) {
  return guard([&] {
    need(package, "package")
        .runner->call(&need(function, "function"), state == nullptr ? nullptr : state->state.get(),
                      buffers(input_count, input_names, input_data, input_sizes),
                      buffers(output_count, output_names, output_data, output_sizes));
  });
}
