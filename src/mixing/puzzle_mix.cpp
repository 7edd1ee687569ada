#include "mixing/puzzle_mix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <stdexcept>

#include "core/error.h"

namespace deda::mixing {
namespace {

constexpr int channels = 3;
constexpr double least_probability = 1e-8;  // added before logarithms, as the original does
constexpr double beta_divisor = 16;         // beta is given for 16 blocks along a side
constexpr int small_cells_side = 224, most_cell_there = 2;

std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

// Position of the first of the smallest.
int first_least(const double* values, int count) {
  constexpr int lanes = 8;  // independent minima, which the compiler computes side by side
  std::array<double, lanes> least;
  if (count < lanes) return static_cast<int>(std::min_element(values, values + count) - values);
  std::copy_n(values, lanes, least.begin());
  int i = lanes;
  for (; i + lanes <= count; i += lanes) {
    for (int lane = 0; lane < lanes; ++lane) least[at(lane)] = std::min(least[at(lane)], values[i + lane]);
  }
  for (; i < count; ++i) least[0] = std::min(least[0], values[i]);
  const double smallest = *std::min_element(least.begin(), least.end());
  return static_cast<int>(std::find(values, values + count, smallest) - values);
}

}  // namespace

PuzzleGrid puzzle_grid(int side, int asked, int neighbourhood) {
  if (side < 1 || asked < 1 || neighbourhood < 1 || asked > most_puzzle_blocks)
    throw std::logic_error("PuzzleMix: no such grid of blocks");
  for (int blocks = asked;; blocks /= 2) {
    const int block = side / blocks;
    int cell = std::min(neighbourhood, block);
    if (side == small_cells_side) cell = std::min(cell, most_cell_there);
    if (blocks == 1) return {1, side, 1};  // without neighbours nothing is compared
    if (side % blocks == 0 && block % cell == 0) return {blocks, cell, block / cell};
  }
}

std::vector<float> average_cells(std::span<const float> picture, int side, int cell) {
  if (cell < 1 || side % cell != 0 || picture.size() != at(channels) * at(side) * at(side))
    throw std::logic_error("PuzzleMix: cells that do not fit the picture");
  const int cells = side / cell;
  std::vector<float> averages(at(channels * cells * cells));
  std::vector<double> sums(at(cells));
  for (int row = 0; row < channels * cells; ++row) {
    std::fill(sums.begin(), sums.end(), 0);
    const float* pixels = picture.data() + at(row * cell) * at(side);
    for (int y = 0; y < cell; ++y) {
      for (int x = 0; x < cells; ++x) {
        for (int i = 0; i < cell; ++i) sums[at(x)] += static_cast<double>(*pixels++);
      }
    }
    for (int x = 0; x < cells; ++x)
      averages[at(row * cells + x)] = static_cast<float>(sums[at(x)] / (cell * cell));
  }
  return averages;
}

// What it costs that two neighbouring blocks come from these pictures, written as costs of either block alone
// (halves each) and a weight between them: exact for shares of 0 and 1.
void PuzzleMixSolver::add_local_differences(const PuzzleGrid& grid, const PuzzlePicture& first,
                                            const PuzzlePicture& second, double smoothness, double weight) {
  const int blocks = grid.blocks, length = grid.cells_per_block, cells = blocks * length;
  const std::array<const float*, 2> pictures{first.cells.data(), second.cells.data()};
  // `here` and `there`: the first two cells that face each other; `along`: to the next ones.
  const auto pair = [&](int here, int there, int along, int site, int next_site) {
    std::array<std::array<double, 2>, 2> difference{};
    for (int c = 0; c < channels; ++c) {
      for (int i = 0; i < length; ++i) {
        const std::size_t offset = at(c * cells * cells + i * along);
        for (std::size_t p = 0; p < 2; ++p) {
          const double left = static_cast<double>(pictures[p][at(here) + offset]);
          for (std::size_t q = 0; q < 2; ++q)
            difference[p][q] += std::abs(left - static_cast<double>(pictures[q][at(there) + offset]));
        }
      }
    }
    for (auto& row : difference) {
      for (double& value : row) value = weight * (value / (channels * length));
    }
    const auto& d = difference;
    first_shows_[at(site)] += (d[0][1] + d[0][0]) / 2;
    second_shows_[at(site)] += (d[1][0] + d[1][1]) / 2;
    first_shows_[at(next_site)] += (d[1][0] + d[0][0]) / 2;
    second_shows_[at(next_site)] += (d[0][1] + d[1][1]) / 2;
    // Opposite stripes go together better mixed than alone, which no cut can express.
    return std::max(0.0, (d[0][1] + d[1][0] - d[0][0] - d[1][1]) / 2 + smoothness);
  };
  for (int y = 0; y + 1 < blocks; ++y) {
    for (int x = 0; x < blocks; ++x) {
      const int site = y * blocks + x, here = ((y + 1) * length - 1) * cells + x * length;
      down_[at(site)] = pair(here, here + cells, 1, site, site + blocks);
    }
  }
  for (int y = 0; y < blocks; ++y) {
    for (int x = 0; x + 1 < blocks; ++x) {
      const int site = y * blocks + x, here = y * length * cells + (x + 1) * length - 1;
      right_[at(y * (blocks - 1) + x)] = pair(here, here + 1, cells, site, site + 1);
    }
  }
}

const PuzzleMixture& PuzzleMixSolver::solve(const PuzzleGrid& grid, const PuzzlePicture& first,
                                            const PuzzlePicture& second, double lambda,
                                            const PuzzleMixParameters& parameters) {
  const int blocks = grid.blocks, labels = parameters.labels, cells = blocks * grid.cells_per_block;
  if (blocks < 1 || blocks > most_puzzle_blocks || labels < 2 || !(lambda >= 0 && lambda <= 1) ||
      !std::isfinite(parameters.transport_cost))
    throw std::logic_error("PuzzleMix: no blocks, fewer than two labels, or lambda is not in [0, 1]");
  const std::size_t sites = at(blocks * blocks);
  for (const PuzzlePicture* picture : {&first, &second}) {
    if (picture->saliency.size() != sites || picture->cells.size() != at(channels * cells * cells))
      throw std::logic_error("PuzzleMix: saliency or cells do not have the grid's size");
  }
  mixture_.blocks = blocks;

  // Where one picture shows, the other's saliency is lost.
  first_shows_.assign(second.saliency.begin(), second.saliency.end());
  second_shows_.assign(first.saliency.begin(), first.saliency.end());
  down_.resize(at((blocks - 1) * blocks));
  right_.resize(at(blocks * (blocks - 1)));
  const double smoothness = parameters.beta / blocks / beta_divisor;
  add_local_differences(grid, first, second, smoothness, smoothness * parameters.gamma);

  // Label l stands for the share 1 - l / (labels - 1) of the first picture; a binomial law with lambda is
  // what the shares are hoped to follow.
  unary_.resize(sites * at(labels));
  label_costs_.resize(at(labels * labels));
  prior_.resize(at(labels));
  double choose = 1;
  for (int l = 0; l < labels; ++l) {
    const double probability = choose * std::pow(lambda, labels - 1 - l) * std::pow(1 - lambda, l);
    prior_[at(l)] = parameters.eta * -std::log(probability + least_probability) / (blocks * blocks);
    choose = choose * (labels - 1 - l) / (l + 1);
    for (int m = 0; m < labels; ++m)
      label_costs_[at(l * labels + m)] =
          static_cast<double>((l - m) * (l - m)) / ((labels - 1) * (labels - 1));
  }
  for (std::size_t p = 0; p < sites; ++p) {
    for (int l = 0; l < labels; ++l) {
      const double of_second = static_cast<double>(l) / (labels - 1);
      unary_[p * at(labels) + at(l)] =
          (1 - of_second) * first_shows_[p] + of_second * second_shows_[p] + prior_[at(l)];
    }
  }
  const GridEnergy energy{blocks, blocks, labels, unary_, down_, right_, label_costs_};
  const std::span<const std::int32_t> chosen = swap_.minimise(energy);
  mixture_.energy = energy_of(energy, chosen);
  mixture_.share.resize(sites);
  std::int64_t of_second = 0;
  for (std::size_t p = 0; p < sites; ++p) {
    of_second += chosen[p];
    mixture_.share[p] = static_cast<float>(1 - static_cast<double>(chosen[p]) / (labels - 1));
  }
  mixture_.label_share =
      1 - static_cast<double>(of_second) / (static_cast<double>(labels - 1) * static_cast<double>(sites));

  if (parameters.transport) {
    transport(first.saliency, true, parameters.transport_cost, mixture_.first_source);
    transport(second.saliency, false, parameters.transport_cost, mixture_.second_source);
  } else {
    for (auto* source : {&mixture_.first_source, &mixture_.second_source}) {
      source->resize(sites);
      for (std::size_t p = 0; p < sites; ++p) (*source)[p] = static_cast<std::int32_t>(p);
    }
  }
  return mixture_;
}

// Every block asks for the place that is cheapest for it; of those that ask for one place the cheapest gets
// it, and the others pay 1 more there the next time. What the last of `blocks` rounds gave counts.
void PuzzleMixSolver::transport(std::span<const float> saliency, bool of_first, double cost,
                                std::vector<std::int32_t>& source) {
  const int blocks = mixture_.blocks, sites = blocks * blocks, offsets = 2 * blocks - 1;
  constexpr double dearer = 1;
  const double longest = std::max(1, (blocks - 1) * (blocks - 1));
  by_offset_.resize(at(offsets * offsets));
  for (int dy = -(blocks - 1); dy < blocks; ++dy) {
    for (int dx = -(blocks - 1); dx < blocks; ++dx)
      by_offset_[at((dy + blocks - 1) * offsets + dx + blocks - 1)] = cost * ((dy * dy + dx * dx) / longest);
  }
  shown_.resize(at(sites));
  for (int k = 0; k < sites; ++k) {
    const float share = of_first ? mixture_.share[at(k)] : 1 - mixture_.share[at(k)];
    shown_[at(k)] = share > 0 ? 1 : 0;
  }
  costs_.resize(at(sites) * at(sites));  // [from, to]
  target_.resize(at(sites));
  for (int j = 0; j < sites; ++j) {
    double* row = costs_.data() + at(j) * at(sites);
    const double gain = static_cast<double>(saliency[at(j)]);
    for (int y = 0; y < blocks; ++y) {
      const double* moved =
          by_offset_.data() + at((y - j / blocks + blocks - 1) * offsets + blocks - 1 - j % blocks);
      for (int x = 0; x < blocks; ++x) row[y * blocks + x] = moved[x] - gain * shown_[at(y * blocks + x)];
    }
    target_[at(j)] = first_least(row, sites);
  }
  source.resize(at(sites));
  for (int round = 0; round < blocks; ++round) {
    const auto price = [&](int j) { return costs_[at(j) * at(sites) + at(target_[at(j)])]; };
    std::fill(source.begin(), source.end(), -1);
    for (int j = 0; j < sites; ++j) {
      std::int32_t& winner = source[at(target_[at(j)])];
      if (winner < 0 || price(j) < price(winner)) winner = j;
    }
    // The original compares with zeros for those that do not ask: so who would pay gets nothing, and who pays
    // nothing only where all before it asked for the same place.
    for (int k = 0; k < sites; ++k) {
      std::int32_t& winner = source[at(k)];
      if (winner < 0 || price(winner) < 0) continue;
      int others = 0;  // the first that does not ask for k
      while (others < sites && target_[at(others)] == k) ++others;
      const bool wins = price(winner) > 0 ? others == sites : winner < others;
      if (!wins) winner = -1;
    }
    if (round + 1 == blocks) break;
    bool changed = false;
    for (int j = 0; j < sites; ++j) {
      if (source[at(target_[at(j)])] == j) continue;
      double* row = costs_.data() + at(j) * at(sites);
      row[target_[at(j)]] += dearer;
      target_[at(j)] = first_least(row, sites);
      changed = true;
    }
    if (!changed) break;
  }
}

void mix_pictures(const PuzzleMixture& mixture, std::span<const float> first, std::span<const float> second,
                  int side, std::span<float> mixed) {
  const int blocks = mixture.blocks;
  const std::size_t size = at(channels) * at(side) * at(side);
  if (blocks < 1 || side % blocks != 0 || first.size() != size || second.size() != size ||
      mixed.size() != size)
    throw std::logic_error("PuzzleMix: pictures that do not fit the blocks");
  const int block = side / blocks;
  for (int k = 0; k < blocks * blocks; ++k) {
    const float share = mixture.share[at(k)];
    // Where the first pixel of a block lies.
    const auto corner = [&](int b) { return at(b / blocks * block) * at(side) + at(b % blocks * block); };
    const std::int32_t from_first = mixture.first_source[at(k)], from_second = mixture.second_source[at(k)];
    for (int c = 0; c < channels; ++c) {
      for (int y = 0; y < block; ++y) {
        const std::size_t row = at(c) * at(side) * at(side) + at(y) * at(side);
        for (int x = 0; x < block; ++x) {
          const float a = from_first < 0 ? 0 : first[row + corner(from_first) + at(x)],
                      b = from_second < 0 ? 0 : second[row + corner(from_second) + at(x)];
          mixed[row + corner(k) + at(x)] = share * a + (1 - share) * b;
        }
      }
    }
  }
}

}  // namespace deda::mixing
