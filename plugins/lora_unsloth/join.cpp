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
  const auto kept = static_cast<float>(density);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool drop = static_cast<double>(scramble(stream + i) >> 11) * 0x1p-53 >= density;
    values[i] = drop ? 0 : values[i] / kept;
  }
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

float sign_of(float v) { return static_cast<float>((v > 0) - (v < 0)); }

std::vector<float> add_up(std::span<const Summand> summands) {
  std::vector<float> sum(summands.front().values.size());
  for (const Summand& summand : summands) {
    const auto scale = static_cast<float>(summand.scale);
    std::transform(summand.values.begin(), summand.values.end(), sum.begin(), sum.begin(),
                   [scale](float v, float s) { return s + v * scale; });
  }
  return sum;
}

/// The mean of the scaled values whose sign is the elected one. Weights take no part in the election.
std::vector<float> elect(std::span<const Summand> summands, Majority majority) {
  std::vector<float> result(summands.front().values.size());
  for (std::size_t i = 0; i < result.size(); ++i) {
    float votes = 0;
    for (const Summand& s : summands) votes += majority == Majority::total ? s.values[i] : sign_of(s.values[i]);
    const float elected = votes >= 0 ? 1.0f : -1.0f;
    float sum = 0, agreeing = 0;
    for (const Summand& s : summands) {
      if (sign_of(s.values[i]) != elected) continue;
      sum += s.values[i] * static_cast<float>(s.scale);
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

/// Rows or columns that are made double at a time.
constexpr Eigen::Index kBlock = 256;

/// M*M^T for a wide matrix, M^T*M for a tall one.
Matrix squared_by_blocks(const Eigen::Map<const FloatMatrix>& m, bool wide) {
  const Eigen::Index side = wide ? m.rows() : m.cols(), other = wide ? m.cols() : m.rows();
  Matrix square = Matrix::Zero(side, side);
  for (Eigen::Index at = 0; at < other; at += kBlock) {
    const Eigen::Index width = std::min(kBlock, other - at);
    const Matrix block = wide ? Matrix(m.middleCols(at, width).cast<double>())
                              : Matrix(m.middleRows(at, width).cast<double>().transpose());
    square.selfadjointView<Eigen::Lower>().rankUpdate(block);
  }
  return square;
}

/// `left`: Q^T*M, otherwise M*Q.
Matrix project(const Matrix& q, const Eigen::Map<const FloatMatrix>& m, bool left) {
  Matrix result(left ? q.cols() : m.rows(), left ? m.cols() : q.cols());
  const Eigen::Index other = left ? m.cols() : m.rows();
  for (Eigen::Index at = 0; at < other; at += kBlock) {
    const Eigen::Index width = std::min(kBlock, other - at);
    if (left) result.middleCols(at, width).noalias() = q.transpose() * m.middleCols(at, width).cast<double>();
    else result.middleRows(at, width).noalias() = m.middleRows(at, width).cast<double>() * q;
  }
  return result;
}

}  // namespace

std::vector<float> join_values(std::vector<Summand> summands, Join join, const JoinSettings& settings) {
  for (std::size_t i = 0; i < summands.size(); ++i) {
    std::vector<float>& values = summands[i].values;
    if (join == Join::ties || join == Join::magnitude_prune) trim(values, settings.density);
    if ((join == Join::dare_linear || join == Join::dare_ties) && settings.density < 1)
      drop_at_random(values, settings.density, stream_of(settings.seed, summands[i].name, i));
  }
  const bool election = join == Join::ties || join == Join::dare_ties;
  return election ? elect(summands, settings.majority) : add_up(summands);
}

std::vector<float> join_terms(std::span<const Term> terms, Join join, const JoinSettings& settings) {
  std::vector<Summand> summands;
  for (const Term& term : terms) summands.push_back({term.tensor.values(), term.scale, term.tensor.name()});
  return join_values(std::move(summands), join, settings);
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

Product nearest_product(std::span<const float> matrix, std::int64_t rows, std::int64_t columns, std::int64_t rank) {
  const Eigen::Map<const FloatMatrix> m(matrix.data(), rows, columns);
  const bool wide = rows <= columns;
  rank = std::min({rank, rows, columns});
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(squared_by_blocks(m, wide));
  // Eigenvalues ascend: the last vectors span what the nearest product keeps.
  const Matrix kept = solver.eigenvectors().rightCols(rank).rowwise().reverse();
  return wide ? Product{rank, to_floats(kept), to_floats(project(kept, m, wide))}
              : Product{rank, to_floats(project(kept, m, wide)), to_floats(kept.transpose())};
}

std::size_t nearest_product_bytes(std::int64_t rows, std::int64_t columns) {
  const auto side = static_cast<std::size_t>(std::min(rows, columns));
  constexpr std::size_t kSquares = 3;
  return kSquares * side * side * sizeof(double) +
         2 * static_cast<std::size_t>(kBlock * std::max(rows, columns)) * sizeof(double);
}

Product leading_product(std::span<const float> matrix, std::int64_t rows, std::int64_t columns, std::int64_t rank) {
  const Eigen::Map<const FloatMatrix> m(matrix.data(), rows, columns);
  rank = std::min({rank, rows, columns});
  const Matrix q = Orthogonal(m.leftCols(rank).cast<double>()).q;
  return {rank, to_floats(q), to_floats(project(q, m, true))};
}

}  // namespace d2c::lora
