// What the report says of the encoder's weights and of the variants.
#pragma once

#include "host/convert/assembly.hpp"

#include <d2c/value.hpp>

namespace d2c::host {

/// For each way to give the encoder its weights: "weights", "chosen", "bytes" that it adds to the package, "reference"
/// that its embeddings are to be compared with; or "objection" where it cannot be had. Empty without an encoder.
[[nodiscard]] Value describe_encoder_policies(const Recipe& recipe, const Assembly& assembly);

/// "name", "weights", "reference" of each.
[[nodiscard]] Value describe_variants(const Recipe& recipe, const Assembly& assembly);

}  // namespace d2c::host
