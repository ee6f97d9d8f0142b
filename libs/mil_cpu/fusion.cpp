#include "libs/mil_cpu/fusion.hpp"

#include "libs/mil_cpu/stored.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace d2c::mil_cpu {
namespace {

constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();
constexpr std::int64_t kMaxKnown = 64;

class Finder {
 public:
  explicit Finder(const Function& function)
      : f_(function), users_(f_.values.size()), producer_(f_.values.size(), kNever) {
    for (std::size_t i = 0; i < f_.operations.size(); ++i) {
      for (const auto& [name, ids] : f_.operations[i].arguments)
        for (const ValueId id : ids) users_[id].push_back(i);
      for (const ValueId id : f_.operations[i].results) producer_[id] = i;
    }
    for (const ValueId id : f_.outputs) users_[id].push_back(f_.operations.size());
  }

  Fusions find(const FusionOptions& options) {
    find_known();
    if (options.attention)
      for (std::size_t i = 0; i < f_.operations.size(); ++i)
        if (f_.operations[i].type == "softmax") find_attention(i);
    if (!options.states) return std::move(fusions_);
    find_last_uses();
    for (std::size_t i = 0; i < f_.operations.size(); ++i)
      if (f_.operations[i].type == "read_state") find_update(i);
    for (std::size_t i = 0; i < f_.operations.size(); ++i)
      if (f_.operations[i].type == "read_state" && !fusions_.skipped.contains(i) && is_stable(i))
        fusions_.viewed.insert(i);
    return std::move(fusions_);
  }

 private:
  [[nodiscard]] const Operation& op(std::size_t i) const { return f_.operations[i]; }

  [[nodiscard]] std::optional<ValueId> argument(const Operation& o, const char* name) const {
    const auto at = o.arguments.find(name);
    return at == o.arguments.end() || at->second.size() != 1 ? std::nullopt : std::optional(at->second[0]);
  }

  // ------------------------------------------------------------ known integers

  void find_known() {
    fusions_.known.resize(f_.values.size());
    for (ValueId id = 0; id < f_.values.size(); ++id) {
      const ProgramValue& v = f_.values[id];
      if (v.stored == nullptr || v.type.dtype != DType::i32 || v.type.shape.size() > 1 || v.type.count() > kMaxKnown)
        continue;
      const auto values = integers(*v.stored, v.name);
      fusions_.known[id].assign(values.begin(), values.end());
    }
    for (const Operation& o : f_.operations)
      if (o.type == "concat" && o.results.size() == 1) find_known_concat(o);
  }

  void find_known_concat(const Operation& o) {
    const auto values = o.arguments.find("values");
    if (values == o.arguments.end() || f_.values[o.results[0]].type.shape.size() != 1) return;
    Known joined;
    for (const ValueId id : values->second) {
      const TensorType& type = f_.values[id].type;
      if (type.dtype != DType::i32 || type.shape.size() != 1 || type.count() > kMaxKnown) return;
      Known part = fusions_.known[id];
      part.resize(static_cast<std::size_t>(type.count()));
      joined.insert(joined.end(), part.begin(), part.end());
    }
    if (static_cast<std::int64_t>(joined.size()) == f_.values[o.results[0]].type.count())
      fusions_.known[o.results[0]] = std::move(joined);
  }

  // ------------------------------------------------------------ attention

  /// The op that makes a value, if it is of that type and nothing else uses the value.
  [[nodiscard]] const Operation* made_by(ValueId id, const char* type) const {
    if (producer_[id] == kNever || users_[id].size() != 1 || op(producer_[id]).type != type) return nullptr;
    return &op(producer_[id]);
  }

  /// Looks through a cast that only this use reads.
  [[nodiscard]] ValueId before_cast(ValueId id, std::vector<std::size_t>& passed) const {
    const Operation* cast = made_by(id, "cast");
    if (cast == nullptr || !argument(*cast, "x")) return id;
    passed.push_back(producer_[id]);
    return *argument(*cast, "x");
  }

  [[nodiscard]] bool flag(const Operation& o, const char* name) const {
    const auto id = argument(o, name);
    if (!id) return false;
    const auto& stored = f_.values[*id].stored;
    return stored != nullptr && stored->type.dtype == DType::boolean && integers(*stored, name).at(0) != 0;
  }

  [[nodiscard]] bool is_scalar_constant(ValueId id) const {
    return f_.values[id].stored != nullptr && f_.values[id].type.count() == 1;
  }

