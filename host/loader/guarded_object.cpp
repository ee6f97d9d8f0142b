#include "host/loader/guarded_object.hpp"

#include "host/crash/crash.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>

namespace d2c::host {
namespace {

template <class CStruct>
struct GuardedObject {
  CStruct face;       ///< what the host calls; its `self` is this object
  CStruct* original;  ///< the plugin's
  const char* plugin;
};

/// Text as a template argument.
template <std::size_t kSize>
struct Name {
  char text[kSize];
  constexpr Name(const char (&literal)[kSize]) { std::copy_n(literal, kSize, text); }
};

/// The function that stands for a function of the plugin's.
template <class CStruct, auto kMember, Name kName>
struct Guard;
template <class CStruct, class Result, class... Arguments, Result (*CStruct::*kMember)(void*, Arguments...), Name kName>
struct Guard<CStruct, kMember, kName> {
  static Result call(void* self, Arguments... arguments) {
    const auto& object = *static_cast<GuardedObject<CStruct>*>(self);
    const crash::PluginCall note(object.plugin, kName.text);
    return (object.original->*kMember)(object.original->self, arguments...);
  }
};

template <auto kMember, Name kName, class CStruct>
void guard(CStruct& face) {
  if (face.*kMember != nullptr) face.*kMember = Guard<CStruct, kMember, kName>::call;
}

void guard_functions(d2c_weight_source& f) {
  guard<&d2c_weight_source::config, "weight_source.config">(f);
  guard<&d2c_weight_source::tensor_count, "weight_source.tensor_count">(f);
  guard<&d2c_weight_source::tensor, "weight_source.tensor">(f);
  guard<&d2c_weight_source::view, "weight_source.view">(f);
  guard<&d2c_weight_source::file_count, "weight_source.file_count">(f);
  guard<&d2c_weight_source::file, "weight_source.file">(f);
  guard<&d2c_weight_source::asset_count, "weight_source.asset_count">(f);
  guard<&d2c_weight_source::asset, "weight_source.asset">(f);
}

void guard_functions(d2c_adapter_merger& f) {
  guard<&d2c_adapter_merger::bind, "adapter_merger.bind">(f);
  guard<&d2c_adapter_merger::target_count, "adapter_merger.target_count">(f);
  guard<&d2c_adapter_merger::target, "adapter_merger.target">(f);
  guard<&d2c_adapter_merger::begin, "adapter_merger.begin">(f);
  guard<&d2c_adapter_merger::observe, "adapter_merger.observe">(f);
  guard<&d2c_adapter_merger::process, "adapter_merger.process">(f);
  guard<&d2c_adapter_merger::end, "adapter_merger.end">(f);
  guard<&d2c_adapter_merger::factor, "adapter_merger.factor">(f);
  guard<&d2c_adapter_merger::file_count, "adapter_merger.file_count">(f);
  guard<&d2c_adapter_merger::file, "adapter_merger.file">(f);
  guard<&d2c_adapter_merger::summary, "adapter_merger.summary">(f);
}

void guard_functions(d2c_quantizer& f) {
  guard<&d2c_quantizer::plan, "quantizer.plan">(f);
  guard<&d2c_quantizer::begin, "quantizer.begin">(f);
  guard<&d2c_quantizer::observe, "quantizer.observe">(f);
  guard<&d2c_quantizer::process, "quantizer.process">(f);
  guard<&d2c_quantizer::end, "quantizer.end">(f);
}

void guard_functions(d2c_function_emitter& f) { guard<&d2c_function_emitter::emit, "function_emitter.emit">(f); }

void guard_functions(d2c_package_writer& f) {
  guard<&d2c_package_writer::plan, "package_writer.plan">(f);
  guard<&d2c_package_writer::blob, "package_writer.blob">(f);
  guard<&d2c_package_writer::begin, "package_writer.begin">(f);
  guard<&d2c_package_writer::write, "package_writer.write">(f);
  guard<&d2c_package_writer::sync, "package_writer.sync">(f);
  guard<&d2c_package_writer::finish, "package_writer.finish">(f);
}

void guard_functions(d2c_package_reader& f) {
  guard<&d2c_package_reader::describe, "package_reader.describe">(f);
  guard<&d2c_package_reader::rows, "package_reader.rows">(f);
}

void guard_functions(d2c_runner& f) {
  guard<&d2c_runner::function_count, "runner.function_count">(f);
  guard<&d2c_runner::signature, "runner.signature">(f);
  guard<&d2c_runner::make_state, "runner.make_state">(f);
  guard<&d2c_runner::free_state, "runner.free_state">(f);
  guard<&d2c_runner::call, "runner.call">(f);
  guard<&d2c_runner::describe, "runner.describe">(f);
  guard<&d2c_runner::state_buffer, "runner.state_buffer">(f);
}

void guard_functions(d2c_fetcher& f) { guard<&d2c_fetcher::fetch, "fetcher.fetch">(f); }

template <class CStruct>
void destroy(void* self) {
  const std::unique_ptr<GuardedObject<CStruct>> object(static_cast<GuardedObject<CStruct>*>(self));
  const crash::PluginCall note(object->plugin, "destroy");
  object->original->destroy(object->original->self);
}

}  // namespace

template <class CStruct>
CStruct* guarded(CStruct* object, const char* plugin) {
  auto guarded = std::make_unique<GuardedObject<CStruct>>(GuardedObject<CStruct>{*object, object, plugin});
  guarded->face.self = guarded.get();
  guarded->face.destroy = destroy<CStruct>;
  guard_functions(guarded->face);
  return &guarded.release()->face;
}

template d2c_weight_source* guarded(d2c_weight_source*, const char*);
template d2c_adapter_merger* guarded(d2c_adapter_merger*, const char*);
template d2c_quantizer* guarded(d2c_quantizer*, const char*);
template d2c_function_emitter* guarded(d2c_function_emitter*, const char*);
template d2c_package_writer* guarded(d2c_package_writer*, const char*);
template d2c_package_reader* guarded(d2c_package_reader*, const char*);
template d2c_runner* guarded(d2c_runner*, const char*);
template d2c_fetcher* guarded(d2c_fetcher*, const char*);

}  // namespace d2c::host
