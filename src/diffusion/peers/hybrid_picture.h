// What DiffuseMix (Islam et al., CVPR 2024) makes of a picture and its edit: half of each side by side, and a
// fractal over both. The same bytes as augment/utils.py of github.com/khawar-islam/diffuseMix, which computes
// in floats and cuts to 8 bits after either step: for all values of two pixels both give what the integers
// here give. No Torch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/pictures/image.h"

namespace deda::diffusion {

// How two pictures share one: the original has the left half, or the upper one, the edit the other.
enum class Concatenation : std::uint8_t { horizontal, vertical };

// Pixels in the middle over which the original fades into the edit; no side across them may be shorter.
inline constexpr int ramp_pixels = 20;

// floor(((19 - k) original + k edited) / 19) at place k = 0..19 of the ramp. The ramp begins 10 pixels before
// the middle, which is rounded down: of an odd side the edit has the pixel more (the original's masks fit
// even sides alone). Both [H, W, 3] and of one size, DataError otherwise.
io::Image hybrid_picture(const io::Image& original, const io::Image& edited, Concatenation concatenation);

// The share that a fractal has in the original.
inline constexpr double usual_fractal_share = 0.2;

// floor((1 - share) hybrid + share fractal), exact for shares of up to six decimals: at 0.2
// floor((4 hybrid + fractal) / 5). `share` is in 0..1, ConfigError otherwise; both pictures are [H, W, 3] and
// of one size, DataError otherwise.
io::Image blend_fractal(const io::Image& hybrid, const io::Image& fractal,
                        double share = usual_fractal_share);

// Which edits are of no use. A safety checker and numbers that are not finite leave black pictures, which the
// original lets pass: its test, named after black, finds white ones.
enum class RejectedEnds : std::uint8_t { white_and_black, white };

// Why an edit [H, W, 3] is not to be used: more than 90 % of its pixels are as white (grey value 255) or as
// black (0) as can be, in Pillow's grey. Nothing where it is usable. An empty picture is not.
std::optional<std::string> unusable_picture(const io::Image& picture,
                                            RejectedEnds ends = RejectedEnds::white_and_black);

}  // namespace deda::diffusion
