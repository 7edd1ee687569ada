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

namespace {

void describe_layout(ConfigVisitor& v, const Field& field, Layout& layout) {
  v.choice(field, layout,
           {{"toy", Layout::toy},
            {"folder", Layout::folder},
            {"pets", Layout::pets},
            {"cub", Layout::cub},
            {"aircraft", Layout::aircraft},
            {"cars", Layout::cars},
            {"voc2007", Layout::voc2007},
            {"voc2012", Layout::voc2012},
            {"waterbirds", Layout::waterbirds}});
}

}  // namespace

void DatasetConfig::describe(ConfigVisitor& v) {
  describe_layout(v, {.key = "layout", .help = "how the dataset's folder is laid out"}, layout);
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
  v.field({.key = "test_root",
           .help = "folder of another dataset whose test pictures (and groups) take the place of this one's, "
                   "classes matched by name; empty: the own test pictures"},
          test_root);
  describe_layout(
      v, {.key = "test_layout", .help = "how test_root is laid out (paper table 5: cub on waterbirds)"},
      test_layout);
  v.require(test_root.empty() || layout != Layout::toy, "test_root",
            "the toy dataset has test pictures of its own",
            "Leave dataset.test_root empty, or name another layout.");
  v.require(test_root.empty() || !strip_banner, "test_root",
            "rows of banners are dropped from every picture, and the test pictures are of another dataset",
            "Set dataset.strip_banner = false.");
}

std::vector<std::size_t> Dataset::indices(Split split) const {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].split == split) found.push_back(i);
  }
  return found;
}

std::filesystem::path Dataset::file(const std::string& name) const {
  if (!test_root.empty() && name.starts_with(in_test_root))
    return test_root / path_of_name(name.substr(in_test_root.size()));
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

bool has_several_labels(Layout layout) {
  return layout == Layout::voc2007 || layout == Layout::voc2012;
}

void fill_label(const Dataset& dataset, const Item& item, float* label) {
  if (item.class_id < 0)
    throw DataError("has no label", item.path, "Take the picture out of the dataset's lists.");
  std::fill_n(label, dataset.class_names.size(), 0.0f);
  if (!dataset.multi_label) {
    label[item.class_id] = 1.0f;
    return;
  }
  for (const std::int32_t id : item.labels.empty() ? std::vector{item.class_id} : item.labels)
    label[id] = 1.0f;
  for (const std::int32_t id : item.difficult) label[id] = -1.0f;
}

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

namespace {

// The dataset that test pictures are taken of, as a configuration.
DatasetConfig tests_of(const DatasetConfig& config) {
  DatasetConfig tests;
  tests.layout = config.test_layout;
  tests.root = config.test_root;
  tests.test_share = config.test_share;
  tests.orientation = config.orientation;
  return tests;
}

}  // namespace

void take_test_pictures(Dataset& dataset, Dataset other) {
  constexpr std::size_t most_listed = 20;
  std::map<std::string, std::int32_t> id_of;
  for (std::size_t id = 0; id < dataset.class_names.size(); ++id)
    id_of.emplace(dataset.class_names[id], static_cast<std::int32_t>(id));
  std::set<std::string> unknown;
  const auto matched = [&](std::int32_t& id) {
    if (id < 0) return;
    const std::string& name = other.class_names.at(static_cast<std::size_t>(id));
    const auto found = id_of.find(name);
    if (found == id_of.end())
      unknown.insert(name);
    else
      id = found->second;
  };
  std::erase_if(dataset.items, [](const Item& item) { return item.split == Split::test; });
  std::size_t taken = 0;
  for (Item& item : other.items) {
    if (item.split != Split::test) continue;
    matched(item.class_id);
    for (auto* labels : {&item.labels, &item.difficult}) {
      for (std::int32_t& id : *labels) matched(id);
      std::sort(labels->begin(), labels->end());
    }
    for (ObjectBox& object : item.objects) matched(object.class_id);
    item.path = std::string{in_test_root} + item.path;
    if (!item.mask.empty()) item.mask = std::string{in_test_root} + item.mask;
    dataset.items.push_back(std::move(item));
    ++taken;
  }
  std::vector<Problem> problems;
  for (const std::string& name : unknown) {
    if (problems.size() == most_listed) break;
    problems.push_back(
        {fmt::format("has test pictures of the class \"{}\", which {} does not have", name, dataset.name),
         other.root.string(), "Classes are matched by name: check dataset.root and dataset.test_root."});
  }
  if (taken == 0)
    problems.push_back(
        {"has no test picture", other.root.string(), "Check dataset.test_root and test_layout."});
  if (!problems.empty()) throw DataError(std::move(problems));
  dataset.test_name = other.name;
  dataset.group_names = std::move(other.group_names);
  for (Item& item : dataset.items) {
    if (item.split != Split::test) item.group = -1;  // groups are the test pictures'
  }
  dataset.test_root = other.root;
}

std::string few_shot_list(const Dataset& dataset) {
  std::string text = "picture,class\n";
  const auto cell = [](const std::string& value) {
    std::string quoted = "\"";
    for (const char c : value) quoted += c == '"' ? std::string{"\"\""} : std::string{c};
    return quoted + "\"";
  };
  for (const Item& item : dataset.items) {
    if (item.split != Split::train && item.split != Split::held_out) continue;
    const bool known = item.class_id >= 0;
    text += fmt::format("{},{}\n", cell(item.path),
                        known ? cell(dataset.class_names.at(static_cast<std::size_t>(item.class_id))) : "");
  }
  return text;
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
  if (!config.test_root.empty()) {
    std::vector<std::string> of_tests;
    take_test_pictures(reader.dataset, load_dataset(tests_of(config), options, &of_tests));
    for (const std::string& note : of_tests) reader.notes.push_back("test_root: " + note);
  }
  if (notes != nullptr) *notes = reader.notes;
  return std::move(reader.dataset);
}

}  // namespace deda::data
