#include "diffusion/transparent/framing.h"

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/error.h"
#include "io/pictures/alpha_pyramid.h"
#include "io/pictures/resize.h"

namespace deda::diffusion {
namespace {

struct Box {
  int x1 = 0, y1 = 0, x2 = 0, y2 = 0;  // half open
  bool empty() const { return x2 <= x1 || y2 <= y1; }
};

Box box_of_alpha(const io::Image& rgba, int least) {
  Box box{rgba.width, rgba.height, 0, 0};
  for (int y = 0; y < rgba.height; ++y) {
    const std::uint8_t* row = rgba.row(y);
    for (int x = 0; x < rgba.width; ++x) {
      if (row[4 * x + 3] < least) continue;
      box = {std::min(box.x1, x), std::min(box.y1, y), std::max(box.x2, x + 1), std::max(box.y2, y + 1)};
    }
  }
  return box;
}

struct Split {
  io::Image colour, alpha;
};
Split split(const io::Image& rgba) {
  Split parts{io::Image(rgba.height, rgba.width, 3), io::Image(rgba.height, rgba.width, 1)};
  for (std::size_t i = 0; i < parts.alpha.pixels.size(); ++i) {
    for (std::size_t c = 0; c < 3; ++c) parts.colour.pixels[3 * i + c] = rgba.pixels[4 * i + c];
    parts.alpha.pixels[i] = rgba.pixels[4 * i + 3];
  }
  return parts;
}
io::Image join(const io::Image& colour, const io::Image& alpha) {
  io::Image rgba(colour.height, colour.width, 4);
  for (std::size_t i = 0; i < alpha.pixels.size(); ++i) {
    for (std::size_t c = 0; c < 3; ++c) rgba.pixels[4 * i + c] = colour.pixels[3 * i + c];
    rgba.pixels[4 * i + 3] = alpha.pixels[i];
  }
  return rgba;
}

// Colours are padded under transparency before, so that colour and alpha can be resized apart: no background
// bleeds into the rim.
io::Image resize_rgba(const io::Image& rgba, int height, int width) {
  Split parts = split(rgba);
  parts.colour = io::fill_by_alpha_pyramid(parts.colour, parts.alpha);
  return join(io::resize(parts.colour, height, width, io::Filter::bicubic),
              io::resize(parts.alpha, height, width, io::Filter::bicubic));
}

io::Image crop(const io::Image& image, const Box& box) {
  io::Image part(box.y2 - box.y1, box.x2 - box.x1, image.channels);
  for (int y = 0; y < part.height; ++y)
    std::copy_n(image.row(box.y1 + y) + static_cast<std::ptrdiff_t>(box.x1) * image.channels,
                static_cast<std::size_t>(part.width) * image.channels, part.row(y));
  return part;
}

}  // namespace

FramedCdp frame_cdp(const io::Image& rgba, const std::array<std::int32_t, 4>& crop_box,
                    std::int64_t resolution, double margin_share) {
  const Box box = box_of_alpha(rgba, 1);
  if (box.empty()) throw DataError("the CDP has no opaque pixel");
  const int longer = std::max(box.x2 - box.x1, box.y2 - box.y1);
  const int side = std::max(1, static_cast<int>(std::lround(longer * (1 + 2 * margin_share))));
  const int left = static_cast<int>(std::floor((box.x1 + box.x2 - side) / 2.0));
  const int top = static_cast<int>(std::floor((box.y1 + box.y2 - side) / 2.0));
  io::Image canvas(side, side, 4);
  for (int y = std::max(0, -top); y < side && y + top < rgba.height; ++y) {
    const int x_begin = std::max(0, -left), x_end = std::min(side, rgba.width - left);
    if (x_begin >= x_end) continue;
    std::copy_n(rgba.row(y + top) + 4 * static_cast<std::ptrdiff_t>(x_begin + left),
                4 * static_cast<std::size_t>(x_end - x_begin),
                canvas.row(y) + 4 * static_cast<std::ptrdiff_t>(x_begin));
  }
  FramedCdp framed;
  framed.rgba = resize_rgba(canvas, static_cast<int>(resolution), static_cast<int>(resolution));
  const double scale =
      static_cast<double>(crop_box[2] - crop_box[0]) / rgba.width;  // source pixels per record pixel
  framed.frame = {crop_box[0] + left * scale, crop_box[1] + top * scale, side * scale};
  return framed;
}

void clean_alpha(io::Image& rgba, const AlphaCleanUp& rules) {
  const int least = static_cast<int>(std::ceil(rules.least_alpha * 255));
  cv::Mat seen(rgba.height, rgba.width, CV_8UC1);
  for (int y = 0; y < rgba.height; ++y) {
    for (int x = 0; x < rgba.width; ++x) {
      auto& alpha = rgba.row(y)[4 * x + 3];
      if (alpha < least) alpha = 0;
      seen.at<std::uint8_t>(y, x) = alpha > 0 ? 255 : 0;
    }
  }
  cv::Mat labels, sizes, centres;
  const int components = cv::connectedComponentsWithStats(seen, labels, sizes, centres, 8, CV_32S);
  int largest = 0;
  for (int i = 1; i < components; ++i) largest = std::max(largest, sizes.at<int>(i, cv::CC_STAT_AREA));
  for (int y = 0; y < rgba.height; ++y) {
    for (int x = 0; x < rgba.width; ++x) {
      const int label = labels.at<int>(y, x);
      if (label > 0 && sizes.at<int>(label, cv::CC_STAT_AREA) < rules.least_component_share * largest)
        rgba.row(y)[4 * x + 3] = 0;
    }
  }
}

UnframedCdp unframe_cdp(const io::Image& square, const Frame& frame) {
  UnframedCdp out;
  // Not enlarged: a CDP larger than the model's picture keeps the model's pixels and tells its true size.
  const int side = std::max(1, std::min(square.width, static_cast<int>(std::lround(frame.side))));
  const io::Image image = side == square.width ? square : resize_rgba(square, side, side);
  const double scale = frame.side / side;
  const Box seen = box_of_alpha(image, 1), box = box_of_alpha(image, opaque);
  if (box.empty()) return out;
  out.rgba = crop(image, seen);
  const auto place = [&](const Box& b) {
    return std::array<std::int32_t, 4>{static_cast<std::int32_t>(std::floor(frame.left + b.x1 * scale)),
                                       static_cast<std::int32_t>(std::floor(frame.top + b.y1 * scale)),
                                       static_cast<std::int32_t>(std::ceil(frame.left + b.x2 * scale)),
                                       static_cast<std::int32_t>(std::ceil(frame.top + b.y2 * scale))};
  };
  out.crop = place(seen);
  out.box = place(box);
  std::int64_t pixels = 0;
  for (std::size_t i = 3; i < image.pixels.size(); i += 4) pixels += image.pixels[i] >= opaque;
  out.mask_area = std::llround(static_cast<double>(pixels) * scale * scale);
  return out;
}

SilhouetteChange compare_silhouettes(const io::Image& source, const io::Image& edited) {
  cv::Mat mask(source.height, source.width, CV_8UC1);
  for (int y = 0; y < source.height; ++y) {
    for (int x = 0; x < source.width; ++x)
      mask.at<std::uint8_t>(y, x) = source.row(y)[4 * x + 3] >= opaque ? 255 : 0;
  }
  const int radius = std::max(1, source.width / 64);
  cv::Mat inner;
  cv::erode(mask, inner, cv::getStructuringElement(cv::MORPH_ELLIPSE, {2 * radius + 1, 2 * radius + 1}));
  std::int64_t inside = 0, before = 0, after = 0;
  double alpha_inside = 0;
  for (int y = 0; y < source.height; ++y) {
    for (int x = 0; x < source.width; ++x) {
      const int alpha = edited.row(y)[4 * x + 3];
      const bool was = mask.at<std::uint8_t>(y, x) != 0, is = alpha >= opaque;
      before += was;
      after += is;
      if (inner.at<std::uint8_t>(y, x) == 0) continue;
      ++inside;
      alpha_inside += alpha / 255.0;
    }
  }
  SilhouetteChange change;
  change.mean_alpha_inside = inside > 0 ? alpha_inside / static_cast<double>(inside) : 1.0;
  change.area_ratio = before > 0 ? static_cast<double>(after) / static_cast<double>(before) : 0.0;
  return change;
}

}  // namespace deda::diffusion
