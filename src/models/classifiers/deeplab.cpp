#include "models/classifiers/deeplab.h"

#include <ATen/ops/argmax.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "io/pictures/resize.h"

namespace deda::models {
namespace {

constexpr std::size_t most_classes = 256;  // a byte per pixel

// Pillow's NEAREST: the source place under each pixel's centre.
std::vector<int> nearest_places(int from, int to) {
  std::vector<int> places(static_cast<std::size_t>(to));
  const double scale = static_cast<double>(from) / to;
  for (int i = 0; i < to; ++i)
    places[static_cast<std::size_t>(i)] = std::min(from - 1, static_cast<int>((i + 0.5) * scale));
  return places;
}

io::Image resized_nearest(const std::uint8_t* values, int from_height, int from_width, int height,
                          int width) {
  const auto rows = nearest_places(from_height, height), columns = nearest_places(from_width, width);
  io::Image out(height, width, 1);
  for (int y = 0; y < height; ++y) {
    const std::uint8_t* from =
        values + static_cast<std::size_t>(rows[static_cast<std::size_t>(y)]) * from_width;
    std::uint8_t* to = out.row(y);
    for (int x = 0; x < width; ++x) to[x] = from[columns[static_cast<std::size_t>(x)]];
  }
  return out;
}

}  // namespace

DeepLab::DeepLab(const std::filesystem::path& folder, at::Device device, at::ScalarType dtype)
    : graph_(folder, device, dtype) {
  if (graph_.labels().size() > most_classes)
    throw DataError("has more than 256 classes", folder.string(),
                    "This is no network for semantic segmentation.");
}

std::vector<SemanticMap> DeepLab::segment(const std::vector<const io::Image*>& pictures,
                                          bool keep_tensors) const {
  std::vector<SemanticMap> maps(pictures.size());
  if (pictures.empty()) return maps;
  const int height = graph_.height(), width = graph_.width();
  const auto batch = at::empty({static_cast<std::int64_t>(pictures.size()), height, width, 3}, at::kByte);
  const std::size_t picture_bytes = static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * 3;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    if (pictures[i]->empty() || pictures[i]->channels != 3)
      throw DataError("DeepLab takes RGB pictures of at least one pixel");
    const io::Image small = io::resize(*pictures[i], height, width, io::Filter::bilinear);
    std::memcpy(batch.data_ptr<std::uint8_t>() + i * picture_bytes, small.pixels.data(), picture_bytes);
  }
  const GraphOutputs outputs = graph_.forward(batch);
  const auto best = outputs.scores.argmax(1).to(at::kCPU, at::kByte).contiguous();
  const at::Tensor logits =
      keep_tensors ? outputs.logits.to(at::kCPU, at::kFloat).contiguous() : at::Tensor{};
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const auto number = static_cast<std::int64_t>(i);
    maps[i].labels = resized_nearest(best[number].data_ptr<std::uint8_t>(), static_cast<int>(best.size(1)),
                                     static_cast<int>(best.size(2)), pictures[i]->height, pictures[i]->width);
    if (!keep_tensors) continue;
    maps[i].input = batch[number].clone();
    maps[i].logits = logits[number].clone();
  }
  return maps;
}

}  // namespace deda::models
