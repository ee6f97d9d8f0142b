// Packages that lie: each is refused as bad input, with the function and the op in the message.
#include "libs/coreml_spec/package_files.hpp"
#include "libs/coreml_spec/values.hpp"
#include "libs/mil_cpu/runner.hpp"
#include "tests/unit/mil_cpu/sample_decoder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <functional>

namespace d2c::mil_cpu::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
namespace spec = coreml::spec;

const TensorType kPair{DType::f32, {2}};

std::string refusal(const std::filesystem::path& package) {
  try {
    (void)open_runner(package, {});
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::input) << e.what();
    return e.what();
  }
  return "accepted";
}

/// A function y = f(x: fp32[2]).
std::string refusal_of(const std::function<void(FunctionBuilder&)>& build) {
  PackageBuilder package;
  FunctionBuilder f = package.function("main");
  f.input("x", kPair);
  build(f);
  return refusal(package.write());
}

/// The same function, sound, then spoilt.
std::string refusal_after(const std::function<void(spec::Model&)>& spoil) {
  PackageBuilder package;
  FunctionBuilder f = package.function("main");
  f.input("x", kPair);
  f.op("add", "sum", kPair, {{"x", "x"}, {"y", f32({2}, {1, 2})}});
  f.op("relu", "y", kPair, {{"x", "sum"}});
  f.output("y");
  spoil(package.model);
  return refusal(package.write());
}

spec::Block& block(spec::Model& model) {
  return model.mutable_program()->mutable_functions()->at("main").mutable_blocks()->at("CoreML8");
}

TEST(HostileProgram, UnknownOpsAreRefusedByName) {
  EXPECT_THAT(refusal_of([](FunctionBuilder& f) {
                f.op("lstm", "y", kPair, {{"x", "x"}});
                f.output("y");
              }),
              AllOf(HasSubstr("'main'"), HasSubstr("lstm 'y'"), HasSubstr("does not know")));
}

TEST(HostileProgram, UndefinedNamesAndCyclesAreRefused) {
  EXPECT_THAT(refusal_of([](FunctionBuilder& f) {
                f.op("relu", "y", kPair, {{"x", "nowhere"}});
                f.output("y");
              }),
              HasSubstr("'nowhere'"));
  EXPECT_THAT(refusal_after([](spec::Model& m) { block(m).mutable_operations()->SwapElements(1, 2); }),
              HasSubstr("not defined before"));
  EXPECT_THAT(refusal_after([](spec::Model& m) {
                (*block(m).mutable_operations(1)->mutable_inputs())["x"].mutable_bindings(0)->set_name("sum");
              }),
              HasSubstr("'sum'"));
}

TEST(HostileProgram, ANameDefinedTwiceIsRefused) {
  EXPECT_THAT(
      refusal_after([](spec::Model& m) { block(m).mutable_operations(2)->mutable_outputs(0)->set_name("sum"); }),
      HasSubstr("'sum' a second time"));
}

TEST(HostileProgram, ShapesThatLieAreRefused) {
  for (const TensorType& lie : {TensorType{DType::f32, {3}}, TensorType{DType::f16, {2}},
                                TensorType{DType::f32, {2, 1}}, TensorType{DType::f32, {std::int64_t{1} << 40}}}) {
    EXPECT_THAT(refusal_of([&](FunctionBuilder& f) {
                  f.op("relu", "y", lie, {{"x", "x"}});
                  f.output("y");
                }),
                HasSubstr("relu 'y'"))
        << lie.text();
  }
}

TEST(HostileProgram, ImpossibleTypesAreRefused) {
  const auto input = [](const TensorType& type) {
    return [type](spec::Model& m) {
      spec::ValueType& declared =
          *m.mutable_program()->mutable_functions()->at("main").mutable_inputs(0)->mutable_type();
      declared.Clear();
      coreml::set_tensor_type(type, declared);
    };
  };
  EXPECT_THAT(refusal_after(input({DType::f32, Shape(20, 1)})), HasSubstr("rank 20"));
  EXPECT_THAT(refusal_after(input({DType::f32, {std::int64_t{1} << 40, std::int64_t{1} << 40}})), HasSubstr("shape"));
  EXPECT_THAT(refusal_after(input({DType::f32, {0}})), HasSubstr("not supported"));
  EXPECT_THAT(refusal_after(input({DType::string, {2}})), HasSubstr("not supported"));
  EXPECT_THAT(refusal_after(input({static_cast<DType>(99), {2}})), HasSubstr("99"));
}