  void find_attention(std::size_t softmax) {
    std::vector<std::size_t> passed{softmax};
    AttentionPattern p;
    const auto x = argument(op(softmax), "x");
    const auto axis = argument(op(softmax), "axis");
    if (!x || op(softmax).results.size() != 1) return;
    const auto rank = static_cast<std::int64_t>(f_.values[*x].type.shape.size());
    if (axis && (fusions_.known[*axis].size() != 1 ||
                 (*fusions_.known[*axis][0] != -1 && *fusions_.known[*axis][0] != rank - 1)))
      return;
    ValueId scores = *x;
    if (const Operation* add = made_by(scores, "add"); add != nullptr && argument(*add, "x") && argument(*add, "y")) {
      passed.push_back(producer_[scores]);
      scores = *argument(*add, "x");
      p.mask = argument(*add, "y");
    }
    scores = before_cast(scores, passed);
    if (const Operation* mul = made_by(scores, "mul"); mul != nullptr && argument(*mul, "x") && argument(*mul, "y")) {
      if (!is_scalar_constant(*argument(*mul, "y"))) return;
      passed.push_back(producer_[scores]);
      scores = *argument(*mul, "x");
      p.scale = argument(*mul, "y");
    }
    const Operation* product = made_by(scores, "matmul");
    if (product == nullptr || flag(*product, "transpose_x") || !flag(*product, "transpose_y")) return;
    passed.push_back(producer_[scores]);
    find_mixing(op(softmax).results[0], std::move(p), *product, std::move(passed));
  }

  /// From the softmax on: [cast], matmul with the values.
  void find_mixing(ValueId weights, AttentionPattern p, const Operation& product, std::vector<std::size_t> passed) {
    const auto only_user = [&](ValueId id) {
      return users_[id].size() == 1 && users_[id][0] < f_.operations.size() ? users_[id][0] : kNever;
    };
    std::size_t user = only_user(weights);
    if (user != kNever && op(user).type == "cast" && op(user).results.size() == 1) {
      passed.push_back(user);
      weights = op(user).results[0];
      user = only_user(weights);
    }
    if (user == kNever || op(user).type != "matmul" || argument(op(user), "x") != weights ||
        flag(op(user), "transpose_x") || flag(op(user), "transpose_y") || !argument(op(user), "y"))
      return;
    p.queries = *argument(product, "x");
    p.keys = *argument(product, "y");
    p.values = *argument(op(user), "y");
    if (!shapes_fit(p) || !std::ranges::all_of(passed, [&](std::size_t i) { return makes_scores(i, p); })) return;
    fusions_.skipped.insert(passed.begin(), passed.end());
    fusions_.attention.emplace(user, p);
  }

  /// Does the op declare its result as the pattern's scores, [b..., Q, N]?
  [[nodiscard]] bool makes_scores(std::size_t i, const AttentionPattern& p) const {
    Shape scores = f_.values[p.queries].type.shape;
    const Shape& keys = f_.values[p.keys].type.shape;
    scores.back() = keys[keys.size() - 2];
    return op(i).results.size() == 1 && f_.values[op(i).results[0]].type.shape == scores &&
           is_real(f_.values[op(i).results[0]].type.dtype);
  }

  /// Queries [b..., Q, D], keys and values [b' ..., N, D] with b' broadcast to b, mask [1..., Q or 1, N].
  [[nodiscard]] bool shapes_fit(const AttentionPattern& p) const {
    const Shape &q = f_.values[p.queries].type.shape, &k = f_.values[p.keys].type.shape,
                &v = f_.values[p.values].type.shape;
    const std::size_t rank = q.size();
    if (rank < 3 || k.size() != rank || v.size() != rank || q[rank - 1] != k[rank - 1] || k[rank - 2] != v[rank - 2])
      return false;
    for (std::size_t a = 0; a + 2 < rank; ++a)
      if (k[a] != v[a] || (k[a] != q[a] && k[a] != 1)) return false;
    if (!p.mask) return true;
    const Shape& m = f_.values[*p.mask].type.shape;
    if (m.size() < 2 || m.size() > rank || m.back() != k[rank - 2]) return false;
    const std::int64_t rows = m[m.size() - 2];
    return (rows == 1 || rows == q[rank - 2]) && m.back() * rows == f_.values[*p.mask].type.count();
  }

  // ------------------------------------------------------------ states

