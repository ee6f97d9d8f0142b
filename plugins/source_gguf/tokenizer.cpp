#include "plugins/source_gguf/tokenizer.hpp"

#include "libs/json/json.hpp"

#include <d2c/error.hpp>
#include <d2c/value.hpp>

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_map>

namespace d2c::source_gguf {
namespace {

constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kTypes = "tokenizer.ggml.token_type";
constexpr std::string_view kMerges = "tokenizer.ggml.merges";

enum class TokenType : std::int64_t { control = 3, user_defined = 4 };

Value object(std::initializer_list<Value::Member> members) { return Value(Value::Table(members)); }
Value list(std::initializer_list<Value> items) { return Value(Value::List(items)); }

// ---------------------------------------------------------------------------------------------- splitting text

// The regular expressions are the trained models' own; another one gives other tokens.
constexpr const char* kGpt2Words = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))";
constexpr const char* kLlama3Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Value byte_level(bool use_regex) {
  return object({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}});
}

Value split(const char* regex) {
  return object(
      {{"type", "Split"}, {"pattern", object({{"Regex", regex}})}, {"behavior", "Isolated"}, {"invert", false}});
}

Value sequence(std::initializer_list<Value> steps) {
  return object({{"type", "Sequence"}, {"pretokenizers", list(steps)}});
}

Value gpt2_steps() { return byte_level(true); }
Value digits_steps() { return sequence({object({{"type", "Digits"}, {"individual_digits", true}}), byte_level(true)}); }
Value llama3_steps() { return sequence({split(kLlama3Words), byte_level(false)}); }
Value qwen2_steps() { return sequence({split(kQwen2Words), byte_level(false)}); }
Value default_steps() {
  return sequence({split(R"([\p{P}\$\+<=>\^~\|]+)"), split(kGpt2Words), split(R"(\p{N}+)"), split("[0-9][0-9][0-9]"),
                   byte_level(false)});
}

struct PreTokenizer {
  std::string_view name;  ///< value of tokenizer.ggml.pre
  Value (*steps)();
  bool ignore_merges = false;  ///< a word that is a token is taken whole
  bool adds_bos = false;       ///< unless the file says otherwise
  bool composes = false;       ///< text is brought into Unicode's NFC first
};

constexpr PreTokenizer kPreTokenizers[] = {
    {"default", default_steps},
    {"gpt-2", gpt2_steps},
    {"phi-2", gpt2_steps},
    {"smollm", digits_steps},
    {"refact", digits_steps},
    {"command-r", digits_steps},
    {"starcoder", digits_steps},
    {"codeshell", digits_steps},
    {"llama-bpe", llama3_steps, true, true},
    {"llama3", llama3_steps, true, true},
    {"llama-v3", llama3_steps, true, true},
    {"dbrx", llama3_steps},
    {"smaug-bpe", llama3_steps},
    {"qwen2", qwen2_steps, false, false, true},
    {"deepseek-r1-qwen", qwen2_steps, false, false, true},
};

const PreTokenizer* find_pre_tokenizer(std::string_view name) {
  const auto found = std::find_if(std::begin(kPreTokenizers), std::end(kPreTokenizers),
                                  [name](const auto& p) { return p.name == name; });
  return found == std::end(kPreTokenizers) ? nullptr : found;
}

// ---------------------------------------------------------------------------------------------- the files

class Tokenizer {
 public:
  Tokenizer(const ByteSource& source, const Metadata& metadata, std::int64_t vocabulary)
      : source_(source),
        metadata_(metadata),
        pre_(find_pre_tokenizer(metadata.text("tokenizer.ggml.pre").value_or("default"))) {
    read_tokens(vocabulary);
    read_types();
    bos_ = special_id("tokenizer.ggml.bos_token_id");
    eos_ = special_id("tokenizer.ggml.eos_token_id");
    pad_ = special_id("tokenizer.ggml.padding_token_id");
    unknown_ = special_id("tokenizer.ggml.unknown_token_id");
    for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
      if (const auto id = special_id(key); id && id != eos_) more_stops_.push_back(*id);
    add_bos_ = metadata.boolean("tokenizer.ggml.add_bos_token").value_or(pre_ != nullptr && pre_->adds_bos) && bos_;
    add_eos_ = metadata.boolean("tokenizer.ggml.add_eos_token").value_or(false) && eos_;
  }