TEST(HostileProgram, MissingAndUnknownParametersAreRefused) {
  EXPECT_THAT(refusal_after([](spec::Model& m) { block(m).mutable_operations(1)->mutable_inputs()->erase("y"); }),
              HasSubstr("'y' is missing"));
  EXPECT_THAT(refusal_after([](spec::Model& m) {
                auto& inputs = *block(m).mutable_operations(2)->mutable_inputs();
                inputs["speed"] = inputs["x"];
              }),
              HasSubstr("'speed'"));
  EXPECT_THAT(refusal_after([](spec::Model& m) { block(m).mutable_operations(2)->mutable_outputs()->Clear(); }),
              HasSubstr("'y'"));
}

TEST(HostileProgram, OutputsMustBeResultsAndDescribed) {
  EXPECT_NE(refusal_after([](spec::Model& m) { block(m).clear_outputs(); }), "accepted");
  EXPECT_NE(refusal_after([](spec::Model& m) { block(m).set_outputs(0, "x"); }), "accepted");
  EXPECT_NE(refusal_after([](spec::Model& m) { m.mutable_description()->mutable_functions(0)->clear_outputs(); }),
            "accepted");
  EXPECT_NE(refusal_after([](spec::Model& m) { m.mutable_description()->mutable_functions(0)->set_name("other"); }),
            "accepted");
}

TEST(HostileProgram, NestedBlocksAndForeignOpsetsAreRefused) {
  EXPECT_THAT(refusal_after([](spec::Model& m) { block(m).mutable_operations(2)->add_blocks(); }), HasSubstr("nested"));
  EXPECT_THAT(
      refusal_after([](spec::Model& m) { m.mutable_program()->mutable_functions()->at("main").set_opset("?"); }),
      HasSubstr("opset"));
}

TEST(HostileProgram, ParametersOutOfRangeAreRefused) {
  const auto op = [](const char* type, const TensorType& result, Argument argument) {
    return refusal_of([&](FunctionBuilder& f) {
      f.op(type, "y", result, {{"x", "x"}, argument});
      f.output("y");
    });
  };
  EXPECT_THAT(op("softmax", kPair, {"axis", 7}), HasSubstr("axis 7"));
  EXPECT_THAT(op("transpose", kPair, {"perm", Constant::i32s({0, 0})}), HasSubstr("perm"));
  EXPECT_THAT(op("reshape", kPair, {"shape", Constant::i32s({-1, -1})}), HasSubstr("reshape"));
  EXPECT_THAT(op("reshape", kPair, {"shape", Constant::i32s({0, 0, 0})}), HasSubstr("reshape"));
  EXPECT_THAT(op("reshape", kPair, {"shape", Constant::i32s({2147483647, 2147483647, 2147483647})}),
              HasSubstr("reshape"));
  EXPECT_THAT(op("tile", kPair, {"reps", Constant::i32s({-1})}), HasSubstr("reps"));
  EXPECT_THAT(op("reduce_sum", kPair, {"axes", Constant::i32s({2147483647})}), HasSubstr("axis"));
  EXPECT_THAT(op("cast", kPair, {"dtype", Constant::text("float")}), HasSubstr("'float'"));
  EXPECT_THAT(op("expand_dims", kPair, {"axes", Constant::i32s({0, 1, 2, 3, 4, 5, 6, 7, 8})}), HasSubstr("rank"));
}

// ---------------------------------------------------------------- weights

/// y = linear(x, w) with a palettized weight in weight.bin.
PackageBuilder palettized() {
  PackageBuilder package;
  FunctionBuilder f = package.function("main");
  f.input("x", {DType::f32, {1, 4}});
  const std::array<int, 8> indices{0, 1, 2, 3, 3, 2, 1, 0};
  f.constexpr_op("constexpr_lut_to_dense", "w", {DType::f16, {2, 4}},
                 {{"indices", packed(DType::u2, {2, 4}, indices)}, {"lut", f16({1, 1, 4, 1}, {1, 2, 3, 4})}}, true);
  f.op("linear", "y", {DType::f32, {1, 2}}, {{"x", "x"}, {"weight", "w"}});
  f.output("y");
  return package;
}

spec::Value& indices_of(spec::Model& model) {
  return *(*block(model).mutable_operations(0)->mutable_inputs())["indices"].mutable_bindings(0)->mutable_value();
}

