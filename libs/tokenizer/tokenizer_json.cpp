// tokenizer.json: vocabulary, merges, and the steps before and after.
#include "libs/json/json.hpp"
#include "libs/tokenizer/byte_level.hpp"
#include "libs/tokenizer/model.hpp"

#include <algorithm>
#include <limits>

namespace d2c::tokenizer {
namespace {

constexpr const char* kFile = "tokenizer.json";
/// Above any vocabulary; an id is an index here.
constexpr std::int64_t kMaxId = 4'000'000;

class Reader {
 public:
  Reader(const Value& root, const Value& config) : root_(root), config_(config) {}

  std::shared_ptr<const Tokenizer::Impl> read() {
    const Value& model = root_.at("model");
    // The type may be left out by older files; then merges tell.
    const std::string type = model.text_or("type", model.find("merges") != nullptr ? "BPE" : "none");
    if (type != "BPE") fail_input("the model type '" + type + "' is not supported; byte-pair encodings are");
    read_decoder();
    read_vocabulary(model);
    read_added();
    read_options(model);
    out_->normalizer = Normalizer(root_.find("normalizer"), kFile);
    out_->pre_tokenizer = PreTokenizer(root_.find("pre_tokenizer"), kFile);
    out_->bos = named("bos_token");
    out_->eos = named("eos_token");
    if (const Value* post = root_.find("post_processor")) read_post_processor(*post);
    if (!has_template_) add_configured_ends();
    return out_;
  }

 private:
  static std::int32_t checked_id(const Value& id) {
    if (id.as_int() < 0 || id.as_int() > kMaxId)
      fail_input("the token id " + std::to_string(id.as_int()) + " is out of range");
    return static_cast<std::int32_t>(id.as_int());
  }

  // ---------------------------------------------------------------- decoding

  void read_decoder() {
    if (const Value* decoder = root_.find("decoder")) add_decoder(*decoder);
  }

  void add_decoder(const Value& spec) {
    const std::string type = spec.at("type").as_text();
    if (type == "Sequence") {
      for (const Value& step : spec.at("decoders").items()) add_decoder(step);
    } else if (type == "ByteLevel") {
      byte_level_ = true;
    } else if (type == "ByteFallback") {
      byte_fallback_ = true;
    } else if (type == "Replace") {
      replacements_.emplace_back(spec.at("pattern").at("String").as_text(), spec.at("content").as_text());
    } else if (type == "Strip") {
      if (spec.at("content").as_text() != " " || spec.int_or("stop", 0) != 0 || spec.int_or("start", 0) > 1)
        fail_input("this form of the decoder 'Strip' is not supported");
      out_->strip_leading_space = spec.int_or("start", 0) == 1;
    } else if (type != "Fuse") {
      fail_input("the decoder '" + type + "' is not supported");
    }
  }

  [[nodiscard]] std::string decoded(std::string token) const {
    if (byte_level_) return from_byte_level(token).value_or(token);
    if (byte_fallback_ && token.size() == 6 && token.starts_with("<0x") && token.ends_with('>')) {
      const auto digit = [](char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
      };
      if (digit(token[3]) >= 0 && digit(token[4]) >= 0)
        return std::string(1, static_cast<char>(digit(token[3]) * 16 + digit(token[4])));
    }
    for (const auto& [from, to] : replacements_)
      for (std::size_t at = 0; !from.empty() && (at = token.find(from, at)) != std::string::npos; at += to.size())
        token.replace(at, from.size(), to);
    return token;
  }

  // ---------------------------------------------------------------- tokens

  void define(std::int32_t id, const std::string& token, bool special) {
    if (static_cast<std::size_t>(id) >= out_->bytes.size()) {
      out_->bytes.resize(static_cast<std::size_t>(id) + 1);
      out_->special.resize(static_cast<std::size_t>(id) + 1);
    }
    out_->bytes[id] = decoded(token);
    out_->special[id] = special;
  }

