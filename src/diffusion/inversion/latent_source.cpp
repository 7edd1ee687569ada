#include "diffusion/inversion/latent_source.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/error.h"
#include "diffusion/transparent/transparent_autoencoder.h"
#include "diffusion/whole/picture_autoencoder.h"
#include "io/pictures/resize.h"

namespace deda::diffusion {
namespace {

io::Image mirrored_picture(const io::Image& image) {
  io::Image out(image.height, image.width, image.channels);
  for (int y = 0; y < image.height; ++y) {
    const auto* from = image.row(y);
    auto* to = out.row(y);
    for (int x = 0; x < image.width; ++x)
      std::copy_n(from + static_cast<std::ptrdiff_t>(x) * image.channels, image.channels,
                  to + static_cast<std::ptrdiff_t>(image.width - 1 - x) * image.channels);
  }
  return out;
}

at::Tensor checked(const at::Tensor& latents, const std::string& source) {
  auto on_host = latents.to(at::kCPU, at::kFloat);
  if (!at::isfinite(on_host).all().item<bool>())
    throw DataError("the autoencoder's latents are not finite", source,
                    "Set models.vae_precision to \"bf16\" or \"fp32\".");
  return on_host;
}

}  // namespace

at::Tensor CdpLatents::encode(const DiffusionModel& model, std::size_t item, bool with_mirrored) const {
  std::vector<io::Image> pictures{cdps_.framed(item).rgba};
  if (with_mirrored) pictures.push_back(mirrored_picture(pictures.front()));
  return checked(encode_cdps(model, pictures, offset_gain_).latents, source(item));
}

PictureLatentSource::PictureLatentSource(const PictureSource& pictures, std::size_t classes,
                                         std::int64_t resolution)
    : pictures_{pictures}, resolution_{resolution}, by_class_(classes) {
  for (std::size_t item = 0; item < pictures.size(); ++item) {
    names_.push_back(pictures.name_of(item));
    by_class_.at(pictures.class_of(item)).push_back(item);
  }
}

at::Tensor PictureLatentSource::encode(const DiffusionModel& model, std::size_t item,
                                       bool with_mirrored) const {
  const auto side = static_cast<int>(resolution_);
  std::vector<io::Image> pictures{io::resize(pictures_.picture(item), side, side, io::Filter::bicubic)};
  if (with_mirrored) pictures.push_back(mirrored_picture(pictures.front()));
  const auto encoded = encode_pictures(model, pictures, static_cast<std::int64_t>(pictures.size()));
  return checked(at::cat({encoded.mean, encoded.deviation}, 1), source(item));
}

}  // namespace deda::diffusion
