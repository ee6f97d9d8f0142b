#include "tests/golden/lora_unsloth/golden_set.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <ostream>
#include <set>

namespace d2c::lora::testing {

using ::testing::Contains;

struct GoldenCase {
  fs::path folder;
  Value data;

  [[nodiscard]] const std::string& name() const { return data.at("name").as_text(); }
  friend std::ostream& operator<<(std::ostream& out, const GoldenCase& c) {
    return out << c.name() << " in " << c.folder.string();
  }
};

namespace {

std::vector<GoldenCase> cases(const std::string& kind) {
  std::vector<GoldenCase> all;
  for (const fs::path& folder : golden_folders())
    for (Value& c : cases_of_kind(folder, kind)) all.push_back({folder, std::move(c)});
  return all;
}

/// PEFT's "set" (several active adapters) merges them one after another.
std::string combination_of(const Value& data) {
  const std::string type = data.text_or("combination_type", "sequential");
  return type == "set" ? "sequential" : type;
}

/// The part that PiSSA took out of its base is known only as well as a decomposition in fp32 tells it.
bool is_refused_by_design(const Value& data) { return data.at("name").as_text() == "adapter/pissa_raw"; }

std::set<std::string> texts(const Value& list) {
  std::set<std::string> out;
  for (const Value& v : list.items()) out.insert(v.as_text());
  return out;
}

/// The reference merges into the one tensor that a tied embedding and head share; here each is a tensor of its own, so
/// that the result equals the model before the merge, and only what the adapter names changes.
bool is_other_half_of_tied_pair(const Model& model, const std::string& tensor) {
  return model.base.tied && (tensor == "lm_head.weight" || tensor == "model.embed_tokens.weight");
}

void expect_close(const std::vector<float>& merged, const std::vector<float>& expected, const Value& tolerance,
                  const std::string& tensor) {
  ASSERT_EQ(merged.size(), expected.size()) << tensor;
  const double absolute = tolerance.at("merged_fp32_abs").as_real(),
               relative = tolerance.at("merged_fp32_rel").as_real();
  for (std::size_t i = 0; i < merged.size(); ++i) {
    ASSERT_NEAR(merged[i], expected[i], absolute + relative * std::abs(static_cast<double>(expected[i])))
        << tensor << " element " << i;
  }
}

class MergeGolden : public ::testing::TestWithParam<GoldenCase> {};
class RejectGolden : public ::testing::TestWithParam<GoldenCase> {};

TEST_P(MergeGolden, MergesAsTheReferenceDoes) {
  const fs::path& folder = GetParam().folder;
  const Value& data = GetParam().data;
  const Model model(folder / data.at("model").as_text());
  RecordingHost host;
  const Config options = stack_options(adapters_of(data, folder), combination_of(data), data.find("combine_kwargs"));
  if (is_refused_by_design(data)) {
    EXPECT_THROW(LoraUnsloth(host.host(), options), Error);
    return;
  }
  LoraUnsloth merger(host.host(), options);
  merger.bind(model.base);
  const safetensors::File golden((folder / data.at("merged_fp32").as_text()).string());
  std::set<std::string> changed = texts(data.at("changed_tensors"));
  for (const AdapterTarget& target : merger.targets()) {
    const safetensors::Tensor* expected = golden.find(target.tensor);
    ASSERT_NE(expected, nullptr) << target.tensor << " is a target, but the reference does not change it";
    const std::vector<float> merged = merge(merger, target, model.weights.at(target.tensor), 16);
    expect_close(merged, load(golden, *expected).values, data.at("tolerance"), target.tensor);
    EXPECT_EQ(merged, merge(merger, target, model.weights.at(target.tensor), 7))
        << target.tensor << " depends on the tiling";
    changed.erase(target.tensor);
  }
  for (const std::string& left : changed)
    EXPECT_TRUE(is_other_half_of_tied_pair(model, left)) << left << " should have changed";
}

TEST_P(MergeGolden, OffersFactorsWhoseProductIsTheChange) {
  const fs::path& folder = GetParam().folder;
  const Value& data = GetParam().data;
  if (is_refused_by_design(data)) return;
  const Model model(folder / data.at("model").as_text());
  RecordingHost host;
  LoraUnsloth merger(host.host(),
                     stack_options(adapters_of(data, folder), combination_of(data), data.find("combine_kwargs")));
  merger.bind(model.base);
  for (const AdapterTarget& target : merger.targets()) {
    if ((target.flags & D2C_TARGET_LOW_RANK) == 0) {
      EXPECT_GE(target.rank, 0);
      EXPECT_THROW((void)merger.factor(target.tensor, D2C_FACTOR_A, false), Error);
      continue;
    }
    const Matrix& base = model.weights.at(target.tensor);
    const Factor a = merger.factor(target.tensor, D2C_FACTOR_A, true),
                 b = merger.factor(target.tensor, D2C_FACTOR_B, true);
    ASSERT_EQ(a.rows, target.rank);
    ASSERT_EQ(a.columns, base.shape[1]);
    ASSERT_EQ(b.rows, base.shape[0]);
    ASSERT_EQ(b.columns, target.rank);
    const std::vector<float> merged = merge(merger, target, base, 64);
    for (std::int64_t i = 0; i < b.rows; ++i) {
      for (std::int64_t j = 0; j < a.columns; ++j) {
        double sum = base.values[static_cast<std::size_t>(i * a.columns + j)];
        for (std::int64_t k = 0; k < a.rows; ++k)
          sum += static_cast<double>(b.values[static_cast<std::size_t>(i * b.columns + k)]) *
                 a.values[static_cast<std::size_t>(k * a.columns + j)];
        ASSERT_NEAR(merged[static_cast<std::size_t>(i * a.columns + j)], sum, 1e-5 + 1e-5 * std::abs(sum))
            << target.tensor;
      }
    }
  }
}

TEST_P(RejectGolden, IsRefusedWithASentenceOrAcceptedAsExpected) {
  const fs::path& folder = GetParam().folder;
  const Value& data = GetParam().data;
  const Model model(folder / data.at("model").as_text());
  const std::string& expectation = data.at("expect").as_text();
  const bool must_accept = expectation == "accept" || expectation == "accept_normalised";
  const bool must_refuse = expectation == "reject" || expectation == "reject_or_warn";
  RecordingHost host;
  try {
    LoraUnsloth merger(host.host(), stack_options(adapters_of(data, folder)));
    merger.bind(model.base);
    EXPECT_FALSE(must_refuse) << "accepted, although: " << data.at("reason").as_text();
    EXPECT_FALSE(merger.targets().empty());
  } catch (const Error& e) {
    EXPECT_FALSE(must_accept) << e.what();
    EXPECT_EQ(e.code(), Code::input) << e.what();
    EXPECT_THAT(
        std::string(e.what()),
        ::testing::HasSubstr(fs::path(data.at("adapters").items().front().at("dir").as_text()).filename().string()));
    RecordProperty("message", e.what());
  }
}

INSTANTIATE_TEST_SUITE_P(Goldens, MergeGolden, ::testing::ValuesIn(cases("lora_merge")));
INSTANTIATE_TEST_SUITE_P(Goldens, RejectGolden, ::testing::ValuesIn(cases("reject")));

}  // namespace
}  // namespace d2c::lora::testing
