#include "host/cli/output.hpp"

#include "host/progress/progress_text.hpp"
#include "libs/json/json.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace d2c::host::cli {
namespace {

std::string number(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::uint64_t unsigned_at(const Value& v, const char* key) { return static_cast<std::uint64_t>(v.int_or(key, 0)); }

std::string features(const Value& function, const char* key) {
  std::string text;
  const Value* list = function.find(key);
  if (list == nullptr) return text;
  for (const Value& f : list->items())
    text += (text.empty() ? "" : "  ") + f.at("name").as_text() + " " + f.at("type").as_text();
  return text;
}

std::string functions_text(const Value& functions) {
  Table table({"function", "inputs", "states", "outputs", "ops"}, {false, false, false, false, true});
  for (const Value& f : functions.items())
    table.add({f.at("name").as_text(), features(f, "inputs"), features(f, "states"), features(f, "outputs"),
               std::to_string(f.int_or("ops", 0))});
  return table.text();
}

std::string roles_text(const Value& report) {
  Table table({"weights", "scheme", "tensors", "elements", "size", "bits/weight"},
              {false, false, true, true, true, true});
  for (const Value& r : report.at("roles").items())
    table.add({r.at("role").as_text(), r.at("scheme").as_text(), std::to_string(r.int_or("tensors", 0)),
               std::to_string(r.int_or("elements", 0)), size_text(unsigned_at(r, "bytes")),
               number(r.real_or("bits_per_weight", 0), 3)});
  table.add({"all", "", "", std::to_string(report.int_or("elements", 0)),
             size_text(unsigned_at(report, "weight_bytes")), number(report.real_or("bits_per_weight", 0), 3)});
  return table.text();
}

/// What each way to give the encoder its weights costs, and what its embeddings are to equal.
std::string policies_text(const Value& report) {
  const Value* policies = report.find("encoder_policies");
  if (policies == nullptr || policies->items().empty()) return {};
  Table table({"encoder.weights", "", "adds", "embeds as (every token seeing all)"}, {false, false, true, false});
  for (const Value& p : policies->items()) {
    const bool possible = p.find("bytes") != nullptr;
    table.add({p.at("weights").as_text(), p.bool_or("chosen", false) ? "chosen" : "",
               possible ? std::to_string(p.int_or("bytes", 0)) : "-",
               possible ? p.at("reference").as_text() : p.at("objection").as_text()});
  }
  return table.text() + "\n";
}

/// Solving a group takes time by its distinct values, of which merged weights have many more.
std::string distinct_text(const Value& quantization) {
  std::string text;
  if (const Value* by_kind = quantization.find("distinct_values"))
    for (const auto& [kind, figures] : by_kind->members())
      text += std::string(text.empty() ? "distinct values of a palette's group: " : ", ") +
              number(figures.real_or("mean", 0), 0) + " in " + kind + " weights";
  return text.empty() ? text : text + "\n";
}

/// One line for each stack of adapters.
std::string merge_proof_text(const Value& report) {
  std::string text;
  for (const auto& [stack, proof] : report.at("merge").members())
    text += "merge of " + stack + ": " + std::to_string(proof.int_or("tensors", 0)) + " tensors, change " +
            number(proof.real_or("relative_norm", 0) * 100, 3) + " % of the weights; " +
            number(proof.real_or("share_rounded", 0) * 100, 1) + " % of it survives the rounding, " +
            number(proof.real_or("share", 0) * 100, 1) + " % the quantization (cosine " +
            number(proof.real_or("cosine", 0), 4) + ")\n";
  return text;
}

std::string variants_text(const Value& report) {
  std::string text;
  if (const Value* variants = report.find("variants"))
    for (const Value& v : variants->items())
      text += "variant " + v.at("name").as_text() + ": " + v.at("reference").as_text() + " (" +
              v.at("weights").as_text() + ")\n";
  return text;
}

std::string list_text(const Value& report, const char* key, const char* label) {
  std::string text;
  const Value* list = report.find(key);
  if (list == nullptr) return text;
  for (const Value& item : list->items()) text += std::string(label) + ": " + item.as_text() + "\n";
  return text;
}

std::string shared_part(const Value& report) {
  return functions_text(report.at("functions")) + "\n" + roles_text(report) + "\n" + policies_text(report) +
         variants_text(report) + list_text(report, "adapters", "adapters") + list_text(report, "notes", "note");
}

}  // namespace

Table::Table(std::vector<std::string> header, std::vector<bool> right) : right_(std::move(right)) {
  right_.resize(header.size(), false);
  rows_.push_back(std::move(header));
}

void Table::add(std::vector<std::string> row) {
  row.resize(right_.size());
  rows_.push_back(std::move(row));
}

std::string Table::text() const {
  std::vector<std::size_t> width(right_.size(), 0);
  for (const auto& row : rows_)
    for (std::size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::string padding(width[c] - row[c].size(), ' ');
      line += (right_[c] ? padding + row[c] : row[c] + padding) + (c + 1 < row.size() ? "  " : "");
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string result(bool json, const Value& value, const std::string& text) {
  return json ? json::dump(value, 2) + "\n" : text;
}

std::string token_list(std::span<const std::int32_t> tokens) {
  std::string text;
  for (const std::int32_t token : tokens) text += (text.empty() ? "" : ",") + std::to_string(token);
  return text;
}

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    fail(Code::resource, "standard output cannot be written: " + std::generic_category().message(errno));
}

void check_output_folder(const char* flag, const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code ignored;
  if (!folder.empty() && !std::filesystem::is_directory(folder, ignored))
    fail_usage(std::string(flag) + " " + path + ": the folder " + folder.string() + " does not exist");
}

std::string plan_text(const Value& report) {
  const Value& memory = report.at("memory");
  return "plan of " + report.at("recipe").as_text() + ": " + report.at("model").as_text() + " (" +
         report.at("source_plugin").as_text() + ")\n\n" + shared_part(report) +
         "weight.bin: " + std::to_string(report.int_or("weight_bytes", 0)) + " bytes exactly\n" +
         "disk: " + size_text(unsigned_at(report, "disk_bytes")) + " free needed\n" +
         "memory: " + size_text(unsigned_at(memory, "bytes")) + " at most, with " +
         std::to_string(memory.int_or("threads", 0)) + " threads\n" +
         "read so far: " + size_text(unsigned_at(report, "bytes_read")) + " (headers only)\n";
}

namespace {

/// What the weights became.
std::string results_text(const Value& report) {
  const Value& quantization = report.at("quantization");
  std::string text = shared_part(report);
  if (const std::int64_t groups = quantization.int_or("groups", 0); groups > 0)
    text += "quantization: relative squared error " + number(quantization.real_or("relative_error", 0), 6) + ", " +
            std::to_string(quantization.int_or("groups_certified", 0)) + " of " + std::to_string(groups) +
            " palettes certified optimal\n";
  if (const double excess = quantization.real_or("excess_bound", 0); excess > 0)
    text += "given up for speed: at most " + number(100 * excess / quantization.real_or("squared_error", 0), 4) +
            " % of the squared error\n";
  return text + distinct_text(quantization) + merge_proof_text(report);
}

}  // namespace

std::string assembly_text(const Value& report) {
  return results_text(report) + "time: " + number(report.real_or("seconds", 0), 1) +
         " s\npackage: " + report.at("package").as_text() + "\n";
}

std::string conversion_text(const Value& report) {
  std::string text = results_text(report);
  const Value& time = report.at("time");
  text += "time: " + number(report.real_or("seconds", 0), 1) + " s (thread seconds: read " +
          number(time.real_or("read", 0), 1) + ", hash " + number(time.real_or("hash", 0), 1) + ", merge " +
          number(time.real_or("merge", 0), 1) + ", quantize " + number(time.real_or("quantize", 0), 1) + ", prove " +
          number(time.real_or("prove", 0), 1) + ", write " + number(time.real_or("write", 0), 1) + ", idle " +
          number(time.real_or("idle", 0), 1) + ")\n";
  text += "bounded by " + report.at("bounded_by").as_text() + "\n";
  text += "peak memory: " + size_text(unsigned_at(report, "peak_memory")) + "\n";
  return text + "package: " + report.at("package").as_text() + "\n";
}

std::string package_text(const Value& d) {
  std::string text = d.at("format").as_text() + ", specification version " +
                     std::to_string(d.int_or("specification_version", 0)) + ", default function " +
                     d.text_or("default_function", "main") + "\n\n" + functions_text(d.at("functions")) + "\n";
  Table weights({"weight", "shape", "scheme", "bits", "size", "functions"}, {false, false, false, true, true, false});
  for (const Value& w : d.at("weights").items()) {
    std::string shape, functions;
    for (const Value& n : w.at("shape").items()) shape += (shape.empty() ? "" : "x") + std::to_string(n.as_int());
    for (const Value& f : w.at("functions").items()) functions += (functions.empty() ? "" : ",") + f.as_text();
    weights.add({w.at("name").as_text(), shape, w.at("scheme").as_text(), std::to_string(w.int_or("bits", 0)),
                 size_text(unsigned_at(w, "bytes")), functions});
  }
  text += weights.text() + "\nweights: " + size_text(unsigned_at(d, "weight_bytes")) + "\n";
  if (const Value* metadata = d.find("metadata"))
    for (const auto& [key, value] : metadata->members())
      text += key + ": " + (value.is_text() ? value.as_text() : "") + "\n";
  return text;
}

}  // namespace d2c::host::cli
