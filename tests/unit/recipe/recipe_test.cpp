#include "host/recipe/recipe.hpp"

#include "host/recipe/check.hpp"
#include "tests/unit/recipe/recipe_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace d2c::host {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class RecipeFile : public RecipeFolder {};
class RecipeOverride : public RecipeFolder {};
class RecipeExtends : public RecipeFolder {};
class PluginOptions : public RecipeFolder {};

// ---------------------------------------------------------------- one file

TEST_F(RecipeFile, FillsDefaults) {
  write("r.toml", kFunctionText);
  const Recipe r = load("r.toml");
  EXPECT_EQ(r.name, "r");
  EXPECT_EQ(r.graph.at("kv").as_text(), "packed");
  EXPECT_EQ(r.graph.find("context"), nullptr) << "depends on the model";
  EXPECT_EQ(r.encoder.at("pooling").as_text(), "mean");
  EXPECT_EQ(r.quantize.plugin, "none");
  EXPECT_EQ(r.target.at("deployment").as_text(), "iOS18");
}

TEST_F(RecipeFile, KeepsOptionsOfPluginsApartFromItsOwnKeys) {
  write("r.toml", kFunctionText + R"(
[quantize]
plugin = "q"
bits = 4
[[quantize.rule]]
match = "lm_head"
bits = 6
)");
  const Recipe r = load("r.toml");
  EXPECT_EQ(r.quantize.plugin, "q");
  EXPECT_EQ(r.quantize.options, Value(Value::Table{{"bits", 4}}));
  ASSERT_EQ(r.quantize.rules.size(), 1U);
  EXPECT_EQ(r.quantize.rules[0].match, "lm_head");
  EXPECT_EQ(r.quantize.rules[0].options.at("bits").as_int(), 6);
}

TEST_F(RecipeFile, ReadsFunctionsInTheOrderOfTheGraph) {
  write("r.toml", R"(
[graph]
functions = ["b", "a"]
[[function]]
name = "a"
plugin = "p"
[[function]]
name = "unused"
plugin = "p"
[[function]]
name = "b"
plugin = "p"
stack = "encoder"
options = { depth = 2 }
)");
  const Recipe r = load("r.toml");
  ASSERT_EQ(r.functions.size(), 2U);
  EXPECT_EQ(r.functions[0].name, "b");
  EXPECT_EQ(r.functions[0].stack, "encoder");
  EXPECT_EQ(r.functions[0].where, "function[2].options");
  EXPECT_EQ(r.functions[0].options.at("depth").as_int(), 2);
  EXPECT_EQ(r.functions[1].name, "a");
}

constexpr const char* kThreeFunctions = R"(
[graph]
functions = ["init", "decode", "encode"]
[[function]]
name = "init"
plugin = "p"
[[function]]
name = "decode"
plugin = "p"
[[function]]
name = "encode"
plugin = "q"
stack = "encoder"
)";

std::vector<std::string> names(const std::vector<FunctionSection>& functions) {
  std::vector<std::string> names;
  for (const FunctionSection& f : functions) names.push_back(f.name + "@" + f.stack);
  return names;
}

TEST_F(RecipeFile, GivesShorterTextsFunctionsOfTheirOwn) {
  write("r.toml", std::string(kThreeFunctions) + "[encoder]\nlengths = [128, 32, 512, 32]\n");
  const Recipe r = load("r.toml");
  EXPECT_THAT(names(r.functions),
              ElementsAre("init@chat", "decode@chat", "encode@encoder", "encode_32@encoder", "encode_128@encoder"));
  EXPECT_EQ(r.encoder.at("max_length").as_int(), 512);
  EXPECT_EQ(r.functions[3].options.at("length").as_int(), 32);
  write("longer.toml", std::string(kThreeFunctions) + "[encoder]\nmax_length = 64\nlengths = [16]\n");
  EXPECT_THAT(names(load("longer.toml").functions), testing::Contains("encode_16@encoder"));
}

