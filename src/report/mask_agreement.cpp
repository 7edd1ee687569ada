#include "report/mask_agreement.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "report/synthetic_report.h"

namespace deda::report {

namespace {

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
    if (own) cdps.emplace(description.sources[source], view);
  }
  return cdps;
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
      all.emplace_back(change_of(cdp, other->second).overlap, source);
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
