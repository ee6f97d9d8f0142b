// The tokenizer and generation files that go with merged weights.
#pragma once

#include "host/planner/adapter_stack.hpp"
#include "host/planner/source.hpp"

#include <vector>

namespace d2c::host {

/// The model's. Where adapters grew the vocabulary, config.json says so, and the tokenizer is that of the last adapter's
/// folder that has one. `stack` may be null.
[[nodiscard]] std::vector<Asset> published_assets(const Source& model, const AdapterStack* stack);

}  // namespace d2c::host
