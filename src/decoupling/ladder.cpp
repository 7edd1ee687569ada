#include "decoupling/ladder.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/compared_numbers.h"
#include "core/error.h"
#include "data/picture.h"
#include "decoupling/cut.h"
#include "decoupling/mask_quality.h"

namespace deda::decoupling {

namespace {

std::string joined(const std::vector<std::string>& parts, std::string_view between = "; ") {
  return fmt::format("{}", fmt::join(parts, between));
}

double intersection_over_union(const std::array<double, 4>& a, const std::array<double, 4>& b) {
  const double width = std::min(a[2], b[2]) - std::max(a[0], b[0]),
               height = std::min(a[3], b[3]) - std::max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const double both = width * height;
  return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both);
}

// Smallest box around the annotated objects of a class; empty optional where there is none.
std::optional<std::array<double, 4>> annotated_box(const data::Item& item, std::int32_t class_id) {
  std::optional<std::array<double, 4>> around;
  for (const data::ObjectBox& object : item.objects) {
    if (object.class_id != class_id) continue;
    const auto& box = object.box;
    if (!around) around = box;
    around = {std::min((*around)[0], box[0]), std::min((*around)[1], box[1]), std::max((*around)[2], box[2]),
              std::max((*around)[3], box[3])};
  }
  if (around || !item.objects.empty() || class_id != item.class_id) return around;
  return item.box;
}

// Annotated masks and masks made from the annotated box agree with it by their making.
bool box_is_a_witness(const std::string& route) {
  return route == "text_box_sam" || route == "semantic";
}

// Ground instead of object: hardly any object reaches all four corners, every ground around one does.
bool may_be_inverted(const ClassMask& part, const std::string& route, const data::Item& item) {
  const bool can_be =
      item.mask_encoding == data::MaskEncoding::nonzero || item.mask_encoding == data::MaskEncoding::grey;
  const io::Image& mask = part.mask;
  const std::uint8_t *top = mask.row(0), *bottom = mask.row(mask.height - 1);
  const int right = mask.width - 1;
  return route == "annotated" && can_be && top[0] != 0 && top[right] != 0 && bottom[0] != 0 &&
         bottom[right] != 0;
}

// Why a union of masks cannot be used, or "". Faithful mode uses everything.
std::string rejection(const ClassMask& part, const std::string& route, const data::Item& item, double quality,
                      const DecoupleConfig& config) {
  if (config.mode == Mode::faithful) return {};
  const double share = static_cast<double>(area_of(part.mask)) / static_cast<double>(part.mask.pixels.size());
  if (share < config.min_mask_share)
    return "the mask's share of the picture is " +
           compared_numbers(100 * share, 100 * config.min_mask_share, 2, " %");
  if (share > config.max_mask_share)
    return "the mask's share of the picture is " +
           compared_numbers(100 * share, 100 * config.max_mask_share, 1, " %");
  if (may_be_inverted(part, route, item))
    return "the mask covers all four corners of the picture: is it inverted? The object must not be black";
  if (route == "box_grabcut" && quality < least_grabcut_quality)
    return "the mask's colours do not separate from those around it: its quality is " +
           compared_numbers(quality, least_grabcut_quality, 2);
  const auto annotated = annotated_box(item, part.class_id);
  if (!annotated || !box_is_a_witness(route)) return {};
  const auto box = box_of(part.mask);
  const double agreement = intersection_over_union({static_cast<double>(box[0]), static_cast<double>(box[1]),
                                                    static_cast<double>(box[2]), static_cast<double>(box[3])},
                                                   *annotated);
  if (agreement < config.min_box_agreement)
    return "the mask's box agrees with the annotated one by " +
           compared_numbers(agreement, config.min_box_agreement, 2);
  return {};
}

io::Record make_record(io::RecordInfo info, io::Image image) {
  info.height = image.height;
  info.width = image.width;
  info.channels = image.channels;
  return {info, std::move(image.pixels)};
}

// A part that passed, and the source that made it.
struct Accepted {
  ClassMask part;
  std::size_t source = 0;
  double quality = 0;
};

// One picture on its way down the ladder.
struct Descent {
  const UnitItem* unit = nullptr;
  io::Image image;
  data::PictureOrientation orientation;
  std::vector<std::string> notes, reasons;
  std::vector<std::int32_t> wanted;  // classes without a part yet
  std::vector<Accepted> accepted;
  io::Image undecided;
  io::Outcome outcome = io::Outcome::nothing_found;
  bool over = false;
  DecoupledPicture picture;

