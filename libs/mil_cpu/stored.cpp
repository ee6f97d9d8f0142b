#include "libs/mil_cpu/stored.hpp"

#include "libs/numeric/convert.hpp"

#include <d2c/half.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <numeric>

namespace d2c::mil_cpu {
namespace {

bool is_float(DType t) { return t == DType::f16 || t == DType::f32 || t == DType::bf16; }
bool is_signed(DType t) { return t == DType::i4 || t == DType::i8 || t == DType::i16 || t == DType::i32; }

/// Element `i` of a stream of integers of 1 to 32 bits, least significant bit first.
std::int64_t integer_at(std::span<const std::byte> data, DType dtype, std::int64_t i) {
  const auto bits = static_cast<std::uint64_t>(bits_of(dtype));
  const std::uint64_t first = static_cast<std::uint64_t>(i) * bits;
  std::uint64_t word = 0;
  const std::size_t bytes = static_cast<std::size_t>(((first % 8) + bits + 7) / 8);
  std::memcpy(&word, data.data() + first / 8, bytes);
  word = (word >> (first % 8)) & ((std::uint64_t{1} << bits) - 1);
  if (is_signed(dtype) && (word >> (bits - 1)) != 0) return static_cast<std::int64_t>(word) - (std::int64_t{1} << bits);
  return static_cast<std::int64_t>(word);
}

/// Widens elements [first, first + count) of dense data.
void widen(const Stored& s, std::int64_t first, std::int64_t count, float* out) {
  const DType dtype = s.data_type.dtype;
  if (is_float(dtype)) {
    const auto* from = s.data.data() + bytes_of(dtype, first);
    return numeric::to_float(dtype, from, static_cast<std::size_t>(count), out);
  }
  for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(integer_at(s.data, dtype, first + i));
}

/// Walks the elements of a tensor along its rows and knows which group each lies in.
class GroupWalk {
 public:
  GroupWalk(const Shape& shape, const Shape& groups, std::int64_t first_row) : shape_(shape), groups_(groups) {
    index_.resize(shape.size());
    if (!index_.empty()) index_[0] = first_row;
  }

  [[nodiscard]] std::int64_t group() const {
    std::int64_t g = 0;
    for (std::size_t a = 0; a < shape_.size(); ++a) g = g * groups_[a] + index_[a] / (shape_[a] / groups_[a]);
    return g;
  }
  /// Elements from here on that lie in the same group, along the last axis.
  [[nodiscard]] std::int64_t run() const {
    if (shape_.empty()) return 1;
    const std::int64_t size = shape_.back() / groups_.back();
    return size - index_.back() % size;
  }
  void advance(std::int64_t count) {
    if (index_.empty()) return;
    index_.back() += count;
    for (std::size_t a = index_.size() - 1; a > 0 && index_[a] == shape_[a]; --a) {
      index_[a] = 0;
      ++index_[a - 1];
    }
  }

 private:
  const Shape& shape_;
  const Shape& groups_;
  Shape index_;
};

/// Elements [first, first + count) of a palette's indices through `table`. Eight indices fill whole bytes.
template <int kBits>
void look_up(std::span<const std::byte> data, const float* table, std::int64_t first, std::int64_t count, float* out) {
  constexpr std::uint64_t kMask = (std::uint64_t{1} << kBits) - 1;
  const DType dtype = index_dtype(kBits);
  std::int64_t i = 0;
  for (; i < count && (first + i) % 8 != 0; ++i) out[i] = table[integer_at(data, dtype, first + i)];
  // A whole word is read for the bytes that eight indices fill, so the last ones of the tensor are left to the loop below.
  const auto at = [&] { return static_cast<std::size_t>((first + i) / 8 * kBits); };
  for (; i + 8 <= count && at() + sizeof(std::uint64_t) <= data.size(); i += 8) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, data.data() + at(), sizeof eight);
    for (int k = 0; k < 8; ++k) out[i + k] = table[(eight >> (k * kBits)) & kMask];
  }
  for (; i < count; ++i) out[i] = table[integer_at(data, dtype, first + i)];
}

