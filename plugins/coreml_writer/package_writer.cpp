#include "plugins/coreml_writer/package_writer.hpp"

#include "libs/digest/sha256.hpp"
#include "plugins/coreml_writer/manifest.hpp"
#include "plugins/coreml_writer/model_builder.hpp"

#include <algorithm>
#include <unordered_set>

namespace d2c::coreml_writer {
namespace {

namespace fs = std::filesystem;

constexpr const char* kData = "Data";
constexpr const char* kAppleAuthor = "com.apple.CoreML";
constexpr const char* kOwnAuthor = "dolphin2coreml";

fs::path model_folder(const fs::path& package) { return package / kData / kAppleAuthor; }
fs::path attachment_folder(const fs::path& package) { return package / kData / kOwnAuthor; }

void create_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail(Code::resource, path.string() + ": cannot be created: " + error.message());
}

/// Syncs `folder` and every folder above it up to `package`.
void sync_folders(fs::path folder, const fs::path& package) {
  for (; folder != package; folder = folder.parent_path()) sync_directory(folder);
  sync_directory(package);
}

std::span<const d2c_attachment> attachments_of(const d2c_package_info& info) {
  return {info.attachments, info.attachment_count};
}

void check_attachments(const d2c_package_info& info) {
  std::unordered_set<std::string_view> names;
  for (const d2c_attachment& a : attachments_of(info)) {
    const std::string_view name = a.name;
    const bool plain = !name.empty() && name != "." && name != ".." &&
                       std::ranges::none_of(name, [](char c) { return c == '/' || c == '\\' || (c >= 0 && c < ' '); });
    if (!plain) fail(Code::plugin, "an attachment cannot be called '" + std::string(name) + "'");
    if (!names.insert(name).second) fail(Code::plugin, "two attachments are called '" + std::string(name) + "'");
  }
}

/// The unused high bits of a sub-byte blob's last byte are part of the file; were they random, so would be the package.
void check_padding(const coreml::BlobRecord& record, std::uint64_t offset, std::span<const std::byte> data) {
  if (record.padding_bits == 0 || data.empty() || offset + data.size() != record.size) return;
  if (std::to_integer<unsigned>(data.back()) >> (8 - record.padding_bits) != 0)
    fail(Code::plugin, "unused bits of a " + std::string(name_of(record.dtype)) + " tensor are not zero");
}

}  // namespace

std::uint64_t CoreMLWriter::plan(const d2c_program& program) {
  const Deployment deployment = deployment_of(program.deployment);
  ProgramView view(program);
  BlobPlan blobs(view);
  std::vector<std::vector<Blob>> planes(view.weight_count());
  for (std::size_t w = 0; w < planes.size(); ++w) {
    for (std::size_t p = 0; p < view.weight(w).layout->plane_count; ++p) {
      const coreml::BlobRecord& record = blobs.plane(w, p);
      planes[w].push_back(
          {std::string(kData) + "/" + kAppleAuthor + "/" + kWeightFile, record.data_offset(), record.size});
    }
  }
  planned_.emplace(Planned{std::move(view), std::move(blobs), deployment, std::move(planes)});
  warn_about_unused_weights();
  return planned_->blobs.file_size();
}

void CoreMLWriter::warn_about_unused_weights() const {
  const ProgramView& program = planned_->program;
  for (std::size_t w = 0; w < program.weight_count(); ++w)
    if (!program.uses_weight(w))
      host_.warn(std::string("weight '") + program.weight(w).name + "' is stored but no function uses it");
}

const CoreMLWriter::Planned& CoreMLWriter::planned() const {
  if (!planned_) fail(Code::plugin, "the package was not planned");
  return *planned_;
}

const DurableFile& CoreMLWriter::weight_file() const {
  if (!weights_) fail(Code::plugin, "the package was not begun, or has no weights");
  return *weights_;
}

