#include "libs/kernels/weight_rows.hpp"

#include "tests/unit/kernels/targets.hpp"

#include <d2c/half.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace d2c::kernels {
namespace {

using Scheme = StoredMatrix::Scheme;

/// Bytes that end where a page begins that nobody may touch: reading past them is a crash.
class GuardedBytes {
 public:
  explicit GuardedBytes(std::size_t size) : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))), size_(size) {
    whole_ = (size + page_ - 1) / page_ * page_ + page_;
    base_ = static_cast<std::byte*>(mmap(nullptr, whole_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + whole_ - page_, page_, PROT_NONE) != 0) std::abort();
  }
  ~GuardedBytes() { munmap(base_, whole_); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  template <class T>
  [[nodiscard]] T* data() const {
    return reinterpret_cast<T*>(base_ + whole_ - page_ - size_);
  }

 private:
  std::size_t page_, size_, whole_ = 0;
  std::byte* base_ = nullptr;
};

struct Kind {
  std::string name;
  Scheme scheme;
  int bits;
  bool halves;  ///< tables hold fp16 numbers; integers: results are rounded to fp16
  bool is_signed = false;
  bool offsets = false;
};

struct Size {
  std::int64_t rows, columns, row_groups, column_groups;
};

std::string text(const Kind& k, const Size& s) {
  return k.name + " " + std::to_string(s.rows) + "x" + std::to_string(s.columns) + " in groups " +
         std::to_string(s.row_groups) + "x" + std::to_string(s.column_groups);
}

/// A stored matrix whose bytes end at a guarded page, and what it means.
class Matrix {
 public:
  Matrix(const Kind& kind, const Size& size)
      : kind_(kind),
        size_(size),
        data_(static_cast<std::size_t>((size.rows * size.columns * kind.bits + 7) / 8)),
        elements_(static_cast<std::size_t>(size.rows * size.columns)) {
    make_elements();
    make_tables();
    view = {.scheme = kind.scheme,
            .bits = kind.bits,
            .is_signed = kind.is_signed,
            .data = {data_.data<std::byte>(), static_cast<std::size_t>((size.rows * size.columns * kind.bits + 7) / 8)},
            .rows = size.rows,
            .columns = size.columns,
            .row_groups = size.row_groups,
            .column_groups = size.column_groups,
            .tables = tables_,
            .offsets = offsets_,
            .rounds_to_half = kind.scheme == Scheme::integers && kind.halves};
  }

  [[nodiscard]] float at(std::int64_t r, std::int64_t c) const {
    const std::uint32_t e = elements_[static_cast<std::size_t>(r * size_.columns + c)];
    if (kind_.scheme == Scheme::floats) return from_bits(e);
    if (kind_.scheme == Scheme::halves) return half_to_float(static_cast<std::uint16_t>(e));
    const auto g = static_cast<std::size_t>(group(r, c));
    if (kind_.scheme == Scheme::palette) return tables_[(g << kind_.bits) + e];
    const std::int64_t number =
        kind_.is_signed && (e >> (kind_.bits - 1)) != 0 ? e - (std::int64_t{1} << kind_.bits) : e;
    const float v = tables_[g] * (static_cast<float>(number) - (kind_.offsets ? offsets_[g] : 0));
    return kind_.halves ? half_to_float(float_to_half(v)) : v;
  }
  [[nodiscard]] float largest_in_group(std::int64_t r, std::int64_t c) const {
    const auto n = std::int64_t{1} << kind_.bits, g = group(r, c);
    float top = 0;
    for (std::int64_t i = g * n; i < (g + 1) * n; ++i)
      top = std::max(top, std::abs(tables_[static_cast<std::size_t>(i)]));
    return top;
  }

  StoredMatrix view;

 private:
  static float from_bits(std::uint32_t bits) {
    float v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
  }
  [[nodiscard]] std::int64_t group(std::int64_t r, std::int64_t c) const {
    return r / (size_.rows / size_.row_groups) * size_.column_groups + c / (size_.columns / size_.column_groups);
  }
  [[nodiscard]] float number() {
    const float v = normal_(random_);
    return kind_.halves ? half_to_float(float_to_half(v)) : v;
  }