void look_up(const Stored& s, const float* table, std::int64_t first, std::int64_t count, float* out) {
  switch (bits_of(s.data_type.dtype)) {
    case 1: return look_up<1>(s.data, table, first, count, out);
    case 2: return look_up<2>(s.data, table, first, count, out);
    case 3: return look_up<3>(s.data, table, first, count, out);
    case 4: return look_up<4>(s.data, table, first, count, out);
    case 6: return look_up<6>(s.data, table, first, count, out);
    default: return look_up<8>(s.data, table, first, count, out);
  }
}

void expand_palette(const Stored& s, std::int64_t first_row, std::int64_t rows, float* out) {
  const std::int64_t columns = columns_of(s.data_type.shape);
  const auto entries = std::int64_t{1} << bits_of(s.data_type.dtype);
  GroupWalk walk(s.data_type.shape, s.groups, first_row);
  std::int64_t at = first_row * columns;
  for (std::int64_t left = rows * columns; left > 0;) {
    const std::int64_t run = std::min(walk.run(), left);
    look_up(s, s.table.data() + walk.group() * entries, at, run, out);
    out += run, at += run, left -= run;
    walk.advance(run);
  }
}

void expand_blockwise(const Stored& s, std::int64_t first_row, std::int64_t rows, float* out) {
  const std::int64_t columns = columns_of(s.data_type.shape);
  GroupWalk walk(s.data_type.shape, s.groups, first_row);
  widen(s, first_row * columns, rows * columns, out);
  for (std::int64_t left = rows * columns; left > 0;) {
    const std::int64_t run = std::min(walk.run(), left);
    const auto g = static_cast<std::size_t>(walk.group());
    const float scale = s.table[g], offset = s.offsets.empty() ? 0 : s.offsets[g];
    for (std::int64_t i = 0; i < run; ++i) out[i] = scale * (out[i] - offset);
    if (s.type.dtype == DType::f16)
      for (std::int64_t i = 0; i < run; ++i) out[i] = half_to_float(float_to_half(out[i]));
    out += run, left -= run;
    walk.advance(run);
  }
}

/// Palettes of vectors: entry [g, index] gives `vector` elements along one axis. Made dense when loaded.
std::shared_ptr<Stored> expand_vector_palette(const Stored& s) {
  const Shape& shape = s.data_type.shape;
  const auto axis = static_cast<std::size_t>(s.vector_axis);
  const std::int64_t entries = std::int64_t{1} << bits_of(s.data_type.dtype);
  const std::int64_t inner = count_of(std::span(shape).subspan(axis + 1));
  std::vector<std::uint16_t> halves(static_cast<std::size_t>(s.type.count()));
  GroupWalk walk(shape, s.groups, 0);
  for (std::int64_t i = 0, n = s.data_type.count(); i < n; ++i, walk.advance(1)) {
    const std::int64_t entry = integer_at(s.data, s.data_type.dtype, i);
    const float* from = s.table.data() + (walk.group() * entries + entry) * s.vector;
    const std::int64_t to = i / inner * inner * s.vector + i % inner;
    for (std::int64_t v = 0; v < s.vector; ++v) halves[to + v * inner] = float_to_half(from[v]);
  }
  auto dense = std::make_shared<Stored>();
  dense->type = dense->data_type = {DType::f16, s.type.shape};
  const auto bytes = std::as_bytes(std::span(halves));
  dense->owned.assign(bytes.begin(), bytes.end());
  dense->data = dense->owned;
  return dense;
}

const Stored& need(const ConstexprArguments& arguments, const std::string& name, const std::string& where) {
  const auto at = arguments.find(name);
  if (at == arguments.end()) fail_input(where + ": '" + name + "' is missing");
  return *at->second;
}

void take_data(Stored& to, const Stored& from, const std::string& where) {
  if (from.form != Stored::Form::dense || from.data_type != from.type) fail_input(where + ": its data are not plain");
  to.data_type = from.type;
  to.owned = from.owned;
  to.data = to.owned.empty() ? from.data : to.owned;
}

