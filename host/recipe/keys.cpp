#include "host/recipe/keys.hpp"

#include <algorithm>
#include <iterator>

namespace d2c::host {
namespace {

constexpr std::int64_t kMaxPositions = std::int64_t{1} << 24;

constexpr KeySpec kTop[] = {
    {.name = "schema",
     .kind = D2C_VALUE_INTEGER,
     .default_json = "1",
     .help = "Version of the recipe format.",
     .allowed_json = "[1]"},
    {.name = "extends",
     .kind = D2C_VALUE_TEXT,
     .default_json = nullptr,
     .help = "Recipe this one is a variant of: a path relative to this file, or the name of a shipped recipe."},
};

constexpr KeySpec kModel[] = {
    {.name = "source",
     .kind = D2C_VALUE_TEXT,
     .default_json = nullptr,
     .help = "The model: a directory, a file or an id that a weight source knows.",
     .is_path = true},
    {.name = "plugin",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("")",
     .help = "Weight source; empty: the one that recognizes `source`.",
     .of_subject = true},
    {.name = "revision",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("")",
     .help = "Revision of a source that has several.",
     .of_subject = true},
};

constexpr KeySpec kAdapter[] = {
    {.name = "path",
     .kind = D2C_VALUE_TEXT,
     .default_json = nullptr,
     .help = "Folder of the adapter.",
     .is_path = true,
     .required = true},
    {.name = "revision",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("")",
     .help = "Revision of an adapter that has several."},
    {.name = "weight", .kind = D2C_VALUE_REAL, .default_json = "1.0", .help = "Factor on the adapter's change."},
    {.name = "stack",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("chat")",
     .help = "Which functions it changes: `chat`, `encoder`, or a variant's name."},
    {.name = "plugin",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("")",
     .help = "Adapter merger; empty: that of [adapters]."},
};

constexpr KeySpec kAdapters[] = {
    {.name = "plugin", .kind = D2C_VALUE_TEXT, .default_json = R"("")", .help = "Adapter merger."},
    {.name = "combination",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("sequential")",
     .help = "How the chat adapters are combined; the adapter merger says which ways there are."},
    {.name = "tied",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("untie")",
     .help = "An adapter on a tied embedding or head: give each its own weights, or change both.",
     .allowed_json = R"(["untie", "shared"])"},
};

constexpr KeySpec kGraph[] = {
    {.name = "context",
     .kind = D2C_VALUE_INTEGER,
     .default_json = nullptr,
     .help = "Positions of the KV cache; absent: 2048, or what the model has if that is less.",
     .minimum = 1,
     .maximum = kMaxPositions},
    {.name = "prefill",
     .kind = D2C_VALUE_INTEGER,
     .default_json = nullptr,
     .help = "Tokens that one call of `init` takes; absent: 64, or the context if that is less.",
     .minimum = 1,
     .maximum = kMaxPositions},
    {.name = "kv",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("packed")",
     .help = "KV cache: one state, or a state each for keys and values.",
     .allowed_json = R"(["packed", "split"])"},
    {.name = "attention",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("explicit")",
     .help = "Attention as matmul and softmax in fp32, or as one fused op.",
     .allowed_json = R"(["explicit", "fused"])"},
    {.name = "precision",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("fp16")",
     .help = "Type of activations, and of weights that no quantizer takes.",
     .allowed_json = R"(["fp16", "fp32"])"},
    {.name = "functions",
     .kind = D2C_VALUE_LIST,
     .default_json = R"(["init", "decode", "encode"])",
     .help = "Functions of the package, each described by a [[function]]; the first is the default one."},
};

constexpr KeySpec kEncoder[] = {
    {.name = "weights",
     .kind = D2C_VALUE_TEXT,
     .default_json = nullptr,
     .help =
         "The encoder's weights: the chat functions', those with its adapters unmerged, or its own. Absent: what its "
         "adapters need.",
     .allowed_json = R"(["shared", "shared+adapter", "separate"])"},
    {.name = "pooling",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("mean")",
     .help = "How token vectors become one embedding.",
     .allowed_json = R"(["mean", "weighted_mean", "eos_token", "last_token", "bos_token"])"},
    {.name = "max_length",
     .kind = D2C_VALUE_INTEGER,
     .default_json = nullptr,
     .help =
         "Tokens of the longest text; absent: the largest of `lengths`, or 512, or what the model has positions for "
         "if that is less.",
     .minimum = 1,
     .maximum = kMaxPositions},
    {.name = "lengths",
     .kind = D2C_VALUE_LIST,
     .default_json = "[]",
     .help = "Shorter texts get functions of their own, on the same weights: 64 adds `encode_64`.",
     .minimum = 1,
     .maximum = kMaxPositions,
     .item_kind = D2C_VALUE_INTEGER},
    {.name = "batch",
     .kind = D2C_VALUE_INTEGER,
     .default_json = "1",
     .help = "Above 1, each length also gets a function that takes so many texts at once: 8 adds `encode_x8`, "
             "`encode_64_x8`.",
     .minimum = 1,
     .maximum = 1024},
    {.name = "doc_max_length",
     .kind = D2C_VALUE_INTEGER,
     .default_json = "400",
     .help = "Callers shorten texts of more tokens by whole words before the instruction is put in front.",
     .minimum = 1,
     .maximum = kMaxPositions},
    {.name = "skip_instruction",
     .kind = D2C_VALUE_BOOL,
     .default_json = "true",
     .help = "Callers leave the instruction's tokens out of the pooling."},
    {.name = "chat_wrapper",
     .kind = D2C_VALUE_BOOL,
     .default_json = nullptr,
     .help = "Callers make each text a user's turn of Llama 3; absent: as llm2vec does, by the model's name."},
    {.name = "end_of_text",
     .kind = D2C_VALUE_TEXT,
     .default_json = nullptr,
     .help = "What callers append for pooling by `eos_token`; absent: as llm2vec does, by the model's name."},
    {.name = "combination",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("sequential")",
     .help = "How the encoder's adapters are combined; LLM2Vec merges them one after another."},
    {.name = "model",
     .kind = D2C_VALUE_TEXT,
     .default_json = nullptr,
     .help = "Source of the encoder's base weights where they are not the chat model's (weights = \"separate\").",
     .is_path = true},
};

constexpr KeySpec kVariant[] = {
    {.name = "name",
     .kind = D2C_VALUE_TEXT,
     .default_json = nullptr,
     .help = "What its functions are called after: `coder` gives `init_coder` and `decode_coder`.",
     .required = true},
    {.name = "weights",
     .kind = D2C_VALUE_TEXT,
     .default_json = nullptr,
     .help = "The chat functions' weights with its adapters unmerged, or weights of its own. Absent: what its adapters "
             "need.",
     .allowed_json = R"(["shared+adapter", "separate"])"},
    {.name = "combination",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("sequential")",
     .help = "How its adapters are combined."},
};

constexpr KeySpec kFunction[] = {
    {.name = "name",
     .kind = D2C_VALUE_TEXT,
     .default_json = nullptr,
     .help = "Name of the function in the package.",
     .required = true},
    {.name = "plugin", .kind = D2C_VALUE_TEXT, .default_json = R"("")", .help = "Function emitter."},
    {.name = "stack",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("chat")",
     .help = "Whose weights it reads: `chat`, `encoder`, or a variant's name."},
    {.name = "options",
     .kind = D2C_VALUE_TABLE,
     .default_json = "{}",
     .help = "Options of the function emitter.",
     .of_subject = true},
};

constexpr KeySpec kQuantize[] = {
    {.name = "plugin",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("none")",
     .help = "Quantizer; \"none\" keeps weights dense in the graph's precision."},
    {.name = "max_overflow",
     .kind = D2C_VALUE_INTEGER,
     .default_json = "0",
     .help = "So many values of a weight may lie beyond fp16's range; they become +-65504 and are reported.",
     .minimum = 0},
};

constexpr KeySpec kRule[] = {
    {.name = "match",
     .kind = D2C_VALUE_TEXT,
     .default_json = nullptr,
     .help = "A role (attention, mlp, embedding, lm_head) or a glob over tensor names.",
     .required = true},
    {.name = "plugin",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("")",
     .help = "Quantizer; empty: that of [quantize]."},
};

constexpr KeySpec kTarget[] = {
    {.name = "deployment",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("iOS18")",
     .help = "Oldest system the package must run on (iOS18 includes macOS 15 and visionOS 2).",
     .allowed_json = R"(["iOS18"])"},
    {.name = "compute_units",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("CPU_AND_GPU")",
     .help = "What the package is meant to run on; the plan's checks follow it.",
     .allowed_json = R"(["ALL", "CPU_AND_GPU", "CPU_AND_NE", "CPU_ONLY"])"},
    {.name = "accept",
     .kind = D2C_VALUE_LIST,
     .default_json = "[]",
     .help = "Guardrails that the recipe goes against knowingly, by name; see guardrails.md."},
};

constexpr KeySpec kOutput[] = {
    {.name = "path",
     .kind = D2C_VALUE_TEXT,
     .default_json = nullptr,
     .help = "The package; relative to where the program runs. Absent: the recipe's name with .mlpackage."},
    {.name = "writer", .kind = D2C_VALUE_TEXT, .default_json = R"("")", .help = "Package writer."},
};

constexpr KeySpec kVerify[] = {
    {.name = "prompts",
     .kind = D2C_VALUE_LIST,
     .default_json = "[]",
     .help = "Prompts whose answers are compared with the reference's; empty: three built-in ones."},
    {.name = "max_new_tokens",
     .kind = D2C_VALUE_INTEGER,
     .default_json = "32",
     .help = "Tokens generated for each prompt.",
     .minimum = 1,
     .maximum = kMaxPositions},
    {.name = "sentences",
     .kind = D2C_VALUE_LIST,
     .default_json = "[]",
     .help = "Sentences whose embeddings are compared with the reference's; empty: six built-in ones."},
    {.name = "text",
     .kind = D2C_VALUE_TEXT,
     .default_json = nullptr,
     .help = "A text file on which package and source predict every token; absent: none.",
     .is_path = true},
    {.name = "max_logit_error",
     .kind = D2C_VALUE_REAL,
     .default_json = nullptr,
     .help = "Against the package's own weights: largest difference of a logit, relative to the largest logit there. "
             "Absent: 0.0001 in fp32, 0.005 in fp16.",
     .minimum = 0},
    {.name = "max_divergence",
     .kind = D2C_VALUE_REAL,
     .default_json = "0.25",
     .help = "Against the source: largest mean Kullback-Leibler divergence of the next token, in nats.",
     .minimum = 0},
    {.name = "min_agreement",
     .kind = D2C_VALUE_REAL,
     .default_json = "0.75",
     .help = "Against the source: least share of positions with the same likeliest token.",
     .minimum = 0,
     .maximum = 1},
    {.name = "max_perplexity_ratio",
     .kind = D2C_VALUE_REAL,
     .default_json = "1.25",
     .help = "Against the source: largest perplexity on the text, relative to the source's.",
     .minimum = 0},
    {.name = "min_cosine",
     .kind = D2C_VALUE_REAL,
     .default_json = "0.99",
     .help = "Least cosine similarity of an embedding with the reference's.",
     .minimum = -1,
     .maximum = 1},
    {.name = "min_centred_cosine",
     .kind = D2C_VALUE_REAL,
     .default_json = "0.9",
     .help = "The same once the mean of all sentences is taken off, which most embeddings have in common.",
     .minimum = -1,
     .maximum = 1},
    {.name = "min_rank_correlation",
     .kind = D2C_VALUE_REAL,
     .default_json = "0.9",
     .help = "Least rank correlation of the similarities of all pairs of sentences.",
     .minimum = -1,
     .maximum = 1},
};

constexpr KeySpec kPlugin[] = {
    {.name = "name", .kind = D2C_VALUE_TEXT, .default_json = nullptr, .help = "Name of the plugin.", .required = true},
    {.name = "path",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("")",
     .help = "The library; empty: searched for.",
     .is_path = true},
    {.name = "version",
     .kind = D2C_VALUE_TEXT,
     .default_json = R"("")",
     .help = "The version it must have; empty: any."},
    {.name = "sha256", .kind = D2C_VALUE_TEXT, .default_json = R"("")", .help = "The digest it must have; empty: any."},
};

constexpr auto kOnce = Repetition::once;

constexpr SectionSpec kSections[] = {
    {"", kOnce, nullptr, nullptr, false, kTop, "Top level"},
    {"model", kOnce, nullptr, "source", true, kModel, "The base model"},
    {"adapter", Repetition::replaced, "stack", nullptr, false, kAdapter,
     "One LoRA adapter; the order is the merge order"},
    {"adapters", kOnce, nullptr, "plugin", true, kAdapters, "How adapters are merged"},
    {"graph", kOnce, nullptr, nullptr, false, kGraph, "The graphs of the package"},
    {"encoder", kOnce, nullptr, nullptr, false, kEncoder, "The embedding function"},
    {"variant", Repetition::merged, "name", nullptr, false, kVariant,
     "Another set of chat adapters, as further functions on the same base; it starts from the base, not from the chat "
     "adapters"},
    {"function", Repetition::merged, "name", "plugin", false, kFunction, "One function of the package"},
    {"quantize", kOnce, nullptr, "plugin", true, kQuantize, "Compression of the weights"},
    {"quantize.rule", Repetition::replaced, "match", "plugin", true, kRule,
     "Other options for some weights; the last rule that matches wins"},
    {"target", kOnce, nullptr, nullptr, false, kTarget, "Where the package will run"},
    {"output", kOnce, nullptr, "writer", true, kOutput, "The package"},
    {"verify", kOnce, nullptr, nullptr, false, kVerify, "What a check of the package compares"},
    {"plugin", Repetition::merged, "name", nullptr, false, kPlugin, "A pinned plugin"},
};

constexpr std::string_view kRoles[] = {"attention", "mlp", "embedding", "lm_head", "norm", "bias", "lora"};

}  // namespace

std::span<const SectionSpec> recipe_sections() { return kSections; }

const SectionSpec* find_section(std::string_view name) {
  const auto* it =
      std::find_if(std::begin(kSections), std::end(kSections), [&](const auto& s) { return s.name == name; });
  return it == std::end(kSections) ? nullptr : it;
}

const KeySpec* find_key(const SectionSpec& section, std::string_view name) {
  const auto it = std::find_if(section.keys.begin(), section.keys.end(), [&](const auto& k) { return k.name == name; });
  return it == section.keys.end() ? nullptr : &*it;
}

const SectionSpec* find_subsection(const SectionSpec& section, std::string_view key) {
  const auto* it = std::find_if(std::begin(kSections), std::end(kSections), [&](const SectionSpec& s) {
    return *s.name != '\0' && parent_of(s) == section.name && leaf_of(s) == key;
  });
  return it == std::end(kSections) ? nullptr : it;
}

std::span<const std::string_view> weight_roles() { return kRoles; }

std::string_view parent_of(const SectionSpec& section) {
  const std::string_view name = section.name;
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(0, dot);
}

std::string_view leaf_of(const SectionSpec& section) {
  const std::string_view name = section.name;
  return name.substr(name.rfind('.') + 1);
}

}  // namespace d2c::host
