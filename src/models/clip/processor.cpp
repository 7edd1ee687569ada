#include "models/clip/processor.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include "core/error.h"
#include "io/pictures/resize_part.h"
#include "models/clip/config.h"
#include "models/weights/json_config.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t pillow_bicubic = 3;  // PIL.Image.Resampling
constexpr std::size_t grey_levels = 256;

std::array<double, 3> three_numbers(JsonConfig& json, const std::string& key,
                                    const std::array<double, 3>& fallback) {
  const auto values = json.numbers(key, {fallback.begin(), fallback.end()});
  if (values.size() == fallback.size()) return {values[0], values[1], values[2]};
  json.problem(key, "must have one number for each of the three colours");
  return fallback;
}

// "size": 224 in old files, {"shortest_edge": 224} in newer ones.
std::int64_t shortest_edge(JsonConfig& json, std::int64_t usual) {
  if (!json.is_object("size")) return json.integer("size", usual);
  auto size = json.part("size");
  for (const auto* other : {"height", "width", "longest_edge", "max_height", "max_width"}) {
    if (size.has(other) && !size.is_null(other))
      size.problem(other, "is not supported", "CLIP's pictures are resized by their shortest_edge.");
  }
  return size.integer("shortest_edge", usual);
}

std::int64_t crop_side(JsonConfig& json, std::int64_t usual) {
  if (!json.is_object("crop_size")) return json.integer("crop_size", usual);
  auto crop = json.part("crop_size");
  const auto height = crop.integer("height", usual), width = crop.integer("width", usual);
  if (height != width) json.problem("crop_size", "must be square");
  return height;
}

ClipPreprocessing read(JsonConfig& json, std::int64_t image_size) {
  ClipPreprocessing result;
  result.shortest_edge = shortest_edge(json, result.shortest_edge);
  result.crop_size = crop_side(json, result.crop_size);
  if (image_size > 0 && result.crop_size != image_size)
    json.problem("crop_size", "is " + std::to_string(result.crop_size) + ", the network takes pictures of " +
                                  std::to_string(image_size) + " pixels");
  result.mean = three_numbers(json, "image_mean", result.mean);
  result.deviation = three_numbers(json, "image_std", result.deviation);
  if (!(*std::min_element(result.deviation.begin(), result.deviation.end()) > 0))
    json.problem("image_std", "must be positive");
  result.rescale_factor = json.number("rescale_factor", result.rescale_factor);
  if (!(result.rescale_factor > 0)) json.problem("rescale_factor", "must be positive");
  json.expect_integer("resample", pillow_bicubic);
  for (const auto* step : {"do_resize", "do_center_crop", "do_rescale", "do_normalize"})
    json.expect_boolean(step, true);
  return result;
}

// What each grey level becomes. Rounded where the original rounds: 0..1 in double, then float32.
using Levels = std::array<std::array<float, grey_levels>, clip_colours>;
Levels levels_of(const ClipPreprocessing& preprocessing) {
  Levels levels{};
  for (std::size_t c = 0; c < clip_colours; ++c) {
    const auto mean = static_cast<float>(preprocessing.mean[c]),
               deviation = static_cast<float>(preprocessing.deviation[c]);
    for (std::size_t level = 0; level < grey_levels; ++level) {
      const auto share = static_cast<float>(static_cast<double>(level) * preprocessing.rescale_factor);
      levels[c][level] = (share - mean) / deviation;
    }
  }
  return levels;
}

// One side of the square: where it begins in the resized picture (before it, where that is smaller), and what
// of it the picture fills.
struct Span {
  std::int64_t offset = 0, first = 0, last = 0;  // of the resized picture: [first, last)
};
Span centred(std::int64_t resized, std::int64_t crop) {
  const auto missing = resized - crop;
  const auto offset = missing >= 0 ? missing / 2 : -((1 - missing) / 2);  // rounded down
  return {offset, std::max<std::int64_t>(0, offset), std::min(resized, offset + crop)};
}

