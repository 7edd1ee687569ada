#include "data/toy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file_digests.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/parallel.h"
#include "core/stop.h"
#include "data/toy_shapes.h"
#include "io/pictures/image_codec.h"

namespace deda::data {

const char* const toy_class_names[6] = {"striped beetle", "spotted beetle", "banded beetle",
                                        "crossed beetle", "ringed beetle",  "rimmed beetle"};
const char* const toy_ground_names[6] = {"leaf", "sand", "bark", "pebbles", "water", "petals"};

namespace {

constexpr int samples_per_side = 3;               // supersampling of the drawing
constexpr std::uint64_t set_stride = 1ull << 32;  // keeps the sample numbers of the sets apart

constexpr std::array<const char*, 3> set_folders = {"train", "test", "test_swapped"};

std::int64_t pictures_of(const ToyConfig& config, ToySet set) {
  return config.classes * (set == ToySet::train ? config.train_per_class : config.test_per_class);
}

std::string file_name(ToySet set, std::int64_t index) {
  return fmt::format("{}/{:05}.png", set_folders[static_cast<std::size_t>(set)], index);
}

// The smallest box around the mask, xyxy, half open.
std::array<int, 4> box_of(const io::Image& mask) {
  std::array<int, 4> box = {mask.width, mask.height, 0, 0};
  for (int y = 0; y < mask.height; ++y) {
    for (int x = 0; x < mask.width; ++x) {
      if (mask.row(y)[x] == 0) continue;
      box = {std::min(box[0], x), std::min(box[1], y), std::max(box[2], x + 1), std::max(box[3], y + 1)};
    }
  }
  return box;
}

// The ranks' lines, "number \t text", in the order of their numbers, without them.
std::vector<std::string> in_order(const std::vector<std::string>& parts) {
  std::vector<std::string> lines;
  for (const std::string& part : parts) {
    for (std::size_t begin = 0, end; begin < part.size(); begin = end + 1) {
      end = part.find('\n', begin);
      lines.push_back(part.substr(begin, end - begin));
    }
  }
  std::stable_sort(lines.begin(), lines.end(), [](const std::string& a, const std::string& b) {
    return a.substr(0, a.find('\t')) < b.substr(0, b.find('\t'));
  });
  for (std::string& line : lines) line = line.substr(line.find('\t') + 1);
  return lines;
}

constexpr const char* record_name = "toy.json";
constexpr const char* digests_name = "digests.txt";
constexpr const char* labels_name = "labels.csv";
constexpr int record_schema = 2;

std::uint8_t to_byte(double value) {
  return static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0, 1.0) * 255.0));
}

}  // namespace

void ToyConfig::describe(ConfigVisitor& v) {
  v.field({.key = "classes", .help = "kinds of beetle", .min = 2, .max = 6}, classes);
  v.field({.key = "train_per_class", .help = "training pictures per class", .min = 1, .max = 100000},
          train_per_class);
  v.field({.key = "test_per_class",
           .help = "pictures per class in each of the two test sets",
           .min = 1,
           .max = 100000},
          test_per_class);
  v.field({.key = "size", .help = "pixels a side", .min = 16, .max = 4096}, size);
  v.field({.key = "background_correlation",
           .help = "share of training and usual test pictures on their class's own ground",
           .min = 0,
           .max = 1},
          background_correlation);
  v.field({.key = "seed", .help = "seed of the drawing"}, seed);
}

ToyPicture draw_toy_picture(const ToyConfig& config, ToySet set, std::int64_t index) {
  RandomStream draws{static_cast<std::uint64_t>(config.seed), Purpose::toy_dataset, 0,
                     static_cast<std::uint64_t>(set) * set_stride + static_cast<std::uint64_t>(index)};
  const int classes = static_cast<int>(config.classes);
  const int own = static_cast<int>(index % config.classes);
  const int other =
      (own + 1 + static_cast<int>(draws.below(static_cast<std::uint32_t>(classes - 1)))) % classes;
  const bool keeps_own = draws.chance(config.background_correlation);
  ToyPicture picture;
  picture.background = set == ToySet::swapped_test || !keeps_own ? other : own;
  const Ground ground{picture.background, draws};
  const Beetle beetle{own, draws};
  const double grain = 0.025;
  const int size = static_cast<int>(config.size);
  picture.image = io::Image(size, size, 3);
  picture.mask = io::Image(size, size, 1);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      Colour sum{};
      int covered = 0;
      for (int sy = 0; sy < samples_per_side; ++sy) {
        for (int sx = 0; sx < samples_per_side; ++sx) {
          const double px = (x + (sx + 0.5) / samples_per_side) / size,
                       py = (y + (sy + 0.5) / samples_per_side) / size;
          const Beetle::Sample sample = beetle.at(px, py);
          Colour colour = sample.colour;
          if (sample.coverage > 0) {
            ++covered;
          } else {
            colour = ground.at(px, py);
            for (double& channel : colour) channel *= 1 - sample.shadow;
          }
          for (std::size_t c = 0; c < 3; ++c) sum[c] += colour[c];
        }
      }
      constexpr double samples = samples_per_side * samples_per_side;
      const double noise = grain * (draws.uniform() - 0.5);
      for (std::size_t c = 0; c < 3; ++c)
        picture.image.row(y)[3 * static_cast<std::size_t>(x) + c] = to_byte(sum[c] / samples + noise);
      picture.mask.row(y)[x] = covered * 2 >= samples ? 255 : 0;
    }
  }
  return picture;
}

std::string toy_settings(const ToyConfig& config) {
  return to_json(config_values(config));
}

