// What plugin authors include: abstract classes for every kind of plugin and the macro that exports them.
//
//     class Mine final : public d2c::Quantizer { ... };
//     D2C_PLUGIN("quant_mine", "1.0.0", "Nearest-of-16 palettes.", d2c::quantizer<Mine>);
//
// A class may have `static constexpr d2c::OptionSpec kOptions[]`, the options it takes; the host refuses any other.
// Its constructor takes (const d2c::Host&, const d2c::Config&) or (const d2c::Config&). Exceptions may be thrown
// anywhere; they become codes and text at the boundary. Only the standard library crosses into this header.
#pragma once

#include <d2c/abi.h>
#include <d2c/error.hpp>
#include <d2c/graph.hpp>
#include <d2c/tensor.hpp>
#include <d2c/value.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace d2c {

/// The host's services. Outlives every object of the plugin; all members are thread-safe.
class Host {
 public:
  explicit Host(const d2c_host& c) : c_(&c) {}

  void debug(const std::string& text) const { c_->log(c_->self, D2C_LOG_DEBUG, text.c_str()); }
  void info(const std::string& text) const { c_->log(c_->self, D2C_LOG_INFO, text.c_str()); }
  void warn(const std::string& text) const { c_->log(c_->self, D2C_LOG_WARN, text.c_str()); }
  [[nodiscard]] bool cancelled() const { return c_->cancelled(c_->self) != 0; }
  void throw_if_cancelled() const {
    if (cancelled()) fail_interrupted();
  }
  d2c_code fail(d2c_code code, const char* message) const { return c_->fail(c_->self, code, message); }

 private:
  [[noreturn]] static void fail_interrupted() { throw Error(Code::interrupted, "interrupted"); }
  const d2c_host* c_;
};

/// Runs `body` and reports whatever it throws to the host. Nothing may leave a plugin as an exception:
/// the host can be built by another compiler and may outlive the library that owns the exception's type.
template <class Body>
d2c_code guard(const Host& host, Body&& body) noexcept {
  try {
    body();
    return D2C_OK;
  } catch (const HostFailure& e) {
    return e.code;
  } catch (const Error& e) {
    return host.fail(static_cast<d2c_code>(e.code()), e.what());
  } catch (const std::bad_alloc&) {
    return host.fail(D2C_RESOURCE, "out of memory");
  } catch (const std::exception& e) {
    return host.fail(D2C_PLUGIN, e.what());
  } catch (...) {
    return host.fail(D2C_PLUGIN, "unknown exception");
  }
}

// ------------------------------------------------------------------------------------------------ options

struct OptionSpec {
  const char* name;
  d2c_value_kind kind;
  const char* default_json;  ///< nullptr: required
  const char* allowed_json;  ///< nullptr: any value of `kind`
  const char* help;
};

// ------------------------------------------------------------------------------------------------ the kinds

struct TensorInfo {
  std::string name;
  TensorType type;  ///< f16, bf16 or f32 for weights
  std::uint32_t file = 0;
};

/// Bytes and whatever keeps them alive.
struct View {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

struct Asset {
  std::string name;
  std::string data;
};

/// Weights of one model. Created with option "path".
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// config.json; a table. The reference stays valid as long as the source.
  [[nodiscard]] virtual const Value& config() const = 0;
  /// Sorted or file order, but always the same; valid as long as the source.
  [[nodiscard]] virtual const std::vector<TensorInfo>& tensors() const = 0;
  /// Thread-safe. Rows [first, first+count) of axis 0, packed, in the declared dtype.
  [[nodiscard]] virtual View view(std::size_t tensor, std::int64_t first, std::int64_t count) const = 0;
  /// Absolute paths of the files read, by TensorInfo::file; further files (config.json...) after those.
  [[nodiscard]] virtual const std::vector<std::string>& files() const = 0;
  [[nodiscard]] virtual const std::vector<Asset>& assets() const = 0;
};

struct AdapterTarget {
  std::string tensor;
  int rank = 0;
  int flags = 0;  ///< D2C_TARGET_*
  std::int64_t rows = 0;
  std::size_t job_bytes = 0;
};

struct BaseModel {
  Value config;
  std::vector<TensorInfo> tensors;
  bool tied = false;
};

/// The merge of one tensor. Tiles are whole rows, fp32.
class MergeJob {
 public:
  virtual ~MergeJob() = default;
  virtual void observe(std::int64_t /*first_row*/, std::int64_t /*rows*/, std::span<const float> /*weights*/) {}
  /// Thread-safe; in place.
  virtual void process(std::int64_t first_row, std::int64_t rows, std::span<float> weights) = 0;
};

struct Factor {
  std::int64_t rows = 0, columns = 0;
  std::vector<float> values;  ///< empty when only the shape was asked for
};

/// One stack of adapters over one base. Created with "adapters" [{path, weight}] and "combination".
class AdapterMerger {
 public:
  virtual ~AdapterMerger() = default;
  virtual void bind(const BaseModel& base) = 0;
  [[nodiscard]] virtual const std::vector<AdapterTarget>& targets() const = 0;
  /// Thread-safe.
  [[nodiscard]] virtual std::unique_ptr<MergeJob> begin(const std::string& tensor) = 0;
  /// Thread-safe; D2C_TARGET_LOW_RANK targets only.
  [[nodiscard]] virtual Factor factor(const std::string& tensor, d2c_factor_side side, bool with_values) const = 0;
  [[nodiscard]] virtual const std::vector<std::string>& files() const = 0;
  [[nodiscard]] virtual const std::string& summary() const = 0;
};

