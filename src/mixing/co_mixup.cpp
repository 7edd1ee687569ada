#include "mixing/co_mixup.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <stdexcept>

#include "core/error.h"

namespace deda::mixing {
namespace {

constexpr int peak_window = 8;          // a power of two
constexpr double least_weight = 1e-8;   // added before logarithms, as the original does
constexpr double blend_bonus = 5e-4;    // what a blend is cheaper than the mean of its pictures
constexpr double blend_to_part = 0.25;  // |blend - part|^2 / 2, where |part - other|^2 / 2 is 1
constexpr double little_change = 1e-6;  // of the objective, relative: the end
constexpr int most_blended = 3;         // pictures of an output that are blended pairwise

std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

// Pictures of a cell; twice the same: that picture alone.
struct Cell {
  std::int32_t first, second;
};

double squared_length(Cell cell) {
  return cell.first == cell.second ? 1 : 0.5;
}

// |a - b|^2 of two cells' weights.
double squared_distance(Cell a, Cell b) {
  const int matches =
      (a.first == b.first) + (a.first == b.second) + (a.second == b.first) + (a.second == b.second);
  return squared_length(a) + squared_length(b) - 0.5 * matches;
}

}  // namespace

PeakWindow find_peak_window(std::span<const float> map, int side) {
  if (side < 1 || map.size() != at(side) * at(side))
    throw std::logic_error("Co-Mixup: a saliency map that is not [side, side]");
  PeakWindow peak;
  if (side <= peak_window) return peak;
  // Sums of 1, 2, 4, 8 neighbours along rows, then down columns. All sums add in the same order, so that
  // equal pixels give equal ones.
  std::vector<double> sums(map.begin(), map.end());
  const int places = side - peak_window + 1;
  int left = side;  // sums that are whole so far
  for (int step = 1; step < peak_window; step *= 2) {
    left -= step;
    for (int y = 0; y < side; ++y) {
      double* row = sums.data() + at(y) * at(side);
      for (int x = 0; x < left; ++x) row[x] += row[x + step];
    }
  }
  left = side;
  for (int step = 1; step < peak_window; step *= 2) {
    left -= step;
    for (int y = 0; y < left; ++y) {
      double* row = sums.data() + at(y) * at(side);
      const double* below = row + at(step) * at(side);
      for (int x = 0; x < places; ++x) row[x] += below[x];
    }
  }
  double highest = -1;
  for (int y = 0; y < places; ++y) {
    const double* row = sums.data() + at(y) * at(side);
    for (int x = 0; x < places; ++x) {
      if (row[x] <= highest) continue;
      highest = row[x];
      peak = {y, x};
    }
  }
  return peak;
}

std::vector<double> peak_distances(std::span<const PeakWindow> peaks) {
  std::vector<double> distances(peaks.size() * peaks.size());
  for (std::size_t i = 0; i < peaks.size(); ++i) {
    for (std::size_t j = 0; j < peaks.size(); ++j)
      distances[i * peaks.size() + j] =
          std::abs(peaks[i].row - peaks[j].row) + std::abs(peaks[i].column - peaks[j].column);
  }
  return distances;
}

std::int32_t& CoMixupSolver::halves(int output, int picture) {
  return halves_[at(output * mixture_.pictures + picture)];
}
std::int32_t CoMixupSolver::halves(int output, int picture) const {
  return halves_[at(output * mixture_.pictures + picture)];
}

const CoMixture& CoMixupSolver::solve(int pictures, int grid, std::span<const float> saliency,
                                      std::span<const double> distances, std::span<const double> weights,
                                      std::span<const std::int32_t> start,
                                      const CoMixupParameters& parameters) {
  if (pictures < 1 || grid < 1 || grid * grid > most_swap_sites)
    throw std::logic_error("Co-Mixup: no pictures, or no grid that labels can be found for");
  const int sites = grid * grid;
  if (saliency.size() != at(pictures * sites) || start.size() != at(pictures * sites) ||
      distances.size() != at(pictures * pictures) || weights.size() != at(pictures))
    throw std::logic_error("Co-Mixup: saliency, distances, weights or start do not fit pictures and grid");
  if (std::any_of(start.begin(), start.end(), [&](std::int32_t i) { return i < 0 || i >= pictures; }) ||
      std::any_of(weights.begin(), weights.end(), [](double weight) { return weight < 0; }))
    throw std::logic_error("Co-Mixup: starts with a picture that is none, or a weight below 0");
  mixture_.pictures = pictures;
  mixture_.grid = grid;

  cost_.resize(at(sites * pictures));
  for (int i = 0; i < pictures; ++i) {
    const double prior = parameters.eta / sites * std::log(weights[at(i)] + least_weight);
    for (int p = 0; p < sites; ++p)
      cost_[at(p * pictures + i)] = -static_cast<double>(saliency[at(i * sites + p)]) - prior;
  }
  double all_distances = 0;
  for (const double distance : distances) all_distances += distance;
  affinity_.resize(at(pictures * pictures));
  for (int i = 0; i < pictures; ++i) {
    for (int j = 0; j < pictures; ++j) {
      const int place = i * pictures + j;
      const double relative = all_distances == 0 ? 0 : distances[at(place)] / all_distances * pictures;
      affinity_[at(place)] = (1 - parameters.omega) * (i == j ? 1 : 0) + parameters.omega * relative;
    }
  }
  const double beta = parameters.beta / sites, gamma = parameters.gamma / sites;
  down_.assign(at((grid - 1) * grid), beta);
  right_.assign(at(grid * (grid - 1)), beta);

  mixture_.first.assign(start.begin(), start.end());
  mixture_.second = mixture_.first;
  halves_.assign(at(pictures * pictures), 0);
  all_halves_.assign(at(pictures), 0);
  pushed_.assign(at(pictures * pictures), 0);
  for (int output = 0; output < pictures; ++output) count(output);
  mixture_.objective = objective(beta, gamma);
  mixture_.iterations = 0;
  for (int iteration = 0; iteration < parameters.iterations; ++iteration) {
    for (int output = 0; output < pictures; ++output) solve_output(output, iteration > 0, parameters);
    if (iteration == parameters.iterations - 2) push_equal_outputs_apart();
    const double before = mixture_.objective;
    mixture_.objective = objective(beta, gamma);
    mixture_.iterations = iteration + 1;
    if (std::abs(before - mixture_.objective) / std::abs(mixture_.objective) < little_change) break;
  }
  mixture_.label_weights.resize(at(pictures * pictures));
  for (std::size_t i = 0; i < mixture_.label_weights.size(); ++i)
    mixture_.label_weights[i] = static_cast<float>(halves_[i] / (2.0 * sites));
  return mixture_;
}

// Adds an output's cells to its counts, which were 0, and to those of all.
void CoMixupSolver::count(int output) {
  const int sites = mixture_.grid * mixture_.grid;
  for (int p = output * sites; p < (output + 1) * sites; ++p) {
    for (const std::int32_t picture : {mixture_.first[at(p)], mixture_.second[at(p)]}) {
      ++halves(output, picture);
      ++all_halves_[at(picture)];
    }
  }
}

void CoMixupSolver::solve_output(int output, bool with_blends, const CoMixupParameters& parameters) {
  const int pictures = mixture_.pictures, grid = mixture_.grid, sites = grid * grid;
  const double gamma = parameters.gamma / sites, threshold = parameters.threshold * sites;

  // Pictures that are blended: those that the output used, or the three that it used most.
  used_.clear();
  if (with_blends) {
    for (int i = 0; i < pictures; ++i) {
      if (halves(output, i) > 0) used_.push_back(i);
    }
    if (used_.size() > most_blended) {
      std::stable_sort(used_.begin(), used_.end(),
                       [&](int a, int b) { return halves(output, a) > halves(output, b); });
      used_.resize(most_blended);
      std::sort(used_.begin(), used_.end());
    }
    if (used_.size() < 2) used_.clear();
  }
  std::array<Cell, most_blended> blends{};
  int blended = 0;
  for (std::size_t a = 0; a < used_.size(); ++a) {
    for (std::size_t b = a + 1; b < used_.size(); ++b) blends[at(blended++)] = {used_[a], used_[b]};
  }

  // What the other outputs show already makes a picture dearer, linearly: the others are held fixed.
  others_.resize(at(pictures));
  for (int i = 0; i < pictures; ++i) {
    all_halves_[at(i)] -= halves(output, i);
    others_[at(i)] = all_halves_[at(i)] / 2.0;
  }
  counted_.resize(at(pictures));
  for (int j = 0; j < pictures; ++j) {
    double shown = 0;
    for (int k = 0; k < pictures; ++k) shown += affinity_[at(j * pictures + k)] * others_[at(k)];
    counted_[at(j)] = shown > threshold ? others_[at(j)] : 0;
  }
  penalty_.resize(at(pictures));
  for (int i = 0; i < pictures; ++i) {
    double sum = 0;
    for (int j = 0; j < pictures; ++j) sum += affinity_[at(i * pictures + j)] * counted_[at(j)];
    penalty_[at(i)] = 2 * gamma * sum;
  }

  const int labels = pictures + blended;
  unary_.resize(at(sites * labels));
  for (int p = 0; p < sites; ++p) {
    double* costs = unary_.data() + at(p * labels);
    for (int i = 0; i < pictures; ++i)
      costs[i] = cost_[at(p * pictures + i)] + penalty_[at(i)] + gamma * pushed_[at(output * pictures + i)];
    for (int b = 0; b < blended; ++b) {
      const Cell blend = blends[at(b)];
      costs[pictures + b] = 0.5 * costs[blend.first] + 0.5 * costs[blend.second] - blend_bonus;
    }
  }
  label_costs_.assign(at(labels * labels), 1);
  for (int l = 0; l < labels; ++l) label_costs_[at(l * labels + l)] = 0;
  for (int b = 0; b < blended; ++b) {
    for (const std::int32_t part : {blends[at(b)].first, blends[at(b)].second})
      label_costs_[at((pictures + b) * labels + part)] = label_costs_[at(part * labels + pictures + b)] =
          blend_to_part;
  }

  const auto chosen = swap_.minimise({grid, grid, labels, unary_, down_, right_, label_costs_});
  for (int p = 0; p < sites; ++p) {
    const std::int32_t label = chosen[at(p)];
    const Cell cell = label < pictures ? Cell{label, label} : blends[at(label - pictures)];
    mixture_.first[at(output * sites + p)] = cell.first;
    mixture_.second[at(output * sites + p)] = cell.second;
  }
  std::fill_n(&halves(output, 0), pictures, 0);
  count(output);
}

// Of two outputs that use the same pictures, several, one will pay for the first of them and one for the
// second.
void CoMixupSolver::push_equal_outputs_apart() {
  const int pictures = mixture_.pictures;
  for (int a = 0; a < pictures; ++a) {
    used_.clear();
    for (int i = 0; i < pictures; ++i) {
      if (halves(a, i) > 0) used_.push_back(i);
    }
    if (used_.size() < 2) continue;
    for (int b = a + 1; b < pictures; ++b) {
      bool equal = true;
      for (int i = 0; i < pictures && equal; ++i) equal = (halves(a, i) > 0) == (halves(b, i) > 0);
      if (equal) pushed_[at(a * pictures + used_[0])] = pushed_[at(b * pictures + used_[1])] = 1;
    }
  }
}

double CoMixupSolver::objective(double beta, double gamma) const {
  const int pictures = mixture_.pictures, grid = mixture_.grid, sites = grid * grid;
  double shown = 0, apart = 0;
  for (int output = 0; output < pictures; ++output) {
    const auto cell = [&](int p) {
      return Cell{mixture_.first[at(output * sites + p)], mixture_.second[at(output * sites + p)]};
    };
    for (int p = 0; p < sites; ++p) {
      const Cell here = cell(p);
      shown += 0.5 * cost_[at(p * pictures + here.first)] + 0.5 * cost_[at(p * pictures + here.second)];
      if (p + grid < sites) apart += squared_distance(here, cell(p + grid));
      if (p % grid + 1 < grid) apart += squared_distance(here, cell(p + 1));
    }
  }
  double together = 0;  // square of a picture's count over all outputs, without those of each output
  for (int i = 0; i < pictures; ++i) {
    together += 0.25 * all_halves_[at(i)] * all_halves_[at(i)];
    for (int output = 0; output < pictures; ++output)
      together -= 0.25 * halves(output, i) * halves(output, i);
  }
  return shown + beta / 2 * apart + gamma * together;
}

}  // namespace deda::mixing
