// The toy dataset: six kinds of beetle that differ only in the pattern on their wing cases, on six kinds of
// ground. In training the ground tells the kind almost always; in the second test set it tells a wrong one. A
// network that reads the ground looks good on the usual test and fails on the swapped one: the situation that
// De-DA is for, in seconds of drawing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "comm/communicator.h"
#include "core/config.h"
#include "data/dataset.h"
#include "io/pictures/image.h"

namespace deda::data {

struct ToyConfig {
  std::int64_t classes = 6;  // 2..6
  std::int64_t train_per_class = 60;
  std::int64_t test_per_class = 30;  // of each test set: usual and swapped backgrounds
  std::int64_t size = 96;            // pixels a side
  double background_correlation =
      0.95;  // share of training and usual test pictures on their class's own ground
  std::int64_t seed = 1;
  void describe(ConfigVisitor& v);
};

enum class ToySet : std::uint8_t { train, usual_test, swapped_test };

struct ToyPicture {
  io::Image image;     // [size, size, 3]
  io::Image mask;      // [size, size, 1], 255 where the beetle covers at least half of the pixel
  int background = 0;  // which ground was drawn
};

// Picture `index` (0..per_class*classes-1; class = index % classes) of a set: a pure function of its
// arguments.
ToyPicture draw_toy_picture(const ToyConfig& config, ToySet set, std::int64_t index);

// Collective. Draws everything into `root` (pictures dealt out over the ranks and each rank's `threads`: the
// same bytes for any number of both) and writes toy.json last. True when it was all there already. DataError
// when `root` holds a toy dataset of other settings.
bool make_toy_dataset(const comm::Communicator& ranks, const ToyConfig& config,
                      const std::filesystem::path& root, int threads = 1);

// The dataset that make_toy_dataset() will draw, before anything is there: everything but boxes, which only
// drawing tells. `root` becomes Dataset::root.
Dataset toy_dataset(const ToyConfig& config, const std::filesystem::path& root);

// What a finished toy dataset says of itself (toy.json, digests.txt).
struct ToyRecord {
  std::string settings;                        // [toy] as JSON
  std::map<std::string, std::string> digests;  // relative path -> digest of the file as it was drawn
};
// Nothing where `root` holds no toy dataset, or one that an earlier version drew and that is drawn anew.
std::optional<ToyRecord> read_toy_record(const std::filesystem::path& root);
std::string toy_settings(const ToyConfig& config);  // as in ToyRecord

inline constexpr const char* toy_dataset_name = "toy beetles";
inline constexpr const char* toy_group_names[2] = {"usual background", "swapped background"};
extern const char* const toy_class_names[6];
extern const char* const toy_ground_names[6];

}  // namespace deda::data
