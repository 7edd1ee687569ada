#include "report/store_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "core/error.h"
#include "core/escaped_name.h"
#include "io/pictures/image_codec.h"

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
  std::string text =
      fmt::format("{} store of {}: {} pictures ({}), {} records, {:.1f} MB of pixels\n", summary.stage,
                  summary.dataset, summary.items, outcome_words(summary.outcomes), summary.records,
                  static_cast<double>(summary.pixel_bytes) / 1e6);
  text += fmt::format("{:<28} {:>8} {:>8} {:>10} {:>8} {:>12}\n", "class", "pictures", "CDPs", "synthetic",
                      "CIPs", "mask share");
  for (const ClassSummary& owner : summary.classes) {
    text += fmt::format("{:<28} {:>8} {:>8} {:>10} {:>8} {:>11.1f}%\n", owner.name.substr(0, 28), owner.items,
                        owner.real_cdps, owner.synthetic_cdps, owner.cips, 100 * owner.mean_mask_share);
  }
  text += summary.adds_up() ? "counts add up: every picture has one outcome\n"
                            : "COUNTS DO NOT ADD UP: the store is damaged or unfinished\n";
  return text;
}

void add_to_page(Page& page, const StoreSummary& summary) {
  page.paragraph(fmt::format("{} pictures: {}. {} records, {:.1f} MB of pixels.", summary.items,
                             outcome_words(summary.outcomes), summary.records,
                             static_cast<double>(summary.pixel_bytes) / 1e6));
  std::vector<std::vector<TableCell>> rows;
  for (const ClassSummary& owner : summary.classes) {
    rows.push_back({{owner.name},
                    {std::to_string(owner.items), true},
                    {std::to_string(owner.real_cdps), true},
                    {std::to_string(owner.synthetic_cdps), true},
                    {std::to_string(owner.cips), true},
                    {fmt::format("{:.1f} %", 100 * owner.mean_mask_share), true}});
  }
  page.table({"class", "pictures", "real CDPs", "synthetic CDPs", "CIPs", "mean mask share"}, rows,
             "Mask share: pixels of the mask over pixels of the picture.");
}

std::vector<SheetRow> sample_rows(const io::StoreReader& store, const std::filesystem::path& dataset_root,
                                  std::size_t count) {
  const io::StoreDescription& description = store.description();
  struct Parts {
    std::size_t cdp = SIZE_MAX, cip = SIZE_MAX;
  };
  std::map<std::int64_t, Parts> parts;
  for (std::size_t i = 0; i < store.size(); ++i) {
    const io::RecordInfo info = store.at(i).info;
    if (info.kind == io::RecordKind::cip)
      parts[info.source_index].cip = i;
    else if (info.version == 0)
      parts[info.source_index].cdp = i;
  }
  // Round robin over the classes, so that every class is seen before any is seen twice.
  std::map<std::int32_t, std::vector<std::int64_t>> by_class;
  for (const auto& [item, part] : parts) {
    if (static_cast<std::size_t>(item) < description.source_classes.size())
      by_class[description.source_classes[static_cast<std::size_t>(item)]].push_back(item);
  }
  std::vector<std::int64_t> chosen;
  for (std::size_t round = 0; chosen.size() < count; ++round) {
    const std::size_t before = chosen.size();
    for (const auto& [id, items] : by_class) {
      if (round < items.size() && chosen.size() < count) chosen.push_back(items[round]);
    }
    if (chosen.size() == before) break;
  }
  std::vector<SheetRow> rows;
  for (const std::int64_t item : chosen) {
    const Parts part = parts[item];
    SheetRow row;
    const std::string& source = description.sources[static_cast<std::size_t>(item)];
    row.caption = source;
    io::Image original;
    if (!dataset_root.empty()) {
      try {
        original = io::read_image(dataset_root / path_of_name(source)).image;
      } catch (const Error&) {
        row.caption += " (picture not at hand)";
      }
    }
    row.cells.push_back(std::move(original));
    row.cells.push_back(part.cdp == SIZE_MAX ? io::Image{} : copy_of(store.at(part.cdp)));
    row.cells.push_back(part.cip == SIZE_MAX ? io::Image{} : copy_of(store.at(part.cip)));
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace deda::report
