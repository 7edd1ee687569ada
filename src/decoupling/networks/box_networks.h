// What the box routes ask of their two networks, apart from which networks they are: words -> boxes, boxes ->
// masks. GroundingDINO and SAM stand behind it (adapters.h); tests put others there.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "decoupling/mask_source.h"
#include "io/pictures/image.h"

namespace deda::decoupling {

using PixelBox = std::array<double, 4>;  // xyxy in source pixels, half open; may leave the picture

struct DetectedBox {
  PixelBox box{};
  double score = 0;  // 0..1
  std::string phrase;
};

struct Detected {
  std::vector<DetectedBox> boxes;
  std::string rejected;  // why the network cannot look at this picture; empty: it did
  std::vector<std::string> notes;
  std::vector<NamedArray> tensors;  // only where asked for
};

// Safe from several threads at once, as the segmenter.
class TextDetector {
 public:
  virtual ~TextDetector() = default;
  virtual Detected detect(const io::Image& picture, const std::string& prompt, double box_threshold,
                          double text_threshold, bool keep_tensors) const = 0;
};

struct SegmentedBox {
  std::vector<io::Image> masks;  // [H, W, 1] each, 255 object: one, or the alternatives
  std::vector<float> scores;     // the network's own estimate of each mask's IoU
};

struct SegmentOptions {
  bool alternatives = false;  // several masks for each box
  bool centre_point = false;  // a positive point in the middle of each box beside its corners
};

class BoxSegmenter {
 public:
  virtual ~BoxSegmenter() = default;
  // A picture as the network keeps it, for any number of boxes.
  struct Embedding {
    virtual ~Embedding() = default;
  };
  using Receive = std::function<void(std::size_t box, SegmentedBox&& masks)>;
  // `tensors`, where given, receive what the network saw.
  virtual std::shared_ptr<const Embedding> embed(const io::Image& picture,
                                                 std::vector<NamedArray>* tensors) const = 0;
  // Box by box in order, so that a thousand masks of a large picture need the memory of one. `tensors`, where
  // given, receive what the network saw and said.
  virtual void segment(const Embedding& embedding, const std::vector<PixelBox>& boxes,
                       const SegmentOptions& options, const Receive& receive,
                       std::vector<NamedArray>* tensors) const = 0;
};

}  // namespace deda::decoupling
