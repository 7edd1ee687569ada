#include "decoupling/mask_quality.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <vector>

namespace deda::decoupling {

namespace {

constexpr int longer_side = 160;     // the picture is shrunk to that: noise averages out, and it is quick
constexpr double ring_share = 0.15;  // width of the ring around the mask, of the square root of its area
constexpr int least_ring_pixels = 2;
constexpr int gap_pixels = 1;  // between mask and ring: edges are mixtures of both

// Lightness in steps of 16, the two colour axes of Lab in steps of 8.
constexpr std::array<int, 3> bins{16, 32, 32};
constexpr std::size_t all_bins = 16 * 32 * 32;

using Histogram = std::vector<double>;

cv::Mat ellipse_kernel(int radius) {
  return cv::getStructuringElement(cv::MORPH_ELLIPSE, {2 * radius + 1, 2 * radius + 1});
}

cv::Mat grown(const cv::Mat& mask, int radius) {
  cv::Mat out;
  cv::dilate(mask, out, ellipse_kernel(radius));
  return out;
}

// One axis smoothed by 1 2 1: a colour at the border of a bin belongs to both.
void smooth(Histogram& histogram, std::size_t stride, int length) {
  const Histogram before = histogram;
  for (std::size_t i = 0; i < histogram.size(); ++i) {
    const auto place = static_cast<int>(i / stride) % length;
    const double lower = place > 0 ? before[i - stride] : 0,
                 upper = place + 1 < length ? before[i + stride] : 0;
    histogram[i] = (lower + 2 * before[i] + upper) / 4;
  }
}

// Shares of the pixels where `mask` is set.
Histogram colours_of(const cv::Mat& lab, const cv::Mat& mask) {
  Histogram histogram(all_bins);
  std::int64_t count = 0;
  for (int y = 0; y < lab.rows; ++y) {
    const auto* colour = lab.ptr<cv::Vec3b>(y);
    const std::uint8_t* inside = mask.ptr(y);
    for (int x = 0; x < lab.cols; ++x) {
      if (inside[x] == 0) continue;
      std::size_t bin = 0;
      for (std::size_t c = 0; c < bins.size(); ++c)
        bin = bin * static_cast<std::size_t>(bins[c]) +
              static_cast<std::size_t>(colour[x][static_cast<int>(c)] * bins[c] / 256);
      ++histogram[bin];
      ++count;
    }
  }
  for (double& share : histogram) share /= static_cast<double>(std::max<std::int64_t>(1, count));
  smooth(histogram, 1, bins[2]);
  smooth(histogram, static_cast<std::size_t>(bins[2]), bins[1]);
  smooth(histogram, static_cast<std::size_t>(bins[1] * bins[2]), bins[0]);
  return histogram;
}

}  // namespace

double mask_quality(const io::Image& picture, const io::Image& mask) {
  const cv::Mat rgb(picture.height, picture.width, CV_8UC3, const_cast<std::uint8_t*>(picture.pixels.data()));
  const cv::Mat whole(mask.height, mask.width, CV_8U, const_cast<std::uint8_t*>(mask.pixels.data()));
  const double scale =
      std::min(1.0, static_cast<double>(longer_side) / std::max(picture.width, picture.height));
  const cv::Size size(std::max(1, static_cast<int>(std::lround(picture.width * scale))),
                      std::max(1, static_cast<int>(std::lround(picture.height * scale))));
  cv::Mat small, covered, lab;
  cv::resize(rgb, small, size, 0, 0, cv::INTER_AREA);
  cv::resize(whole, covered, size, 0, 0, cv::INTER_AREA);
  cv::Mat inside = covered > 127;
  if (cv::countNonZero(inside) == 0) inside = covered > 0;  // thinner than a pixel of the small copy
  const int area = cv::countNonZero(inside);
  const int width = std::max(least_ring_pixels, static_cast<int>(std::lround(ring_share * std::sqrt(area))));
  const cv::Mat ring = grown(inside, gap_pixels + width) & ~grown(inside, gap_pixels);
  if (area == 0 || cv::countNonZero(ring) == 0) return 0;
  cv::cvtColor(small, lab, cv::COLOR_RGB2Lab);
  const Histogram object = colours_of(lab, inside), ground = colours_of(lab, ring);
  double shared = 0;
  for (std::size_t i = 0; i < object.size(); ++i) shared += std::min(object[i], ground[i]);
  constexpr double steps = 1e4;  // what it is good for; and the same number from other orders of summing
  return std::clamp(std::nearbyint((1 - shared) * steps) / steps, 0.0, 1.0);
}

}  // namespace deda::decoupling
