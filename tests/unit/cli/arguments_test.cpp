#include "host/cli/arguments.hpp"

#include "host/cli/parse_size.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace d2c::host::cli {
namespace {

using testing::HasSubstr;

std::optional<Answer> parse(std::vector<const char*> words, Arguments& arguments) {
  words.insert(words.begin(), "dolphin2coreml");
  return parse(static_cast<int>(words.size()), words.data(), arguments);
}

Arguments parsed(const std::vector<const char*>& words) {
  Arguments arguments;
  EXPECT_FALSE(parse(words, arguments).has_value());
  return arguments;
}

std::string error(const std::vector<const char*>& words) {
  Arguments arguments;
  try {
    (void)parse(words, arguments);
    return {};
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::usage);
    return e.what();
  }
}

std::string answer(const std::vector<const char*>& words) {
  Arguments arguments;
  const auto text = parse(words, arguments);
  return text ? text->text : std::string();
}

/// The recipe that the shipped base becomes.
Recipe recipe_of(const std::vector<const char*>& words) {
  return load_recipe("configs/base.toml", parsed(words).overrides);
}

TEST(Arguments, SayWhatAndHowToConvert) {
  const Arguments a = parsed(
      {"convert", "mine.toml", "-o", "out.mlpackage", "--force", "-j", "3", "--max-memory", "2G", "--no-resume"});
  EXPECT_EQ(a.command, Command::convert);
  EXPECT_EQ(a.subject, "mine.toml");
  EXPECT_EQ(a.run.output, "out.mlpackage");
  EXPECT_TRUE(a.run.force);
  EXPECT_EQ(a.run.threads, 3U);
  EXPECT_EQ(a.run.max_memory, std::uint64_t{2} << 30);
  EXPECT_FALSE(a.run.resume);
}

TEST(Arguments, HaveQuietDefaults) {
  const Arguments a = parsed({"plan"});
  EXPECT_EQ(a.command, Command::plan);
  EXPECT_TRUE(a.subject.empty());
  EXPECT_FALSE(a.names_model || a.json || a.quiet || a.run.force);
  EXPECT_TRUE(a.run.resume);
}

TEST(Arguments, TakeADryRunForAPlan) { EXPECT_EQ(parsed({"convert", "tiny", "--dry-run"}).command, Command::plan); }

TEST(Arguments, TakeCommonFlagsOnEitherSideOfTheCommand) {
  for (const auto& a :
       {parsed({"-v", "--json", "--plugin-dir", "p", "plan"}), parsed({"plan", "-v", "--json", "--plugin-dir", "p"})}) {
    EXPECT_EQ(a.verbose, 1);
    EXPECT_TRUE(a.json);
    EXPECT_THAT(a.plugin_dirs, testing::ElementsAre("p"));
  }
  EXPECT_TRUE(parsed({"plan", "-q"}).quiet);
  EXPECT_EQ(parsed({"plan", "--color", "never"}).color, ColorMode::never);
  EXPECT_FALSE(parsed({"convert", "--no-progress"}).progress);
}

TEST(Arguments, ReachEveryCommand) {
  EXPECT_EQ(parsed({"inspect", "x"}).command, Command::inspect);
  EXPECT_EQ(parsed({"clean", "x"}).command, Command::clean);
  EXPECT_EQ(parsed({"doctor"}).command, Command::doctor);
  EXPECT_EQ(parsed({"doctor", "folder"}).subject, "folder");
  EXPECT_EQ(parsed({"plugins", "list"}).command, Command::plugins_list);
  EXPECT_EQ(parsed({"plugins", "info", "x"}).subject, "x");
  EXPECT_EQ(parsed({"recipe", "check", "x"}).command, Command::recipe_check);
  EXPECT_EQ(parsed({"recipe", "show", "x"}).command, Command::recipe_show);
  EXPECT_EQ(parsed({"recipe", "schema"}).command, Command::recipe_schema);
}