Dataset toy_dataset(const ToyConfig& config, const std::filesystem::path& root) {
  Dataset dataset;
  dataset.name = toy_dataset_name;
  dataset.root = root;
  dataset.group_names = {toy_group_names[0], toy_group_names[1]};
  for (std::int64_t i = 0; i < config.classes; ++i) dataset.class_names.emplace_back(toy_class_names[i]);
  for (const ToySet set : {ToySet::train, ToySet::usual_test, ToySet::swapped_test}) {
    for (std::int64_t index = 0; index < pictures_of(config, set); ++index) {
      Item item;
      item.path = "images/" + file_name(set, index);
      item.mask = "masks/" + file_name(set, index);
      item.mask_encoding = MaskEncoding::nonzero;
      item.class_id = static_cast<std::int32_t>(index % config.classes);
      item.split = set == ToySet::train ? Split::train : Split::test;
      item.group = set == ToySet::train ? -1 : set == ToySet::swapped_test ? 1 : 0;
      dataset.items.push_back(std::move(item));
    }
  }
  return dataset;
}

std::optional<ToyRecord> read_toy_record(const std::filesystem::path& root) {
  const auto manifest = root / record_name;
  if (!std::filesystem::exists(manifest)) return std::nullopt;
  const auto found = nlohmann::json::parse(read_text(manifest), nullptr, false);
  const auto schema = found.is_object() ? found.value("schema", nlohmann::json{}) : nlohmann::json{};
  if (!schema.is_number_integer() || !found.contains("config"))
    throw DataError("is damaged", manifest.string(), "Remove the folder and draw it again with `deda toy`.");
  if (schema != record_schema) return std::nullopt;
  ToyRecord record{found["config"].dump(), {}};
  const std::string lines = read_text(root / digests_name);
  for (std::size_t begin = 0, end; begin < lines.size(); begin = end + 1) {
    end = std::min(lines.find('\n', begin), lines.size());
    const auto line = std::string_view(lines).substr(begin, end - begin);
    const auto blank = line.find("  ");
    if (blank != std::string_view::npos)
      record.digests.emplace(line.substr(blank + 2), line.substr(0, blank));
  }
  return record;
}

bool make_toy_dataset(const comm::Communicator& ranks, const ToyConfig& config,
                      const std::filesystem::path& root, int threads) {
  const std::string settings = toy_settings(config);
  bool complete = false;
  ranks.agree("looking at the toy dataset's folder", [&] {
    const auto record = read_toy_record(root);
    if (!record) return;
    if (record->settings != settings)
      throw DataError("holds a toy dataset of other settings", root.string(),
                      "Remove the folder, or name another one with dataset.root.");
    complete = true;
  });
  if (complete) return true;
  ranks.agree("making the toy dataset's folders", [&] {
    for (const char* set : set_folders) {
      make_folder(root / "images" / set);
      make_folder(root / "masks" / set);
    }
  });
  // Of this rank: rows of labels.csv and lines of digests.txt, each after its number.
  std::string rows, digests;
  std::int64_t first_row = 0;  // of a set
  ranks.agree("drawing the toy dataset", [&] {
    FileDigests read_back{{}};
    for (const ToySet set : {ToySet::train, ToySet::usual_test, ToySet::swapped_test}) {
      const std::int64_t pictures = pictures_of(config, set);
      // In order, whoever drew them.
      std::vector<std::string> drawn(static_cast<std::size_t>(pictures)), digests_of(drawn.size());
      parallel_for(threads, 0, drawn.size(), 1, [&](std::size_t number) {
        const auto index = static_cast<std::int64_t>(number), row = first_row + index;
        if (row % ranks.size() != ranks.rank()) return;
        if (stop_requested()) throw Stopped("drawing the toy dataset: " + stop_reason());
        const ToyPicture picture = draw_toy_picture(config, set, index);
        const std::string name = file_name(set, index);
        for (const auto& [folder, image] :
             {std::pair{"images/", &picture.image}, {"masks/", &picture.mask}}) {
          io::write_image(root / (folder + name), *image);
          digests_of[number] +=
              fmt::format("{:08}\t{}  {}{}\n", row, read_back.of(root / (folder + name)), folder, name);
        }
        const auto box = box_of(picture.mask);
        drawn[number] =
            fmt::format("{:08}\timages/{},masks/{},{},{},{},{},{},{},{},{}\n", row, name, name,
                        toy_class_names[index % config.classes], set_folders[static_cast<std::size_t>(set)],
                        set == ToySet::swapped_test ? 1 : 0, toy_ground_names[picture.background], box[0],
                        box[1], box[2], box[3]);
      });
      for (const std::string& text : drawn) rows += text;
      for (const std::string& text : digests_of) digests += text;
      first_row += pictures;
    }
  });
  const auto all_rows = ranks.all_gather(rows), all_digests = ranks.all_gather(digests);
  ranks.agree("finishing the toy dataset", [&] {
    if (!ranks.is_root()) return;
    const auto lines = in_order(all_rows);
    std::string csv = "image,mask,class,split,group,background,x1,y1,x2,y2\n";
    for (const std::string& line : lines) csv += line + '\n';
    write_atomically(root / labels_name, csv);
    std::string text = fmt::format("{}  {}\n", xxhash128_hex(csv), labels_name);
    for (const std::string& line : in_order(all_digests)) text += line + '\n';
    write_atomically(root / digests_name, text);
    nlohmann::json description = {
        {"config", nlohmann::json::parse(settings)}, {"pictures", lines.size()}, {"schema", record_schema}};
    write_atomically(root / record_name, description.dump(2) + "\n");
  });
  return false;
}

}  // namespace deda::data
