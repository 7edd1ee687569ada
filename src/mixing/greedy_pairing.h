// Which picture of a batch is mixed with which: Guided Mixup's greedy one-cycle cover (Kang and Kim 2023,
// "GuidedMixup: An Efficient Mixup Strategy Guided by Saliency Maps"): the batch becomes one closed cycle,
// from each picture to the farthest by saliency that has not been left yet. Original:
// 3neutronstar/GuidedMixup, FGVC/Implementor/pairing.pyx: onecycle_cover (the variant that masks with minus
// infinity; the one that masks with 0 leaves places unpaired where maps coincide).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace deda::mixing {

// `distances` [n, n], row by row; the diagonal is not read. Entry i of the result is the partner of picture
// i: a permutation that is one cycle of length n, 0 alone with itself. The cycle begins with the largest
// distance; of equal ones the first in raster order wins. NaN counts as less than anything. DataError where
// `distances` has not n * n entries.
std::vector<std::uint32_t> greedy_pairing(std::span<const double> distances, std::size_t n);

// Squared L2 distances [n, n] between `maps` [n, pixels], in double; symmetric, 0 on the diagonal, the same
// bits on every machine. As a pairing asks for nothing but their order, it is that of the original's L2
// distances. Memory: n * n numbers. 16 maps of 448 x 448: about 7 ms on one core. DataError where `maps` has
// not n * pixels entries.
std::vector<double> squared_distances(std::span<const float> maps, std::size_t n, std::size_t pixels);

}  // namespace deda::mixing
