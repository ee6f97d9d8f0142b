#include "libs/kernels/palette_rows.hpp"

#include <d2c/half.hpp>

#include <gtest/gtest.h>
#include <hwy/targets.h>
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

struct Size {
  std::int64_t rows, columns, group_rows;
};

/// A matrix of palette indices whose bytes end at a guarded page, and what it means.
class Matrix {
 public:
  explicit Matrix(Size size)
      : rows(size.rows), columns(size.columns), indices_(static_cast<std::size_t>(size.rows * size.columns / 2)) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal(0, 0.05F);
    for (std::int64_t i = 0; i < (rows + size.group_rows - 1) / size.group_rows * 16; ++i)
      tables_.push_back(float_to_half(normal(random)));
    tables_[0] = float_to_half(3e-7F);  // subnormal
    tables_[1] = 0x8000;                // -0
    auto* bytes = indices_.data<std::uint8_t>();
    for (std::int64_t i = 0; i < rows * columns / 2; ++i) bytes[i] = static_cast<std::uint8_t>(random());
    view = {bytes, tables_.data(), columns, size.group_rows};
  }

  [[nodiscard]] int index(std::int64_t r, std::int64_t c) const {
    const std::int64_t i = r * columns + c;
    return (view.indices[i / 2] >> (i % 2 * 4)) & 15;
  }
  [[nodiscard]] float at(std::int64_t r, std::int64_t c) const {
    return half_to_float(tables_[static_cast<std::size_t>(r / view.group_rows * 16 + index(r, c))]);
  }
  [[nodiscard]] const std::vector<std::uint16_t>& tables() const { return tables_; }

  std::int64_t rows, columns;
  PaletteRows view;

 private:
  GuardedBytes indices_;
  std::vector<std::uint16_t> tables_;
};

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
  for (std::int64_t c = 0; c < w.columns; ++c) {
    const double term = static_cast<double>(w.at(r, c)) * x[c];
    sum.value += term;
    sum.magnitude += std::abs(term);
  }
  return sum;
}

constexpr Size kSizes[] = {{1, 2, 1},    {3, 14, 1},    {16, 32, 16},  {17, 62, 16},  {5, 64, 5},
                           {32, 66, 16}, {48, 576, 16}, {33, 258, 11}, {50, 514, 50}, {7, 1026, 2}};