TEST_F(RecipeFile, GivesBatchesOfTextsFunctionsOfTheirOwn) {
  write("r.toml", std::string(kThreeFunctions) + "[encoder]\nbatch = 8\nlengths = [32]\nmax_length = 64\n");
  const Recipe r = load("r.toml");
  EXPECT_THAT(names(r.functions), ElementsAre("init@chat", "decode@chat", "encode@encoder", "encode_32@encoder",
                                              "encode_x8@encoder", "encode_32_x8@encoder"));
  EXPECT_EQ(r.functions[5].options, Value(Value::Table{{"length", 32}, {"batch", 8}}));
}

TEST_F(RecipeFile, RefusesLengthsThatTheEncoderDoesNotTake) {
  write("long.toml", std::string(kThreeFunctions) + "[encoder]\nmax_length = 64\nlengths = [16, 65]\n");
  EXPECT_THAT(error("long.toml"), HasSubstr("encoder.lengths holds 65, which is more than encoder.max_length = 64"));
  write("zero.toml", "[encoder]\nlengths = [0]\n");
  EXPECT_EQ(error("zero.toml"), "zero.toml:2:12: an entry of encoder.lengths must be at least 1, not 0");
  write("text.toml", "[encoder]\nlengths = [\"64\"]\n");
  EXPECT_EQ(error("text.toml"), "text.toml:2:12: encoder.lengths must be a list of integers, and holds a string");
}

TEST_F(RecipeFile, GivesEveryVariantItsFunctions) {
  write("r.toml", std::string(kThreeFunctions) +
                      "[[variant]]\nname = \"coder\"\n[[variant]]\nname = \"poet\"\nweights = \"separate\"\n"
                      "[[adapter]]\npath = \"/a\"\nstack = \"coder\"\n");
  const Recipe r = load("r.toml");
  EXPECT_THAT(names(r.functions), ElementsAre("init@chat", "decode@chat", "encode@encoder", "init_coder@coder",
                                              "init_poet@poet", "decode_coder@coder", "decode_poet@poet"));
  EXPECT_EQ(r.variants.at(1).weights, "separate");
  EXPECT_EQ(r.combination_of("coder"), "sequential");
}

TEST_F(RecipeFile, RefusesStacksThatThereAreNot) {
  write("adapter.toml", std::string(kThreeFunctions) + "[[adapter]]\npath = \"/a\"\nstack = \"encodr\"\n");
  EXPECT_EQ(error("adapter.toml"), "adapter.toml:16:1: there is no stack 'encodr'; did you mean 'encoder'?");
  write("name.toml", std::string(kThreeFunctions) + "[[variant]]\nname = \"a b\"\n");
  EXPECT_THAT(error("name.toml"), HasSubstr("letters, digits and '_'"));
  write("taken.toml", std::string(kThreeFunctions) + "[[variant]]\nname = \"chat\"\n");
  EXPECT_THAT(error("taken.toml"), HasSubstr("cannot be called 'chat'"));
}

TEST_F(RecipeFile, SaysWhereAnUnknownKeyStands) {
  write("r.toml", "schema = 1\n\n[graph]\nprefill = 8\n  contxt = 64\n");
  EXPECT_EQ(error("r.toml"), "r.toml:5:3: unknown key 'contxt' in [graph]; did you mean 'context'?");
}

TEST_F(RecipeFile, SaysWhereAnUnknownSectionStands) {
  write("r.toml", "schema = 1\n[quantise]\nbits = 4\n");
  EXPECT_EQ(error("r.toml"), "r.toml:2:2: unknown key 'quantise'; did you mean 'quantize'?");
}

TEST_F(RecipeFile, OffersNothingWhereNoNameIsNear) {
  write("r.toml", "[graph]\nzzzzzzzz = 1\n");
  EXPECT_EQ(error("r.toml"), "r.toml:2:1: unknown key 'zzzzzzzz' in [graph]");
}

