#include "data/readers/folder_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/escaped_name.h"

namespace deda::data {

namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::optional<Split> split_named(const std::string& name) {
  static const std::map<std::string, Split> names = {
      {"train", Split::train},          {"training", Split::train}, {"test", Split::test},
      {"testing", Split::test},         {"val", Split::validation}, {"valid", Split::validation},
      {"validation", Split::validation}};
  const auto found = names.find(lower(name));
  return found == names.end() ? std::nullopt : std::optional{found->second};
}

bool says_pictures(const std::string& name) {
  static const std::set<std::string> names = {"images", "image",      "imgs", "img",     "pictures",  "pics",
                                              "photos", "jpegimages", "data", "dataset", "originals", "rgb"};
  return names.count(lower(name)) != 0;
}

// Masks whose files say object or not, as layout folder reads them.
bool says_masks(const std::string& name) {
  const std::string text = lower(name);
  return text.find("mask") != std::string::npos || text.find("segmentation") != std::string::npos;
}

// Folders that may hold something about the pictures, in whatever values.
bool says_labels(const std::string& name) {
  static const std::set<std::string> names = {
      "seg",   "segs",        "trimap",       "trimaps",     "matte",      "mattes",
      "alpha", "alphas",      "annotation",   "annotations", "label",      "labels",
      "gt",    "groundtruth", "ground_truth", "silhouette",  "silhouettes"};
  return names.count(lower(name)) != 0;
}

std::string stem_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  return std::filesystem::path(name).stem().string();
}

struct Child {
  std::size_t pictures = 0, direct = 0;
  std::set<std::string> folders;  // in it, with pictures
  std::set<std::string> stems;    // of its pictures at any depth
};

// The folders in one folder, those without pictures too.
using Level = std::map<std::string, Child>;

Level level_at(const FolderListing& listing, const std::string& prefix) {
  Level level;
  for (const std::string& folder : listing.folders) {
    const auto name = path_below(prefix, folder);
    if (name && name->find('/') == std::string::npos) level[*name];
  }
  for (const std::string& picture : listing.pictures) {
    const auto path = path_below(prefix, picture);
    const std::size_t slash = path ? path->find('/') : std::string::npos;
    if (slash == std::string::npos) continue;
    Child& child = level[path->substr(0, slash)];
    ++child.pictures;
    const std::string inside = path->substr(slash + 1);
    child.stems.insert(stem_of(inside));
    if (const std::size_t next = inside.find('/'); next == std::string::npos)
      ++child.direct;
    else
      child.folders.insert(inside.substr(0, next));
  }
  return level;
}

bool any_common(const std::set<std::string>& a, const std::set<std::string>& b) {
  return std::any_of(a.begin(), a.end(), [&](const std::string& name) { return b.count(name) != 0; });
}

// Its folders have the names of folders beside it, or of those inside them.
bool mirrors_folders(const Level& level, const std::string& name) {
  const Child& mirror = level.at(name);
  return std::any_of(level.begin(), level.end(), [&](const auto& other) {
    return other.first != name && other.second.pictures > 0 &&
           (mirror.folders.count(other.first) != 0 || any_common(mirror.folders, other.second.folders));
  });
}

// At least half of its files have names of pictures beside it.
bool mirrors_files(const Level& level, const std::string& name) {
  const Child& mirror = level.at(name);
  std::size_t alike = 0;
  for (const std::string& stem : mirror.stems) {
    alike += std::any_of(level.begin(), level.end(), [&](const auto& other) {
      return other.first != name && other.second.stems.count(stem) != 0;
    });
  }
  return mirror.direct > 0 && 2 * alike >= mirror.stems.size();
}

// A folder of something about the pictures beside it: by its name and its folders, or by a name that says
// nothing else and its files (numbered files of classes like "with_mask" are alike too).
bool is_about_pictures(const Level& level, const std::string& name) {
  if (level.at(name).pictures == 0) return false;
  if ((says_masks(name) || says_labels(name)) && mirrors_folders(level, name)) return true;
  static const std::set<std::string> plain = {"mask", "masks", "segmentation", "segmentations"};
  return (plain.count(lower(name)) != 0 || says_labels(name)) && mirrors_files(level, name);
}

// Whatever its name: it has a folder for each of at least two classes beside it.
bool mirrors_all(const Level& level, const std::string& name) {
  constexpr std::size_t least = 2;
  std::size_t others = 0;
  for (const auto& [other, child] : level) {
    if (other == name || child.pictures == 0 || says_masks(other) || says_labels(other)) continue;
    if (level.at(name).folders.count(other) == 0) return false;
    ++others;
  }
  return others >= least;
}

