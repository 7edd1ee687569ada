#include "decoupling/cut.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/photo.hpp>

#include "decoupling/mask_source.h"
#include "io/pictures/alpha_pyramid.h"
#include "io/pictures/resize.h"

namespace deda::decoupling {

namespace {

cv::Mat view_of(const io::Image& image) {
  return {image.height, image.width, CV_8UC(image.channels), const_cast<std::uint8_t*>(image.pixels.data())};
}

cv::Mat ellipse_kernel(int radius) {
  return cv::getStructuringElement(cv::MORPH_ELLIPSE, {2 * radius + 1, 2 * radius + 1});
}

io::Image cropped(const io::Image& image, const std::array<std::int32_t, 4>& crop) {
  io::Image out(crop[3] - crop[1], crop[2] - crop[0], image.channels);
  const std::size_t row_bytes = static_cast<std::size_t>(out.width) * static_cast<std::size_t>(out.channels);
  for (int y = 0; y < out.height; ++y)
    std::memcpy(
        out.row(y),
        image.row(crop[1] + y) + static_cast<std::size_t>(crop[0]) * static_cast<std::size_t>(image.channels),
        row_bytes);
  return out;
}

// Eroded and softened mask. An erosion that would eat a small object up is left out.
io::Image alpha_of(const io::Image& mask, const DecoupleConfig& config) {
  io::Image alpha = mask;
  cv::Mat view = view_of(alpha);
  if (config.erode_pixels > 0) {
    cv::Mat eroded;
    cv::erode(view, eroded, ellipse_kernel(static_cast<int>(config.erode_pixels)), {-1, -1}, 1,
              cv::BORDER_REPLICATE);
    if (cv::countNonZero(eroded) > 0) eroded.copyTo(view);
  }
  if (config.feather_sigma > 0) {
    cv::Mat soft;
    // Replicated border: an object that touches the frame keeps full alpha there.
    cv::GaussianBlur(view, soft, {0, 0}, config.feather_sigma, config.feather_sigma, cv::BORDER_REPLICATE);
    soft.copyTo(view);
  }
  return alpha;
}

std::array<std::int32_t, 4> crop_of(const std::array<std::int32_t, 4>& box, int height, int width,
                                    const DecoupleConfig& config) {
  const double margin = std::max(static_cast<double>(config.margin_pixels),
                                 config.margin_share * std::max(box[2] - box[0], box[3] - box[1]));
  return {std::max(0, static_cast<std::int32_t>(std::floor(box[0] - margin))),
          std::max(0, static_cast<std::int32_t>(std::floor(box[1] - margin))),
          std::min(width, static_cast<std::int32_t>(std::ceil(box[2] + margin))),
          std::min(height, static_cast<std::int32_t>(std::ceil(box[3] + margin)))};
}

}  // namespace

Cdp cut_cdp(const io::Image& picture, const io::Image& mask, const DecoupleConfig& config) {
  Cdp cdp;
  cdp.box = box_of(mask);
  cdp.mask_area = area_of(mask);
  const io::Image alpha = alpha_of(mask, config);
  auto alpha_box = box_of(alpha);
  if (alpha_box[2] == 0) alpha_box = cdp.box;  // a few pixels softened to nothing
  cdp.crop = crop_of(alpha_box, picture.height, picture.width, config);
  const io::Image part_alpha = cropped(alpha, cdp.crop);
  const io::Image colour =
      io::fill_by_alpha_pyramid(cropped(picture, cdp.crop), part_alpha, config.pyramid_ratio);
  cdp.rgba = io::Image(colour.height, colour.width, 4);
  for (std::size_t i = 0; i < part_alpha.pixels.size(); ++i) {
    std::copy_n(&colour.pixels[3 * i], 3, &cdp.rgba.pixels[4 * i]);
    cdp.rgba.pixels[4 * i + 3] = part_alpha.pixels[i];
  }
  const int longer = std::max(cdp.rgba.height, cdp.rgba.width);
  if (config.cdp_longer_side > 0 && longer > config.cdp_longer_side) {
    const double scale = static_cast<double>(config.cdp_longer_side) / longer;
    // Colour and alpha apart: hidden colours continue the object's, so nothing dark can bleed in.
    cdp.rgba = io::resize(cdp.rgba, std::max(1, static_cast<int>(std::lround(cdp.rgba.height * scale))),
                          std::max(1, static_cast<int>(std::lround(cdp.rgba.width * scale))));
  }
  return cdp;
}

int hole_dilation(int height, int width, const DecoupleConfig& config) {
  // nearbyint rounds half to even in the default rounding mode, as Python's round does.
  return std::max(static_cast<int>(config.hole_dilation_pixels),
                  static_cast<int>(std::nearbyint(config.hole_dilation_share * std::max(height, width))));
}

Cip fill_cip(const io::Image& picture, const io::Image& hole_mask, const DecoupleConfig& config) {
  Cip cip;
  cip.hole = io::Image(picture.height, picture.width, 1);
  cv::Mat hole = view_of(cip.hole);
  const int radius = hole_dilation(picture.height, picture.width, config);
  if (radius > 0)
    cv::dilate(view_of(hole_mask), hole, ellipse_kernel(radius));
  else
    view_of(hole_mask).copyTo(hole);
  const std::int64_t hole_area = area_of(cip.hole);
  cip.hole_share = static_cast<double>(hole_area) / static_cast<double>(cip.hole.pixels.size());
  if (hole_area == static_cast<std::int64_t>(cip.hole.pixels.size())) return cip;  // nothing known
  if (config.fill == Fill::telea) {
    constexpr double radius_pixels = 3.0;
    cip.rgb = io::Image(picture.height, picture.width, 3);
    cv::Mat out = view_of(cip.rgb);
    cv::inpaint(view_of(picture), hole, out, radius_pixels, cv::INPAINT_TELEA);
  } else {
    io::Image known(picture.height, picture.width, 1);
    for (std::size_t i = 0; i < known.pixels.size(); ++i) known.pixels[i] = cip.hole.pixels[i] != 0 ? 0 : 255;
    cip.rgb = io::fill_by_alpha_pyramid(picture, known, config.pyramid_ratio);
  }
  if (config.cip_shorter_side > 0 && std::min(cip.rgb.height, cip.rgb.width) > config.cip_shorter_side) {
    cip.rgb = io::resize_shorter_side(cip.rgb, static_cast<int>(config.cip_shorter_side));
  }
  return cip;
}

}  // namespace deda::decoupling