TEST_F(RecipeFile, RefusesWrongTypes) {
  write("text.toml", "[graph]\ncontext = \"64\"\n");
  EXPECT_EQ(error("text.toml"), "text.toml:2:1: graph.context must be an integer, not a string");
  write("table.toml", "graph = 4\n");
  EXPECT_EQ(error("table.toml"), "table.toml:1:1: graph must be a table, not an integer");
  write("array.toml", "[adapter]\npath = \"x\"\n");
  EXPECT_EQ(error("array.toml"),
            "array.toml:1:2: adapter must be an array of tables, written [[adapter]], not a table");
  write("item.toml", "[graph]\nfunctions = [\"init\", 3]\n");
  EXPECT_EQ(error("item.toml"), "item.toml:2:22: graph.functions must be a list of strings, and holds an integer");
}

TEST_F(RecipeFile, TakesAnIntegerForANumber) {
  write("r.toml", kFunctionText + "[[adapter]]\npath = \"a\"\nweight = 2\n");
  EXPECT_EQ(load("r.toml").adapters.at(0).weight, 2.0);
}

TEST_F(RecipeFile, RefusesValuesOutOfRange) {
  write("low.toml", "[graph]\nprefill = 0\n");
  EXPECT_EQ(error("low.toml"), "low.toml:2:1: graph.prefill must be at least 1, not 0");
  write("high.toml", "[encoder]\nmax_length = 9223372036854775807\n");
  EXPECT_THAT(error("high.toml"), HasSubstr("encoder.max_length must be at most"));
  write("choice.toml", "[graph]\nkv = \"pakced\"\n");
  EXPECT_EQ(error("choice.toml"),
            "choice.toml:2:1: graph.kv must be one of \"packed\",\"split\", not \"pakced\"; did you mean 'packed'?");
  write("schema.toml", "schema = 2\n");
  EXPECT_EQ(error("schema.toml"), "schema.toml:1:1: schema must be one of 1, not 2");
}

TEST_F(RecipeFile, RefusesMissingKeys) {
  write("r.toml", "[[adapter]]\nweight = 1.0\n");
  EXPECT_EQ(error("r.toml"), "r.toml:1:1: [[adapter]] lacks 'path'");
}

TEST_F(RecipeFile, RefusesASecondRuleForTheSameWeights) {
  write("r.toml", "[[quantize.rule]]\nmatch = \"mlp\"\n[[quantize.rule]]\nmatch = \"mlp\"\n");
  EXPECT_EQ(error("r.toml"), "r.toml:3:1: a second [[quantize.rule]] with match 'mlp'; the first stands at r.toml:1:1");
}

TEST_F(RecipeFile, RefusesAnUnknownRole) {
  write("r.toml", "[[quantize.rule]]\nmatch = \"atention\"\n");
  EXPECT_EQ(error("r.toml"), "r.toml:2:1: unknown role 'atention'; did you mean 'attention'?");
  write("glob.toml", kFunctionText + "[[quantize.rule]]\nmatch = \"model.layers.0.*\"\n");
  EXPECT_EQ(error("glob.toml"), "");
}

TEST_F(RecipeFile, RefusesAFunctionThatNothingDefines) {
  write("r.toml", "[graph]\nfunctions = [\"decod\"]\n[[function]]\nname = \"decode\"\nplugin = \"p\"\n");
  EXPECT_EQ(error("r.toml"),
            "r.toml:2:1: graph.functions names 'decod', but no [[function]] has that name; did you mean 'decode'?");
  write("none.toml", "schema = 1\n");
  EXPECT_THAT(error("none.toml"), HasSubstr("extend base.toml"));
}

TEST_F(RecipeFile, SaysWhereTomlIsBroken) {
  write("r.toml", "schema = 1\n[graph\n");
  EXPECT_THAT(error("r.toml"), testing::StartsWith("r.toml:2:7: not valid TOML: "));
  write("twice.toml", "[graph]\nprefill = 1\nprefill = 2\n");
  EXPECT_THAT(error("twice.toml"), testing::StartsWith("twice.toml:3:"));
}

