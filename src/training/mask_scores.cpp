#include "training/mask_scores.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <span>

#include "training/cdp_evaluation.h"
#include "training/device.h"
#include "training/normalise.h"
#include "training/objective.h"

namespace deda::training {
namespace {

// The records of one item that are looked at.
struct Parts {
  std::int64_t item = 0;
  std::optional<io::RecordView> cdp, cip;
};

std::vector<Parts> parts_of(const io::StoreReader& store) {
  std::map<std::int64_t, Parts> by_item;
  for (std::size_t i = 0; i < store.size(); ++i) {
    const auto record = store.at(i);
    auto& parts = by_item[record.info.source_index];
    parts.item = record.info.source_index;
    if (record.info.kind == io::RecordKind::cip)
      parts.cip = record;
    else if (record.info.version == 0 && !parts.cdp)
      parts.cdp = record;
  }
  std::vector<Parts> whole;
  for (auto& [item, parts] : by_item) {
    if (parts.cdp && parts.cip) whole.push_back(std::move(parts));
  }
  return whole;
}

io::Image middle_of_cip(const io::RecordView& record, const augment::Geometry& geometry) {
  io::Image picture(record.info.height, record.info.width, 3);
  std::copy(record.pixels.begin(), record.pixels.end(), picture.pixels.begin());
  return augment::centre_square(geometry, picture);
}

void add(std::vector<std::uint8_t>& pixels, const io::Image& picture) {
  pixels.insert(pixels.end(), picture.pixels.begin(), picture.pixels.end());
}

}  // namespace

std::vector<MaskScore> score_masks(models::Classifier& network, const io::StoreReader& store,
                                   const augment::Geometry& geometry, const comm::Communicator& ranks,
                                   at::Device device, const TrainConfig& config) {
  const int side = geometry.crop;
  const auto all = parts_of(store);
  const auto objective = make_objective(config);
  const bool was_training = network.is_training();
  network.eval();
  std::vector<MaskScore> mine;
  ranks.agree("scoring masks", [&] {
    const c10::InferenceMode no_gradients;
    const AutocastScope autocast(config.precision, device.type());
    const Normaliser normalise(device, use_channels_last(config, device));
    for (auto i = static_cast<std::size_t>(ranks.rank()); i < all.size();
         i += static_cast<std::size_t>(ranks.size())) {
      std::vector<std::uint8_t> pixels;
      add(pixels, cdp_on_grey(*all[i].cdp, side));
      add(pixels, middle_of_cip(*all[i].cip, geometry));
      const auto pictures = normalise(at::from_blob(pixels.data(), {2, side, side, 3}, at::kByte).to(device));
      const auto probabilities = objective->probabilities(network.forward(pictures)).to(at::kCPU);
      const auto id = all[i].cdp->info.class_id;
      mine.push_back({all[i].item, probabilities[0][id].item<double>(), probabilities[1][id].item<double>()});
    }
  });
  network.train(was_training);
  std::vector<MaskScore> scores;
  for (const auto& bytes : ranks.all_gather(
           std::span(reinterpret_cast<const std::uint8_t*>(mine.data()), mine.size() * sizeof(MaskScore)))) {
    std::vector<MaskScore> part(bytes.size() / sizeof(MaskScore));
    if (!part.empty()) std::memcpy(part.data(), bytes.data(), bytes.size());
    scores.insert(scores.end(), part.begin(), part.end());
  }
  std::sort(scores.begin(), scores.end(),
            [](const MaskScore& a, const MaskScore& b) { return a.item < b.item; });
  return scores;
}

std::string to_csv(const std::vector<MaskScore>& scores, const std::vector<std::string>& sources) {
  std::string text = "item,source,cdp_keeps,cip_keeps\n";
  for (const auto& score : scores) {
    std::string quoted = "\"";
    for (const char c : sources.at(static_cast<std::size_t>(score.item)))
      quoted += c == '"' ? "\"\"" : std::string(1, c);
    text += fmt::format("{},{}\",{:.6f},{:.6f}\n", score.item, quoted, score.cdp_keeps, score.cip_keeps);
  }
  return text;
}

}  // namespace deda::training
