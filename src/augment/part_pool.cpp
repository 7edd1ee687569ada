#include "augment/part_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
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
    : stores_{stores}, multi_label_{dataset.multi_label} {
  std::unordered_map<std::string, std::size_t> position;
  for (const std::size_t index : training) {
    const data::Item& item = dataset.items[index];
    position.emplace(item.path, classes_.size());
    classes_.push_back(item.class_id);
    Parts& parts = items_.emplace_back();
    if (!multi_label_) {
      parts.labels.push_back({item.class_id, {}, 0});
      continue;
    }
    for (const std::int32_t id : item.labels.empty() ? std::vector{item.class_id} : item.labels)
      parts.labels.push_back({id, {}, 0});
    parts.seen = item.difficult;
    for (const LabelParts& label : parts.labels) parts.seen.push_back(label.class_id);
    std::sort(parts.seen.begin(), parts.seen.end());
    parts.seen.erase(std::unique(parts.seen.begin(), parts.seen.end()), parts.seen.end());
  }
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
      const std::size_t item = item_of.at(static_cast<std::size_t>(record.info.source_index));
      if (item != SIZE_MAX && record.info.outcome == io::Outcome::done) take(record, item, limits);
    }
  }
  if (multi_label_)
    apply_limits_by_label(dataset, training, limits);
  else
    apply_limits(limits);
  for (Parts& parts : items_) {
    const double width = parts.picture[2] - parts.picture[0], height = parts.picture[3] - parts.picture[1],
                 shorter = std::min(height, width);
    for (LabelParts& label : parts.labels) {
      for (PartView& view : label.cdps) {
        view.relative_size = shorter > 0 ? view.relative_size / shorter : 1.0;
        view.lies = shares_of(view.lies, parts.picture);
        if (view.lies[2] > 0) view.picture_aspect = width / height;
      }
    }
  }
  index();
}

PartPool::LabelParts* PartPool::parts_of(std::size_t item, std::int32_t class_id) {
  auto& labels = items_[item].labels;
  const auto found = std::find_if(labels.begin(), labels.end(),
                                  [&](const LabelParts& label) { return label.class_id == class_id; });
  return found == labels.end() ? nullptr : &*found;
}

void PartPool::take(const io::RecordView& record, std::size_t item, const PoolLimits& limits) {
  const io::RecordInfo& info = record.info;
  if (info.version > limits.most_version) return;
  PartView view{info.height, info.width, info.channels, record.pixels, 0, info.version};
  if (info.kind == io::RecordKind::cip) {
    Parts& parts = items_[item];
    parts.picture = info.crop;
    parts.hole_area = info.mask_area;
    parts.cip = view;
    return;
  }
  LabelParts* const label = parts_of(item, info.class_id);
  if (label == nullptr) return;  // of another label of a picture that has several
  view.relative_size =
      std::max(info.box[2] - info.box[0], info.box[3] - info.box[1]);  // over the shorter side later
  std::copy(info.crop.begin(), info.crop.end(), view.lies.begin());    // made relative later
  if (info.version == 0) label->mask_area = info.mask_area;
  if (label->cdps.size() <= static_cast<std::size_t>(info.version))
    label->cdps.resize(static_cast<std::size_t>(info.version) + 1);
  label->cdps[static_cast<std::size_t>(info.version)] = view;
  synthetic_ += info.version > 0;
}

namespace {

bool has_real(const std::vector<PartView>& cdps) {
  return !cdps.empty() && !cdps.front().pixels.empty();
}
// A rejected synthetic version leaves a gap: the versions close up.
void close_gaps(std::vector<PartView>& cdps) {
  std::erase_if(cdps, [](const PartView& view) { return view.pixels.empty(); });
}
double area_of(const std::array<std::int32_t, 4>& picture) {
  return static_cast<double>(picture[2] - picture[0]) * (picture[3] - picture[1]);
}
bool within(const PoolLimits& limits, std::int64_t mask_area, const std::array<std::int32_t, 4>& picture) {
  if (area_of(picture) == 0) return true;  // not known
  const double share = static_cast<double>(mask_area) / std::max(1.0, area_of(picture));
  return share >= limits.min_mask_share && share <= limits.max_mask_share;
}

}  // namespace

void PartPool::apply_limits(const PoolLimits& limits) {
  for (Parts& parts : items_) {
    if (!has_real(parts.labels.front().cdps)) {
      parts = {};
      ++without_part_;
      continue;
    }
    close_gaps(parts.labels.front().cdps);
    if (!within(limits, parts.hole_area, parts.picture)) {
      parts = {};
      ++out_of_limits_;
    }
  }
}