TEST_F(RecipeFile, ResolvesPathsAgainstItsFolder) {
  std::filesystem::create_directories(folder_ / "sub/weights");
  write("sub/r.toml", kFunctionText + "[model]\nsource = \"weights\"\n[[adapter]]\npath = \"../lora\"\n");
  const Recipe r = load("sub/r.toml");
  EXPECT_EQ(r.model.source, (folder_ / "sub/weights").string());
  EXPECT_EQ(r.adapters.at(0).path, (folder_ / "lora").string());
}

TEST_F(RecipeFile, LeavesIdsAndSchemesAlone) {
  write("hub.toml", kFunctionText + "[model]\nsource = \"org/name\"\n");
  EXPECT_EQ(load("hub.toml").model.source, "org/name");
  write("made.toml", kFunctionText + "[model]\nsource = \"synthetic:llama\"\n");
  EXPECT_EQ(load("made.toml").model.source, "synthetic:llama");
}

TEST_F(RecipeFile, RemembersWhereValuesWereWritten) {
  write("r.toml", kFunctionText + "[quantize]\nbits = 4\n");
  const Recipe r = load("r.toml", {set("graph.prefill", "8")});
  EXPECT_EQ(without_folder(r.origin_of("quantize.bits").text), "r.toml:7:1");
  EXPECT_EQ(r.origin_of("graph.prefill").text, "--set graph.prefill=8");
  EXPECT_EQ(without_folder(r.origin_of("quantize.group_size").text), "r.toml:6:2");
  EXPECT_EQ(without_folder(r.origin_of("verify.prompts").text), "r.toml");
}

// ---------------------------------------------------------------- variants

TEST_F(RecipeExtends, StatesOnlyTheDifferences) {
  write("base.toml", kFunctionText + "[quantize]\nplugin = \"q\"\nbits = 4\ngroup_size = 16\n");
  write("variant.toml", "extends = \"base.toml\"\n[quantize]\nbits = 6\n");
  const Recipe r = load("variant.toml");
  EXPECT_EQ(r.quantize.plugin, "q");
  EXPECT_EQ(r.quantize.options, Value(Value::Table{{"bits", 6}, {"group_size", 16}}));
  EXPECT_EQ(without_folder(r.origin_of("quantize.bits").text), "variant.toml:3:1");
  EXPECT_EQ(without_folder(r.origin_of("quantize.group_size").text), "base.toml:9:1");
}

TEST_F(RecipeExtends, FollowsAChainAcrossFolders) {
  write("a/base.toml", kFunctionText + "[graph2]\n");
  write("a/base.toml", kFunctionText);
  write("middle.toml", "extends = \"a/base.toml\"\n[encoder]\nmax_length = 64\n");
  write("b/top.toml", "extends = \"../middle.toml\"\n");
  EXPECT_EQ(load("b/top.toml").encoder.at("max_length").as_int(), 64);
}

TEST_F(RecipeExtends, AnotherPluginDropsTheOptionsOfTheFirst) {
  write("base.toml", kFunctionText + R"([quantize]
plugin = "q"
bits = 4
[[quantize.rule]]
match = "lm_head"
bits = 6
[[quantize.rule]]
match = "mlp"
plugin = "own"
bits = 8
)");
  write("variant.toml", "extends = \"base.toml\"\n[quantize]\nplugin = \"other\"\nblock = 32\n");
  const Recipe r = load("variant.toml");
  EXPECT_EQ(r.quantize.options, Value(Value::Table{{"block", 32}}));
  ASSERT_EQ(r.quantize.rules.size(), 1U);
  EXPECT_EQ(r.quantize.rules[0].match, "mlp");
}

TEST_F(RecipeExtends, AnotherModelDropsTheRevisionOfTheFirst) {
  write("base.toml", kFunctionText + "[model]\nsource = \"org/one\"\nrevision = \"abc\"\ncache = \"x\"\n");
  write("variant.toml", "extends = \"base.toml\"\n[model]\nsource = \"org/two\"\n");
  const Recipe r = load("variant.toml");
  EXPECT_EQ(r.model.revision, "");
  EXPECT_TRUE(r.model.options.members().empty());
}

