#include "host/conformance/quantizer_trial.hpp"

#include "host/conformance/guarded_bytes.hpp"
#include "host/planner/layout_check.hpp"
#include "libs/mil_cpu/stored.hpp"
#include "libs/numeric/convert.hpp"

#include <d2c/half.hpp>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>

namespace d2c::host::conformance {
namespace {

constexpr const char* kWeightName = "model.layers.0.mlp.up_proj.weight";

/// What the calling thread's last failing call told the host.
thread_local std::string t_message;

Answer answer_of(d2c_code code) { return {code, std::exchange(t_message, {})}; }

[[noreturn]] void refuse(const std::string& why) { fail(Code::plugin, why); }

void require(const Answer& answer, const char* call, const std::string& what) {
  if (answer.ok()) return;
  refuse(std::string(call) + " failed for " + what + " with code " + std::to_string(answer.code) + ": " +
         (answer.message.empty() ? "no message" : answer.message));
}

d2c_weight_desc describe(const Shape& shape) {
  return {sizeof(d2c_weight_desc), kWeightName, "mlp", TensorType{DType::none, shape}.c()};
}

struct Range {
  std::size_t first = 0, size = 0;
};

/// The bytes of a plane that belong to some rows.
Range range_of(const d2c_plane& plane, std::int64_t first_row, std::int64_t rows) {
  const TensorType type = TensorType::from_c(plane.type);
  if (plane.rows_per_slice == 0) return {0, first_row == 0 ? static_cast<std::size_t>(type.bytes()) : 0};
  const auto bytes = [&](std::int64_t count) {
    return static_cast<std::size_t>(bytes_of(type.dtype, count / plane.rows_per_slice * columns_of(type.shape)));
  };
  return {bytes(first_row), bytes(rows)};
}

/// One job and the planes it fills.
class Run {
 public:
  Run(QuantizerObject& quantizer, const Sample& sample, const Manner& manner)
      : quantizer_(quantizer), sample_(sample), manner_(manner) {
    const auto layout = planned(quantizer, sample.shape);
    if (!layout) throw Error(Code::usage, sample.what + ": the shape is refused");
    out_.layout = *layout;
    columns_ = columns_of(sample.shape);
    for (std::uint32_t p = 0; p < layout->plane_count; ++p)
      out_.planes.emplace_back(static_cast<std::size_t>(TensorType::from_c(layout->planes[p].type).bytes()),
                               manner.fill);
    list_tiles();
    require(quantizer.begin(sample.shape, &job_), "begin", sample.what);
  }
  ~Run() { quantizer_.end(job_); }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  Quantized finish() {
    if (out_.layout.needs_observe != 0)
      for (const Rows& rows : rising_) observe(rows);
    if (manner_.threads == 1) process_tiles(0, 1);
    else process_in_threads();
    return std::move(out_);
  }

 private:
  struct Rows {
    std::int64_t first, count;
  };

  void list_tiles() {
    const std::int64_t all = out_.layout.padded_rows;
    const std::int64_t step = manner_.units == 0 ? all : out_.layout.tile_rows * manner_.units;
    for (std::int64_t row = 0; row < all; row += step) rising_.push_back({row, std::min(step, all - row)});
    order_ = rising_;
    if (manner_.backwards) std::reverse(order_.begin(), order_.end());
  }

  /// The tile's numbers in the type that the layout asks for, rows beyond the weight's being zeros.
  void fill_tile(const Rows& rows, std::span<std::byte> bytes) const {
    std::vector<float> values(static_cast<std::size_t>(rows.count * columns_));
    const std::int64_t real = std::clamp<std::int64_t>(sample_.shape[0] - rows.first, 0, rows.count);
    std::copy_n(sample_.values.begin() + rows.first * columns_, real * columns_, values.begin());
    if (out_.layout.input_dtype == D2C_F32)
      return static_cast<void>(std::memcpy(bytes.data(), values.data(), bytes.size()));
    numeric::float_to_half(values.data(), values.size(), reinterpret_cast<std::uint16_t*>(bytes.data()));
  }

  template <class Call>
  void with_tile(const Rows& rows, Call call) {
    const std::size_t width = out_.layout.input_dtype == D2C_F32 ? sizeof(float) : sizeof(std::uint16_t);
    GuardedBytes memory(static_cast<std::size_t>(rows.count * columns_) * width, std::byte{0});
    fill_tile(rows, memory.bytes());
    const std::vector<std::byte> before(memory.bytes().begin(), memory.bytes().end());
    call(d2c_tile{rows.first, rows.count, memory.bytes().data()});
    if (!memory.intact()) refuse(sample_.what + ": memory beside the tile was written to");
    if (!std::equal(before.begin(), before.end(), memory.bytes().begin()))
      refuse(sample_.what + ": the tile itself was changed");
  }

