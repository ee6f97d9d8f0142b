// Packages that lie, are cut short or lead elsewhere: each is refused with Error(input), none crashes.
#include "libs/coreml_spec/model_file.hpp"
#include "plugins/coreml_writer/package_description.hpp"
#include "tests/unit/coreml_writer/sample_package.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <functional>

namespace d2c::coreml_writer {
namespace {

namespace fs = std::filesystem;
namespace spec = coreml::spec;
using testing::HasSubstr;

class HostilePackage : public testing::Test {
 protected:
  HostilePackage() : package_(folder_.path() / "p.mlpackage") {
    SampleProgram program;
    fill_sample(program);
    write_package(program.c(), package_);
  }

  void expect_refusal(const std::string& message) {
    try {
      (void)describe_package(package_);
      ADD_FAILURE() << "accepted; expected: " << message;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::input) << e.what();
      EXPECT_THAT(e.what(), HasSubstr(message));
    }
  }

  void edit_manifest(const std::string& from, const std::string& to) {
    std::string text = read_file(manifest());
    ASSERT_NE(text.find(from), std::string::npos);
    write_file(manifest(), text.replace(text.find(from), from.size(), to));
  }

  void edit_model(const std::function<void(spec::Model&)>& edit) {
    spec::Model model = coreml::parse_model(model_file());
    edit(model);
    write_file(model_file(), coreml::serialize_model(model));
  }

  static spec::Block& body(spec::Model& model, const char* function) {
    return (*(*model.mutable_program()->mutable_functions())[function].mutable_blocks())["CoreML8"];
  }

  /// The op that makes a value.
  static spec::Operation& op(spec::Model& model, const char* function, const std::string& result) {
    for (spec::Operation& o : *body(model, function).mutable_operations())
      if (o.outputs_size() > 0 && o.outputs(0).name() == result) return o;
    throw std::out_of_range(result);
  }

  static spec::Value& input(spec::Operation& o, const char* parameter) {
    return *(*o.mutable_inputs())[parameter].mutable_bindings(0)->mutable_value();
  }

  static spec::TensorType& tensor(spec::ValueType& type) { return *type.mutable_tensor(); }

  [[nodiscard]] fs::path manifest() const { return package_ / "Manifest.json"; }
  [[nodiscard]] fs::path model_file() const { return package_ / "Data/com.apple.CoreML/model.mlmodel"; }
  [[nodiscard]] fs::path weights() const { return package_ / "Data/com.apple.CoreML/weights/weight.bin"; }

