// PuzzleMix (Kim, Choo, Song 2020, "Puzzle Mix: Exploiting saliency and local statistics for optimal mixup"):
// two pictures share a square block by block, so that what is salient in either shows, and each moves its
// salient blocks to where it shows. Numbers and steps are those of snu-mllab/PuzzleMix, mixup.py
// (mixup_graph, graphcut_multi, mask_transport, transport_image), as 3neutronstar/GuidedMixup's FGVC runs it.
//
// On purpose different: costs are not cut to whole numbers (there: times 1000 blocks^2, then int32), a weight
// between blocks below 0 counts as 0, of equals the first one is taken.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mixing/label_swap.h"

namespace deda::mixing {

struct PuzzleMixParameters {
  int labels = 3;         // a block's share of the first picture is one of `labels` from 0 to 1; at least 2
  double beta = 1.2;      // how much neighbouring blocks agree
  double gamma = 0.5;     // how much pictures continue over the edges of blocks, in units of beta
  double eta = 0.2;       // how much the shares follow lambda
  bool transport = true;  // blocks move to where they show
  double transport_cost = 0.8;  // of the square's side, squared; moving pays where a block's saliency is more
};

constexpr int most_puzzle_blocks = 64;

// How a square is cut.
struct PuzzleGrid {
  int blocks;  // along each side
  int cell;    // pixels along the side of a cell: neighbouring blocks are compared by averages over those
  int cells_per_block;  // along each side
};

// The largest of `asked`, asked / 2, ... whose blocks have whole pixels and whole cells at this `side`
// (pixels); 1 where nothing divides. (The original fails at 96 pixels with 16 blocks; whoever asked is to be
// told.) A cell has `neighbourhood` pixels along its side, but no more than a block, and no more than 2 at
// 224 pixels, as there. std::logic_error: a number below 1, more than most_puzzle_blocks.
PuzzleGrid puzzle_grid(int side, int asked, int neighbourhood = 4);

// Averages of `picture` [3, side, side] over squares of `cell` pixels: [3, side / cell, side / cell]. `cell`
// divides `side`.
std::vector<float> average_cells(std::span<const float> picture, int side, int cell);

// One of the two pictures, normalised as the network gets it.
struct PuzzlePicture {
  // [blocks, blocks], averages over blocks, divided by their sum; where that is 0 the caller gives 1 /
  // blocks^2 (all zeros work too and mean the same: every block is worth as much).
  std::span<const float> saliency;
  std::span<const float> cells;  // [3, blocks * cells_per_block, the same]: average_cells
};

struct PuzzleMixture {
  int blocks = 0;
  std::vector<float> share;  // [blocks, blocks] of the first picture
  double label_share = 0;    // their mean: the weight of the first picture's label
  // [blocks, blocks]: which block of the picture comes there, counted row by row; -1: none does, and it is 0
  // (the mean colour).
  std::vector<std::int32_t> first_source, second_source;
  double energy = 0;  // of the shares
};

// Keeps its buffers from call to call. One per thread.
class PuzzleMixSolver {
 public:
  // Valid until the next call. `lambda` in [0, 1] is the share of the first picture that is hoped for.
  // ModelError: numbers that are not finite. std::logic_error: spans that do not fit the grid.
  const PuzzleMixture& solve(const PuzzleGrid& grid, const PuzzlePicture& first, const PuzzlePicture& second,
                             double lambda, const PuzzleMixParameters& parameters);

 private:
  void add_local_differences(const PuzzleGrid& grid, const PuzzlePicture& first, const PuzzlePicture& second,
                             double smoothness, double weight);
  void transport(std::span<const float> saliency, bool of_first, double cost,
                 std::vector<std::int32_t>& source);

  LabelSwap swap_;
  PuzzleMixture mixture_;
  std::vector<double> first_shows_, second_shows_, unary_, down_, right_, label_costs_, prior_;
  std::vector<double> costs_, by_offset_, shown_;
  std::vector<std::int32_t> target_;
};

// The mixed picture [3, side, side]: blocks moved, then share * first + (1 - share) * second, in float as
// torch computes it. `mixture.blocks` divides `side`. (On the host, for tests; training gathers on its
// device.)
void mix_pictures(const PuzzleMixture& mixture, std::span<const float> first, std::span<const float> second,
                  int side, std::span<float> mixed);

}  // namespace deda::mixing
