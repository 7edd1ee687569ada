// PuzzleMix's choices against a restatement of the original (tests/golden/mixing_solvers.py), and small cases
// by hand.
#include "mixing/puzzle_mix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/error.h"
#include "mixing/golden_solvers.h"

namespace deda::mixing {
namespace {

using test::at;

// A picture of the golden cases with its saliency.
struct Material {
  std::vector<float> pixels, saliency, cells;
};

Material material_of(const nlohmann::json& expected, std::size_t number, int which) {
  const int side = expected.at("side"), blocks = expected.at("blocks"), cell = expected.at("cell"),
            block = side / blocks;
  const std::string kind = expected.at("kind");
  const std::size_t tensor = 5000 + 10 * number + static_cast<std::size_t>(which);
  Material made;
  for (const double value : test::hashed(tensor + 1, 3 * side * side)) {
    float pixel = static_cast<float>(4 * value - 2);
    if (kind == "smooth") pixel = pixel / 8 + static_cast<float>(which);
    if (kind == "stripes") {
      const int row = static_cast<int>(made.pixels.size()) / side % side;
      pixel = pixel / 8 + static_cast<float>((row / cell + which) % 2);
    }
    made.pixels.push_back(pixel);
  }
  auto saliency = test::hashed(tensor + 3, side * side);
  if (kind == "peaky") test::make_peaky(saliency);
  if (kind == "equal") std::fill(saliency.begin(), saliency.end(), 0.5);
  if (kind == "zero") {
    for (double& value : saliency) value *= which;
  }
  std::vector<double> pooled(at(blocks * blocks));
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) pooled[at(y / block * blocks + x / block)] += saliency[at(y * side + x)];
  }
  for (double& value : pooled) value /= block * block;
  made.saliency = test::shares(pooled);
  made.cells = average_cells(made.pixels, side, cell);
  return made;
}

std::string checksum_of_plan(const std::vector<std::int32_t>& sources) {
  return test::checksum_of_bytes(std::vector<std::int16_t>(sources.begin(), sources.end()));
}

TEST(PuzzleMix, ChoosesWhatTheOriginalChooses) {
  PuzzleMixSolver solver;
  std::size_t number = 0;
  for (const auto& expected : test::golden("puzzle_mix")) {
    const int side = expected.at("side"), blocks = expected.at("blocks"), cell = expected.at("cell");
    const Material first = material_of(expected, number, 0), second = material_of(expected, number, 1);
    PuzzleMixParameters parameters;
    parameters.labels = expected.at("labels");
    parameters.beta = expected.at("beta");
    parameters.gamma = expected.at("gamma");
    parameters.eta = expected.at("eta");
    parameters.transport = expected.at("transport");
    parameters.transport_cost = expected.at("weight");
    const PuzzleMixture& mixture =
        solver.solve({blocks, cell, side / blocks / cell}, {first.saliency, first.cells},
                     {second.saliency, second.cells}, expected.at("lambda"), parameters);
    std::vector<std::uint8_t> labels;
    double mean = 0;
    for (const float share : mixture.share) {
      labels.push_back(
          static_cast<std::uint8_t>(std::lround((1 - share) * static_cast<float>(parameters.labels - 1))));
      mean += static_cast<double>(share) / static_cast<double>(mixture.share.size());
    }
    EXPECT_EQ(test::checksum(labels), expected.at("choice")) << number << ' ' << expected;
    EXPECT_EQ(checksum_of_plan(mixture.first_source), expected.at("first_source"))
        << number << ' ' << expected;
    EXPECT_EQ(checksum_of_plan(mixture.second_source), expected.at("second_source"))
        << number << ' ' << expected;
    test::expect_close(mixture.energy, expected.at("energy"));
    EXPECT_NEAR(mixture.label_share, mean, 1e-7) << "shares of thirds are floats";
    std::vector<float> mixed(first.pixels.size());
    mix_pictures(mixture, first.pixels, second.pixels, side, mixed);
    EXPECT_EQ(test::checksum_of_bytes(mixed), expected.at("mixed")) << number << ' ' << expected;
    ++number;
  }
  EXPECT_GT(number, 200u);
}

TEST(PuzzleMix, TakesTheLargestGridThatFits) {
  const auto grid = [](int side, int asked, int neighbourhood = 4) {
    const PuzzleGrid made = puzzle_grid(side, asked, neighbourhood);
    return std::vector<int>{made.blocks, made.cell, made.cells_per_block};
  };
  EXPECT_EQ(grid(448, 16), (std::vector<int>{16, 4, 7}));
  EXPECT_EQ(grid(448, 2), (std::vector<int>{2, 4, 56}));
  EXPECT_EQ(grid(224, 16), (std::vector<int>{16, 2, 7})) << "cells of two pixels at 224";
  EXPECT_EQ(grid(64, 16), (std::vector<int>{16, 4, 1}));
  EXPECT_EQ(grid(32, 16), (std::vector<int>{16, 2, 1})) << "no larger than a block";
  EXPECT_EQ(grid(96, 16), (std::vector<int>{8, 4, 3})) << "blocks of 6 pixels hold no whole cells";
  EXPECT_EQ(grid(384, 16), (std::vector<int>{16, 4, 6}));
  EXPECT_EQ(grid(96, 16, 3), (std::vector<int>{16, 3, 2}));
  EXPECT_EQ(grid(75, 16), (std::vector<int>{1, 75, 1})) << "nothing divides";
  EXPECT_EQ(grid(3, 16), (std::vector<int>{1, 3, 1}));
  EXPECT_THROW(puzzle_grid(64, 0), std::logic_error);
  EXPECT_THROW(puzzle_grid(64, 128), std::logic_error);
}

