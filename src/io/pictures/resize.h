// Resize equal to PIL's Image.resize (Pillow's ImagingResample), bit for bit on 8-bit images: two passes
// (horizontal, then vertical), support scaled when shrinking, coefficients rounded to 22-bit fixed point,
// 8-bit intermediate. Why: cv::resize differs when shrinking; published accuracies depend on it
// (pytorch/vision issue 2950). The order of the passes is that of every Pillow up to 12; Pillow 13 takes the
// vertical pass first for some shapes, which moves a few pixels by one step of rounding. The recipes' numbers
// were made with the older order.
#pragma once

#include "io/pictures/image.h"

namespace deda::io {

enum class Filter { bilinear, bicubic, lanczos, box };

Image resize(const Image& image, int height, int width, Filter filter = Filter::bilinear);
// torchvision's Resize(int): the shorter side becomes `size`, the longer int(size * long / short)
// (truncated).
void shorter_side_size(int height, int width, int size, int& new_height, int& new_width);
Image resize_shorter_side(const Image& image, int size, Filter filter = Filter::bilinear);

}  // namespace deda::io
