#include "decoupling/box_grabcut.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/error.h"

namespace deda::decoupling {

namespace {

constexpr double least_box_fill = 0.15, most_box_fill = 0.95;
constexpr double most_start_overlap = 0.9;
constexpr std::size_t least_pixels = 64;  // of the small copy
constexpr double kept_component_share =
    0.05;                           // components smaller than that share of the largest are dropped
constexpr int background_band = 5;  // pixels at the picture's edge that are background for certain

// Largest component that overlaps the box's middle, and the others that are not tiny beside it; holes filled.
cv::Mat cleaned(const cv::Mat& mask, const cv::Rect& box) {
  cv::Mat labels, statistics, centroids;
  const int count = cv::connectedComponentsWithStats(mask, labels, statistics, centroids, 8, CV_32S);
  const cv::Rect middle(box.x + box.width / 4, box.y + box.height / 4, std::max(1, box.width / 2),
                        std::max(1, box.height / 2));
  int largest = 0;
  for (int i = 1; i < count; ++i) {
    const bool in_middle = cv::countNonZero(labels(middle) == i) > 0;
    if (in_middle && (largest == 0 || statistics.at<int>(i, cv::CC_STAT_AREA) >
                                          statistics.at<int>(largest, cv::CC_STAT_AREA)))
      largest = i;
  }
  cv::Mat kept = cv::Mat::zeros(mask.size(), CV_8U);
  if (largest == 0) return kept;
  const double least = kept_component_share * statistics.at<int>(largest, cv::CC_STAT_AREA);
  for (int i = 1; i < count; ++i) {
    if (statistics.at<int>(i, cv::CC_STAT_AREA) >= least) kept.setTo(255, labels == i);
  }
  // Holes: what a flood from outside does not reach.
  cv::Mat outside;
  cv::copyMakeBorder(kept, outside, 1, 1, 1, 1, cv::BORDER_CONSTANT, cv::Scalar(0));
  cv::floodFill(outside, {0, 0}, cv::Scalar(255));
  kept.setTo(255, outside(cv::Rect(1, 1, kept.cols, kept.rows)) == 0);
  return kept;
}

void draw_ellipse(cv::Mat& mask, const cv::Rect& box, double share, const cv::Scalar& value) {
  cv::ellipse(mask, {box.x + box.width / 2, box.y + box.height / 2},
              {std::max(1, static_cast<int>(box.width * share / 2)),
               std::max(1, static_cast<int>(box.height * share / 2))},
              0, 0, 360, value, cv::FILLED);
}

double intersection_over_union(const cv::Mat& a, const cv::Mat& b) {
  const int either = cv::countNonZero(a | b);
  return either == 0 ? 0 : static_cast<double>(cv::countNonZero(a & b)) / either;
}

// Why GrabCut's mask is no find, or "".
std::string why_not(const cv::Mat& mask, const cv::Mat& start, const cv::Rect& box) {
  const double fill = static_cast<double>(cv::countNonZero(mask(box))) / box.area();
  if (fill == 0) return "GrabCut found no object in the box";
  if (fill < least_box_fill || fill > most_box_fill)
    return fmt::format("GrabCut's mask fills {:.0f} % of the box, outside of {:.0f} to {:.0f} %", 100 * fill,
                       100 * least_box_fill, 100 * most_box_fill);
  if (const double overlap = intersection_over_union(mask, start); overlap > most_start_overlap)
    return fmt::format("GrabCut's mask is about the ellipse it started from: IoU {:.2f}, more than {:.2f}",
                       overlap, most_start_overlap);
  return {};
}

// The box's inner ellipse may be object, the rest of the box may be ground, all else is.
cv::Mat labels_at_start(const cv::Size& size, const cv::Rect& box, const DecoupleConfig& config) {
  cv::Mat labels(size, CV_8U, cv::Scalar(cv::GC_BGD));
  labels(box).setTo(cv::GC_PR_BGD);
  draw_ellipse(labels, box, config.grabcut_seed_share, cv::Scalar(cv::GC_PR_FGD));
  if (box.width < size.width - 2 * background_band || box.height < size.height - 2 * background_band) {
    const cv::Rect inner(background_band, background_band, std::max(1, size.width - 2 * background_band),
                         std::max(1, size.height - 2 * background_band));
    cv::Mat band(size, CV_8U, cv::Scalar(255));
    if (inner.x + inner.width <= size.width && inner.y + inner.height <= size.height) band(inner).setTo(0);
    cv::Mat inside_box = cv::Mat::zeros(size, CV_8U);
    inside_box(box).setTo(255);
    labels.setTo(cv::GC_BGD, band & ~inside_box);
  }
  return labels;
}

struct Cut {
  cv::Mat mask;
  std::string refusal;
};

Cut cut_out(const cv::Mat& picture, const cv::Rect& box, const DecoupleConfig& config) {
  cv::Mat labels = labels_at_start(picture.size(), box, config);
  const cv::Mat start = labels == cv::GC_PR_FGD;
  Cut cut{cv::Mat::zeros(picture.size(), CV_8U), {}};
  const bool has_background =
      cv::countNonZero(labels == cv::GC_BGD) + cv::countNonZero(labels == cv::GC_PR_BGD) > 0;
  if (has_background && picture.total() >= least_pixels) {
    cv::setRNGSeed(picture.cols * 7919 + picture.rows * 104729 + box.x * 31 + box.y * 17 + box.width);
    cv::Mat background_model, foreground_model;
    try {
      cv::grabCut(picture, labels, box, background_model, foreground_model,
                  static_cast<int>(config.grabcut_iterations), cv::GC_INIT_WITH_MASK);
      cut.mask.setTo(255, (labels == cv::GC_FGD) | (labels == cv::GC_PR_FGD));
      cut.mask = cleaned(cut.mask, box);
    } catch (const cv::Exception& error) {
      cut.mask.setTo(0);  // too few samples for the colour models
    }
  }
  cut.refusal = why_not(cut.mask, start, box);
  return cut;
}

// The box grown by the configured share, inside of the picture.
std::array<double, 4> grown_box(const std::array<double, 4>& box, const io::Image& picture,
                                const DecoupleConfig& config) {
  const double x = config.grabcut_box_growth * (box[2] - box[0]) / 2,
               y = config.grabcut_box_growth * (box[3] - box[1]) / 2;
  return {std::max(0.0, box[0] - x), std::max(0.0, box[1] - y), std::min<double>(picture.width, box[2] + x),
          std::min<double>(picture.height, box[3] + y)};
}

}  // namespace

Masks BoxGrabCut::find(const data::Dataset&, const MaskRequest& request) const {
  const data::Item& item = *request.item;
  const io::Image& picture = *request.picture;
  Masks found;
  found.route = name();
  if (!item.box) {
    found.reason = "no box annotation";
    return found;
  }
  const auto box = grown_box(*item.box, picture, config_);
  if (box[2] - box[0] < 2 || box[3] - box[1] < 2) {
    found.reason = "the box lies outside of the picture or is smaller than 2 pixels";
    return found;
  }
  const double scale =
      std::min(1.0, static_cast<double>(config_.grabcut_side) / std::max(picture.width, picture.height));
  const cv::Mat rgb(picture.height, picture.width, CV_8UC3, const_cast<std::uint8_t*>(picture.pixels.data()));
  cv::Mat small;
  cv::resize(rgb, small,
             {std::max(1, static_cast<int>(std::lround(picture.width * scale))),
              std::max(1, static_cast<int>(std::lround(picture.height * scale)))},
             0, 0, cv::INTER_AREA);
  cv::cvtColor(small, small, cv::COLOR_RGB2BGR);
  const int x1 = static_cast<int>(box[0] * scale), y1 = static_cast<int>(box[1] * scale);
  const int x2 = std::min(small.cols, static_cast<int>(std::ceil(box[2] * scale))),
            y2 = std::min(small.rows, static_cast<int>(std::ceil(box[3] * scale)));
  const cv::Rect rect(x1, y1, std::max(1, x2 - x1), std::max(1, y2 - y1));

  const Cut cut = cut_out(small, rect, config_);
  io::Image full(picture.height, picture.width, 1);
  cv::Mat full_view(full.height, full.width, CV_8U, full.pixels.data()), enlarged;
  cv::resize(cut.mask, enlarged, full_view.size(), 0, 0, cv::INTER_LINEAR);
  cv::threshold(enlarged, full_view, 127, 255, cv::THRESH_BINARY);
  FoundObject object;
  object.box = *item.box;
  object.class_id = item.class_id;
  if (!cut.refusal.empty() || area_of(full) == 0) {
    found.reason = cut.refusal.empty() ? "GrabCut found no object in the box" : cut.refusal;
    found.broken = true;
    object.rejected = found.reason;
    object.sketch = sketch_of(full);
    found.objects.push_back(std::move(object));
    return found;
  }
  add_object(found, std::move(object), full, request.keep_tensors);
  return found;
}

}  // namespace deda::decoupling