/// Every instruction set of this machine in turn.
class Products : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override {
    hwy::SetSupportedTargetsForTest(GetParam());
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  void TearDown() override {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

TEST_P(Products, OfFewRowsAreThoseOfTheExpandedWeights) {
  for (const Size& size : kSizes) {
    const Matrix w(size);
    for (std::int64_t m = 1; m <= kMaxFewRows; ++m) {
      const std::vector<float> x = numbers(m * w.columns);
      const GuardedBytes memory(x.size() * sizeof(float));
      reorder(x.data(), m, w.columns, memory.data<float>());
      std::vector<float> y(static_cast<std::size_t>(m * w.rows));
      multiply_rows(w.view, 0, w.rows, memory.data<float>(), m, y.data(), w.rows);
      for (std::int64_t i = 0; i < m; ++i)
        for (std::int64_t r = 0; r < w.rows; ++r) {
          const Sum sum = product(w, r, x.data() + i * w.columns);
          ASSERT_NEAR(y[static_cast<std::size_t>(i * w.rows + r)], sum.value, 1e-6 * sum.magnitude)
              << size.rows << "x" << size.columns << " m " << m << " row " << r;
        }
    }
  }
}

TEST_P(Products, DoNotDependOnWhichRowsAreAskedForTogether) {
  const Matrix w({48, 578, 16});
  const std::vector<float> x = numbers(w.columns);
  std::vector<float> ordered(x.size()), whole(48), parts(48);
  reorder(x.data(), 1, w.columns, ordered.data());
  multiply_rows(w.view, 0, 48, ordered.data(), 1, whole.data(), 48);
  for (std::int64_t first = 0, count = 1; first < 48;
       first += count, count = std::min<std::int64_t>(count + 2, 48 - first))
    multiply_rows(w.view, first, count, ordered.data(), 1, parts.data() + first, 48);
  EXPECT_EQ(whole, parts);
}

TEST_P(Products, ExpandTheVeryValuesOfThePalettes) {
  for (const Size& size : kSizes) {
    const Matrix w(size);
    std::vector<float> order(static_cast<std::size_t>(w.columns)), columns(order.size());
    for (std::int64_t c = 0; c < w.columns; ++c) columns[static_cast<std::size_t>(c)] = static_cast<float>(c);
    reorder(columns.data(), 1, w.columns, order.data());
    for (std::int64_t begin = 0; begin < w.columns; begin += kOrderBlock) {
      const std::int64_t width = std::min(kOrderBlock, w.columns - begin);
      const GuardedBytes out(static_cast<std::size_t>(w.rows * width) * sizeof(float));
      expand_rows(w.view, 0, w.rows, begin, begin + width, out.data<float>());
      for (std::int64_t r = 0; r < w.rows; ++r)
        for (std::int64_t c = 0; c < width; ++c)
          ASSERT_EQ(out.data<float>()[r * width + c],
                    w.at(r, static_cast<std::int64_t>(order[static_cast<std::size_t>(begin + c)])));
    }
  }
}

TEST_P(Products, OfManyRowsAreThoseOfTheExpandedWeights) {
  for (const Size& size : kSizes) {
    const Matrix w(size);
    for (const std::int64_t m : {1, 5, 16, 33}) {
      const std::vector<float> x = numbers(m * w.columns);
      const std::int64_t panel = panel_size(), padded = (m + panel - 1) / panel * panel;
      const GuardedBytes packed(static_cast<std::size_t>(padded * w.columns) * sizeof(float)),
          sums(static_cast<std::size_t>(padded * w.rows) * sizeof(float));
      for (std::int64_t p = 0; p < m; p += panel)
        pack_panel(x.data() + p * w.columns, std::min(panel, m - p), w.columns, true,
                   packed.data<float>() + p * w.columns);
      for (std::int64_t begin = 0; begin < w.columns; begin += kOrderBlock) {
        const std::int64_t width = std::min(kOrderBlock, w.columns - begin);
        const GuardedBytes tile(static_cast<std::size_t>(w.rows * width) * sizeof(float));
        expand_rows(w.view, 0, w.rows, begin, begin + width, tile.data<float>());
        add_products(packed.data<float>(), m, w.columns, begin, tile.data<float>(), w.rows, width, sums.data<float>());
      }
      for (std::int64_t i = 0; i < m; ++i)
        for (std::int64_t r = 0; r < w.rows; ++r) {
          const Sum sum = product(w, r, x.data() + i * w.columns);
          ASSERT_NEAR(sums.data<float>()[r * padded + i], sum.value, 1e-6 * sum.magnitude)
              << size.rows << "x" << size.columns << " m " << m;
        }
    }
  }
}

TEST_P(Products, WithEightBitsAreAsGoodAsEightBitsCanBe) {
  for (const Size& size : kSizes) {
    const Matrix w(size);
    std::vector<std::int8_t> tables8;
    std::vector<float> scales;
    for (std::size_t g = 0; g < w.tables().size(); g += 16) {
      float top = 0;
      for (std::size_t i = g; i < g + 16; ++i) top = std::max(top, std::abs(half_to_float(w.tables()[i])));
      scales.push_back(top / 127);
      for (std::size_t i = g; i < g + 16; ++i)
        tables8.push_back(static_cast<std::int8_t>(std::lround(half_to_float(w.tables()[i]) / scales.back())));
    }
    const std::vector<float> x = numbers(w.columns);
    const GuardedBytes memory((quantized_bytes(w.columns) + 63) / 64 * 64);
    quantize(x.data(), w.columns, memory.data<std::byte>());
    std::vector<float> y(static_cast<std::size_t>(w.rows));
    multiply_rows_fast(w.view, tables8.data(), scales.data(), 0, w.rows, memory.data<std::byte>(), y.data());
    for (std::int64_t r = 0; r < w.rows; ++r) {
      const Sum sum = product(w, r, x.data());
      double x_step = 0, bound = 0;  // half a step of x and of the palette in every product
      for (std::int64_t c = 0; c < w.columns; ++c)
        x_step = std::max(x_step, std::abs(static_cast<double>(x[static_cast<std::size_t>(c)])) / 127);
      const double w_step = scales[static_cast<std::size_t>(r / size.group_rows)];
      for (std::int64_t c = 0; c < w.columns; ++c)
        bound +=
            (std::abs(w.at(r, c)) + w_step / 2) * x_step / 2 + std::abs(x[static_cast<std::size_t>(c)]) * w_step / 2;
      ASSERT_NEAR(y[static_cast<std::size_t>(r)], sum.value, 1.001 * bound) << size.rows << "x" << size.columns;
    }
  }
}

TEST_P(Products, WithEightBitsOfZerosAreZero) {
  const Matrix w({16, 130, 16});
  const std::vector<float> x(130, 0.0F);
  const std::vector<std::int8_t> tables8(16, -127);
  const float scale = 1;
  const GuardedBytes memory((quantized_bytes(130) + 63) / 64 * 64);
  quantize(x.data(), 130, memory.data<std::byte>());
  std::vector<float> y(16, 1.0F);
  multiply_rows_fast(w.view, tables8.data(), &scale, 0, 16, memory.data<std::byte>(), y.data());
  EXPECT_EQ(y, std::vector<float>(16, 0.0F));
}

std::vector<std::int64_t> targets() {
  std::vector<std::int64_t> all;
  for (std::int64_t left = hwy::SupportedTargets() & HWY_TARGETS; left != 0; left &= left - 1)
    all.push_back(left & -left);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Targets, Products, testing::ValuesIn(targets()),
                         [](const auto& target) { return std::string(hwy::TargetName(target.param)); });

}  // namespace
}  // namespace d2c::kernels
