#include "models/sam/processing.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "io/pictures/resize.h"
#include "models/weights/json_config.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t pillow_bilinear = 2;  // PIL.Image.Resampling
constexpr std::int64_t published_image_size = 1024;

std::array<double, 3> three(JsonConfig& json, const std::string& key, const std::array<double, 3>& fallback) {
  const auto values = json.numbers(key, {fallback.begin(), fallback.end()});
  if (values.size() != 3) {
    json.problem(key, "must have one number for each of the three colours");
    return fallback;
  }
  return {values[0], values[1], values[2]};
}

SamPreprocessing read(JsonConfig& json, std::int64_t image_size) {
  SamPreprocessing result;
  auto pad = json.part("pad_size");
  const auto usual = image_size > 0 ? image_size : published_image_size;
  const auto height = pad.integer("height", usual), width = pad.integer("width", usual);
  if (height != width || (image_size > 0 && height != image_size))
    json.problem("pad_size", "must be the network's picture size, " + std::to_string(usual) + " x " +
                                 std::to_string(usual));
  result.image_size = height;
  result.longest_edge = json.part("size").integer("longest_edge", height);
  if (result.longest_edge > height) json.problem("size.longest_edge", "is larger than pad_size");
  result.mean = three(json, "image_mean", result.mean);
  result.deviation = three(json, "image_std", result.deviation);
  if (*std::min_element(result.deviation.begin(), result.deviation.end()) <= 0)
    json.problem("image_std", "must be positive");
  result.rescale_factor = json.number("rescale_factor", result.rescale_factor);
  if (result.rescale_factor <= 0) json.problem("rescale_factor", "must be positive");
  json.expect_integer("resample", pillow_bilinear);
  for (const auto* step : {"do_resize", "do_rescale", "do_normalize", "do_pad"})
    json.expect_boolean(step, true);
  return result;
}

at::Tensor moved(at::Tensor coordinates, SamSize source, SamSize resized) {
  coordinates.select(-1, 0).mul_(static_cast<double>(resized.width) / source.width);
  coordinates.select(-1, 1).mul_(static_cast<double>(resized.height) / source.height);
  return coordinates.to(at::kFloat);
}

}  // namespace

SamPreprocessing read_sam_preprocessing(const fs::path& folder_or_file, std::int64_t image_size) {
  SamPreprocessing result;
  result.longest_edge = result.image_size = image_size > 0 ? image_size : published_image_size;
  if (!fs::is_directory(folder_or_file)) return result;
  for (const auto* name : {"preprocessor_config.json", "processor_config.json"}) {
    if (!fs::exists(folder_or_file / name)) continue;
    JsonConfig json(folder_or_file / name);
    if (json.has("image_processor")) {
      auto part = json.part("image_processor");
      result = read(part, image_size);
    } else {
      result = read(json, image_size);
    }
    json.finish();
    break;
  }
  return result;
}

SamSize sam_resized(int height, int width, std::int64_t longest_edge) {
  const double scale = static_cast<double>(longest_edge) / std::max(height, width);
  const auto rounded = [scale](int side) { return std::max(1, static_cast<int>(side * scale + 0.5)); };
  return {rounded(height), rounded(width)};
}

SamPicture sam_picture(const io::Image& picture, const SamPreprocessing& preprocessing) {
  if (picture.channels != 3 || picture.empty())
    throw DataError("the segmenter needs an RGB picture, this one is " + std::to_string(picture.height) +
                    " x " + std::to_string(picture.width) + " x " + std::to_string(picture.channels));
  SamPicture result;
  result.resized = sam_resized(picture.height, picture.width, preprocessing.longest_edge);
  const auto small = io::resize(picture, result.resized.height, result.resized.width);
  const auto side = preprocessing.image_size;
  result.pixel_values = at::zeros({1, 3, side, side}, at::kFloat);
  for (int channel = 0; channel < 3; ++channel) {
    const auto full = static_cast<float>(1.0 / preprocessing.rescale_factor);
    const auto c = static_cast<std::size_t>(channel);
    const float mean = static_cast<float>(preprocessing.mean[c]) * full;
    const float deviation = static_cast<float>(preprocessing.deviation[c]) * full;
    float* plane = result.pixel_values.data_ptr<float>() + channel * side * side;
    for (int y = 0; y < small.height; ++y) {
      const auto* row = small.row(y) + channel;
      for (int x = 0; x < small.width; ++x)
        plane[y * side + x] = (static_cast<float>(row[3 * x]) - mean) / deviation;
    }
  }
  return result;
}

at::Tensor sam_boxes(const std::vector<std::array<double, 4>>& boxes, SamSize source, SamSize resized) {
  auto corners = at::empty({1, static_cast<std::int64_t>(boxes.size()), 2, 2}, at::kDouble);
  auto* data = corners.data_ptr<double>();
  for (const auto& box : boxes) data = std::copy(box.begin(), box.end(), data);
  return moved(corners, source, resized).flatten(2);
}

at::Tensor sam_points(const std::vector<std::array<double, 2>>& points, SamSize source, SamSize resized) {
  auto places = at::empty({1, static_cast<std::int64_t>(points.size()), 1, 2}, at::kDouble);
  auto* data = places.data_ptr<double>();
  for (const auto& point : points) data = std::copy(point.begin(), point.end(), data);
  return moved(places, source, resized);
}

at::Tensor sam_source_logits(const at::Tensor& logits, std::int64_t image_size, SamSize resized,
                             SamSize source) {
  const std::vector<std::int64_t> square{image_size, image_size}, wanted{source.height, source.width};
  const auto large = at::upsample_bilinear2d(logits.to(at::kFloat), square, false)
                         .slice(2, 0, resized.height)
                         .slice(3, 0, resized.width);
  return at::upsample_bilinear2d(large, wanted, false);
}

}  // namespace deda::models
