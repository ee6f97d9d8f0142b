// A quantizer used as the converter uses it, and more strictly.
#pragma once

#include "host/loader/plugin_registry.hpp"

#include <d2c/plugin.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace d2c::host::conformance {

/// A code that a plugin returned, and what it told the host about it.
struct Answer {
  d2c_code code = D2C_OK;
  std::string message;  ///< empty where it said nothing

  [[nodiscard]] bool ok() const noexcept { return code == D2C_OK; }
};

/// An object made with the given options and destroyed at the end.
class QuantizerObject {
 public:
  /// Error(plugin) where there is no object to be had.
  QuantizerObject(const Plugin& plugin, const Value& options);
  ~QuantizerObject();
  QuantizerObject(const QuantizerObject&) = delete;
  QuantizerObject& operator=(const QuantizerObject&) = delete;

  [[nodiscard]] Answer plan(const Shape& shape, d2c_layout& layout);
  [[nodiscard]] Answer begin(const Shape& shape, void** job);
  [[nodiscard]] Answer observe(void* job, const d2c_tile& tile);
  [[nodiscard]] Answer process(void* job, const d2c_tile& tile, void* const* planes, d2c_tile_stats& stats);
  void end(void* job) { quantizer_->end(quantizer_->self, job); }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  std::string name_;
  d2c_host host_{};
  d2c_quantizer* quantizer_ = nullptr;
};

/// A weight to be quantized; its numbers are exact in fp16.
struct Sample {
  std::string what;
  Shape shape;
  std::vector<float> values;
};

[[nodiscard]] Sample normal_sample(const Shape& shape, unsigned seed);

/// How the tiles of a weight are given.
struct Manner {
  std::int64_t units = 0;  ///< of layout.tile_rows per tile; 0: the whole weight is one
  bool backwards = false;
  unsigned threads = 1;
  std::byte fill{0xee};  ///< what planes hold beforehand
  std::function<void()> after_first_tile = [] {};
};

struct Quantized {
  d2c_layout layout{};
  std::vector<std::vector<std::byte>> planes;
  d2c_tile_stats stats{};
};

/// The layout, checked as the converter checks it; nothing where the shape is refused, which takes a sentence.
[[nodiscard]] std::unique_ptr<d2c_layout> planned(QuantizerObject& quantizer, const Shape& shape);

/// Error(plugin) where a call fails, where memory beside the planes of a tile is touched, or where a tile is changed.
[[nodiscard]] Quantized quantize(QuantizerObject& quantizer, const Sample& sample, const Manner& manner);

/// The numbers that the planes stand for, padding left out, as a runner expands them. Error(input) where the planes do not
/// make a weight of the scheme that the layout names.
[[nodiscard]] std::vector<float> restored(const Quantized& quantized, const Shape& shape);

}  // namespace d2c::host::conformance