  void make_elements() {
    auto* bytes = data_.data<std::uint8_t>();
    for (std::size_t i = 0; i < elements_.size(); ++i) {
      const float v = normal_(random_);
      std::uint32_t e = 0;
      if (kind_.scheme == Scheme::floats) std::memcpy(&e, &v, sizeof e);
      else if (kind_.scheme == Scheme::halves) e = float_to_half(v);
      else e = static_cast<std::uint32_t>(random_()) & ((1u << kind_.bits) - 1);
      elements_[i] = e;
      for (int b = 0; b < kind_.bits; ++b) {
        const std::size_t at = i * static_cast<std::size_t>(kind_.bits) + static_cast<std::size_t>(b);
        bytes[at / 8] = static_cast<std::uint8_t>(bytes[at / 8] | ((e >> b) & 1) << (at % 8));
      }
    }
  }

  void make_tables() {
    const std::int64_t groups = size_.row_groups * size_.column_groups;
    const std::int64_t entries = kind_.scheme == Scheme::palette ? groups << kind_.bits : groups;
    for (std::int64_t i = 0; i < entries; ++i) tables_.push_back(number());
    tables_[0] = half_to_float(float_to_half(3e-7F));  // subnormal in fp16
    for (std::int64_t i = 0; kind_.offsets && i < groups; ++i) offsets_.push_back(static_cast<float>(random_() % 16));
  }

  Kind kind_;
  Size size_;
  GuardedBytes data_;
  std::vector<std::uint32_t> elements_;
  std::vector<float> tables_, offsets_;
  std::mt19937 random_{7};
  std::normal_distribution<float> normal_{0, 0.05F};
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = [] {
    std::vector<Kind> k{{"fp32", Scheme::floats, 32, false}, {"fp16", Scheme::halves, 16, true}};
    for (const int bits : {1, 2, 3, 4, 6, 8})
      for (const bool halves : {true, false})
        k.push_back(
            {std::to_string(bits) + "-bit palette of " + (halves ? "fp16" : "fp32"), Scheme::palette, bits, halves});
    for (const int bits : {4, 8})
      for (const bool halves : {true, false})
        for (const bool is_signed : {true, false})
          k.push_back({(is_signed ? "int" : "uint") + std::to_string(bits) + (halves ? " to fp16" : " to fp32"),
                       Scheme::integers, bits, halves, is_signed, !is_signed});
    return k;
  }();
  return all;
}

constexpr Size kSizes[] = {{1, 8, 1, 1},    {3, 24, 1, 1},    {16, 32, 1, 1},  {34, 56, 2, 1},  {5, 64, 5, 1},
                           {32, 72, 2, 1},  {48, 576, 3, 1},  {33, 264, 3, 1}, {50, 512, 1, 1}, {7, 1032, 7, 1},
                           {16, 128, 1, 2}, {12, 320, 3, 10}, {6, 96, 2, 12},  {9, 640, 9, 5},  {64, 1, 4, 1},
                           {8, 30, 1, 1},   {8, 20, 1, 5}};

std::vector<float> numbers(std::int64_t count) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(count));
  for (float& v : x) v = normal(random);
  return x;
}

struct Sum {
  double value = 0, magnitude = 0;
};

Sum product(const Matrix& w, std::int64_t r, const float* x) {
  Sum sum;
  for (std::int64_t c = 0; c < w.view.columns; ++c) {
    const double term = static_cast<double>(w.at(r, c)) * x[c];
    sum.value += term;
    sum.magnitude += std::abs(term);
  }
  return sum;
}

/// What multiply() takes, at the end of a guarded page.
class Prepared {
 public:
  Prepared(const WeightRows& rows, const std::vector<float>& x)
      : x_(x), bytes_((rows.prepared_bytes() + 63) / 64 * 64), used_(rows.prepared_bytes() > 0) {
    if (used_) rows.prepare(x.data(), bytes_.data<std::byte>());
  }
  [[nodiscard]] const void* data() const {
    return used_ ? static_cast<const void*>(bytes_.data<std::byte>()) : x_.data();
  }

 private:
  const std::vector<float>& x_;
  GuardedBytes bytes_;
  bool used_;
};

