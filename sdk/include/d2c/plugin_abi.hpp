// The glue between the classes of plugin.hpp and the structs of abi.h. Included by plugin.hpp; authors need not read it.
#pragma once

#include <d2c/plugin.hpp>

namespace d2c::abi {

inline d2c_tensor_info to_c(const TensorInfo& t) {
  return {sizeof(d2c_tensor_info), t.name.c_str(), t.type.c(), t.file};
}

/// An object of a plugin behind its C struct: `c.self` points here, `destroy` deletes it.
template <class CStruct, class Interface>
struct Object {
  CStruct c{};
  Host host;
  std::unique_ptr<Interface> impl;

  Object(const d2c_host& h, std::unique_ptr<Interface> i) : host(h), impl(std::move(i)) {
    c.struct_size = sizeof(CStruct);
    c.self = this;
    c.destroy = [](void* self) { delete static_cast<Object*>(self); };
  }
  static Object& of(void* self) { return *static_cast<Object*>(self); }
};

inline Object<d2c_weight_source, WeightSource>* wrap(const d2c_host& h, std::unique_ptr<WeightSource> i) {
  struct Source : Object<d2c_weight_source, WeightSource> {
    ValueExport config;
    Source(const d2c_host& h, std::unique_ptr<WeightSource> i) : Object(h, std::move(i)), config(impl->config()) {}
    static Source& of(void* self) { return *static_cast<Source*>(static_cast<Object*>(self)); }
  };
  auto object = std::make_unique<Source>(h, std::move(i));
  d2c_weight_source& c = object->c;
  c.destroy = [](void* self) { delete &Source::of(self); };
  c.config = [](void* self) { return Source::of(self).config.c(); };
  c.tensor_count = [](void* self) { return Source::of(self).impl->tensors().size(); };
  c.tensor = [](void* self, std::size_t index, d2c_tensor_info* out) {
    auto& o = Source::of(self);
    return guard(o.host, [&] { *out = to_c(o.impl->tensors().at(index)); });
  };
  c.view = [](void* self, std::size_t index, std::int64_t first, std::int64_t count, d2c_view* out) {
    auto& o = Source::of(self);
    return guard(o.host, [&] {
      auto view = std::make_unique<View>(o.impl->view(index, first, count));
      out->data = view->bytes.data();
      out->size = view->bytes.size();
      out->release = [](d2c_view* v) { delete static_cast<View*>(v->token); };
      out->token = view.release();
    });
  };
  c.file_count = [](void* self) { return Source::of(self).impl->files().size(); };
  c.file = [](void* self, std::size_t index) { return Source::of(self).impl->files()[index].c_str(); };
  c.asset_count = [](void* self) { return Source::of(self).impl->assets().size(); };
  c.asset = [](void* self, std::size_t index, d2c_asset* out) {
    auto& o = Source::of(self);
    return guard(o.host, [&] {
      const Asset& a = o.impl->assets().at(index);
      *out = {sizeof(d2c_asset), a.name.c_str(), a.data.data(), a.data.size()};
    });
  };
  return object.release();
}

inline Object<d2c_adapter_merger, AdapterMerger>* wrap(const d2c_host& h, std::unique_ptr<AdapterMerger> i) {
  struct Job {
    std::unique_ptr<MergeJob> impl;
    std::int64_t columns = 1;
  };
  struct Merger : Object<d2c_adapter_merger, AdapterMerger> {
    using Object::Object;
    BaseModel base;
    static Merger& of(void* self) { return *static_cast<Merger*>(static_cast<Object*>(self)); }
    [[nodiscard]] std::int64_t columns(const char* tensor) const {
      for (const TensorInfo& t : base.tensors)
        if (t.name == tensor) return columns_of(t.type.shape);
      fail(Code::plugin, std::string("no base tensor '") + tensor + "'");
    }
  };
  auto object = std::make_unique<Merger>(h, std::move(i));
  d2c_adapter_merger& c = object->c;
  c.destroy = [](void* self) { delete &Merger::of(self); };
  c.bind = [](void* self, const d2c_base_model* base) {
    auto& o = Merger::of(self);
    return guard(o.host, [&] {
      o.base.config = Value::from_c(base->config);
      o.base.tied = base->tied != 0;
      for (std::size_t t = 0; t < base->tensor_count; ++t) {
        const d2c_tensor_info& info = base->tensors[t];
        o.base.tensors.push_back({info.name, TensorType::from_c(info.type), info.file});
      }
      o.impl->bind(o.base);
    });
  };
  c.target_count = [](void* self) { return Merger::of(self).impl->targets().size(); };
  c.target = [](void* self, std::size_t index, d2c_adapter_target* out) {
    auto& o = Merger::of(self);
    return guard(o.host, [&] {
      const AdapterTarget& t = o.impl->targets().at(index);
      *out = {sizeof(d2c_adapter_target), t.tensor.c_str(), t.rank, t.flags, t.rows, t.job_bytes};
    });
  };
  c.begin = [](void* self, const char* tensor, void** job) {
    auto& o = Merger::of(self);
    return guard(o.host, [&] { *job = new Job{o.impl->begin(tensor), o.columns(tensor)}; });
  };
  c.observe = [](void* self, void* job, std::int64_t first, std::int64_t rows, const float* weights) {
    return guard(Merger::of(self).host, [&] {
      auto& j = *static_cast<Job*>(job);
      j.impl->observe(first, rows, {weights, static_cast<std::size_t>(rows * j.columns)});
    });
  };
  c.process = [](void* self, void* job, std::int64_t first, std::int64_t rows, float* weights) {
    return guard(Merger::of(self).host, [&] {
      auto& j = *static_cast<Job*>(job);
      j.impl->process(first, rows, {weights, static_cast<std::size_t>(rows * j.columns)});
    });
  };
  c.end = [](void*, void* job) { delete static_cast<Job*>(job); };
  c.factor = [](void* self, const char* tensor, d2c_factor_side side, d2c_type* type, float* out) {
    auto& o = Merger::of(self);
    return guard(o.host, [&] {
      const Factor f = o.impl->factor(tensor, side, out != nullptr);
      *type = TensorType{DType::f32, {f.rows, f.columns}}.c();
      if (out != nullptr) std::copy(f.values.begin(), f.values.end(), out);
    });
  };
  c.file_count = [](void* self) { return Merger::of(self).impl->files().size(); };
  c.file = [](void* self, std::size_t index) { return Merger::of(self).impl->files()[index].c_str(); };
  c.summary = [](void* self) { return Merger::of(self).impl->summary().c_str(); };
  return object.release();
}

inline d2c_layout to_c(const Layout& l) {
  if (l.planes.size() > D2C_MAX_PLANES)
    fail(Code::plugin, "a layout has at most " + std::to_string(D2C_MAX_PLANES) + " planes");
  d2c_layout c{};
  c.struct_size = sizeof c;
  c.scheme = l.scheme;
  c.input_dtype = static_cast<d2c_dtype>(l.input_dtype);
  c.padded_rows = l.padded_rows;
  c.tile_rows = l.tile_rows;
  c.needs_observe = l.needs_observe;
  c.bits = l.bits;
  c.scratch_bytes = l.scratch_bytes;
  c.job_bytes = l.job_bytes;
  c.plane_count = static_cast<std::uint32_t>(l.planes.size());
  for (std::size_t i = 0; i < l.planes.size(); ++i)
    c.planes[i] = {l.planes[i].role, 0, l.planes[i].type.c(), l.planes[i].rows_per_slice};
  l.label.copy(c.label, sizeof c.label - 1);
  return c;
}

inline WeightDesc from_c(const d2c_weight_desc& w) { return {w.name, w.role, TensorType::from_c(w.type).shape}; }

inline Object<d2c_quantizer, Quantizer>* wrap(const d2c_host& h, std::unique_ptr<Quantizer> i) {
  struct Job {
    std::unique_ptr<QuantizeJob> impl;
    std::size_t planes = 0;
  };
  using Self = Object<d2c_quantizer, Quantizer>;
  auto object = std::make_unique<Self>(h, std::move(i));
  d2c_quantizer& c = object->c;
  c.plan = [](void* self, const d2c_weight_desc* weight, d2c_layout* out) {
    auto& o = Self::of(self);
    return guard(o.host, [&] { *out = to_c(o.impl->plan(from_c(*weight))); });
  };
  c.begin = [](void* self, const d2c_weight_desc* weight, void** job) {
    auto& o = Self::of(self);
    return guard(o.host, [&] {
      const WeightDesc desc = from_c(*weight);
      *job = new Job{o.impl->begin(desc), o.impl->plan(desc).planes.size()};
    });
  };
  c.observe = [](void* self, void* job, const d2c_tile* tile) {
    return guard(Self::of(self).host, [&] {
      static_cast<Job*>(job)->impl->observe({tile->first_row, tile->rows, tile->data});
    });
  };
  c.process = [](void* self, void* job, const d2c_tile* tile, void* const* planes, d2c_tile_stats* stats) {
    return guard(Self::of(self).host, [&] {
      auto& j = *static_cast<Job*>(job);
      d2c_tile_stats all{};  // the host's may have fewer fields
      j.impl->process({tile->first_row, tile->rows, tile->data}, {planes, j.planes}, all);
      all.struct_size = stats->struct_size;
      std::memcpy(stats, &all, std::min(stats->struct_size, sizeof all));
    });
  };
  c.end = [](void*, void* job) { delete static_cast<Job*>(job); };
  return object.release();
}

inline Object<d2c_function_emitter, FunctionEmitter>* wrap(const d2c_host& h, std::unique_ptr<FunctionEmitter> i) {
  using Self = Object<d2c_function_emitter, FunctionEmitter>;
  auto object = std::make_unique<Self>(h, std::move(i));
  object->c.emit = [](void* self, const d2c_emit_request* r, const d2c_graph_builder* b) {
    auto& o = Self::of(self);
    return guard(o.host, [&] {
      EmitRequest request{r->function, r->source, r->stack, {}, Value::from_c(r->config), Value::from_c(r->settings)};
      for (std::uint32_t d = 0; d < r->delta_count; ++d)
        request.deltas.push_back({r->deltas[d].stack, r->deltas[d].sign});
      Graph graph(*b);
      o.impl->emit(request, graph);
    });
  };
  return object.release();
}

inline Object<d2c_package_writer, PackageWriter>* wrap(const d2c_host& h, std::unique_ptr<PackageWriter> i) {
  using Self = Object<d2c_package_writer, PackageWriter>;
  auto object = std::make_unique<Self>(h, std::move(i));
  d2c_package_writer& c = object->c;
  c.plan = [](void* self, const d2c_program* program, std::uint64_t* bytes) {
    auto& o = Self::of(self);
    return guard(o.host, [&] { *bytes = o.impl->plan(*program); });
  };
  c.blob = [](void* self, std::size_t weight, std::size_t plane, d2c_blob* out) {
    auto& o = Self::of(self);
    return guard(o.host, [&] {
      const Blob& b = o.impl->blob(weight, plane);
      *out = {sizeof(d2c_blob), b.file.c_str(), b.offset, b.size};
    });
  };
  c.begin = [](void* self, const char* directory) {
    auto& o = Self::of(self);
    return guard(o.host, [&] { o.impl->begin(directory); });
  };
  c.write = [](void* self, std::size_t weight, std::size_t plane, std::uint64_t offset, const void* data,
               std::size_t size) {
    auto& o = Self::of(self);
    return guard(o.host, [&] { o.impl->write(weight, plane, offset, {static_cast<const std::byte*>(data), size}); });
  };
  c.sync = [](void* self) {
    auto& o = Self::of(self);
    return guard(o.host, [&] { o.impl->sync(); });
  };
  c.finish = [](void* self, const d2c_package_info* info) {
    auto& o = Self::of(self);
    return guard(o.host, [&] { o.impl->finish(*info); });
  };
  return object.release();
}

inline Object<d2c_package_reader, PackageReader>* wrap(const d2c_host& h, std::unique_ptr<PackageReader> i) {
  struct Reader : Object<d2c_package_reader, PackageReader> {
    ValueExport description;
    Reader(const d2c_host& h, std::unique_ptr<PackageReader> i)
        : Object(h, std::move(i)), description(impl->describe()) {}
    static Reader& of(void* self) { return *static_cast<Reader*>(static_cast<Object*>(self)); }
  };
  auto object = std::make_unique<Reader>(h, std::move(i));
  d2c_package_reader& c = object->c;
  c.destroy = [](void* self) { delete &Reader::of(self); };
  c.describe = [](void* self, const d2c_value** out) {
    *out = Reader::of(self).description.c();
    return d2c_code{D2C_OK};
  };
  c.rows = [](void* self, std::size_t index, std::int64_t first, std::int64_t count, float* out) {
    auto& o = Reader::of(self);
    return guard(o.host, [&] { o.impl->rows(index, first, count, out); });
  };
  return object.release();
}

inline Object<d2c_runner, Runner>* wrap(const d2c_host& h, std::unique_ptr<Runner> i) {
  struct CSignature {
    std::vector<d2c_feature> inputs, states, outputs;
  };
  struct Package : Object<d2c_runner, Runner> {
    std::vector<CSignature> signatures;
    ValueExport description;
    Package(const d2c_host& h, std::unique_ptr<Runner> i) : Object(h, std::move(i)), description(impl->describe()) {
      const auto features = [](const std::vector<Feature>& from) {
        std::vector<d2c_feature> to;
        for (const Feature& f : from) to.push_back({f.name.c_str(), f.type.c()});
        return to;
      };
      for (const Signature& s : impl->signatures())
        signatures.push_back({features(s.inputs), features(s.states), features(s.outputs)});
    }
    static Package& of(void* self) { return *static_cast<Package*>(static_cast<Object*>(self)); }
    static std::vector<Buffer> buffers(const d2c_buffer* from, std::size_t count) {
      std::vector<Buffer> to;
      for (std::size_t k = 0; k < count; ++k)
        to.push_back({from[k].name, {static_cast<std::byte*>(from[k].data), from[k].size}});
      return to;
    }
  };
  auto object = std::make_unique<Package>(h, std::move(i));
  d2c_runner& c = object->c;
  c.destroy = [](void* self) { delete &Package::of(self); };
  c.function_count = [](void* self) { return Package::of(self).signatures.size(); };
  c.signature = [](void* self, std::size_t index, d2c_signature* out) {
    auto& o = Package::of(self);
    return guard(o.host, [&] {
      const CSignature& s = o.signatures.at(index);
      *out = {sizeof(d2c_signature), o.impl->signatures()[index].function.c_str(),
              s.inputs.data(),       s.inputs.size(),
              s.states.data(),       s.states.size(),
              s.outputs.data(),      s.outputs.size()};
    });
  };
  c.make_state = [](void* self, void** state) {
    auto& o = Package::of(self);
    return guard(o.host, [&] { *state = o.impl->make_state().release(); });
  };
  c.free_state = [](void*, void* state) { delete static_cast<RunnerState*>(state); };
  c.call = [](void* self, const char* function, void* state, const d2c_buffer* inputs, std::size_t input_count,
              const d2c_buffer* outputs, std::size_t output_count) {
    auto& o = Package::of(self);
    return guard(o.host, [&] {
      o.impl->call(function, static_cast<RunnerState*>(state), Package::buffers(inputs, input_count),
                   Package::buffers(outputs, output_count));
    });
  };
  c.describe = [](void* self, const d2c_value** out) {
    *out = Package::of(self).description.c();
    return d2c_code{D2C_OK};
  };
  c.state_buffer = [](void* self, void* state, const char* name, d2c_buffer* out) {
    auto& o = Package::of(self);
    return guard(o.host, [&] {
      const Buffer buffer = static_cast<RunnerState*>(state)->buffer(name);
      *out = {name, buffer.data.data(), buffer.data.size()};
    });
  };
  return object.release();
}

inline Object<d2c_fetcher, Fetcher>* wrap(const d2c_host& h, std::unique_ptr<Fetcher> i) {
  struct Fetching : Object<d2c_fetcher, Fetcher> {
    using Object::Object;
    Fetched last;
    static Fetching& of(void* self) { return *static_cast<Fetching*>(static_cast<Object*>(self)); }
  };
  auto object = std::make_unique<Fetching>(h, std::move(i));
  d2c_fetcher& c = object->c;
  c.destroy = [](void* self) { delete &Fetching::of(self); };
  c.fetch = [](void* self, const d2c_fetch_request* r, d2c_fetched* out) {
    auto& o = Fetching::of(self);
    return guard(o.host, [&] {
      o.last = o.impl->fetch(
          {r->id, r->revision, r->purpose,
           [r](std::uint64_t bytes, std::uint64_t files) { r->begin(r->listener, bytes, files); },
           [r](std::uint64_t bytes, bool file_done) { r->advance(r->listener, bytes, file_done ? 1 : 0); }});
      *out = {sizeof(d2c_fetched), o.last.folder.c_str(), o.last.name.c_str(), o.last.revision.c_str()};
    });
  };
  return object.release();
}

// ------------------------------------------------------------------------------------------------ factories

template <class T>
concept HasOptions = requires {
  T::kOptions;
};
template <class T>
concept HasProbe = requires(const char* path) {
  { T::probe(path) } -> std::convertible_to<int>;
};

template <class T>
std::unique_ptr<T> construct(const d2c_host& host, const d2c_value* options) {
  const Config config(Value::from_c(options));
  if constexpr (std::is_constructible_v<T, const Host&, const Config&>) return std::make_unique<T>(Host(host), config);
  else return std::make_unique<T>(config);
}

template <class T>
std::span<const d2c_option_spec* const> option_specs() {
  if constexpr (HasOptions<T>) {
    constexpr std::size_t n = std::size(T::kOptions);
    static const auto specs = [] {
      std::array<d2c_option_spec, n> s{};
      for (std::size_t i = 0; i < n; ++i) {
        const OptionSpec& o = T::kOptions[i];
        s[i] = {sizeof(d2c_option_spec), o.name, o.kind, o.default_json, o.allowed_json, o.help};
      }
      return s;
    }();
    static const auto pointers = [] {
      std::array<const d2c_option_spec*, n> p{};
      for (std::size_t i = 0; i < n; ++i) p[i] = &specs[i];
      return p;
    }();
    return pointers;
  } else {
    return {};
  }
}

/// The factory of class T, which implements `Interface`.
template <class T, class Interface>
const d2c_factory* factory_of() {
  static const d2c_factory factory = [] {
    d2c_factory f{};
    f.struct_size = sizeof f;
    f.options = option_specs<T>().data();
    f.option_count = option_specs<T>().size();
    f.create = [](const d2c_host* host, const d2c_value* options, void** out) {
      return guard(Host(*host),
                   [&] { *out = &wrap(*host, std::unique_ptr<Interface>(construct<T>(*host, options)))->c; });
    };
    if constexpr (HasProbe<T>) {
      f.probe = [](const char* path) noexcept -> std::int32_t {
        try {
          return T::probe(path);
        } catch (...) {
          return 0;
        }
      };
    }
    return f;
  }();
  return &factory;
}

struct Export {
  const char* kind;
  const d2c_factory* (*factory)();
};

/// Function pointers and string literals are no template arguments across compilers; the variables holding them are.
template <const Export&... exports>
struct ExportList {
  static constexpr const char* kinds[] = {exports.kind..., nullptr};
  static const d2c_factory* factory(const char* kind) {
    const d2c_factory* found = nullptr;
    ((std::strcmp(kind, exports.kind) == 0 ? (void)(found = exports.factory()) : (void)0), ...);
    return found;
  }
};

}  // namespace d2c::abi

