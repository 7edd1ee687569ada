#include "data/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/escaped_name.h"

namespace deda::data {

namespace {
constexpr std::size_t max_listed_problems = 20;
}  // namespace

void Reader::problem(Problem problem) {
  if (++problem_count_ <= max_listed_problems) problems_.push_back(std::move(problem));
}

void Reader::problem(std::string what, std::string where, std::string hint) {
  problem(Problem{std::move(what), std::move(where), std::move(hint)});
}

bool Reader::exists(const std::string& relative) const {
  std::error_code error;
  return std::filesystem::is_regular_file(config.root / relative, error);
}

void Reader::require_file(const std::string& relative, const std::string& listed) {
  if (options.check_files && !exists(relative))
    problem(fmt::format("{} is listed there, but missing on disk", escaped_name(relative)), listed,
            "Complete the dataset, or take the line out of the list.");
}

std::string Reader::listed_path(const std::string& folder, std::string name, const std::string& listed) {
  if (name.starts_with('/'))
    problem(fmt::format("{} is an absolute path", escaped_name(name)), listed,
            "Name pictures relative to the dataset.");
  std::string path = folder + name;
  if (name.find('\\') == std::string::npos || (options.check_files && exists(path))) return path;
  std::replace(name.begin(), name.end(), '\\', '/');
  note_at("path(s) with backslashes are read with '/'", listed);
  return folder + name;
}

bool Reader::check_box(const std::array<double, 4>& box, const std::string& listed) {
  if (std::all_of(box.begin(), box.end(), [](double side) { return std::isfinite(side); }) &&
      box[2] > box[0] && box[3] > box[1])
    return true;
  problem(fmt::format("has a box without pixels, from ({:g}, {:g}) to ({:g}, {:g})", box[0], box[1], box[2],
                      box[3]),
          listed, "Two corners are wanted, the upper left one first.");
  return false;
}

void Reader::note_at(const std::string& what, const std::string& where) {
  places_[what].push_back(where);
}

void Reader::note_unlisted(const std::string& folder) {
  if (!options.check_files) return;
  std::set<std::string> listed;
  for (const Item& item : dataset.items) listed.insert(item.path);
  std::vector<std::string> extra;
  for (const std::string& name : list_pictures(config.root / folder)) {
    if (listed.count(folder + "/" + name) == 0) extra.push_back(folder + "/" + name);
  }
  if (!extra.empty())
    notes.push_back(fmt::format("{} pictures are in no list and left out: {}", extra.size(), some_of(extra)));
}

void Reader::note_classes() {
  std::vector<std::size_t> pictures(dataset.class_names.size(), 0), training = pictures;
  bool any_training = false;
  for (const Item& item : dataset.items) {
    if (item.class_id < 0) continue;
    ++pictures[static_cast<std::size_t>(item.class_id)];
    if (item.split != Split::train) continue;
    ++training[static_cast<std::size_t>(item.class_id)];
    any_training = true;
  }
  std::vector<std::string> empty, untrained;
  for (std::size_t id = 0; id < pictures.size(); ++id) {
    if (pictures[id] == 0)
      empty.push_back(dataset.class_names[id]);
    else if (training[id] == 0 && any_training)
      untrained.push_back(dataset.class_names[id]);
  }
  if (!empty.empty())
    notes.push_back(
        fmt::format("{} of {} classes have no picture: {}", empty.size(), pictures.size(), some_of(empty)));
  if (!untrained.empty())
    notes.push_back(fmt::format("{} of {} classes have no training picture, so nothing learns them: {}",
                                untrained.size(), pictures.size(), some_of(untrained)));
}

void Reader::finish() {
  if (problem_count_ == 0) {
    if (dataset.items.empty())
      problem("holds no picture of this layout", config.root.string(),
              "Check dataset.root and dataset.layout.");
    const std::size_t classes = dataset.class_names.size();
    std::set<std::string> seen;
    for (const Item& item : dataset.items) {
      if (item.class_id < -1 || item.class_id >= static_cast<std::int64_t>(classes))
        problem(fmt::format("{} has class {}, but there are {} classes", escaped_name(item.path),
                            item.class_id, classes),
                config.root.string());
      const auto outside = [&](std::int32_t id) {
        return id < 0 || id >= static_cast<std::int64_t>(classes);
      };
      for (const auto* ids : {&item.labels, &item.difficult}) {
        for (const std::int32_t id : *ids) {
          if (outside(id))
            problem(fmt::format("{} has label {}, but there are {} classes", escaped_name(item.path), id,
                                classes),
                    config.root.string());
        }
      }
      for (const ObjectBox& object : item.objects) {
        if (outside(object.class_id))
          problem(fmt::format("{} has an object of class {}, but there are {} classes",
                              escaped_name(item.path), object.class_id, classes),
                  config.root.string());
      }
      if (!seen.insert(item.path).second)
        problem(fmt::format("{} is listed twice", escaped_name(item.path)), config.root.string());
    }
    for (const auto& [what, places] : places_)
      notes.push_back(fmt::format("{} {}: {}", places.size(), what, some_of(places)));
    if (problem_count_ == 0) note_classes();
  }
  if (problem_count_ == 0) return;
  if (problem_count_ > problems_.size())
    problems_.push_back(
        {fmt::format("... and {} more problems of this kind", problem_count_ - problems_.size()),
         config.root.string(),
         {}});
  throw DataError(std::move(problems_));
}

Problem unreadable(const std::filesystem::path& folder, const std::string& name, const std::string& reason) {
  return {"cannot be read: " + reason, path_text(name.empty() ? folder : folder / name),
          "Its pictures would be left out: check the permissions, or move it away."};
}

std::vector<std::string> list_pictures(const std::filesystem::path& folder) {
  FolderListing listing = list_folder(folder);
  std::vector<Problem> problems;
  for (const auto& [name, reason] : listing.unreadable) problems.push_back(unreadable(folder, name, reason));
  if (!problems.empty()) throw DataError(std::move(problems));
  return std::move(listing.pictures);
}

std::array<double, 4> from_one_based(double x1, double y1, double x2, double y2) {
  return {x1 - 1, y1 - 1, x2, y2};
}

}  // namespace deda::data