/// Calls body(matrix, name) for every scheme in every size that has a kernel.
template <class Body>
void for_each_matrix(Body&& body) {
  for (const Kind& kind : kinds())
    for (const Size& size : kSizes) {
      const Matrix w(kind, size);
      if (WeightRows::serves(w.view)) body(w, text(kind, size));
      if (testing::Test::HasFatalFailure()) return;
    }
}

class Products : public EveryTarget {};

TEST_P(Products, AreThoseOfTheExpandedWeights) {
  for_each_matrix([](const Matrix& w, const std::string& name) {
    const WeightRows rows(w.view, false);
    const std::vector<float> x = numbers(w.view.columns);
    const Prepared prepared(rows, x);
    std::vector<float> y(static_cast<std::size_t>(w.view.rows));
    rows.multiply(0, w.view.rows, prepared.data(), y.data());
    for (std::int64_t r = 0; r < w.view.rows; ++r) {
      const Sum sum = product(w, r, x.data());
      ASSERT_NEAR(y[static_cast<std::size_t>(r)], sum.value, 1e-6 * sum.magnitude) << name << " row " << r;
    }
  });
}

TEST_P(Products, DoNotDependOnWhichRowsAreAskedForTogether) {
  for_each_matrix([](const Matrix& w, const std::string& name) {
    const WeightRows rows(w.view, false);
    const std::vector<float> x = numbers(w.view.columns);
    const Prepared prepared(rows, x);
    std::vector<float> whole(static_cast<std::size_t>(w.view.rows)), parts(whole.size());
    rows.multiply(0, w.view.rows, prepared.data(), whole.data());
    for (std::int64_t first = 0, count = 1; first < w.view.rows;
         first += count, count = std::min<std::int64_t>(count + 2, w.view.rows - first))
      rows.multiply(first, count, prepared.data(), parts.data() + first);
    ASSERT_EQ(whole, parts) << name;
  });
}

TEST_P(Products, ExpandTheVeryValuesOfTheWeights) {
  static constexpr std::int64_t kStep = 256;
  for_each_matrix([](const Matrix& w, const std::string& name) {
    const WeightRows rows(w.view, false);
    for (std::int64_t begin = 0; begin < w.view.columns; begin += kStep) {
      const std::int64_t width = std::min(kStep, w.view.columns - begin);
      const GuardedBytes out(static_cast<std::size_t>(w.view.rows * width) * sizeof(float));
      rows.expand(0, w.view.rows, begin, begin + width, out.data<float>());
      for (std::int64_t r = 0; r < w.view.rows; ++r)
        for (std::int64_t c = 0; c < width; ++c)
          ASSERT_EQ(out.data<float>()[r * width + c], w.at(r, begin + c)) << name << " at " << r << ", " << begin + c;
    }
  });
}

/// y [m, rows] by panels, which end at guarded pages.
std::vector<float> multiply_many(const WeightRows& weights, const StoredMatrix& w, const std::vector<float>& x) {
  const std::int64_t m = static_cast<std::int64_t>(x.size()) / w.columns, width = weights.panel_rows();
  const std::int64_t count = (m + width - 1) / width, bytes = static_cast<std::int64_t>(weights.panel_bytes());
  const GuardedBytes panels(static_cast<std::size_t>(count * bytes)), tile(WeightRows::kTileBytes);
  for (std::int64_t p = 0; p < count; ++p)
    weights.pack_panel(x.data() + p * width * w.columns, std::min(width, m - p * width),
                       panels.data<std::byte>() + p * bytes);
  std::vector<float> y(static_cast<std::size_t>(m * w.rows));
  for (std::int64_t first = 0; first < w.rows; first += WeightRows::kTileRows) {
    const std::int64_t rows = std::min(WeightRows::kTileRows, w.rows - first);
    const GuardedBytes sums(static_cast<std::size_t>(count * rows * width) * sizeof(float));
    weights.multiply_panels(first, rows, panels.data<std::byte>(), count, tile.data<std::byte>(), sums.data<float>());
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t r = 0; r < rows; ++r)
        y[static_cast<std::size_t>(i * w.rows + first + r)] =
            sums.data<float>()[(i / width * rows + r) * width + i % width];
  }
  return y;
}

