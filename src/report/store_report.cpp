#include "report/store_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "core/error.h"
#include "core/escaped_name.h"
#include "core/provenance.h"
#include "io/pictures/image_codec.h"
#include "report/letters.h"

namespace deda::report {

namespace {

constexpr std::size_t histogram_bins = 20;

io::Image copy_of(const io::RecordView& view) {
  io::Image image;
  image.height = view.info.height;
  image.width = view.info.width;
  image.channels = view.info.channels;
  image.pixels.assign(view.pixels.begin(), view.pixels.end());
  return image;
}

// Where and by what the store was made; of earlier versions nothing is known.
std::string maker_of(const io::StoreDescription& description) {
  if (description.provenance.empty()) return {};
  try {
    const Provenance provenance = provenance_from(description.provenance, {});
    return fmt::format("on {} by version {}",
                       provenance.processor.empty() ? "a machine not recorded" : provenance.processor,
                       provenance.code_version);
  } catch (const Error&) {
    return {};
  }
}

// One line on classes that have no picture in the store; empty where all have some.
std::string words_on_left_out(const StoreSummary& summary) {
  std::vector<std::string> names;
  for (const ClassSummary& owner : summary.classes) {
    if (owner.is_empty()) names.push_back(owner.name);
  }
  return names.empty() ? std::string{}
                       : fmt::format("{} of {} classes have no picture in this store and are left out: {}",
                                     names.size(), summary.classes.size(), few_of(names));
}

// "-" where no mask of a real CDP was measured: 0 % would be a measurement.
std::string mask_share_words(const ClassSummary& owner) {
  return owner.real_cdps > 0 ? fmt::format("{:.1f} %", 100 * owner.mean_mask_share) : "-";
}

std::string outcome_words(const std::array<std::int64_t, 5>& outcomes) {
  std::string text;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i] == 0 && i != 0) continue;
    if (!text.empty()) text += ", ";
    text += fmt::format("{} {}", outcomes[i], io::name_of(static_cast<io::Outcome>(i)));
  }
  return text;
}

}  // namespace

bool StoreSummary::adds_up() const {
  return std::accumulate(outcomes.begin(), outcomes.end(), std::int64_t{0}) == items;
}

StoreSummary summarize(const io::StoreReader& store) {
  StoreSummary summary;
  const io::StoreDescription& description = store.description();
  summary.stage = description.stage;
  summary.dataset = description.dataset;
  summary.made_by = maker_of(description);
  summary.items = static_cast<std::int64_t>(description.sources.size());
  summary.mask_share_histogram.assign(histogram_bins, 0);
  for (const std::string& name : description.class_names) {
    summary.classes.emplace_back();
    summary.classes.back().name = name;
  }
  const auto class_of = [&](std::size_t item) -> ClassSummary* {
    const std::int32_t id = item < description.source_classes.size() ? description.source_classes[item] : -1;
    return id >= 0 && static_cast<std::size_t>(id) < summary.classes.size()
               ? &summary.classes[static_cast<std::size_t>(id)]
               : nullptr;
  };
  for (std::size_t item = 0; item < description.sources.size(); ++item) {
    const auto remark = store.remarks().find(static_cast<std::int64_t>(item));
    const auto outcome =
        static_cast<std::size_t>(remark == store.remarks().end() ? io::Outcome::done : remark->second.first);
    ++summary.outcomes[outcome];
    if (ClassSummary* owner = class_of(item)) {
      ++owner->items;
      ++owner->outcomes[outcome];
    }
  }
  std::map<std::int64_t, double> frame;  // area of the source picture, known from its CIP
  for (std::size_t i = 0; i < store.size(); ++i) {
    const io::RecordInfo info = store.at(i).info;
    if (info.kind == io::RecordKind::cip)
      frame[info.source_index] =
          static_cast<double>(info.crop[2] - info.crop[0]) * (info.crop[3] - info.crop[1]);
  }
  for (std::size_t i = 0; i < store.size(); ++i) {
    const io::RecordView record = store.at(i);
    ++summary.records;
    summary.pixel_bytes += static_cast<std::int64_t>(record.pixels.size());
    ClassSummary* owner = class_of(static_cast<std::size_t>(record.info.source_index));
    if (owner == nullptr) continue;
    if (record.info.kind == io::RecordKind::cip) {
      ++owner->cips;
      continue;
    }
    if (record.info.version > 0) {
      ++owner->synthetic_cdps;
      continue;
    }
    ++owner->real_cdps;
    const auto area = frame.find(record.info.source_index);
    if (area == frame.end() || area->second <= 0) continue;
    const double share = std::clamp(static_cast<double>(record.info.mask_area) / area->second, 0.0, 1.0);
    owner->mean_mask_share += share;
    ++summary.mask_share_histogram[std::min(histogram_bins - 1,
                                            static_cast<std::size_t>(share * histogram_bins))];
  }
  for (ClassSummary& owner : summary.classes) {
    if (owner.real_cdps > 0) owner.mean_mask_share /= static_cast<double>(owner.real_cdps);
  }
  return summary;
}

