// Co-Mixup's choices against a restatement of the original (tests/golden/mixing_solvers.py), and what holds
// of them all.
#include "mixing/co_mixup.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "mixing/golden_solvers.h"

namespace deda::mixing {
namespace {

using test::at;

struct Inputs {
  int pictures, grid;
  std::vector<float> saliency;
  std::vector<double> distances, weights;
  std::vector<std::int32_t> start;
};

// As co_cases() of the script makes them.
Inputs inputs_of(int pictures, int grid, const std::string& kind, std::size_t number) {
  Inputs made{pictures, grid, {}, {}, {}, {}};
  const int sites = grid * grid;
  const std::size_t tensor = 20000 + 10 * number;
  auto saliency = test::hashed(tensor, pictures * sites);
  if (kind != "hashed") test::make_peaky(saliency);
  for (int i = 0; i < pictures; ++i) {
    std::vector<double> map(sites);
    for (int p = 0; p < sites; ++p) {
      map[at(p)] = kind == "equal"                        ? 0.5
                   : kind == "one map"                    ? saliency[at(p)]
                   : kind == "one picture zero" && i == 0 ? 0
                                                          : saliency[at(i * sites + p)];
    }
    for (const float share : test::shares(map)) made.saliency.push_back(kind == "zero" ? 0 : share);
  }
  const auto places = test::hashed(tensor + 1, 2 * pictures);
  std::vector<PeakWindow> peaks(at(pictures));
  if (kind != "no distance") {
    for (int i = 0; i < pictures; ++i)
      peaks[at(i)] = {static_cast<int>(441 * places[at(2 * i)]),
                      static_cast<int>(441 * places[at(2 * i + 1)])};
  }
  made.distances = peak_distances(peaks);
  made.weights = test::hashed(tensor + 2, pictures);
  double sum = 0;
  for (const double weight : made.weights) sum += weight;
  for (double& weight : made.weights) weight /= sum;
  for (const double value : test::hashed(tensor + 3, pictures * sites))
    made.start.push_back(static_cast<std::int32_t>(pictures * value));
  return made;
}

const CoMixture& solved(CoMixupSolver& solver, const Inputs& inputs,
                        const CoMixupParameters& parameters = {}) {
  return solver.solve(inputs.pictures, inputs.grid, inputs.saliency, inputs.distances, inputs.weights,
                      inputs.start, parameters);
}

TEST(CoMixup, ChoosesWhatTheOriginalChooses) {
  CoMixupSolver solver;
  std::size_t number = 0;
  for (const auto& expected : test::golden("co_mixup")) {
    const int pictures = expected.at("pictures"), grid = expected.at("grid"), sites = grid * grid;
    CoMixupParameters parameters;
    parameters.beta = expected.at("beta");
    parameters.gamma = expected.at("gamma");
    parameters.eta = expected.at("eta");
    parameters.threshold = expected.at("threshold");
    parameters.omega = expected.at("omega");
    parameters.iterations = expected.at("most_iterations");
    const Inputs inputs = inputs_of(pictures, grid, expected.at("kind"), number);
    const CoMixture& mixture = solved(solver, inputs, parameters);
    std::vector<std::uint8_t> halves(at(pictures * sites * pictures));
    std::vector<double> label_weights(at(pictures * pictures));
    for (int place = 0; place < pictures * sites; ++place) {
      for (const std::int32_t picture : {mixture.first[at(place)], mixture.second[at(place)]}) {
        ++halves[at(place * pictures + picture)];
        label_weights[at(place / sites * pictures + picture)] += 0.5 / sites;
      }
    }
    EXPECT_EQ(test::checksum(halves), expected.at("halves")) << number << ' ' << expected;
    EXPECT_EQ(mixture.iterations, expected.at("iterations")) << number << ' ' << expected;
    test::expect_close(mixture.objective, expected.at("objective"));
    for (std::size_t i = 0; i < label_weights.size(); ++i)
      EXPECT_NEAR(static_cast<double>(mixture.label_weights[i]), label_weights[i], 1e-7) << "they are floats";
    ++number;
  }
  EXPECT_GT(number, 200u);
}

TEST(CoMixup, ASinglePictureStaysItself) {
  CoMixupSolver solver;
  for (const std::string kind : {"hashed", "zero", "no distance"}) {
    const CoMixture& mixture = solved(solver, inputs_of(1, 4, kind, 3));
    EXPECT_EQ(mixture.first, std::vector<std::int32_t>(16, 0));
    EXPECT_EQ(mixture.second, mixture.first);
    EXPECT_EQ(mixture.label_weights, std::vector<float>{1});
  }
}

// Without penalties and smoothness every cell shows where it is most salient; the others' use makes outputs
// differ.
TEST(CoMixup, SaliencyAloneDecidesWithoutTheRest) {
  CoMixupSolver solver;
  const Inputs inputs = inputs_of(5, 4, "hashed", 77);
  CoMixupParameters parameters;
  parameters.beta = parameters.gamma = parameters.eta = 0;
  parameters.iterations = 1;
  const CoMixture& alone = solved(solver, inputs, parameters);
  for (int p = 0; p < 16; ++p) {
    int best = 0;
    for (int i = 1; i < 5; ++i) {
      if (inputs.saliency[at(16 * i + p)] > inputs.saliency[at(16 * best + p)]) best = i;
    }
    for (int output = 0; output < 5; ++output) EXPECT_EQ(alone.first[at(16 * output + p)], best);
  }
  const auto& weights = solved(solver, inputs).label_weights;
  for (int a = 0; a < 5; ++a) {
    for (int b = 0; b < a; ++b)
      EXPECT_FALSE(
          std::equal(weights.begin() + 5 * a, weights.begin() + 5 * (a + 1), weights.begin() + 5 * b))
          << "outputs " << a << " and " << b << " are made of the same";
  }
}

TEST(CoMixup, IsTheSameInEveryThread) {
  CoMixupSolver fresh;
  const Inputs inputs = inputs_of(8, 8, "hashed", 5);
  const CoMixture expected = solved(fresh, inputs);
  std::vector<CoMixture> made(3);
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < made.size(); ++t)
    threads.emplace_back([&, t] {
      CoMixupSolver solver;
      solved(solver, inputs_of(3 + static_cast<int>(t), 5, "peaky", t));  // leaves other sizes in the buffers
      made[t] = solved(solver, inputs);
    });
  threads.clear();
  for (const CoMixture& mixture : made) {
    EXPECT_EQ(mixture.first, expected.first);
    EXPECT_EQ(mixture.second, expected.second);
    EXPECT_EQ(mixture.label_weights, expected.label_weights);
    EXPECT_EQ(mixture.objective, expected.objective);
  }
}

TEST(CoMixup, PeaksAreWhereTheOriginalFindsThem) {
  std::size_t number = 0;
  for (const auto& expected : test::golden("peaks")) {
    const int side = expected.at("side");
    const std::string kind = expected.at("kind");
    std::vector<float> map;
    for (const double value : test::hashed(50000 + number, side * side))
      map.push_back(static_cast<float>(kind == "equal"    ? 0.3
                                       : kind == "zero"   ? 0
                                       : kind == "coarse" ? std::floor(1.05 * value)
                                                          : value));
    const PeakWindow peak = find_peak_window(map, side);
    EXPECT_EQ(peak.row, expected.at("row")) << expected;
    EXPECT_EQ(peak.column, expected.at("column")) << expected;
    ++number;
  }
  EXPECT_GT(number, 10u);
  const std::vector<PeakWindow> peaks{{0, 0}, {3, 1}, {3, 5}};
  EXPECT_EQ(peak_distances(peaks), (std::vector<double>{0, 4, 8, 4, 0, 4, 8, 4, 0}));
}

TEST(CoMixup, RefusesWhatDoesNotFit) {
  CoMixupSolver solver;
  const Inputs good = inputs_of(3, 4, "hashed", 1);
  Inputs inputs = good;
  inputs.saliency.pop_back();
  EXPECT_THROW(solved(solver, inputs), std::logic_error);
  inputs = good;
  inputs.start[7] = 3;
  EXPECT_THROW(solved(solver, inputs), std::logic_error);
  inputs = good;
  inputs.weights[0] = -0.1;
  EXPECT_THROW(solved(solver, inputs), std::logic_error);
  inputs = good;
  inputs.distances.resize(4);
  EXPECT_THROW(solved(solver, inputs), std::logic_error);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  inputs = good;
  inputs.saliency[20] = static_cast<float>(nan);
  EXPECT_THROW(solved(solver, inputs), ModelError);
  inputs = good;
  inputs.distances[1] = nan;
  EXPECT_THROW(solved(solver, inputs), ModelError);
  inputs = good;
  inputs.weights[2] = nan;
  EXPECT_THROW(solved(solver, inputs), ModelError);
  EXPECT_THROW(find_peak_window(good.saliency, 5), std::logic_error);
}

}  // namespace
}  // namespace deda::mixing