TEST_P(Products, OfManyRowsAreThoseOfTheExpandedWeights) {
  for_each_matrix([](const Matrix& w, const std::string& name) {
    const WeightRows rows(w.view, false);
    for (const std::int64_t m : {1, 5, 33}) {
      const std::vector<float> x = numbers(m * w.view.columns), y = multiply_many(rows, w.view, x);
      for (const std::int64_t i : {std::int64_t{0}, m - 1})
        for (std::int64_t r = 0; r < w.view.rows; ++r) {
          const Sum sum = product(w, r, x.data() + i * w.view.columns);
          ASSERT_NEAR(y[static_cast<std::size_t>(i * w.view.rows + r)], sum.value, 1e-6 * sum.magnitude)
              << name << " m " << m << " row " << r;
        }
    }
  });
}

/// Half a step of x and half a step of the palette in every product, where both have `most` of them.
double rounding_bound(const Matrix& w, std::int64_t r, const float* x, int most) {
  double top = 0, bound = 0;
  for (std::int64_t c = 0; c < w.view.columns; ++c) top = std::max(top, std::abs(double{x[c]}));
  for (std::int64_t c = 0; c < w.view.columns; ++c) {
    const double x_step = top / most, w_step = double{w.largest_in_group(r, c)} / most, v = std::abs(double{x[c]});
    bound += (std::abs(w.at(r, c)) + w_step / 2) * x_step / 2 + v * w_step / 2;
  }
  return 1.001 * bound;
}

TEST_P(Products, WithEightBitsAreAsGoodAsEightBitsCanBe) {
  for_each_matrix([](const Matrix& w, const std::string& name) {
    if (w.view.scheme != Scheme::palette) return;
    const WeightRows rows(w.view, true);
    const std::vector<float> x = numbers(w.view.columns);
    const Prepared prepared(rows, x);
    std::vector<float> y(static_cast<std::size_t>(w.view.rows));
    rows.multiply(0, w.view.rows, prepared.data(), y.data());
    for (std::int64_t r = 0; r < w.view.rows; ++r)
      ASSERT_NEAR(y[static_cast<std::size_t>(r)], product(w, r, x.data()).value, rounding_bound(w, r, x.data(), 127))
          << name << " row " << r;
  });
}

TEST_P(Products, OfManyRowsWithThirteenBitsAreAsGoodAsThoseCanBe) {
  for_each_matrix([](const Matrix& w, const std::string& name) {
    if (w.view.scheme != Scheme::palette) return;
    const WeightRows rows(w.view, true);
    for (const std::int64_t m : {1, 21}) {
      const std::vector<float> x = numbers(m * w.view.columns), y = multiply_many(rows, w.view, x);
      for (const std::int64_t i : {std::int64_t{0}, m - 1})
        for (std::int64_t r = 0; r < w.view.rows; ++r) {
          const float* row = x.data() + i * w.view.columns;
          const Sum sum = product(w, r, row);
          ASSERT_NEAR(y[static_cast<std::size_t>(i * w.view.rows + r)], sum.value,
                      rounding_bound(w, r, row, 4095) + 1e-6 * sum.magnitude)
              << name << " m " << m << " row " << r;
        }
    }
  });
}

TEST_P(Products, WithEightBitsOfZerosAreZero) {
  const Matrix w({"", Scheme::palette, 4, true}, {16, 136, 1, 1});
  const WeightRows rows(w.view, true);
  const std::vector<float> x(136, 0.0F);
  const Prepared prepared(rows, x);
  std::vector<float> y(16, 1.0F);
  rows.multiply(0, 16, prepared.data(), y.data());
  EXPECT_EQ(y, std::vector<float>(16, 0.0F));
}

TEST(WeightRows, ServesGroupsThatBeginWithAByte) {
  const auto serves = [](int bits, const Size& size) {
    return WeightRows::serves(Matrix({"", Scheme::palette, bits, true}, size).view);
  };
  EXPECT_TRUE(serves(4, {4, 30, 1, 15}));
  EXPECT_TRUE(serves(3, {4, 32, 1, 4}));
  EXPECT_FALSE(serves(4, {4, 31, 1, 1}));
  EXPECT_FALSE(serves(3, {4, 32, 1, 8}));
  EXPECT_FALSE(serves(6, {4, 30, 1, 15}));
}

INSTANTIATE_TEST_SUITE_P(Targets, Products, testing::ValuesIn(targets()), target_name);

}  // namespace
}  // namespace d2c::kernels