  /// Why tokenizer.json cannot be made; empty where it can.
  [[nodiscard]] std::string obstacle() const {
    const std::string model = metadata_.text("tokenizer.ggml.model").value_or("");
    if (model != "gpt2")
      return "its tokenizer model is " + in_quotes(model) + "; only byte-level BPE ('gpt2') can be converted";
    if (pre_ == nullptr) return "its pre-tokenizer " + in_quotes(*metadata_.text("tokenizer.ggml.pre")) + " is unknown";
    return {};
  }

  [[nodiscard]] Value tokenizer() const {
    return object({
        {"version", "1.0"},
        {"truncation", nullptr},
        {"padding", nullptr},
        {"added_tokens", added_tokens()},
        {"normalizer", pre_->composes ? object({{"type", "NFC"}}) : Value()},
        {"pre_tokenizer", pre_->steps()},
        {"post_processor", post_processor()},
        {"decoder",
         object({{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}})},
        {"model", model()},
    });
  }

  [[nodiscard]] Value tokenizer_config() const {
    Value c = object(
        {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"add_bos_token", add_bos_}, {"add_eos_token", add_eos_}});
    c.set("clean_up_tokenization_spaces", false);
    if (const auto length = metadata_.integer("llama.context_length")) c.set("model_max_length", *length);
    const std::pair<const char*, std::optional<std::int64_t>> named[] = {
        {"bos_token", bos_}, {"eos_token", eos_}, {"pad_token", pad_}, {"unk_token", unknown_}};
    for (const auto& [name, id] : named)
      if (id) c.set(name, token(*id));
    if (auto chat = metadata_.text("tokenizer.chat_template")) c.set("chat_template", std::move(*chat));
    return c;
  }

  [[nodiscard]] Value generation_config() const {
    Value c = Value::table();
    if (bos_) c.set("bos_token_id", *bos_);
    if (const Value stops = stop_ids(); !stops.is_null()) c.set("eos_token_id", stops);
    if (pad_) c.set("pad_token_id", *pad_);
    return c;
  }

 private:
  void read_tokens(std::int64_t vocabulary) {
    const auto array = metadata_.array(kTokens);
    if (!array) metadata_.fail_at(kTokens, "is missing");
    if (array->count == 0 || array->count > static_cast<std::uint64_t>(vocabulary)) {
      metadata_.fail_at(kTokens, "has " + std::to_string(array->count) + " items, the embedding has " +
                                     std::to_string(vocabulary) + " rows");
    }
    tokens_ = read_texts(source_, kTokens, *array);
  }

  void read_types() {
    const auto array = metadata_.array(kTypes);
    if (!array) return;
    if (array->count != tokens_.size()) {
      metadata_.fail_at(
          kTypes, "has " + std::to_string(array->count) + " items for " + std::to_string(tokens_.size()) + " tokens");
    }
    types_ = read_integers(source_, kTypes, *array);
  }

  [[nodiscard]] std::optional<std::int64_t> special_id(const char* key) const {
    const auto id = metadata_.integer(key);
    if (id && (*id < 0 || *id >= static_cast<std::int64_t>(tokens_.size()))) {
      metadata_.fail_at(key, "is " + std::to_string(*id) + ", no token of the " + std::to_string(tokens_.size()));
    }
    return id;
  }

  [[nodiscard]] const std::string& token(std::int64_t id) const { return tokens_[static_cast<std::size_t>(id)]; }
  [[nodiscard]] bool is(std::size_t id, TokenType type) const {
    return id < types_.size() && types_[id] == static_cast<std::int64_t>(type);
  }

  [[nodiscard]] Value stop_ids() const {
    if (!eos_) return {};
    if (more_stops_.empty()) return *eos_;
    Value ids = list({*eos_});
    for (const std::int64_t id : more_stops_)
      if (std::find(ids.items().begin(), ids.items().end(), Value(id)) == ids.items().end()) ids.push_back(id);
    return ids;
  }

  [[nodiscard]] Value added_tokens() const {
    Value added = Value::list();
    for (std::size_t id = 0; id < tokens_.size(); ++id) {
      const bool special = is(id, TokenType::control);
      if (!special && !is(id, TokenType::user_defined)) continue;
      added.push_back(object({{"id", id},
                              {"content", tokens_[id]},
                              {"single_word", false},
                              {"lstrip", false},
                              {"rstrip", false},
                              {"normalized", false},
                              {"special", special}}));
    }
    return added;
  }

  [[nodiscard]] Value model() const {
    Value::Table vocabulary;
    std::unordered_map<std::string_view, std::size_t> ids;
    for (std::size_t id = 0; id < tokens_.size(); ++id) {
      if (const auto [first, fresh] = ids.try_emplace(tokens_[id], id); !fresh) {
        metadata_.fail_at(kTokens, "holds " + in_quotes(tokens_[id]) + " twice: " + std::to_string(first->second) +
                                       " and " + std::to_string(id));
      }
      vocabulary.emplace_back(tokens_[id], id);
    }
    return object({{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"ignore_merges", pre_->ignore_merges},
                   {"vocab", std::move(vocabulary)},
                   {"merges", merges(ids)}});
  }

  [[nodiscard]] Value merges(const std::unordered_map<std::string_view, std::size_t>& ids) const {
    const auto array = metadata_.array(kMerges);
    if (!array) metadata_.fail_at(kMerges, "is missing");
    Value::List merges;
    for (std::string& merge : read_texts(source_, kMerges, *array)) {
      const auto space = merge.find(' ');
      const std::string_view text = merge;
      const bool pair = space != std::string::npos && merge.find(' ', space + 1) == std::string::npos;
      if (!pair || !ids.contains(text.substr(0, space)) || !ids.contains(text.substr(space + 1)) ||
          !ids.contains(merge.substr(0, space) + merge.substr(space + 1))) {
        metadata_.fail_at(kMerges, "holds " + in_quotes(merge) + ", which does not join two tokens to a third");
      }
      merges.emplace_back(std::move(merge));
    }
    return merges;
  }

  [[nodiscard]] Value post_processor() const {
    if (!add_bos_ && !add_eos_) return {};
    Value single = Value::list(), pair = Value::list(), special = Value::table();
    add_sequence("A", 0, single);
    add_sequence("A", 0, pair);
    add_sequence("B", 1, pair);
    for (const auto& id : {bos_, eos_})
      if (id && (id == bos_ ? add_bos_ : add_eos_))
        special.set(token(*id), object({{"id", token(*id)}, {"ids", list({*id})}, {"tokens", list({token(*id)})}}));
    return object({{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}});
  }

  void add_sequence(const char* name, int type, Value& to) const {
    const auto add_special = [&](std::int64_t id) {
      to.push_back(object({{"SpecialToken", object({{"id", token(id)}, {"type_id", type}})}}));
    };
    if (add_bos_) add_special(*bos_);
    to.push_back(object({{"Sequence", object({{"id", name}, {"type_id", type}})}}));
    if (add_eos_) add_special(*eos_);
  }

  const ByteSource& source_;
  const Metadata& metadata_;
  const PreTokenizer* pre_;
  std::vector<std::string> tokens_;
  std::vector<std::int64_t> types_;
  std::optional<std::int64_t> bos_, eos_, pad_, unknown_;
  std::vector<std::int64_t> more_stops_;
  bool add_bos_ = false, add_eos_ = false;
};

}  // namespace

std::vector<Asset> tokenizer_assets(const ByteSource& source, const Metadata& metadata, std::int64_t vocabulary,
                                    const std::function<void(const std::string&)>& warn) {
  if (!metadata.has("tokenizer.ggml.model")) {
    warn(source.name() + ": has no tokenizer; the package will have none");
    return {};
  }
  const Tokenizer tokenizer(source, metadata, vocabulary);
  std::vector<Asset> assets;
  if (const std::string obstacle = tokenizer.obstacle(); obstacle.empty()) {
    assets.push_back({"tokenizer.json", json::dump(tokenizer.tokenizer())});
  } else {
    warn(source.name() + ": no tokenizer.json: " + obstacle + "; take tokenizer.json from the original model");
  }
  assets.push_back({"tokenizer_config.json", json::dump(tokenizer.tokenizer_config(), 2)});
  assets.push_back({"generation_config.json", json::dump(tokenizer.generation_config(), 2)});
  return assets;
}

}  // namespace d2c::source_gguf