bool is_shaped_like_a_split(const Child& child) {
  return !child.folders.empty() && 2 * child.direct <= child.pictures;
}

std::string names_of(const std::set<std::string>& names) {
  return some_of({names.begin(), names.end()});
}

class Analysis {
 public:
  Analysis(const FolderListing& listing, bool masks_are_named)
      : listing_{listing}, masks_are_named_{masks_are_named} {}

  FolderLayout find() {
    const std::string top = descend({}, false);
    layout_.top = top;
    const Level level = level_at(listing_, top);
    const auto candidates = candidates_of(level);
    find_splits(top, level, candidates);
    if (!layout_.split_folders && layout_.problems.empty()) layout_.places.push_back({top, Split::train});
    for (const ClassPlace& place : layout_.places) look_at_classes(place.prefix);
    return std::move(layout_);
  }

 private:
  // Folders with pictures that are not masks of those beside them.
  std::vector<std::string> candidates_of(const Level& level) const {
    std::vector<std::string> names;
    for (const auto& [name, child] : level) {
      if (child.pictures > 0 && !is_about_pictures(level, name)) names.push_back(name);
    }
    return names;
  }

  // Into folders that hold all classes: images/ beside masks/, or the only one there is. In a split only the
  // former.
  std::string descend(std::string prefix, bool only_images) {
    for (;;) {
      const Level level = level_at(listing_, prefix);
      const auto candidates = candidates_of(level);
      std::string chosen;
      for (const std::string& name : candidates) {
        const Child& child = level.at(name);
        if (child.direct > 0 || child.folders.empty() || split_named(name)) continue;
        const bool alone = candidates.size() == 1;
        const bool has_masks = std::any_of(level.begin(), level.end(), [&](const auto& other) {
          return other.first != name && (says_masks(other.first) || says_labels(other.first)) &&
                 any_common(other.second.folders, child.folders);
        });
        if (says_pictures(name) ? alone || has_masks : alone && !only_images) chosen = name;
      }
      if (chosen.empty()) {
        take_masks(prefix, level, {prefix});
        return prefix;
      }
      layout_.notes.push_back(fmt::format("the folders in {} are taken as the classes or splits, since {}",
                                          escaped_name(below(prefix, chosen)),
                                          candidates.size() > 1 ? "its folder of masks lies beside it"
                                                                : "no other folder there holds pictures"));
      take_masks(prefix, level, {below(prefix, chosen), prefix});
      prefix = below(prefix, chosen);
    }
  }

  // The folder of masks in `prefix`, if there is one.
  void take_masks(const std::string& prefix, const Level& level, const std::vector<std::string>& bases) {
    std::vector<std::string> found;
    for (const auto& [name, child] : level) {
      if (!is_about_pictures(level, name)) continue;
      layout_.no_class.push_back(below(prefix, name));
      const bool by_folders = mirrors_folders(level, name);
      if (says_masks(name) && by_folders)
        found.push_back(below(prefix, name));
      else if (!by_folders)
        layout_.problems.push_back(
            {fmt::format("the files in {} have the names of pictures beside it, so that it may be no class",
                         escaped_name(below(prefix, name))),
             {},
             "If it holds masks, sort them into folders named like the classes and name it in dataset.masks; "
             "if it is a "
             "class, give the folder another name."});
      else if (!masks_are_named_)
        layout_.problems.push_back(
            {fmt::format("the folder {} has the names of the classes beside it, so that it is no class",
                         escaped_name(below(prefix, name))),
             {},
             "If it holds masks whose nonzero values are the object, name it in dataset.masks; else move it "
             "out of the "
             "dataset's folder."});
    }
    if (found.empty()) return;
    if (masks_are_named_) {
      layout_.notes.push_back(fmt::format(
          "{} looks like masks and is no class; dataset.masks names another folder", some_of(found)));
    } else if (found.size() > 1) {
      layout_.problems.push_back({fmt::format("several folders look like masks: {}", some_of(found)),
                                  {},
                                  "Name the one to use in dataset.masks."});
    } else {
      layout_.notes.push_back(fmt::format(
          "the folder {} is taken as the masks of the pictures beside it; dataset.masks would name another",
          escaped_name(found[0])));
      layout_.masks.push_back({found[0], bases});
    }
  }

