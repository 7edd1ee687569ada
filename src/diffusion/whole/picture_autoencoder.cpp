#include "diffusion/whole/picture_autoencoder.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "core/error.h"
#include "device/upload.h"

namespace deda::diffusion {
namespace {

constexpr std::int64_t rgb = 3;

at::Tensor feed_of(const std::vector<io::Image>& pictures) {
  if (pictures.empty()) throw ModelError("no picture to encode");
  const std::int64_t count = static_cast<std::int64_t>(pictures.size()), height = pictures.front().height,
                     width = pictures.front().width;
  auto bytes = at::empty({count, height, width, rgb}, at::kByte);
  std::uint8_t* to = bytes.data_ptr<std::uint8_t>();
  for (const auto& picture : pictures) {
    if (picture.height != height || picture.width != width || picture.channels != rgb || picture.empty())
      throw ModelError("pictures of one batch must be RGB of one size");
    to = std::copy(picture.pixels.begin(), picture.pixels.end(), to);
  }
  // In this order of operations the numbers are the original's, bit for bit.
  return (2.0 * (bytes.to(at::kFloat) / 255.0) - 1.0).permute({0, 3, 1, 2}).contiguous();
}

at::Tensor together(const std::vector<at::Tensor>& parts) {
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

}  // namespace

EncodedPictures encode_pictures(const DiffusionModel& model, const std::vector<io::Image>& pictures,
                                std::int64_t at_once) {
  const at::NoGradGuard no_gradients;
  EncodedPictures out;
  out.feed = feed_of(pictures);
  std::vector<at::Tensor> means, deviations;
  for (const auto& part : out.feed.split(at_once)) {
    const auto posterior =
        model.autoencoder->encode(device::upload(part.contiguous(), model.device).to(model.vae_dtype));
    means.push_back(posterior.mean.to(at::kFloat));
    deviations.push_back(posterior.deviation().to(at::kFloat));
  }
  out.mean = together(means);
  out.deviation = together(deviations);
  return out;
}

at::Tensor sampled_latents(const DiffusionModel& model, const EncodedPictures& encoded,
                           const std::vector<std::int64_t>& pictures, const at::Tensor& noise) {
  const at::NoGradGuard no_gradients;
  const auto index = device::upload(at::tensor(pictures), model.device);
  return (encoded.mean.index_select(0, index) +
          encoded.deviation.index_select(0, index) * device::upload(noise, model.device)) *
         model.autoencoder->config().scaling_factor;
}

at::Tensor decode_pictures(const DiffusionModel& model, const at::Tensor& latents, std::int64_t at_once) {
  const at::NoGradGuard no_gradients;
  const auto unscaled =
      device::upload(latents.to(at::kFloat), model.device) / model.autoencoder->config().scaling_factor;
  std::vector<at::Tensor> parts;
  for (const auto& part : unscaled.to(model.vae_dtype).split(at_once))
    parts.push_back(model.autoencoder->decode(part).to(at::kFloat));
  return together(parts);
}

std::vector<io::Image> rgb_pictures(const at::Tensor& decoded) {
  const auto bytes = ((decoded.to(at::kCPU, at::kFloat) * 0.5 + 0.5).clamp(0, 1) * 255)
                         .round()
                         .to(at::kByte)
                         .permute({0, 2, 3, 1})
                         .contiguous();
  std::vector<io::Image> pictures;
  const std::uint8_t* from = bytes.data_ptr<std::uint8_t>();
  for (std::int64_t b = 0; b < bytes.size(0); ++b) {
    auto& picture =
        pictures.emplace_back(static_cast<int>(bytes.size(1)), static_cast<int>(bytes.size(2)), int{rgb});
    std::copy_n(from, picture.pixels.size(), picture.pixels.begin());
    from += picture.pixels.size();
  }
  return pictures;
}

}  // namespace deda::diffusion
