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

namespace {

// Follows links to folders; `open` are the folders that lead here, so that a link to one of them ends there.
void list_pictures_in(const std::filesystem::path& folder, const std::filesystem::path& top,
                      std::set<std::filesystem::path>& open, std::vector<std::string>& names) {
  namespace fs = std::filesystem;
  std::error_code error;
  const auto real = fs::canonical(folder, error);
  if (!error && !open.insert(real).second) return;
  fs::directory_iterator entries(folder, error);
  for (const fs::directory_iterator end; !error && entries != end; entries.increment(error)) {
    std::error_code ignored;
    const auto& path = entries->path();
    if (path.filename().string().starts_with('.')) continue;
    if (entries->is_directory(ignored))
      list_pictures_in(path, top, open, names);
    else if (is_picture(path) && entries->is_regular_file(ignored))
      names.push_back(path.lexically_relative(top).generic_string());
  }
  if (error)
    throw DataError("cannot be read: " + error.message(), folder.string(),
                    "Its pictures would be left out: check the permissions, or move the folder away.");
  open.erase(real);
}

}  // namespace

std::vector<std::string> list_pictures(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) return names;
  std::set<std::filesystem::path> open;
  list_pictures_in(folder, folder, open, names);
  std::sort(names.begin(), names.end());
  return names;
}

std::array<double, 4> from_one_based(double x1, double y1, double x2, double y2) {
  return {x1 - 1, y1 - 1, x2, y2};
}

}  // namespace deda::data
