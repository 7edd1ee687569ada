// PuzzleMix and Co-Mixup beside the network: what the solvers (tests/mixing) choose is what the pictures
// show, for any cut of the batch over ranks.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "mixing/co_mixup.h"
#include "mixing/puzzle_mix.h"
#include "support/counting_allocator.h"
#include "support/hashed_numbers.h"
#include "training/mixing/device_mixer.h"
#include "training/mixing/picture_saliency.h"

namespace deda::training {
namespace {

constexpr std::int64_t side = 32, classes = 4;

at::Tensor hashed(std::uint64_t number, at::IntArrayRef sizes) {
  auto values = at::empty(sizes, at::kFloat);
  auto* out = values.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < values.numel(); ++i)
    out[i] = static_cast<float>(2.0 * test::hashed_number(number, static_cast<std::uint64_t>(i)) - 1.0);
  return values;
}

const mixing::Settings& settings_of(const char* name) {
  static const mixing::MixingConfig config;
  for (const auto& settings : config.methods) {
    if (settings.method().facts().name == name) return settings;
  }
  throw std::logic_error(name);
}

struct Batch {
  const mixing::Settings& settings;
  mixing::BatchPlan plan;
  at::Tensor pictures, labels, gradients;  // by place
};

Batch batch_of(const char* method, std::int64_t size, std::uint64_t seed = 7) {
  const auto& settings = settings_of(method);
  Batch batch{settings,
              settings.method().plan(settings, {seed, 1, 3}, size, side),
              hashed(seed, {size, 3, side, side}),
              at::zeros({size, classes}),
              {}};
  for (std::int64_t i = 0; i < size; ++i) batch.labels[i][i % classes] = 1.0;
  // Something to look at: larger in a corner that moves from picture to picture.
  batch.gradients = 0.001 * hashed(seed + 1, {size, 3, side, side});
  for (std::int64_t i = 0; i < size; ++i)
    batch.gradients[i].narrow(1, 8 * (i % 4), 8).narrow(2, 8 * (i / 2 % 4), 8).mul_(1000.0);
  return batch;
}

// As one rank of several; `gathered`: what of_all_places() gives, call by call, filled in where it is empty.
MixOutput mix(const Batch& batch, int rank, int ranks, std::vector<at::Tensor>& gathered) {
  const auto size = batch.pictures.size(0);
  std::vector<std::uint32_t> places;
  for (auto place = static_cast<std::uint32_t>(rank); place < size;
       place += static_cast<std::uint32_t>(ranks))
    places.push_back(place);
  const auto own = static_cast<std::int64_t>(places.size());
  const bool all = batch.settings.method().facts().partners == mixing::Partners::found;
  for (std::int64_t i = 0; i < (all ? size : own); ++i) {
    const auto place =
        all ? static_cast<std::uint32_t>(i) : batch.plan.partner.at(places[static_cast<std::size_t>(i)]);
    if (std::find(places.begin(), places.end(), place) == places.end()) places.push_back(place);
  }
  const auto rows = at::tensor(std::vector<std::int64_t>(places.begin(), places.end()));
  const auto of_rows = [&](const at::Tensor& by_place) { return by_place.index_select(0, rows); };
  std::size_t call = 0;
  const bool alone = gathered.empty();
  const NetworkView view{
      .gradients_by_picture = [&](const at::Tensor&, const at::Tensor&,
                                  double) { return of_rows(batch.gradients).narrow(0, 0, own); },
      .class_activations = {},
      .of_all_places =
          [&](const at::Tensor& mine) {
            if (alone) gathered.push_back(mine.clone());
            return gathered.at(call++);
          }};
  const MixInput input{.settings = batch.settings,
                       .plan = batch.plan,
                       .size = own,
                       .global_size = size,
                       .places = places,
                       .pictures = of_rows(batch.pictures),
                       .labels = of_rows(batch.labels),
                       .traced = true};
  return make_device_mixer(batch.settings)->mix(input, view);
}
MixOutput mix(const Batch& batch) {
  std::vector<at::Tensor> gathered;
  return mix(batch, 0, 1, gathered);
}

std::span<const float> floats(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}

void expect_equal_over_ranks(const Batch& batch) {
  std::vector<at::Tensor> gathered;
  const auto whole = mix(batch, 0, 1, gathered);
  const auto size = batch.pictures.size(0);
  for (int ranks = 2; ranks <= 4; ++ranks) {
    for (int rank = 0; rank < std::min<int>(ranks, static_cast<int>(size)); ++rank) {
      const auto share = mix(batch, rank, ranks, gathered);
      const auto rows = at::arange(rank, size, ranks);
      EXPECT_TRUE(share.pictures.equal(whole.pictures.index_select(0, rows))) << rank << " of " << ranks;
      EXPECT_TRUE(share.labels.equal(whole.labels.index_select(0, rows))) << rank << " of " << ranks;
    }
  }
}

TEST(PuzzleMixer, ShowsWhatTheSolverChose) {
  const auto batch = batch_of("puzzlemix", 5);
  ASSERT_TRUE(batch.plan.applied);
  const auto output = mix(batch);
  ASSERT_TRUE(output.usable);
  const auto grid = mixing::puzzle_grid(side, static_cast<int>(batch.plan.blocks));
  const auto saliency = shares_of_cells(averages_over(magnitudes(batch.gradients), grid.blocks)).contiguous();
  mixing::PuzzleMixSolver solver;
  std::vector<float> expected(3 * side * side);
  bool moved = false;
  for (std::int64_t i = 0; i < batch.pictures.size(0); ++i) {
    const auto partner = static_cast<std::int64_t>(batch.plan.partner[static_cast<std::size_t>(i)]);
    const auto own = batch.pictures[i].contiguous(), other = batch.pictures[partner].contiguous();
    const auto own_cells = mixing::average_cells(floats(own), side, grid.cell),
               other_cells = mixing::average_cells(floats(other), side, grid.cell);
    const auto own_saliency = saliency[i].contiguous(), other_saliency = saliency[partner].contiguous();
    const auto& mixture = solver.solve(grid, {floats(own_saliency), own_cells},
                                       {floats(other_saliency), other_cells}, batch.plan.lambda, {});
    mixing::mix_pictures(mixture, floats(own), floats(other), side, expected);
    const auto picture = at::tensor(expected).reshape({3, side, side});
    EXPECT_LE((picture - output.pictures[i]).abs().max().item<float>(), 1e-6f) << i;
    const auto label =
        mixture.label_share * batch.labels[i] + (1.0 - mixture.label_share) * batch.labels[partner];
    EXPECT_LE((label - output.labels[i]).abs().max().item<float>(), 1e-6f) << i;
    for (std::size_t k = 0; k < mixture.first_source.size(); ++k)
      moved = moved || mixture.first_source[k] != static_cast<std::int32_t>(k);
  }
  EXPECT_TRUE(moved) << "nothing would be seen of a wrong way to move blocks";
}

TEST(PuzzleMixer, IsTheSameForAnyCutOverRanks) {
  expect_equal_over_ranks(batch_of("puzzlemix", 6));
  expect_equal_over_ranks(batch_of("puzzlemix", 3, 11));
}

TEST(CoMixer, ShowsWhatTheSolverChose) {
  // Without the penalty of what others show, outputs are made of several pictures.
  constexpr double no_threshold = 100;
  auto settings = settings_of("comixup");
  settings.set("tau", no_threshold);
  const auto usual = batch_of("comixup", 6);
  const Batch batch{settings, usual.plan, usual.pictures, usual.labels, usual.gradients};
  ASSERT_TRUE(batch.plan.applied);
  const auto grid = batch.plan.blocks, size = batch.pictures.size(0), cell = side / grid;
  ASSERT_EQ(grid, 16);
  const auto output = mix(batch);
  ASSERT_TRUE(output.usable);
  const auto maps = magnitudes(batch.gradients).contiguous();
  const auto saliency = shares_of_cells(averages_over(maps, grid)).contiguous();
  std::vector<mixing::PeakWindow> peaks;
  for (std::int64_t i = 0; i < size; ++i) {
    const auto map = maps[i].contiguous();
    peaks.push_back(mixing::find_peak_window(floats(map), side));
  }
  const std::vector<std::int32_t> start(batch.plan.start.begin(), batch.plan.start.end());
  mixing::CoMixupSolver solver;
  const auto& mixture =
      solver.solve(static_cast<int>(size), static_cast<int>(grid), floats(saliency),
                   mixing::peak_distances(peaks), batch.plan.weights, start, {.threshold = no_threshold});
  bool several = false;
  for (std::int64_t o = 0; o < size; ++o) {
    auto expected = at::empty({3, side, side});
    auto label = at::zeros({classes});
    for (std::int64_t k = 0; k < grid * grid; ++k) {
      const auto at_cell = static_cast<std::size_t>(o * grid * grid + k);
      const auto part = [&](const at::Tensor& picture) {
        return picture.narrow(1, k / grid * cell, cell).narrow(2, k % grid * cell, cell);
      };
      const auto first = mixture.first[at_cell], second = mixture.second[at_cell];
      part(expected).copy_(0.5 * (part(batch.pictures[first]) + part(batch.pictures[second])));
      label += 0.5 * (batch.labels[first] + batch.labels[second]) / static_cast<double>(grid * grid);
      several = several || first != mixture.first[static_cast<std::size_t>(o * grid * grid)];
    }
    EXPECT_LE((expected - output.pictures[o]).abs().max().item<float>(), 1e-6f) << o;
    EXPECT_LE((label - output.labels[o]).abs().max().item<float>(), 1e-5f) << o;
  }
  EXPECT_TRUE(several) << "every output shows one picture alone: nothing would be seen of a wrong cell";
}

TEST(CoMixer, IsTheSameForAnyCutOverRanks) {
  expect_equal_over_ranks(batch_of("comixup", 6));
  expect_equal_over_ranks(batch_of("comixup", 3, 11));
}

TEST(BlockMixers, LeaveABatchWhoseSaliencyIsNoNumber) {
  for (const auto* method : {"puzzlemix", "comixup"}) {
    for (const float value :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      auto batch = batch_of(method, 4);
      batch.gradients[2][1][5][5] = value;
      EXPECT_FALSE(mix(batch).usable) << method << ' ' << value;
    }
  }
}

TEST(BlockMixers, WithoutAnySaliencyMixStill) {
  for (const auto* method : {"puzzlemix", "comixup"}) {
    auto batch = batch_of(method, 4);
    batch.gradients.zero_();
    const auto output = mix(batch);
    EXPECT_TRUE(output.usable) << method;
    EXPECT_TRUE(at::isfinite(output.pictures).all().item<bool>());
    EXPECT_LE((output.labels.sum(1) - 1.0).abs().max().item<float>(), 1e-5f);
  }
}

TEST(BlockMixers, LeaveOutEntriesThatDoNotCount) {
  for (const auto* method : {"puzzlemix", "comixup"}) {
    auto batch = batch_of(method, 4);
    batch.labels.select(1, 3).fill_(-1.0);
    const auto output = mix(batch);
    EXPECT_TRUE((output.labels.select(1, 3) == -1.0).all().item<bool>()) << method;
    EXPECT_TRUE((output.labels.narrow(1, 0, 3) >= 0.0).all().item<bool>()) << method;
  }
}

// At the paper's size: what the mixing adds to the batch's pictures and their gradients, which the network
// makes. The solver's own memory is part of it (a thousandth).
TEST(CoMixer, AtTheSizeOfThePaperTakesAFewBatchesOfPictures) {
  constexpr std::int64_t size = 16, pixels = 448;
  const auto& settings = settings_of("comixup");
  const auto plan = settings.method().plan(settings, {7, 1, 3}, size, pixels);
  std::vector<std::uint32_t> places(static_cast<std::size_t>(size));
  std::iota(places.begin(), places.end(), 0u);
  const auto pictures = at::rand({size, 3, pixels, pixels}), labels = at::eye(size);
  test::CountingAllocator::install();
  const auto mixer = make_device_mixer(settings);
  const NetworkView view{.gradients_by_picture = [&](const at::Tensor& of, const at::Tensor&,
                                                     double) { return at::rand_like(of); },
                         .class_activations = {},
                         .of_all_places = [](const at::Tensor& own) { return own; }};
  const auto before = test::CountingAllocator::restart();
  const auto output = mixer->mix({.settings = settings,
                                  .plan = plan,
                                  .size = size,
                                  .global_size = size,
                                  .places = places,
                                  .pictures = pictures,
                                  .labels = labels},
                                 view);
  const auto megabytes = static_cast<double>(test::CountingAllocator::most_so_far() - before) / 1e6;
  std::printf("Co-Mixup of %ld pictures of %ld pixels: %.0f MB of tensors at most, the gradients included\n",
              static_cast<long>(size), static_cast<long>(pixels), megabytes);
  EXPECT_TRUE(output.usable);
  EXPECT_LT(megabytes, 300);
}

}  // namespace
}  // namespace deda::training
