#include "tests/unit/coreml_writer/sample_package.hpp"

#include <d2c/half.hpp>

#include <stdlib.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <numeric>

namespace d2c::coreml_writer {
namespace {

namespace fs = std::filesystem;

const TensorType kHidden{DType::f16, {1, 1, 64}};

template <class T>
Constant iota(DType dtype, std::int64_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), T{0});
  return Constant::of(dtype, {count}, std::span<const T>(values));
}

Constant halves(Shape shape) {
  std::vector<float> values(static_cast<std::size_t>(count_of(shape)));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.25f * static_cast<float>(i % 7);
  return Constant::reals(DType::f16, std::move(shape), values);
}

struct Weights {
  std::uint32_t embedding;
  std::vector<std::uint32_t> squares;  ///< [64, 64], one for every scheme
};

Weights add_weights(SampleProgram& p) {
  Weights w{p.weight("embed", {DType::f16, {32, 64}}, palette(DType::f16, {32, 64}, 4, 2)), {}};
  const Shape square{64, 64};
  const auto add = [&](const std::string& name, const Layout& layout) {
    w.squares.push_back(p.weight(name, {DType::f16, square}, layout));
  };
  add("dense", dense(DType::f16, square));
  for (const int bits : {1, 2, 3, 4, 6, 8}) add("palette" + std::to_string(bits), palette(DType::f16, square, bits, 4));
  add("palette_whole", palette(DType::f16, square, 4, 1));
  add("palette_vector", palette(DType::f16, square, 4, 1, 2));
  add("blocks_i4", blockwise(DType::f16, square, DType::i4, 32, false));
  add("blocks_u4", blockwise(DType::f16, square, DType::u4, 32, true));
  add("blocks_i8", blockwise(DType::f16, square, DType::i8, 64, false));
  add("blocks_u8", blockwise(DType::f16, square, DType::u8, 64, true));
  return w;
}

/// Adds the sum of a constant of another type, so that constants of that type are in the program. `one` is a runtime value:
/// ops on constants alone would be folded by the tools that read the program.
d2c_value_id add_cast(SampleProgram& p, SampleFunction& f, d2c_value_id x, d2c_value_id one, const std::string& name,
                      const Constant& c) {
  const std::int64_t n = c.type.count();
  const auto value = p.use(f, name, c);
  const auto dtype = p.use(f, name + "_dtype", Constant::text("fp16"));
  const auto cast = f.op("cast", name + "_cast", {{"x", {value}}, {"dtype", {dtype}}}, {DType::f16, c.type.shape});
  const auto runtime = f.op("mul", name + "_mul", {{"x", {cast}}, {"y", {one}}}, {DType::f16, {1, n}});
  const auto axes = p.use(f, name + "_axes", Constant::i32s({-1}));
  const auto keep = p.use(f, name + "_keep", Constant::boolean(true));
  const SampleFunction::Arguments arguments{{"x", {runtime}}, {"axes", {axes}}, {"keep_dims", {keep}}};
  const auto sum = f.op("reduce_sum", name + "_sum", arguments, {DType::f16, {1, 1}});
  return f.op("add", name + "_add", {{"x", {x}}, {"y", {sum}}}, kHidden);
}

