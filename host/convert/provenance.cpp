#include "host/convert/provenance.hpp"

#include "host/convert/published_assets.hpp"
#include "host/convert/unit_digests.hpp"
#include "host/platform/files.hpp"
#include "host/platform/process.hpp"
#include "libs/digest/sha256.hpp"
#include "libs/json/json.hpp"

#include <algorithm>
#include <filesystem>
#include <numeric>

namespace d2c::host {
Provenance::Provenance(const Recipe& recipe, const Assembly& assembly)
    : assembly_(assembly), recipe_(publishable(recipe)) {
  const ModelInputs& inputs = assembly.inputs();
  add_inputs(inputs.model->files(), "model");
  if (inputs.encoder_model) add_inputs(inputs.encoder_model->files(), "encoder");
  for (const AdapterStack* stack : inputs.stacks()) add_inputs(stack->files(), "adapter:" + stack->name());
}

void Provenance::add_inputs(const std::vector<std::string>& files, const std::string& purpose) {
  std::vector<std::uint64_t> sizes;
  for (const std::string& file : files) {
    std::error_code error;
    sizes.push_back(std::filesystem::file_size(file, error));
    if (error) fail_input(file + ": " + error.message());
  }
  // Half of the memory is left to the output and to whatever else the machine does.
  const bool drop_behind = std::accumulate(sizes.begin(), sizes.end(), std::uint64_t{0}) > physical_memory() / 2;
  for (std::size_t i = 0; i < files.size(); ++i)
    inputs_.push_back({files[i], purpose, sizes[i], file_identity(files[i]), {files[i], sizes[i], drop_behind}});
}

std::vector<Errand> Provenance::errands() {
  std::vector<Errand> errands;
  for (Input& input : inputs_)
    errands.push_back({input.digest.steps(), [&input](StageTimes& times) { input.digest.step(times); }});
  return errands;
}

void Provenance::check_unchanged() const {
  for (const Input& input : inputs_)
    if (file_identity(input.path) != input.identity)
      fail_input(input.path + ": changed while it was being converted; run again once it is complete");
}

Value Provenance::inputs() const {
  Value inputs = Value::list();
  for (const Input& i : inputs_) {
    Value v = Value::table();
    v.set("purpose", i.purpose);
    v.set("name", std::filesystem::path(i.path).filename().string());
    v.set("size", i.size);
    v.set("sha256", i.digest.sha256());
    inputs.push_back(std::move(v));
  }
  return inputs;
}

Value Provenance::statement() const {
  Value plugins = Value::list();
  for (const Plugin* p : assembly_.plugins()) {
    Value v = Value::table();
    v.set("name", p->name());
    v.set("version", p->entry().version);
    v.set("sha256", p->sha256());
    plugins.push_back(std::move(v));
  }
  Value statement = Value::table();
  statement.set("version", 1);
  statement.set("tool", std::string("dolphin2coreml ") + D2C_SDK_VERSION);
  statement.set("recipe_sha256", sha256_of(json::dump(recipe_)));
  statement.set("inputs", inputs());
  statement.set("plugins", std::move(plugins));
  return statement;
}

/// The model's files, and those in which an encoder that is another model differs.
std::vector<Asset> Provenance::model_files() const {
  const ModelInputs& inputs = assembly_.inputs();
  std::vector<Asset> files = published_assets(*inputs.model, inputs.chat.get());
  if (!inputs.encoder_model) return files;
  std::vector<Asset> own = inputs.encoder_model->assets();
  std::erase_if(own, [&](const Asset& asset) {
    return std::any_of(files.begin(), files.end(),
                       [&](const Asset& other) { return other.name == asset.name && other.data == asset.data; });
  });
  for (Asset& asset : own) files.push_back({kEncoderAsset + asset.name, std::move(asset.data)});
  return files;
}

std::vector<Asset> Provenance::attachments() const {
  std::vector<Asset> files = model_files();
  files.push_back({"recipe.json", json::dump(recipe_, 2) + "\n"});
  files.push_back({"provenance.json", json::dump(statement(), 2) + "\n"});
  std::sort(files.begin(), files.end(), [](const Asset& a, const Asset& b) { return a.name < b.name; });
  return files;
}

}  // namespace d2c::host
