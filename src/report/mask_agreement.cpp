#include "report/mask_agreement.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace deda::report {

namespace {

constexpr std::uint8_t mask_threshold = 128;
constexpr std::size_t most_worst = 5;

// Real CDPs by the picture's path.
std::map<std::string, io::RecordView> cdps_of(const io::StoreReader& store) {
  std::map<std::string, io::RecordView> cdps;
  const auto& description = store.description();
  for (std::size_t i = 0; i < store.size(); ++i) {
    const io::RecordView view = store.at(i);
    const auto& info = view.info;
    const auto source = static_cast<std::size_t>(info.source_index);
    const bool own = info.kind == io::RecordKind::cdp && info.version == 0 &&
                     source < description.sources.size() &&
                     info.class_id == description.source_classes[source];
    const bool full_size =
        info.width == info.crop[2] - info.crop[0] && info.height == info.crop[3] - info.crop[1];
    if (own && full_size) cdps.emplace(description.sources[source], view);
  }
  return cdps;
}

bool in_mask(const io::RecordView& cdp, int x, int y) {  // of the source picture
  const auto& crop = cdp.info.crop;
  if (x < crop[0] || y < crop[1] || x >= crop[2] || y >= crop[3]) return false;
  const auto place = static_cast<std::size_t>(y - crop[1]) * static_cast<std::size_t>(cdp.info.width) +
                     static_cast<std::size_t>(x - crop[0]);
  return cdp.pixels[4 * place + 3] >= mask_threshold;
}

double iou_of(const io::RecordView& a, const io::RecordView& b) {
  const auto &first = a.info.crop, &second = b.info.crop;
  std::int64_t both = 0, either = 0;
  for (int y = std::min(first[1], second[1]); y < std::max(first[3], second[3]); ++y) {
    for (int x = std::min(first[0], second[0]); x < std::max(first[2], second[2]); ++x) {
      const bool in_a = in_mask(a, x, y), in_b = in_mask(b, x, y);
      both += in_a && in_b;
      either += in_a || in_b;
    }
  }
  return either == 0 ? 0 : static_cast<double>(both) / static_cast<double>(either);
}

std::string name_of(const io::StoreReader& store) {
  return fmt::format("{} ({})", fmt::join(store.description().routes, ", "),
                     store.folder().filename().string());
}

}  // namespace

MaskAgreement compare_masks(const io::StoreReader& first, const io::StoreReader& second) {
  MaskAgreement agreement;
  agreement.first = name_of(first);
  agreement.second = name_of(second);
  const auto a = cdps_of(first), b = cdps_of(second);
  std::vector<std::pair<double, std::string>> all;
  for (const auto& [source, cdp] : a) {
    const auto other = b.find(source);
    if (other == b.end())
      ++agreement.first_only;
    else
      all.emplace_back(iou_of(cdp, other->second), source);
  }
  agreement.both = static_cast<std::int64_t>(all.size());
  agreement.second_only = static_cast<std::int64_t>(b.size()) - agreement.both;
  if (all.empty()) return agreement;
  std::sort(all.begin(), all.end());
  for (const auto& [iou, source] : all) agreement.mean_iou += iou / static_cast<double>(all.size());
  agreement.median_iou = all[all.size() / 2].first;
  all.resize(std::min(all.size(), most_worst));
  agreement.worst = std::move(all);
  return agreement;
}

std::string to_text(const MaskAgreement& agreement) {
  std::string text = fmt::format(
      "masks of {} and of {}: {} pictures have both, IoU mean {:.3f}, median {:.3f}; {} only the first, {} "
      "only the second\n",
      agreement.first, agreement.second, agreement.both, agreement.mean_iou, agreement.median_iou,
      agreement.first_only, agreement.second_only);
  for (const auto& [iou, source] : agreement.worst) text += fmt::format("  {:.3f} {}\n", iou, source);
  return text;
}

void add_to_page(Page& page, const MaskAgreement& agreement) {
  page.paragraph(fmt::format(
      "Masks of {} and of {}: {} pictures have both, with a mean IoU of {:.3f} (median {:.3f}); {} "
      "have a CDP only in the first store, {} only in the second.",
      agreement.first, agreement.second, agreement.both, agreement.mean_iou, agreement.median_iou,
      agreement.first_only, agreement.second_only));
  std::vector<std::vector<TableCell>> rows;
  for (const auto& [iou, source] : agreement.worst)
    rows.push_back({{source}, {fmt::format("{:.3f}", iou), true}});
  if (!rows.empty()) page.table({"picture", "IoU"}, rows, "The pictures that agree least.");
}

}  // namespace deda::report
