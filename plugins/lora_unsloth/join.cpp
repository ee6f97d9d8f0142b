#include "plugins/lora_unsloth/join.hpp"

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <string_view>

namespace d2c::lora {
namespace {

/// SplitMix64: equally distributed 64-bit numbers, one for every state.
std::uint64_t scramble(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

std::uint64_t stream_of(std::uint64_t seed, std::string_view name, std::size_t adapter) {
  std::uint64_t state = scramble(seed);
  for (const char c : name) state = scramble(state ^ static_cast<unsigned char>(c));
  return scramble(state ^ adapter);
}

void drop_at_random(std::vector<float>& values, double density, std::uint64_t stream) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (static_cast<double>(scramble(stream + i) >> 11) * 0x1p-53 >= density) values[i] = 0;
}

/// Keeps the largest; of equal ones the earlier.
void trim(std::vector<float>& values, double density) {
  const auto kept = static_cast<std::size_t>(density * static_cast<double>(values.size()));
  if (kept >= values.size()) return;
  std::vector<std::uint32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0u);
  std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
                   [&](std::uint32_t i, std::uint32_t j) {
                     const float x = std::abs(values[i]), y = std::abs(values[j]);
                     return x != y ? x > y : i < j;
                   });
  for (auto it = order.begin() + static_cast<std::ptrdiff_t>(kept); it != order.end(); ++it) values[*it] = 0;
}

using Tensors = std::vector<std::vector<float>>;

float sign_of(float v) { return static_cast<float>((v > 0) - (v < 0)); }

std::vector<float> add_up(const Tensors& tensors, std::span<const Term> terms) {
  std::vector<float> sum(tensors.front().size());
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const auto scale = static_cast<float>(terms[t].scale);
    std::transform(tensors[t].begin(), tensors[t].end(), sum.begin(), sum.begin(),
                   [scale](float v, float s) { return s + v * scale; });
  }
  return sum;
}

/// The mean of the scaled values whose sign is the elected one. Weights take no part in the election.
std::vector<float> elect(const Tensors& tensors, std::span<const Term> terms, Majority majority) {
  std::vector<float> result(tensors.front().size());
  for (std::size_t i = 0; i < result.size(); ++i) {
    float votes = 0;
    for (const auto& values : tensors) votes += majority == Majority::total ? values[i] : sign_of(values[i]);
    const float elected = votes >= 0 ? 1.0f : -1.0f;
    float sum = 0, agreeing = 0;
    for (std::size_t t = 0; t < tensors.size(); ++t) {
      if (sign_of(tensors[t][i]) != elected) continue;
      sum += tensors[t][i] * static_cast<float>(terms[t].scale);
      ++agreeing;
    }
    result[i] = sum / std::max(agreeing, 1.0f);
  }
  return result;
}

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using FloatMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Q with orthonormal columns and R, of a matrix with more rows than columns or fewer.
struct Orthogonal {
  explicit Orthogonal(const Matrix& m) {
    const Eigen::Index width = std::min(m.rows(), m.cols());
    const Eigen::HouseholderQR<Matrix> qr(m);
    q = qr.householderQ() * Matrix::Identity(m.rows(), width);
    r = qr.matrixQR().topRows(width).triangularView<Eigen::Upper>();
  }
  Matrix q, r;
};

std::vector<float> to_floats(const Matrix& m) {
  std::vector<float> values(static_cast<std::size_t>(m.size()));
  std::transform(m.data(), m.data() + m.size(), values.begin(), [](double v) { return static_cast<float>(v); });
  return values;
}

}  // namespace

std::vector<float> join_terms(std::span<const Term> terms, Join join, const JoinSettings& settings) {
  Tensors tensors;
  for (std::size_t t = 0; t < terms.size(); ++t) {
    std::vector<float> values = terms[t].tensor.values();
    if (join == Join::ties || join == Join::magnitude_prune) trim(values, settings.density);
    if (join == Join::dare_linear || join == Join::dare_ties)
      drop_at_random(values, settings.density, stream_of(settings.seed, terms[t].tensor.name(), t));
    tensors.push_back(std::move(values));
  }
  const bool election = join == Join::ties || join == Join::dare_ties;
  return election ? elect(tensors, terms, settings.majority) : add_up(tensors, terms);
}

Product nearest_product(std::span<const Product> parts, std::int64_t rows, std::int64_t columns, std::int64_t rank) {
  std::int64_t width = 0;
  for (const Product& p : parts) width += p.rank;
  Matrix b(rows, width), a(width, columns);
  std::int64_t at = 0;
  for (const Product& p : parts) {
    b.middleCols(at, p.rank) = Eigen::Map<const FloatMatrix>(p.b.data(), rows, p.rank).cast<double>();
    a.middleRows(at, p.rank) = Eigen::Map<const FloatMatrix>(p.a.data(), p.rank, columns).cast<double>();
    at += p.rank;
  }
  // The singular values of B*A are those of the small matrix between the orthogonal parts of B and of A.
  const Orthogonal left(b), right(a.transpose());
  const Eigen::JacobiSVD<Matrix> svd(left.r * right.r.transpose(), Eigen::ComputeThinU | Eigen::ComputeThinV);
  rank = std::min<std::int64_t>(rank, svd.singularValues().size());
  const Matrix scaled = svd.matrixU().leftCols(rank) * svd.singularValues().head(rank).asDiagonal();
  return {rank, to_floats(left.q * scaled), to_floats(svd.matrixV().leftCols(rank).transpose() * right.q.transpose())};
}

}  // namespace d2c::lora