  void end_with(io::Outcome with, std::string reason) {
    over = true;
    picture.result.outcome = with;
    picture.result.reason = std::move(reason);
    picture.result.records.clear();
  }
};

// Annotations of another size of the picture, or of another picture: sources cut boxes at its edge.
bool boxes_reach_outside(const data::Item& item, const io::Image& picture) {
  constexpr double tolerance = 2;  // pixels: corners counted from 0 or 1, rounded up
  const auto reaches = [&](const std::array<double, 4>& box) {
    return box[0] < -tolerance || box[1] < -tolerance || box[2] > picture.width + tolerance ||
           box[3] > picture.height + tolerance;
  };
  return (item.box && reaches(*item.box)) ||
         std::any_of(item.objects.begin(), item.objects.end(),
                     [&](const data::ObjectBox& object) { return reaches(object.box); });
}

Descent start(const data::Dataset& dataset, const UnitItem& unit, const DecoupleConfig& config) {
  Descent descent;
  descent.unit = &unit;
  descent.picture.result.item = unit.number;
  try {
    data::Picture decoded = data::load_picture(dataset, *unit.item);
    descent.orientation = std::move(decoded.orientation);
    descent.picture.turned = descent.orientation.applied ? descent.orientation.exif : 1;
    descent.notes = std::move(decoded.notes);
    descent.image = std::move(decoded.image);
    descent.picture.height = descent.image.height;
    descent.picture.width = descent.image.width;
    descent.wanted = wanted_classes(*unit.item, config);
    if (boxes_reach_outside(*unit.item, descent.image)) descent.notes.emplace_back(box_outside);
  } catch (const Error& error) {  // its place is the item's own path: a store tells it once
    const Problem& problem = error.problems().front();
    descent.end_with(io::Outcome::unreadable,
                     problem.what + (problem.hint.empty() ? "" : ". " + problem.hint));
  } catch (const std::exception& error) {
    descent.end_with(io::Outcome::failed, error.what());
  }
  return descent;
}

// Takes what a source found; parts that pass are kept, their classes wanted no more.
void take(Descent& descent, Masks masks, std::size_t source, const std::string& name,
          const data::Dataset& dataset, const DecoupleConfig& config) {
  Attempt attempt{masks.route, masks.prompt, masks.reason, masks.objects};
  if (masks.broken) descent.outcome = io::Outcome::rejected;
  if (masks.parts.empty()) descent.reasons.push_back(name + ": " + masks.reason);
  const bool several = descent.wanted.size() > 1;
  for (ClassMask& part : masks.parts) {
    const auto place = std::find(descent.wanted.begin(), descent.wanted.end(), part.class_id);
    if (place == descent.wanted.end()) continue;
    const double quality = mask_quality(descent.image, part.mask);
    if (std::string why = rejection(part, name, *descent.unit->item, quality, config); !why.empty()) {
      descent.outcome = io::Outcome::rejected;
      if (several) why = dataset.class_names.at(static_cast<std::size_t>(part.class_id)) + ": " + why;
      attempt.reason += (attempt.reason.empty() ? "" : "; ") + why;
      descent.reasons.push_back(name + ": " + why);
      for (FoundObject& object : attempt.objects) {
        if (object.class_id == part.class_id && object.rejected.empty()) object.rejected = why;
      }
      continue;
    }
    descent.wanted.erase(place);
    descent.accepted.push_back({part, source, quality});
    descent.undecided = masks.undecided;
  }
  for (std::string& note : masks.notes) descent.notes.push_back(std::move(note));
  descent.picture.attempts.push_back(std::move(attempt));
  descent.picture.masks = std::move(masks);
}

// One CDP per accepted class, one CIP with the hole of all.
void add_records(Descent& descent, const DecoupleConfig& config) {
  DecoupledPicture& picture = descent.picture;
  io::RecordInfo info;
  info.source_index = picture.result.item;
  for (const Accepted& accepted : descent.accepted) {
    Cdp cdp = cut_cdp(descent.image, accepted.part.mask, config);
    info.class_id = accepted.part.class_id;
    info.route = static_cast<std::uint8_t>(accepted.source);
    info.crop = cdp.crop;
    info.box = cdp.box;
    info.mask_area = cdp.mask_area;
    info.mask_quality = static_cast<float>(accepted.quality);
    picture.quality =
        picture.result.records.empty() ? accepted.quality : std::min(picture.quality, accepted.quality);
    picture.result.records.push_back(make_record(info, std::move(cdp.rgba)));
  }
  io::Image hole_mask = picture.merged;
  if (!descent.undecided.empty()) hole_mask = union_of({hole_mask, descent.undecided});
  Cip cip = fill_cip(descent.image, hole_mask, config);
  picture.hole = std::move(cip.hole);
  if (cip.rgb.empty() || cip.hole_share > config.max_hole_share) {
    descent.notes.push_back(
        fmt::format("no CIP: the hole covers {:.1f} % of the picture", 100 * cip.hole_share));
    return;
  }
  info.kind = io::RecordKind::cip;
  info.class_id = descent.unit->item->class_id;
  info.crop = {0, 0, descent.image.width, descent.image.height};
  info.mask_quality = static_cast<float>(picture.quality);
  if (descent.accepted.size() > 1) {
    info.box = box_of(picture.merged);
    info.mask_area = area_of(picture.merged);
  }
  picture.result.records.push_back(make_record(info, std::move(cip.rgb)));
}

void finish(Descent& descent, const std::vector<std::unique_ptr<MaskSource>>& sources,
            const data::Dataset& dataset, const DecoupleConfig& config) {
  if (descent.accepted.empty()) {
    std::vector<std::string> all = descent.reasons;
    all.insert(all.end(), descent.notes.begin(), descent.notes.end());
    descent.end_with(descent.outcome, joined(all));
    return;
  }
  std::sort(descent.accepted.begin(), descent.accepted.end(),
            [](const Accepted& a, const Accepted& b) { return a.part.class_id < b.part.class_id; });
  std::vector<std::string> routes;
  descent.picture.merged = descent.accepted.front().part.mask;
  for (const Accepted& accepted : descent.accepted) {
    if (&accepted != &descent.accepted.front())
      descent.picture.merged = union_of({descent.picture.merged, accepted.part.mask});
    const std::string name = sources[accepted.source]->name();
    if (std::find(routes.begin(), routes.end(), name) == routes.end()) routes.push_back(name);
  }
  descent.picture.route = joined(routes, "+");
  if (!descent.reasons.empty())
    descent.notes.push_back("route " + descent.picture.route + " after " + joined(descent.reasons));
  for (const std::int32_t missing : descent.wanted)
    descent.notes.push_back("no CDP for " + dataset.class_names.at(static_cast<std::size_t>(missing)));
  add_records(descent, config);
  descent.picture.result.outcome = io::Outcome::done;
  descent.picture.result.reason = joined(descent.notes);
}

// One rung: the source looks at every picture that still wants a class.
void try_source(std::vector<Descent>& descents, std::size_t source,
                const std::vector<std::unique_ptr<MaskSource>>& sources, const data::Dataset& dataset,
                const DecoupleConfig& config) {
  std::vector<Descent*> asking;
  std::vector<MaskRequest> requests;
  for (Descent& descent : descents) {
    if (descent.over || descent.wanted.empty()) continue;
    asking.push_back(&descent);
    requests.push_back({descent.unit->item, &descent.image, descent.wanted, descent.unit->keep_tensors,
                        descent.orientation});
  }
  if (requests.empty()) return;
  try {
    std::vector<Masks> found = sources[source]->find_all(dataset, requests);
    for (std::size_t i = 0; i < asking.size(); ++i)
      take(*asking[i], std::move(found.at(i)), source, sources[source]->name(), dataset, config);
  } catch (const Stopped&) {
    throw;
  } catch (const std::exception& error) {  // OpenCV, Torch, out of memory: a picture must not end the stage
    if (asking.size() == 1) {
      asking.front()->end_with(io::Outcome::failed, sources[source]->name() + ": " + error.what());
      return;
    }
    // Once more one by one, so that only the culprit fails.
    for (std::size_t i = 0; i < asking.size(); ++i) {
      try {
        take(*asking[i], std::move(sources[source]->find_all(dataset, {requests[i]}).at(0)), source,
             sources[source]->name(), dataset, config);
      } catch (const std::exception& own) {
        asking[i]->end_with(io::Outcome::failed, sources[source]->name() + ": " + own.what());
      }
    }
  }
}

}  // namespace

std::vector<DecoupledPicture> decouple_unit(const data::Dataset& dataset, const std::vector<UnitItem>& unit,
                                            const std::vector<std::unique_ptr<MaskSource>>& sources,
                                            const DecoupleConfig& config) {
  std::vector<Descent> descents;
  descents.reserve(unit.size());
  for (const UnitItem& item : unit) descents.push_back(start(dataset, item, config));
  for (std::size_t source = 0; source < sources.size(); ++source)
    try_source(descents, source, sources, dataset, config);
  std::vector<DecoupledPicture> pictures;
  for (Descent& descent : descents) {
    try {
      if (!descent.over) finish(descent, sources, dataset, config);
    } catch (const std::exception& error) {
      descent.end_with(io::Outcome::failed, error.what());
    }
    pictures.push_back(std::move(descent.picture));
  }
  return pictures;
}

DecoupledPicture decouple_picture(const data::Dataset& dataset, const data::Item& item,
                                  std::int64_t item_number,
                                  const std::vector<std::unique_ptr<MaskSource>>& sources,
                                  const DecoupleConfig& config) {
  return std::move(decouple_unit(dataset, {{&item, item_number, false}}, sources, config).front());
}

}  // namespace deda::decoupling