struct WeightDesc {
  std::string name;
  std::string role;
  Shape shape;
};

struct Plane {
  d2c_plane_role role = D2C_PLANE_DENSE;
  TensorType type;
  std::int64_t rows_per_slice = 1;
};

/// See d2c_layout.
struct Layout {
  d2c_scheme scheme = D2C_SCHEME_DENSE;
  DType input_dtype = DType::f16;
  std::int64_t padded_rows = 0;
  std::int64_t tile_rows = 1;
  bool needs_observe = false;
  int bits = 16;
  std::size_t scratch_bytes = 0;
  std::size_t job_bytes = 0;
  std::vector<Plane> planes;
  std::string label;
};

struct Tile {
  std::int64_t first_row = 0, rows = 0;
  const void* data = nullptr;

  template <class T>
  [[nodiscard]] std::span<const T> as(std::int64_t columns) const {
    return {static_cast<const T*>(data), static_cast<std::size_t>(rows * columns)};
  }
};

/// The quantization of one tensor.
class QuantizeJob {
 public:
  virtual ~QuantizeJob() = default;
  virtual void observe(const Tile& /*tile*/) {}
  /// Thread-safe. planes[i] is where this tile's bytes of plane i go, or null (see d2c_quantizer::process).
  virtual void process(const Tile& tile, std::span<void* const> planes, d2c_tile_stats& stats) = 0;
};

class Quantizer {
 public:
  virtual ~Quantizer() = default;
  /// Thread-safe; from the shape and the options alone.
  [[nodiscard]] virtual Layout plan(const WeightDesc& weight) const = 0;
  /// Thread-safe.
  [[nodiscard]] virtual std::unique_ptr<QuantizeJob> begin(const WeightDesc& weight) = 0;
};

struct Delta {
  std::string stack;
  double sign = 1;
};

struct EmitRequest {
  std::string function;
  std::uint32_t source = 0;
  std::string stack;
  std::vector<Delta> deltas;
  Value config;
  Value settings;  ///< {"graph": {...}, "encoder": {...}}
};

class FunctionEmitter {
 public:
  virtual ~FunctionEmitter() = default;
  virtual void emit(const EmitRequest& request, Graph& graph) = 0;
};

struct Blob {
  std::string file;
  std::uint64_t offset = 0, size = 0;
};

class PackageWriter {
 public:
  virtual ~PackageWriter() = default;
  /// Returns the exact size of all weight files. `program` stays valid as long as the writer.
  virtual std::uint64_t plan(const d2c_program& program) = 0;
  [[nodiscard]] virtual const Blob& blob(std::size_t weight, std::size_t plane) const = 0;
  virtual void begin(const std::string& directory) = 0;
  /// Thread-safe.
  virtual void write(std::size_t weight, std::size_t plane, std::uint64_t offset, std::span<const std::byte> data) = 0;
  /// Thread-safe; makes durable what was written before.
  virtual void sync() = 0;
  virtual void finish(const d2c_package_info& info) = 0;
};

/// A finished package read back. Created with option "path".
class PackageReader {
 public:
  virtual ~PackageReader() = default;
  /// See d2c_package_reader::describe; valid as long as the reader.
  [[nodiscard]] virtual const Value& describe() const = 0;
  /// See d2c_package_reader::rows. Thread-safe; `out` has the size of the rows.
  virtual void rows(std::size_t /*index*/, std::int64_t /*first*/, std::int64_t /*count*/, float* /*out*/) const {
    fail(Code::plugin, "this reader describes packages but does not read their weights");
  }
};

struct Feature {
  std::string name;
  TensorType type;
};

struct Signature {
  std::string function;
  std::vector<Feature> inputs, states, outputs;
};

struct Buffer {
  std::string name;
  std::span<std::byte> data;
};

/// States of one session.
class RunnerState {
 public:
  virtual ~RunnerState() = default;
  /// A named state's bytes, in place, valid as long as this object. Error(usage) where there is no such state.
  [[nodiscard]] virtual Buffer buffer(const std::string& name) = 0;
};

/// An opened package. Created with option "path".
class Runner {
 public:
  virtual ~Runner() = default;
  [[nodiscard]] virtual const std::vector<Signature>& signatures() const = 0;
  [[nodiscard]] virtual std::unique_ptr<RunnerState> make_state() = 0;
  /// Thread-safe with one call per state at a time.
  virtual void call(const std::string& function, RunnerState* state, std::span<const Buffer> inputs,
                    std::span<const Buffer> outputs) = 0;
  /// See d2c_runner::describe; valid as long as the runner.
  [[nodiscard]] virtual const Value& describe() const = 0;
};

struct FetchRequest {
  std::string id;
  std::string revision;  ///< empty: what the id says, or the default one
  d2c_fetch_purpose purpose = D2C_FETCH_MODEL;
  std::function<void(std::uint64_t bytes, std::uint64_t files)> begin;
  std::function<void(std::uint64_t bytes, bool file_done)> advance;
};

/// See d2c_fetched.
struct Fetched {
  std::string folder;
  std::string name;
  std::string revision;
};

/// Brings models and adapters to this machine. A static `probe` scores ids by their form alone.
class Fetcher {
 public:
  virtual ~Fetcher() = default;
  [[nodiscard]] virtual Fetched fetch(const FetchRequest& request) = 0;
};

}  // namespace d2c

#include <d2c/plugin_abi.hpp>  // IWYU pragma: export
