// The decisions of a batch: 10,000 draws each against the laws they are to have, and pure functions of seed,
// epoch and step.
#include "mixing/batch_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <string>

#include "mixing/method.h"

namespace deda::mixing {
namespace {

using testing::ElementsAre;
using testing::FloatEq;

constexpr int draws = 10'000;
// One false alarm in 1,000: the normal quantiles of 0.999 and 0.9995, and the limit of sqrt(n) times
// Kolmogorov's statistic, sqrt(-ln(0.001 / 2) / 2).
constexpr double one_sided_quantile = 3.0902, two_sided_quantile = 3.2905, kolmogorov_quantile = 1.9495;
constexpr std::uint64_t seed = 20;

RandomStream test_stream(std::uint64_t number) {
  return {seed, Purpose::test, 0, number};
}

// Kolmogorov and Smirnov's statistic times sqrt(n), of a law without steps. (A Beta of parameters below 0.1
// has some in double: what rounds to 1.)
double kolmogorov(std::vector<double> values, const std::function<double(double)>& law) {
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  double largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double expected = law(values[i]);
    largest = std::max(
        {largest, static_cast<double>(i + 1) / count - expected, expected - static_cast<double>(i) / count});
  }
  return largest * std::sqrt(count);
}

// Of equally probable cells, less its limit (Wilson and Hilferty's cube): above 0 is an alarm.
double chi_square_above_limit(const std::vector<int>& counts) {
  const double expected = static_cast<double>(std::accumulate(counts.begin(), counts.end(), 0)) /
                          static_cast<double>(counts.size());
  double sum = 0;
  for (const int count : counts) sum += (count - expected) * (count - expected) / expected;
  const double freedom = static_cast<double>(counts.size()) - 1, ninth = 2.0 / (9.0 * freedom);
  return sum - freedom * std::pow(1.0 - ninth + one_sided_quantile * std::sqrt(ninth), 3);
}

// Regularised lower incomplete gamma function, by its power series.
double gamma_law(double a, double x) {
  if (x <= 0) return 0;
  double term = 1 / a, sum = term;
  for (int n = 1; term > 1e-16 * sum; ++n) sum += term *= x / (a + n);
  return std::min(1.0, sum * std::exp(a * std::log(x) - x - std::lgamma(a)));
}

// Regularised incomplete beta function, by the series of its hypergeometric function; symmetric beyond 1/2.
double beta_law(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > 0.5) return 1 - beta_law(b, a, 1 - x);
  double term = 1, sum = 1;
  for (int n = 0; term > 1e-16 * sum; ++n) sum += term *= x * (a + b + n) / (a + 1 + n);
  const double log_beta = std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b);
  return sum * std::exp(a * std::log(x) + b * std::log1p(-x) - log_beta) / a;
}

TEST(Laws, OfThisTestAreThoseOfTables) {
  EXPECT_NEAR(gamma_law(1, 2), 1 - std::exp(-2), 1e-14);
  EXPECT_NEAR(gamma_law(0.5, 2), std::erf(std::sqrt(2.0)), 1e-14);
  EXPECT_NEAR(beta_law(1, 1, 0.3), 0.3, 1e-14);
  EXPECT_NEAR(beta_law(2, 2, 0.7), 3 * 0.49 - 2 * 0.343, 1e-14);
  EXPECT_NEAR(beta_law(0.5, 0.5, 0.2), 2 / std::acos(-1) * std::asin(std::sqrt(0.2)), 1e-14);
  EXPECT_NEAR(beta_law(1, 3, 0.2), 1 - std::pow(0.8, 3), 1e-14);
}

TEST(Draws, OfGammaHaveItsLaw) {
  for (const double a : {0.05, 0.2, 0.5, 1.0, 1.5, 5.0, 40.0}) {
    auto stream = test_stream(1);
    std::vector<double> values(draws);
    for (double& value : values) value = draw_gamma(stream, a);
    EXPECT_LT(kolmogorov(values, [a](double x) { return gamma_law(a, x); }), kolmogorov_quantile) << a;
  }
}

