// Writes an .mlpackage: every byte of weight.bin has its place before the first one is written.
#pragma once

#include "plugins/coreml_writer/blob_plan.hpp"
#include "plugins/coreml_writer/deployment.hpp"
#include "plugins/coreml_writer/durable_file.hpp"
#include "plugins/coreml_writer/program_view.hpp"

#include <d2c/plugin.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::coreml_writer {

class CoreMLWriter final : public PackageWriter {
 public:
  CoreMLWriter(const Host& host, const Config&) : host_(host) {}

  std::uint64_t plan(const d2c_program& program) override;
  [[nodiscard]] const Blob& blob(std::size_t weight, std::size_t plane) const override;
  void begin(const std::string& directory) override;
  void write(std::size_t weight, std::size_t plane, std::uint64_t offset, std::span<const std::byte> data) override;
  void sync() override;
  void finish(const d2c_package_info& info) override;

 private:
  struct Planned {
    ProgramView program;
    BlobPlan blobs;
    Deployment deployment;
    std::vector<std::vector<Blob>> planes;
  };

  [[nodiscard]] const Planned& planned() const;
  [[nodiscard]] const DurableFile& weight_file() const;
  void warn_about_unused_weights() const;
  void write_records() const;
  void write_constants() const;
  void write_attachments(const d2c_package_info& info) const;
  void write_manifest(const d2c_package_info& info, std::string_view model) const;

  Host host_;
  std::optional<Planned> planned_;
  std::filesystem::path directory_;
  std::optional<DurableFile> weights_;
};

}  // namespace d2c::coreml_writer
