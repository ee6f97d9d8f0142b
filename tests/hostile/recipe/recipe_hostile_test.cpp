// Recipes that nobody wrote in good faith: each is an error of one sentence, never a crash.
#include "host/recipe/document.hpp"
#include "tests/unit/recipe/recipe_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace d2c::host {
namespace {

using testing::HasSubstr;

class HostileRecipe : public RecipeFolder {};

std::string repeated(const std::string& text, std::size_t count) {
  std::string out;
  out.reserve(text.size() * count);
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

std::string error_of(const std::string& text) {
  try {
    (void)parse_document(text, "x.toml");
    return {};
  } catch (const Error& e) {
    return e.what();
  }
}

TEST_F(HostileRecipe, OfEndlessSizeIsRefused) {
  write("r.toml", "# " + std::string(2 << 20, 'x'));
  EXPECT_THAT(error("r.toml"), HasSubstr("larger than 1 MiB"));
}

TEST_F(HostileRecipe, ThatIsAFolderOrNothingIsRefused) {
  EXPECT_THAT(error(""), HasSubstr("is a folder"));
  EXPECT_THAT(error("absent.toml"), HasSubstr("cannot be read"));
}

TEST_F(HostileRecipe, OfRandomBytesIsRefused) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::string bytes(1 + random() % 300, '\0');
    for (char& b : bytes) b = static_cast<char>(random());
    write("r.toml", "\x01" + bytes);
    EXPECT_THAT(error("r.toml"), HasSubstr("not valid TOML")) << round;
  }
}

TEST_F(HostileRecipe, ThatNestsDeeplyIsRefused) {
  EXPECT_THAT(error_of("a = " + repeated("[", 100000)), HasSubstr("x.toml:1:37: brackets nested deeper"));
  EXPECT_THAT(error_of("a = " + repeated("{b=", 100000)), HasSubstr("brackets nested deeper"));
  EXPECT_THAT(error_of("\n" + repeated("a.", 300000) + "a = 1"), HasSubstr("x.toml:2:66: a key deeper"));
  EXPECT_THAT(error_of(repeated("\"a\" . ", 300000) + "a = 1"), HasSubstr("a key deeper"));
  EXPECT_THAT(error_of("[" + repeated("a.", 300000) + "a]"), HasSubstr("a key deeper"));
  EXPECT_THAT(error_of("a = " + repeated("[{" + repeated("a.", 30) + "a = ", 15)),
              testing::Not(HasSubstr("deeper than 32")));
  EXPECT_THAT(
      error_of(repeated("a.", 30) + "a = " + repeated("{" + repeated("b.", 30) + "b = ", 3) + "1" + repeated("}", 3)),
      HasSubstr("nested deeper than 64"));
}

TEST_F(HostileRecipe, WithDotsAndBracketsInStringsIsFine) {
  EXPECT_EQ(error_of("a = \"" + repeated("[.\\\"", 1000) + "\"\nb = '" + repeated("{.", 1000) + "'"), "");
  EXPECT_EQ(
      error_of("a = \"\"\"" + repeated("[.\n\"\" ", 100) + "\"\"\"\"\"\nb = '''" + repeated("[.'\n", 100) + "'''"), "");
  EXPECT_EQ(error_of("# " + repeated("[.", 1000) + "\na = 1"), "");
}

TEST_F(HostileRecipe, ThatExtendsItselfIsRefused) {
  write("self.toml", "extends = \"self.toml\"\n");
  EXPECT_EQ(error("self.toml"), "self.toml:1:1: self.toml extends this recipe, directly or through others");
  write("a.toml", "extends = \"b.toml\"\n");
  write("b.toml", "extends = \"./a.toml\"\n");
  EXPECT_EQ(error("a.toml"), "b.toml:1:1: a.toml extends this recipe, directly or through others");
}

TEST_F(HostileRecipe, WithAnEndlessChainIsRefused) {
  for (int i = 0; i < 100; ++i) write("r" + std::to_string(i), "extends = 'r" + std::to_string(i + 1) + "'\n");
  EXPECT_THAT(error("r0"), HasSubstr("more than 16 recipes extend each other"));
}

TEST_F(HostileRecipe, WithOddValuesIsRefused) {
  EXPECT_THAT(error_of("a = inf"), HasSubstr("inf and nan"));
  EXPECT_THAT(error_of("a = [1, nan]"), HasSubstr("x.toml:1:9: inf and nan"));
  EXPECT_THAT(error_of("a = 2024-01-01"), HasSubstr("dates"));
  EXPECT_THAT(error_of("a = 99999999999999999999"), HasSubstr("not valid TOML"));
  EXPECT_THAT(error_of("[`"), HasSubstr("not valid TOML"));
  EXPECT_THAT(error_of("a = \"\xff\""), HasSubstr("not valid TOML"));
  write("empty_key.toml", "\"\" = 1\n");
  EXPECT_THAT(error("empty_key.toml"), HasSubstr("unknown key ''"));
}

TEST_F(HostileRecipe, SectionsOfEveryWrongShapeAreRefused) {
  for (const char* section : {"model", "adapter", "adapters", "graph", "encoder", "function", "quantize",
                              "quantize.rule", "target", "output", "verify", "plugin", "schema", "extends"})
    for (const char* value : {"1", "\"x\"", "[1]", "[[]]", "{ x = { y = 1 } }", "[{}]", "true"}) {
      const std::string text = std::string(section) + " = " + value + "\n";
      write("r.toml", text);
      EXPECT_NE(error("r.toml"), "") << text;
    }
}

TEST_F(HostileRecipe, OverridesOfEveryWrongShapeAreRefused) {
  write("r.toml", kFunctionText);
  for (const char* key : {"",
                          ".",
                          "a",
                          "graph",
                          "graph.",
                          ".graph",
                          "graph[0]",
                          "adapter[",
                          "adapter[]",
                          "adapter[x]",
                          "adapter[0",
                          "adapter[0]]",
                          "adapter[-1].path",
                          "adapter[99999999999999999999].path",
                          "adapter[0][0]",
                          "adapter.path",
                          "graph.functions.x",
                          "graph.functions[0].x",
                          "schema.x",
                          "\n",
                          "a b",
                          "quantize.rule"})
    EXPECT_NE(error("r.toml", {set(key, "7")}), "") << key;
  EXPECT_NE(error("r.toml", {set(repeated("a.", 100000) + "a", "7")}), "");
}

TEST_F(HostileRecipe, AnOverrideCannotSmuggleKeysIn) {
  write("r.toml", kFunctionText);
  EXPECT_EQ(error("r.toml", {{"graph.prefill", "8\nother = 1", "--set"}}),
            "--set: graph.prefill must be an integer, not a string");
}

}  // namespace
}  // namespace d2c::host
