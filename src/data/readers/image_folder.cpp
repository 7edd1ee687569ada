// Any folder of pictures: root/CLASS/... with a share of each class held out, or root/train/CLASS/...,
// root/test/CLASS/... (also val, valid, validation, training, testing, in any case). What else lies there -
// folders around the classes, masks beside them, other files - is recognised where it can be no other, and
// told (folder_layout.h). Masks lie in a folder of their own with the same relative names and any picture
// suffix.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/escaped_name.h"
#include "core/random.h"
#include "data/reader.h"
#include "data/readers/folder_layout.h"

namespace deda::data {

namespace {

std::string without_suffix(const std::string& path) {
  return std::filesystem::path(path).replace_extension().generic_string();
}

struct Found {
  std::string path, class_name;
  Split split;
  bool in_folder = false;  // of its class's folder
};

// Holds out `share` of each class, at least one picture where there are two, by the few-shot purpose's
// generator.
void hold_out(std::vector<Found>& found, double share, std::int64_t seed, std::vector<std::string>& notes) {
  std::map<std::string, std::vector<std::size_t>> by_class;
  for (std::size_t i = 0; i < found.size(); ++i) by_class[found[i].class_name].push_back(i);
  std::uint64_t id = 1ull << 32;  // apart from the few-shot draws of the same seed
  std::vector<std::string> alone;
  for (auto& [name, members] : by_class) {
    const auto order =
        permutation(static_cast<std::uint32_t>(members.size()),
                    RandomStream{static_cast<std::uint64_t>(seed), Purpose::few_shot, 0, id++});
    std::size_t count = static_cast<std::size_t>(std::lround(share * static_cast<double>(members.size())));
    if (share > 0 && count == 0 && members.size() > 1) count = 1;
    if (share > 0 && members.size() == 1) alone.push_back(name);
    for (std::size_t i = 0; i < count && i + 1 < members.size(); ++i)
      found[members[order[i]]].split = Split::test;
  }
  if (!alone.empty())
    notes.push_back(
        fmt::format("{} of {} classes have one picture, which is for training: no test picture of {}",
                    alone.size(), by_class.size(), some_of(alone)));
}

// The masks of one folder, found by the names that pictures have below its bases.
class MaskFiles {
 public:
  // `folder`: relative to the dataset's root; `files`: below it.
  MaskFiles(std::string folder, std::vector<std::string> bases, const std::vector<std::string>& files)
      : folder_{std::move(folder)}, bases_{std::move(bases)} {
    for (const std::string& file : files) by_stem_[without_suffix(file)].push_back(file);
  }

  // The mask of a picture, relative to the root; empty where there is none. a/b.jpg has a/b.png, else
  // a/b.jpg.png.
  std::string mask_of(const std::string& picture) {
    for (const std::string& base : bases_) {
      const auto name = path_below(base, picture);
      if (!name) continue;
      auto masks = by_stem_.find(without_suffix(*name));
      if (masks == by_stem_.end()) masks = by_stem_.find(*name);
      if (masks == by_stem_.end()) continue;
      const std::string& chosen = choose(masks->second, *name);
      pictures_of_[chosen].push_back(picture);
      return below(folder_, chosen);
    }
    return {};
  }

  // What is unusual, once all pictures were asked for.
  void add_notes(std::vector<std::string>& notes) const {
    std::vector<std::string> unused, shared, several;
    for (const auto& [stem, masks] : by_stem_) {
      const auto used = std::count_if(masks.begin(), masks.end(),
                                      [&](const std::string& mask) { return pictures_of_.count(mask) != 0; });
      if (used == 0)
        unused.insert(unused.end(), masks.begin(), masks.end());
      else if (masks.size() > 1)
        several.push_back(masks[0] + " beside " + masks[1]);
    }
    for (const auto& [mask, pictures] : pictures_of_) {
      if (pictures.size() > 1) shared.push_back(pictures[0] + " and " + pictures[1]);
    }
    const auto tell = [&](const std::vector<std::string>& names, const char* what) {
      if (!names.empty()) notes.push_back(fmt::format("{} {}: {}", names.size(), what, some_of(names)));
    };
    tell(unused, "masks fit no picture by name and folder");
    tell(shared, "masks are used for more than one picture");
    tell(several,
         "pictures have more than one mask (the one with the picture's own name is used, else PNG before "
         "others)");
  }

 private:
  static const std::string& choose(const std::vector<std::string>& masks, const std::string& picture) {
    const auto own = std::find(masks.begin(), masks.end(), picture);
    if (own != masks.end()) return *own;
    const auto png = std::find_if(masks.begin(), masks.end(), [](const std::string& mask) {
      const auto suffix = std::filesystem::path(mask).extension();
      return suffix == ".png" || suffix == ".PNG";
    });
    return png != masks.end() ? *png : masks.front();
  }