TEST(HostileWeights, TheSoundPackageRuns) {
  const auto runner = open_runner(palettized().write(), {});
  const auto y = call(*runner, "main", nullptr, {{"x", f32({1, 4}, {1, 1, 1, 1})}});
  EXPECT_EQ(numbers(DType::f32, y.at("y")), (std::vector<float>{10, 10}));
}

TEST(HostileWeights, OffsetsThatLeadNowhereAreRefused) {
  for (const std::uint64_t offset : {0ull, 1ull, 65ull, 1ull << 40, ~0ull, ~63ull}) {
    PackageBuilder package = palettized();
    indices_of(package.model).mutable_blob()->set_offset(offset);
    EXPECT_THAT(refusal(package.write()), HasSubstr("offset")) << offset;
  }
}

TEST(HostileWeights, ForeignFilesAreRefused) {
  for (const char* file :
       {"weight.bin", "@model_path/../../Manifest.json", "/etc/passwd", "@model_path/weights/none"}) {
    PackageBuilder package = palettized();
    indices_of(package.model).mutable_blob()->set_file(file);
    EXPECT_NE(refusal(package.write()), "accepted") << file;
  }
}

TEST(HostileWeights, TruncatedFilesAreRefused) {
  PackageBuilder package = palettized();
  for (const std::size_t size : {0ul, 10ul, 64ul, 100ul, 129ul, package.weights.size() - 1}) {
    PackageBuilder cut = package;
    cut.weights.resize(size);
    EXPECT_NE(refusal(cut.write()), "accepted") << size;
  }
}

TEST(HostileWeights, ShapesThatDoNotFitTheDataAreRefused) {
  const std::array<int, 8> indices{};
  const auto with = [&](const Constant& i, const Constant& lut, const TensorType& result) {
    return refusal_of([&](FunctionBuilder& f) {
      f.constexpr_op("constexpr_lut_to_dense", "w", result, {{"indices", i}, {"lut", lut}});
      f.op("relu", "y", kPair, {{"x", "x"}});
      f.output("y");
    });
  };
  const TensorType good{DType::f16, {2, 4}};
  const Constant two = packed(DType::u2, {2, 4}, indices);
  EXPECT_NE(with(two, f16({1, 1, 2, 1}, {1, 2}), good), "accepted");
  EXPECT_NE(with(two, f16({3, 1, 4, 1}, {1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4}), good), "accepted");
  EXPECT_NE(with(two, f16({4, 1}, {1, 2, 3, 4}), good), "accepted");
  EXPECT_NE(with(two, f16({1, 1, 4, 1}, {1, 2, 3, 4}), {DType::f16, {4, 4}}), "accepted");
  EXPECT_NE(with(two, f16({1, 1, 4, 1}, {1, 2, 3, 4}), {DType::f32, {2, 4}}), "accepted");
  EXPECT_NE(with(packed(DType::i8, {2, 4}, indices), f16({1, 1, 4, 1}, {1, 2, 3, 4}), good), "accepted");
}

TEST(HostileWeights, FlatPalettesWhoseShapeLiesAreRefused) {
  const std::array<int, 2> bytes{};
  const auto with = [&](const std::vector<int>& shape, const Constant& lut) {
    return refusal_of([&](FunctionBuilder& f) {
      f.attribute_constexpr("constexpr_lut_to_dense", "w", {DType::f16, {2, 4}},
                            {{"indices", packed(DType::u8, {2}, bytes)},
                             {"lut", lut},
                             {"shape", packed(DType::i32, {static_cast<std::int64_t>(shape.size())}, shape)}});
      f.op("relu", "y", kPair, {{"x", "x"}});
      f.output("y");
    });
  };
  const Constant lut = f16({4}, {1, 2, 3, 4});
  EXPECT_EQ(with({2, 4}, lut), "accepted");
  EXPECT_NE(with({2, 5}, lut), "accepted");
  EXPECT_NE(with({-2, -4}, lut), "accepted");
  EXPECT_NE(with({0}, lut), "accepted");
  EXPECT_NE(with({2147483647, 2147483647, 2147483647}, lut), "accepted");
  EXPECT_NE(with({2, 4}, f16({3}, {1, 2, 3})), "accepted");
  EXPECT_NE(with({2, 4}, f16({2}, {1, 2})), "accepted");
  EXPECT_NE(with({2, 4}, f16({2, 2}, {1, 2, 3, 4})), "accepted");
}

