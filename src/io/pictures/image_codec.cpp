#include "io/pictures/image_codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "core/error.h"
#include "core/files.h"
#include "io/mapped_file.h"
#include "io/pictures/gif.h"
#include "io/pictures/jpeg_file.h"
#include "io/pictures/opencv_decode.h"
#include "io/pictures/png_file.h"

namespace deda::io {

namespace {

std::string lower_suffix(const std::string& name) {
  std::string suffix = std::filesystem::path(name).extension().string();
  std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return suffix;
}

bool suffix_fits(const std::string& suffix, ImageFormat format) {
  switch (format) {
    case ImageFormat::jpeg:
      return suffix == ".jpg" || suffix == ".jpeg" || suffix == ".jpe" || suffix == ".jfif" ||
             suffix == ".jif" || suffix == ".mpo";
    case ImageFormat::png:
      return suffix == ".png" || suffix == ".apng";
    case ImageFormat::bmp:
      return suffix == ".bmp" || suffix == ".dib";
    case ImageFormat::webp:
      return suffix == ".webp";
    case ImageFormat::tiff:
      return suffix == ".tif" || suffix == ".tiff";
    case ImageFormat::gif:
      return suffix == ".gif";
    case ImageFormat::pnm:
      return suffix == ".pnm" || suffix == ".ppm" || suffix == ".pgm" || suffix == ".pbm";
    case ImageFormat::unknown:
      break;
  }
  return false;
}

// Any depth and channel count to RGB, with a note for what was lost. `largest`: the value of white in 16 bit
// pixels.
Image to_rgb(cv::Mat mat, const std::string& name, std::uint32_t largest, std::vector<std::string>& notes) {
  if (mat.depth() == CV_16U) {
    mat.convertTo(mat, CV_8U, 255.0 / largest);
    notes.emplace_back("16 bit scaled to 8");
  } else if (mat.depth() != CV_8U) {
    throw DataError("has pixels that are neither 8 nor 16 bit", name, "Convert it to 8 bit.");
  }
  Image image(mat.rows, mat.cols, 3);
  cv::Mat rgb(mat.rows, mat.cols, CV_8UC3, image.pixels.data());
  switch (mat.channels()) {
    case 1:
      cv::cvtColor(mat, rgb, cv::COLOR_GRAY2RGB);
      break;
    case 2: {
      cv::Mat grey;
      cv::extractChannel(mat, grey, 0);
      cv::cvtColor(grey, rgb, cv::COLOR_GRAY2RGB);
      notes.emplace_back("alpha dropped");
      break;
    }
    case 3:
      cv::cvtColor(mat, rgb, cv::COLOR_BGR2RGB);
      break;
    case 4:
      cv::cvtColor(mat, rgb, cv::COLOR_BGRA2RGB);
      notes.emplace_back("alpha dropped");
      break;
    default:
      throw DataError(fmt::format("has {} channels", mat.channels()), name);
  }
  return image;
}

// EXIF orientation 1..8: mirror and quarter turns that bring the picture upright.
Image oriented(const Image& image, int orientation) {
  if (orientation <= 1) return image;
  cv::Mat mat(image.height, image.width, CV_8UC3, const_cast<std::uint8_t*>(image.pixels.data())), turned;
  const auto rotate = [&](cv::RotateFlags turn) { cv::rotate(mat, turned, turn); };
  switch (orientation) {
    case 2:
      cv::flip(mat, turned, 1);
      break;
    case 3:
      rotate(cv::ROTATE_180);
      break;
    case 4:
      cv::flip(mat, turned, 0);
      break;
    case 5:
      cv::transpose(mat, turned);
      break;
    case 6:
      rotate(cv::ROTATE_90_CLOCKWISE);
      break;
    case 7:
      cv::transpose(mat, turned);
      cv::flip(turned, turned, -1);
      break;
    default:
      rotate(cv::ROTATE_90_COUNTERCLOCKWISE);
      break;
  }
  Image out(turned.rows, turned.cols, 3);
  turned.copyTo(cv::Mat(turned.rows, turned.cols, CV_8UC3, out.pixels.data()));
  return out;
}

cv::Mat bgr_of(const Image& image) {
  cv::Mat view(image.height, image.width, CV_8UC(image.channels),
               const_cast<std::uint8_t*>(image.pixels.data())),
      out;
  if (image.channels == 3)
    cv::cvtColor(view, out, cv::COLOR_RGB2BGR);
  else if (image.channels == 4)
    cv::cvtColor(view, out, cv::COLOR_RGBA2BGRA);
  else
    out = view;
  return out;
}

std::vector<std::uint8_t> encode(const Image& image, const char* suffix, const std::vector<int>& parameters) {
  if (image.empty()) throw DataError("cannot write an empty picture");
  silence_opencv();
  std::vector<std::uint8_t> bytes;
  if (!cv::imencode(suffix, bgr_of(image), bytes, parameters))
    throw IoError(fmt::format("could not encode a {} picture", suffix));
  return bytes;
}

}  // namespace

DecodedImage decode_image(std::span<const std::uint8_t> bytes, const std::string& name,
                          Orientation orientation, const DecodeLimits& limits) {
  const ImageHeader header = checked_header(bytes, name, limits);
  DecodedImage result;
  const std::string suffix = lower_suffix(name);
  if (!suffix.empty() && !suffix_fits(suffix, header.format))
    result.notes.push_back(fmt::format("is a {} although named {}", name_of(header.format), suffix));
  switch (header.format) {
    case ImageFormat::gif:
      result.image = decode_gif_first_frame(bytes, name);
      result.notes.emplace_back("first frame of a GIF");
      break;
    case ImageFormat::jpeg:
      result.image = decode_jpeg(bytes, name, limits.max_pixels, result.notes);
      break;
    case ImageFormat::png:
      result.image = decode_png_picture(bytes, name, result.notes);
      break;
    default: {
      constexpr std::uint32_t largest_8_bit = 255, largest_16_bit = 65535;
      const bool own_range = header.format == ImageFormat::pnm && header.largest_value > largest_8_bit;
      result.image = to_rgb(decode_by_opencv(bytes, name, header.format, limits), name,
                            own_range ? header.largest_value : largest_16_bit, result.notes);
      break;
    }
  }
  if (orientation == Orientation::apply_exif) result.image = oriented(result.image, header.exif_orientation);
  return result;
}

DecodedImage read_image(const std::filesystem::path& path, Orientation orientation,
                        const DecodeLimits& limits) {
  return decode_image(read_bytes(path, limits.max_file_bytes), path.string(), orientation, limits);
}

ImageHeader header_of_file(const std::filesystem::path& path) {
  return read_image_header(MappedFile(path, MappedFile::Access::random).bytes());
}

std::vector<std::uint8_t> encode_png(const Image& image) {
  return encode(image, ".png", {cv::IMWRITE_PNG_COMPRESSION, 3});
}

std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality) {
  if (image.channels == 4) throw DataError("JPEG has no transparency; write a PNG");
  return encode(image, ".jpg", {cv::IMWRITE_JPEG_QUALITY, std::clamp(quality, 0, 100)});
}

void write_image(const std::filesystem::path& path, const Image& image, int jpeg_quality) {
  const std::string suffix = lower_suffix(path.string());
  if (suffix != ".png" && suffix != ".jpg" && suffix != ".jpeg")
    throw ConfigError("pictures are written as .png or .jpg", path.string());
  const std::vector<std::uint8_t> bytes =
      suffix == ".png" ? encode_png(image) : encode_jpeg(image, jpeg_quality);
  write_atomically(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace deda::io
