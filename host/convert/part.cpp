#include "host/convert/part.hpp"

#include "host/platform/files.hpp"
#include "host/platform/positioned_file.hpp"
#include "host/stop/stop.hpp"
#include "libs/json/json.hpp"

#include <algorithm>

namespace d2c::host {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kVersion = 1;
constexpr std::size_t kWindow = std::size_t{8} << 20;

std::uint64_t plane_bytes(const PlannedWeight& weight, std::size_t plane) {
  return static_cast<std::uint64_t>(TensorType::from_c(weight.layout.planes[plane].type).bytes());
}

fs::path record_file(const fs::path& part) { return part / "part.json"; }

}  // namespace

PartLayout::PartLayout(const Assembly& assembly, const Shard& shard)
    : assembly_(assembly), starts_(assembly.weights().size(), kElsewhere) {
  const std::vector<unsigned> owner = share_out(assembly.weights(), shard.count);
  for (std::size_t i = 0; i < owner.size(); ++i) {
    if (owner[i] != shard.number) continue;
    weights_.push_back(i);
    starts_[i] = size_;
    size_ += assembly.weights()[i]->bytes();
  }
}

std::uint64_t PartLayout::offset(std::size_t weight, std::size_t plane) const {
  std::uint64_t at = starts_.at(weight);
  for (std::size_t p = 0; p < plane; ++p) at += plane_bytes(*assembly_.weights()[weight], p);
  return at;
}

void PartRecord::save(const fs::path& part) const {
  Value list = Value::list();
  for (const Entry& entry : weights) list.push_back(Value(Value::List{entry.key, entry.digest, entry.note}));
  Value v = Value::table();
  v.set("version", kVersion);
  v.set("number", shard.number);
  v.set("count", shard.count);
  v.set("inputs", inputs);
  v.set("weights", std::move(list));
  write_durably(record_file(part), json::dump(v) + "\n");
  sync_directory(part);
}

PartRecord PartRecord::load(const fs::path& part) {
  const Value v = json::parse_file(record_file(part).string());
  if (v.int_or("version", 0) != kVersion)
    fail_input(part.string() + ": was made by another release; run its shard again");
  const auto damaged = [&] { fail_input(record_file(part).string() + ": is damaged; run its shard again"); };
  PartRecord record;
  record.shard = {static_cast<unsigned>(v.int_or("number", 0)), static_cast<unsigned>(v.int_or("count", 0))};
  if (!record.shard.valid()) damaged();
  record.inputs = v.at("inputs");
  for (const Value& entry : v.at("weights").items()) {
    const Value::List& fields = entry.items();
    if (fields.size() != 3) damaged();
    record.weights.push_back({fields[0].as_text(), fields[1].as_text(), fields[2]});
  }
  return record;
}

fs::path part_file(const fs::path& part) { return part / "weights.bin"; }

std::vector<fs::path> find_parts(const fs::path& package) {
  // The first of many has the name of all but for its numbers.
  const fs::path sample = Shard{}.part_of(package);
  const std::string name = sample.filename().string(), start = name.substr(0, name.rfind("1-of-1"));
  std::vector<fs::path> parts;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(sample.parent_path(), ignored))
    if (entry.path().filename().string().starts_with(start)) parts.push_back(entry.path());
  std::sort(parts.begin(), parts.end());
  return parts;
}

void copy_part(const fs::path& part, const PartLayout& layout, const Assembly& assembly, const WritePlane& write) {
  const PositionedFile file(part_file(part), PositionedFile::Access::read);
  if (file.size() != layout.file_size())
    fail_input(part_file(part).string() + ": has " + std::to_string(file.size()) + " bytes instead of " +
               std::to_string(layout.file_size()) + "; copy it again");
  std::vector<std::byte> window(kWindow);
  for (const std::size_t weight : layout.weights()) {
    const PlannedWeight& w = *assembly.weights()[weight];
    for (std::uint32_t plane = 0; plane < w.layout.plane_count; ++plane) {
      const std::uint64_t start = layout.offset(weight, plane), size = plane_bytes(w, plane);
      for (std::uint64_t at = 0; at < size; at += kWindow) {
        stop::throw_if_requested();
        const auto bytes = std::span(window).first(std::min<std::uint64_t>(kWindow, size - at));
        file.read(start + at, bytes);
        write(weight, plane, at, bytes);
      }
    }
  }
}

}  // namespace d2c::host
