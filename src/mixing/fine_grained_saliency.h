// Fine-grained saliency (Montabone and Soto 2010, "Human detection using a mobile platform and novel features
// derived from a visual saliency mechanism"): how much a pixel differs from the mean of what surrounds it,
// over six sizes of surroundings, brighter ("on") and darker ("off") apart. SaliencyMix (Uddin et al. 2021)
// centres the box that it cuts on the most salient pixel. Original: OpenCV contrib,
// modules/saliency/src/staticSaliencyFineGrained.cpp; equal to it bit for bit, with its truncations to 8 bits
// and its wrapping where "on" and "off" add up to more than 255. Here one pass per surroundings over rows of
// the integral image, about 20 times as fast.
#pragma once

#include <cstdint>
#include <vector>

namespace deda::mixing {

struct SaliencyPeak {
  int row = 0, column = 0;
  bool operator==(const SaliencyPeak&) const = default;
};

struct SaliencyMap {
  int height = 0, width = 0;
  // [height, width], 0..255: trunc(255 * M) of the float map M that OpenCV (3.4.3 and newer) returns.
  std::vector<std::uint8_t> values;
  // The largest value, the first in raster order; (0, 0) for a picture of one colour, whose map is all 0.
  SaliencyPeak peak;
};

// Working memory of one caller; it keeps its size, so that pictures of one size allocate only once.
struct SaliencyScratch {
  std::vector<std::uint8_t> gray, centres;
  std::vector<std::uint16_t> sums;  // along a row, of the 8-bit blur
  std::vector<float> float_gray, float_row;
  std::vector<float> integral, counts, centre_row;
  std::vector<std::int32_t> on_row, off_row;
  std::vector<std::uint16_t> on, off;
};

// `pixels` [height, width, 3] RGB, 8 bits. Gray is OpenCV's 8-bit rule, (9798 R + 19235 G + 3735 B + 2^14) >>
// 15. DataError for sides below 1 or above 32768. 448 x 448: under 3 ms on one core.
void fine_grained_saliency(const std::uint8_t* pixels, int height, int width, SaliencyScratch& scratch,
                           SaliencyMap& map);

// What published SaliencyMix baselines compute (GuidedMixup, FGVC/Mixup/utils.py: saliency_bbox): they hand
// the normalised picture over, and OpenCV, which expects 8 bits, reads the first quarter of every row of its
// float gray picture byte by byte. The peak is then close to a random place in the upper rows.
// `normalised` [height, width, 3], RGB, finite; as there the first channel is taken for blue. The low bytes
// of floats are read, so every rounding counts. These are the roundings of the x86 wheels of
// opencv-contrib-python 4 (Intel IPP, on processors with AVX2), bit for bit; the same on every machine here.
// Known to differ: OpenCV without IPP (its gray sum has another order), and in some pictures the wheels
// of 5.0 where the width modulo 8 is 4 or more (the gray of the last columns).
void fine_grained_saliency_of_upstream_float(const float* normalised, int height, int width,
                                             SaliencyScratch& scratch, SaliencyMap& map);

}  // namespace deda::mixing