  void find_splits(const std::string& top, const Level& level, const std::vector<std::string>& candidates) {
    std::vector<std::string> splits, shaped, others;
    for (const std::string& name : candidates) {
      if (!split_named(name)) {
        others.push_back(name);
        continue;
      }
      splits.push_back(name);
      if (is_shaped_like_a_split(level.at(name))) shaped.push_back(name);
    }
    if (splits.empty()) return;
    if (shaped.empty()) {
      if (others.empty())
        problem(top,
                fmt::format("{} hold{} pictures without class folders", some_of(splits),
                            splits.size() == 1 ? "s" : ""),
                "Put the pictures of each class into a folder of its own: train/CLASS/picture.");
      else
        layout_.notes.push_back(
            fmt::format("{} is taken as a class, like {} beside it", some_of(splits), some_of(others)));
      return;
    }
    if (!others.empty() && shaped.size() < 2) {
      problem(top,
              fmt::format("{} holds folders ({}) as a split does, but {} beside it would be classes",
                          escaped_name(shaped[0]), names_of(level.at(shaped[0]).folders), some_of(others)),
              "Move what is no split out of the dataset's folder, or give the class another name.");
      return;
    }
    for (std::size_t i = 1; i < shaped.size(); ++i) {
      if (any_common(level.at(shaped[0]).folders, level.at(shaped[i]).folders)) continue;
      problem(top,
              fmt::format("{} and {} have no class in common: {} against {}", escaped_name(shaped[0]),
                          escaped_name(shaped[i]), names_of(level.at(shaped[0]).folders),
                          names_of(level.at(shaped[i]).folders)),
              "Split folders hold the same classes.");
      return;
    }
    layout_.split_folders = true;
    for (const Split split : {Split::train, Split::test, Split::validation}) {
      std::vector<std::string> same;
      for (const std::string& name : splits) {
        if (split_named(name) == split) same.push_back(name);
      }
      for (const std::string& name : same) layout_.places.push_back({descend(below(top, name), true), split});
      if (same.size() > 1) layout_.notes.push_back(fmt::format("{} are read as one split", some_of(same)));
      if (same.empty() && split != Split::validation)
        layout_.notes.push_back(fmt::format(
            "there is no folder {} beside {}: {}", split == Split::train ? "train" : "test", some_of(splits),
            split == Split::train ? "no training pictures" : "no test pictures"));
    }
  }

  void look_at_classes(const std::string& prefix) {
    const Level level = level_at(listing_, prefix);
    std::vector<std::string> empty;
    for (const auto& [name, child] : level) {
      const std::string path = below(prefix, name);
      if (child.pictures == 0) {
        empty.push_back(path);
        continue;
      }
      if (is_no_class(path)) continue;
      if (mirrors_all(level, name) && !split_named(name))
        problem(prefix,
                fmt::format("the folder {} has a folder for each of the classes beside it ({})",
                            escaped_name(path), names_of(level.at(name).folders)),
                "If it holds masks, name it in dataset.masks; else move it out of the dataset's folder.");
      else if ((says_masks(name) || says_labels(name)) && level.size() > 1)
        layout_.notes.push_back(fmt::format(
            "the folder {} is taken as a class: its names are not those of the pictures beside it",
            escaped_name(path)));
    }
    if (!empty.empty())
      layout_.notes.push_back(fmt::format("{} folder{} without a picture that is read, so no class: {}",
                                          empty.size(), empty.size() == 1 ? "" : "s", some_of(empty)));
  }

  bool is_no_class(const std::string& path) const {
    return std::find(layout_.no_class.begin(), layout_.no_class.end(), path) != layout_.no_class.end();
  }

  void problem(const std::string& where, std::string what, std::string hint) {
    layout_.problems.push_back({std::move(what), where, std::move(hint)});
  }

  const FolderListing& listing_;
  bool masks_are_named_;
  FolderLayout layout_;
};

}  // namespace

std::string below(const std::string& folder, const std::string& name) {
  if (folder.empty() || name.empty()) return folder + name;
  return folder + '/' + name;
}

std::optional<std::string> path_below(const std::string& folder, const std::string& path) {
  if (folder.empty()) return path;
  if (path.size() <= folder.size() || !path.starts_with(folder) || path[folder.size()] != '/')
    return std::nullopt;
  return path.substr(folder.size() + 1);
}

bool names_no_class(const std::string& name) {
  return says_pictures(name) || says_masks(name) || says_labels(name) || split_named(name).has_value();
}

FolderLayout layout_of(const FolderListing& listing, bool masks_are_named) {
  return Analysis(listing, masks_are_named).find();
}

}  // namespace deda::data
