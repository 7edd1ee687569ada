#include "decoupling/mask_source.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "core/error.h"
#include "decoupling/annotated_masks.h"
#include "decoupling/box_grabcut.h"

namespace deda::decoupling {

namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::string, MakeMaskSource> makers = {
      {"annotated",
       [](const DecoupleConfig& config, const data::Dataset&) {
         return std::make_unique<AnnotatedMasks>(config.trimap_border);
       }},
      {"box_grabcut", [](const DecoupleConfig& config, const data::Dataset&) {
         return std::make_unique<BoxGrabCut>(config);
       }}};
};

Registry& registry() {
  static Registry one;
  return one;
}

void unite(io::Image& merged, const io::Image& mask) {
  if (merged.empty()) {
    merged = mask;
    return;
  }
  for (std::size_t p = 0; p < merged.pixels.size(); ++p) merged.pixels[p] |= mask.pixels[p];
}

}  // namespace

std::vector<Masks> MaskSource::find_all(const data::Dataset& dataset,
                                        const std::vector<MaskRequest>& requests) const {
  std::vector<Masks> all;
  for (const MaskRequest& request : requests) {
    try {
      all.push_back(find(dataset, request));
    } catch (const Error& error) {
      all.emplace_back();
      all.back().route = name();
      const Problem& problem = error.problems().front();
      all.back().reason = problem.what + (problem.hint.empty() ? "" : ". " + problem.hint);
      all.back().broken = true;
    }
  }
  return all;
}

void add_object(Masks& masks, FoundObject object, const io::Image& mask, bool keep_mask) {
  object.sketch = sketch_of(mask);
  if (area_of(mask) == 0) {
    object.rejected = "its mask is empty";
    masks.objects.push_back(std::move(object));
    return;
  }
  const auto part = std::find_if(masks.parts.begin(), masks.parts.end(),
                                 [&](const ClassMask& each) { return each.class_id == object.class_id; });
  if (part == masks.parts.end())
    masks.parts.push_back({object.class_id, mask});
  else
    unite(part->mask, mask);
  if (keep_mask) masks.object_masks.push_back(mask);
  masks.objects.push_back(std::move(object));
}

void register_mask_source(const std::string& name, MakeMaskSource make) {
  const std::lock_guard lock{registry().mutex};
  registry().makers[name] = std::move(make);
}

std::unique_ptr<MaskSource> make_mask_source(const std::string& name, const DecoupleConfig& config,
                                             const data::Dataset& dataset) {
  MakeMaskSource make;
  {
    const std::lock_guard lock{registry().mutex};
    if (const auto found = registry().makers.find(name); found != registry().makers.end())
      make = found->second;
  }
  if (make) return make(config, dataset);
  const auto& names = mask_source_names();
  if (std::find(names.begin(), names.end(), name) != names.end())
    throw ConfigError("mask source \"" + name + "\" needs a build with LibTorch", "decouple.sources",
                      "Configure with -DDEDA_TORCH=ON, or name annotated or box_grabcut.");
  throw ConfigError("\"" + name + "\" is no mask source", "decouple.sources");
}

std::vector<std::unique_ptr<MaskSource>> make_mask_sources(const DecoupleConfig& config,
                                                           const data::Dataset& dataset) {
  std::vector<std::unique_ptr<MaskSource>> sources;
  std::vector<Problem> problems;
  bool configuration_only = true;
  for (const std::string& name : config.sources) {
    try {
      sources.push_back(make_mask_source(name, config, dataset));
    } catch (const Error& error) {
      configuration_only = configuration_only && error.exit_code() == ExitCode::configuration;
      for (const Problem& problem : error.problems()) {
        const bool known = std::any_of(problems.begin(), problems.end(), [&](const Problem& other) {
          return other.what == problem.what && other.where == problem.where;
        });
        if (!known) problems.push_back(problem);  // two sources may share a network
      }
    }
  }
  if (problems.empty()) return sources;
  if (configuration_only) throw ConfigError(std::move(problems));
  throw DataError(std::move(problems));
}

std::vector<std::int32_t> wanted_classes(const data::Item& item, const DecoupleConfig& config) {
  if (config.parts_per == PartsPer::label && !item.labels.empty()) return item.labels;
  return {item.class_id};
}

io::Image union_of(const std::vector<io::Image>& masks) {
  io::Image merged;
  for (const io::Image& mask : masks) unite(merged, mask);
  return merged;
}

std::int64_t area_of(const io::Image& mask) {
  return std::count_if(mask.pixels.begin(), mask.pixels.end(), [](std::uint8_t value) { return value != 0; });
}

std::array<std::int32_t, 4> box_of(const io::Image& mask) {
  std::array<std::int32_t, 4> box = {mask.width, mask.height, 0, 0};
  for (int y = 0; y < mask.height; ++y) {
    const std::uint8_t* row = mask.row(y);
    const std::uint8_t* end = row + mask.width;
    const std::uint8_t* first = std::find_if(row, end, [](std::uint8_t value) { return value != 0; });
    if (first == end) continue;
    const std::uint8_t* last = end;
    while (last[-1] == 0) --last;
    box = {std::min(box[0], static_cast<std::int32_t>(first - row)), std::min(box[1], y),
           std::max(box[2], static_cast<std::int32_t>(last - row)), y + 1};
  }
  return box[2] == 0 ? std::array<std::int32_t, 4>{} : box;
}

}  // namespace deda::decoupling
