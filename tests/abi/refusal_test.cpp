// What cannot be a plugin is refused with one sentence, and the process goes on.
#include "host/loader/plugin_registry.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace d2c::host {
namespace {

namespace fs = std::filesystem;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

const fs::path kFixtures = FIXTURES;

std::string refused(const std::string& name) { return (kFixtures / "refused" / (name + ".so")).string(); }

/// The sentence that loading `path` is refused with.
std::string refusal_of(const fs::path& path) {
  try {
    const Plugin plugin(path);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::plugin);
    return e.what();
  }
  return "loaded";
}

std::string host_abi() { return std::to_string(D2C_ABI_MAJOR) + "." + std::to_string(D2C_ABI_MINOR); }

/// A folder that goes away with the test.
class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("d2c_abi_" + std::to_string(::getpid()))) {
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

TEST(Refusal, OfAnotherMajorVersionNamesBothVersionsAndTheRemedy) {
  EXPECT_EQ(refusal_of(refused("wrong_major")),
            "plugin 'wrong_major' 0.1.0 speaks ABI 2.0; this host speaks 1.0 - rebuild it against d2c-sdk 1.x");
}

TEST(Refusal, OfANewerMinorVersionAdvisesAnUpdate) {
  EXPECT_EQ(refusal_of(refused("newer_minor")),
            "plugin 'newer_minor' 0.1.0 speaks ABI 1.1; this host speaks 1.0 - update dolphin2coreml, or rebuild the "
            "plugin against d2c-sdk 1.0");
}

TEST(Refusal, OfAShortEntryNamesBothSizes) {
  EXPECT_EQ(
      refusal_of(refused("short_entry")),
      "plugin 'short_entry' 0.1.0 has an entry of 8 bytes where ABI 1.0 needs 56 - rebuild it against d2c-sdk 1.x");
}

TEST(Refusal, OfAWrongMagicNumberSaysSo) {
  EXPECT_EQ(
      refusal_of(refused("bad_magic")),
      refused("bad_magic") + " is not a dolphin2coreml plugin: its 'd2c_plugin' does not start with the magic number");
}

TEST(Refusal, OfALibraryWithoutAnEntrySaysWhatIsMissing) {
  EXPECT_EQ(refusal_of(refused("not_a_plugin")),
            refused("not_a_plugin") + " is not a dolphin2coreml plugin: it exports no 'd2c_plugin'");
}

TEST(Refusal, OfAListedKindWithoutAFactoryNamesTheKind) {
  EXPECT_EQ(refusal_of(refused("no_factory")),
            "plugin 'no_factory' 0.1.0 lists d2c.quantizer/1 but has no complete factory for it");
}

TEST(Refusal, OfAnUndefinedSymbolNamesIt) {
  EXPECT_EQ(refusal_of(refused("undefined_symbol")),
            refused("undefined_symbol") + ": undefined symbol: symbol_of_a_missing_library");
}

TEST(Refusal, OfAMissingFileNamesThePath) {
  EXPECT_EQ(refusal_of("/nowhere/quant.so"), "/nowhere/quant.so: no such file");
}

TEST(Refusal, OfATextFileGivesTheLinkersReason) {
  const Folder folder;
  const fs::path path = folder.path() / "text.so";
  std::ofstream(path) << "this is no library at all, only a text of some length that says so, line by line\n";
  EXPECT_EQ(refusal_of(path), path.string() + ": invalid ELF header");
}

TEST(Refusal, OfAFileCutAnywhereIsASentence) {
  std::ifstream in(kFixtures / "good" / "all_kinds.so", std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  const Folder folder;
  for (const std::size_t size : {std::size_t{0}, std::size_t{3}, std::size_t{63}, std::size_t{200}, std::size_t{4096},
                                 whole.size() / 4, whole.size() / 2}) {
    const fs::path path = folder.path() / ("cut_" + std::to_string(size) + ".so");
    std::ofstream(path, std::ios::binary) << whole.substr(0, size);
    EXPECT_THAT(refusal_of(path), StartsWith(path.string() + ": ")) << size << " bytes";
  }
}

TEST(Registry, RefusesAFileWhoseNameIsNotThePluginsName) {
  PluginRegistry registry({}, std::vector<PluginPin>{{"other_name", refused("other_name"), "", "", {"r.toml:3:1"}}});
  try {
    (void)registry.find("other_name");
    FAIL() << "found";
  } catch (const Error& e) {
    EXPECT_EQ(e.what(), refused("other_name") + " calls itself 'somebody_else'; name the file somebody_else.so");
  }
}

TEST(Registry, ListsEveryCandidateWithItsReason) {
  const std::vector<fs::path> folders{kFixtures / "refused", kFixtures / "good"};
  PluginRegistry registry(folders, {});
  std::map<std::string, std::string> refusals;
  for (const Candidate& c : registry.candidates()) {
    if (c.origin == "--plugin-dir") refusals[c.name] = c.refusal;
  }
  EXPECT_EQ(refusals.size(), 11u);
  EXPECT_EQ(refusals.at("all_kinds"), "");
  EXPECT_EQ(refusals.at("quant_c11"), "");
  EXPECT_THAT(refusals.at("wrong_major"), HasSubstr("speaks ABI 2.0; this host speaks " + host_abi()));
  EXPECT_THAT(refusals.at("not_a_plugin"), EndsWith("exports no 'd2c_plugin'"));
}

TEST(Registry, TakesTheFirstOfTwoWithOneName) {
  const Folder folder;
  fs::copy_file(refused("not_a_plugin"), folder.path() / "all_kinds.so");
  const std::vector<fs::path> folders{kFixtures / "good", folder.path()};
  PluginRegistry registry(folders, {});
  EXPECT_EQ(registry.find("all_kinds")->path(), kFixtures / "good" / "all_kinds.so");
  int shadowed = 0;
  for (const Candidate& c : registry.candidates()) shadowed += c.name == "all_kinds" && c.shadowed ? 1 : 0;
  EXPECT_EQ(shadowed, 1);
}

TEST(Registry, RefusesAnotherVersionOrDigestThanTheRecipePins) {
  const std::string path = (kFixtures / "good" / "all_kinds.so").string();
  const auto refusal = [&](const PluginPin& pin) -> std::string {
    PluginRegistry registry({}, std::vector<PluginPin>{pin});
    try {
      (void)registry.find("all_kinds");
    } catch (const Error& e) {
      return e.what();
    }
    return "found";
  };
  EXPECT_EQ(refusal({"all_kinds", path, "1.2.3", "", {"r.toml:3:1"}}), "found");
  EXPECT_EQ(refusal({"all_kinds", path, "9.9.9", "", {"r.toml:3:1"}}),
            "r.toml:3:1: plugin 'all_kinds' is version 1.2.3, the recipe pins 9.9.9");
  EXPECT_THAT(refusal({"all_kinds", path, "", std::string(64, '0'), {"r.toml:3:1"}}),
              EndsWith(", the recipe pins " + std::string(64, '0')));
}

TEST(Registry, NamesWhatThereIsWhenAPluginIsUnknown) {
  const std::vector<fs::path> folders{kFixtures / "good"};
  PluginRegistry registry(folders, {});
  try {
    (void)registry.find("quant_c12");
    FAIL() << "found";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::plugin);
    EXPECT_THAT(e.what(),
                StartsWith("no plugin 'quant_c12' on the search path; there are all_kinds, quant_c11, small_object"));
  }
}

}  // namespace
}  // namespace d2c::host