TEST(HostileWeights, UnknownConstexprIsRefusedByName) {
  EXPECT_THAT(refusal_of([](FunctionBuilder& f) {
                f.constexpr_op("constexpr_lut_to_sparse", "w", kPair, {{"lut", f32({2}, {1, 2})}});
                f.output("w");
              }),
              HasSubstr("constexpr_lut_to_sparse"));
}

// ---------------------------------------------------------------- states and calls

TEST(HostileStates, OneNameWithTwoTypesIsRefused) {
  PackageBuilder package;
  for (const auto& [name, size] : {std::pair{"a", 4}, std::pair{"b", 8}}) {
    FunctionBuilder f = package.function(name);
    f.state("cache", {DType::f16, {size}});
    f.op("read_state", std::string(name) + "_y", {DType::f16, {size}}, {{"input", "cache"}});
    f.output(std::string(name) + "_y");
  }
  EXPECT_THAT(refusal(package.write()), HasSubstr("state 'cache'"));
}

TEST(HostileStates, AStateIsNoTensorAndATensorNoState) {
  const auto build = [](const char* type, const char* parameter, const char* what) {
    return refusal_of([&](FunctionBuilder& f) {
      f.state("cache", kPair);
      f.op(type, "y", kPair, {{parameter, what}});
      f.output("y");
    });
  };
  EXPECT_NE(build("relu", "x", "cache"), "accepted");
  EXPECT_NE(build("identity", "x", "cache"), "accepted");
  EXPECT_NE(build("read_state", "input", "x"), "accepted");
}

TEST(HostileStates, AReadLargerThanTheStateIsRefusedAlsoWhereItFuses) {
  EXPECT_THAT(refusal_of([](FunctionBuilder& f) {
                const TensorType large{DType::f32, {64}};
                f.state("cache", kPair);
                f.op("read_state", "before", large, {{"input", "cache"}});
                f.op(
                    "slice_update", "updated", large,
                    {{"x", "before"}, {"update", "x"}, {"begin", Constant::i32s({60})}, {"end", Constant::i32s({62})}});
                f.ops("write_state", "written", {}, {{"input", "cache"}, {"data", "updated"}});
                f.op("relu", "y", kPair, {{"x", "x"}});
                f.output("y");
              }),
              HasSubstr("read_state 'before'"));
}

TEST(HostileProgram, EmptyOperandsAreRefused) {
  EXPECT_THAT(refusal_of([](FunctionBuilder& f) {
                f.op("linear", "y", {DType::f32, {3}},
                     {{"x", Constant{{DType::f32, {0}}, {}}}, {"weight", Constant{{DType::f32, {3, 0}}, {}}}});
                f.output("y");
              }),
              HasSubstr("empty"));
}

TEST(HostileCalls, PositionsOutsideTheCacheAreErrorsAndWriteNothing) {
  const SampleShape shape;
  const auto runner = open_runner(sample_decoder(shape), {});
  const auto state = runner->make_state();
  for (const std::int32_t position : {-1, 16, 1000000, 2147483647, -2147483647 - 1}) {
    EXPECT_THROW((void)call(*runner, "decode", state.get(),
                            {{"input_ids", Constant::of<std::int32_t>(DType::i32, {1, 1}, std::array{1})},
                             {"position", Constant::i32s({position})}}),
                 Error)
        << position;
  }
  for (const std::byte b : state->buffer("kv_cache").data) ASSERT_EQ(b, std::byte{0});
}

TEST(HostileCalls, ALengthOutsideTheChunkIsAnError) {
  const SampleShape shape;
  const auto runner = open_runner(sample_decoder(shape), {});
  const auto state = runner->make_state();
  for (const std::int32_t length : {0, 5, -7, 2147483647})
    EXPECT_THROW((void)call(*runner, "init", state.get(),
                            {{"input_ids", Constant::of<std::int32_t>(DType::i32, {1, 4}, std::array{1, 2, 3, 4})},
                             {"position", Constant::i32s({0})},
                             {"length", Constant::i32s({length})}}),
                 Error)
        << length;
}

TEST(HostilePackage, DamagedFilesAreRefused) {
  const auto root = palettized().write();
  std::ofstream(root / "Data/com.apple.CoreML/model.mlmodel", std::ios::trunc) << "no protobuf";
  EXPECT_NE(refusal(root), "accepted");
  EXPECT_EQ(coreml::probe_package("/no/such/folder"), 0);
  EXPECT_EQ(coreml::probe_package(root.c_str()), 100);
}

}  // namespace
}  // namespace d2c::mil_cpu::test
