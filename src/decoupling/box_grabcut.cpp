#include "decoupling/box_grabcut.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/error.h"

namespace deda::decoupling {

namespace {

constexpr double least_box_fill = 0.15, most_box_fill = 0.95;
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
  auto box = *item.box;
  const double grow_x = config_.grabcut_box_growth * (box[2] - box[0]) / 2,
               grow_y = config_.grabcut_box_growth * (box[3] - box[1]) / 2;
  box = {std::max(0.0, box[0] - grow_x), std::max(0.0, box[1] - grow_y),
         std::min<double>(picture.width, box[2] + grow_x), std::min<double>(picture.height, box[3] + grow_y)};
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

  cv::Mat labels(small.size(), CV_8U, cv::Scalar(cv::GC_BGD));
  labels(rect).setTo(cv::GC_PR_BGD);
  draw_ellipse(labels, rect, config_.grabcut_seed_share, cv::Scalar(cv::GC_PR_FGD));
  if (rect.width < small.cols - 2 * background_band || rect.height < small.rows - 2 * background_band) {
    const cv::Rect inner(background_band, background_band, std::max(1, small.cols - 2 * background_band),
                         std::max(1, small.rows - 2 * background_band));
    cv::Mat band(small.size(), CV_8U, cv::Scalar(255));
    if (inner.x + inner.width <= small.cols && inner.y + inner.height <= small.rows) band(inner).setTo(0);
    cv::Mat inside_box = cv::Mat::zeros(small.size(), CV_8U);
    inside_box(rect).setTo(255);
    labels.setTo(cv::GC_BGD, band & ~inside_box);
  }
  cv::Mat mask = cv::Mat::zeros(small.size(), CV_8U);
  double score = 1.0;
  const bool has_background =
      cv::countNonZero(labels == cv::GC_BGD) + cv::countNonZero(labels == cv::GC_PR_BGD) > 0;
  if (has_background && small.total() >= 64) {
    cv::setRNGSeed(small.cols * 7919 + small.rows * 104729 + rect.x * 31 + rect.y * 17 + rect.width);
    cv::Mat background_model, foreground_model;
    try {
      cv::grabCut(small, labels, rect, background_model, foreground_model,
                  static_cast<int>(config_.grabcut_iterations), cv::GC_INIT_WITH_MASK);
      mask.setTo(255, (labels == cv::GC_FGD) | (labels == cv::GC_PR_FGD));
      mask = cleaned(mask, rect);
    } catch (const cv::Exception& error) {
      mask.setTo(0);  // too few samples for the colour models: the ellipse below
    }
  }
  const double fill = static_cast<double>(cv::countNonZero(mask(rect))) / rect.area();
  if (fill < least_box_fill || fill > most_box_fill) {
    mask.setTo(0);
    draw_ellipse(mask, rect, 1.0, cv::Scalar(255));
    score = 0.5;
  }
  io::Image full(picture.height, picture.width, 1);
  cv::Mat full_view(full.height, full.width, CV_8U, full.pixels.data()), enlarged;
  cv::resize(mask, enlarged, full_view.size(), 0, 0, cv::INTER_LINEAR);
  cv::threshold(enlarged, full_view, 127, 255, cv::THRESH_BINARY);
  if (area_of(full) == 0) {
    found.reason = "GrabCut found no object in the box";
    return found;
  }
  FoundObject object;
  object.box = *item.box;
  object.score = score;
  object.class_id = item.class_id;
  add_object(found, std::move(object), full, request.keep_tensors);
  return found;
}

}  // namespace deda::decoupling
