#include "plugins/lora_unsloth/keys.hpp"

#include <gtest/gtest.h>

namespace d2c::lora {
namespace {

void expect_key(const char* name, const char* owner, Part part) {
  const Key key = parse_key(name);
  EXPECT_EQ(key.owner, owner) << name;
  EXPECT_EQ(key.part, part) << name;
}

TEST(ParseKey, KnowsTheFactorsWithAndWithoutAnAdapterName) {
  expect_key("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", "model.layers.0.mlp.up_proj", Part::lora_a);
  expect_key("base_model.model.layers.0.mlp.up_proj.lora_B.default.weight", "layers.0.mlp.up_proj", Part::lora_b);
  expect_key("base_model.model.model.embed_tokens.lora_embedding_A.default", "model.embed_tokens", Part::embedding_a);
}

TEST(ParseKey, KnowsMagnitudesWithAndWithoutSuffix) {
  expect_key("base_model.model.lm_head.lora_magnitude_vector", "lm_head", Part::magnitude);
  expect_key("base_model.model.lm_head.lora_magnitude_vector.default.weight", "lm_head", Part::magnitude);
}

TEST(ParseKey, TakesTheRestForWholeTensors) {
  expect_key("base_model.model.lm_head.weight", "lm_head.weight", Part::whole);
  expect_key("base_model.model.lm_head.modules_to_save.default.weight", "lm_head.weight", Part::whole);
  expect_key("lm_head.lora_C.weight", "lm_head.lora_C.weight", Part::whole);
}

TEST(ParseKey, LeavesOtherAdapterNamesIn) {
  expect_key("base_model.model.lm_head.lora_A.other.weight", "lm_head.lora_A.other.weight", Part::whole);
}

}  // namespace
}  // namespace d2c::lora