  TemporaryFolder folder_;
  fs::path package_;
};

TEST_F(HostilePackage, MissesFiles) {
  const fs::path missing[] = {package_ / "Data/dolphin2coreml/tokenizer.json", weights(), model_file(), manifest(),
                              package_};
  const char* messages[] = {"does not exist", "does not exist", "does not exist", "no Manifest.json",
                            "no such package"};
  for (std::size_t i = 0; i < std::size(missing); ++i) {
    fs::remove_all(missing[i]);
    expect_refusal(messages[i]);
  }
}

TEST_F(HostilePackage, HasAManifestThatIsNone) {
  for (const char* text : {"", "[]", "{", "{\"fileFormatVersion\":1}", "null"}) {
    write_file(manifest(), text);
    expect_refusal("Manifest.json");
  }
}

TEST_F(HostilePackage, HasAManifestOfAnotherVersion) {
  edit_manifest("\"1.0.0\"", "\"2.0.0\"");
  expect_refusal("fileFormatVersion 2.0.0");
}

TEST_F(HostilePackage, LeadsOutOfItselfByPath) {
  write_file(folder_.path() / "secret", "x");
  edit_manifest("\"dolphin2coreml/recipe.toml\"", "\"../../secret\"");
  expect_refusal("leads out of");
}

TEST_F(HostilePackage, LeadsOutOfItselfByAnAbsolutePath) {
  edit_manifest("\"dolphin2coreml/recipe.toml\"", "\"/etc/passwd\"");
  expect_refusal("leads out of");
}

TEST_F(HostilePackage, LeadsOutOfItselfByALink) {
  write_file(folder_.path() / "secret", "x");
  fs::remove(package_ / "Data/dolphin2coreml/recipe.toml");
  fs::create_symlink(folder_.path() / "secret", package_ / "Data/dolphin2coreml/recipe.toml");
  expect_refusal("leads out of");
}

TEST_F(HostilePackage, NamesNoRootModel) {
  std::string text = read_file(manifest());
  const std::size_t at = text.find("\"rootModelIdentifier\": \"") + 24;
  write_file(manifest(), text.replace(at, 4, "zzzz"));
  expect_refusal("rootModelIdentifier names no item");
}

TEST_F(HostilePackage, PutsAPipeWhereTheModelShouldBe) {
  fs::remove(model_file());
  ASSERT_EQ(::mkfifo(model_file().c_str(), 0600), 0);
  expect_refusal("no such model file");
}

TEST_F(HostilePackage, PutsAPipeWhereTheWeightsShouldBe) {
  fs::remove(weights());
  ASSERT_EQ(::mkfifo(weights().c_str(), 0600), 0);
  expect_refusal("no such weight file");
}

TEST_F(HostilePackage, HasAModelThatIsNoProgram) {
  write_file(model_file(), "this is no protobuf");
  expect_refusal("malformed protobuf");
  write_file(model_file(), "");
  expect_refusal("not an ML program");
}

TEST_F(HostilePackage, HasAModelCutAnywhere) {
  const std::string whole = read_file(model_file());
  for (std::size_t size = 0; size < whole.size(); size += 1 + whole.size() / 97) {
    write_file(model_file(), whole.substr(0, size));
    EXPECT_THROW((void)describe_package(package_), Error) << size;
  }
}

TEST_F(HostilePackage, HasAModelOfImpossibleSize) {
  fs::resize_file(model_file(), std::uintmax_t{1} << 40);
  expect_refusal("is not read");
}

TEST_F(HostilePackage, NestsBlocksWithoutEnd) {
  edit_model([](spec::Model& m) {
    spec::Operation nested;
    for (int i = 0; i < 200; ++i) {
      spec::Operation outer;
      outer.add_blocks()->add_operations()->Swap(&nested);
      nested.Swap(&outer);
    }
    body(m, "init").add_operations()->Swap(&nested);
  });
  expect_refusal("malformed protobuf");
}

TEST_F(HostilePackage, HasWeightsCutAnywhere) {
  const std::string whole = read_file(weights());
  for (std::size_t size = 0; size < whole.size(); size += 1 + whole.size() / 97) {
    write_file(weights(), whole.substr(0, size));
    EXPECT_THROW((void)describe_package(package_), Error) << size;
  }
}

TEST_F(HostilePackage, HasAWrongSentinel) {
  std::string bytes = read_file(weights());
  bytes[64] = 'x';
  write_file(weights(), bytes);
  expect_refusal("record at offset 64 has no blob mark");
}

TEST_F(HostilePackage, HasABlobLargerThanTheFile) {
  std::string bytes = read_file(weights());
  bytes[64 + 8 + 6] = '\x7f';
  write_file(weights(), bytes);
  expect_refusal("but the file ends after");
}

TEST_F(HostilePackage, CountsBlobsItDoesNotHave) {
  std::string bytes = read_file(weights());
  bytes[3] = '\x7f';
  write_file(weights(), bytes);
  expect_refusal("truncated");
}

TEST_F(HostilePackage, RefersToBlobsOutsideTheFile) {
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{65}, std::uint64_t{1} << 40, UINT64_MAX}) {
    edit_model([&](spec::Model& m) { input(op(m, "init", "palette4"), "indices").mutable_blob()->set_offset(offset); });
    expect_refusal("function 'init', constexpr_lut_to_dense 'palette4': no blob at offset");
  }
}

