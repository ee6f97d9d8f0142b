// Llama 3's tokenizer.model: every line a token's bytes in base64 and its rank. Merges follow from the ranks; the special
// tokens and the splitting expression are not in the file but fixed by the model family.
#include "libs/json/json.hpp"
#include "libs/tokenizer/byte_level.hpp"
#include "libs/tokenizer/model.hpp"

#include <openssl/evp.h>

#include <charconv>
#include <sstream>

namespace d2c::tokenizer {
namespace {

constexpr const char* kFile = "tokenizer.model";
constexpr std::int32_t kSpecialTokens = 256;
constexpr const char* kSteps = R"json({"type": "Sequence", "pretokenizers": [
  {"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex":
   "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
  {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})json";

std::string from_base64(std::string_view text, const std::string& where) {
  std::string out(text.size() / 4 * 3 + 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0 || text.size() % 4 != 0) fail_input(where + ": '" + std::string(text) + "' is no base64");
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  out.resize(static_cast<std::size_t>(size) - padding);
  return out;
}

/// Names of the special tokens in the order of their ids.
std::vector<std::string> special_names() {
  std::vector<std::string> names = {"<|begin_of_text|>",
                                    "<|end_of_text|>",
                                    "<|reserved_special_token_0|>",
                                    "<|reserved_special_token_1|>",
                                    "<|finetune_right_pad_id|>",
                                    "<|step_id|>",
                                    "<|start_header_id|>",
                                    "<|end_header_id|>",
                                    "<|eom_id|>",
                                    "<|eot_id|>",
                                    "<|python_tag|>",
                                    "<|image|>"};
  for (int reserved = 2; names.size() < kSpecialTokens; ++reserved)
    names.push_back("<|reserved_special_token_" + std::to_string(reserved) + "|>");
  return names;
}

}  // namespace

std::shared_ptr<const Tokenizer::Impl> parse_tiktoken(const std::string& text) {
  auto out = std::make_shared<Tokenizer::Impl>();
  std::istringstream lines(text);
  std::string line;
  for (std::int32_t next = 0; std::getline(lines, line); ++next) {
    const std::string where = std::string(kFile) + ":" + std::to_string(next + 1);
    const std::size_t space = line.find(' ');
    std::int32_t rank = -1;
    if (space != std::string::npos) (void)std::from_chars(line.data() + space + 1, line.data() + line.size(), rank);
    if (rank != next)
      fail_input(where + ": expected a token in base64 and the rank " + std::to_string(next) +
                 "; only Llama 3's kind of tokenizer.model is supported");
    out->bytes.push_back(from_base64(std::string_view(line).substr(0, space), where));
    out->bpe.add_token(to_byte_level(out->bytes.back()), rank);
  }
  if (out->bytes.empty()) fail_input(std::string(kFile) + ": is empty");
  out->bpe.merge_by_id();
  Bpe::Options options;
  options.ignore_merges = true;
  out->bpe.set_options(options);
  const Value steps = json::parse(kSteps, kFile);
  out->pre_tokenizer = PreTokenizer(&steps, kFile);
  out->special.resize(out->bytes.size());
  for (const std::string& name : special_names()) {
    const auto id = static_cast<std::int32_t>(out->bytes.size());
    out->bytes.push_back(name);
    out->special.push_back(true);
    out->added_ids[name] = id;
    out->added.add({id, name, true});
  }
  out->bos = out->added_ids.at("<|begin_of_text|>");
  out->eos = out->added_ids.at("<|end_of_text|>");
  out->prefix = {*out->bos};
  return out;
}

}  // namespace d2c::tokenizer
