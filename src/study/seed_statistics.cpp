#include "study/seed_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/random.h"
#include "report/statistics.h"

namespace deda::study {
namespace {

// The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method; converges fast
// for x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double tiny = 1e-300, precision = 1e-16;
  constexpr int most_terms = 100000;
  const auto nonzero = [](double value) { return std::abs(value) < tiny ? tiny : value; };
  double c = 1, d = 1 / nonzero(1 - (a + b) * x / (a + 1)), result = d;
  for (int m = 1; m < most_terms; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonzero(1 + even * d);
    c = nonzero(1 + even / c);
    result *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonzero(1 + odd * d);
    c = nonzero(1 + odd / c);
    result *= d * c;
    if (std::abs(d * c - 1) < precision) break;
  }
  return result;
}

// Regularized incomplete beta function of x, where `rest` is 1 - x without its rounding.
double incomplete_beta(double a, double b, double x, double rest) {
  if (x <= 0) return 0;
  if (rest <= 0) return 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log(rest));
  return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                   : 1 - front * beta_fraction(b, a, rest) / b;
}

// As numpy's: linear between the sorted values.
double percentile_of(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

std::vector<double> differences_of(const std::vector<double>& ours, const std::vector<double>& theirs) {
  std::vector<double> differences(ours.size());
  for (std::size_t i = 0; i < ours.size(); ++i) differences[i] = ours[i] - theirs[i];
  return differences;
}

// Sorted means of the columns' resampled means.
std::vector<double> bootstrap_means(const std::vector<std::vector<double>>& columns) {
  constexpr std::uint64_t seed = 1;
  std::vector<double> means(bootstrap_resamples);
  for (std::uint32_t resample = 0; resample < bootstrap_resamples; ++resample) {
    double sum = 0;
    for (std::size_t column = 0; column < columns.size(); ++column) {
      const std::vector<double>& values = columns[column];
      RandomStream draws{seed, Purpose::bootstrap, resample, column};
      double column_sum = 0;
      for (std::size_t i = 0; i < values.size(); ++i)
        column_sum += values[draws.below(static_cast<std::uint32_t>(values.size()))];
      sum += column_sum / static_cast<double>(values.size());
    }
    means[resample] = sum / static_cast<double>(columns.size());
  }
  std::sort(means.begin(), means.end());
  return means;
}

}  // namespace

double student_two_sided_p(double t, double degrees) {
  if (std::isinf(t)) return 0;
  const double square = t * t, whole = degrees + square;
  return incomplete_beta(degrees / 2, 0.5, degrees / whole, square / whole);
}

double student_quantile(double confidence, double degrees) {
  const double wanted = 1 - confidence;
  double low = 0, high = 1;
  while (student_two_sided_p(high, degrees) > wanted) {
    low = high;
    high *= 2;
  }
  // p falls with t: halve until there is no number between.
  for (double middle = (low + high) / 2; middle > low && middle < high; middle = (low + high) / 2)
    (student_two_sided_p(middle, degrees) > wanted ? low : high) = middle;
  return high;
}

Estimate estimate(const std::vector<double>& values) {
  Estimate result{values.size(), report::mean(values), report::deviation(values), std::nullopt};
  if (values.size() >= seeds_for_interval) {
    const auto n = static_cast<double>(values.size());
    const double half = student_quantile(confidence_level, n - 1) * result.deviation / std::sqrt(n);
    result.interval = Interval{result.mean - half, result.mean + half};
  }
  return result;
}

PairedDifference paired_difference(const std::vector<double>& ours, const std::vector<double>& theirs) {
  PairedDifference result{estimate(differences_of(ours, theirs)), std::nullopt};
  if (!result.difference.interval) return result;
  const auto n = static_cast<double>(result.difference.n);
  const double error = result.difference.deviation / std::sqrt(n);
  if (error > 0)
    result.p = student_two_sided_p(result.difference.mean / error, n - 1);
  else
    result.p = result.difference.mean == 0 ? 1 : 0;  // the same difference in every seed
  return result;
}

std::vector<double> holm_corrected(const std::vector<double>& p) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] < p[b]; });
  std::vector<double> corrected(p.size());
  double most = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    most = std::max(most, p[order[rank]] * static_cast<double>(p.size() - rank));
    corrected[order[rank]] = std::min(most, 1.0);
  }
  return corrected;
}

double binomial_standard_error(double percent, std::int64_t images) {
  if (images <= 0) return 0;
  const double share = std::clamp(percent / 100, 0.0, 1.0);
  return 100 * std::sqrt(share * (1 - share) / static_cast<double>(images));
}

OverColumns over_columns(const std::vector<PairedColumn>& columns) {
  std::vector<std::vector<double>> differences;
  std::vector<double> means;
  bool has_interval = true;
  double better = 0;
  for (const PairedColumn& column : columns) {
    differences.push_back(differences_of(column.ours, column.theirs));
    means.push_back(report::mean(differences.back()));
    has_interval = has_interval && column.ours.size() >= seeds_for_interval;
    double won = 0;
    for (const double ours : column.ours) {
      for (const double theirs : column.theirs) won += ours > theirs ? 1.0 : ours == theirs ? 0.5 : 0.0;
    }
    better += won / static_cast<double>(column.ours.size() * column.theirs.size());
  }
  OverColumns result{report::mean(means), std::nullopt, better / static_cast<double>(columns.size())};
  if (has_interval) {
    const std::vector<double> resampled = bootstrap_means(differences);
    constexpr double outside = (1 - confidence_level) / 2;
    result.interval = Interval{percentile_of(resampled, outside), percentile_of(resampled, 1 - outside)};
  }
  return result;
}

}  // namespace deda::study
