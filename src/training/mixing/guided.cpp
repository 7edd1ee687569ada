// Guided Mixup (Kang and Kim 2023, "GuidedMixup: An Efficient Mixup Strategy Guided by Saliency Maps";
// 3neutronstar/GuidedMixup, FGVC/Implementor): every picture is mixed with the farthest by saliency, pixel by
// pixel in proportion to both saliencies. Guided-SR takes the spectral residual of the picture, Guided-AP the
// gradient of the loss by its pixels.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "mixing/greedy_pairing.h"
#include "training/mixing/device_mixer.h"
#include "training/mixing/picture_saliency.h"
#include "training/mixing/spectral_residual.h"

namespace deda::training {
namespace {

// Where both saliencies are 0 upstream divides 0 by 0.
constexpr double least_saliency = 1e-12;

// Squared distances between maps [n, H, W], on the host. Computed in double on either side, so that the order
// of near ones is that of the maps.
std::vector<double> distances_between(const at::Tensor& maps) {
  const auto n = maps.size(0);
  const auto flat = maps.reshape({n, -1});
  if (flat.is_cpu()) {
    const auto values = flat.contiguous();
    return mixing::squared_distances(
        {values.const_data_ptr<float>(), static_cast<std::size_t>(values.numel())},
        static_cast<std::size_t>(n), static_cast<std::size_t>(values.size(1)));
  }
  const auto wide = flat.to(at::kDouble);
  const auto norms = wide.square().sum(1);
  const auto squares =
      (norms.unsqueeze(0) + norms.unsqueeze(1) - 2.0 * wide.mm(wide.t())).to(at::kCPU).contiguous();
  const auto* first = squares.const_data_ptr<double>();
  return {first, first + n * n};
}

class Guided : public DeviceMixer {
 public:
  MixOutput mix(const MixInput& input, const NetworkView& network) override {
    // All pictures of the global batch are here (Partners::found), in the order of places in what follows.
    auto maps = gaussian_blur_7x7(saliency(input, network), input.plan.sigma);
    maps = maps / maps.sum({1, 2}, true);
    const auto distances = distances_between(maps);
    MixOutput output;
    // A map that is not finite, or nothing at all, is at no distance that is a number.
    for (const double distance : distances) output.usable = output.usable && std::isfinite(distance);
    if (!output.usable) return output;
    const auto partner = mixing::greedy_pairing(distances, static_cast<std::size_t>(input.global_size));
    if (input.size == 0) return output;

    const auto own = own_places(input);
    std::vector<std::uint32_t> partners;
    for (const auto place : own) partners.push_back(partner[place]);
    const auto own_maps = at_places(maps, own), partner_maps = at_places(maps, partners);
    const auto share = own_maps / (own_maps + partner_maps + least_saliency);  // [n, H, W]
    const auto own_pictures = input.pictures.narrow(0, 0, input.size);
    const auto rows = rows_at(input, partners);
    const auto partner_pictures = input.pictures.index_select(0, rows);
    output.pictures = partner_pictures + share.unsqueeze(1) * (own_pictures - partner_pictures);
    const auto weights = share.mean({1, 2});
    output.labels = mixed_labels(input.labels.narrow(0, 0, input.size), input.labels.index_select(0, rows),
                                 weights, 1.0 - weights);
    if (input.traced) {
      output.trace["mix.partner"] = place_numbers(partners);
      output.trace["mix.saliency"] = own_maps;
      output.trace["mix.mask"] = share;
    }
    return output;
  }

 protected:
  // [global size, H, W] by place, not negative, before the last blur.
  virtual at::Tensor saliency(const MixInput& input, const NetworkView& network) const = 0;

 private:
  static at::Tensor at_places(const at::Tensor& by_place, const std::vector<std::uint32_t>& places) {
    return by_place.index_select(0, place_numbers(places).to(by_place.device()));
  }
};

class GuidedSr final : public Guided {
  at::Tensor saliency(const MixInput& input, const NetworkView&) const override {
    // A rank whose pictures could not be read keeps in step without any.
    if (input.places.empty())
      return at::ones({input.global_size, input.pictures.size(-2), input.pictures.size(-1)},
                      input.pictures.options());
    std::vector<std::uint32_t> all(static_cast<std::size_t>(input.global_size));
    for (std::size_t place = 0; place < all.size(); ++place) all[place] = static_cast<std::uint32_t>(place);
    return spectral_residual(input.pictures).index_select(0, rows_at(input, all));
  }
};

class GuidedAp final : public Guided {
  at::Tensor saliency(const MixInput& input, const NetworkView& network) const override {
    const auto gradients =
        network.gradients_by_picture(input.pictures.narrow(0, 0, input.size),
                                     input.labels.narrow(0, 0, input.size), input.settings["clean_weight"]);
    return network.of_all_places(magnitudes(gradients));
  }
};

}  // namespace

std::unique_ptr<DeviceMixer> make_guided_sr();
std::unique_ptr<DeviceMixer> make_guided_sr() {
  return std::make_unique<GuidedSr>();
}
std::unique_ptr<DeviceMixer> make_guided_ap();
std::unique_ptr<DeviceMixer> make_guided_ap() {
  return std::make_unique<GuidedAp>();
}

}  // namespace deda::training
