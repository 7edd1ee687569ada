#include "decoupling/networks/semantic_masks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "decoupling/networks/arrays.h"
#include "decoupling/networks/clean_up.h"
#include "decoupling/networks/words.h"

namespace deda::decoupling {

SemanticMasks::SemanticMasks(const DecoupleConfig& config, const data::Dataset& dataset,
                             std::shared_ptr<NetworkPool> pool)
    : config_{config}, pool_{std::move(pool)} {
  network_ = pool_->get<models::DeepLab>(config_.deeplab, [&] {
    return std::make_shared<const models::DeepLab>(config_.deeplab, pool_->place.device, pool_->place.dtype);
  });
  classes_ = semantic_by_class(config_, dataset, network_->labels());
}

Masks SemanticMasks::find(const data::Dataset& dataset, const MaskRequest& request) const {
  return std::move(find_all(dataset, {request}).front());
}

std::vector<Masks> SemanticMasks::find_all(const data::Dataset&,
                                           const std::vector<MaskRequest>& requests) const {
  std::vector<const io::Image*> pictures;
  bool keep = false;
  for (const MaskRequest& request : requests) {
    pictures.push_back(request.picture);
    keep = keep || request.keep_tensors;
  }
  std::vector<models::SemanticMap> maps;
  {
    const NetworkSeats::Seat seat(pool_->seats);
    maps = network_->segment(pictures, keep);
  }
  std::vector<Masks> all(requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    Masks& found = all[i];
    found.route = name();
    const io::Image& labels = maps[i].labels;
    for (const std::int32_t class_id : requests[i].classes) {
      std::array<std::uint8_t, 256> value{};  // of the mask, by the network's class
      FoundObject object;
      for (const std::uint8_t index : classes_.at(static_cast<std::size_t>(class_id))) {
        value[index] = 255;
        object.phrase += (object.phrase.empty() ? "" : ", ") + network_->labels()[index];
      }
      io::Image mask(labels.height, labels.width, 1);
      std::transform(labels.pixels.begin(), labels.pixels.end(), mask.pixels.begin(),
                     [&](std::uint8_t label) { return value[label]; });
      mask = cleaned_up(std::move(mask), config_);
      const auto box = box_of(mask);
      if (box[2] == 0) {
        found.reason += (found.reason.empty() ? "" : "; ") + ("no pixel is " + object.phrase);
        continue;
      }
      object.box = {static_cast<double>(box[0]), static_cast<double>(box[1]), static_cast<double>(box[2]),
                    static_cast<double>(box[3])};
      object.class_id = class_id;
      add_object(found, std::move(object), mask, requests[i].keep_tensors);
    }
    if (!requests[i].keep_tensors) continue;
    found.tensors.push_back(array_of("deeplab.image_u8_nhwc", maps[i].input));
    found.tensors.push_back(array_of("deeplab.logits", maps[i].logits));
  }
  return all;
}

}  // namespace deda::decoupling
