// The shipped recipes, the schema and the reference agree with the table of keys.
#include "host/recipe/document.hpp"
#include "host/recipe/recipe.hpp"
#include "libs/json/json.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace d2c::host {
namespace {

std::vector<std::filesystem::path> shipped() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator("configs"))
    if (entry.path().extension() == ".toml") files.push_back(entry.path());
  return files;
}

std::string read(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

/// The part of JSON Schema that recipe_schema uses.
std::string violation(const Value& schema, const Value& value, const std::string& where) {
  if (const Value* choices = schema.find("enum")) {
    const auto& all = choices->items();
    if (std::find(all.begin(), all.end(), value) == all.end()) return where + ": not one of the values";
  }
  const std::string type = schema.text_or("type", "");
  if (type == "object") {
    if (!value.is_table()) return where + ": no table";
    for (const auto& [key, member] : value.members()) {
      const Value* property = schema.at("properties").find(key);
      if (property == nullptr && !schema.bool_or("additionalProperties", true)) return where + "." + key + ": unknown";
      if (property == nullptr) continue;
      if (std::string v = violation(*property, member, where + "." + key); !v.empty()) return v;
    }
    if (const Value* required = schema.find("required"))
      for (const Value& key : required->items())
        if (value.find(key.as_text()) == nullptr) return where + ": lacks " + key.as_text();
  } else if (type == "array") {
    if (!value.is_list()) return where + ": no list";
    for (const Value& item : value.items())
      if (std::string v = violation(schema.at("items"), item, where + "[]"); !v.empty()) return v;
  } else if ((type == "integer" && !value.is_integer()) || (type == "number" && !value.is_number()) ||
             (type == "string" && !value.is_text()) || (type == "boolean" && !value.is_bool())) {
    return where + ": no " + type;
  }
  return {};
}

constexpr d2c_option_spec kBits{sizeof kBits, "bits", D2C_VALUE_INTEGER, "4", "[1, 2, 3, 4, 6, 8]", "Bits."};
constexpr d2c_option_spec kGroupSize{sizeof kGroupSize, "group_size", D2C_VALUE_INTEGER, "16", nullptr, "Rows."};

Value strict_schema() {
  return recipe_schema(
      {{"model", {}}, {"adapters", {}}, {"function", {}}, {"quantize", {&kBits, &kGroupSize}}, {"output", {}}});
}

TEST(ShippedRecipes, Load) {
  ASSERT_GE(shipped().size(), 7U);
  for (const auto& file : shipped()) {
    const Recipe recipe = load_recipe(file, {});
    EXPECT_EQ(recipe.functions.size(), 3U) << file;
    EXPECT_EQ(recipe.functions.back().stack, "encoder") << file;
    EXPECT_EQ(recipe.quantize.options.at("bits").as_int(), 4) << file;
  }
}

TEST(ShippedRecipes, OpenWithWhatTheyMake) {
  for (const auto& file : shipped()) EXPECT_TRUE(read(file).starts_with("# ")) << file;
}

TEST(ShippedRecipes, FitTheSchema) {
  for (const auto& file : shipped())
    EXPECT_EQ(violation(strict_schema(), parse_document(read(file), file.string()).value(), ""), "") << file;
}

TEST(ShippedRecipes, TheTinyOneFindsItsModel) {
  EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(load_recipe("configs/tiny.toml", {}).model.source) /
                                      "config.json"));
}

TEST(RecipeSchema, RefusesWhatTheCheckerRefuses) {
  const Value schema = strict_schema();
  for (const char* text : {"grph = 1", "[graph]\ncontxt = 1", "[graph]\nkv = \"x\"", "[quantize]\nbits = 5",
                           "[[adapter]]\nweight = 1", "[quantize]\nbits = \"4\"", "[adapter]\n"})
    EXPECT_NE(violation(schema, parse_document(text, "x").value(), ""), "") << text;
}

TEST(RecipeSchema, KeepsBothMeaningsOfASharedOptionName) {
  constexpr d2c_option_spec other{sizeof other, "bits", D2C_VALUE_TEXT, "\"auto\"", nullptr, "Bits."};
  const Value schema = recipe_schema({{"quantize", {&kBits, &other}}});
  EXPECT_EQ(schema.at("properties").at("quantize").at("properties").at("bits").at("anyOf").items().size(), 2U);
}

TEST(RecipeReference, StandsInTheDocumentationAsItIs) {
  EXPECT_NE(read("docs/recipe.md").find(recipe_reference()), std::string::npos)
      << "docs/recipe.md is out of date; put this where its tables are:\n"
      << recipe_reference();
}

}  // namespace
}  // namespace d2c::host
