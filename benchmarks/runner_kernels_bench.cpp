// The runner's matrix products on one core, for the shapes of real models, beside a loop that only reads as many bytes.
// "weights" counts them as the model does; "bytes" counts what lies in the package. Weights are several times the caches.
#include "libs/kernels/palette_rows.hpp"

#include <d2c/half.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

namespace {

using namespace d2c::kernels;

constexpr std::int64_t kGroupRows = 16;
constexpr std::size_t kWeightBytes = std::size_t{192} << 20;

/// Copies of a [rows, columns] matrix one after another, so that no copy is still in a cache when its turn comes again.
struct Weights {
  std::int64_t rows, columns, copies;
  std::vector<std::uint8_t> indices;
  std::vector<std::uint16_t> tables;
  std::vector<std::int8_t> tables8;
  std::vector<float> scales;

  Weights(std::int64_t r, std::int64_t c)
      : rows(r), columns(c), copies(std::max<std::int64_t>(1, static_cast<std::int64_t>(kWeightBytes) / (r * c / 2))) {
    std::mt19937 random(1);
    indices.resize(static_cast<std::size_t>(copies * rows * columns / 2));
    for (std::size_t i = 0; i < indices.size(); i += 4) {
      const auto v = static_cast<std::uint32_t>(random());
      std::memcpy(indices.data() + i, &v, std::min<std::size_t>(4, indices.size() - i));
    }
    std::normal_distribution<float> normal(0, 0.02F);
    const auto groups = static_cast<std::size_t>(rows / kGroupRows);
    for (std::size_t i = 0; i < groups * 16; ++i) tables.push_back(d2c::float_to_half(normal(random)));
    for (std::size_t i = 0; i < groups * 16; ++i)
      tables8.push_back(static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127));
    scales.assign(groups, 0.01F);
  }

  [[nodiscard]] std::int64_t bytes() const { return rows * columns / 2; }
  [[nodiscard]] PaletteRows copy(std::int64_t i) const {
    return {indices.data() + i % copies * bytes(), tables.data(), columns, kGroupRows};
  }
};

const Weights& weights(const benchmark::State& state) {
  static std::pair<std::pair<std::int64_t, std::int64_t>, std::unique_ptr<Weights>> last;
  const std::pair shape(state.range(0), state.range(1));
  if (last.second == nullptr || last.first != shape)
    last = {shape, std::make_unique<Weights>(shape.first, shape.second)};
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
  const auto per_second = benchmark::Counter::kIsRate;
  state.counters["Gweights/s"] = {calls * static_cast<double>(w.rows * w.columns) * 1e-9, per_second};
  state.counters["GB/s"] = {calls * static_cast<double>(w.bytes()) * 1e-9, per_second};
  if (m > 1) state.counters["GFLOP/s"] = {calls * static_cast<double>(2 * m * w.rows * w.columns) * 1e-9, per_second};
}

void read_only(benchmark::State& state) {
  const Weights& w = weights(state);
  std::int64_t i = 0;
  for (auto _ : state) {
    const std::uint8_t* from = w.copy(i++).indices;
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

void exact(benchmark::State& state) {
  const Weights& w = weights(state);
  const std::int64_t m = state.range(2);
  const std::vector<float> x = activations(m * w.columns);
  std::vector<float> reordered(x.size()), y(static_cast<std::size_t>(m * w.rows));
  std::int64_t i = 0;
  for (auto _ : state) {
    reorder(x.data(), m, w.columns, reordered.data());
    multiply_rows(w.copy(i++), 0, w.rows, reordered.data(), m, y.data(), w.rows);
    benchmark::DoNotOptimize(y.data());
  }
  report(state, w, m);
}

void fast(benchmark::State& state) {
  const Weights& w = weights(state);
  const std::vector<float> x = activations(w.columns);
  std::vector<float> y(static_cast<std::size_t>(w.rows));
  const std::size_t bytes = quantized_bytes(w.columns);
  const std::unique_ptr<std::byte, decltype(&std::free)> memory(
      static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)), &std::free);
  std::int64_t i = 0;
  for (auto _ : state) {
    quantize(x.data(), w.columns, memory.get());
    multiply_rows_fast(w.copy(i++), w.tables8.data(), w.scales.data(), 0, w.rows, memory.get(), y.data());
    benchmark::DoNotOptimize(y.data());
  }
  report(state, w, 1);
}

void prefill(benchmark::State& state) {
  const Weights& w = weights(state);
  const std::int64_t m = state.range(2), panel = panel_size(), padded = (m + panel - 1) / panel * panel, tile_rows = 48;
  const std::vector<float> x = activations(m * w.columns);
  std::vector<float> packed(static_cast<std::size_t>(padded * w.columns)),
      sums(static_cast<std::size_t>(tile_rows * padded)), tile(static_cast<std::size_t>(tile_rows * kOrderBlock));
  std::int64_t i = 0;
  for (auto _ : state) {
    const PaletteRows rows = w.copy(i++);
    for (std::int64_t p = 0; p < m; p += panel)
      pack_panel(x.data() + p * w.columns, std::min(panel, m - p), w.columns, true, packed.data() + p * w.columns);
    for (std::int64_t first = 0; first < w.rows; first += tile_rows) {
      const std::int64_t count = std::min(tile_rows, w.rows - first);
      for (std::int64_t c = 0; c < w.columns; c += kOrderBlock) {
        const std::int64_t width = std::min(kOrderBlock, w.columns - c);
        expand_rows(rows, first, count, c, c + width, tile.data());
        add_products(packed.data(), m, w.columns, c, tile.data(), count, width, sums.data());
      }
    }
    benchmark::DoNotOptimize(sums.data());
  }
  report(state, w, m);
}

/// q, gate, down and head of SmolLM2-135M, then of Llama 3.2 1B and Llama 3.1 8B.
constexpr std::pair<std::int64_t, std::int64_t> kShapes[] = {{576, 576},    {1536, 576},  {576, 1536},  {49152, 576},
                                                             {2048, 2048},  {8192, 2048}, {2048, 8192}, {4096, 4096},
                                                             {14336, 4096}, {4096, 14336}};

void shapes(benchmark::internal::Benchmark* b) {
  for (const auto& [rows, columns] : kShapes) b->Args({rows, columns});
}

void shapes_by_rows(benchmark::internal::Benchmark* b, std::initializer_list<std::int64_t> ms) {
  for (const auto& [rows, columns] : kShapes)
    for (const std::int64_t m : ms) b->Args({rows, columns, m});
}

BENCHMARK(read_only)->Apply(shapes);
BENCHMARK(exact)->Apply([](auto* b) { shapes_by_rows(b, {1, 4}); });
BENCHMARK(fast)->Apply(shapes);
BENCHMARK(prefill)->Apply([](auto* b) { shapes_by_rows(b, {64}); });

}  // namespace

BENCHMARK_MAIN();