  void read_vocabulary(const Value& model) {
    for (const auto& [token, id] : model.at("vocab").members()) {
      out_->bpe.add_token(token, checked_id(id));
      define(checked_id(id), token, false);
    }
    for (const Value& merge : model.at("merges").items()) {
      if (merge.is_list()) {
        if (merge.items().size() != 2) fail_input("a merge joins two tokens");
        out_->bpe.add_merge(merge.items()[0].as_text(), merge.items()[1].as_text());
      } else {
        const std::string& text = merge.as_text();
        const std::size_t space = text.find(' ');
        if (space == std::string::npos) fail_input("the merge '" + text + "' joins no two tokens");
        out_->bpe.add_merge(std::string_view(text).substr(0, space), std::string_view(text).substr(space + 1));
      }
    }
  }

  void read_added() {
    const Value* list = root_.find("added_tokens");
    if (list == nullptr) return;
    for (const Value& t : list->items()) {
      AddedToken token{checked_id(t.at("id")),          t.at("content").as_text(),  t.bool_or("special", false),
                       t.bool_or("single_word", false), t.bool_or("lstrip", false), t.bool_or("rstrip", false),
                       t.bool_or("normalized", false)};
      define(token.id, token.content, token.special);
      out_->added_ids[token.content] = token.id;
      out_->added.add(std::move(token));
    }
  }

  void read_options(const Value& model) {
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (!model.text_or(key, "").empty()) fail_input(std::string("'") + key + "' is not supported");
    if (model.real_or("dropout", 0) != 0) fail_input("'dropout' makes tokens random and is not supported");
    Bpe::Options options;
    options.fuse_unknown = model.bool_or("fuse_unk", false);
    options.byte_fallback = model.bool_or("byte_fallback", false);
    options.ignore_merges = model.bool_or("ignore_merges", false);
    if (const Value* unknown = model.find("unk_token")) {
      options.unknown = id_of(unknown->as_text());
      if (!options.unknown) fail_input("the unk_token '" + unknown->as_text() + "' is no token");
    }
    out_->bpe.set_options(std::move(options));
  }

  [[nodiscard]] std::optional<std::int32_t> id_of(const std::string& token) const {
    const auto added = out_->added_ids.find(token);
    return added != out_->added_ids.end() ? std::optional(added->second) : out_->bpe.find(token);
  }

  // ---------------------------------------------------------------- around a text

  void read_post_processor(const Value& spec) {
    const std::string type = spec.at("type").as_text();
    if (type == "Sequence") {
      for (const Value& step : spec.at("processors").items()) read_post_processor(step);
    } else if (type == "TemplateProcessing") {
      read_template(spec);
    } else if (type != "ByteLevel") {
      fail_input("the post-processor '" + type + "' is not supported");
    }
  }

  void read_template(const Value& spec) {
    has_template_ = true;
    bool before = true;
    for (const Value& item : spec.at("single").items()) {
      if (item.find("Sequence") != nullptr) {
        before = false;
        continue;
      }
      const std::string name = item.at("SpecialToken").at("id").as_text();
      for (const Value& id : spec.at("special_tokens").at(name).at("ids").items())
        (before ? out_->prefix : out_->suffix).push_back(checked_id(id));
    }
  }

  [[nodiscard]] std::optional<std::int32_t> named(const char* key) const {
    const Value* token = config_.find(key);
    if (token == nullptr) return std::nullopt;
    return id_of(token->is_table() ? token->at("content").as_text() : token->as_text());
  }

  void add_configured_ends() {
    if (config_.bool_or("add_bos_token", false) && out_->bos) out_->prefix.push_back(*out_->bos);
    if (config_.bool_or("add_eos_token", false) && out_->eos) out_->suffix.push_back(*out_->eos);
  }

  const Value& root_;
  const Value& config_;
  std::shared_ptr<Tokenizer::Impl> out_ = std::make_shared<Tokenizer::Impl>();
  bool byte_level_ = false, byte_fallback_ = false, has_template_ = false;
  std::vector<std::pair<std::string, std::string>> replacements_;
};

}  // namespace

std::shared_ptr<const Tokenizer::Impl> parse_tokenizer_json(const Files& files) {
  const auto config = files.find("tokenizer_config.json");
  const Value settings = config == files.end() ? Value::table() : json::parse(config->second, "tokenizer_config.json");
  const Value root = json::parse(files.at(kFile), kFile);
  try {
    return Reader(root, settings).read();
  } catch (const Error& e) {
    const std::string message = e.what();
    fail_input(message.starts_with(kFile) ? message : std::string(kFile) + ": " + message);
  }
}

}  // namespace d2c::tokenizer
