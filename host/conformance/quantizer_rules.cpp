// The contract of d2c_quantizer, rule by rule.
#include "host/conformance/quantizer_trial.hpp"
#include "host/conformance/rules.hpp"
#include "host/platform/process.hpp"
#include "libs/json/json.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace d2c::host::conformance {
namespace {

/// From a single number to what spans several tiles; odd sizes, sizes of no group, more than two dimensions.
const std::vector<Shape>& edge_shapes() {
  static const std::vector<Shape> shapes{{1, 1},   {1, 64},  {64, 1},        {3, 5},      {7, 33},
                                         {16, 32}, {33, 64}, {48, 256},      {50, 192},   {48, 1024},
                                         {2, 96},  {17, 48}, {32, 64, 1, 1}, {6, 4, 3, 2}};
  return shapes;
}

[[noreturn]] void refuse(const std::string& why) { fail(Code::plugin, why); }

QuantizerObject make(const Plugin& plugin, const Value& options) {
  return {plugin, with_defaults(plugin, D2C_QUANTIZER, options)};
}

/// Calls `check(sample)` for a weight of every shape that the quantizer takes.
template <class Check>
void for_each_shape(QuantizerObject& quantizer, Check check) {
  unsigned seed = 0;
  for (const Shape& shape : edge_shapes())
    if (planned(quantizer, shape)) check(normal_sample(shape, ++seed));
}

/// The largest weight that is taken, for the rules that one weight serves.
Sample main_sample(QuantizerObject& quantizer) {
  std::optional<Shape> largest;
  for (const Shape& shape : edge_shapes())
    if (planned(quantizer, shape) && (!largest || count_of(shape) > count_of(*largest))) largest = shape;
  if (!largest) throw Skipped{"no shape is taken"};
  return normal_sample(*largest, 1);
}

void expect_same(const Quantized& a, const Quantized& b, const std::string& what) {
  if (std::memcmp(&a.layout, &b.layout, sizeof a.layout) != 0) refuse(what + ": another layout");
  for (std::size_t p = 0; p < a.planes.size(); ++p) {
    const auto [mine, other] = std::mismatch(a.planes[p].begin(), a.planes[p].end(), b.planes[p].begin());
    if (mine != a.planes[p].end())
      refuse(what + ": plane " + std::to_string(p) + " differs from byte " +
             std::to_string(mine - a.planes[p].begin()) + " on");
  }
}

// ---------------------------------------------------------------- rules

void check_create(const Plugin& plugin, const Value& options) { (void)make(plugin, options); }

void check_plan(const Plugin& plugin, const Value& options) {
  QuantizerObject quantizer = make(plugin, options);
  std::size_t taken = 0;
  for (const Shape& shape : edge_shapes()) {
    const auto first = planned(quantizer, shape), second = planned(quantizer, shape);
    if (!first != !second || (first && std::memcmp(first.get(), second.get(), sizeof *first) != 0))
      refuse("planned twice, the shape " + to_string(shape) + " got two answers");
    if (first) ++taken;
  }
  if (taken == 0) refuse("every shape is refused, of 48 x 1024 too");
}

void check_extreme_shapes(const Plugin& plugin, const Value& options) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  QuantizerObject quantizer = make(plugin, options);
  for (const Shape& shape : std::vector<Shape>{{0, 8},
                                               {8, 0},
                                               {0, 0},
                                               {kMost, 1},
                                               {1, kMost},
                                               {kMost, kMost},
                                               {1 << 20, 1 << 20},
                                               {1, 1, 1, 1, 1, 1, 1, 1}}) {
    d2c_layout layout;
    const Answer answer = quantizer.plan(shape, layout);
    if (!answer.ok() && answer.message.empty())
      refuse("plan refused the shape " + to_string(shape) + " and said nothing");
  }
}

void check_bounds(const Plugin& plugin, const Value& options) {
  QuantizerObject quantizer = make(plugin, options);
  for_each_shape(quantizer, [&](const Sample& sample) {
    (void)quantize(quantizer, sample, {.units = 1});
    (void)quantize(quantizer, sample, {});
  });
}

void check_size(const Plugin& plugin, const Value& options) {
  QuantizerObject quantizer = make(plugin, options);
  for_each_shape(quantizer, [&](const Sample& sample) {
    expect_same(quantize(quantizer, sample, {.fill = std::byte{0}}),
                quantize(quantizer, sample, {.fill = std::byte{0xff}}),
                sample.what + ", into memory that held something else before (bytes declared and never written)");
  });
}