TEST(Arguments, SayWhatToGenerateAndHow) {
  const Arguments a = parsed({"generate",
                              "p.mlpackage",
                              "--tokens",
                              "1,2,3",
                              "--teacher-force",
                              "5,6",
                              "--max-new-tokens",
                              "16",
                              "--temperature",
                              "0.7",
                              "--top-k",
                              "40",
                              "--top-p",
                              "0.9",
                              "--min-p",
                              "0.05",
                              "--repetition-penalty",
                              "1.1",
                              "--seed",
                              "9",
                              "--precision",
                              "fp16",
                              "-j",
                              "2",
                              "--logits-out",
                              "l.safetensors",
                              "--json"});
  EXPECT_EQ(a.command, Command::generate);
  EXPECT_EQ(a.subject, "p.mlpackage");
  EXPECT_THAT(a.generate.tokens, testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(a.generate.teacher_force, testing::ElementsAre(5, 6));
  EXPECT_EQ(a.generate.max_new_tokens, 16);
  EXPECT_EQ(a.generate.sampling.temperature, 0.7);
  EXPECT_EQ(a.generate.sampling.top_k, 40);
  EXPECT_EQ(a.generate.sampling.top_p, 0.9);
  EXPECT_EQ(a.generate.sampling.min_p, 0.05);
  EXPECT_EQ(a.generate.sampling.repetition_penalty, 1.1);
  EXPECT_EQ(a.generate.sampling.seed, 9U);
  EXPECT_EQ(a.generate.runner.precision, "fp16");
  EXPECT_EQ(a.generate.runner.threads, 2U);
  EXPECT_EQ(a.generate.logits_out, "l.safetensors");
  EXPECT_FALSE(a.generate.stop_at_eos.has_value());
  EXPECT_EQ(parsed({"generate", "p", "--stop-at-eos"}).generate.stop_at_eos, true);
  EXPECT_EQ(parsed({"generate", "p", "--ignore-eos"}).generate.stop_at_eos, false);
}

TEST(Arguments, SayHowToChat) {
  const Arguments a =
      parsed({"chat", "p", "--system", "Be brief.", "--chat-template", "chatml", "--overflow", "shift", "--once"});
  EXPECT_EQ(a.command, Command::chat);
  EXPECT_EQ(a.chat.chat.system, "Be brief.");
  EXPECT_EQ(a.chat.chat_template, "chatml");
  EXPECT_EQ(a.chat.chat.overflow, Overflow::shift);
  EXPECT_TRUE(a.chat.once);
  EXPECT_EQ(parsed({"chat", "p"}).chat.chat.overflow, Overflow::error);
}

TEST(Arguments, SayWhatToEmbedAndMeasure) {
  const Arguments e =
      parsed({"embed", "p", "a.txt", "b.txt", "--instruction", "Find:", "--out", "x.npy", "--similarity"});
  EXPECT_EQ(e.command, Command::embed);
  EXPECT_EQ(e.subject, "p");
  EXPECT_THAT(e.embed.files, testing::ElementsAre("a.txt", "b.txt"));
  EXPECT_EQ(e.embed.instruction, "Find:");
  EXPECT_TRUE(e.embed.similarity);
  const Arguments b = parsed({"bench", "p", "--prompt-tokens", "32", "--repeats", "2"});
  EXPECT_EQ(b.command, Command::bench);
  EXPECT_EQ(b.bench.prompt_tokens, 32);
  EXPECT_FALSE(b.bench.new_tokens.has_value());
  EXPECT_EQ(b.bench.repeats, 2);
}

TEST(Mistakes, InTokensAreNamed) {
  EXPECT_THAT(error({"generate", "p", "--tokens", "1,x"}), HasSubstr("'x'"));
  EXPECT_THAT(error({"generate", "p", "--tokens", "-1"}), HasSubstr("'-1'"));
  EXPECT_THAT(error({"generate", "p", "--tokens", "99999999999"}), HasSubstr("99999999999"));
  EXPECT_THAT(error({"generate", "p", "--tokens", "1", "--prompt", "a"}), HasSubstr("--prompt"));
}

TEST(Shorthands, AreRecipeKeys) {
  const Recipe r =
      recipe_of({"convert", "--model", "synthetic:x", "--seq-len", "128", "--wbits", "6", "--palett-group-size", "32",
                 "--compute-units", "ALL", "--minimum-deployment-target", "iOS18", "--clean-tmp"});
  EXPECT_EQ(r.model.source, "synthetic:x");
  EXPECT_EQ(r.graph.at("context").as_int(), 128);
  EXPECT_EQ(r.quantize.options.at("bits").as_int(), 6);
  EXPECT_EQ(r.quantize.options.at("group_size").as_int(), 32);
  EXPECT_EQ(r.target.at("compute_units").as_text(), "ALL");
}

TEST(Shorthands, ComeBeforeSetWhereverTheyStand) {
  EXPECT_EQ(recipe_of({"plan", "--set", "quantize.bits=8", "--wbits", "6"}).quantize.options.at("bits").as_int(), 8);
}

TEST(Shorthands, ListAdaptersInTheOrderTyped) {
  const auto adapters =
      recipe_of({"convert", "--adapter", "/one:0.5", "--encoder-adapter", "/three", "--lora-checkpoint", "/two"})
          .adapters;
  ASSERT_EQ(adapters.size(), 3U);
  EXPECT_EQ(adapters[0].path, "/one");
  EXPECT_EQ(adapters[0].weight, 0.5);
  EXPECT_EQ(adapters[1].path, "/two");
  EXPECT_EQ(adapters[2].stack, "encoder");
}

TEST(Shorthands, QuoteWhateverAPathContains) {
  const auto adapters = recipe_of({"convert", "--adapter", "/a \"b\" } ]\\,"}).adapters;
  EXPECT_EQ(adapters.at(0).path, "/a \"b\" } ]\\,");
}

TEST(Shorthands, MixBitsByRole) {
  const auto rules = recipe_of({"convert", "--mixed-precision", "attention=6,mlp=4", "--set",
                                "quantize.rule=[{ match = 'mlp', bits = 3 }]"})
                         .quantize.rules;
  ASSERT_EQ(rules.size(), 2U);
  EXPECT_EQ(rules[0].match, "attention");
  EXPECT_EQ(rules[0].options.at("bits").as_int(), 6);
  EXPECT_EQ(rules[1].options.at("bits").as_int(), 3);
  EXPECT_THAT(error({"convert", "--mixed-precision", "attention"}), HasSubstr("ROLE=BITS"));
}

TEST(AdapterArgument, TakesANumberAfterTheLastColonForAWeight) {
  EXPECT_EQ(parse_adapter("dir").path, "dir");
  EXPECT_EQ(parse_adapter("dir").weight, 1.0);
  EXPECT_EQ(parse_adapter("dir:0.25").path, "dir");
  EXPECT_EQ(parse_adapter("dir:0.25").weight, 0.25);
  EXPECT_EQ(parse_adapter("dir:-1").weight, -1.0);
  EXPECT_EQ(parse_adapter("odd:name").path, "odd:name");
  EXPECT_EQ(parse_adapter("a:b:2").path, "a:b");
  EXPECT_EQ(parse_adapter("dir:").path, "dir:");
}

TEST(ParseSize, KnowsTheUsualUnits) {
  EXPECT_EQ(parse_size("4096"), 4096U);
  EXPECT_EQ(parse_size("512M"), std::uint64_t{512} << 20);
  EXPECT_EQ(parse_size("1.5GiB"), std::uint64_t{3} << 29);
  EXPECT_EQ(parse_size("8kb"), 8192U);
  for (const char* odd : {"", "G", "-1", "0", "2X", "1e400", "nan", "99999999T", "2 G"})
    EXPECT_THROW((void)parse_size(odd), Error) << odd;
}

TEST(Mistakes, AreAnsweredWithTheNearestName) {
  EXPECT_EQ(error({"convert", "--outptu", "x"}), "unknown argument '--outptu'; did you mean '--output'?");
  EXPECT_EQ(error({"convret"}), "unknown argument 'convret'; did you mean 'convert'?");
  EXPECT_EQ(error({"plugins", "lsit"}), "unknown argument 'lsit'; did you mean 'list'?");
  EXPECT_THAT(error({"convert", "--frobnicate"}), HasSubstr("unknown argument '--frobnicate'"));
  EXPECT_THAT(error({"--frobnicate"}), HasSubstr("unknown argument '--frobnicate'"));
}

TEST(Mistakes, AreUsageErrors) {
  EXPECT_NE(error({}), "");
  EXPECT_NE(error({"convert", "--model"}), "");
  EXPECT_NE(error({"convert", "a", "b"}), "");
  EXPECT_NE(error({"convert", "--set", "no_equals_sign"}), "");
  EXPECT_NE(error({"convert", "--threads", "many"}), "");
  EXPECT_NE(error({"convert", "--color", "pink"}), "");
  EXPECT_NE(error({"inspect"}), "");
}

TEST(Mistakes, IncludeFlagsOfAVerificationThatWasNotAskedFor) {
  EXPECT_THAT(error({"convert", "--golden-config", "x.toml"}), HasSubstr("--profile-validate"));
  EXPECT_THAT(error({"convert", "--validation-report", "x.json"}), HasSubstr("--profile-validate"));
}

TEST(Convert, VerifiesWhatItWroteWhereAsked) {
  const Arguments a = parsed({"convert", "--profile-validate", "--golden-config", "x.toml"});
  EXPECT_TRUE(a.profile_validate);
  EXPECT_EQ(a.verify.golden_config, "x.toml");
}

TEST(Help, IsAnAnswer) {
  EXPECT_THAT(answer({"--help"}), HasSubstr("convert"));
  EXPECT_THAT(answer({"help"}), HasSubstr("convert"));
  EXPECT_THAT(answer({"help", "convert"}), HasSubstr("--adapter"));
  EXPECT_EQ(answer({"help", "convert"}), answer({"convert", "--help"}));
  EXPECT_THAT(answer({"--version"}), HasSubstr(D2C_SDK_VERSION));
}

}  // namespace
}  // namespace d2c::host::cli
