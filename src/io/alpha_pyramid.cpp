#include "io/alpha_pyramid.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <vector>

namespace deda::io {

namespace {

struct Level {
  cv::Mat premultiplied;  // CV_32FC3
  cv::Mat alpha;          // CV_32FC1
};

Level base_level(const Image& colour, const Image& known) {
  Level level{cv::Mat(colour.height, colour.width, CV_32FC3), cv::Mat(colour.height, colour.width, CV_32FC1)};
  constexpr float scale = 1.0f / 255.0f;
  for (int y = 0; y < colour.height; ++y) {
    const std::uint8_t *from = colour.row(y), *mask = known.row(y);
    float *to = level.premultiplied.ptr<float>(y), *alpha = level.alpha.ptr<float>(y);
    for (int x = 0; x < colour.width; ++x) {
      alpha[x] = static_cast<float>(mask[x]) * scale;
      for (int c = 0; c < 3; ++c) to[3 * x + c] = static_cast<float>(from[3 * x + c]) * scale * alpha[x];
    }
  }
  return level;
}

// fill := premultiplied + fill * (1 - alpha), in place.
void cover(const Level& level, cv::Mat& fill) {
  for (int y = 0; y < fill.rows; ++y) {
    const float *colour = level.premultiplied.ptr<float>(y), *alpha = level.alpha.ptr<float>(y);
    float* to = fill.ptr<float>(y);
    for (int x = 0; x < fill.cols; ++x) {
      const float uncovered = 1.0f - alpha[x];
      for (int c = 0; c < 3; ++c) to[3 * x + c] = colour[3 * x + c] + to[3 * x + c] * uncovered;
    }
  }
}

cv::Size smaller(const cv::Size& size, double ratio) {
  return {static_cast<int>(size.width / ratio), static_cast<int>(size.height / ratio)};
}

}  // namespace

int alpha_pyramid_levels(int height, int width, double ratio) {
  int levels = 1;
  for (cv::Size size{width, height}; std::min(size.width, size.height) > 1; size = smaller(size, ratio))
    ++levels;
  return levels;
}

namespace {

cv::Mat filled(const Image& colour, const Image& known, double ratio) {
  std::vector<Level> levels = {base_level(colour, known)};
  while (std::min(levels.back().alpha.rows, levels.back().alpha.cols) > 1) {
    const cv::Size size = smaller(levels.back().alpha.size(), ratio);
    Level next;
    cv::resize(levels.back().premultiplied, next.premultiplied, size, 0, 0, cv::INTER_AREA);
    cv::resize(levels.back().alpha, next.alpha, size, 0, 0, cv::INTER_AREA);
    levels.push_back(std::move(next));
  }
  // One colour for what even the coarsest level does not know.
  constexpr double least_weight = 1e-8;
  const double weight = std::max(cv::sum(levels.back().alpha)[0], least_weight);
  const cv::Scalar sum = cv::sum(levels.back().premultiplied);
  cv::Mat fill(levels.back().alpha.size(), CV_32FC3,
               cv::Scalar(sum[0] / weight, sum[1] / weight, sum[2] / weight));
  for (std::size_t k = levels.size(); k-- > 0;) {
    if (fill.size() != levels[k].alpha.size()) {
      cv::Mat larger;
      cv::resize(fill, larger, levels[k].alpha.size(), 0, 0, cv::INTER_LINEAR);
      fill = std::move(larger);
    }
    cover(levels[k], fill);
    levels[k] = {};  // memory falls as the fill rises
  }
  return fill;
}

}  // namespace

std::vector<float> alpha_pyramid_colours(const Image& colour, const Image& known, double ratio) {
  const cv::Mat fill = filled(colour, known, ratio);
  const float* data = fill.ptr<float>();
  return {data, data + fill.total() * 3};
}

Image fill_by_alpha_pyramid(const Image& colour, const Image& known, double ratio) {
  const cv::Mat fill = filled(colour, known, ratio);
  Image out(colour.height, colour.width, 3);
  for (int y = 0; y < out.height; ++y) {
    const float* from = fill.ptr<float>(y);
    const std::uint8_t *original = colour.row(y), *mask = known.row(y);
    std::uint8_t* to = out.row(y);
    for (int x = 0; x < out.width; ++x) {
      for (int c = 0; c < 3; ++c) {
        to[3 * x + c] =
            mask[x] == 255
                ? original[3 * x + c]
                : static_cast<std::uint8_t>(std::clamp(std::lround(from[3 * x + c] * 255.0f), 0l, 255l));
      }
    }
  }
  return out;
}

}  // namespace deda::io
