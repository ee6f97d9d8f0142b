#include "host/cli/embed.hpp"

#include "host/cli/arguments.hpp"
#include "host/cli/embedding_file.hpp"
#include "host/cli/output.hpp"
#include "host/inference/embedder.hpp"
#include "host/inference/text.hpp"
#include "host/verify/embedding_agreement.hpp"
#include "libs/json/json.hpp"

#include <fstream>
#include <iostream>
#include <limits>

namespace d2c::host::cli {
namespace {

struct Line {
  std::string text;
  std::string where;  ///< "texts.txt:3"
};

void read_lines(std::istream& in, const std::string& name, std::vector<Line>& lines) {
  std::int64_t number = 0;
  for (std::string text; std::getline(in, text);) {
    if (text.ends_with('\r')) text.pop_back();
    lines.push_back({std::move(text), name + ":" + std::to_string(++number)});
  }
  if (in.bad()) fail_input(name + ": cannot be read");
}

std::vector<Line> read_texts(const EmbedOptions& o) {
  std::vector<Line> lines;
  if (o.files.empty()) read_lines(std::cin, "stdin", lines);
  for (const std::string& path : o.files) {
    std::ifstream file(path);
    if (!file) fail_input(path + ": cannot be opened; FILES hold the texts, one in each line");
    read_lines(file, path, lines);
  }
  return lines;
}

std::vector<EncoderInput> encode_texts(const std::vector<Line>& lines, const Text& text, const EncoderFacts& encoder,
                                       const std::string& instruction) {
  std::vector<EncoderInput> inputs;
  for (const Line& line : lines) {
    if (line.text.empty()) fail_input(line.where + ": the line is empty, so there is nothing to embed; take it out");
    inputs.push_back(text.sentence(encoder, instruction, line.text));
  }
  return inputs;
}

/// What the package says of its encoder, or what its function shows.
EncoderFacts facts_of(const Model& model, const Embedder& embedder) {
  EncoderFacts facts = model.encoder_facts().value_or(EncoderFacts());
  facts.max_length = embedder.max_length();
  return facts;
}

std::vector<std::int32_t> integers(const Value& list) {
  std::vector<std::int32_t> values;
  for (const Value& v : list.items()) {
    const std::int64_t n = v.as_int();
    if (n < std::numeric_limits<std::int32_t>::min() || n > std::numeric_limits<std::int32_t>::max())
      fail_usage(std::to_string(n) + " is out of range");
    values.push_back(static_cast<std::int32_t>(n));
  }
  return values;
}

EncoderInput parse_input(const Value& v) {
  EncoderInput input;
  input.ids = integers(v.at("input_ids"));
  for (const auto& [key, mask] :
       {std::pair("pooling_mask", &input.pooling_mask), std::pair("attention_mask", &input.attention_mask)}) {
    const Value* list = v.find(key);
    if (list == nullptr) continue;
    *mask = integers(*list);
    if (mask->empty()) fail_usage(std::string(key) + " is empty; leave it out where every token counts");
  }
  return input;
}

std::vector<EncoderInput> read_tokens(const std::string& path) {
  const Value document = json::parse_file(path);
  if (!document.is_list())
    fail_input(path + R"(: expected a list like [{"input_ids": [1, 2, 3]}], found )" + document.kind_name());
  std::vector<EncoderInput> inputs;
  for (const Value& item : document.items()) try {
      inputs.push_back(parse_input(item));
    } catch (const Error& e) {
      fail_input(path + ": input " + std::to_string(inputs.size()) + ": " + e.what());
    }
  return inputs;
}

std::vector<EncoderInput> read_inputs(const Arguments& a, PluginRegistry& plugins, const Model& model,
                                      const Embedder& embedder) {
  const EmbedOptions& o = a.embed;
  if (!o.tokens_file.empty()) return read_tokens(o.tokens_file);
  const Text text(plugins, o.tokenizer.empty() ? a.subject : o.tokenizer, "", TokenizerOf::encoder);
  return encode_texts(read_texts(o), text, facts_of(model, embedder), o.instruction);
}

/// Rows of a matrix.
struct Embeddings {
  std::vector<float> values;
  std::int64_t count = 0, width = 0;

