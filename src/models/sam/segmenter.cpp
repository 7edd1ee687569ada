#include "models/sam/segmenter.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "models/sam/processing.h"
#include "models/sam/sam.h"

namespace deda::models {
namespace {

// Together in the mask decoder: about 80 MB each at the published sizes in float32.
constexpr std::size_t boxes_per_pass = 8;
constexpr std::int64_t inside_the_box = 1;  // label of a point

void check(const std::vector<SamSegmenter::Box>& boxes) {
  std::vector<Problem> problems;
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const auto& box = boxes[i];
    const bool finite =
        std::all_of(box.begin(), box.end(), [](double value) { return std::isfinite(value); });
    if (!finite || box[0] > box[2] || box[1] > box[3])
      problems.push_back(
          {"box " + std::to_string(i) + (finite ? " has its corners in the wrong order" : " is not finite"),
           {},
           "Boxes are x1, y1, x2, y2 with x1 <= x2 and y1 <= y2."});
  }
  if (!problems.empty()) throw DataError(std::move(problems));
}

io::Image mask_of(const at::Tensor& logits) {  // [H, W]
  const auto bytes = (logits > 0).to(at::kByte).mul_(255).cpu().contiguous();
  io::Image mask(static_cast<int>(logits.size(0)), static_cast<int>(logits.size(1)), 1);
  std::memcpy(mask.pixels.data(), bytes.const_data_ptr<std::uint8_t>(), mask.pixels.size());
  return mask;
}

std::vector<std::array<double, 2>> centres_of(const std::vector<SamSegmenter::Box>& boxes) {
  std::vector<std::array<double, 2>> centres;
  for (const auto& box : boxes) centres.push_back({(box[0] + box[2]) / 2, (box[1] + box[3]) / 2});
  return centres;
}

}  // namespace

std::size_t SamBoxMasks::best() const {
  return static_cast<std::size_t>(std::max_element(iou_scores.begin(), iou_scores.end()) -
                                  iou_scores.begin());
}

struct SamSegmenter::State {
  LoadedSam loaded;
  SamPreprocessing preprocessing;
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
};

SamSegmenter::SamSegmenter(const std::filesystem::path& folder_or_file, at::Device device,
                           at::ScalarType dtype) {
  auto state = std::make_unique<State>();
  state->loaded = load_sam(folder_or_file, device, dtype);
  state->preprocessing = read_sam_preprocessing(folder_or_file, state->loaded.network->config().image_size());
  state->device = device;
  state->dtype = dtype;
  state_ = std::move(state);
}

SamSegmenter::~SamSegmenter() = default;
SamSegmenter::SamSegmenter(SamSegmenter&&) noexcept = default;
SamSegmenter& SamSegmenter::operator=(SamSegmenter&&) noexcept = default;

SamEmbedding SamSegmenter::embed(const io::Image& picture, bool keep_pixel_values) const {
  at::NoGradGuard no_gradients;
  const auto input = sam_picture(picture, state_->preprocessing);
  SamEmbedding embedding;
  embedding.features = state_->loaded.network->embed(input.pixel_values.to(state_->device, state_->dtype));
  embedding.height = picture.height;
  embedding.width = picture.width;
  embedding.resized_height = input.resized.height;
  embedding.resized_width = input.resized.width;
  if (keep_pixel_values) embedding.pixel_values = input.pixel_values;
  return embedding;
}

std::vector<SamEmbedding> SamSegmenter::embed(const std::vector<io::Image>& pictures,
                                              bool keep_pixel_values) const {
  std::vector<SamEmbedding> embeddings;
  for (const auto& picture : pictures) embeddings.push_back(embed(picture, keep_pixel_values));
  return embeddings;
}

void SamSegmenter::segment_each(const SamEmbedding& embedding, const std::vector<Box>& boxes,
                                const SamOptions& options, const Receive& receive, SamTrace* trace) const {
  check(boxes);
  at::NoGradGuard no_gradients;
  const auto& network = *state_->loaded.network;
  const SamSize source{embedding.height, embedding.width};
  const SamSize resized{embedding.resized_height, embedding.resized_width};
  SamPrompts prompts;
  const auto corners = sam_boxes(boxes, source, resized);
  const auto centres = options.centre_point ? sam_points(centres_of(boxes), source, resized) : at::Tensor();
  std::vector<at::Tensor> all_masks, all_scores;
  // One pass even without boxes where a trace is wanted, for its shapes.
  for (std::size_t first = 0; first < boxes.size() || (first == 0 && trace != nullptr);
       first += boxes_per_pass) {
    const auto begin = static_cast<std::int64_t>(first);
    const auto end = static_cast<std::int64_t>(std::min(first + boxes_per_pass, boxes.size()));
    prompts.boxes = corners.slice(1, begin, end).to(state_->device);
    if (options.centre_point) {
      prompts.points = centres.slice(1, begin, end).to(state_->device);
      prompts.labels =
          at::full({1, end - begin, 1}, inside_the_box, prompts.points.options().dtype(at::kLong));
    }
    const auto output = network.segment(embedding.features, prompts, options.multimask);
    const auto scores = output.iou_scores.to(at::kCPU, at::kFloat);
    if (trace != nullptr) {
      all_masks.push_back(output.pred_masks.to(at::kCPU, at::kFloat));
      all_scores.push_back(scores);
    }
    for (std::int64_t i = 0; i < end - begin; ++i) {
      SamBoxMasks masks;
      for (std::int64_t m = 0; m < scores.size(2); ++m) {
        const auto logits = output.pred_masks.slice(1, i, i + 1).slice(2, m, m + 1).squeeze(0);
        masks.masks.push_back(
            mask_of(sam_source_logits(logits, state_->preprocessing.image_size, resized, source)[0][0]));
        masks.iou_scores.push_back(scores[0][i][m].item<float>());
      }
      receive(first + static_cast<std::size_t>(i), std::move(masks));
    }
  }
  if (trace == nullptr) return;
  trace->input_boxes = corners;
  trace->input_points = centres;
  if (options.centre_point)
    trace->input_labels =
        at::full({1, corners.size(1), 1}, inside_the_box, at::TensorOptions().dtype(at::kLong));
  trace->pred_masks = at::cat(all_masks, 1);
  trace->iou_scores = at::cat(all_scores, 1);
}

std::vector<SamBoxMasks> SamSegmenter::segment(const SamEmbedding& embedding, const std::vector<Box>& boxes,
                                               const SamOptions& options, SamTrace* trace) const {
  std::vector<SamBoxMasks> all(boxes.size());
  segment_each(
      embedding, boxes, options, [&](std::size_t box, SamBoxMasks&& masks) { all[box] = std::move(masks); },
      trace);
  return all;
}

bool SamSegmenter::is_mobile() const {
  return state_->loaded.network->config().mobile.has_value();
}

const std::vector<std::filesystem::path>& SamSegmenter::files() const {
  return state_->loaded.files;
}

std::string SamSegmenter::description() const {
  const auto millions =
      std::to_string(std::llround(static_cast<double>(parameter_count(*state_->loaded.network)) / 1e6));
  return std::string{is_mobile() ? "MobileSAM" : "SAM"} + ", " + millions + " M parameters, pictures of " +
         std::to_string(state_->preprocessing.image_size) + " pixels, " + c10::toString(state_->dtype);
}

}  // namespace deda::models
