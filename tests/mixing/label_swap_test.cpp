// Label swaps against a plain restatement (tests/golden/mixing_solvers.py) and against trying everything.
#include "mixing/label_swap.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/random.h"
#include "mixing/golden_solvers.h"

namespace deda::mixing {
namespace {

// An energy that owns its costs.
struct Problem {
  int height, width, labels;
  std::vector<double> unary, down, right, label_costs;
  Problem(int h, int w, int l)
      : height{h},
        width{w},
        labels{l},
        unary(static_cast<std::size_t>(h * w * l)),
        down(static_cast<std::size_t>((h - 1) * w)),
        right(static_cast<std::size_t>(h * (w - 1))),
        label_costs(static_cast<std::size_t>(l * l), 1) {
    for (int i = 0; i < l; ++i) cost(i, i) = 0;
  }
  double& cost(int a, int b) { return label_costs[static_cast<std::size_t>(a * labels + b)]; }
  GridEnergy energy() const { return {height, width, labels, unary, down, right, label_costs}; }
  int sites() const { return height * width; }
};

Problem random_problem(int height, int width, int labels, std::uint64_t number) {
  Problem problem{height, width, labels};
  RandomStream random{5, Purpose::test, 0, number};
  for (double& value : problem.unary) value = random.uniform(-1, 1);
  for (double& value : problem.down) value = random.uniform() * random.uniform();
  for (double& value : problem.right) value = random.uniform() * random.uniform();
  for (int a = 0; a < labels; ++a) {
    for (int b = 0; b < a; ++b) problem.cost(a, b) = problem.cost(b, a) = random.uniform(0, 2);
  }
  return problem;
}

std::vector<std::int32_t> minimised(LabelSwap& swap, const Problem& problem) {
  const auto labels = swap.minimise(problem.energy());
  return {labels.begin(), labels.end()};
}

TEST(LabelSwap, ChoosesWhatThePlainRestatementChooses) {
  LabelSwap swap;
  std::size_t number = 0;
  for (const auto& expected : test::golden("label_swap")) {
    const std::string kind = expected.at("kind");
    Problem problem{expected.at("height"), expected.at("width"), expected.at("labels")};
    const int labels = problem.labels;
    problem.unary = test::hashed(10 * number, static_cast<int>(problem.unary.size()));
    problem.down = test::hashed(10 * number + 1, static_cast<int>(problem.down.size()));
    problem.right = test::hashed(10 * number + 2, static_cast<int>(problem.right.size()));
    const bool coarse = kind.find("coarse") != std::string::npos;
    for (double& value : problem.unary)
      value = kind == "equal" ? 0.5 : coarse ? std::floor(4 * value) / 4 : value;
    for (auto* weights : {&problem.down, &problem.right}) {
      for (double& value : *weights)
        value = kind == "no weights" ? 0
                : kind == "equal"    ? 0.25
                : coarse             ? std::floor(16 * (0.25 * value)) / 16
                                     : 0.25 * value;
    }
    if (kind == "quadratic") {
      for (int a = 0; a < labels; ++a) {
        for (int b = 0; b < labels; ++b) {
          const double steps = a - b, all = std::max(1, labels - 1);
          problem.cost(a, b) = steps * steps / (all * all);
        }
      }
    } else if (kind == "hashed") {
      const auto costs = test::hashed(10 * number + 3, labels * labels);
      for (int a = 0; a < labels; ++a) {
        for (int b = a + 1; b < labels; ++b)
          problem.cost(a, b) = problem.cost(b, a) = costs[static_cast<std::size_t>(a * labels + b)];
      }
    } else if (kind.find("blending") != std::string::npos) {
      for (const int part : {0, 1}) problem.cost(labels - 1, part) = problem.cost(part, labels - 1) = 0.25;
    }
    const auto chosen = minimised(swap, problem);
    const std::vector<std::uint8_t> bytes(chosen.begin(), chosen.end());
    EXPECT_EQ(test::checksum(bytes), expected.at("choice")) << number << ' ' << expected;
    test::expect_close(energy_of(problem.energy(), chosen), expected.at("energy"));
    ++number;
  }
  EXPECT_GT(number, 200u);
}

TEST(LabelSwap, OfTwoLabelsItFindsTheBestChoice) {
  LabelSwap swap;
  for (std::uint64_t number = 0; number < 60; ++number) {
    const int height = 1 + static_cast<int>(number % 4), width = 3 + static_cast<int>(number % 2);
    const Problem problem = random_problem(height, width, 2, number);
    double best = std::numeric_limits<double>::infinity();
    std::vector<std::int32_t> labels(static_cast<std::size_t>(problem.sites()));
    for (std::uint32_t bits = 0; bits < 1u << problem.sites(); ++bits) {
      for (std::size_t p = 0; p < labels.size(); ++p) labels[p] = static_cast<std::int32_t>(bits >> p & 1);
      best = std::min(best, energy_of(problem.energy(), labels));
    }
    EXPECT_NEAR(energy_of(problem.energy(), minimised(swap, problem)), best, 1e-12) << number;
  }
}

TEST(LabelSwap, NoSwapOfTwoLabelsImprovesWhatItFinds) {
  LabelSwap swap;
  for (std::uint64_t number = 0; number < 200; ++number) {
    const int side = number % 2 == 0 ? 2 : 3, labels = 3 + static_cast<int>(number % 3);
    const Problem problem = random_problem(side, side, labels, 1000 + number);
    const auto found = minimised(swap, problem);
    const double energy = energy_of(problem.energy(), found);
    for (int a = 0; a < labels; ++a) {
      for (int b = a + 1; b < labels; ++b) {
        std::vector<std::size_t> active;
        for (std::size_t p = 0; p < found.size(); ++p) {
          if (found[p] == a || found[p] == b) active.push_back(p);
        }
        auto other = found;
        for (std::uint32_t bits = 0; bits < 1u << active.size(); ++bits) {
          for (std::size_t i = 0; i < active.size(); ++i) other[active[i]] = (bits >> i & 1) != 0 ? b : a;
          EXPECT_GE(energy_of(problem.energy(), other), energy - 1e-12) << number;
        }
      }
    }
  }
}

TEST(LabelSwap, OfEquallyCheapChoicesItKeepsTheOneThatItHas) {
  LabelSwap swap;
  Problem problem{3, 3, 4};
  EXPECT_EQ(minimised(swap, problem), std::vector<std::int32_t>(9, 0)) << "all costs are 0";
  std::fill(problem.unary.begin(), problem.unary.end(), -7.25);
  std::fill(problem.down.begin(), problem.down.end(), 0.5);
  EXPECT_EQ(minimised(swap, problem), std::vector<std::int32_t>(9, 0));
  for (std::size_t p = 0; p < 9; ++p) problem.unary[4 * p + 1] = problem.unary[4 * p + 2] = -8;
  EXPECT_EQ(minimised(swap, problem), std::vector<std::int32_t>(9, 2)) << "the larger label is asked first";
}

TEST(LabelSwap, CostsMayBeTinyOrHuge) {
  LabelSwap swap;
  Problem problem = random_problem(4, 4, 3, 7);
  const auto expected = minimised(swap, problem);
  for (const int exponent : {-1060, -500, 500, 900}) {
    Problem scaled = problem;
    for (auto* costs : {&scaled.unary, &scaled.down, &scaled.right}) {
      for (double& cost : *costs) cost = std::ldexp(cost, exponent);
    }
    // Below 2^-1022 numbers have fewer digits, so only the energy is left to compare.
    if (exponent > -1000)
      EXPECT_EQ(minimised(swap, scaled), expected) << exponent;
    else
      EXPECT_LE(energy_of(scaled.energy(), minimised(swap, scaled)), 0);
  }
}

TEST(LabelSwap, DependsOnNeitherEarlierCallsNorThreads) {
  std::vector<std::vector<std::int32_t>> alone, together(24);
  const auto problem_of = [](std::size_t i) {
    return random_problem(1 + static_cast<int>(i * 5 % 16), 1 + static_cast<int>(i * 7 % 16),
                          2 + static_cast<int>(i % 7), 2000 + i);
  };
  for (std::size_t i = 0; i < together.size(); ++i) {
    LabelSwap fresh;
    alone.push_back(minimised(fresh, problem_of(i)));
  }
  std::vector<std::jthread> threads;
  for (std::size_t first = 0; first < 3; ++first)
    threads.emplace_back([&, first] {
      LabelSwap used;
      for (std::size_t i = first; i < together.size(); i += 3) together[i] = minimised(used, problem_of(i));
    });
  threads.clear();
  EXPECT_EQ(together, alone);
}

TEST(LabelSwap, RefusesWhatIsNoEnergy) {
  LabelSwap swap;
  const Problem good = random_problem(3, 4, 3, 1);
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    Problem problem = good;
    problem.unary[5] = bad;
    EXPECT_THROW(swap.minimise(problem.energy()), ModelError);
    problem = good;
    problem.right[2] = bad;
    EXPECT_THROW(swap.minimise(problem.energy()), ModelError);
  }
  Problem problem = good;
  problem.down[1] = -1e-9;
  EXPECT_THROW(swap.minimise(problem.energy()), std::logic_error);
  problem = good;
  problem.cost(0, 1) += 1;
  EXPECT_THROW(swap.minimise(problem.energy()), std::logic_error) << "not symmetric";
  problem = good;
  problem.cost(1, 1) = 0.5;
  EXPECT_THROW(swap.minimise(problem.energy()), std::logic_error);
  problem = good;
  problem.cost(0, 1) = problem.cost(1, 0) = -1;
  EXPECT_THROW(swap.minimise(problem.energy()), std::logic_error);
  problem = good;
  problem.unary.pop_back();
  EXPECT_THROW(swap.minimise(problem.energy()), std::logic_error);
  EXPECT_THROW(swap.minimise(Problem{65, 64, 2}.energy()), std::logic_error);
  EXPECT_EQ(minimised(swap, good).size(), 12u) << "and works on after an error";
}

}  // namespace
}  // namespace deda::mixing