  /// read_state -> slice_update -> write_state of the same state, nothing else reading in between.
  void find_update(std::size_t read) {
    const auto state = argument(op(read), "input");
    if (!state || op(read).results.size() != 1 || users_[op(read).results[0]].size() != 1) return;
    const std::size_t update = users_[op(read).results[0]][0];
    if (update >= f_.operations.size() || op(update).type != "slice_update" ||
        argument(op(update), "x") != op(read).results[0] || op(update).results.size() != 1)
      return;
    const auto& users = users_[op(update).results[0]];
    if (users.size() != 1 || users[0] >= f_.operations.size()) return;
    const std::size_t write = users[0];
    if (op(write).type != "write_state" || argument(op(write), "input") != *state ||
        argument(op(write), "data") != op(update).results[0])
      return;
    for (const std::size_t user : users_[*state])
      if (user > read && user < write) return;
    // What the types say is checked op by op where ops run by themselves; here nobody else would.
    const TensorType& type = f_.values[*state].type;
    if (f_.values[op(read).results[0]].type != type || f_.values[op(update).results[0]].type != type) return;
    fusions_.skipped.insert({read, write});
    fusions_.in_place.emplace(update, *state);
  }

  struct Span {
    std::int64_t first = 0, last = std::numeric_limits<std::int64_t>::max();  ///< of axis 0
  };

  /// May what this read_state gave stay in the state until its last use, or does a write change it before?
  [[nodiscard]] bool is_stable(std::size_t read) const {
    const auto state = argument(op(read), "input");
    if (!state || op(read).results.size() != 1) return false;
    const ValueId result = op(read).results[0];
    for (std::size_t i = read + 1; i < f_.operations.size(); ++i) {
      const bool writes =
          op(i).type == "write_state" && argument(op(i), "input") == *state && !fusions_.skipped.contains(i);
      const bool updates = fusions_.in_place.contains(i) && fusions_.in_place.at(i) == *state;
      if ((writes && !is_done_before(result, i, {})) || (updates && !is_done_before(result, i, rows_written(i))))
        return false;
    }
    return true;
  }

  [[nodiscard]] Span rows_written(std::size_t update) const {
    const auto begin = argument(op(update), "begin"), what = argument(op(update), "update");
    if (!begin || !what || fusions_.known[*begin].empty() || !fusions_.known[*begin][0] ||
        argument(op(update), "begin_mask"))
      return {};
    const std::int64_t first = *fusions_.known[*begin][0];
    return {first, first + f_.values[*what].type.shape.at(0)};
  }

  /// Is everything that reads `id` from the state over before op `at`, or elsewhere in it than the rows written?
  [[nodiscard]] bool is_done_before(ValueId id, std::size_t at, const Span& written) const {
    for (const std::size_t user : users_[id]) {
      if (user >= f_.operations.size()) return false;
      const Operation& o = op(user);
      if (o.type == "slice_by_size" && argument(o, "x") == id) {
        const auto begin = argument(o, "begin");
        if (!begin || fusions_.known[*begin].empty() || !fusions_.known[*begin][0]) return false;
        const std::int64_t first = *fusions_.known[*begin][0],
                           last = first + f_.values[o.results.at(0)].type.shape.at(0);
        if ((last <= written.first || written.last <= first) &&
            written.last != std::numeric_limits<std::int64_t>::max())
          continue;
      }
      if (last_use_[user] >= at) return false;
    }
    return true;
  }

  /// When each op has read what it reads: views read when their own users do. Ops stand in order, so backwards is enough.
  void find_last_uses() {
    static constexpr const char* kViews[] = {"slice_by_size", "reshape",  "expand_dims", "squeeze",
                                             "cast",          "identity", "add"};
    std::map<ValueId, std::size_t> attended;
    for (const auto& [at, pattern] : fusions_.attention) attended[pattern.keys] = at;
    last_use_.resize(f_.operations.size());
    for (std::size_t i = f_.operations.size(); i-- > 0;) {
      last_use_[i] = i;
      if (const auto y = argument(op(i), "y"); y && fusions_.skipped.contains(i) && attended.contains(*y))
        last_use_[i] = attended[*y];
      if (std::ranges::find(kViews, op(i).type) == std::end(kViews)) continue;
      for (const ValueId result : op(i).results)
        for (const std::size_t next : users_[result])
          last_use_[i] = std::max(last_use_[i], next < f_.operations.size() ? last_use_[next] : next);
    }
  }

  const Function& f_;
  std::vector<std::vector<std::size_t>> users_;
  std::vector<std::size_t> producer_;
  std::vector<std::size_t> last_use_;
  Fusions fusions_;
};

}  // namespace

Fusions find_fusions(const Function& function, const FusionOptions& options) { return Finder(function).find(options); }

}  // namespace d2c::mil_cpu
