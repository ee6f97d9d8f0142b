// softmax(q * k^T * scale + mask) * v in one step, keys and values read from where they lie.
#include "libs/kernels/row_kernels.hpp"
#include "libs/kernels/thread_pool.hpp"
#include "libs/mil_cpu/ops.hpp"
#include "libs/mil_cpu/stored.hpp"

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

namespace d2c::mil_cpu {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Map = Eigen::Map<Matrix>;
using ConstMap = Eigen::Map<const Matrix>;

/// What a masked key adds to its score. A key this far below another one weighs exactly nothing in fp32, so such keys are
/// left out where a query sees any other.
constexpr float kHidden = -9e3F;

/// So many queries of a head, or of heads that share keys, make a product of matrices worth while.
constexpr std::int64_t kManyQueries = 16;

/// Keys or values: numbers in the arena, or halves in a state.
struct Cached {
  std::shared_ptr<const Place> place;
  std::optional<StateRegion> region;
  DType dtype = DType::f32;

  /// `count` rows of one head from row `first` on, widened into `scratch` where asked for and where they are sums.
  [[nodiscard]] kernels::HeadRows rows(const Frame& f, std::int64_t first, std::int64_t count, std::int64_t width,
                                       bool widened, float* scratch) const {
    if (!region) return {place->reals(f) + first * width, false, count, width};
    if (!widened && !region->rest) {
      const std::byte* state = f.states[region->state].data;
      return {state + bytes_of(dtype, region->offset + first * width), dtype == DType::f16, count, width};
    }
    read_region(f, *region, dtype, first * width, count * width, scratch);
    return {scratch, false, count, width};
  }
};

struct Attention {
  std::int64_t queries = 0, keys = 0, width = 0, value_width = 0;
  std::int64_t heads = 1;
  std::int64_t shared = 1;                 ///< heads in a row that one task does, because their keys are the same
  std::optional<BroadcastIndex> cache_of;  ///< of a head of the queries: which of keys and values
  std::shared_ptr<const Place> q, mask, scratch, out;
  std::int64_t mask_rows = 0, masks = 1;
  std::optional<BroadcastIndex> mask_of;  ///< of a head of the queries: which of the masks; absent: the one
  float scale = 1;
  Cached k, v;

  [[nodiscard]] std::int64_t scratch_numbers() const { return keys * (width + value_width + shared * queries); }

  /// First and one past the last key that any query sees; all of them where a query sees none.
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> visible(const Frame& f) const {
    if (mask == nullptr) return {0, keys};
    std::int64_t first = keys, last = 0;
    for (std::int64_t r = 0; r < masks * mask_rows; ++r) {
      const float* row = mask->reals(f) + r * keys;
      std::int64_t low = 0, high = keys;
      while (low < high && row[low] <= kHidden) ++low;
      while (high > low && row[high - 1] <= kHidden) --high;
      if (low == high) return {0, keys};
      first = std::min(first, low);
      last = std::max(last, high);
    }
    return {first, last};
  }

  void run(Frame& f) const {
    const auto [first, last] = visible(f);
    f.pool->run(heads / shared, [&, first = first, last = last](std::int64_t task, unsigned w) {
      attend(f, task * shared, first, last - first,
             reinterpret_cast<float*>(f.arena + scratch->offset) + w * scratch_numbers());
    });
  }

  /// Heads [head, head + shared) to `count` keys from `first` on.
  void attend(Frame& f, std::int64_t head, std::int64_t first, std::int64_t count, float* memory) const {
    const std::int64_t at = (*cache_of)(head)*keys + first, rows = shared * queries;
    const bool many = rows >= kManyQueries;
    const kernels::HeadRows key = k.rows(f, at, count, width, many, memory),
                            value = v.rows(f, at, count, value_width, many, memory + keys * width);
    const float* x = q->reals(f) + head * queries * width;
    float* scores = memory + keys * (width + value_width);
    float* y = out->reals_out(f) + head * queries * value_width;
    if (many)
      Map(scores, rows, count).noalias() =
          ConstMap(x, rows, width) * ConstMap(static_cast<const float*>(key.data), count, width).transpose();
    else kernels::score_keys(x, rows, key, scores);
    for (std::int64_t i = 0; i < rows; ++i)
      kernels::softmax(scores + i * count, scale, bias(f, head, i % queries, first), count, scores + i * count);
    if (many)
      Map(y, rows, value_width).noalias() =
          ConstMap(scores, rows, count) * ConstMap(static_cast<const float*>(value.data), count, value_width);
    else kernels::mix_values(scores, rows, value, y);
  }

