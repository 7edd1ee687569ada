// How near two pictures are, pixel by pixel: PSNR and SSIM of 8-bit RGB, as scikit-image computes them.
#pragma once

#include <optional>

#include "io/pictures/image.h"

namespace deda::report {

// 10 log10(255^2 / mean squared difference) over all pixels and channels, in dB. Nothing where the pictures
// are equal. Both RGB and of one size, DataError otherwise.
std::optional<double> psnr_db(const io::Image& first, const io::Image& second);

// No side may be shorter: the window of SSIM.
inline constexpr int ssim_window = 11;

// Structural similarity (Wang et al. 2004), at most 1: a Gaussian window of 11 x 11 pixels with sigma 1.5,
// K1 = 0.01, K2 = 0.03, means over every place where the window fits and over the channels. As scikit-image's
// structural_similarity with gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255,
// channel_axis=-1. Both RGB, of one size and at least a window wide and high, DataError otherwise.
double structural_similarity(const io::Image& first, const io::Image& second);

}  // namespace deda::report
