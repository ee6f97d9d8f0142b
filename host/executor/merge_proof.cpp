#include "host/executor/merge_proof.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/executor/merge_proof.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#ifndef D2C_MERGE_PROOF_BLOCK
#define D2C_MERGE_PROOF_BLOCK
namespace d2c::host {

/// Every element is added to the lane that its place says, whatever the machine's vectors: all give the same sums.
constexpr std::size_t kLanes = 8;
/// So many elements are summed in fp32 before they go on in double.
constexpr std::size_t kBlock = 16 * kLanes;

struct ProofInputs {
  const float *base, *merged, *rounded, *stored;
};

/// The five sums of a block, by lane.
struct BlockSums {
  float base[kLanes], intended[kLanes], rounded[kLanes], surviving[kLanes], overlap[kLanes];
};

}  // namespace d2c::host
#endif

HWY_BEFORE_NAMESPACE();
namespace d2c::host::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// Not fused: targets without FMA must give the same bits.
void sum_block(const ProofInputs& in, BlockSums& out) {
  const hn::CappedTag<float, kLanes> d;
  for (std::size_t lane = 0; lane < kLanes; lane += hn::Lanes(d)) {
    auto bb = hn::Zero(d), dd = bb, dr = bb, ss = bb, ds = bb;
    for (std::size_t i = lane; i < kBlock; i += kLanes) {
      const auto base = hn::LoadU(d, in.base + i);
      const auto change = hn::Sub(hn::LoadU(d, in.merged + i), base);
      const auto survivor = hn::Sub(hn::LoadU(d, in.stored + i), base);
      bb = hn::Add(bb, hn::Mul(base, base));
      dd = hn::Add(dd, hn::Mul(change, change));
      dr = hn::Add(dr, hn::Mul(change, hn::Sub(hn::LoadU(d, in.rounded + i), base)));
      ss = hn::Add(ss, hn::Mul(survivor, survivor));
      ds = hn::Add(ds, hn::Mul(change, survivor));
    }
    hn::StoreU(bb, d, out.base + lane);
    hn::StoreU(dd, d, out.intended + lane);
    hn::StoreU(dr, d, out.rounded + lane);
    hn::StoreU(ss, d, out.surviving + lane);
    hn::StoreU(ds, d, out.overlap + lane);
  }
}

}  // namespace
}  // namespace d2c::host::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace d2c::host {
namespace {

HWY_EXPORT(sum_block);

MergeProof total(const BlockSums& sums) {
  MergeProof proof;
  for (std::size_t lane = 0; lane < kLanes; ++lane)
    proof += {sums.base[lane], sums.intended[lane], sums.rounded[lane], sums.surviving[lane], sums.overlap[lane]};
  return proof;
}

/// In double: for what is left over, and for squares beyond fp32.
MergeProof sum_slowly(const ProofInputs& in, std::size_t count) {
  MergeProof sum;
  for (std::size_t i = 0; i < count; ++i) {
    const double b = in.base[i], change = in.merged[i] - b, survivor = in.stored[i] - b;
    sum += {b * b, change * change, change * (in.rounded[i] - b), survivor * survivor, change * survivor};
  }
  return sum;
}

}  // namespace

bool MergeProof::finite() const { return std::isfinite(base + intended + rounded + surviving + overlap); }

double MergeProof::share() const { return intended > 0 ? overlap / intended : 1; }

double MergeProof::share_rounded() const { return intended > 0 ? rounded / intended : 1; }

double MergeProof::cosine() const {
  if (intended == 0) return 1;
  return surviving > 0 ? overlap / std::sqrt(intended * surviving) : 0;
}

Value MergeProof::report() const {
  Value v = Value::table();
  v.set("delta_norm", std::sqrt(intended));
  v.set("relative_norm", base > 0 ? std::sqrt(intended / base) : 0.0);
  v.set("share", share());
  v.set("cosine", cosine());
  return v;
}

Value MergeProof::to_value() const { return Value::List{base, intended, rounded, surviving, overlap}; }

MergeProof MergeProof::from_value(const Value& value) {
  const Value::List& list = value.items();
  if (list.size() != 5) fail_input("a journal entry has " + std::to_string(list.size()) + " sums of a merge");
  return {list[0].as_real(), list[1].as_real(), list[2].as_real(), list[3].as_real(), list[4].as_real()};
}

MergeProof prove_merge(const float* base, const float* merged, const float* rounded, const float* stored,
                       std::size_t count) {
  const auto sum_block = HWY_DYNAMIC_DISPATCH(sum_block);
  MergeProof proof;
  BlockSums sums;
  for (std::size_t i = 0; i < count; i += kBlock) {
    const ProofInputs inputs{base + i, merged + i, rounded + i, stored + i};
    MergeProof block;
    if (i + kBlock <= count) {
      sum_block(inputs, sums);
      block = total(sums);
    }
    if (i + kBlock > count || !block.finite()) block = sum_slowly(inputs, std::min(kBlock, count - i));
    proof += block;
  }
  return proof;
}

}  // namespace d2c::host
#endif
