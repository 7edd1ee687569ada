#include "decoupling/networks/box_masks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "decoupling/networks/clean_up.h"

namespace deda::decoupling {

namespace {

constexpr double most_border_share = 0.5;
constexpr std::size_t most_kept_mask_bytes = std::size_t{1} << 30;  // of one picture's trace

bool covers_centre(const io::Image& mask, const PixelBox& box) {
  const int x = std::clamp(static_cast<int>((box[0] + box[2]) / 2), 0, mask.width - 1);
  const int y = std::clamp(static_cast<int>((box[1] + box[3]) / 2), 0, mask.height - 1);
  return mask.row(y)[x] != 0;
}

// Why a box cannot be segmented; empty when it can.
std::string problem_of(const PixelBox& box, const io::Image& picture) {
  if (!std::all_of(box.begin(), box.end(), [](double side) { return std::isfinite(side); }))
    return "its box is not finite";
  const double width = std::min<double>(box[2], picture.width) - std::max(box[0], 0.0);
  const double height = std::min<double>(box[3], picture.height) - std::max(box[1], 0.0);
  if (width <= 0 || height <= 0) return "its box lies outside of the picture";
  return {};
}

struct Chosen {
  io::Image mask;
  double score = 0;
};

// The first attempt at one box gave its surroundings: alternatives first, then a point in the middle.
// `tensors`: what the network took and gave, under names that begin with `prefix`; may be null.
std::optional<Chosen> asked_anew(const BoxSegmenter& segmenter, const BoxSegmenter::Embedding& embedding,
                                 const PixelBox& box, const std::string& prefix,
                                 std::vector<NamedArray>* tensors) {
  std::optional<Chosen> chosen;
  for (const auto& [attempt, options] : {std::pair{"alternatives.", SegmentOptions{true, false}},
                                         std::pair{"point.", SegmentOptions{false, true}}}) {
    std::vector<NamedArray> of_attempt;
    segmenter.segment(
        embedding, {box}, options,
        [&](std::size_t, SegmentedBox&& found) {
          for (std::size_t i = 0; i < found.masks.size(); ++i) {
            const bool better = !chosen || found.scores[i] > chosen->score;
            if (better && covers_centre(found.masks[i], box))
              chosen = Chosen{std::move(found.masks[i]), found.scores[i]};
          }
        },
        tensors != nullptr ? &of_attempt : nullptr);
    for (NamedArray& tensor : of_attempt) {
      tensor.name = prefix + attempt + tensor.name;
      tensors->push_back(std::move(tensor));
    }
    if (chosen) return chosen;
  }
  return chosen;
}

}  // namespace

bool is_surroundings(const io::Image& mask, const PixelBox& box) {
  if (covers_centre(mask, box)) return false;
  std::int64_t covered = 0, ring = 0;
  for (int y = 0; y < mask.height; ++y) {
    const std::uint8_t* row = mask.row(y);
    const bool whole_row = y == 0 || y == mask.height - 1;
    for (int x = 0; x < mask.width; x += whole_row ? 1 : std::max(1, mask.width - 1)) {
      ++ring;
      covered += row[x] != 0;
    }
  }
  return static_cast<double>(covered) > most_border_share * static_cast<double>(ring);
}

void segment_objects(Masks& found, std::vector<FoundObject> objects, const MaskRequest& request,
                     const BoxSegmenter& segmenter, NetworkPool& pool, const DecoupleConfig& config,
                     bool use_mask_score) {
  std::vector<PixelBox> boxes;
  std::vector<std::size_t> places;  // of the boxes among the objects
  for (std::size_t i = 0; i < objects.size(); ++i) {
    if (objects[i].rejected.empty()) objects[i].rejected = problem_of(objects[i].box, *request.picture);
    if (!objects[i].rejected.empty()) continue;
    boxes.push_back(objects[i].box);
    places.push_back(i);
  }
  std::vector<NamedArray>* tensors = request.keep_tensors ? &found.tensors : nullptr;
  std::vector<NamedArray> anew_tensors;  // of boxes that were asked for again; `tensors` is in use meanwhile
  std::size_t next = 0;                  // objects before it are in `found`
  const auto pass_rejected = [&](std::size_t until) {
    for (; next < until; ++next) found.objects.push_back(std::move(objects[next]));
  };
  if (!boxes.empty()) {
    const NetworkSeats::Seat seat(pool.seats);
    const auto embedding = segmenter.embed(*request.picture, tensors);
    segmenter.segment(
        *embedding, boxes, {},
        [&](std::size_t box, SegmentedBox&& masks) {
          pass_rejected(places.at(box));
          FoundObject& object = objects[next++];
          Chosen chosen{std::move(masks.masks.at(0)), masks.scores.at(0)};
          if (config.mode == Mode::recommended && is_surroundings(chosen.mask, object.box)) {
            if (auto anew = asked_anew(segmenter, *embedding, object.box, fmt::format("box_{}.", box),
                                       tensors != nullptr ? &anew_tensors : nullptr)) {
              chosen = std::move(*anew);
            } else {
              object.rejected = "its mask is the box's surroundings";
              object.sketch = sketch_of(chosen.mask);
              found.objects.push_back(std::move(object));
              return;
            }
          }
          if (use_mask_score) object.score = std::clamp(chosen.score, 0.0, 1.0);
          const bool keep =
              request.keep_tensors &&
              (found.object_masks.size() + 1) * chosen.mask.pixels.size() <= most_kept_mask_bytes;
          add_object(found, std::move(object), cleaned_up(std::move(chosen.mask), config), keep);
        },
        tensors);
  }
  for (NamedArray& tensor : anew_tensors) found.tensors.push_back(std::move(tensor));
  pass_rejected(objects.size());
}

Masks BoxMasks::find(const data::Dataset&, const MaskRequest& request) const {
  Masks found;
  found.route = name();
  std::vector<FoundObject> objects;
  const auto wants = [&](std::int32_t class_id) {
    return std::find(request.classes.begin(), request.classes.end(), class_id) != request.classes.end();
  };
  const auto add = [&](const PixelBox& box, std::int32_t class_id) {
    FoundObject object;
    object.box = box;
    object.class_id = class_id;
    objects.push_back(std::move(object));
  };
  for (const data::ObjectBox& object : request.item->objects) {
    if (wants(object.class_id)) add(object.box, object.class_id);
  }
  if (request.item->objects.empty() && request.item->box && wants(request.item->class_id))
    add(*request.item->box, request.item->class_id);
  if (objects.empty()) {
    found.reason = "no box annotation";
    return found;
  }
  segment_objects(found, std::move(objects), request, *segmenter_, *pool_, config_, true);
  if (found.parts.empty()) found.reason = "no box gave a mask: " + found.objects.front().rejected;
  return found;
}

}  // namespace deda::decoupling
