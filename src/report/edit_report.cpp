#include "report/edit_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "generative/method.h"

namespace deda::report {
namespace {

std::string title_of(const std::string& method) {
  const auto known = generative::method_named(method);
  return known ? std::string{generative::facts_of(*known).title} : method;
}

// Records of every source, in the store's order.
std::map<std::string, std::vector<std::size_t>> by_source(const io::StoreReader& store) {
  std::map<std::string, std::vector<std::size_t>> records;
  for (std::size_t i = 0; i < store.size(); ++i)
    records[store.description().sources.at(static_cast<std::size_t>(store.at(i).info.source_index))]
        .push_back(i);
  return records;
}

io::Image image_of(const io::RecordView& record) {
  io::Image image(record.info.height, record.info.width, record.info.channels);
  image.pixels.assign(record.pixels.begin(), record.pixels.end());
  return image;
}

std::string caption_of(const io::StoreReader& store, const io::RecordInfo& info) {
  std::string text;
  if (info.target_class != info.class_id && info.target_class >= 0)
    text = "into " + store.description().class_names.at(static_cast<std::size_t>(info.target_class)) + ", ";
  text += fmt::format("s = {:.3g}", info.strength);
  if (info.clip_score != io::not_measured) text += fmt::format(", CLIP {:.2f}", info.clip_score);
  return text;
}

struct Source {
  std::string path;
  std::int32_t class_id = -1;
  int height = 0, width = 0;  // as the stores saw it
};

// Sources that any store has an edit of, those of most stores first, spread over classes.
std::vector<Source> sources_to_show(
    const std::vector<const io::StoreReader*>& stores,
    const std::vector<std::map<std::string, std::vector<std::size_t>>>& records, std::size_t count) {
  std::map<std::string, std::pair<Source, std::size_t>> all;  // with the number of stores that have it
  for (std::size_t s = 0; s < stores.size(); ++s) {
    for (const auto& [path, of_source] : records[s]) {
      const auto info = stores[s]->at(of_source.front()).info;
      auto& entry = all[path];
      entry.first = {path, info.class_id, info.crop[3], info.crop[2]};
      ++entry.second;
    }
  }
  std::map<std::int32_t, std::vector<std::pair<std::size_t, const Source*>>> by_class;
  for (const auto& [path, entry] : all)
    by_class[entry.first.class_id].push_back({entry.second, &entry.first});
  for (auto& [id, members] : by_class)
    std::stable_sort(members.begin(), members.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<Source> chosen;
  for (std::size_t round = 0; chosen.size() < count; ++round) {
    bool any = false;
    for (const auto& [id, members] : by_class) {
      if (round >= members.size() || chosen.size() == count) continue;
      chosen.push_back(*members[round].second);
      any = true;
    }
    if (!any) break;
  }
  return chosen;
}

}  // namespace

std::string peer_of(const io::StoreReader& store) {
  const auto settings = nlohmann::json::parse(store.description().configuration, nullptr, false);
  if (!settings.is_object()) return {};
  const auto found = settings.find("generate.method");
  return found != settings.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

EditSummary summarize_edits(const io::StoreReader& store) {
  EditSummary summary;
  summary.method = peer_of(store);
  summary.items = store.outcomes().items;
  summary.edits = static_cast<std::int64_t>(store.size());
  double sum = 0;
  for (std::size_t i = 0; i < store.size(); ++i) {
    const auto info = store.at(i).info;
    summary.into_other_classes += info.target_class != info.class_id;
    if (info.clip_score == io::not_measured) continue;
    const auto score = static_cast<double>(info.clip_score);
    summary.lowest_score = summary.scored == 0 ? score : std::min(summary.lowest_score, score);
    summary.highest_score = summary.scored == 0 ? score : std::max(summary.highest_score, score);
    sum += score;
    ++summary.scored;
  }
  if (summary.scored > 0) summary.mean_score = sum / static_cast<double>(summary.scored);
  return summary;
}

std::string to_text(const EditSummary& summary) {
  auto text = fmt::format("{}: {} edits of {} items", title_of(summary.method), summary.edits, summary.items);
  if (summary.into_other_classes > 0)
    text += fmt::format(", {} into other classes", summary.into_other_classes);
  if (summary.scored > 0)
    text += fmt::format("; CLIP scores {:.3f} in the mean, {:.3f} to {:.3f}", summary.mean_score,
                        summary.lowest_score, summary.highest_score);
  else
    text += "; no CLIP scores";
  return text + "\n";
}

EditSheet edit_sheet(const std::vector<const io::StoreReader*>& stores, const Originals& originals,
                     std::size_t count, std::size_t edits) {
  EditSheet sheet;
  sheet.titles.emplace_back("source");
  std::vector<std::map<std::string, std::vector<std::size_t>>> records;
  for (const auto* store : stores) {
    records.push_back(by_source(*store));
    for (std::size_t k = 0; k < edits; ++k)
      sheet.titles.push_back(k == 0 ? title_of(peer_of(*store)) : std::string{});
  }
  for (const auto& source : sources_to_show(stores, records, count)) {
    SheetRow row;
    const auto original = originals.picture(source.path, source.height, source.width);
    ++sheet.shown;
    sheet.missing_pictures += !original.why_not.empty();
    row.cells.push_back(original.image);
    row.instead.push_back(original.why_not);
    row.below.push_back(source.path.substr(source.path.rfind('/') + 1));
    for (std::size_t s = 0; s < stores.size(); ++s) {
      const auto found = records[s].find(source.path);
      for (std::size_t k = 0; k < edits; ++k) {
        const bool has = found != records[s].end() && k < found->second.size();
        row.cells.push_back(has ? image_of(stores[s]->at(found->second[k])) : io::Image{});
        row.instead.push_back(has ? std::string{} : "none");
        row.below.push_back(has ? caption_of(*stores[s], stores[s]->at(found->second[k]).info)
                                : std::string{});
      }
    }
    sheet.rows.push_back(std::move(row));
  }
  return sheet;
}

}  // namespace deda::report
