#include "plugins/source_gguf/gguf_source.hpp"

#include "libs/numeric/convert.hpp"
#include "plugins/source_gguf/header.hpp"
#include "plugins/source_gguf/tokenizer.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace d2c::source_gguf {
namespace {

/// Stored bytes held at a time, unless one row or the rows of one head are more.
constexpr std::int64_t kWindow = 256 << 10;

/// Elements dequantized at a time: a multiple of every block, small enough for the first-level cache.
constexpr std::size_t kChunk = 1024;

/// Fills the rows of one view.
class RowReader {
 public:
  RowReader(const ByteSource& bytes, const Weight& weight)
      : bytes_(bytes), weight_(weight), format_(*weight.stored.format), columns_(columns_of(weight.info.type.shape)) {
    stored_row_bytes_ = columns_ / format_.elements * format_.bytes;
    row_bytes_ = bytes_of(weight.info.type.dtype, columns_);
  }

  [[nodiscard]] std::int64_t row_bytes() const noexcept { return row_bytes_; }

  void read(std::int64_t first, std::int64_t count, std::byte* out) const {
    if (format_.dequantize == nullptr && weight_.interleaved_rows == 0) return fetch(first, count, out);
    std::vector<std::byte> window;
    for (std::int64_t row = first; row < first + count;) {
      const auto [begin, end] = stored_range(row, first + count);
      window.resize(static_cast<std::size_t>((end - begin) * stored_row_bytes_));
      fetch(begin, end - begin, window.data());
      for (const std::int64_t stop = std::min(end, first + count); row < stop; ++row, out += row_bytes_) {
        deliver(window.data() + (weight_.stored_row(row) - begin) * stored_row_bytes_, row, out);
      }
    }
  }

 private:
  /// The stored rows to read next, [begin, end), which hold exactly the rows up to `end`: the reordering stays in a head.
  [[nodiscard]] std::pair<std::int64_t, std::int64_t> stored_range(std::int64_t row, std::int64_t stop) const {
    if (const std::int64_t head = weight_.interleaved_rows; head != 0)
      return {row - row % head, row - row % head + head};
    return {row, std::min(stop, row + std::max<std::int64_t>(1, kWindow / stored_row_bytes_))};
  }

  void fetch(std::int64_t row, std::int64_t rows, std::byte* out) const {
    bytes_.read(weight_.stored.offset + static_cast<std::uint64_t>(row * stored_row_bytes_),
                {out, static_cast<std::size_t>(rows * stored_row_bytes_)});
  }

  void deliver(const std::byte* stored, std::int64_t row, std::byte* out) const {
    if (format_.dequantize == nullptr) {
      std::memcpy(out, stored, static_cast<std::size_t>(row_bytes_));
      return;
    }
    std::array<float, kChunk> values;
    auto* halves = reinterpret_cast<std::uint16_t*>(out);
    for (std::size_t left = static_cast<std::size_t>(columns_); left > 0;) {
      const std::size_t n = std::min(left, kChunk);
      const std::size_t blocks = n / static_cast<std::size_t>(format_.elements);
      format_.dequantize(stored, blocks, values.data());
      const numeric::RoundingStats stats = numeric::float_to_half(values.data(), n, halves);
      if (stats.nonfinite + stats.overflowed != 0) fail_range(row);
      stored += blocks * static_cast<std::size_t>(format_.bytes);
      halves += n;
      left -= n;
    }
  }

  [[noreturn]] void fail_range(std::int64_t row) const {
    fail_input(
        bytes_.name() + ": tensor " + in_quotes(weight_.stored.name) + " holds a value in row " +
        std::to_string(weight_.stored_row(row)) +
        " that fp16 cannot hold (beyond 65504 or no number); the file is damaged or the model needs another format");
  }

  const ByteSource& bytes_;
  const Weight& weight_;
  const BlockFormat& format_;
  std::int64_t columns_;
  std::int64_t stored_row_bytes_;
  std::int64_t row_bytes_;
};

}  // namespace

int GgufSource::probe(const char* path) {
  std::ifstream file(path, std::ios::binary);
  char magic[4] = {};
  return file.read(magic, sizeof magic) && std::memcmp(magic, "GGUF", sizeof magic) == 0 ? 100 : 0;
}

GgufSource::GgufSource(const Host& host, const Config& options)
    : GgufSource(host, std::make_unique<FileBytes>(
                           std::filesystem::absolute(options.require_text("path")).lexically_normal().string())) {}

GgufSource::GgufSource(const Host& host, std::unique_ptr<const ByteSource> bytes)
    : bytes_(std::move(bytes)), files_{bytes_->name()} {
  const Header header = parse_header(*bytes_);
  LlamaModel model = read_llama_model(*bytes_, header);
  config_ = std::move(model.config);
  weights_ = std::move(model.weights);
  for (const Weight& w : weights_) tensors_.push_back(w.info);
  assets_ = tokenizer_assets(*bytes_, header.metadata, config_.at("vocab_size").as_int(),
                             [&host](const std::string& text) { host.warn(text); });
}

View GgufSource::view(std::size_t tensor, std::int64_t first, std::int64_t count) const {
  const Weight& weight = weights_.at(tensor);
  const std::int64_t rows = rows_of(weight.info.type.shape);
  if (first < 0 || count < 0 || first > rows || count > rows - first) {
    fail_usage("rows " + std::to_string(first) + " + " + std::to_string(count) + " of " + weight.info.name +
               ", which has " + std::to_string(rows));
  }
  const RowReader reader(*bytes_, weight);
  const auto size = static_cast<std::size_t>(count * reader.row_bytes());
  std::shared_ptr<std::byte[]> data(new std::byte[size]);
  reader.read(first, count, data.get());
  return {{data.get(), size}, data};
}

}  // namespace d2c::source_gguf