TEST_F(HostilePackage, RefersToOtherFiles) {
  write_file(folder_.path() / "secret", std::string(64, '\0'));
  const std::pair<const char*, const char*> kCases[] = {{"@model_path/../../../secret", "leads out of"},
                                                        {"/etc/passwd", "does not start with @model_path/"},
                                                        {"@model_path//etc/passwd", "leads out of"},
                                                        {"@model_path/", "leads out of"},
                                                        {"@model_path/weights", "no such weight file"}};
  for (const auto& c : kCases) {
    edit_model([&](spec::Model& m) { input(op(m, "init", "palette4"), "indices").mutable_blob()->set_file(c.first); });
    expect_refusal(c.second);
  }
}

TEST_F(HostilePackage, LiesAboutTheShapeOfABlob) {
  edit_model([](spec::Model& m) {
    tensor(*input(op(m, "init", "palette4"), "indices").mutable_type())
        .mutable_dimensions(0)
        ->mutable_constant()
        ->set_size(65);
  });
  expect_refusal("does not match the 2048 bytes of the blob");
}

TEST_F(HostilePackage, LiesAboutTheShapeOfAWeight) {
  edit_model([](spec::Model& m) {
    tensor(*op(m, "init", "palette4").mutable_outputs(0)->mutable_type())
        .mutable_dimensions(0)
        ->mutable_constant()
        ->set_size(1u << 30);
  });
  expect_refusal("does not make fp16[1073741824,64]");
}

TEST_F(HostilePackage, HasAPaletteThatServesOtherIndices) {
  edit_model([](spec::Model& m) {
    (*op(m, "init", "palette4").mutable_inputs())["lut"] = op(m, "init", "palette3").inputs().at("lut");
  });
  expect_refusal("does not serve indices uint4[64,64]");
}

TEST_F(HostilePackage, LiesAboutTheSizeOfAnImmediateValue) {
  edit_model([](spec::Model& m) {
    tensor(*(*op(m, "init", "few_bytes").mutable_attributes())["val"].mutable_type())
        .mutable_dimensions(0)
        ->mutable_constant()
        ->set_size(4);
  });
  expect_refusal("comes with 3 bytes");
}

TEST_F(HostilePackage, DescribesFunctionsItDoesNotHave) {
  edit_model([](spec::Model& m) { m.mutable_description()->mutable_functions(0)->set_name("decode"); });
  expect_refusal("describes function 'decode'");
  edit_model([](spec::Model& m) { m.mutable_description()->mutable_functions(0)->set_name("generate"); });
  expect_refusal("describes function 'generate'");
  edit_model([](spec::Model& m) { m.mutable_description()->mutable_functions()->RemoveLast(); });
  expect_refusal("describes 2 functions");
}

TEST_F(HostilePackage, HasADefaultFunctionThatDoesNotExist) {
  edit_model([](spec::Model& m) { m.mutable_description()->set_default_function("generate"); });
  expect_refusal("default function 'generate'");
}

TEST_F(HostilePackage, DescribesOtherFeaturesThanItsProgramHas) {
  const auto features = [](spec::Model& m) { return m.mutable_description()->mutable_functions(0); };
  edit_model([&](spec::Model& m) { features(m)->mutable_inputs(0)->set_name("tokens"); });
  expect_refusal("input 'tokens': is described");
  edit_model([&](spec::Model& m) {
    features(m)->mutable_inputs(0)->set_name("input_ids");
    features(m)->mutable_states(0)->mutable_type()->mutable_state()->mutable_array()->set_shape(0, 7);
  });
  expect_refusal("state 'cache': is described as [7,1,64]");
  edit_model([&](spec::Model& m) { features(m)->clear_states(); });
  expect_refusal("not all of its inputs and states are described");
}

TEST_F(HostilePackage, OutputsWhatNoOpMakes) {
  edit_model([](spec::Model& m) {
    body(m, "init").set_outputs(0, "nothing");
    m.mutable_description()->mutable_functions(0)->mutable_outputs(0)->set_name("nothing");
  });
  expect_refusal("'nothing' is not defined");
}

TEST_F(HostilePackage, HasNoBodyForItsOpset) {
  edit_model([](spec::Model& m) { (*m.mutable_program()->mutable_functions())["init"].set_opset("CoreML99"); });
  expect_refusal("has no body for its opset 'CoreML99'");
}

}  // namespace
}  // namespace d2c::coreml_writer
