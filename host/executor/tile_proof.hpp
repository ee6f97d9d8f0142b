// The merge proof of a tile: what its planes give back, compared with base and merge a few rows at a time.
#pragma once

#include "host/executor/merge_proof.hpp"
#include "host/executor/weight_stream.hpp"

#include <cstdint>
#include <span>

namespace d2c::host {

/// Is this a weight that adapters are merged into, stored in a way that can be read back?
[[nodiscard]] bool can_prove(const PlannedWeight& weight);

/// `planes` as the quantizer filled them; one that lies whole in the tile at row 0 is given with every tile. `content` and
/// `scratch` as the stream left them.
[[nodiscard]] MergeProof prove_tile(const WeightStream& stream, const PlannedWeight& weight, const Tiling& tiling,
                                    std::int64_t tile, const Scratch& scratch, std::span<const void* const> planes);

/// Memory that prove_tile() takes.
[[nodiscard]] std::uint64_t proof_bytes(const PlannedWeight& weight);

}  // namespace d2c::host