void fill(float* planes, const io::Image& picture, const ClipPreprocessing& preprocessing,
          const Levels& levels) {
  const auto edge = preprocessing.shortest_edge, crop = preprocessing.crop_size;
  // The longer side is cut off to whole pixels, as Python's int(edge * long / short) is.
  const auto longer = [&](int side, int other) {
    return static_cast<std::int64_t>(static_cast<double>(edge * side) / static_cast<double>(other));
  };
  const bool upright = picture.width <= picture.height;
  const auto height = upright ? longer(picture.height, picture.width) : edge,
             width = upright ? edge : longer(picture.width, picture.height);
  const auto rows = centred(height, crop), columns = centred(width, crop);
  const auto part = io::resize_part(picture, height, width,
                                    {.top = rows.first,
                                     .left = columns.first,
                                     .height = static_cast<int>(rows.last - rows.first),
                                     .width = static_cast<int>(columns.last - columns.first)},
                                    io::Filter::bicubic);
  const auto plane = crop * crop;
  for (std::size_t c = 0; c < clip_colours; ++c)
    std::fill_n(planes + static_cast<std::int64_t>(c) * plane, plane, levels[c][0]);
  for (int y = 0; y < part.height; ++y) {
    const auto* row = part.row(y);
    const auto to = (rows.first - rows.offset + y) * crop + columns.first - columns.offset;
    for (int x = 0; x < part.width; ++x) {
      for (int c = 0; c < clip_colours; ++c)
        planes[c * plane + to + x] = levels[static_cast<std::size_t>(c)][row[clip_colours * x + c]];
    }
  }
}

}  // namespace

ClipPreprocessing read_clip_preprocessing(const fs::path& folder, std::int64_t image_size) {
  const auto own = folder / "preprocessor_config.json", joint = folder / "processor_config.json";
  JsonConfig json(!fs::exists(own) && fs::exists(joint) ? joint : own);
  ClipPreprocessing result;
  if (json.is_object("image_processor")) {
    auto part = json.part("image_processor");
    result = read(part, image_size);
  } else {
    result = read(json, image_size);
  }
  json.finish();
  return result;
}

std::string to_json(const ClipPreprocessing& preprocessing) {
  JsonText crop, size, json;
  crop.integer("height", preprocessing.crop_size);
  crop.integer("width", preprocessing.crop_size);
  size.integer("shortest_edge", preprocessing.shortest_edge);
  json.object("crop_size", crop);
  for (const auto* step : {"do_center_crop", "do_convert_rgb", "do_normalize", "do_rescale", "do_resize"})
    json.boolean(step, true);
  json.text("image_processor_type", "CLIPImageProcessor");
  json.numbers("image_mean", {preprocessing.mean.begin(), preprocessing.mean.end()});
  json.numbers("image_std", {preprocessing.deviation.begin(), preprocessing.deviation.end()});
  json.integer("resample", pillow_bicubic);
  json.number("rescale_factor", preprocessing.rescale_factor);
  json.object("size", size);
  return json.str();
}

at::Tensor clip_pixels(const std::vector<io::Image>& pictures, const ClipPreprocessing& preprocessing) {
  std::vector<Problem> problems;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const auto& picture = pictures[i];
    if (picture.channels != clip_colours || picture.empty())
      problems.push_back({"CLIP needs RGB pictures, picture " + std::to_string(i) + " is " +
                              std::to_string(picture.height) + " x " + std::to_string(picture.width) + " x " +
                              std::to_string(picture.channels),
                          {},
                          {}});
  }
  if (!problems.empty()) throw DataError(std::move(problems));
  const auto levels = levels_of(preprocessing);
  const auto side = preprocessing.crop_size;
  const auto pixels =
      at::empty({static_cast<std::int64_t>(pictures.size()), clip_colours, side, side}, at::kFloat);
  for (std::size_t i = 0; i < pictures.size(); ++i)
    fill(pixels.data_ptr<float>() + static_cast<std::int64_t>(i) * clip_colours * side * side, pictures[i],
         preprocessing, levels);
  return pixels;
}

}  // namespace deda::models