/// Squared error, squared sum and largest error over the weight.
void expect_true_stats(const Quantized& q, const Sample& sample) {
  double error = 0, sum = 0, most = 0;
  const std::vector<float> values = restored(q, sample.shape);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) refuse(sample.what + ": element " + std::to_string(i) + " became infinite or NaN");
    const double difference = std::abs(double{sample.values[i]} - values[i]);
    error += difference * difference;
    sum += double{sample.values[i]} * sample.values[i];
    most = std::max(most, difference);
  }
  const auto expect = [&](const char* figure, double told, double true_value, double allowed) {
    if (std::abs(told - true_value) > allowed)
      refuse(sample.what + ": " + figure + " is told as " + std::to_string(told) + " and is " +
             std::to_string(true_value));
  };
  expect("squared_sum", q.stats.squared_sum, sum, 1e-6 * sum);
  expect("squared_error", q.stats.squared_error, error, 1e-3 * error + 1e-9 * sum);
  expect("max_error", q.stats.max_error, most, 1e-3 * most + 1e-9 * std::sqrt(sum));
  if (q.stats.groups_certified > q.stats.groups || q.stats.groups < 0)
    refuse(sample.what + ": more groups certified than there are");
}

void check_error(const Plugin& plugin, const Value& options) {
  QuantizerObject quantizer = make(plugin, options);
  for_each_shape(quantizer, [&](const Sample& sample) {
    for (const std::int64_t units : {0, 1}) expect_true_stats(quantize(quantizer, sample, {.units = units}), sample);
  });
}

/// Weights as no training makes them.
std::vector<Sample> odd_samples(const Shape& shape) {
  constexpr float kLeast = 0x1p-24f, kLargest = 65504;
  const Sample normal = normal_sample(shape, 3);
  std::vector<Sample> samples;
  const auto add = [&](const char* what, auto value_at) {
    Sample sample{std::string(what) + " " + to_string(shape), shape, normal.values};
    for (std::size_t i = 0; i < sample.values.size(); ++i) sample.values[i] = value_at(i);
    samples.push_back(std::move(sample));
  };
  add("a weight of zeros", [](std::size_t) { return 0.f; });
  add("a weight of negative zeros", [](std::size_t) { return -0.f; });
  add("a weight of one number", [](std::size_t) { return -0.75f; });
  add("a weight of two numbers", [](std::size_t i) { return i % 3 == 0 ? 1.f : -2.f; });
  add("a weight of the smallest fp16 numbers", [&](std::size_t i) { return static_cast<float>(i % 5) * kLeast; });
  add("a weight with an outlier", [&](std::size_t i) { return i == 7 ? 100.f : normal.values[i]; });
  add("a weight of rising numbers", [](std::size_t i) { return static_cast<float>(i % 2048); });
  add("a weight with the largest fp16 number", [&](std::size_t i) { return i == 0 ? kLargest : normal.values[i]; });
  return samples;
}

void check_odd_values(const Plugin& plugin, const Value& options) {
  QuantizerObject quantizer = make(plugin, options);
  for (const Sample& sample : odd_samples(main_sample(quantizer).shape))
    expect_true_stats(quantize(quantizer, sample, {}), sample);
}

void check_nonfinite(const Plugin& plugin, const Value& options) {
  QuantizerObject quantizer = make(plugin, options);
  const Sample sample = main_sample(quantizer);
  const Quantized before = quantize(quantizer, sample, {});
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    Sample hostile = sample;
    hostile.what = "a weight with " + std::to_string(bad);
    hostile.values[hostile.values.size() / 2] = bad;
    try {
      (void)quantize(quantizer, hostile, {});
    } catch (const Error& e) {
      const std::string text = e.what();
      if (text.ends_with("no message")) refuse(text);
      if (text.find("process failed") == std::string::npos && text.find("observe failed") == std::string::npos) throw;
    }
    expect_same(before, quantize(quantizer, sample, {}), "a good weight after one with " + std::to_string(bad));
  }
}

void check_tiles(const Plugin& plugin, const Value& options) {
  QuantizerObject quantizer = make(plugin, options);
  for_each_shape(quantizer, [&](const Sample& sample) {
    const Quantized whole = quantize(quantizer, sample, {});
    for (const std::int64_t units : {1, 3})
      for (const bool backwards : {false, true})
        expect_same(whole, quantize(quantizer, sample, {.units = units, .backwards = backwards}),
                    sample.what + " in tiles of " + std::to_string(units) + " x tile_rows" +
                        (backwards ? ", last one first" : ""));
  });
}

void check_threads(const Plugin& plugin, const Value& options) {
  QuantizerObject quantizer = make(plugin, options);
  for_each_shape(quantizer, [&](const Sample& sample) {
    const Quantized one = quantize(quantizer, sample, {.units = 1});
    for (int round = 0; round < 2; ++round)
      expect_same(one, quantize(quantizer, sample, {.units = 1, .threads = 4}), sample.what + " from four threads");
  });
}