  void observe(const Rows& rows) {
    with_tile(rows, [&](const d2c_tile& tile) { require(quantizer_.observe(job_, tile), "observe", sample_.what); });
  }

  void process(const Rows& rows) {
    std::vector<std::unique_ptr<GuardedBytes>> memory;
    std::vector<Range> ranges;
    std::vector<void*> planes;
    for (std::uint32_t p = 0; p < out_.layout.plane_count; ++p) {
      ranges.push_back(range_of(out_.layout.planes[p], rows.first, rows.count));
      memory.push_back(std::make_unique<GuardedBytes>(ranges[p].size, manner_.fill));
      planes.push_back(ranges[p].size == 0 ? nullptr : memory[p]->bytes().data());
    }
    d2c_tile_stats stats{};
    stats.struct_size = sizeof stats;
    with_tile(rows, [&](const d2c_tile& tile) {
      require(quantizer_.process(job_, tile, planes.data(), stats), "process", sample_.what);
    });
    for (std::size_t p = 0; p < planes.size(); ++p) {
      if (!memory[p]->intact())
        refuse(sample_.what + ": plane " + std::to_string(p) + " was written to beyond the " +
               std::to_string(ranges[p].size) + " bytes that the layout declares for rows " +
               std::to_string(rows.first) + " to " + std::to_string(rows.first + rows.count - 1));
      std::copy(memory[p]->bytes().begin(), memory[p]->bytes().end(),
                out_.planes[p].begin() + static_cast<std::ptrdiff_t>(ranges[p].first));
    }
    add(stats);
  }

  void add(const d2c_tile_stats& stats) {
    const std::scoped_lock lock(mutex_);
    out_.stats.squared_error += stats.squared_error;
    out_.stats.squared_sum += stats.squared_sum;
    out_.stats.max_error = std::max(out_.stats.max_error, stats.max_error);
    out_.stats.groups += stats.groups;
    out_.stats.groups_certified += stats.groups_certified;
  }

  void process_tiles(std::size_t first, std::size_t step) {
    for (std::size_t t = first; t < order_.size(); t += step) {
      process(order_[t]);
      if (t == 0) manner_.after_first_tile();
    }
  }

  void process_in_threads() {
    std::exception_ptr failure;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < manner_.threads; ++t)
      threads.emplace_back([&, t] {
        try {
          process_tiles(t, manner_.threads);
        } catch (...) {
          const std::scoped_lock lock(mutex_);
          failure = std::current_exception();
        }
      });
    for (std::thread& thread : threads) thread.join();
    if (failure) std::rethrow_exception(failure);
  }

  QuantizerObject& quantizer_;
  const Sample& sample_;
  const Manner& manner_;
  Quantized out_;
  std::int64_t columns_ = 0;
  std::vector<Rows> rising_, order_;
  void* job_ = nullptr;
  std::mutex mutex_;
};

std::shared_ptr<const mil_cpu::Stored> dense(TensorType type, std::span<const std::byte> data) {
  auto stored = std::make_shared<mil_cpu::Stored>();
  stored->type = stored->data_type = std::move(type);
  stored->data = data;
  return stored;
}

/// The axis along which an entry stands for several elements: where the indices are fewer than the weights.
std::int32_t vector_axis(const Shape& indices, const Shape& weight) {
  for (std::size_t a = 0; a < indices.size() && a < weight.size(); ++a)
    if (indices[a] != weight[a]) return static_cast<std::int32_t>(a);
  return 0;
}

struct SchemeOp {
  const char* op;
  std::vector<std::pair<d2c_plane_role, const char*>> parameters;
};

SchemeOp op_of(d2c_scheme scheme) {
  switch (scheme) {
    case D2C_SCHEME_DENSE: return {"", {{D2C_PLANE_DENSE, "val"}}};
    case D2C_SCHEME_PALETTE:
      return {"constexpr_lut_to_dense", {{D2C_PLANE_INDICES, "indices"}, {D2C_PLANE_LUT, "lut"}}};
    case D2C_SCHEME_BLOCKWISE:
      return {"constexpr_blockwise_shift_scale",
              {{D2C_PLANE_DATA, "data"}, {D2C_PLANE_SCALE, "scale"}, {D2C_PLANE_OFFSET, "offset"}}};
    default: refuse("the layout's scheme " + std::to_string(scheme) + " does not exist");
  }
}

}  // namespace

