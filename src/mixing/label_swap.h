// Labels for the sites of a grid, chosen so that an energy of labels and neighbouring labels is small:
// alpha-beta swaps, each solved exactly by a minimum cut (Boykov, Veksler, Zabih 2001, "Fast approximate
// energy minimization via graph cuts", section 3). PuzzleMix and Co-Mixup choose by it which picture shows in
// which block.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace deda::mixing {

// The energy of labels z on a grid whose sites have up to four neighbours:
//   sum over sites p of unary[p, z_p]  +  sum over neighbours p, q of weight[p, q] * label_costs[z_p, z_q].
// Sites are counted row by row.
struct GridEnergy {
  int height = 0, width = 0, labels = 0;
  std::span<const double> unary;  // [height * width, labels], finite
  std::span<const double> down;   // [height - 1, width]: weight between (y, x) and (y + 1, x), at least 0
  std::span<const double> right;  // [height, width - 1]: weight between (y, x) and (y, x + 1), at least 0
  std::span<const double> label_costs;  // [labels, labels]: at least 0, symmetric, 0 on the diagonal
};

constexpr int most_swap_sites = 4096;  // what sums of costs have room for

// Energy of `labels` [height * width], summed site by site, then edge by edge.
double energy_of(const GridEnergy& energy, std::span<const std::int32_t> labels);

// Keeps its buffers from call to call. One per thread.
class LabelSwap {
 public:
  LabelSwap();
  ~LabelSwap();
  LabelSwap(LabelSwap&&) noexcept;
  LabelSwap& operator=(LabelSwap&&) noexcept;

  // Labels [height * width] that no swap of two labels improves; valid until the next call. Starts with label
  // 0 everywhere and goes through all pairs a < b, a ascending and b descending, as the solver of PuzzleMix
  // and Co-Mixup does (gco 3), until a whole cycle brings nothing. A swap gives sites of either label the
  // labels of the cheapest cut; of several cheapest ones that with the most sites of a; it counts only where
  // it is cheaper.
  //
  // Costs are rounded to multiples of 2^-46 of a power of two that is at least the largest, and then added
  // exactly: so the result depends on no order of additions and is the same on every processor. (The Python
  // wrapper of gco cuts them to five, three and two decimals, which changes results; that is not imitated.)
  //
  // ModelError: a cost that is not finite. std::logic_error: spans that do not fit, negative weights, label
  // costs as they may not be, more than most_swap_sites sites.
  std::span<const std::int32_t> minimise(const GridEnergy& energy);

 private:
  class Solver;
  std::unique_ptr<Solver> solver_;
};

}  // namespace deda::mixing