  std::string folder_;
  std::vector<std::string> bases_;
  std::map<std::string, std::vector<std::string>> by_stem_;
  std::map<std::string, std::vector<std::string>> pictures_of_;  // mask -> pictures that use it
};

// The folder that dataset.masks names, from the root: through links as the system goes, in case the root is
// one.
std::string relative_to_root(const std::filesystem::path& folder, const std::filesystem::path& root) {
  return std::filesystem::canonical(folder)
      .lexically_relative(std::filesystem::canonical(root))
      .generic_string();
}

class FolderReader {
 public:
  explicit FolderReader(Reader& reader) : reader_{reader}, config_{reader.config} {}

  void read() {
    const auto whole = std::filesystem::absolute(config_.root).lexically_normal();
    reader_.dataset.name = (whole.filename().empty() ? whole.parent_path() : whole).filename().string();
    list();
    for (Problem& problem : layout_.problems) {
      problem.where = (config_.root / problem.where).string();
      reader_.problem(std::move(problem));
    }
    for (const std::string& note : layout_.notes) reader_.notes.push_back(note);
    find_pictures();
    tell_what_is_left_out();
    if (!layout_.split_folders) hold_out(found_, config_.test_share, config_.subset_seed, reader_.notes);
    look_at_classes();
    find_masks();
    add_items();
  }

 private:
  void list() {
    std::set<FileIdentity> passed_over;
    if (!config_.masks.empty()) {
      const auto masks = identity_of(config_.masks);
      if (!masks || !std::filesystem::is_directory(config_.masks))
        reader_.problem("is no folder", config_.masks.string(), "Check dataset.masks.");
      else if (masks == identity_of(config_.root))
        reader_.problem("is the folder of the pictures too", config_.masks.string(),
                        "Name the folder of masks in dataset.masks, or leave it empty.");
      else
        passed_over.insert(*masks);
    }
    listing_ = list_folder(config_.root, passed_over);
    layout_ = layout_of(listing_, !config_.masks.empty());
  }

  void find_pictures() {
    for (const ClassPlace& place : layout_.places) {
      for (const std::string& path : listing_.pictures) {
        const auto name = path_below(place.prefix, path);
        const std::size_t slash = name ? name->find('/') : std::string::npos;
        if (slash == std::string::npos) continue;
        const std::string class_name = name->substr(0, slash);
        if (is_no_class(below(place.prefix, class_name))) continue;
        found_.push_back({path, class_name, place.split, name->find('/', slash + 1) != std::string::npos});
        used_.insert(path);
      }
    }
  }

  bool is_no_class(const std::string& folder) const {
    return std::find(layout_.no_class.begin(), layout_.no_class.end(), folder) != layout_.no_class.end();
  }

  // Every picture below the root is an item, a mask, or told here.
  void tell_what_is_left_out() {
    std::vector<std::string> loose;
    std::map<std::string, std::size_t> elsewhere;  // folder -> pictures
    for (const std::string& path : listing_.pictures) {
      if (used_.count(path) != 0) continue;
      const auto in_folder = [&](const std::string& folder) { return path_below(folder, path).has_value(); };
      const auto masks = std::find_if(layout_.no_class.begin(), layout_.no_class.end(), in_folder);
      if (masks != layout_.no_class.end()) {
        const bool taken = std::any_of(layout_.masks.begin(), layout_.masks.end(),
                                       [&](const MaskPlace& place) { return place.folder == *masks; });
        if (!taken) ++elsewhere[*masks];
        continue;
      }
      const bool in_class_place =
          std::any_of(layout_.places.begin(), layout_.places.end(), [&](const ClassPlace& place) {
            const auto name = path_below(place.prefix, path);
            return name && name->find('/') == std::string::npos;
          });
      const auto below_top = path_below(layout_.top, path);
      if (in_class_place || !below_top || below_top->find('/') == std::string::npos)
        loose.push_back(path);
      else
        ++elsewhere[below(layout_.top, below_top->substr(0, below_top->find('/')))];
    }
    if (!loose.empty())
      reader_.notes.push_back(
          fmt::format("left out: {} pictures that lie in no class folder: {}", loose.size(), some_of(loose)));
    if (!elsewhere.empty()) {
      std::size_t pictures = 0;
      std::vector<std::string> folders;
      for (const auto& [folder, count] : elsewhere) {
        pictures += count;
        folders.push_back(fmt::format("{} ({})", folder, count));
      }
      reader_.notes.push_back(
          fmt::format("left out: {} pictures in folders that are no class: {}", pictures, some_of(folders)));
    }
    for (const std::string& note : notes_on(listing_)) reader_.notes.push_back(note);
    for (const auto& [name, reason] : listing_.unreadable) {
      // Beside recognised splits it may be anything; elsewhere it may be a class.
      const bool may_matter =
          !layout_.split_folders ||
          std::any_of(layout_.places.begin(), layout_.places.end(), [&](const ClassPlace& place) {
            return name == place.prefix || path_below(place.prefix, name) || path_below(name, place.prefix);
          });
      if (may_matter)
        reader_.problem(unreadable(config_.root, name, reason));
      else
        reader_.notes.push_back(fmt::format("left out: {} cannot be read: {}", escaped_name(name), reason));
    }
  }

