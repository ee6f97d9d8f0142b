// What the guardrails look at: a package before or after it is made, and what it is meant to run on.
#pragma once

#include <d2c/plugin.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace d2c::host {

struct WeightFacts {
  enum class Form { dense, palette, blockwise, other };

  std::string name;
  Shape shape;
  Form form = Form::dense;
  int bits = 16;
  std::int64_t group = 0;  ///< channels that share a palette, or columns that share a scale; 0: all, or none
  std::uint64_t bytes = 0;
};

struct FunctionFacts {
  std::string name;
  std::vector<Feature> inputs, states, outputs;
  std::map<std::string, std::int64_t> ops;  ///< how many there are of each type
};

struct PackageFacts {
  std::string compute_units = "CPU_AND_GPU";  ///< as [target] names them
  std::int64_t specification_version = 9;
  std::vector<FunctionFacts> functions;
  std::vector<WeightFacts> weights;
  std::uint64_t weight_bytes = 0;
};

/// The facts of a finished package, from what a reader tells about it (d2c_package_reader::describe).
[[nodiscard]] PackageFacts facts_of(const Value& description, const std::string& compute_units);

}  // namespace d2c::host
