#include "data/reader.h"

#include <fmt/format.h>

#include <algorithm>

namespace deda::data {

namespace {
constexpr std::size_t max_listed_problems = 20;
constexpr std::size_t max_named_files = 5;
}  // namespace

void Reader::problem(std::string what, std::string where, std::string hint) {
  if (++problem_count_ <= max_listed_problems)
    problems_.push_back({std::move(what), std::move(where), std::move(hint)});
}

bool Reader::exists(const std::string& relative) const {
  std::error_code error;
  return std::filesystem::is_regular_file(config.root / relative, error);
}

void Reader::require_file(const std::string& relative, const std::string& listed) {
  if (options.check_files && !exists(relative))
    problem(fmt::format("{} is listed there, but missing on disk", relative), listed,
            "Complete the dataset, or take the line out of the list.");
}

void Reader::note_unlisted(const std::string& folder) {
  if (!options.check_files) return;
  std::set<std::string> listed;
  for (const Item& item : dataset.items) listed.insert(item.path);
  std::vector<std::string> extra;
  for (const std::string& name : list_pictures(config.root / folder)) {
    if (listed.count(folder + "/" + name) == 0) extra.push_back(folder + "/" + name);
  }
  if (extra.empty()) return;
  std::string names;
  for (std::size_t i = 0; i < std::min(extra.size(), max_named_files); ++i)
    names += (i ? ", " : "") + extra[i];
  notes.push_back(fmt::format("{} pictures are in no list and left out: {}{}", extra.size(), names,
                              extra.size() > max_named_files ? ", ..." : ""));
}

void Reader::finish() {
  if (problem_count_ == 0) {
    if (dataset.items.empty())
      problem("holds no picture of this layout", config.root.string(),
              "Check dataset.root and dataset.layout.");
    std::vector<std::int64_t> count(dataset.class_names.size(), 0);
    std::set<std::string> seen;
    for (const Item& item : dataset.items) {
      if (item.class_id >= 0 && static_cast<std::size_t>(item.class_id) < count.size())
        ++count[static_cast<std::size_t>(item.class_id)];
      else if (item.class_id != -1)
        problem(
            fmt::format("{} has class {}, but there are {} classes", item.path, item.class_id, count.size()),
            config.root.string());
      if (!seen.insert(item.path).second)
        problem(fmt::format("{} is listed twice", item.path), config.root.string());
    }
    for (std::size_t id = 0; id < count.size() && !dataset.items.empty(); ++id) {
      if (count[id] == 0)
        notes.push_back(fmt::format("class \"{}\" has no picture", dataset.class_names[id]));
    }
  }
  if (problem_count_ == 0) return;
  if (problem_count_ > problems_.size())
    problems_.push_back(
        {fmt::format("... and {} more problems of this kind", problem_count_ - problems_.size()),
         config.root.string(),
         {}});
  throw DataError(std::move(problems_));
}

bool is_picture(const std::filesystem::path& path) {
  static const std::set<std::string> suffixes = {".jpg",  ".jpeg", ".jpe",  ".png", ".bmp",
                                                 ".webp", ".tif",  ".tiff", ".gif"};
  std::string suffix = path.extension().string();
  std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return suffixes.count(suffix) != 0;
}

std::vector<std::string> list_pictures(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::recursive_directory_iterator entries(
      folder, std::filesystem::directory_options::skip_permission_denied, error);
  for (const std::filesystem::recursive_directory_iterator end; !error && entries != end;
       entries.increment(error)) {
    std::error_code ignored;
    const std::string base = entries->path().filename().string();
    if (base.starts_with('.')) {
      if (entries->is_directory(ignored)) entries.disable_recursion_pending();
      continue;
    }
    if (is_picture(entries->path()) && entries->is_regular_file(ignored))
      names.push_back(entries->path().lexically_relative(folder).generic_string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::array<double, 4> from_one_based(double x1, double y1, double x2, double y2) {
  return {x1 - 1, y1 - 1, x2, y2};
}

}  // namespace deda::data