  void look_at_classes() {
    std::set<std::string> names;
    bool in_folders = false;  // pictures deeper than in their class folder
    for (const Found& picture : found_) {
      names.insert(picture.class_name);
      in_folders = in_folders || picture.in_folder;
    }
    reader_.dataset.class_names.assign(names.begin(), names.end());
    if (names.size() > 1 || !layout_.problems.empty()) return;
    std::vector<std::string> seen;
    for (const std::string& folder : listing_.folders) seen.push_back(folder + '/');
    const std::string folders = seen.empty() ? "no folder" : some_of(seen, most_folders);
    const std::string where = path_text(config_.root / layout_.top);
    if (names.empty())
      reader_.problem(
          fmt::format("holds no picture in a class folder; it holds {}{}", folders,
                      listing_.pictures.empty() ? " and no picture at all" : ""),
          where, "Check dataset.root and dataset.layout: root/CLASS/picture, or root/train/CLASS/picture.");
    else if (in_folders || names_no_class(*names.begin()))
      reader_.problem(
          fmt::format("has one class only, {}; it holds {}", escaped_name(*names.begin()), folders), where,
          "dataset.root is the folder that the class folders are in (or train/ and test/ with them).");
    else
      reader_.notes.push_back(
          fmt::format("there is one class only, {}: enough to decouple, not to train", *names.begin()));
  }

  void find_masks() {
    if (!config_.masks.empty() && std::filesystem::is_directory(config_.masks)) {
      const FolderListing listing = list_folder(config_.masks);
      std::vector<std::string> bases{{}};
      if (!layout_.top.empty()) bases.push_back(layout_.top);
      masks_.emplace_back(relative_to_root(config_.masks, config_.root), std::move(bases), listing.pictures);
      for (const std::string& note : notes_on(listing, "dataset.masks: ")) reader_.notes.push_back(note);
      for (const auto& [name, reason] : listing.unreadable)
        reader_.problem(unreadable(config_.masks, name, reason));
    }
    for (const MaskPlace& place : layout_.masks) {
      std::vector<std::string> files;
      for (const std::string& path : listing_.pictures) {
        if (const auto name = path_below(place.folder, path)) files.push_back(*name);
      }
      masks_.emplace_back(place.folder, place.bases, files);
    }
  }

  void add_items() {
    Dataset& dataset = reader_.dataset;
    std::size_t without_mask = 0;
    for (const Found& picture : found_) {
      Item item;
      item.path = picture.path;
      item.split = picture.split;
      const auto& names = dataset.class_names;
      item.class_id = static_cast<std::int32_t>(
          std::lower_bound(names.begin(), names.end(), picture.class_name) - names.begin());
      for (MaskFiles& masks : masks_) {
        if (item.mask.empty()) item.mask = masks.mask_of(picture.path);
      }
      if (item.mask.empty())
        ++without_mask;
      else
        item.mask_encoding = MaskEncoding::nonzero;
      dataset.items.push_back(std::move(item));
    }
    if (masks_.empty()) return;
    if (without_mask > 0)
      reader_.notes.push_back(fmt::format("{} of {} pictures have no mask in {}", without_mask, found_.size(),
                                          config_.masks.empty()
                                              ? path_text(config_.root / layout_.masks.front().folder)
                                              : config_.masks.string()));
    for (const MaskFiles& masks : masks_) masks.add_notes(reader_.notes);
  }

  static constexpr std::size_t most_folders = 12;
  Reader& reader_;
  const DatasetConfig& config_;
  FolderListing listing_;
  FolderLayout layout_;
  std::vector<Found> found_;
  std::set<std::string> used_;  // paths of `found_`
  std::vector<MaskFiles> masks_;
};

}  // namespace

void read_image_folder(Reader& reader) {
  FolderReader(reader).read();
}

}  // namespace deda::data
