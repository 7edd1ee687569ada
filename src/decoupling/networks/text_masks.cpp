#include "decoupling/networks/text_masks.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "decoupling/networks/box_masks.h"
#include "decoupling/networks/words.h"

namespace deda::decoupling {

namespace {

double overlap(const PixelBox& a, const PixelBox& b) {
  const double width = std::min(a[2], b[2]) - std::max(a[0], b[0]),
               height = std::min(a[3], b[3]) - std::max(a[1], b[1]);
  return width > 0 && height > 0 ? width * height : 0.0;
}

double area(const PixelBox& box) {
  return std::max(0.0, box[2] - box[0]) * std::max(0.0, box[3] - box[1]);
}

// The options that the original does not have; all are off by default.
void filter(std::vector<FoundObject>& objects, const data::Item& item, const DecoupleConfig& config) {
  if (config.annotated_box_only && item.box) {
    for (FoundObject& object : objects) {
      if (overlap(object.box, *item.box) <= 0) object.rejected = "its box does not overlap the annotated one";
    }
  }
  std::vector<std::size_t> by_score(objects.size());
  std::iota(by_score.begin(), by_score.end(), std::size_t{0});
  std::stable_sort(by_score.begin(), by_score.end(),
                   [&](std::size_t a, std::size_t b) { return objects[a].score > objects[b].score; });
  std::vector<std::size_t> kept;
  for (const std::size_t i : by_score) {
    FoundObject& object = objects[i];
    if (!object.rejected.empty()) continue;
    if (config.best_box_only && !kept.empty()) {
      object.rejected = "another box has a better score";
      continue;
    }
    for (const std::size_t better : kept) {
      const double both = overlap(object.box, objects[better].box);
      const double either = area(object.box) + area(objects[better].box) - both;
      if (config.box_suppression < 1 && either > 0 && both / either > config.box_suppression)
        object.rejected = fmt::format("a better box overlaps it by {:.2f}", both / either);
    }
    if (object.rejected.empty()) kept.push_back(i);
  }
}

}  // namespace

TextMasks::TextMasks(const DecoupleConfig& config, const data::Dataset& dataset,
                     std::shared_ptr<const TextDetector> detector,
                     std::shared_ptr<const BoxSegmenter> segmenter, std::shared_ptr<NetworkPool> pool)
    : config_{config},
      detector_{std::move(detector)},
      segmenter_{std::move(segmenter)},
      pool_{std::move(pool)},
      prompts_{prompts_by_class(config, dataset)} {}

std::vector<FoundObject> TextMasks::detect(const MaskRequest& request, std::int32_t class_id,
                                           Masks& found) const {
  const std::string& prompt = prompts_.at(static_cast<std::size_t>(class_id));
  const NetworkSeats::Seat seat(pool_->seats);
  Detected detected = detector_->detect(*request.picture, prompt, config_.box_threshold,
                                        config_.text_threshold, request.keep_tensors);
  const bool again = detected.boxes.empty() && detected.rejected.empty() &&
                     config_.mode == Mode::recommended && config_.retry_box_threshold < config_.box_threshold;
  if (again) {
    detected = detector_->detect(*request.picture, prompt, config_.retry_box_threshold,
                                 std::min(config_.text_threshold, config_.retry_box_threshold),
                                 request.keep_tensors);
    if (!detected.boxes.empty())
      found.notes.push_back(fmt::format("box threshold {} gave nothing, {} did", config_.box_threshold,
                                        config_.retry_box_threshold));
  }
  found.prompt += (found.prompt.empty() ? "" : " | ") + prompt;
  if (!detected.rejected.empty()) {
    found.broken = true;
    found.reason = detected.rejected;
  }
  for (std::string& note : detected.notes) {
    if (std::find(found.notes.begin(), found.notes.end(), note) == found.notes.end())
      found.notes.push_back(std::move(note));
  }
  for (NamedArray& tensor : detected.tensors) {
    const bool known = std::any_of(found.tensors.begin(), found.tensors.end(),
                                   [&](const NamedArray& other) { return other.name == tensor.name; });
    if (!known) found.tensors.push_back(std::move(tensor));  // several prompts: the first one's
  }
  std::vector<FoundObject> objects;
  for (DetectedBox& box : detected.boxes) {
    FoundObject object;
    object.box = box.box;
    object.score = box.score;
    object.phrase = std::move(box.phrase);
    object.class_id = class_id;
    objects.push_back(std::move(object));
  }
  filter(objects, *request.item, config_);
  return objects;
}

Masks TextMasks::find(const data::Dataset&, const MaskRequest& request) const {
  Masks found;
  found.route = name();
  std::vector<FoundObject> objects;
  std::vector<std::string> asked;
  for (const std::int32_t class_id : request.classes) {
    const std::string& prompt = prompts_.at(static_cast<std::size_t>(class_id));
    // One word for all labels: what it finds belongs to the first of them.
    if (std::find(asked.begin(), asked.end(), prompt) != asked.end()) continue;
    asked.push_back(prompt);
    for (FoundObject& object : detect(request, class_id, found)) objects.push_back(std::move(object));
  }
  const bool any = !objects.empty();
  segment_objects(found, std::move(objects), request, *segmenter_, *pool_, config_, false);
  if (!found.parts.empty() || found.broken) return found;
  found.reason = any ? fmt::format("none of {} boxes gave a mask: {}", found.objects.size(),
                                   found.objects.front().rejected)
                     : fmt::format("no box for \"{}\"", found.prompt);
  return found;
}

}  // namespace deda::decoupling