TEST(Draws, OfBetaHaveItsLaw) {
  for (const double a : {0.2, 0.5, 1.0, 2.0, 5.0, 100.0}) {
    auto stream = test_stream(2);
    std::vector<double> values(draws);
    for (double& value : values) value = draw_beta(stream, a);
    EXPECT_LT(kolmogorov(values, [a](double x) { return beta_law(a, a, x); }), kolmogorov_quantile) << a;
  }
}

// At the least alpha that settings take both gammas are below the smallest double in every fifth draw. Half
// of the draws are next to 0, half next to 1; nearly none is between.
TEST(Draws, OfBetaWithTheLeastAlphaAreNextToZeroOrOne) {
  constexpr double a = 1e-3, near = 1e-3;
  auto stream = test_stream(3);
  int low = 0, high = 0;
  for (int i = 0; i < draws; ++i) {
    const double value = draw_beta(stream, a);
    ASSERT_GE(value, 0);
    ASSERT_LE(value, 1);
    low += value < near;
    high += value > 1 - near;
  }
  const double share = beta_law(a, a, near),
               allowed = two_sided_quantile * std::sqrt(draws * share * (1 - share));
  EXPECT_NEAR(low, draws * share, allowed);
  EXPECT_NEAR(high, draws * share, allowed);
  EXPECT_GT(share, 0.49);
}

TEST(Draws, OfDirichletHaveItsLaw) {
  for (const double a : {0.2, 0.5, 1.0, 2.0}) {
    for (const std::size_t count : {2u, 4u}) {
      auto stream = test_stream(4);
      std::vector<std::vector<double>> shares(count);
      for (int i = 0; i < draws; ++i) {
        const auto drawn = draw_dirichlet(stream, a, count);
        ASSERT_EQ(drawn.size(), count);
        EXPECT_NEAR(std::accumulate(drawn.begin(), drawn.end(), 0.0), 1, 1e-12);
        for (std::size_t k = 0; k < count; ++k) shares[k].push_back(drawn[k]);
      }
      const double others = a * static_cast<double>(count - 1);
      for (const auto& values : shares)
        EXPECT_LT(kolmogorov(values, [&](double x) { return beta_law(a, others, x); }), kolmogorov_quantile)
            << a << " " << count;
    }
  }
}

TEST(Draws, OfDirichletWithASmallParameterAreNextToOneCorner) {
  constexpr std::size_t corners = 4;
  auto stream = test_stream(5);
  std::vector<int> counts(corners);
  int between = 0;
  for (int i = 0; i < draws; ++i) {
    const auto shares = draw_dirichlet(stream, 1e-3, corners);
    const auto largest = std::max_element(shares.begin(), shares.end());
    ++counts[static_cast<std::size_t>(largest - shares.begin())];
    between += *largest < 0.999;
  }
  EXPECT_LT(chi_square_above_limit(counts), 0);
  // About (corners - 1) * a * ln(1000), 2 %, are not next to a corner.
  EXPECT_LT(between, 0.04 * draws);
}

TEST(Streams, OfEpochsStepsSeedsAndDecisionsDiffer) {
  std::map<std::uint32_t, std::string> first;
  const auto differs = [&](const BatchNumber& number, Decision decision, const std::string& what) {
    const auto [found, fresh] = first.emplace(stream_of(number, decision).bits(), what);
    EXPECT_TRUE(fresh) << what << " as " << found->second;
  };
  for (std::uint64_t number = 0; number < 4; ++number) {
    for (std::uint32_t epoch = 1; epoch < 4; ++epoch) {
      for (const std::uint64_t step : {0ull, 1ull, 2ull, (1ull << 32) - 1, 1ull << 32, (1ull << 40) - 1}) {
        for (std::uint32_t decision = 0; decision < 10; ++decision)
          differs({number, epoch, step}, static_cast<Decision>(decision),
                  std::to_string(number) + " " + std::to_string(epoch) + " " + std::to_string(step) + " " +
                      std::to_string(decision));
      }
    }
  }
}