  [[nodiscard]] const float* bias(const Frame& f, std::int64_t head, std::int64_t query, std::int64_t first) const {
    if (mask == nullptr) return nullptr;
    const std::int64_t row = (mask_of ? (*mask_of)(head)*mask_rows : 0) + (mask_rows == 1 ? 0 : query);
    return mask->reals(f) + row * keys + first;
  }
};

/// Heads in a row that have the same keys: those along the last axes that the keys do not have.
std::int64_t sharing_heads(const Shape& queries, const Shape& keys) {
  std::int64_t count = 1;
  for (std::size_t a = queries.size(); a-- > 0 && (keys[a] == 1 || queries[a] == 1);) count *= queries[a];
  return count;
}

Cached cached(Op& op, ValueId id) {
  const Tensor& t = op.compiler().tensor(id);
  if (t.region) return {nullptr, t.region, op.compiler().state_dtype(*t.region)};
  return {op.compiler().numbers(id), std::nullopt, DType::f32};
}

void add(Op& op, Attention a, ValueId q, ValueId k, ValueId v) {
  const Shape &qs = op.compiler().tensor(q).type.shape, &ks = op.compiler().tensor(k).type.shape,
              &vs = op.compiler().tensor(v).type.shape;
  const std::size_t rank = qs.size();
  a.queries = qs[rank - 2], a.width = qs[rank - 1], a.keys = ks[rank - 2], a.value_width = vs[rank - 1];
  const Shape batch(qs.begin(), qs.end() - 2);
  a.heads = count_of(batch);
  const Shape cached_batch(ks.begin(), ks.end() - 2);
  a.cache_of.emplace(cached_batch, batch);
  if (a.queries < kManyQueries) a.shared = sharing_heads(batch, cached_batch);
  a.q = op.compiler().numbers(q);
  a.k = cached(op, k);
  a.v = cached(op, v);
  a.scratch = op.compiler().scratch(op.compiler().options().threads * static_cast<std::size_t>(a.scratch_numbers()) *
                                    sizeof(float));
  Shape shape = qs;
  shape.back() = a.value_width;
  const ValueId id = op.result({op.compiler().tensor(q).type.dtype, shape});
  a.out = op.compiler().make(id);
  op.compiler().add([a = std::move(a)](Frame& f) { a.run(f); });
  op.compiler().round_result(id);
}

}  // namespace

void add_attention(Op& op, const AttentionPattern& p) {
  Attention a;
  if (p.mask) {
    const TensorType& mask = op.compiler().tensor(*p.mask).type;
    a.mask = op.compiler().numbers(*p.mask);
    a.mask_rows = mask.shape[mask.shape.size() - 2];
  }
  if (p.scale) a.scale = reals(*op.compiler().tensor(*p.scale).stored)[0];
  add(op, std::move(a), p.queries, p.keys, p.values);
}

void add_scaled_dot_product_attention(Op& op) {
  op.only({"query", "key", "value", "attn_mask"});
  op.need_results(1);
  const TensorType &q = op.type("query"), &k = op.type("key"), &v = op.type("value");
  const std::size_t rank = q.shape.size();
  bool fits = is_real(q.dtype) && q.dtype == k.dtype && q.dtype == v.dtype && rank >= 3 && k.shape.size() == rank &&
              v.shape.size() == rank && q.shape[rank - 1] == k.shape[rank - 1] &&
              k.shape[rank - 2] == v.shape[rank - 2];
  for (std::size_t a = 0; fits && a + 2 < rank; ++a) fits = q.shape[a] == k.shape[a] && q.shape[a] == v.shape[a];
  if (!fits) op.fail("does not attend with " + q.text() + " to " + k.text() + " and " + v.text());
  Attention a;
  a.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(q.shape[rank - 1])));
  if (op.has("attn_mask")) {
    const TensorType& mask = op.type("attn_mask");
    const std::size_t m = mask.shape.size();
    a.mask_rows = m >= 2 ? mask.shape[m - 2] : 1;
    const Shape heads(q.shape.begin(), q.shape.end() - 2);
    const Shape masks(mask.shape.begin(), mask.shape.end() - std::min<std::ptrdiff_t>(2, std::ssize(mask.shape)));
    bool fits_mask = is_real(mask.dtype) && m >= 1 && m <= rank && mask.shape[m - 1] == k.shape[rank - 2] &&
                     (a.mask_rows == 1 || a.mask_rows == q.shape[rank - 2]);
    for (std::size_t i = 0; fits_mask && i < masks.size(); ++i)
      fits_mask = masks[i] == 1 || masks[i] == heads[heads.size() - masks.size() + i];
    if (!fits_mask) op.fail("a mask " + mask.text() + " is not supported");
    a.masks = count_of(masks);
    if (a.masks > 1) a.mask_of.emplace(masks, heads);
    a.mask = op.numbers("attn_mask");
  }
  add(op, std::move(a), op.id("query"), op.id("key"), op.id("value"));
}

}  // namespace d2c::mil_cpu
