// The runner's matrix products on one core, for every width of palette and the shapes of real models, beside a loop that only
// reads as many bytes. "weights" counts them as the model does; "bytes" counts what lies in the package. Weights are several
// times the caches.
#include "libs/kernels/weight_rows.hpp"

#include <d2c/half.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

namespace {

using namespace d2c::kernels;

constexpr std::int64_t kGroupRows = 16;
constexpr std::size_t kWeightBytes = std::size_t{192} << 20;

/// Copies of a [rows, columns] matrix of palette indices one after another, so that no copy is still in a cache when its turn
/// comes again.
class Weights {
 public:
  Weights(std::int64_t bits, std::int64_t rows, std::int64_t columns) : bits_(bits), rows_(rows), columns_(columns) {
    const std::int64_t copies = std::max<std::int64_t>(1, static_cast<std::int64_t>(kWeightBytes) / bytes());
    std::mt19937 random(1);
    indices_.resize(static_cast<std::size_t>(copies * bytes()));
    for (std::size_t i = 0; i < indices_.size(); i += 4) {
      const auto v = static_cast<std::uint32_t>(random());
      std::memcpy(indices_.data() + i, &v, std::min<std::size_t>(4, indices_.size() - i));
    }
    std::normal_distribution<float> normal(0, 0.02F);
    for (std::int64_t i = 0; i < rows / kGroupRows << bits; ++i)
      tables_.push_back(d2c::half_to_float(d2c::float_to_half(normal(random))));
    for (std::int64_t i = 0; i < copies; ++i) {
      for (const bool fast : {false, true})
        (fast ? fast_ : exact_)
            .emplace_back(StoredMatrix{.scheme = StoredMatrix::Scheme::palette,
                                       .bits = static_cast<int>(bits),
                                       .data = copy(i),
                                       .rows = rows,
                                       .columns = columns,
                                       .row_groups = rows / kGroupRows,
                                       .tables = tables_},
                          fast);
    }
  }

  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t columns() const { return columns_; }
  [[nodiscard]] std::int64_t bytes() const { return rows_ * columns_ * bits_ / 8; }
  [[nodiscard]] std::span<const std::byte> copy(std::int64_t i) const {
    return std::span(indices_).subspan(static_cast<std::size_t>(i % copies() * bytes()),
                                       static_cast<std::size_t>(bytes()));
  }
  [[nodiscard]] const WeightRows& matrix(std::int64_t i, bool fast) const {
    return (fast ? fast_ : exact_)[static_cast<std::size_t>(i % copies())];
  }

 private:
  [[nodiscard]] std::int64_t copies() const { return static_cast<std::int64_t>(indices_.size()) / bytes(); }

  std::int64_t bits_, rows_, columns_;
  std::vector<std::byte> indices_;
  std::vector<float> tables_;
  std::vector<WeightRows> exact_, fast_;
};

const Weights& weights(const benchmark::State& state) {
  static std::pair<std::tuple<std::int64_t, std::int64_t, std::int64_t>, std::unique_ptr<Weights>> last;
  const std::tuple shape(state.range(0), state.range(1), state.range(2));
  if (last.second == nullptr || last.first != shape) {
    last.second.reset();
    last = {shape, std::make_unique<Weights>(state.range(0), state.range(1), state.range(2))};
  }
  return *last.second;
}

std::vector<float> activations(std::int64_t count) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(count));
  for (float& v : x) v = normal(random);
  return x;
}

void report(benchmark::State& state, const Weights& w, std::int64_t m) {
  const auto calls = static_cast<double>(state.iterations());
  const auto count = static_cast<double>(w.rows() * w.columns());
  const auto per_second = benchmark::Counter::kIsRate;
  state.counters["Gweights/s"] = {calls * count * 1e-9, per_second};
  state.counters["GB/s"] = {calls * static_cast<double>(w.bytes()) * 1e-9, per_second};
  if (m > 1) state.counters["GFLOP/s"] = {calls * 2 * static_cast<double>(m) * count * 1e-9, per_second};
}

