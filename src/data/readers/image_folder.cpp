// Any folder of pictures: root/train/CLASS/..., root/test/CLASS/... (also val, validation), or root/CLASS/...
// with a share of each class held out. Masks lie in a folder of their own with the same relative names and
// any picture suffix.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/random.h"
#include "data/reader.h"

namespace deda::data {

namespace {

// Relative path without suffix -> relative path, for every file of the mask folder.
std::map<std::string, std::string> masks_by_stem(const std::filesystem::path& folder) {
  std::map<std::string, std::string> masks;
  for (const std::string& name : list_pictures(folder))
    masks[std::filesystem::path(name).replace_extension().generic_string()] = name;
  return masks;
}

struct Found {
  std::string path, class_name;
  Split split;
};

void list_split(const std::filesystem::path& root, const std::string& prefix, Split split,
                const std::filesystem::path& masks, std::vector<Found>& found, Reader& reader) {
  for (const std::string& name : list_pictures(root / prefix)) {
    const std::string path = prefix.empty() ? name : prefix + "/" + name;
    // A mask folder inside the root holds no pictures.
    if (!masks.empty() && (root / path)
                              .lexically_normal()
                              .generic_string()
                              .starts_with(masks.lexically_normal().generic_string() + "/"))
      continue;
    const std::size_t slash = name.find('/');
    if (slash == std::string::npos) {
      reader.notes.push_back(path + " is in no class folder and left out");
      continue;
    }
    found.push_back({path, name.substr(0, slash), split});
  }
}

// Holds out `share` of each class, at least one picture where there are two, by the few-shot purpose's
// generator.
void hold_out(std::vector<Found>& found, double share, std::int64_t seed) {
  std::map<std::string, std::vector<std::size_t>> by_class;
  for (std::size_t i = 0; i < found.size(); ++i) by_class[found[i].class_name].push_back(i);
  std::uint64_t id = 1ull << 32;  // apart from the few-shot draws of the same seed
  for (auto& [name, members] : by_class) {
    const auto order =
        permutation(static_cast<std::uint32_t>(members.size()),
                    RandomStream{static_cast<std::uint64_t>(seed), Purpose::few_shot, 0, id++});
    std::size_t count = static_cast<std::size_t>(std::lround(share * static_cast<double>(members.size())));
    if (share > 0 && count == 0 && members.size() > 1) count = 1;
    for (std::size_t i = 0; i < count && i + 1 < members.size(); ++i)
      found[members[order[i]]].split = Split::test;
  }
}

}  // namespace

void read_image_folder(Reader& reader) {
  const auto& config = reader.config;
  Dataset& dataset = reader.dataset;
  dataset.name = std::filesystem::absolute(config.root).lexically_normal().filename().string();
  if (dataset.name.empty())
    dataset.name =
        std::filesystem::absolute(config.root).lexically_normal().parent_path().filename().string();
  if (!config.masks.empty() && !std::filesystem::is_directory(config.masks))
    reader.problem("is no folder", config.masks.string(), "Check dataset.masks.");
  std::vector<Found> found;
  const bool split_folders = std::filesystem::is_directory(config.root / "train");
  if (split_folders) {
    list_split(config.root, "train", Split::train, config.masks, found, reader);
    list_split(config.root, "test", Split::test, config.masks, found, reader);
    for (const char* name : {"val", "validation"})
      list_split(config.root, name, Split::validation, config.masks, found, reader);
  } else {
    list_split(config.root, "", Split::train, config.masks, found, reader);
    hold_out(found, config.test_share, config.subset_seed);
  }
  std::set<std::string> names;
  for (const Found& picture : found) names.insert(picture.class_name);
  dataset.class_names.assign(names.begin(), names.end());
  const auto masks =
      config.masks.empty() ? std::map<std::string, std::string>{} : masks_by_stem(config.masks);
  std::size_t without_mask = 0;
  for (const Found& picture : found) {
    Item item;
    item.path = picture.path;
    item.split = picture.split;
    item.class_id = static_cast<std::int32_t>(std::distance(names.begin(), names.find(picture.class_name)));
    const std::string stem = std::filesystem::path(picture.path).replace_extension().generic_string();
    if (const auto mask = masks.find(stem); mask != masks.end()) {
      item.mask = std::filesystem::relative(config.masks / mask->second, config.root).generic_string();
      item.mask_encoding = MaskEncoding::nonzero;
    } else if (!config.masks.empty()) {
      ++without_mask;
    }
    dataset.items.push_back(std::move(item));
  }
  if (without_mask > 0)
    reader.notes.push_back(fmt::format("{} of {} pictures have no mask in {}", without_mask, found.size(),
                                       config.masks.string()));
}

}  // namespace deda::data
