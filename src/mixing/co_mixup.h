// Co-Mixup (Kim, Choo, Jeong, Song 2021, "Co-Mixup: Saliency guided joint mixup with supermodular
// diversity"): as many mixed pictures as there are pictures, each made of what is salient in some of them,
// and unlike each other. Numbers and steps are those of snu-mllab/Co-Mixup, match.py (get_onehot_matrix,
// graphcut_wrapper, resolve_label, obj_fn), as 3neutronstar/GuidedMixup's FGVC runs it.
//
// On purpose different: everything is computed in double, costs are not cut to a few decimals, of equal
// counts the lower picture is taken, and distances that are all 0 count as 0 (there: NaN).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mixing/label_swap.h"

namespace deda::mixing {

struct CoMixupParameters {
  double beta = 0.32;       // how much neighbouring cells agree; this and the next two are for the whole grid
  double gamma = 1;         // how much outputs avoid what others show already
  double eta = 0.05;        // how much outputs follow the weights that were drawn for pictures
  double threshold = 0.83;  // tau: share of an output from which on a picture's use by others counts
  double omega = 0.001;     // how much pictures with distant peaks avoid each other
  int iterations = 4;       // over all outputs
};

// Where a saliency map is highest on average over 8 x 8 pixels (the whole map where it is smaller); the first
// row by row of equal ones.
struct PeakWindow {
  int row = 0, column = 0;  // of the 8 x 8 pixels' first one
};
PeakWindow find_peak_window(std::span<const float> map, int side);  // [side, side]

// Distances between peaks along rows plus along columns, in pixels: [n, n].
std::vector<double> peak_distances(std::span<const PeakWindow> peaks);

struct CoMixture {
  int pictures = 0, grid = 0;
  // [pictures, grid, grid]: each cell of each output shows the mean of two pictures; where they are equal,
  // that picture.
  std::vector<std::int32_t> first, second;
  // [pictures, pictures]: share of an output's cells that show a picture, halves counted as halves. Rows sum
  // to 1.
  std::vector<float> label_weights;
  double objective = 0;  // without threshold and distances, as the original judges its progress
  int iterations = 0;    // it took; it leaves where the objective changes by less than 1e-6 of itself
};

// Keeps its buffers from call to call. One per thread. Outputs are solved one after the other, each knowing
// the newest others: so it is by definition, and there is nothing for several threads to share.
class CoMixupSolver {
 public:
  // Valid until the next call. For n pictures:
  // - `saliency` [n, grid, grid]: averages over cells, divided by their sum; where that is 0 the caller gives
  //   1 / grid^2. (All zeros work too: such a picture shows where nobody loses by it, so rarely.)
  // - `distances` [n, n]: peak_distances.
  // - `weights` [n]: a draw of a Dirichlet law, at least 0.
  // - `start` [n, grid, grid]: the pictures that outputs begin with, drawn uniformly from 0 to n - 1.
  // ModelError: numbers that are not finite. std::logic_error: spans that do not fit, weights below 0, a
  // picture in `start` that is none.
  const CoMixture& solve(int pictures, int grid, std::span<const float> saliency,
                         std::span<const double> distances, std::span<const double> weights,
                         std::span<const std::int32_t> start, const CoMixupParameters& parameters);

 private:
  void solve_output(int output, bool with_blends, const CoMixupParameters& parameters);
  void push_equal_outputs_apart();
  double objective(double beta, double gamma) const;
  void count(int output);
  std::int32_t& halves(int output, int picture);
  std::int32_t halves(int output, int picture) const;

  LabelSwap swap_;
  CoMixture mixture_;
  std::vector<double> cost_;      // [grid^2, pictures]
  std::vector<double> affinity_;  // [pictures, pictures]
  std::vector<std::int32_t> halves_,
      all_halves_;                    // [outputs, pictures], [pictures]: half cells that show a picture
  std::vector<std::uint8_t> pushed_;  // [outputs, pictures]
  std::vector<double> penalty_, others_, counted_, unary_, down_, right_, label_costs_;
  std::vector<int> used_;
};

}  // namespace deda::mixing
