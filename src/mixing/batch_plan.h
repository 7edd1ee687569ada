// The random decisions of one global batch. Every decision has a stream of its own, a pure function of (seed,
// epoch, step, decision): whoever needs one draws it, on any rank, in any order.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/random.h"
#include "mixing/box.h"

namespace deda::mixing {

// A global batch of a run: step from 0 within its epoch, which counts from 1.
struct BatchNumber {
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
  std::uint64_t step = 0;
};

// Part of results: append only.
enum class Decision : std::uint32_t {
  applied = 0,
  lambda = 1,
  partners = 2,
  box = 3,
  lambda2 = 4,
  partner_box = 5,
  grid = 6,
  sigma = 7,
  weights = 8,
  start = 9,
};

RandomStream stream_of(const BatchNumber& number, Decision decision);

// Beta(a, a) as X / (X + Y) of two gammas, a > 0; also where a is so small that these are 0 in double.
double draw_beta(RandomStream& stream, double a);
// Gamma(a, 1) by Marsaglia and Tsang (ACM TOMS 26, 2000), a > 0.
double draw_gamma(RandomStream& stream, double a);
// Dirichlet(a, ..., a) of `count` shares, at least one.
std::vector<double> draw_dirichlet(RandomStream& stream, double a, std::size_t count);

// What was decided, names as in traces (`mix.*`). A method fills in what it has.
struct BatchPlan {
  bool applied = false;                // false: the batch stays as it was composed
  double lambda = 1, lambda2 = 1;      // shares that were drawn, before anything corrects them
  std::vector<std::uint32_t> partner;  // [size] place in the global batch; empty where it is found later
  std::optional<Box> box;              // in the own picture
  std::optional<Box> partner_box;      // in the partner's, where it is another one
  std::int64_t blocks = 0;             // along a side of the grid
  double sigma = 0;                    // of a blur, pixels
  std::vector<double> weights;         // Co-Mixup: of the inputs
  std::vector<std::uint32_t> start;    // Co-Mixup: input of every output and cell
};

// Shares of the two labels in a mixed picture; they need not sum to one.
struct LabelWeights {
  double own = 1, partner = 0;
};

// labels = weights.own * own + weights.partner * partner; an entry that does not count (negative) in a label
// with a share does not count in the mix. All [classes]; `mixed` may be `own`.
void mix_labels(const LabelWeights& weights, const float* own, const float* partner, std::size_t classes,
                float* mixed);

}  // namespace deda::mixing