/// Group counts of `data` from the first dimensions of `tables`.
Shape groups_of(const TensorType& data, const TensorType& tables, std::size_t rank, const std::string& where) {
  Shape groups(tables.shape.begin(), tables.shape.begin() + static_cast<std::ptrdiff_t>(rank));
  for (std::size_t a = 0; a < rank; ++a)
    if (groups[a] <= 0 || data.shape[a] % groups[a] != 0)
      fail_input(where + ": " + data.text() + " does not divide into the groups of " + tables.text());
  return groups;
}

/// The form of iOS 16 and 17: one palette for the tensor, its indices a string of bytes, its shape a parameter.
std::shared_ptr<const Stored> flat_palette(const ConstexprArguments& arguments, const std::string& where) {
  const Stored &indices = need(arguments, "indices", where), &lut = need(arguments, "lut", where);
  auto s = std::make_shared<Stored>();
  s->form = Stored::Form::palette;
  take_data(*s, indices, where);
  const std::int64_t entries = lut.type.count();
  int bits = 1;
  while (bits < 8 && std::int64_t{1} << bits < entries) ++bits;
  Shape shape;
  for (const std::int32_t n : integers(need(arguments, "shape", where), where)) shape.push_back(n);
  if (!is_float(lut.type.dtype) || lut.type.shape.size() != 1 || entries != std::int64_t{1} << bits ||
      index_dtype(bits) == DType::none || shape.empty() || shape.size() > D2C_MAX_RANK || !checked_count(shape) ||
      *checked_count(shape) < 1 || *checked_count(shape) > kMaxElements)
    fail_input(where + ": palette " + lut.type.text() + " does not serve a tensor of shape " + to_string(shape));
  s->data_type = {index_dtype(bits), shape};
  s->type = {lut.type.dtype, shape};
  if (indices.type.dtype != DType::u8 || indices.type.count() != s->data_type.bytes())
    fail_input(where + ": indices " + indices.type.text() + " are not those of " + s->data_type.text());
  s->groups.assign(shape.size(), 1);
  s->table = reals(lut);
  return s;
}

std::shared_ptr<const Stored> palette(const ConstexprArguments& arguments, const std::string& where) {
  if (arguments.contains("shape")) return flat_palette(arguments, where);
  const Stored &indices = need(arguments, "indices", where), &lut = need(arguments, "lut", where);
  auto s = std::make_shared<Stored>();
  s->form = Stored::Form::palette;
  take_data(*s, indices, where);
  const std::size_t rank = indices.type.shape.size();
  const int bits = bits_of(indices.type.dtype);
  if (index_dtype(bits) != indices.type.dtype || lut.type.shape.size() != rank + 2 ||
      lut.type.shape[rank] != std::int64_t{1} << bits || lut.type.shape[rank + 1] < 1)
    fail_input(where + ": palette " + lut.type.text() + " does not serve indices " + indices.type.text());
  s->groups = groups_of(indices.type, lut.type, rank, where);
  s->table = reals(lut);
  s->vector = lut.type.shape[rank + 1];
  s->type = {lut.type.dtype, indices.type.shape};
  if (s->vector == 1) return s;
  const std::int64_t axis = integers(need(arguments, "vector_axis", where), where).at(0);
  if (axis < -static_cast<std::int64_t>(rank) || axis >= static_cast<std::int64_t>(rank))
    fail_input(where + ": vector_axis " + std::to_string(axis) + " is no axis of " + indices.type.text());
  s->vector_axis = axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis;
  s->type.shape[s->vector_axis] *= s->vector;
  if (!checked_count(s->type.shape) || s->type.count() > kMaxElements || s->type.dtype != DType::f16)
    fail_input(where + ": vector palettes make fp16 tensors of a sane size, not " + s->type.text());
  return expand_vector_palette(*s);
}

std::shared_ptr<const Stored> blockwise(const ConstexprArguments& arguments, const std::string& where) {
  const Stored &data = need(arguments, "data", where), &scale = need(arguments, "scale", where);
  auto s = std::make_shared<Stored>();
  s->form = Stored::Form::blockwise;
  take_data(*s, data, where);
  if (scale.type.shape.size() != data.type.shape.size() || !is_float(scale.type.dtype))
    fail_input(where + ": scale " + scale.type.text() + " does not serve data " + data.type.text());
  s->groups = groups_of(data.type, scale.type, data.type.shape.size(), where);
  s->table = reals(scale);
  s->type = {scale.type.dtype, data.type.shape};
  if (arguments.contains("offset")) {
    const Stored& offset = need(arguments, "offset", where);
    if (offset.type.shape != scale.type.shape) fail_input(where + ": offset and scale differ in shape");
    s->offsets = reals(offset);
  }
  return s;
}