const Method& method_of(std::string_view name) {
  for (const auto* method : methods()) {
    if (method->facts().name == name) return *method;
  }
  throw std::logic_error("no such method");
}

BatchPlan plan_of(const Settings& settings, std::uint64_t step, std::int64_t size, std::int64_t side) {
  return settings.method().plan(settings, {seed, 1, step}, size, side);
}

TEST(Plans, MixAsManyBatchesAsMixProbabilitySays) {
  for (const auto* method : methods()) {
    Settings settings(*method);
    if (!settings.has("mix_probability")) continue;
    for (const double probability : {0.0, 0.3, 0.8, 1.0}) {
      settings.set("mix_probability", probability);
      int applied = 0;
      for (std::uint64_t step = 0; step < draws; ++step) applied += plan_of(settings, step, 4, 8).applied;
      EXPECT_NEAR(applied, draws * probability,
                  two_sided_quantile * std::sqrt(draws * probability * (1 - probability)))
          << method->facts().name;
    }
  }
}

TEST(Plans, LeaveBatchesThatAreTooSmallAsTheyAre) {
  for (const auto* method : methods()) {
    Settings settings(*method);
    if (settings.has("mix_probability")) settings.set("mix_probability", 1);
    const auto least = method->facts().smallest_batch;
    if (least > 1) {
      EXPECT_FALSE(plan_of(settings, 0, least - 1, 16).applied) << method->facts().name;
    }
    EXPECT_TRUE(plan_of(settings, 0, least, 16).applied) << method->facts().name;
  }
}

TEST(Plans, HaveSharesOfTheirLaw) {
  for (const auto* name : {"mixup", "cutmix", "saliencymix", "snapmix"}) {
    for (const double alpha : {0.2, 1.0, 5.0}) {
      Settings settings(method_of(name));
      settings.set("alpha", alpha);
      std::vector<double> first, second;
      for (std::uint64_t step = 0; step < draws; ++step) {
        const auto plan = plan_of(settings, step, 4, 8);
        first.push_back(plan.lambda);
        second.push_back(plan.lambda2);
      }
      const auto law = [alpha](double x) { return beta_law(alpha, alpha, x); };
      EXPECT_LT(kolmogorov(first, law), kolmogorov_quantile) << name;
      if (std::string_view{name} != "snapmix") continue;
      EXPECT_LT(kolmogorov(second, law), kolmogorov_quantile) << name;
      double covariance = 0;
      for (std::size_t i = 0; i < first.size(); ++i) covariance += (first[i] - 0.5) * (second[i] - 0.5);
      const double variance = 1 / (4 * (2 * alpha + 1));
      EXPECT_NEAR(covariance / (draws * variance), 0, two_sided_quantile / std::sqrt(draws))
          << "the two boxes' shares are independent";
    }
  }
}

TEST(Plans, HaveAnyPairingWithTheSameProbability) {
  constexpr std::int64_t size = 4;
  std::map<std::vector<std::uint32_t>, int> found;
  for (std::uint64_t step = 0; step < draws; ++step) ++found[drawn_partners({seed, 1, step}, size)];
  ASSERT_EQ(found.size(), 24u) << "all permutations";
  std::vector<int> counts;
  for (const auto& [partners, count] : found) {
    EXPECT_TRUE(std::is_permutation(partners.begin(), partners.end(), std::vector{0u, 1u, 2u, 3u}.begin()));
    counts.push_back(count);
  }
  EXPECT_LT(chi_square_above_limit(counts), 0);
  EXPECT_THAT(drawn_partners({seed, 1, 0}, 1), ElementsAre(0));
}

