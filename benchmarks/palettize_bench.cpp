// Palettization and its stages, in weights per CPU-second, on synthetic weights like those of a language model.
#include "libs/numeric/convert.hpp"
#include "plugins/quant_palettize4/assign.hpp"
#include "plugins/quant_palettize4/distribution.hpp"
#include "plugins/quant_palettize4/pack.hpp"
#include "plugins/quant_palettize4/palettize4.hpp"
#include "plugins/quant_palettize4/solver.hpp"

#include <d2c/half.hpp>

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

namespace {

using namespace d2c::palettize4;

constexpr std::int64_t kGroupRows = 16;

/// Gaussian with log-normal row scales and 0.1 % outliers, rounded to bf16 as checkpoints are (or not), then to fp16.
std::vector<std::uint16_t> weights(std::int64_t rows, std::int64_t columns, bool bf16 = true) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> uniform;
  std::vector<std::uint16_t> out;
  out.reserve(static_cast<std::size_t>(rows * columns));
  for (std::int64_t r = 0; r < rows; ++r) {
    const float scale = 0.02f * std::exp(0.3f * normal(random));
    for (std::int64_t c = 0; c < columns; ++c) {
      const float value = scale * normal(random) * (uniform(random) < 0.001f ? 8.f : 1.f);
      out.push_back(d2c::float_to_half(bf16 ? d2c::bf16_to_float(d2c::float_to_bf16(value)) : value));
    }
  }
  return out;
}

void report_weights(benchmark::State& state, std::size_t per_iteration) {
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(per_iteration));
}

std::unique_ptr<d2c::Quantizer> quantizer(std::int64_t bits, bool fast) {
  d2c::Value options{d2c::Value::Table{}};
  options.set("bits", d2c::Value(bits));
  options.set("mode", d2c::Value(fast ? "fast" : "exact"));
  return std::make_unique<Palettize4>(d2c::Config(options));
}

/// The whole way from fp16 weights to packed indices and palettes. Arguments: columns, bits, rounded to bf16 (weights
/// that adapters were merged into are not), mode.
void palettize(benchmark::State& state) {
  const std::int64_t rows = 8 * kGroupRows, columns = state.range(0);
  const auto values = weights(rows, columns, state.range(2) != 0);
  const auto quantize = quantizer(state.range(1), state.range(3) != 0);
  const d2c::WeightDesc desc{"weight", "mlp", {rows, columns}};
  const d2c::Layout layout = quantize->plan(desc);
  const auto job = quantize->begin(desc);
  std::vector<std::byte> indices(static_cast<std::size_t>(layout.planes[0].type.bytes()));
  std::vector<std::byte> lut(static_cast<std::size_t>(layout.planes[1].type.bytes()));
  void* const planes[] = {indices.data(), lut.data()};
  d2c_tile_stats stats{};
  for (auto _ : state) {
    stats = {};
    job->process({0, rows, values.data()}, planes, stats);
    benchmark::DoNotOptimize(indices.data());
  }
  report_weights(state, values.size());
  state.counters["distinct"] = static_cast<double>(stats.distinct_values) / static_cast<double>(stats.groups);
  state.counters["certified"] = static_cast<double>(stats.groups_certified) / static_cast<double>(stats.groups);
  state.counters["excess"] = stats.excess_bound / stats.squared_error;
}
BENCHMARK(palettize)
    ->ArgNames({"columns", "bits", "bf16", "fast"})
    ->ArgsProduct({{4096, 14336}, {4}, {1, 0}, {0, 1}})
    ->Args({4096, 2, 1, 0})
    ->Args({4096, 6, 1, 0})
    ->Args({4096, 8, 1, 0});

void count_values(benchmark::State& state) {
  const auto values = weights(kGroupRows, state.range(0));
  Histogram histogram;
  Distribution distribution;
  for (auto _ : state) {
    histogram.add(values);
    histogram.drain(distribution);
    benchmark::DoNotOptimize(distribution.bits.data());
  }
  report_weights(state, values.size());
}
BENCHMARK(count_values)->Arg(4096)->Arg(14336);

void solve(benchmark::State& state) {
  const auto values = weights(kGroupRows, 4096);
  Histogram histogram;
  histogram.add(values);
  Distribution distribution;
  histogram.drain(distribution);
  Solver solver;
  for (auto _ : state) benchmark::DoNotOptimize(solver.solve(distribution, static_cast<std::size_t>(state.range(0))));
  report_weights(state, values.size());
}
BENCHMARK(solve)->Arg(4)->Arg(16)->Arg(64)->Arg(256);

void assign(benchmark::State& state) {
  const auto values = weights(kGroupRows, 256);
  std::vector<std::uint16_t> entries;
  for (std::int64_t e = 0; e < state.range(0); ++e)
    entries.push_back(d2c::float_to_half(0.05f * static_cast<float>(2 * e + 1 - state.range(0)) /
                                         static_cast<float>(state.range(0))));
  Assigner assigner;
  assigner.set_palette(entries);
  std::vector<std::uint8_t> indices(values.size());
  for (auto _ : state) {
    assigner.assign(values, indices.data());
    benchmark::DoNotOptimize(indices.data());
  }
  report_weights(state, values.size());
}
BENCHMARK(assign)->Arg(4)->Arg(16)->Arg(64)->Arg(256);

void pack(benchmark::State& state) {
  const std::vector<std::uint8_t> indices(4096, 1);
  std::vector<std::uint8_t> out(indices.size());
  for (auto _ : state) {
    pack_indices(static_cast<int>(state.range(0)), indices.data(), indices.size(), out.data());
    benchmark::DoNotOptimize(out.data());
  }
  report_weights(state, indices.size());
}
BENCHMARK(pack)->Arg(1)->Arg(3)->Arg(4)->Arg(6);

void bf16_to_half(benchmark::State& state) {
  std::vector<std::uint16_t> in;
  for (const std::uint16_t half : weights(kGroupRows, 4096)) in.push_back(d2c::float_to_bf16(d2c::half_to_float(half)));
  std::vector<std::uint16_t> out(in.size());
  for (auto _ : state) benchmark::DoNotOptimize(d2c::numeric::bf16_to_half(in.data(), in.size(), out.data()));
  report_weights(state, in.size());
}
BENCHMARK(bf16_to_half);

void float_to_half(benchmark::State& state) {
  const auto halves = weights(kGroupRows, 4096);
  std::vector<float> in(halves.size());
  d2c::numeric::to_float(d2c::DType::f16, halves.data(), halves.size(), in.data());
  std::vector<std::uint16_t> out(in.size());
  for (auto _ : state) benchmark::DoNotOptimize(d2c::numeric::float_to_half(in.data(), in.size(), out.data()));
  report_weights(state, in.size());
}
BENCHMARK(float_to_half);

}  // namespace

BENCHMARK_MAIN();
