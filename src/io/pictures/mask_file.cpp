#include "io/pictures/mask_file.h"

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "core/files.h"
#include "io/pictures/gif.h"
#include "io/pictures/jpeg_file.h"
#include "io/pictures/opencv_decode.h"
#include "io/pictures/png_file.h"

namespace deda::io {

namespace {

constexpr int white_of_8_bit = 255, white_of_16_bit = 65535;

void take_picture(const Image& picture, MaskFile& file) {
  file.height = picture.height;
  file.width = picture.width;
  file.channels = picture.channels;
  file.samples.assign(picture.pixels.begin(), picture.pixels.end());
}

void take_png(PngSamples png, MaskFile& file) {
  file.height = png.height;
  file.width = png.width;
  file.channels = png.channels;
  file.white = (1 << png.bit_depth) - 1;
  file.samples = std::move(png.samples);
  file.palette = std::move(png.palette);
}

// Channels in OpenCV's order (BGR) and any kind of number.
void take_matrix(cv::Mat mat, MaskFile& file) {
  if (mat.channels() == 3) cv::cvtColor(mat, mat, cv::COLOR_BGR2RGB);
  if (mat.channels() == 4) cv::cvtColor(mat, mat, cv::COLOR_BGRA2RGBA);
  file.height = mat.rows;
  file.width = mat.cols;
  file.channels = mat.channels();
  file.white = mat.depth() == CV_8U ? white_of_8_bit : white_of_16_bit;
  if (mat.depth() != CV_8U && mat.depth() != CV_16U) {
    if (mat.depth() == CV_32F) cv::patchNaNs(mat, 0);
    double largest = 0;
    cv::minMaxLoc(mat.reshape(1), nullptr, &largest);
    mat.convertTo(mat, CV_16U, largest > 0 ? white_of_16_bit / largest : 1.0);
  } else {
    mat.convertTo(mat, CV_16U);
  }
  const cv::Mat rows = mat.isContinuous() ? mat : mat.clone();
  const auto* first = rows.ptr<std::uint16_t>();
  file.samples.assign(first, first + rows.total() * static_cast<std::size_t>(rows.channels()));
}

}  // namespace

MaskFile read_mask_file(const std::filesystem::path& path, const DecodeLimits& limits) {
  const std::vector<std::uint8_t> bytes = read_bytes(path, limits.max_file_bytes);
  const std::string name = path.string();
  const ImageHeader header = checked_header(bytes, name, limits);
  MaskFile file;
  file.format = header.format;
  file.lossy = header.lossy;
  std::vector<std::string> notes;
  switch (header.format) {
    case ImageFormat::png:
      take_png(decode_png_samples(bytes, name), file);
      break;
    case ImageFormat::jpeg:
      take_picture(decode_jpeg(bytes, name, limits.max_pixels, notes), file);
      break;
    case ImageFormat::gif:
      take_picture(decode_gif_first_frame(bytes, name), file);
      break;
    default:
      take_matrix(decode_by_opencv(bytes, name, header.format, limits), file);
      // A PNM tells its own white. OpenCV has stretched what fits 8 bits.
      if (header.largest_value > white_of_8_bit) file.white = static_cast<int>(header.largest_value);
      break;
  }
  return file;
}

Image stored_values(const MaskFile& file) {
  const auto channels = static_cast<std::size_t>(file.channels);
  const bool has_alpha = file.channels == 2 || file.channels == 4;
  const std::size_t colours = channels - (has_alpha ? 1 : 0);
  Image values(file.height, file.width, 1);
  for (std::size_t i = 0; i < values.pixels.size(); ++i) {
    const std::uint16_t* pixel = &file.samples[i * channels];
    const std::uint16_t value = *std::max_element(pixel, pixel + colours);
    values.pixels[i] = static_cast<std::uint8_t>(std::min<std::uint16_t>(value, white_of_8_bit));
  }
  return values;
}

Image read_mask(const std::filesystem::path& path, const DecodeLimits& limits) {
  return stored_values(read_mask_file(path, limits));
}

}  // namespace deda::io