TEST_F(RecipeExtends, AdaptersReplaceThoseOfTheSameStack) {
  write("base.toml", kFunctionText + R"([[adapter]]
path = "/chat1"
[[adapter]]
path = "/enc1"
stack = "encoder"
)");
  write("variant.toml", "extends = \"base.toml\"\n[[adapter]]\npath = \"/chat2\"\n[[adapter]]\npath = \"/chat3\"\n");
  std::vector<std::string> paths;
  for (const AdapterSection& a : load("variant.toml").adapters) paths.push_back(a.path);
  EXPECT_THAT(paths, ElementsAre("/enc1", "/chat2", "/chat3"));
}

TEST_F(RecipeExtends, AnEmptyListRemovesWhatWasInherited) {
  write("base.toml", kFunctionText + "[[adapter]]\npath = \"/chat1\"\n");
  write("variant.toml", "extends = \"base.toml\"\nadapter = []\n");
  EXPECT_TRUE(load("variant.toml").adapters.empty());
}

TEST_F(RecipeExtends, RulesFollowInheritedOnesAndReplaceTheSameMatch) {
  write("base.toml",
        kFunctionText +
            "[[quantize.rule]]\nmatch = \"mlp\"\nbits = 6\n[[quantize.rule]]\nmatch = \"lm_head\"\nbits = 8\n");
  write("variant.toml", "extends = \"base.toml\"\n[[quantize.rule]]\nmatch = \"mlp\"\nbits = 2\n");
  const auto rules = load("variant.toml").quantize.rules;
  ASSERT_EQ(rules.size(), 2U);
  EXPECT_EQ(rules[0].match, "lm_head");
  EXPECT_EQ(rules[1].match, "mlp");
  EXPECT_EQ(rules[1].options.at("bits").as_int(), 2);
}

TEST_F(RecipeExtends, FunctionsMergeByName) {
  write("base.toml", kFunctionText);
  write("variant.toml", "extends = \"base.toml\"\n[[function]]\nname = \"decode\"\noptions = { a = 1 }\n");
  const auto functions = load("variant.toml").functions;
  ASSERT_EQ(functions.size(), 1U);
  EXPECT_EQ(functions[0].plugin, "emitter");
  EXPECT_EQ(functions[0].options.at("a").as_int(), 1);
}

TEST_F(RecipeExtends, SaysWhatIsMissing) {
  write("r.toml", "schema = 1\nextends = \"./gone.toml\"\n");
  EXPECT_EQ(error("r.toml"), "r.toml:2:1: gone.toml does not exist");
}

// ---------------------------------------------------------------- overrides

TEST_F(RecipeOverride, TakesTomlValuesAndBareWords) {
  write("r.toml", kFunctionText);
  const Recipe r = load("r.toml", {set("graph.context", "64"), set("graph.kv", "split"),
                                   set("graph.precision", "\"fp32\""), set("output.path", "/tmp/a b.mlpackage"),
                                   set("quantize.flag", "true"), set("quantize.list", "[1, 2]")});
  EXPECT_EQ(r.graph.at("context").as_int(), 64);
  EXPECT_EQ(r.graph.at("kv").as_text(), "split");
  EXPECT_EQ(r.graph.at("precision").as_text(), "fp32");
  EXPECT_EQ(r.output.path, "/tmp/a b.mlpackage");
  EXPECT_TRUE(r.quantize.options.at("flag").as_bool());
  EXPECT_EQ(r.quantize.options.at("list").items().size(), 2U);
}

TEST_F(RecipeOverride, ReachesIntoAndAppendsToLists) {
  write("r.toml", kFunctionText + "[[adapter]]\npath = \"/a\"\n");
  const Recipe r = load("r.toml", {set("adapter[0].weight", "0.5"), set("adapter[1].path", "/b")});
  ASSERT_EQ(r.adapters.size(), 2U);
  EXPECT_EQ(r.adapters[0].weight, 0.5);
  EXPECT_EQ(r.adapters[1].path, "/b");
  EXPECT_EQ(error("r.toml", {set("adapter[5].weight", "1")}),
            "--set adapter[5].weight=1: adapter has 1 entries, so the index may be at most 1 (which appends one)");
}