std::string to_text(const StoreSummary& summary) {
  constexpr std::size_t widest_name = 48;
  std::string text =
      fmt::format("{} store of {}: {} pictures ({}), {} records, {:.1f} MB of pixels\n", summary.stage,
                  summary.dataset, summary.items, outcome_words(summary.outcomes), summary.records,
                  static_cast<double>(summary.pixel_bytes) / 1e6);
  if (!summary.made_by.empty()) text += fmt::format("made {}\n", summary.made_by);
  std::size_t width = count_letters("class");
  for (const ClassSummary& owner : summary.classes) {
    if (!owner.is_empty()) width = std::max(width, std::min(widest_name, count_letters(owner.name)));
  }
  text += fmt::format("{} {:>8} {:>8} {:>10} {:>8} {:>12}\n", padded("class", width), "pictures", "CDPs",
                      "synthetic", "CIPs", "mask share");
  for (const ClassSummary& owner : summary.classes) {
    if (owner.is_empty()) continue;
    text +=
        fmt::format("{} {:>8} {:>8} {:>10} {:>8} {:>12}\n", padded(shortened(owner.name, widest_name), width),
                    owner.items, owner.real_cdps, owner.synthetic_cdps, owner.cips, mask_share_words(owner));
  }
  if (const std::string left_out = words_on_left_out(summary); !left_out.empty()) text += left_out + '\n';
  text += summary.adds_up() ? "counts add up: every picture has one outcome\n"
                            : "COUNTS DO NOT ADD UP: the store is damaged or unfinished\n";
  return text;
}

void add_to_page(Page& page, const StoreSummary& summary) {
  page.paragraph(fmt::format("{} pictures: {}. {} records, {:.1f} MB of pixels{}.", summary.items,
                             outcome_words(summary.outcomes), summary.records,
                             static_cast<double>(summary.pixel_bytes) / 1e6,
                             summary.made_by.empty() ? "" : ", made " + summary.made_by));
  if (!summary.adds_up()) page.paragraph("The counts do not add up: the store is damaged or unfinished.");
  std::vector<std::vector<TableCell>> rows;
  for (const ClassSummary& owner : summary.classes) {
    if (owner.is_empty()) continue;
    rows.push_back({{owner.name},
                    {std::to_string(owner.items), true},
                    {std::to_string(owner.real_cdps), true},
                    {std::to_string(owner.synthetic_cdps), true},
                    {std::to_string(owner.cips), true},
                    {mask_share_words(owner), true}});
  }
  page.table({"class", "pictures", "real CDPs", "synthetic CDPs", "CIPs", "mean mask share"}, rows,
             "Mask share: pixels of the mask over pixels of the picture.");
  if (const std::string left_out = words_on_left_out(summary); !left_out.empty())
    page.paragraph(left_out + '.');
}

SampleRows sample_rows(const io::StoreReader& store, const Originals& originals, std::size_t count) {
  const io::StoreDescription& description = store.description();
  struct Parts {
    std::size_t cdp = SIZE_MAX, cip = SIZE_MAX;
  };
  std::map<std::int64_t, Parts> parts;
  for (std::size_t i = 0; i < store.size(); ++i) {
    const io::RecordInfo info = store.at(i).info;
    const auto item = static_cast<std::size_t>(info.source_index);
    if (info.kind == io::RecordKind::cip)
      parts[info.source_index].cip = i;
    else if (info.version == 0 && item < description.source_classes.size() &&
             info.class_id == description.source_classes[item])
      parts[info.source_index].cdp = i;  // not that of another label of the picture
  }
  // Round robin over the classes, so that every class is seen before any is seen twice.
  std::map<std::int32_t, std::vector<std::int64_t>> by_class;
  for (const auto& [item, part] : parts) {
    if (static_cast<std::size_t>(item) < description.source_classes.size())
      by_class[description.source_classes[static_cast<std::size_t>(item)]].push_back(item);
  }
  SampleRows sample;
  for (std::size_t round = 0; sample.items.size() < count; ++round) {
    const std::size_t before = sample.items.size();
    for (const auto& [id, items] : by_class) {
      if (round < items.size() && sample.items.size() < count) sample.items.push_back(items[round]);
    }
    if (sample.items.size() == before) break;
  }
  for (const std::int64_t item : sample.items) {
    const Parts part = parts[item];
    SheetRow row;
    row.caption = description.sources[static_cast<std::size_t>(item)];
    // A CIP lies on its whole picture, and tells so how large the picture was.
    const auto frame = part.cip == SIZE_MAX ? io::RecordInfo{}.crop : store.at(part.cip).info.crop;
    Original original = originals.picture(row.caption, frame[3] - frame[1], frame[2] - frame[0]);
    sample.missing_pictures += original.image.empty();
    row.cells.push_back(std::move(original.image));
    row.cells.push_back(part.cdp == SIZE_MAX ? io::Image{} : copy_of(store.at(part.cdp)));
    row.cells.push_back(part.cip == SIZE_MAX ? io::Image{} : copy_of(store.at(part.cip)));
    row.instead = {original.why_not, "no CDP", "no CIP"};
    sample.rows.push_back(std::move(row));
  }
  return sample;
}

}  // namespace deda::report
