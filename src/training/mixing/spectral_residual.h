// Saliency without a network for Guided Mixup (Kang and Kim 2023, "GuidedMixup: An Efficient Mixup Strategy
// Guided by Saliency Maps"; its variant Guided-SR): the spectral residual (Hou and Zhang 2007, "Saliency
// detection: a spectral residual approach"), which is what a picture's log-amplitude spectrum has beyond its
// own local mean. And the blur that both Guided variants end with. Originals: 3neutronstar/GuidedMixup,
// FGVC/Utils/spectral_residual.py; torchvision's GaussianBlur and Resize. Not OpenCV's
// StaticSaliencySpectralResidual, which works at 64 x 64 and squares. On any device; nothing in here waits
// for it or copies to it. No gradients. Float32 throughout, whatever autocast says.
#pragma once

#include <ATen/core/Tensor.h>

namespace deda::training {

// Pictures higher than this are made so high and so wide before the transform, and the map as large as they
// were after it. The width is not asked.
inline constexpr std::int64_t spectral_side = 128;

// torchvision's GaussianBlur of kernel size 7: `maps` [B, H, W] float32 -> [B, H, W]; borders are reflected,
// the kernel is sampled at -3 .. 3 and sums to 1. `sigma` in pixels, above 0; it is a number of the host, so
// a recorded step repeats that of its recording. ModelError for other shapes or types, sides below 4, or
// sigma.
at::Tensor gaussian_blur_7x7(const at::Tensor& maps, double sigma);

// Saliency maps [B, H, W] float32, not negative, neither shifted nor scaled (a later division by the sum is
// the caller's), of normalised pictures [B, 3, H, W] float32, RGB. ModelError for other shapes or types and
// sides below 4. The spectrum is flattened: of a picture with nothing at some frequency, as one of a single
// colour, the rounding noise of that frequency comes out as large as another's content; always finite.
at::Tensor spectral_residual(const at::Tensor& pictures);

}  // namespace deda::training
