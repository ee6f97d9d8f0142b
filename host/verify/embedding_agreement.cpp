#include "host/verify/embedding_agreement.hpp"

#include <d2c/error.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

namespace d2c::host {
namespace {

std::vector<float> centred(const Rows& rows) {
  std::vector<float> out(rows.values.begin(), rows.values.end());
  for (std::size_t column = 0; column < rows.width; ++column) {
    double sum = 0;
    for (std::size_t row = 0; row < rows.count(); ++row) sum += static_cast<double>(rows[row][column]);
    const auto mean = static_cast<float>(sum / static_cast<double>(rows.count()));
    for (std::size_t row = 0; row < rows.count(); ++row) out[row * rows.width + column] -= mean;
  }
  return out;
}

std::vector<double> cosines(const Rows& a, const Rows& b) {
  std::vector<double> all;
  for (std::size_t row = 0; row < a.count(); ++row) all.push_back(cosine(a[row], b[row]));
  return all;
}

std::vector<double> similarities(const Rows& rows) {
  std::vector<double> all;
  for (std::size_t i = 0; i < rows.count(); ++i)
    for (std::size_t j = i + 1; j < rows.count(); ++j) all.push_back(cosine(rows[i], rows[j]));
  return all;
}

std::vector<double> ranks(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t first = 0; first < order.size();) {
    std::size_t end = first + 1;
    while (end < order.size() && values[order[end]] == values[order[first]]) ++end;
    for (std::size_t i = first; i < end; ++i) ranks[order[i]] = static_cast<double>(first + end - 1) / 2;
    first = end;
  }
  return ranks;
}

}  // namespace

double cosine(std::span<const float> a, std::span<const float> b) {
  double dot = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return aa == 0 || bb == 0 ? 0 : dot / std::sqrt(aa * bb);
}

double rank_correlation(std::span<const double> a, std::span<const double> b) {
  const std::vector<double> x = ranks(a), y = ranks(b);
  const double mean = (static_cast<double>(x.size()) - 1) / 2;
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mean) * (y[i] - mean);
    xx += (x[i] - mean) * (x[i] - mean);
    yy += (y[i] - mean) * (y[i] - mean);
  }
  return xx == 0 || yy == 0 ? 0 : xy / std::sqrt(xx * yy);
}

EmbeddingAgreement compare(const Rows& reference, const Rows& embeddings) {
  if (reference.width != embeddings.width || reference.count() != embeddings.count())
    fail_input("the reference has " + std::to_string(reference.count()) + " embeddings of " +
               std::to_string(reference.width) + " numbers, the package gives " + std::to_string(embeddings.count()) +
               " of " + std::to_string(embeddings.width) + "; is it a reference of this model?");
  EmbeddingAgreement agreement;
  agreement.cosines = cosines(reference, embeddings);
  if (reference.count() > 1) {
    const std::vector<float> a = centred(reference), b = centred(embeddings);
    agreement.centred_cosines = cosines({a, reference.width}, {b, embeddings.width});
  }
  if (reference.count() > 2)
    agreement.rank_correlation = rank_correlation(similarities(reference), similarities(embeddings));
  return agreement;
}

}  // namespace d2c::host
