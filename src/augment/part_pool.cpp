#include "augment/part_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "core/error.h"

namespace deda::augment {

namespace {

// A box as shares of a picture, both xyxy in pixels of it; nothing where the picture is not known.
std::array<double, 4> shares_of(const std::array<double, 4>& box,
                                const std::array<std::int32_t, 4>& picture) {
  const double width = picture[2] - picture[0], height = picture[3] - picture[1];
  if (width <= 0 || height <= 0) return {};
  return {(box[0] - picture[0]) / width, (box[1] - picture[1]) / height, (box[2] - picture[0]) / width,
          (box[3] - picture[1]) / height};
}

}  // namespace

PartPool::PartPool(const data::Dataset& dataset, const std::vector<std::size_t>& training,
                   const std::vector<io::StoreReader>& stores, const PoolLimits& limits)
    : stores_{stores} {
  std::unordered_map<std::string, std::size_t> position;
  for (const std::size_t index : training) {
    position.emplace(dataset.items[index].path, classes_.size());
    classes_.push_back(dataset.items[index].class_id);
  }
  items_.resize(classes_.size());
  std::vector<double> share(classes_.size(), -1), shorter(classes_.size(), 0);
  std::vector<std::array<std::int32_t, 4>> pictures(classes_.size());  // what the CIP covers: all of it
  for (const io::StoreReader& store : stores) {
    const io::StoreDescription& description = store.description();
    if (description.class_names != dataset.class_names) {
      throw DataError(fmt::format("was made for {} classes of {}, not for the classes of this dataset",
                                  description.class_names.size(), description.dataset),
                      store.folder().string(),
                      "Run `deda decouple` with this configuration, or correct train.store.");
    }
    std::vector<std::size_t> item_of(description.sources.size(), SIZE_MAX);
    for (std::size_t source = 0; source < item_of.size(); ++source) {
      if (const auto found = position.find(description.sources[source]); found != position.end())
        item_of[source] = found->second;
    }
    for (std::size_t i = 0; i < store.size(); ++i) {
      const io::RecordView record = store.at(i);
      const io::RecordInfo& info = record.info;
      const std::size_t item = item_of.at(static_cast<std::size_t>(info.source_index));
      if (item == SIZE_MAX || info.outcome != io::Outcome::done || info.version > limits.most_version)
        continue;
      PartView view{info.height, info.width, info.channels, record.pixels, 0, info.version};
      if (info.kind == io::RecordKind::cip) {
        const double height = info.crop[3] - info.crop[1], width = info.crop[2] - info.crop[0];
        share[item] = static_cast<double>(info.mask_area) / std::max(1.0, height * width);
        shorter[item] = std::min(height, width);
        pictures[item] = info.crop;
        items_[item].cip = view;
        continue;
      }
      if (info.class_id != classes_[item]) continue;  // of another label of a picture that has several
      view.relative_size =
          std::max(info.box[2] - info.box[0], info.box[3] - info.box[1]);  // over the shorter side below
      std::copy(info.crop.begin(), info.crop.end(), view.lies.begin());    // made relative below
      auto& versions = items_[item].cdps;
      if (versions.size() <= static_cast<std::size_t>(info.version))
        versions.resize(static_cast<std::size_t>(info.version) + 1);
      versions[static_cast<std::size_t>(info.version)] = view;
      synthetic_ += info.version > 0;
    }
  }
  for (std::size_t item = 0; item < items_.size(); ++item) {
    auto& parts = items_[item];
    if (parts.cdps.empty() || parts.cdps.front().pixels.empty()) {
      parts = {};
      ++without_part_;
      continue;
    }
    // A rejected synthetic version leaves a gap: the versions close up.
    std::erase_if(parts.cdps, [](const PartView& view) { return view.pixels.empty(); });
    if (share[item] >= 0 && (share[item] < limits.min_mask_share || share[item] > limits.max_mask_share)) {
      parts = {};
      ++out_of_limits_;
      continue;
    }
    for (PartView& view : parts.cdps) {
      view.relative_size = shorter[item] > 0 ? view.relative_size / shorter[item] : 1.0;
      const auto& picture = pictures[item];
      view.lies = shares_of(view.lies, picture);
      if (view.lies[2] > 0)
        view.picture_aspect = static_cast<double>(picture[2] - picture[0]) / (picture[3] - picture[1]);
    }
  }
  index();
}

PartPool::PartPool(std::vector<std::int32_t> classes, std::vector<ItemParts> items)
    : classes_{std::move(classes)}, items_{std::move(items)} {
  for (ItemParts& parts : items_) {
    for (std::size_t place = 0; place < parts.cdps.size(); ++place)
      parts.cdps[place].version = static_cast<std::int32_t>(place);
  }
  index();
}

void PartPool::index() {
  std::int32_t classes = 0;
  for (const std::int32_t id : classes_) classes = std::max(classes, id + 1);
  const auto group = [&](auto&& belongs) {
    Group made;
    made.begin.assign(1, 0);
    for (std::int32_t id = 0; id < classes; ++id) {
      for (std::size_t item = 0; item < classes_.size(); ++item) {
        if (classes_[item] == id && belongs(item)) made.order.push_back(static_cast<std::uint32_t>(item));
      }
      made.begin.push_back(static_cast<std::uint32_t>(made.order.size()));
    }
    return made;
  };
  anchors_ = group([&](std::size_t item) { return usable(item); });
  donors_ = group([&](std::size_t item) { return has_cip(item); });
}

std::uint32_t PartPool::Group::count_without(std::int32_t a, std::int32_t b) const {
  const auto members = [&](std::int32_t id) {
    return id >= 0 && static_cast<std::size_t>(id) + 1 < begin.size()
               ? begin[static_cast<std::size_t>(id) + 1] - begin[static_cast<std::size_t>(id)]
               : 0u;
  };
  return static_cast<std::uint32_t>(order.size()) - members(a) - (a == b ? 0u : members(b));
}

std::uint32_t PartPool::Group::member_without(std::uint32_t n, std::int32_t a, std::int32_t b) const {
  std::array<std::int32_t, 2> left_out = {std::min(a, b), std::max(a, b)};
  if (left_out[0] == left_out[1]) left_out[0] = -1;
  for (const std::int32_t id : left_out) {  // ascending: skipping one range moves the next
    if (id < 0 || static_cast<std::size_t>(id) + 1 >= begin.size()) continue;
    const std::uint32_t first = begin[static_cast<std::size_t>(id)],
                        last = begin[static_cast<std::size_t>(id) + 1];
    if (n >= first) n += last - first;
  }
  return order[n];
}

std::string PartPool::summary() const {
  return fmt::format(
      "{} of {} training pictures give parts ({} without a CDP, {} with a mask outside of the limits), {} "
      "CIPs, {} synthetic CDPs",
      anchors_.order.size(), size(), without_part_, out_of_limits_, donors_.order.size(), synthetic_);
}

}  // namespace deda::augment