  [[nodiscard]] std::span<const float> row(std::int64_t i) const {
    return std::span(values).subspan(static_cast<std::size_t>(i * width), static_cast<std::size_t>(width));
  }
  [[nodiscard]] double similarity(std::int64_t i, std::int64_t j) const { return cosine(row(i), row(j)); }
};

template <class Cell>
Value matrix(std::int64_t rows, std::int64_t columns, Cell cell) {
  Value::List list;
  for (std::int64_t i = 0; i < rows; ++i) {
    Value::List row;
    for (std::int64_t k = 0; k < columns; ++k) row.emplace_back(cell(i, k));
    list.emplace_back(std::move(row));
  }
  return list;
}

Value report(const Embeddings& e, const std::vector<EncoderInput>& inputs, const Embedder& embedder,
             const EmbedOptions& o) {
  Value v = Value::table(), tokens = Value::list(), lengths = Value::list();
  for (const EncoderInput& input : inputs) {
    tokens.items().emplace_back(input.ids.size());
    lengths.items().emplace_back(embedder.length_for(input.ids.size()));
  }
  v.set("count", e.count);
  v.set("width", e.width);
  v.set("tokens", std::move(tokens));
  v.set("lengths", std::move(lengths));
  if (o.similarity) v.set("similarity", matrix(e.count, e.count, [&](auto i, auto j) { return e.similarity(i, j); }));
  if (!o.out.empty()) v.set("out", o.out);
  else
    v.set("embeddings", matrix(e.count, e.width, [&](auto i, auto k) {
            return static_cast<double>(e.row(i)[static_cast<std::size_t>(k)]);
          }));
  return v;
}

std::string similarity_table(const Embeddings& e) {
  std::vector<std::string> header{""};
  for (std::int64_t i = 0; i < e.count; ++i) header.push_back(std::to_string(i + 1));
  Table table(header, std::vector<bool>(header.size(), true));
  for (std::int64_t i = 0; i < e.count; ++i) {
    std::vector<std::string> row{std::to_string(i + 1)};
    for (std::int64_t j = 0; j < e.count; ++j) {
      char text[32];
      std::snprintf(text, sizeof text, "%.3f", e.similarity(i, j));
      row.emplace_back(text);
    }
    table.add(std::move(row));
  }
  return table.text();
}

/// One embedding in each line.
std::string numbers(const Embeddings& e) {
  std::string text;
  for (std::size_t i = 0; i < e.values.size(); ++i) {
    char number[32];
    std::snprintf(number, sizeof number, "%.9g", static_cast<double>(e.values[i]));
    text += number;
    text += (i + 1) % static_cast<std::size_t>(e.width) == 0 ? '\n' : ' ';
  }
  return text;
}

std::string for_people(const Embeddings& e, const EmbedOptions& o) {
  std::string text;
  if (!o.out.empty())
    text = std::to_string(e.count) + " embeddings of " + std::to_string(e.width) + " numbers: " + o.out + "\n";
  if (o.similarity) return text + similarity_table(e);
  return o.out.empty() ? numbers(e) : text;
}

}  // namespace

std::string embed(const Arguments& a) {
  const EmbedOptions& o = a.embed;
  check_embedding_file(o.out);
  PluginRegistry plugins(a.plugin_dirs, {});
  const Model model(plugins, a.subject, o.runner);
  const Embedder embedder(model);
  const std::vector<EncoderInput> inputs = read_inputs(a, plugins, model, embedder);
  if (inputs.empty()) fail_input("there is nothing to embed; give texts, one in each line");
  const Embeddings e{embedder.embed(inputs), static_cast<std::int64_t>(inputs.size()), embedder.width()};
  if (!o.out.empty()) write_embeddings(o.out, e.values, e.count, e.width);
  return result(a.json, report(e, inputs, embedder, o), for_people(e, o));
}

}  // namespace d2c::host::cli
