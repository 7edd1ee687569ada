#include "data/contents.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"
#include "core/files.h"
#include "core/parallel.h"

namespace deda::data {
namespace {

constexpr const char* drawn = "drawn";

std::string head_of(const Contents& contents) {
  std::string text = fmt::format("banner {}\n", contents.dataset.banner_rows);
  for (const auto& name : contents.dataset.class_names) text += "class " + name + '\n';
  return text;
}

// Only where an untouched file of it is named: a toy dataset whose files were all replaced is like any other.
std::string with_origin(const Contents& contents, std::string text) {
  if (!contents.drawn_from.empty() && text.find(drawn) != std::string::npos)
    text += "drawn from " + contents.drawn_from + '\n';
  return text;
}

// The picture's digest, and how it is turned where it is.
std::string picture_of(const Contents& contents, std::size_t item) {
  const PictureOrientation& orientation = contents.orientations[item];
  return contents.pictures[item] + (orientation.applied ? fmt::format(" turned {}", orientation.exif) : "");
}

// Opens headers only where something may be turned.
std::vector<PictureOrientation> orientations_of(const Contents& contents, int threads) {
  const Dataset& dataset = contents.dataset;
  std::vector<PictureOrientation> orientations(dataset.items.size());
  parallel_for(threads, 0, dataset.items.size(), 1, [&](std::size_t i) {
    const Item& item = dataset.items[i];
    const bool may_turn =
        dataset.orientation == OrientationChoice::apply || decides_by_annotation(dataset, item);
    if (may_turn && contents.pictures[i] != drawn) orientations[i] = orientation_of(dataset, item);
  });
  return orientations;
}

std::string labels_of(const Item& item) {
  std::string text = std::to_string(item.class_id);
  for (const auto label : item.labels) text += fmt::format("+{}", label);
  return text;
}

std::string boxes_of(const Contents& contents, const Item& item) {
  if (contents.labels_as_drawn) return "\tbox drawn";
  std::string text;
  if (item.box)
    text += fmt::format("\tbox {},{},{},{}", (*item.box)[0], (*item.box)[1], (*item.box)[2], (*item.box)[3]);
  for (const ObjectBox& object : item.objects)
    text += fmt::format("\tobject {}:{},{},{},{}", object.class_id, object.box[0], object.box[1],
                        object.box[2], object.box[3]);
  return text;
}

}  // namespace

Contents contents_of(const DatasetConfig& config, const ToyConfig& toy, FileDigests& digests, int threads) {
  Contents contents;
  std::optional<ToyRecord> record;
  if (config.layout == Layout::toy) {
    if (config.root.empty())
      throw ConfigError("dataset.root is not set", "dataset.root", "Name the folder of the dataset.");
    record = read_toy_record(config.root);
    if (!record) {
      contents.dataset = toy_dataset(toy, config.root);
      keep_few(contents.dataset, config);
      contents.drawn_from = toy_settings(toy);
      contents.labels_as_drawn = true;
      contents.pictures.assign(contents.dataset.items.size(), drawn);
      contents.masks = contents.pictures;
      contents.orientations.resize(contents.dataset.items.size());
      return contents;
    }
    contents.drawn_from = record->settings;
  }
  contents.dataset = load_dataset(config, {}, &contents.notes);
  const auto& dataset = contents.dataset;
  std::vector<std::filesystem::path> files;
  for (const Item& item : dataset.items) files.push_back(dataset.file(item.path));
  for (const Item& item : dataset.items) {
    if (!item.mask.empty()) files.push_back(dataset.file(item.mask));
  }
  const auto found = digests.of(files, threads);
  const auto standing_for = [&](const std::string& relative, const std::string& digest) {
    if (!record) return digest;
    const auto as_drawn = record->digests.find(relative);
    return as_drawn != record->digests.end() && as_drawn->second == digest ? std::string{drawn} : digest;
  };
  contents.masks.resize(dataset.items.size());
  std::size_t mask = dataset.items.size();
  for (std::size_t i = 0; i < dataset.items.size(); ++i) {
    contents.pictures.push_back(standing_for(dataset.items[i].path, found[i]));
    if (!dataset.items[i].mask.empty())
      contents.masks[i] = standing_for(dataset.items[i].mask, found[mask++]);
  }
  contents.orientations = orientations_of(contents, threads);
  const auto absent = std::count(found.begin(), found.end(), "absent");
  if (absent > 0)
    contents.notes.push_back(
        fmt::format("{} pictures or masks of the dataset are not there or cannot be read", absent));
  contents.labels_as_drawn =
      record && standing_for("labels.csv", digests.of(dataset.root / "labels.csv")) == drawn;
  return contents;
}

std::string identity_of_pictures(const Contents& contents, const std::vector<std::size_t>& items,
                                 const Seen& seen) {
  std::string text = head_of(contents);
  if (seen.words) {
    for (const auto& subject : contents.dataset.subjects) text += "subject " + subject + '\n';
  }
  for (const std::size_t i : items) {
    const Item& item = contents.dataset.items[i];
    text += fmt::format("{}\t{}\t{}", item.path, picture_of(contents, i), labels_of(item));
    if (seen.masks && !contents.masks[i].empty())
      text += fmt::format("\tmask {} {}{}", contents.masks[i], static_cast<int>(item.mask_encoding),
                          contents.orientations[i].doubtful ? " fits both ways" : "");
    if (seen.boxes) text += boxes_of(contents, item);
    text += '\n';
  }
  return with_origin(contents, std::move(text));
}

std::string identity_of_training_list(const Contents& contents) {
  std::string text;
  for (const auto& name : contents.dataset.class_names) text += "class " + name + '\n';
  for (const std::size_t i : contents.dataset.indices(Split::train))
    text += fmt::format("{}\t{}\n", contents.dataset.items[i].path, labels_of(contents.dataset.items[i]));
  return text;
}

std::string identity_of_classification(const Contents& contents, bool multi_label) {
  std::string text = head_of(contents);
  for (const auto& name : contents.dataset.group_names) text += "group " + name + '\n';
  for (const Split split : {Split::train, Split::test}) {
    for (const std::size_t i : contents.dataset.indices(split)) {
      const Item& item = contents.dataset.items[i];
      text += fmt::format("{}\t{}\t{}\t{}\t{}", split == Split::train ? "train" : "test", item.path,
                          picture_of(contents, i), labels_of(item), item.group);
      if (multi_label && !item.difficult.empty())
        text += fmt::format("\tdifficult {}", fmt::join(item.difficult, "+"));
      text += '\n';
    }
  }
  return with_origin(contents, std::move(text));
}

}  // namespace deda::data