TEST(Plans, HaveSigmasOfTheirLaw) {
  for (const auto* name : {"guided-sr", "guided-ap"}) {
    Settings settings(method_of(name));
    settings.set("mix_probability", 1);
    std::vector<double> sigmas;
    for (std::uint64_t step = 0; step < draws; ++step) sigmas.push_back(plan_of(settings, step, 4, 8).sigma);
    EXPECT_LT(kolmogorov(sigmas, [](double x) { return (x - 0.5) / 2.5; }), kolmogorov_quantile) << name;
    settings.set("fixed_sigma", 1);
    for (std::uint64_t step = 0; step < 10; ++step) EXPECT_EQ(plan_of(settings, step, 4, 8).sigma, 3.0);
    EXPECT_TRUE(plan_of(settings, 0, 4, 8).partner.empty()) << "it is found later";
  }
}

// With shares near one half no box is cut on both sides, so that its centre can be read off.
TEST(Plans, HaveBoxCentresAnywhereWithTheSameProbability) {
  constexpr std::int64_t side = 8;
  for (const auto* name : {"cutmix", "snapmix"}) {
    Settings settings(method_of(name));
    settings.set("alpha", 1e3);
    std::vector<int> centres(side * side), partner_centres(side * side), rows_of_both(side * side);
    for (std::uint64_t step = 0; step < draws; ++step) {
      const auto plan = plan_of(settings, step, 4, side);
      const auto centre_along = [](std::int64_t first, std::int64_t last, double lambda) {
        const auto half = static_cast<std::int64_t>(side * std::sqrt(1 - lambda)) / 2;
        return first > 0 ? first + half : last - half;
      };
      const auto place_of = [&](const Box& box, double lambda) {
        return static_cast<std::size_t>(centre_along(box.y1, box.y2, lambda) * side +
                                        centre_along(box.x1, box.x2, lambda));
      };
      const auto place = place_of(*plan.box, plan.lambda);
      ++centres.at(place);
      if (!plan.partner_box) continue;
      const auto other = place_of(*plan.partner_box, plan.lambda2);
      ++partner_centres.at(other);
      ++rows_of_both.at(place / side * side + other / side);
    }
    EXPECT_LT(chi_square_above_limit(centres), 0) << name;
    if (std::string_view{name} != "snapmix") continue;
    EXPECT_LT(chi_square_above_limit(partner_centres), 0);
    EXPECT_LT(chi_square_above_limit(rows_of_both), 0) << "the two boxes' centres are independent";
  }
}

// Everything in a plan, to be compared.
auto content_of(const BatchPlan& plan) {
  std::vector<std::int64_t> whole{plan.applied, plan.blocks};
  for (const auto& box : {plan.box, plan.partner_box}) {
    const auto any = box.value_or(Box{-1, -1, -1, -1});
    whole.insert(whole.end(), {any.y1, any.y2, any.x1, any.x2});
  }
  whole.insert(whole.end(), plan.partner.begin(), plan.partner.end());
  whole.insert(whole.end(), plan.start.begin(), plan.start.end());
  std::vector<double> real{plan.lambda, plan.lambda2, plan.sigma};
  real.insert(real.end(), plan.weights.begin(), plan.weights.end());
  return std::pair{whole, real};
}

TEST(Plans, ArePureFunctionsOfSeedEpochAndStep) {
  std::vector<BatchNumber> numbers;
  for (std::uint64_t number = 1; number <= 2; ++number) {
    for (std::uint32_t epoch = 1; epoch <= 2; ++epoch) {
      for (std::uint64_t step = 0; step < 3; ++step) numbers.push_back({number, epoch, step});
    }
  }
  for (const auto* method : methods()) {
    Settings settings(*method);
    if (settings.has("mix_probability")) settings.set("mix_probability", 1);
    const auto content = [&](const BatchNumber& number) {
      return content_of(method->plan(settings, number, 16, 96));
    };
    std::vector<decltype(content(numbers.front()))> forwards;
    for (const auto& number : numbers) forwards.push_back(content(number));
    for (std::size_t i = numbers.size(); i-- > 0;) {
      EXPECT_EQ(content(numbers[i]), forwards[i]) << method->facts().name << " in another order";
      for (std::size_t j = 0; j < i; ++j)
        EXPECT_NE(forwards[i], forwards[j]) << method->facts().name << " " << i << " " << j;
    }
  }
}