void fill_step(SampleProgram& p, SampleFunction& f, const Weights& w) {
  const auto ids = f.input("input_ids", {DType::i32, {1, 1}});
  const TensorType cache_type{DType::f16, {1, 1, 64}};
  const auto cache = f.state("cache", cache_type);
  const auto table = p.use_weight(f, w.embedding);
  const auto axis = p.use(f, "axis", Constant::i32(0));
  const auto validate = p.use(f, "validate", Constant::boolean(false));
  auto x = f.op(
      "gather", "rows",
      {{"x", {table}}, {"indices", {ids}}, {"axis", {axis}}, {"batch_dims", {axis}}, {"validate_indices", {validate}}},
      kHidden);
  for (std::size_t i = 0; i < w.squares.size(); ++i)
    x = f.op("linear", "linear" + std::to_string(i), {{"x", {x}}, {"weight", {p.use_weight(f, w.squares[i])}}},
             kHidden);
  x = f.op("mul", "scaled", {{"x", {x}}, {"y", {p.use(f, "gamma", halves({64}))}}}, kHidden);
  const auto half = p.use(f, "half", Constant::text("fp16"));
  const auto one = f.op("cast", "one", {{"x", {ids}}, {"dtype", {half}}}, {DType::f16, {1, 1}});
  x = add_cast(p, f, x, one, "bytes", iota<std::uint8_t>(DType::u8, 12));
  x = add_cast(p, f, x, one, "few_bytes", iota<std::uint8_t>(DType::u8, 3));
  x = add_cast(p, f, x, one, "chars", iota<std::int8_t>(DType::i8, 12));
  x = add_cast(p, f, x, one, "few_chars", iota<std::int8_t>(DType::i8, 3));
  x = add_cast(p, f, x, one, "shorts", iota<std::int16_t>(DType::i16, 12));
  x = add_cast(p, f, x, one, "few_shorts", iota<std::int16_t>(DType::i16, 3));
  x = add_cast(p, f, x, one, "words", iota<std::uint16_t>(DType::u16, 12));
  x = add_cast(p, f, x, one, "few_words", iota<std::uint16_t>(DType::u16, 3));
  x = add_cast(p, f, x, one, "ints", iota<std::int32_t>(DType::i32, 12));
  x = add_cast(p, f, x, one, "few_ints", iota<std::int32_t>(DType::i32, 3));
  x = add_cast(p, f, x, one, "flags",
               Constant::bools({true, false, true, true, true, true, true, true, true, true, true, true}));
  const auto old = f.op("read_state", "old", {{"input", {cache}}}, cache_type);
  x = f.op("add", "hidden", {{"x", {x}}, {"y", {old}}}, kHidden);
  f.op_without_result("write_state", "store", {{"input", {cache}}, {"data", {x}}});
  f.output(f.op("identity", "logits", {{"x", {x}}}, kHidden));
}

void fill_encode(SampleProgram& p, SampleFunction& f) {
  auto x = f.input("x", {DType::f32, {2, 13}});
  const auto scale = f.input("scale", {DType::f32, {1}});
  const Shape odd{5, 13};
  const TensorType out{DType::f32, {2, 5}};
  x = f.op("mul", "scaled", {{"x", {x}}, {"y", {scale}}}, {DType::f32, {2, 13}});
  std::vector<d2c_value_id> rows;
  for (const int bits : {1, 2, 3, 4, 6, 8}) {
    const std::string name = "odd" + std::to_string(bits);
    const auto weight = p.weight(name, {DType::f32, odd}, palette(DType::f32, odd, bits, 1));
    const auto bias = p.use(f, name + "_bias", Constant::reals(DType::f32, {5}, std::vector<float>{1, 2, 3, 4, 5}));
    rows.push_back(
        f.op("linear", name + "_linear", {{"x", {x}}, {"weight", {p.use_weight(f, weight)}}, {"bias", {bias}}}, out));
  }
  const auto axis = p.use(f, "axis", Constant::i32(0));
  const auto interleave = p.use(f, "interleave", Constant::boolean(false));
  f.output(f.op("concat", "embedding", {{"values", rows}, {"axis", {axis}}, {"interleave", {interleave}}},
                {DType::f32, {12, 5}}));
  const auto least = p.use(f, "least", Constant::real(DType::f32, 0.5f));
  f.output(f.op("maximum", "clipped", {{"x", {rows[0]}}, {"y", {least}}}, out));
}

}  // namespace