const Blob& CoreMLWriter::blob(std::size_t weight, std::size_t plane) const {
  (void)planned().blobs.plane(weight, plane);  // refuses what does not exist
  return planned_->planes[weight][plane];
}

void CoreMLWriter::begin(const std::string& directory) {
  directory_ = directory;
  const std::uint64_t size = planned().blobs.file_size();
  const fs::path folder = model_folder(directory_);
  create_folder(folder);
  if (size == 0) return;
  const fs::path file = folder / kWeightFile;
  create_folder(file.parent_path());
  weights_.emplace(DurableFile::open(file));
  weights_->reserve(size);
  sync_folders(file.parent_path(), directory_);
}

void CoreMLWriter::write(std::size_t weight, std::size_t plane, std::uint64_t offset, std::span<const std::byte> data) {
  const coreml::BlobRecord& record = planned().blobs.plane(weight, plane);
  if (offset > record.size || data.size() > record.size - offset)
    fail(Code::plugin, std::string("weight '") + planned_->program.weight(weight).name + "', plane " +
                           std::to_string(plane) + ": bytes " + std::to_string(offset) + "+" +
                           std::to_string(data.size()) + " do not lie in its " + std::to_string(record.size));
  check_padding(record, offset, data);
  weight_file().write_at(record.data_offset() + offset, data);
}

void CoreMLWriter::sync() {
  if (weights_) weights_->sync();
}

void CoreMLWriter::write_records() const {
  const auto& records = planned_->blobs.records();
  weight_file().write_at(0, coreml::encode_blob_header(records.size()));
  std::uint64_t end = coreml::kBlobAlignment;
  for (const coreml::BlobRecord& record : records) {
    // The gap before a record is written with it: a reused file may hold anything there.
    std::vector<std::byte> bytes(record.offset - end);
    const coreml::BlobBlock block = coreml::encode_blob_record(record);
    bytes.insert(bytes.end(), block.begin(), block.end());
    weight_file().write_at(end, bytes);
    end = record.end();
  }
}

void CoreMLWriter::write_constants() const {
  const auto constants = planned_->program.constants();
  for (std::size_t c = 0; c < constants.size(); ++c) {
    const coreml::BlobRecord* record = planned_->blobs.constant(c);
    if (record == nullptr) continue;
    check_padding(*record, 0, data_of(constants[c]));
    weight_file().write_at(record->data_offset(), data_of(constants[c]));
  }
}

void CoreMLWriter::write_attachments(const d2c_package_info& info) const {
  const fs::path folder = attachment_folder(directory_);
  fs::remove_all(folder);  // an interrupted attempt may have had others
  if (info.attachment_count == 0) return;
  create_folder(folder);
  for (const d2c_attachment& a : attachments_of(info))
    write_durably(folder / a.name, {static_cast<const char*>(a.data), a.size});
  sync_directory(folder);
}

void CoreMLWriter::write_manifest(const d2c_package_info& info, std::string_view model) const {
  std::vector<ManifestItem> items{{kAppleAuthor, "model.mlmodel", "CoreML Model Specification"}};
  if (weights_) items.push_back({kAppleAuthor, "weights", "CoreML Model Weights"});
  for (const d2c_attachment& a : attachments_of(info)) items.push_back({kOwnAuthor, a.name, "Attachment"});
  write_durably(directory_ / "Manifest.json", manifest_json(items, sha256_of(model)));
}

void CoreMLWriter::finish(const d2c_package_info& info) {
  check_attachments(info);
  const std::string model = build_model(planned().program, planned().blobs, planned().deployment, info);
  if (planned_->blobs.file_size() > 0) {
    write_records();
    write_constants();
    weights_->sync();
  }
  write_durably(model_folder(directory_) / "model.mlmodel", model);
  write_attachments(info);
  write_manifest(info, model);
  sync_folders(weights_ ? (model_folder(directory_) / kWeightFile).parent_path() : model_folder(directory_),
               directory_);
}

}  // namespace d2c::coreml_writer
