#include "host/graph/op_registry.hpp"

namespace d2c::host {

const OpSpec* find_op(std::string_view type) {
  for (const auto family :
       {elementwise_ops(), matrix_ops(), reduction_ops(), layout_ops(), indexing_ops(), state_ops()})
    for (const OpSpec& spec : family)
      if (spec.type == type) return &spec;
  return nullptr;
}

}  // namespace d2c::host