d2c_value_id SampleFunction::node(const std::string& name, d2c_node_kind kind, std::uint32_t index,
                                  const TensorType& type) {
  nodes_.push_back({texts_.emplace_back(name).c_str(), kind, index, type.c()});
  return static_cast<d2c_value_id>(nodes_.size() - 1);
}

d2c_op& SampleFunction::add_op(const char* type, const std::string& name, const Arguments& arguments) {
  auto& list = arguments_.emplace_back();
  for (const auto& [parameter, values] : arguments) {
    const auto& ids = ids_.emplace_back(values);
    list.push_back({parameter, ids.data(), ids.size()});
  }
  return ops_.emplace_back(d2c_op{type, texts_.emplace_back(name).c_str(), list.data(), list.size(), nullptr, 0});
}

d2c_value_id SampleFunction::op(const char* type, const std::string& name, const Arguments& arguments,
                                const TensorType& result) {
  d2c_op& op = add_op(type, name, arguments);
  const auto& ids = ids_.emplace_back(1, node(name, D2C_NODE_RESULT, 0, result));
  op.results = ids.data();
  op.result_count = 1;
  return ids[0];
}

void SampleFunction::op_without_result(const char* type, const std::string& name, const Arguments& arguments) {
  add_op(type, name, arguments);
}

d2c_function SampleFunction::c() const {
  return {sizeof(d2c_function), name_.c_str(), nodes_.data(),   nodes_.size(),
          ops_.data(),          ops_.size(),   outputs_.data(), outputs_.size()};
}

std::uint32_t SampleProgram::constant(const Constant& constant) {
  for (std::size_t i = 0; i < constants_.size(); ++i)
    if (constants_[i].type == constant.type && constants_[i].data == constant.data)
      return static_cast<std::uint32_t>(i);
  constants_.push_back(constant);
  return static_cast<std::uint32_t>(constants_.size() - 1);
}

std::uint32_t SampleProgram::weight(const std::string& name, const TensorType& type, const Layout& layout) {
  const char* text = texts_.emplace_back(name).c_str();
  weights_.push_back({sizeof(d2c_weight), text, text, type.c(), &layouts_.emplace_back(abi::to_c(layout))});
  return static_cast<std::uint32_t>(weights_.size() - 1);
}

d2c_value_id SampleProgram::use(SampleFunction& f, const std::string& name, const Constant& c) {
  return f.node(name, D2C_NODE_CONSTANT, constant(c), c.type);
}

d2c_value_id SampleProgram::use_weight(SampleFunction& f, std::uint32_t index) {
  return f.node(weights_[index].name, D2C_NODE_WEIGHT, index, TensorType::from_c(weights_[index].type));
}

const d2c_program& SampleProgram::c() {
  c_functions_.clear();
  c_constants_.clear();
  for (const SampleFunction& f : functions_) c_functions_.push_back(f.c());
  for (const Constant& c : constants_) c_constants_.push_back({c.type.c(), c.data.data(), c.data.size()});
  c_ = {sizeof(d2c_program), c_functions_.data(),
        c_functions_.size(), default_ != nullptr || c_functions_.empty() ? default_ : c_functions_[0].name,
        c_constants_.data(), c_constants_.size(),
        weights_.data(),     weights_.size(),
        deployment_};
  return c_;
}

Layout dense(DType dtype, const Shape& shape) {
  Layout layout;
  layout.planes = {{D2C_PLANE_DENSE, {dtype, shape}}};
  layout.bits = bits_of(dtype);
  return layout;
}

Layout palette(DType lut, const Shape& shape, int bits, std::int64_t groups, std::int64_t vector) {
  Shape indices = shape;
  indices[0] /= vector;
  Shape luts(shape.size(), 1);
  luts[0] = groups;
  luts.insert(luts.end(), {std::int64_t{1} << bits, vector});
  Layout layout;
  layout.scheme = D2C_SCHEME_PALETTE;
  layout.bits = bits;
  layout.planes = {{D2C_PLANE_INDICES, {index_dtype(bits), indices}}, {D2C_PLANE_LUT, {lut, luts}}};
  return layout;
}