TEST_F(RecipeOverride, APlusSignAppends) {
  write("r.toml", kFunctionText + "[[adapter]]\npath = \"/a\"\n");
  const Recipe r = load("r.toml", {set("adapter[+]", "{ path = \"/b\" }"), set("adapter[+].path", "/c")});
  ASSERT_EQ(r.adapters.size(), 3U);
  EXPECT_EQ(r.adapters[1].path, "/b");
  EXPECT_EQ(r.adapters[2].path, "/c");
}

TEST_F(RecipeOverride, LaterOnesWin) {
  write("r.toml", kFunctionText);
  EXPECT_EQ(load("r.toml", {set("graph.prefill", "8"), set("graph.prefill", "16")}).graph.at("prefill").as_int(), 16);
}

TEST_F(RecipeOverride, ChoosingAPluginDropsTheRecipesOptionsButNotOtherOverrides) {
  write("r.toml", kFunctionText + "[quantize]\nplugin = \"q\"\nbits = 4\n");
  const Recipe none = load("r.toml", {set("quantize.plugin", "\"none\"")});
  EXPECT_EQ(none.quantize.plugin, "none");
  EXPECT_TRUE(none.quantize.options.members().empty());
  const Recipe other = load("r.toml", {set("quantize.block", "32"), set("quantize.plugin", "other")});
  EXPECT_EQ(other.quantize.options, Value(Value::Table{{"block", 32}}));
}

TEST_F(RecipeOverride, AWholeListIsMergedAsAVariantsWouldBe) {
  write("r.toml", kFunctionText + "[[adapter]]\npath = \"/a\"\n[[adapter]]\npath = \"/e\"\nstack = \"encoder\"\n");
  const Recipe r = load("r.toml", {set("adapter", R"([{ path = "/b" }])")});
  ASSERT_EQ(r.adapters.size(), 2U);
  EXPECT_EQ(r.adapters[0].path, "/e");
  EXPECT_EQ(r.adapters[1].path, "/b");
}

TEST_F(RecipeOverride, IsCheckedLikeAFile) {
  write("r.toml", kFunctionText);
  EXPECT_EQ(error("r.toml", {set("graph.contxt", "4")}),
            "--set graph.contxt=4: unknown key 'contxt' in [graph]; did you mean 'context'?");
  EXPECT_EQ(error("r.toml", {set("graph.context", "4x")}),
            "--set graph.context=4x: graph.context must be an integer, not a string");
  EXPECT_THAT(error("r.toml", {set("graph..context", "4")}), HasSubstr("is not a key; write it like"));
  EXPECT_THAT(error("r.toml", {set("graph.context", "[1")}), HasSubstr("not a valid TOML value"));
  EXPECT_THAT(error("r.toml", {set("schema.x", "1")}), HasSubstr("schema.x"));
  EXPECT_THAT(error("r.toml", {set("extends", "x")}), HasSubstr("can only stand in a recipe file"));
}

// ---------------------------------------------------------------- plugin options

constexpr d2c_option_spec kBits{sizeof kBits, "bits", D2C_VALUE_INTEGER, "4", "[2, 4, 6]", "Bits."};
constexpr d2c_option_spec kScale{sizeof kScale, "scale", D2C_VALUE_REAL, "1.5", nullptr, "Scale."};
constexpr d2c_option_spec kName{sizeof kName, "name", D2C_VALUE_TEXT, nullptr, nullptr, "Name."};
constexpr d2c_option_spec kExtra{sizeof kExtra, "extra", D2C_VALUE_TEXT, "null", nullptr, "Extra."};
constexpr const d2c_option_spec* kSpecs[] = {&kBits, &kScale, &kExtra};
constexpr const d2c_option_spec* kRequiredSpecs[] = {&kName};