// Two blocks along a side; each picture is salient in one block and black elsewhere.
TEST(PuzzleMix, WhatIsSalientShows) {
  PuzzleMixSolver solver;
  const std::vector<float> first_saliency{1, 0, 0, 0}, second_saliency{0, 0, 0, 1}, cells(3 * 16);
  const PuzzleGrid grid{2, 4, 2};
  const auto& apart = solver.solve(grid, {first_saliency, cells}, {second_saliency, cells}, 0.5, {});
  EXPECT_EQ(apart.share[0], 1);
  EXPECT_EQ(apart.share[3], 0);
  EXPECT_EQ(apart.first_source[0], 0) << "shows already";
  EXPECT_EQ(apart.second_source[3], 3);
  // Both in one place: one moves beside the other, unless that is too dear.
  const auto& together = solver.solve(grid, {first_saliency, cells}, {first_saliency, cells}, 0.5, {});
  const bool first_stays = together.share[0] > 0;
  const auto& mover = first_stays ? together.second_source : together.first_source;
  EXPECT_EQ(std::count(mover.begin(), mover.end(), 0), 1);
}

TEST(PuzzleMix, LambdaDecidesWhereNothingElseDoes) {
  PuzzleMixSolver solver;
  const std::vector<float> saliency(16, 1 / 16.0f), cells(3 * 16);
  for (const auto& [lambda, share] :
       std::vector<std::pair<double, float>>{{0, 0}, {0.1, 0}, {0.5, 0.5}, {0.9, 1}, {1, 1}}) {
    const auto& mixture = solver.solve({4, 4, 1}, {saliency, cells}, {saliency, cells}, lambda, {});
    EXPECT_EQ(mixture.share, std::vector<float>(16, share)) << lambda;
    EXPECT_EQ(mixture.label_share, static_cast<double>(share)) << lambda;
  }
}

TEST(PuzzleMix, BlocksMoveAndMissingOnesAreBlack) {
  PuzzleMixture mixture;
  mixture.blocks = 2;
  mixture.share = {1, 0, 0.5f, 0.5f};
  mixture.first_source = {3, 0, 2, -1};
  mixture.second_source = {0, 2, -1, -1};
  std::vector<float> first, second;
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < 4; ++y) {
      for (int x = 0; x < 4; ++x) {
        first.push_back(static_cast<float>(100 * c + 10 * y + x));
        second.push_back(static_cast<float>(-(100 * c + 10 * y + x)));
      }
    }
  }
  std::vector<float> mixed(48);
  mix_pictures(mixture, first, second, 4, mixed);
  const std::vector<float> expected{22, 23, -20, -21, 32, 33, -30, -31, 10, 10.5f, 0, 0, 15, 15.5f, 0, 0};
  EXPECT_EQ(std::vector<float>(mixed.begin(), mixed.begin() + 16), expected);
  EXPECT_EQ(mixed[16], 122) << "the next channel";
  EXPECT_THROW(mix_pictures(mixture, first, second, 5, mixed), std::logic_error);
}

TEST(PuzzleMix, RefusesWhatDoesNotFit) {
  PuzzleMixSolver solver;
  std::vector<float> saliency(4, 0.25f), cells(12);
  const PuzzleGrid grid{2, 4, 1};
  EXPECT_THROW(solver.solve(grid, {saliency, {}}, {saliency, cells}, 0.5, {}), std::logic_error);
  EXPECT_THROW(solver.solve(grid, {saliency, cells}, {cells, cells}, 0.5, {}), std::logic_error);
  EXPECT_THROW(solver.solve(grid, {saliency, cells}, {saliency, cells}, 1.5, {}), std::logic_error);
  PuzzleMixParameters one_label;
  one_label.labels = 1;
  EXPECT_THROW(solver.solve(grid, {saliency, cells}, {saliency, cells}, 0.5, one_label), std::logic_error);
  EXPECT_THROW(average_cells(cells, 2, 3), std::logic_error);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto broken = saliency;
    broken[2] = bad;
    EXPECT_THROW(solver.solve(grid, {broken, cells}, {saliency, cells}, 0.5, {}), ModelError);
    auto broken_cells = cells;
    broken_cells[0] = bad;
    EXPECT_THROW(solver.solve(grid, {saliency, broken_cells}, {saliency, cells}, 0.5, {}), ModelError);
  }
}

}  // namespace
}  // namespace deda::mixing
