// The operations of RandAugment, TrivialAugmentWide and ColorJitter on finished 8-bit samples, as torchvision
// applies them to PIL pictures (transforms/autoaugment.py, `_apply_op`, and Pillow's ImageOps, ImageEnhance,
// ImageChops and AFFINE transform), byte for byte: nearest neighbour, black where nothing is. PIL pictures
// are the reference and not torchvision's uint8 tensors, whose operations round differently, because recipes
// of the originals hand PIL pictures to their transforms.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace deda::augment {

// In the order of torchvision's tables, which is what traces count by; hue is ColorJitter's alone. Part of
// results: append only.
enum class Operation : std::uint8_t {
  identity,
  shear_x,
  shear_y,
  translate_x,
  translate_y,
  rotate,
  brightness,
  color,
  contrast,
  sharpness,
  posterize,
  solarize,
  auto_contrast,
  equalize,
  hue,
};
inline constexpr int operations_to_draw = 14;  // of RandAugment and TrivialAugmentWide: all but hue

// torchvision's name of it, as in its tables.
std::string_view name_of(Operation operation);

// torchvision divides the range of a magnitude into as many steps.
inline constexpr int magnitude_bins = 31;
enum class MagnitudeRange : std::uint8_t { randaugment, trivialaugment };
// The magnitude of bin 0..30 before its sign, in float32 as torchvision's linspace: shears as slopes,
// translations in pixels (RandAugment: shares of the side, not whole numbers; they are truncated when
// applied), degrees, factors less one, bits of posterize, the threshold of solarize; 0 for operations that
// have none.
float magnitude_of(Operation operation, MagnitudeRange range, int bin, int height, int width);
// Whether the sign of its magnitude is drawn.
bool has_sign(Operation operation);

// Working memory of one thread.
struct OperationScratch {
  std::vector<std::uint8_t> picture, row;
};

// Applies an operation in place to RGB `pixels` [height, width, 3]. `magnitude`, signed: the value that
// torchvision hands to the operation; of hue the shift in [-0.5, 0.5]; brightness, color, contrast and
// sharpness blend with the factor 1 + magnitude, which must not be negative.
void apply(Operation operation, float magnitude, int height, int width, std::uint8_t* pixels,
           OperationScratch& scratch);

}  // namespace deda::augment
