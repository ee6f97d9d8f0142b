#include "host/executor/merge_proof.hpp"

#include <d2c/error.hpp>

#include <cmath>

namespace d2c::host {

double MergeProof::share() const { return intended > 0 ? overlap / intended : 1; }

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

Value MergeProof::to_value() const { return Value::List{base, intended, surviving, overlap}; }

MergeProof MergeProof::from_value(const Value& value) {
  const Value::List& list = value.items();
  if (list.size() != 4) fail_input("a journal entry has " + std::to_string(list.size()) + " sums of a merge");
  return {list[0].as_real(), list[1].as_real(), list[2].as_real(), list[3].as_real()};
}

MergeProof prove_merge(const float* base, const float* merged, const float* stored, std::size_t count) {
  MergeProof sum;
  for (std::size_t i = 0; i < count; ++i) {
    const double b = base[i], intended = merged[i] - b, surviving = stored[i] - b;
    sum.base += b * b;
    sum.intended += intended * intended;
    sum.surviving += surviving * surviving;
    sum.overlap += intended * surviving;
  }
  return sum;
}

}  // namespace d2c::host