void PartPool::apply_limits_by_label(const data::Dataset& dataset, const std::vector<std::size_t>& training,
                                     const PoolLimits& limits) {
  for (std::size_t i = 0; i < items_.size(); ++i) {
    Parts& parts = items_[i];
    const auto& difficult = dataset.items[training[i]].difficult;
    const bool all_cut = std::all_of(parts.labels.begin(), parts.labels.end(),
                                     [](const LabelParts& label) { return has_real(label.cdps); });
    const double area = area_of(parts.picture);
    if (limits.paste_on) {
      parts.cip = {};
    } else if (!parts.cip.pixels.empty() && !all_cut) {
      parts.cip = {};
      ++labels_left_;
    } else if (!parts.cip.pixels.empty() &&
               static_cast<double>(parts.hole_area) > (1 - limits.min_background) * area) {
      parts.cip = {};
      ++little_background_;
    }
    bool any = false;
    std::erase_if(parts.labels, [&](LabelParts& label) {
      if (!has_real(label.cdps)) return true;
      any = true;
      close_gaps(label.cdps);
      return !within(limits, label.mask_area, parts.picture) ||
             std::find(difficult.begin(), difficult.end(), label.class_id) != difficult.end();
    });
    if (parts.labels.empty()) ++(any ? out_of_limits_ : without_part_);
  }
  paste_on_ = limits.paste_on;
}

PartPool::PartPool(std::vector<std::int32_t> classes, std::vector<ItemParts> items)
    : classes_{std::move(classes)} {
  for (std::size_t item = 0; item < items.size(); ++item) {
    auto& [cdps, cip] = items[item];
    for (std::size_t place = 0; place < cdps.size(); ++place)
      cdps[place].version = static_cast<std::int32_t>(place);
    Parts& parts = items_.emplace_back();
    if (!cdps.empty()) parts.labels.push_back({classes_[item], std::move(cdps), 0});
    parts.cip = cip;
  }
  index();
}

void PartPool::index() {
  std::int32_t classes = 0;
  for (const std::int32_t id : classes_) classes = std::max(classes, id + 1);
  for (std::size_t item = 0; item < items_.size(); ++item) {
    first_cutout_.push_back(cutout_of_.size());
    for (std::size_t label = 0; label < labels(item); ++label) {
      cutout_of_.push_back({static_cast<std::uint32_t>(item), static_cast<std::uint32_t>(label)});
      classes = std::max(classes, label_class(item, label) + 1);
    }
    for (const std::int32_t id : items_[item].seen) classes = std::max(classes, id + 1);
  }
  const auto group = [&](std::size_t members, auto&& class_of_member, auto&& belongs) {
    Group made;
    made.begin.assign(1, 0);
    for (std::int32_t id = 0; id < classes; ++id) {
      for (std::size_t member = 0; member < members; ++member) {
        if (class_of_member(member) == id && belongs(member))
          made.order.push_back(static_cast<std::uint32_t>(member));
      }
      made.begin.push_back(static_cast<std::uint32_t>(made.order.size()));
    }
    return made;
  };
  const auto own_class = [&](std::size_t item) { return classes_[item]; };
  anchors_ = group(size(), own_class, [&](std::size_t item) { return usable(item); });
  donors_ = group(size(), own_class, [&](std::size_t item) { return gives_background(item); });
  cutouts_ = group(
      cutout_of_.size(),
      [&](std::size_t number) { return label_class(cutout_of_[number].item, cutout_of_[number].label); },
      [](std::size_t) { return true; });
  if (!multi_label_) return;
  donors_with_.resize(static_cast<std::size_t>(classes));
  for (std::size_t place = 0; place < donors_.order.size(); ++place) {
    for (const std::int32_t id : items_[donors_.order[place]].seen)
      donors_with_[static_cast<std::size_t>(id)].push_back(static_cast<std::uint32_t>(place));
  }
}

// Places in donors_, ascending.
std::vector<std::uint32_t> PartPool::donors_that_show(std::int32_t a, std::int32_t b) const {
  static const std::vector<std::uint32_t> nobody;
  const auto with = [&](std::int32_t id) -> const std::vector<std::uint32_t>& {
    return id >= 0 && static_cast<std::size_t>(id) < donors_with_.size()
               ? donors_with_[static_cast<std::size_t>(id)]
               : nobody;
  };
  std::vector<std::uint32_t> either;
  std::set_union(with(a).begin(), with(a).end(), with(b).begin(), with(b).end(), std::back_inserter(either));
  return either;
}

std::uint32_t PartPool::donors_without(std::int32_t a, std::int32_t b) const {
  if (!multi_label_) return donors_.count_without(a, b);
  return static_cast<std::uint32_t>(donors_.order.size() - donors_that_show(a, b).size());
}

std::uint32_t PartPool::donor_without(std::uint32_t n, std::int32_t a, std::int32_t b) const {
  if (!multi_label_) return donors_.member_without(n, a, b);
  for (const std::uint32_t place : donors_that_show(a, b)) {
    if (n < place) break;
    ++n;
  }
  return donors_.order[n];
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
  std::string text = fmt::format(
      "{} of {} training pictures give parts ({} without a CDP, {} with a mask outside of the limits), {} "
      "CIPs, {} synthetic CDPs",
      anchors_.order.size(), size(), without_part_, out_of_limits_, donors_.order.size(), synthetic_);
  if (!multi_label_) return text;
  text += fmt::format("; {} CDPs of labels", cutout_of_.size());
  if (paste_on_) return text + ", pasted on whole pictures";
  return text + fmt::format("; CIPs left out: {} that still show a label, {} with too little background",
                            labels_left_, little_background_);
}

}  // namespace deda::augment