void check_repeat(const Plugin& plugin, const Value& options) {
  QuantizerObject first = make(plugin, options);
  for_each_shape(first, [&](const Sample& sample) {
    const Quantized before = quantize(first, sample, {});
    (void)quantize(first, normal_sample(sample.shape, 99), {});
    expect_same(before, quantize(first, sample, {}), sample.what + " a second time, after another weight");
    QuantizerObject second = make(plugin, options);
    expect_same(before, quantize(second, sample, {}), sample.what + " by another object of the same options");
  });
}

void check_leaks(const Plugin& plugin, const Value& options) {
  constexpr int kRounds = 64, kWarmUp = 8;
  constexpr std::uint64_t kLeastLeak = 16;  // bytes each round
  const auto round = [&] {
    QuantizerObject quantizer = make(plugin, options);
    (void)quantize(quantizer, main_sample(quantizer), {});
    d2c_layout layout;
    (void)quantizer.plan({0, 8}, layout);
  };
  for (int i = 0; i < kWarmUp; ++i) round();
  const std::uint64_t heap = heap_in_use();
  const int files = open_files();
  if (heap == 0) throw Skipped{"this system, or a sanitizer, does not tell how much memory is in use"};
  for (int i = 0; i < kRounds; ++i) round();
  if (open_files() > files) refuse("files stay open after their object is gone");
  const std::uint64_t now = heap_in_use();
  if (now > heap + kRounds * kLeastLeak)
    refuse("each object or job leaves " + std::to_string((now - heap) / kRounds) + " bytes behind");
}

void check_memory(const Plugin& plugin, const Value& options) {
  constexpr std::uint64_t kSlack = 16384;
  QuantizerObject quantizer = make(plugin, options);
  const Sample sample = main_sample(quantizer);
  const auto layout = planned(quantizer, sample.shape);
  const std::uint64_t before = heap_in_use();
  if (before == 0) throw Skipped{"this system, or a sanitizer, does not tell how much memory is in use"};
  std::uint64_t held = 0;
  const Quantized quantized = quantize(
      quantizer, sample, {.after_first_tile = [&] { held = heap_in_use() - std::min(before, heap_in_use()); }});
  std::uint64_t ours = 0;
  for (const auto& plane : quantized.planes) ours += plane.size();
  const std::uint64_t declared = layout->job_bytes + layout->scratch_bytes;
  if (held > declared + ours + kSlack)
    refuse("a job holds some " + std::to_string(held - ours) + " bytes where the layout declares " +
           std::to_string(declared) + " (job_bytes and scratch_bytes)");
}

void check_choices(const Plugin& plugin, const Value& options) {
  for (const d2c_option_spec* spec : plugin.options(D2C_QUANTIZER)) {
    if (spec->allowed_json == nullptr || spec->kind == D2C_VALUE_LIST || options.find(spec->name) != nullptr) continue;
    const Value allowed = json::parse(spec->allowed_json, spec->name);
    for (const Value& choice : allowed.items()) {
      Value chosen = options;
      chosen.set(spec->name, choice);
      try {
        QuantizerObject quantizer = make(plugin, chosen);
        const Sample sample = main_sample(quantizer);
        const Quantized whole = quantize(quantizer, sample, {});
        expect_true_stats(whole, sample);
        expect_same(whole, quantize(quantizer, sample, {.units = 1, .threads = 2}), "in tiles, from two threads");
      } catch (const Error& e) {
        refuse(std::string(spec->name) + " = " + json::dump(choice) + ": " + e.what());
      } catch (const Skipped&) {
        refuse(std::string(spec->name) + " = " + json::dump(choice) + ": no shape is taken");
      }
    }
  }
}

constexpr Rule kRules[] = {
    {"create", "makes an object with the given options", check_create},
    {"plan", "plans a layout that holds together, twice the same, or refuses a shape with a sentence", check_plan},
    {"extreme-shapes", "plans or refuses empty shapes and shapes beyond any model, and says why", check_extreme_shapes},
    {"bounds", "reads its tile and writes its planes, and no byte beside them", check_bounds},
    {"size", "writes every byte of the size it declared", check_size},
    {"error", "reports the error of what its planes stand for", check_error},
    {"odd-values", "stores zeros, constants, outliers and the edges of fp16", check_odd_values},
    {"non-finite", "refuses infinities and NaN with a sentence, or stores them, and works on afterwards",
     check_nonfinite},
    {"tiles", "gives the same bytes however the rows are cut and ordered", check_tiles},
    {"threads", "gives the same bytes from several threads", check_threads},
    {"repeat", "gives the same bytes every time, whatever it did before", check_repeat},
    {"leaks", "gives back the memory and files of its objects and jobs", check_leaks},
    {"memory", "holds no more memory than it declares", check_memory},
    {"choices", "keeps the contract for every value that its options allow", check_choices},
};

}  // namespace

std::span<const Rule> quantizer_rules() { return kRules; }

}  // namespace d2c::host::conformance