TEST_F(PluginOptions, GetTheirDefaults) {
  write("r.toml", kFunctionText + "[quantize]\nscale = 2\n");
  const Recipe r = load("r.toml");
  const Value checked = check_options(r, "quantize", r.quantize.options, kSpecs);
  EXPECT_EQ(checked, Value(Value::Table{{"scale", 2}, {"bits", 4}}));
}

TEST_F(PluginOptions, AreRefusedWithTheirPlaceAndTheNearestName) {
  const auto message = [&](const std::string& text, std::span<const d2c_option_spec* const> specs) -> std::string {
    write("r.toml", kFunctionText + text);
    const Recipe r = load("r.toml");
    try {
      (void)check_options(r, "quantize", r.quantize.options, specs);
      return {};
    } catch (const Error& e) {
      return without_folder(e.what());
    }
  };
  EXPECT_EQ(message("[quantize]\nbitz = 4\n", kSpecs),
            "r.toml:7:1: unknown key 'bitz' in [quantize]; did you mean 'bits'?");
  EXPECT_EQ(message("[quantize]\npluginn = \"x\"\n", kSpecs),
            "r.toml:7:1: unknown key 'pluginn' in [quantize]; did you mean 'plugin'?");
  EXPECT_EQ(message("[quantize]\nbits = 5\n", kSpecs), "r.toml:7:1: quantize.bits must be one of 2,4,6, not 5");
  EXPECT_EQ(message("[quantize]\nbits = \"4\"\n", kSpecs),
            "r.toml:7:1: quantize.bits must be an integer, not a string");
  EXPECT_EQ(message("[quantize]\nplugin = \"q\"\n", kRequiredSpecs), "r.toml:6:2: quantize lacks 'name': Name.");
}

TEST_F(PluginOptions, OfARulePointToTheSectionWhereTheyCameFromIt) {
  write("r.toml", kFunctionText + "[quantize]\nbits = 5\n[[quantize.rule]]\nmatch = \"mlp\"\nscale = 2.0\n");
  const Recipe r = load("r.toml");
  Value merged = r.quantize.options;
  merged.set("scale", 2.0);
  try {
    (void)check_options(r, "quantize.rule[0]", merged, kSpecs);
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(without_folder(e.what()), testing::StartsWith("r.toml:7:1: quantize.rule[0].bits must be one of"));
  }
}

// ---------------------------------------------------------------- what is written back

TEST_F(RecipeFile, ShownRecipeLoadsToTheSame) {
  write("r.toml", kFunctionText + R"([model]
source = "/a \"quoted\"\\ \u0007 path"
weird-key = { "a b" = [1, 2.0, true, "x"], c = {} }
[[adapter]]
path = "/x"
weight = 3
[quantize]
plugin = "q"
tiny = 1e-30
[[quantize.rule]]
match = "mlp"
bits = 2
[[plugin]]
name = "q"
)");
  const Recipe r = load("r.toml");
  write("shown.toml", to_toml(r));
  EXPECT_EQ(load("shown.toml").resolved, r.resolved);
}

TEST_F(RecipeFile, PublishedRecipeNamesNoFolder) {
  std::filesystem::create_directories(folder_ / "private/weights");
  write("private/r.toml",
        kFunctionText + "[model]\nsource = \"./weights\"\n[output]\npath = \"/home/me/x.mlpackage\"\n");
  const Value published = publishable(load("private/r.toml"));
  EXPECT_EQ(published.at("model").at("source").as_text(), "weights");
  EXPECT_EQ(published.at("output").find("path"), nullptr);
}

TEST(RecipeCheck, AcceptsEqualNumbersOfEitherKind) {
  EXPECT_NO_THROW(check_value(Value(4.0), {D2C_VALUE_REAL, "[4]"}, "x", "here"));
  EXPECT_NO_THROW(check_value(Value(Value::List{"a", "b"}), {D2C_VALUE_LIST, R"(["a", "b", "c"])"}, "x", "here"));
  EXPECT_THROW(check_value(Value(Value::List{"a", "d"}), {D2C_VALUE_LIST, R"(["a", "b", "c"])"}, "x", "here"), Error);
}

}  // namespace
}  // namespace d2c::host