QuantizerObject::QuantizerObject(const Plugin& plugin, const Value& options) : name_(plugin.name()) {
  host_.struct_size = sizeof host_;
  host_.self = this;
  host_.log = [](void*, d2c_log_level, const char*) {};
  host_.fail = [](void*, d2c_code code, const char* message) {
    t_message = message == nullptr ? "" : message;
    return code;
  };
  host_.cancelled = [](void*) { return std::int32_t{0}; };
  const ValueExport exported(options);
  void* object = nullptr;
  const Answer answer = answer_of(plugin.factory(D2C_QUANTIZER)->create(&host_, exported.c(), &object));
  if (!answer.ok()) refuse("no object could be made: " + (answer.message.empty() ? "no message" : answer.message));
  if (object == nullptr) refuse("create succeeded and gave no object");
  quantizer_ = static_cast<d2c_quantizer*>(object);
  if (quantizer_->struct_size < sizeof *quantizer_ || quantizer_->destroy == nullptr || quantizer_->plan == nullptr ||
      quantizer_->begin == nullptr || quantizer_->process == nullptr || quantizer_->end == nullptr)
    refuse("the object lacks functions that a quantizer has");
}

QuantizerObject::~QuantizerObject() { quantizer_->destroy(quantizer_->self); }

Answer QuantizerObject::plan(const Shape& shape, d2c_layout& layout) {
  layout = {};
  layout.struct_size = sizeof layout;
  const d2c_weight_desc weight = describe(shape);
  return answer_of(quantizer_->plan(quantizer_->self, &weight, &layout));
}

Answer QuantizerObject::begin(const Shape& shape, void** job) {
  const d2c_weight_desc weight = describe(shape);
  return answer_of(quantizer_->begin(quantizer_->self, &weight, job));
}

Answer QuantizerObject::observe(void* job, const d2c_tile& tile) {
  if (quantizer_->observe == nullptr) refuse("the layout asks for observe, which the object lacks");
  return answer_of(quantizer_->observe(quantizer_->self, job, &tile));
}

Answer QuantizerObject::process(void* job, const d2c_tile& tile, void* const* planes, d2c_tile_stats& stats) {
  return answer_of(quantizer_->process(quantizer_->self, job, &tile, planes, &stats));
}

Sample normal_sample(const Shape& shape, unsigned seed) {
  std::mt19937 random(seed);
  Sample sample{"a weight of normal numbers " + to_string(shape), shape, {}};
  sample.values.resize(static_cast<std::size_t>(count_of(shape)));
  // Sums of the generator's own numbers: std::normal_distribution differs between libraries.
  for (float& value : sample.values) {
    double sum = 0;
    for (int i = 0; i < 12; ++i) sum += static_cast<double>(random()) / 4294967296.0;
    value = half_to_float(float_to_half(static_cast<float>(0.03 * (sum - 6))));
  }
  return sample;
}

std::unique_ptr<d2c_layout> planned(QuantizerObject& quantizer, const Shape& shape) {
  auto layout = std::make_unique<d2c_layout>();
  const Answer answer = quantizer.plan(shape, *layout);
  if (answer.ok()) {
    check_layout(*layout, kWeightName, shape, quantizer.name());
    return layout;
  }
  if (answer.code != D2C_USAGE)
    refuse("plan refused the shape " + to_string(shape) + " with code " + std::to_string(answer.code) +
           "; what options cannot serve is D2C_USAGE");
  if (answer.message.size() < 10)
    refuse("plan refused the shape " + to_string(shape) + " without a sentence that says why");
  return nullptr;
}

Quantized quantize(QuantizerObject& quantizer, const Sample& sample, const Manner& manner) {
  return Run(quantizer, sample, manner).finish();
}

std::vector<float> restored(const Quantized& quantized, const Shape& shape) {
  const d2c_layout& layout = quantized.layout;
  const SchemeOp scheme = op_of(layout.scheme);
  mil_cpu::ConstexprArguments arguments;
  for (std::uint32_t p = 0; p < layout.plane_count; ++p) {
    const auto it = std::find_if(scheme.parameters.begin(), scheme.parameters.end(),
                                 [&](const auto& parameter) { return parameter.first == layout.planes[p].role; });
    if (it == scheme.parameters.end()) refuse("plane " + std::to_string(p) + " has no part in the layout's scheme");
    arguments[it->second] = dense(TensorType::from_c(layout.planes[p].type), quantized.planes[p]);
  }
  Shape padded = shape;
  padded[0] = layout.padded_rows;
  std::shared_ptr<const mil_cpu::Stored> stored;
  std::int32_t axis = 0;
  if (layout.scheme == D2C_SCHEME_PALETTE && arguments.contains("indices")) {
    axis = vector_axis(arguments["indices"]->type.shape, padded);
    arguments["vector_axis"] = dense({DType::i32, {}}, std::as_bytes(std::span(&axis, 1)));
  }
  if (layout.scheme == D2C_SCHEME_DENSE) stored = arguments.at("val");
  else stored = mil_cpu::expand_constexpr(scheme.op, arguments, "the layout");
  if (stored->type.shape != padded)
    refuse("the planes make " + stored->type.text() + " of a weight that takes " + to_string(padded));
  std::vector<float> values = mil_cpu::reals(*stored);
  values.resize(static_cast<std::size_t>(count_of(shape)));
  return values;
}

}  // namespace d2c::host::conformance
