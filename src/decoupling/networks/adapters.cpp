#include "decoupling/networks/adapters.h"

#include <utility>

#include "decoupling/networks/arrays.h"
#include "models/grounding_dino/detector.h"
#include "models/sam/segmenter.h"

namespace deda::decoupling {

namespace {

class GroundingDino final : public TextDetector {
 public:
  GroundingDino(const std::filesystem::path& folder, const NetworkPlace& place, DetectorRules rules)
      : detector_(folder,
                  {.dtype = place.dtype,
                   .device = place.device,
                   .rules = rules == DetectorRules::transformers ? models::GroundingDinoRules::transformers
                                                                 : models::GroundingDinoRules::original}) {}
  Detected detect(const io::Image& picture, const std::string& prompt, double box_threshold,
                  double text_threshold, bool keep_tensors) const override {
    models::NamedTensors seen;
    const auto found =
        std::move(detector_
                      .detect({picture}, {prompt}, {.box = box_threshold, .text = text_threshold},
                              keep_tensors ? &seen : nullptr)
                      .at(0));
    Detected detected;
    detected.rejected = found.rejected;
    detected.notes = found.notes;
    for (std::size_t i = 0; i < found.boxes.size(); ++i) {
      const auto& box = found.boxes[i];
      detected.boxes.push_back({{box[0], box[1], box[2], box[3]}, found.scores[i], found.phrases[i]});
    }
    for (const auto& [name, tensor] : seen)
      detected.tensors.push_back(array_of("grounding_dino." + name, tensor));
    return detected;
  }

 private:
  models::GroundingDinoDetector detector_;
};

class Sam final : public BoxSegmenter {
 public:
  Sam(const std::filesystem::path& path, const NetworkPlace& place)
      : segmenter_(path, place.device, place.dtype) {}

  struct Embedded final : Embedding {
    explicit Embedded(models::SamEmbedding of) : embedding{std::move(of)} {}
    models::SamEmbedding embedding;
  };

  std::shared_ptr<const Embedding> embed(const io::Image& picture,
                                         std::vector<NamedArray>* tensors) const override {
    auto embedded = std::make_shared<Embedded>(segmenter_.embed(picture, tensors != nullptr));
    if (tensors != nullptr)
      tensors->push_back(array_of("sam.pixel_values", embedded->embedding.pixel_values));
    return embedded;
  }

  void segment(const Embedding& embedding, const std::vector<PixelBox>& boxes, const SegmentOptions& options,
               const Receive& receive, std::vector<NamedArray>* tensors) const override {
    models::SamTrace seen;
    segmenter_.segment_each(
        static_cast<const Embedded&>(embedding).embedding, boxes,
        {.multimask = options.alternatives, .centre_point = options.centre_point},
        [&](std::size_t box, models::SamBoxMasks&& masks) {
          receive(box, {std::move(masks.masks), std::move(masks.iou_scores)});
        },
        tensors != nullptr ? &seen : nullptr);
    if (tensors == nullptr) return;
    for (const auto& [name, tensor] :
         {std::pair{"sam.input_boxes", seen.input_boxes}, std::pair{"sam.pred_masks", seen.pred_masks},
          std::pair{"sam.iou_scores", seen.iou_scores}}) {
      if (tensor.defined()) tensors->push_back(array_of(name, tensor));
    }
  }

 private:
  models::SamSegmenter segmenter_;
};

}  // namespace

std::shared_ptr<const TextDetector> load_grounding_dino(const std::filesystem::path& folder,
                                                        const NetworkPlace& place, DetectorRules rules) {
  return std::make_shared<const GroundingDino>(folder, place, rules);
}

std::shared_ptr<const BoxSegmenter> load_sam(const std::filesystem::path& folder_or_file,
                                             const NetworkPlace& place) {
  return std::make_shared<const Sam>(folder_or_file, place);
}

}  // namespace deda::decoupling
