#include "host/diff/tensors.hpp"

#include "libs/numeric/convert.hpp"

#include <utility>

namespace d2c::host {
namespace {

class CheckpointTensors final : public Tensors {
 public:
  explicit CheckpointTensors(std::unique_ptr<Source> source) : source_(std::move(source)) {
    for (const TensorInfo& t : source_->tensors())
      entries_.push_back({t.name, t.type.shape, t.type.text(), t.type.dtype});
  }

  [[nodiscard]] const std::vector<Entry>& entries() const override { return entries_; }
  [[nodiscard]] std::optional<RowView> bytes(std::size_t index, std::int64_t first, std::int64_t rows) const override {
    return source_->rows(index, first, rows);
  }
  void numbers(std::size_t index, std::int64_t first, std::int64_t rows, float* out) const override {
    const RowView view = source_->rows(index, first, rows);
    const auto count = static_cast<std::size_t>(rows * columns_of(entries_[index].shape));
    numeric::to_float(entries_[index].dtype, view.data(), count, out);
  }
  [[nodiscard]] bool is_package() const override { return false; }

 private:
  std::unique_ptr<Source> source_;
  std::vector<Entry> entries_;
};

class PackageTensors final : public Tensors {
 public:
  explicit PackageTensors(Handle<d2c_package_reader> reader) : reader_(std::move(reader)) {
    const d2c_value* description = nullptr;
    reader_.check(reader_->describe(reader_->self, &description));
    const Value described = Value::from_c(description);
    for (const Value& w : described.at("weights").items()) entries_.push_back(entry_of(w));
  }

  [[nodiscard]] const std::vector<Entry>& entries() const override { return entries_; }
  [[nodiscard]] std::optional<RowView> bytes(std::size_t, std::int64_t, std::int64_t) const override {
    return std::nullopt;
  }
  void numbers(std::size_t index, std::int64_t first, std::int64_t rows, float* out) const override {
    reader_.check(reader_->rows(reader_->self, index, first, rows, out));
  }
  [[nodiscard]] bool is_package() const override { return true; }

 private:
  static Entry entry_of(const Value& weight) {
    Entry entry{weight.at("name").as_text(), {}, {}, DType::none};
    std::string shape;
    for (const Value& n : weight.at("shape").items()) {
      entry.shape.push_back(n.as_int());
      shape += (shape.empty() ? "" : ",") + std::to_string(n.as_int());
    }
    entry.stored =
        weight.at("scheme").as_text() + " " + std::to_string(weight.int_or("bits", 0)) + "-bit [" + shape + "]";
    return entry;
  }

  Handle<d2c_package_reader> reader_;
  std::vector<Entry> entries_;
};

}  // namespace

std::unique_ptr<Tensors> checkpoint_tensors(std::unique_ptr<Source> source) {
  return std::make_unique<CheckpointTensors>(std::move(source));
}

std::unique_ptr<Tensors> package_tensors(Handle<d2c_package_reader> reader) {
  return std::make_unique<PackageTensors>(std::move(reader));
}

}  // namespace d2c::host
