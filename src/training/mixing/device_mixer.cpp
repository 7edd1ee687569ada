#include "training/mixing/device_mixer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <stdexcept>
#include <string_view>

namespace deda::training {

// One line per method that mixes on the device: the name of its section and its maker, which stands in the
// method's own file.
#define DEDA_DEVICE_MIXERS(mixer)                                                                      \
  mixer("guided-sr", make_guided_sr) mixer("guided-ap", make_guided_ap) mixer("snapmix", make_snapmix) \
      mixer("puzzlemix", make_puzzlemix) mixer("comixup", make_comixup)

#define DEDA_DECLARE(method_name, maker) std::unique_ptr<DeviceMixer> maker();
DEDA_DEVICE_MIXERS(DEDA_DECLARE)
#undef DEDA_DECLARE

std::unique_ptr<DeviceMixer> make_device_mixer(const mixing::Settings& settings) {
  const auto& method = settings.method();
  if (method.mixes_pixels()) return nullptr;
#define DEDA_MAKE(method_name, maker) \
  if (method.facts().name == std::string_view{method_name}) return maker();
  DEDA_DEVICE_MIXERS(DEDA_MAKE)
#undef DEDA_MAKE
  throw std::logic_error(std::string{method.facts().name} + " has no line in device_mixer.cpp");
}

at::Tensor rows_at(const MixInput& input, const std::vector<std::uint32_t>& places) {
  auto rows = at::empty({static_cast<std::int64_t>(places.size())}, at::kLong);
  auto* row = rows.mutable_data_ptr<std::int64_t>();
  for (const auto place : places) {
    const auto found = std::find(input.places.begin(), input.places.end(), place);
    if (found == input.places.end()) throw std::logic_error("a picture that is mixed was not composed");
    *row++ = found - input.places.begin();
  }
  return rows.to(input.pictures.device());
}

std::vector<std::uint32_t> own_places(const MixInput& input) {
  return {input.places.begin(), input.places.begin() + input.size};
}

at::Tensor place_numbers(const std::vector<std::uint32_t>& places) {
  auto numbers = at::empty({static_cast<std::int64_t>(places.size())}, at::kLong);
  std::copy(places.begin(), places.end(), numbers.mutable_data_ptr<std::int64_t>());
  return numbers;
}

at::Tensor mixed_labels(const at::Tensor& own, const at::Tensor& partner, const at::Tensor& own_weights,
                        const at::Tensor& partner_weights) {
  const auto a = own_weights.to(own.scalar_type()).unsqueeze(1),
             b = partner_weights.to(own.scalar_type()).unsqueeze(1);
  const auto mixed = a * own.clamp_min(0) + b * partner.clamp_min(0);
  const auto left_out = ((own < 0) & (a > 0)) | ((partner < 0) & (b > 0));
  return mixed.masked_fill(left_out, -1.0);
}

}  // namespace deda::training