/// One scale (and zero point) for the whole tensor or per index of an axis: blocks of another shape.
std::shared_ptr<const Stored> affine(const ConstexprArguments& arguments, const std::string& where) {
  const Stored &data = need(arguments, "quantized_data", where), &scale = need(arguments, "scale", where),
               &zero = need(arguments, "zero_point", where);
  auto s = std::make_shared<Stored>();
  s->form = Stored::Form::blockwise;
  take_data(*s, data, where);
  s->type = {scale.type.dtype, data.type.shape};
  s->groups.assign(data.type.shape.size(), 1);
  const std::int64_t count = std::max(scale.type.count(), zero.type.count());
  if (count > 1) {
    const auto rank = static_cast<std::int64_t>(data.type.shape.size());
    std::int64_t axis = integers(need(arguments, "axis", where), where).at(0);
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank || data.type.shape[axis] != count)
      fail_input(where + ": " + std::to_string(count) + " scales do not serve an axis of " + data.type.text());
    s->groups[axis] = count;
  }
  const auto spread = [&](const Stored& from) {
    std::vector<float> values = reals(from);
    if (static_cast<std::int64_t>(values.size()) != count && values.size() != 1)
      fail_input(where + ": scale and zero_point differ in length");
    values.resize(static_cast<std::size_t>(count), values[0]);
    return values;
  };
  s->table = spread(scale);
  s->offsets = spread(zero);
  return s;
}

std::shared_ptr<const Stored> cast(const ConstexprArguments& arguments, const std::string& where) {
  auto s = std::make_shared<Stored>();
  take_data(*s, need(arguments, "source_val", where), where);
  if (!is_float(s->data_type.dtype)) fail_input(where + ": casts floating-point numbers only");
  s->type = {DType::f32, s->data_type.shape};
  return s;
}

}  // namespace

std::shared_ptr<const Stored> expand_constexpr(const std::string& op, const ConstexprArguments& arguments,
                                               const std::string& where) {
  if (op == "constexpr_lut_to_dense") return palette(arguments, where);
  if (op == "constexpr_blockwise_shift_scale") return blockwise(arguments, where);
  if (op == "constexpr_affine_dequantize") return affine(arguments, where);
  if (op == "constexpr_cast") return cast(arguments, where);
  fail_input(where + ": this runner does not know the op " + op);
}

void expand_rows(const Stored& s, std::int64_t first, std::int64_t count, float* out) {
  switch (s.form) {
    case Stored::Form::palette: return expand_palette(s, first, count, out);
    case Stored::Form::blockwise: return expand_blockwise(s, first, count, out);
    case Stored::Form::dense: {
      const std::int64_t columns = columns_of(s.data_type.shape);
      return widen(s, first * columns, count * columns, out);
    }
  }
}

std::vector<float> reals(const Stored& s) {
  std::vector<float> out(static_cast<std::size_t>(s.type.count()));
  if (!out.empty()) expand_rows(s, 0, rows_of(s.data_type.shape), out.data());
  return out;
}

std::vector<std::int32_t> integers(const Stored& s, const std::string& where) {
  const DType dtype = s.data_type.dtype;
  if (s.form != Stored::Form::dense || is_float(dtype) || bits_of(dtype) == 0 || bits_of(dtype) > 32)
    fail_input(where + ": " + s.type.text() + " where integers belong");
  std::vector<std::int32_t> out;
  for (std::int64_t i = 0, n = s.type.count(); i < n; ++i) {
    const std::int64_t v = integer_at(s.data, dtype, i);
    if (v > std::numeric_limits<std::int32_t>::max()) fail_input(where + ": " + std::to_string(v) + " is too large");
    out.push_back(static_cast<std::int32_t>(v));
  }
  return out;
}

}  // namespace d2c::mil_cpu
