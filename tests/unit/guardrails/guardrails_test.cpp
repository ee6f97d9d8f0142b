#include "host/guardrails/guardrails.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace d2c::host {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// A small package that nothing is known against, on the Neural Engine either.
PackageFacts sound_package(const std::string& compute_units = "CPU_AND_NE") {
  PackageFacts facts;
  facts.compute_units = compute_units;
  facts.functions = {{"init",
                      {{"input_ids", {DType::i32, {1, 32}}}},
                      {{"kv_cache", {DType::f16, {4, 2, 64, 32}}}},
                      {{"logits", {DType::f16, {1, 512}}}},
                      {}}};
  facts.weights = {{"up_proj", {64, 32}, WeightFacts::Form::palette, 6, 16, 1000}};
  facts.weight_bytes = 1000;
  return facts;
}

std::vector<std::string> ids(const PackageFacts& facts) {
  std::vector<std::string> ids;
  for (const Finding& f : check_guardrails(facts, {}, "")) ids.emplace_back(f.rule->id);
  return ids;
}

struct Breach {
  const char* rule;
  void (*commit)(PackageFacts& facts);
};

/// One way to go against each rule.
const Breach kBreaches[] = {
    {"specification-version", [](PackageFacts& f) { f.specification_version = 8; }},
    {"state-type", [](PackageFacts& f) { f.functions[0].states[0].type.dtype = DType::f32; }},
    {"output-type", [](PackageFacts& f) { f.functions[0].outputs[0].type.dtype = DType::boolean; }},
    {"rank", [](PackageFacts& f) { f.functions[0].inputs[0].type.shape = {1, 1, 1, 1, 1, 32}; }},
    {"weight-ceiling", [](PackageFacts& f) { f.weight_bytes = (std::uint64_t{1} << 31) + 1; }},
    {"state-width", [](PackageFacts& f) { f.functions[0].states[0].type.shape.back() = 270; }},
    {"state-count",
     [](PackageFacts& f) {
       f.functions[0].states.push_back({"v", {DType::f16, {1, 32}}});
     }},
    {"prefill-length", [](PackageFacts& f) { f.functions[0].inputs[0].type.shape.back() = 33; }},
    {"tensor-dimension", [](PackageFacts& f) { f.weights[0].shape[0] = 65537; }},
    {"blocks-on-neural-engine", [](PackageFacts& f) { f.weights[0].form = WeightFacts::Form::blockwise; }},
    {"four-bits-with-states", [](PackageFacts& f) { f.weights[0].bits = 4; }},
    {"fused-attention", [](PackageFacts& f) { f.functions[0].ops["scaled_dot_product_attention"] = 1; }},
    {"few-bits", [](PackageFacts& f) { f.weights[0].bits = 3; }},
    {"small-groups", [](PackageFacts& f) { f.weights[0].group = 4; }},
    {"palettes-on-gpu", [](PackageFacts& f) { f.compute_units = "CPU_AND_GPU"; }},
    {"block-size",
     [](PackageFacts& f) {
       f.compute_units = "CPU_AND_GPU";
       f.weights[0] = {"up_proj", {64, 32}, WeightFacts::Form::blockwise, 4, 16, 1000};
     }},
    {"phone-memory",
     [](PackageFacts& f) {
       f.compute_units = "CPU_ONLY";
       f.weight_bytes = 4'000'000'000;
     }},
};

TEST(Guardrails, FindNothingInASoundPackage) {
  EXPECT_THAT(ids(sound_package()), IsEmpty());
  EXPECT_THAT(ids(sound_package("CPU_ONLY")), IsEmpty());
}

TEST(Guardrails, EachRuleFindsWhatGoesAgainstItAndNothingElse) {
  std::set<std::string> tried;
  for (const Breach& breach : kBreaches) {
    PackageFacts facts = sound_package();
    breach.commit(facts);
    EXPECT_THAT(ids(facts), ElementsAre(breach.rule));
    tried.insert(breach.rule);
  }
  for (const Guardrail& rule : guardrails()) EXPECT_TRUE(tried.contains(rule.id)) << rule.id << " is untested";
}

TEST(Guardrails, RulesOfAUnitThatIsNotMeantAreLeftOut) {
  PackageFacts facts = sound_package("CPU_ONLY");
  facts.functions[0].states[0].type.shape.back() = 270;
  EXPECT_THAT(ids(facts), IsEmpty());
}

TEST(Guardrails, AnErrorOfTheNeuralEngineIsAWarningWhereAnotherUnitMayDo) {
  PackageFacts facts = sound_package("CPU_AND_NE");
  facts.weight_bytes = std::uint64_t{1} << 32;
  const auto strict = check_guardrails(facts, {}, "");
  ASSERT_NE(first_error(strict), nullptr);
  EXPECT_STREQ(first_error(strict)->rule->id, "weight-ceiling");
  facts.compute_units = "ALL";
  const auto lenient = check_guardrails(facts, {}, "");
  EXPECT_EQ(first_error(lenient), nullptr);
  EXPECT_EQ(lenient.front().severity, Severity::warning);
}

TEST(Guardrails, AnErrorIsAcceptedByNameOnly) {
  PackageFacts facts = sound_package();
  facts.functions[0].states[0].type.shape.back() = 270;
  const std::vector<std::string> other{"weight-ceiling"}, right{"state-width"}, wrong{"state-widht"};
  EXPECT_NE(first_error(check_guardrails(facts, other, "")), nullptr);
  const auto findings = check_guardrails(facts, right, "");
  EXPECT_EQ(first_error(findings), nullptr);
  EXPECT_TRUE(findings.front().accepted);
  try {
    static_cast<void>(check_guardrails(facts, wrong, "recipe.toml:3:1"));
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "recipe.toml:3:1: there is no guardrail 'state-widht'; did you mean 'state-width'?");
  }
}

TEST(Guardrails, AFindingSaysWhereAndWhatToDo) {
  PackageFacts facts = sound_package();
  facts.weight_bytes = 4'020'000'000;
  EXPECT_THAT(check_guardrails(facts, {}, "").front().text(),
              AllOf(HasSubstr("weight-ceiling: "), HasSubstr("Here: 4.02 GB of weights."),
                    HasSubstr("target.compute_units"), HasSubstr("reported: coremltools")));
}

TEST(Guardrails, ErrorsComeFirst) {
  PackageFacts facts = sound_package();
  facts.weights[0].bits = 2;
  facts.weight_bytes = std::uint64_t{1} << 32;
  EXPECT_THAT(ids(facts), ElementsAre("weight-ceiling", "few-bits", "phone-memory"));
}

TEST(Guardrails, EveryRuleIsToldInFull) {
  std::set<std::string> seen;
  for (const Guardrail& rule : guardrails()) {
    EXPECT_TRUE(seen.insert(rule.id).second) << rule.id;
    for (const std::string text : {rule.what, rule.why}) EXPECT_TRUE(text.ends_with(".")) << text;
    EXPECT_GT(std::string(rule.source).size(), 5u) << rule.id;
    EXPECT_GT(std::string(rule.key).size(), 5u) << rule.id;
  }
}

TEST(Guardrails, TheDocumentIsTheTable) {
  std::ifstream file("docs/guardrails.md");
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), guardrail_reference()) << "run: dolphin2coreml lint --reference > docs/guardrails.md";
}

}  // namespace
}  // namespace d2c::host