void read_only(benchmark::State& state) {
  const Weights& w = weights(state);
  std::int64_t i = 0;
  for (auto _ : state) {
    const std::byte* from = w.copy(i++).data();
    std::uint64_t sums[8] = {};
    for (std::int64_t at = 0; at + 64 <= w.bytes(); at += 64) {
      std::uint64_t line[8];
      std::memcpy(line, from + at, sizeof line);
      for (int k = 0; k < 8; ++k) sums[k] += line[k];
    }
    benchmark::DoNotOptimize(sums);
  }
  report(state, w, 1);
}

class Aligned {
 public:
  explicit Aligned(std::size_t bytes)
      : memory_(static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 127) / 64 * 64)), &std::free) {}
  [[nodiscard]] std::byte* data() const { return memory_.get(); }

 private:
  std::unique_ptr<std::byte, decltype(&std::free)> memory_;
};

void decode(benchmark::State& state, bool fast) {
  const Weights& w = weights(state);
  const std::vector<float> x = activations(w.columns());
  std::vector<float> y(static_cast<std::size_t>(w.rows()));
  const std::size_t bytes = w.matrix(0, fast).prepared_bytes();
  const Aligned memory(bytes);
  std::int64_t i = 0;
  for (auto _ : state) {
    const WeightRows& rows = w.matrix(i++, fast);
    if (bytes > 0) rows.prepare(x.data(), memory.data());
    rows.multiply(0, w.rows(), bytes > 0 ? static_cast<const void*>(memory.data()) : x.data(), y.data());
    benchmark::DoNotOptimize(y.data());
  }
  report(state, w, 1);
}

void prefill(benchmark::State& state, bool fast) {
  const Weights& w = weights(state);
  constexpr std::int64_t kTokens = 128;
  const std::vector<float> x = activations(kTokens * w.columns());
  const WeightRows& first_copy = w.matrix(0, fast);
  const std::int64_t width = first_copy.panel_rows(), panels = (kTokens + width - 1) / width;
  const auto stride = first_copy.panel_bytes();
  const Aligned packed(static_cast<std::size_t>(panels) * stride), tile(WeightRows::kTileBytes),
      sums(static_cast<std::size_t>(panels * width * WeightRows::kTileRows) * sizeof(float));
  std::int64_t copy = 0;
  for (auto _ : state) {
    const WeightRows& rows = w.matrix(copy++, fast);
    for (std::int64_t p = 0; p < panels; ++p)
      rows.pack_panel(x.data() + p * width * w.columns(), std::min(width, kTokens - p * width),
                      packed.data() + static_cast<std::size_t>(p) * stride);
    for (std::int64_t first = 0; first < w.rows(); first += WeightRows::kTileRows)
      rows.multiply_panels(first, std::min(WeightRows::kTileRows, w.rows() - first), packed.data(), panels, tile.data(),
                           reinterpret_cast<float*>(sums.data()));
    benchmark::DoNotOptimize(sums.data());
  }
  report(state, w, kTokens);
}

void decode_exact(benchmark::State& state) { decode(state, false); }
void decode_fast(benchmark::State& state) { decode(state, true); }
void prefill_exact(benchmark::State& state) { prefill(state, false); }
void prefill_fast(benchmark::State& state) { prefill(state, true); }

/// q, gate, down and head of SmolLM2-135M, then of Llama 3.2 1B and Llama 3.1 8B.
constexpr std::pair<std::int64_t, std::int64_t> kShapes[] = {{576, 576},    {1536, 576},  {576, 1536},  {49152, 576},
                                                             {2048, 2048},  {8192, 2048}, {2048, 8192}, {4096, 4096},
                                                             {14336, 4096}, {4096, 14336}};

/// 4 bits in every shape, the other widths in one of each model.
void shapes(benchmark::internal::Benchmark* b) {
  for (const auto& [rows, columns] : kShapes) b->Args({4, rows, columns});
  for (const std::int64_t bits : {1, 2, 3, 6, 8})
    for (const auto& [rows, columns] : {kShapes[1], kShapes[5], kShapes[8]}) b->Args({bits, rows, columns});
}

BENCHMARK(read_only)->Apply(shapes);
BENCHMARK(decode_exact)->Apply(shapes);
BENCHMARK(decode_fast)->Apply(shapes);
BENCHMARK(prefill_exact)->Apply(shapes);
BENCHMARK(prefill_fast)->Apply(shapes);

}  // namespace

BENCHMARK_MAIN();
