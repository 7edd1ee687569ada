// SnapMix (Huang et al., arXiv 2012.04846; Shaoli-Huang/SnapMix, utils/mixmethod.py): a box of the partner,
// resized, fills a box of another size in the own picture; labels are weighted by how much of each picture's
// class activation lies in its box, and need not sum to one.
#include <ATen/ATen.h>

#include <limits>

#include "training/mixing/device_mixer.h"

namespace deda::training {
namespace {

using mixing::Box;

constexpr double least_sum = 1e-8;  // upstream's

at::Tensor cut(const at::Tensor& pictures, const Box& box) {  // [..., H, W]
  return pictures.narrow(-2, box.y1, box.y2 - box.y1).narrow(-1, box.x1, box.x2 - box.x1);
}

// Class activations [n, h, w] as a share of the picture: resized to its side, from 0, summing to 1. Of a flat
// map NaN: resizing leaves rounding in it, which is no share (upstream takes it for one).
at::Tensor shares_of(const at::Tensor& activations, std::int64_t side) {
  const auto large =
      at::upsample_bilinear2d(activations.unsqueeze(1), {side, side}, /*align_corners=*/false).squeeze(1);
  const auto from_zero = large - large.amin({1, 2}, true);
  const auto flat = activations.amax({1, 2}, true) == activations.amin({1, 2}, true);
  return (from_zero / from_zero.sum({1, 2}, true)).masked_fill(flat, std::numeric_limits<float>::quiet_NaN());
}

at::Tensor share_in(const at::Tensor& shares, const Box& box) {
  return cut(shares, box).sum({1, 2}) / (shares.sum({1, 2}) + least_sum);
}

class SnapMix final : public DeviceMixer {
 public:
  MixOutput mix(const MixInput& input, const NetworkView& network) override {
    const auto own_pictures = input.pictures.narrow(0, 0, input.size);
    const auto own_labels = input.labels.narrow(0, 0, input.size);
    const auto activations = network.of_all_places(network.class_activations(own_pictures, own_labels));
    MixOutput output;
    output.usable = at::isfinite(activations).all().item<bool>();
    if (!output.usable || input.size == 0) return output;

    const auto side = input.pictures.size(-1);
    const auto own = own_places(input);
    std::vector<std::uint32_t> partners;
    for (const auto place : own) partners.push_back(input.plan.partner[place]);
    const auto rows = rows_at(input, partners);
    const Box target = *input.plan.box, source = *input.plan.partner_box;
    output.pictures = own_pictures.clone();
    if (target.area() == 0 || source.area() == 0) {
      output.labels = own_labels.clone();
      return output;
    }
    const auto patch =
        at::upsample_bilinear2d(cut(input.pictures.index_select(0, rows), source),
                                {target.y2 - target.y1, target.x2 - target.x1}, /*align_corners=*/true);
    cut(output.pictures, target).copy_(patch);

    const auto indices = [&](const std::vector<std::uint32_t>& places) {
      return place_numbers(places).to(activations.device());
    };
    const auto own_shares = shares_of(activations.index_select(0, indices(own)), side);
    const auto partner_labels = input.labels.index_select(0, rows);
    auto a = 1.0 - share_in(own_shares, target);
    auto b = share_in(shares_of(activations.index_select(0, indices(partners)), side), source);
    // Of one and the same class both weights count in full, twice.
    const auto same = own_labels.argmax(1) == partner_labels.argmax(1);
    const auto both = a + b;
    a = at::where(same, both, a);
    b = at::where(same, both, b);
    // A flat activation map has no shares: areas then, one weight at a time.
    const double area = static_cast<double>(target.area()) / static_cast<double>(side * side);
    a = at::where(at::isnan(a), at::full_like(a, 1.0 - area), a);
    b = at::where(at::isnan(b), at::full_like(b, area), b);
    output.labels = mixed_labels(own_labels, partner_labels, a, b);
    if (input.traced) {
      output.trace["mix.saliency"] = own_shares;
      output.trace["mix.weight"] = at::stack({a, b}, 1);
    }
    return output;
  }
};

}  // namespace

std::unique_ptr<DeviceMixer> make_snapmix();
std::unique_ptr<DeviceMixer> make_snapmix() {
  return std::make_unique<SnapMix>();
}

}  // namespace deda::training