TEST(Box, IsThatOfCutMix) {
  struct Case {
    double lambda;
    std::int64_t y, x, side;
    Box expected;
  };
  const std::vector<Case> cases{
      // Nothing of the partner, wherever the centre is.
      {1, 5, 6, 10, {5, 5, 6, 6}},
      {1, 0, 9, 10, {0, 0, 9, 9}},
      // All of it, around the middle alone.
      {0, 5, 5, 10, {0, 10, 0, 10}},
      {0, 4, 5, 10, {0, 9, 0, 10}},
      {0, 0, 9, 10, {0, 5, 4, 10}},
      // An odd side loses a pixel even so.
      {0, 3, 3, 7, {0, 6, 0, 6}},
      {0, 6, 0, 7, {3, 7, 0, 3}},
      // A quarter: half as wide and as high; 3 of 7 becomes 2.
      {0.75, 4, 4, 8, {2, 6, 2, 6}},
      {0.75, 1, 7, 8, {0, 3, 5, 8}},
      {0.75, 3, 3, 7, {2, 4, 2, 4}},
      // One pixel in width is none.
      {1 - 1.0 / 64, 4, 4, 8, {4, 4, 4, 4}},
      {1 - 4.0 / 64, 4, 4, 8, {3, 5, 3, 5}},
      {0.5, 0, 0, 448, {0, 158, 0, 158}},
      {0, 0, 0, 1, {0, 0, 0, 0}},
  };
  for (const auto& each : cases) {
    const auto found = box_around(each.lambda, each.y, each.x, each.side);
    EXPECT_EQ(found, each.expected) << each.lambda << " around " << each.y << " " << each.x << " of "
                                    << each.side << ": " << found.y1 << " " << found.y2 << " " << found.x1
                                    << " " << found.x2;
  }
}

TEST(Labels, AreMixedInTheirWeights) {
  const std::vector<float> own{1, 0, 0.25f, 0}, partner{0, 1, 0.75f, 0};
  std::vector<float> mixed(4);
  mix_labels({0.3, 0.7}, own.data(), partner.data(), 4, mixed.data());
  EXPECT_THAT(mixed, ElementsAre(FloatEq(0.3f), FloatEq(0.7f), FloatEq(0.6f), 0));
  // SnapMix's need not sum to one.
  mix_labels({1.5, 1.25}, own.data(), partner.data(), 4, mixed.data());
  EXPECT_THAT(mixed, ElementsAre(1.5f, 1.25f, 1.3125f, 0));
  // In place.
  auto overwritten = own;
  mix_labels({0, 1}, overwritten.data(), partner.data(), 4, overwritten.data());
  EXPECT_EQ(overwritten, partner);
}

TEST(Labels, EntriesThatDoNotCountInALabelWithAShareDoNotCountInTheMix) {
  const std::vector<float> own{-1, 1, -1, 0}, partner{1, -1, -1, -1};
  std::vector<float> mixed(4);
  mix_labels({0.4, 0.6}, own.data(), partner.data(), 4, mixed.data());
  EXPECT_THAT(mixed, ElementsAre(-1, -1, -1, -1));
  mix_labels({0, 1}, own.data(), partner.data(), 4, mixed.data());
  EXPECT_THAT(mixed, ElementsAre(1, -1, -1, -1));
  mix_labels({1, 0}, own.data(), partner.data(), 4, mixed.data());
  EXPECT_THAT(mixed, ElementsAre(-1, 1, -1, 0));
}

}  // namespace
}  // namespace deda::mixing
