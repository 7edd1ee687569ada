#include "decoupling/networks/clean_up.h"

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <vector>

namespace deda::decoupling {

namespace {

void drop_small(cv::Mat& mask, double least) {
  cv::Mat labels, statistics, centroids;
  const int count = cv::connectedComponentsWithStats(mask, labels, statistics, centroids, 8, CV_32S);
  std::vector<bool> kept(static_cast<std::size_t>(count), false);
  for (int i = 1; i < count; ++i)
    kept[static_cast<std::size_t>(i)] = statistics.at<int>(i, cv::CC_STAT_AREA) >= least;
  for (int y = 0; y < mask.rows; ++y) {
    for (int x = 0; x < mask.cols; ++x) {
      if (!kept[static_cast<std::size_t>(labels.at<int>(y, x))]) mask.at<std::uint8_t>(y, x) = 0;
    }
  }
}

void fill_holes(cv::Mat& mask) {
  cv::Mat outside;  // a frame of background, so that one flood reaches all of it
  cv::copyMakeBorder(mask, outside, 1, 1, 1, 1, cv::BORDER_CONSTANT, cv::Scalar(0));
  cv::floodFill(outside, {0, 0}, cv::Scalar(255));
  mask.setTo(255, outside(cv::Rect(1, 1, mask.cols, mask.rows)) == 0);
}

}  // namespace

io::Image cleaned_up(io::Image mask, const DecoupleConfig& config) {
  cv::Mat view(mask.height, mask.width, CV_8U, mask.pixels.data());
  if (config.min_component_share > 0)
    drop_small(view, config.min_component_share * static_cast<double>(mask.pixels.size()));
  if (config.fill_mask_holes) fill_holes(view);
  return mask;
}

}  // namespace deda::decoupling
