// Which ops of a function can run together: updates of a state in place, and attention.
#pragma once

#include "libs/mil_cpu/program.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace d2c::mil_cpu {

/// Consecutive elements of a state, seen as a tensor.
struct StateRegion {
  std::size_t state = 0;  ///< in the package's list
  std::int64_t offset = 0;
  Shape shape;
  std::optional<std::int64_t> rest = {};  ///< where as many elements lie that are to be added: what rounding left over
};

/// softmax(cast(x * y^T * scale) + mask) * v, which one step does.
struct AttentionPattern {
  ValueId queries = 0, keys = 0, values = 0;
  std::optional<ValueId> mask;
  std::optional<ValueId> scale;  ///< a scalar constant
};

/// Elements of a small integer tensor as far as they are known before running.
using Known = std::vector<std::optional<std::int64_t>>;

struct Fusions {
  std::vector<Known> known;                           ///< by value; empty where nothing is known
  std::set<std::size_t> skipped;                      ///< ops that another one does
  std::map<std::size_t, ValueId> in_place;            ///< slice_update ops that write into the state itself: which
  std::set<std::size_t> viewed;                       ///< read_state ops whose result may stay in the state
  std::map<std::size_t, AttentionPattern> attention;  ///< by the op at which it runs
};

struct FusionOptions {
  bool states = true;  ///< updates and views of states
  bool attention = true;
};

/// What is known is found in any case.
[[nodiscard]] Fusions find_fusions(const Function& function, const FusionOptions& options);

}  // namespace d2c::mil_cpu