Layout blockwise(DType scale, const Shape& shape, DType data, std::int64_t block, bool with_offset) {
  Shape blocks = shape;
  blocks.back() /= block;
  Layout layout;
  layout.scheme = D2C_SCHEME_BLOCKWISE;
  layout.bits = bits_of(data);
  layout.planes = {{D2C_PLANE_DATA, {data, shape}}, {D2C_PLANE_SCALE, {scale, blocks}}};
  if (with_offset) layout.planes.push_back({D2C_PLANE_OFFSET, {data, blocks}});
  return layout;
}

void fill_sample(SampleProgram& program) {
  const Weights weights = add_weights(program);
  fill_step(program, program.function("init"), weights);
  fill_step(program, program.function("decode"), weights);
  fill_encode(program, program.function("encode"));
  program.set_default("decode");
}

std::vector<std::byte> plane_bytes(const d2c_plane& plane, unsigned seed) {
  const TensorType type = TensorType::from_c(plane.type);
  std::vector<std::byte> bytes(static_cast<std::size_t>(type.bytes()));
  std::uint32_t state = seed * 2654435761u + 1;
  const auto next = [&] { return (state = state * 1664525u + 1013904223u) >> 16; };
  if (type.dtype == DType::f16 || type.dtype == DType::f32) {
    for (std::int64_t i = 0; i < type.count(); ++i) {
      const float value = static_cast<float>(next() % 256) / 256.0f;
      const std::uint16_t half = float_to_half(value);
      if (type.dtype == DType::f16) std::memcpy(bytes.data() + 2 * i, &half, 2);
      else std::memcpy(bytes.data() + 4 * i, &value, 4);
    }
    return bytes;
  }
  for (std::byte& b : bytes) b = static_cast<std::byte>(next());
  const auto used = static_cast<unsigned>(type.count() % 8 * bits_of(type.dtype) % 8);
  if (used != 0) bytes.back() &= static_cast<std::byte>((1u << used) - 1);
  return bytes;
}

SampleHost::SampleHost() {
  c_.struct_size = sizeof c_;
  c_.self = &log_;
  c_.log = [](void* self, d2c_log_level, const char* text) {
    static_cast<std::vector<std::string>*>(self)->emplace_back(text);
  };
  c_.fail = [](void*, d2c_code code, const char*) { return code; };
  c_.cancelled = [](void*) { return 0; };
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "d2c_coreml_XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) fail(Code::resource, "no temporary folder");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code error;
  fs::remove_all(path_, error);
}

const d2c_package_info& sample_info() {
  static const d2c_entry kEntries[] = {{"d2c.model", R"({"name":"sample"})"}, {"d2c.stop_tokens", "[1,2]"}};
  static const d2c_attachment kAttachments[] = {{"tokenizer.json", "{}", 2}, {"recipe.toml", "schema = 1\n", 11}};
  static const d2c_package_info kInfo{
      sizeof(d2c_package_info), "A sample.", "Somebody", "Apache-2.0", "3", kEntries, 2, kAttachments, 2};
  return kInfo;
}

void write_package(const d2c_program& program, const fs::path& package) {
  const SampleHost host;
  CoreMLWriter writer(host.host(), Config(Value::table()));
  writer.plan(program);
  fs::create_directories(package);
  writer.begin(package.string());
  for (std::size_t w = 0; w < program.weight_count; ++w) {
    const d2c_layout& layout = *program.weights[w].layout;
    for (std::uint32_t p = 0; p < layout.plane_count; ++p)
      writer.write(w, p, 0, plane_bytes(layout.planes[p], static_cast<unsigned>(w * 4 + p)));
  }
  writer.finish(sample_info());
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail_input(path.string() + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace d2c::coreml_writer