namespace d2c {

template <class T>
inline constexpr abi::Export weight_source{D2C_WEIGHT_SOURCE, abi::factory_of<T, WeightSource>};
template <class T>
inline constexpr abi::Export adapter_merger{D2C_ADAPTER_MERGER, abi::factory_of<T, AdapterMerger>};
template <class T>
inline constexpr abi::Export quantizer{D2C_QUANTIZER, abi::factory_of<T, Quantizer>};
template <class T>
inline constexpr abi::Export function_emitter{D2C_FUNCTION_EMITTER, abi::factory_of<T, FunctionEmitter>};
template <class T>
inline constexpr abi::Export package_writer{D2C_PACKAGE_WRITER, abi::factory_of<T, PackageWriter>};
template <class T>
inline constexpr abi::Export package_reader{D2C_PACKAGE_READER, abi::factory_of<T, PackageReader>};
template <class T>
inline constexpr abi::Export runner{D2C_RUNNER, abi::factory_of<T, Runner>};
template <class T>
inline constexpr abi::Export fetcher{D2C_FETCHER, abi::factory_of<T, Fetcher>};

}  // namespace d2c

/// Exports the plugin: name (the library's file name), version, one sentence, then what it offers.
#define D2C_PLUGIN(NAME, VERSION, SUMMARY, ...)                                                        \
  extern "C" D2C_EXPORT const d2c_plugin_entry d2c_plugin = {D2C_ABI_MAGIC,                            \
                                                             D2C_ABI_MAJOR,                            \
                                                             D2C_ABI_MINOR,                            \
                                                             sizeof(d2c_plugin_entry),                 \
                                                             NAME,                                     \
                                                             VERSION,                                  \
                                                             SUMMARY,                                  \
                                                             d2c::abi::ExportList<__VA_ARGS__>::kinds, \
                                                             d2c::abi::ExportList<__VA_ARGS__>::factory}
