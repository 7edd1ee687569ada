#include "data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"
#include "core/escaped_name.h"
#include "core/random.h"
#include "data/reader.h"

namespace deda::data {

void DatasetConfig::describe(ConfigVisitor& v) {
  v.choice({.key = "layout", .help = "how the dataset's folder is laid out"}, layout,
           {{"toy", Layout::toy},
            {"folder", Layout::folder},
            {"pets", Layout::pets},
            {"cub", Layout::cub},
            {"aircraft", Layout::aircraft},
            {"cars", Layout::cars},
            {"voc2007", Layout::voc2007},
            {"voc2012", Layout::voc2012},
            {"waterbirds", Layout::waterbirds}});
  v.field({.key = "root", .help = "folder of the dataset; layout toy: `deda toy` draws it there"}, root);
  v.field(
      {.key = "masks",
       .help = "layout folder: folder of masks with the same relative names as the pictures (any suffix)"},
      masks);
  v.field({.key = "test_share",
           .help = "layout folder without train/ and test/: share of each class held out for the test",
           .min = 0,
           .max = 0.9},
          test_share);
  v.field({.key = "images_per_class",
           .help = "few-shot: training pictures kept per class; 0: all (paper table 4: 10)",
           .min = 0},
          images_per_class);
  v.field({.key = "subset_seed", .help = "seed of the few-shot choice", .min = 0}, subset_seed);
  v.choice(
      {.key = "orientation",
       .help = "EXIF orientation of a picture: auto turns it upright where only so its mask's size (or, "
               "without a mask, its box) fits, and reads it as stored otherwise, as Pillow does; ignore; "
               "apply"},
      orientation,
      {{"auto", OrientationChoice::automatic},
       {"ignore", OrientationChoice::ignore},
       {"apply", OrientationChoice::apply}});
  v.field(
      {.key = "strip_banner", .help = "layout aircraft: drop the lowest 20 pixel rows (copyright banner)"},
      strip_banner);
}

std::vector<std::size_t> Dataset::indices(Split split) const {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].split == split) found.push_back(i);
  }
  return found;
}

std::filesystem::path Dataset::file(const std::string& name) const {
  return root / path_of_name(name);
}

namespace {

// Readers work on the bytes that the file system and the lists hold; everybody else sees text.
void escape_names(Dataset& dataset) {
  dataset.name = escaped_name(dataset.name);
  for (auto* names : {&dataset.class_names, &dataset.group_names, &dataset.subjects}) {
    for (std::string& name : *names) name = escaped_name(name);
  }
  for (Item& item : dataset.items) {
    item.path = escaped_name(item.path);
    item.mask = escaped_name(item.mask);
  }
}

}  // namespace

// A Fisher-Yates shuffle of each class's pictures in dataset order; the first ones stay.
void keep_few(Dataset& dataset, const DatasetConfig& config) {
  const auto count = config.images_per_class, seed = config.subset_seed;
  if (count <= 0) return;
  std::map<std::int32_t, std::vector<std::size_t>> by_class;
  for (const std::size_t index : dataset.indices(Split::train))
    by_class[dataset.items[index].class_id].push_back(index);
  std::set<std::size_t> dropped;
  for (const auto& [id, members] : by_class) {
    const auto order = permutation(
        static_cast<std::uint32_t>(members.size()),
        RandomStream{static_cast<std::uint64_t>(seed), Purpose::few_shot, 0, static_cast<std::uint64_t>(id)});
    for (std::size_t i = static_cast<std::size_t>(count); i < order.size(); ++i)
      dropped.insert(members[order[i]]);
  }
  std::vector<Item> kept;
  for (std::size_t i = 0; i < dataset.items.size(); ++i) {
    if (dropped.count(i) == 0) kept.push_back(std::move(dataset.items[i]));
  }
  dataset.items = std::move(kept);
}

Dataset load_dataset(const DatasetConfig& config, const LoadOptions& options,
                     std::vector<std::string>* notes) {
  if (config.root.empty())
    throw ConfigError("dataset.root is not set", "dataset.root", "Name the folder of the dataset.");
  if (!std::filesystem::is_directory(config.root)) {
    throw DataError("is no folder", config.root.string(),
                    config.layout == Layout::toy ? "Draw it with `deda toy`, with the same configuration."
                                                 : "Check dataset.root.");
  }
  Reader reader{config, options};
  switch (config.layout) {
    case Layout::folder:
      read_image_folder(reader);
      break;
    case Layout::pets:
      read_oxford_pets(reader);
      break;
    case Layout::cub:
      read_cub_200_2011(reader);
      break;
    case Layout::aircraft:
      read_fgvc_aircraft(reader);
      break;
    case Layout::cars:
      read_stanford_cars(reader);
      break;
    case Layout::voc2007:
    case Layout::voc2012:
      read_pascal_voc(reader);
      break;
    case Layout::waterbirds:
      read_waterbirds(reader);
      break;
    case Layout::toy:
      read_toy(reader);
      break;
  }
  reader.dataset.orientation = config.orientation;
  reader.finish();
  escape_names(reader.dataset);
  keep_few(reader.dataset, config);
  if (notes != nullptr) *notes = reader.notes;
  return std::move(reader.dataset);
}

}  // namespace deda::data
