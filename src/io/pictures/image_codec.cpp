#include "io/pictures/image_codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "core/error.h"
#include "core/files.h"
#include "io/pictures/gif.h"
#include "io/pictures/image_header.h"
#include "io/pictures/mask_png.h"

namespace deda::io {

namespace {

// OpenCV's messages go nowhere: what they say is in our errors.
void silence_opencv() {
  static const bool done = [] {
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    return true;
  }();
  static_cast<void>(done);
}

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

// Checks every claim of the header; throws DataError.
ImageHeader checked_header(std::span<const std::uint8_t> bytes, const std::string& name,
                           const DecodeLimits& limits) {
  if (bytes.empty()) throw DataError("is empty: 0 bytes", name);
  const ImageHeader header = read_image_header(bytes);
  if (header.format == ImageFormat::unknown)
    throw DataError("is no image that can be read", name, "JPEG, PNG, BMP, WebP, TIFF, GIF and PNM are.");
  const std::string_view format = name_of(header.format);
  if (header.width == 0 || header.height == 0)
    throw DataError(fmt::format("is a broken {}: its header gives no size", format), name);
  if (header.width > limits.max_pixels || header.height > limits.max_pixels ||
      header.width * header.height > limits.max_pixels) {
    throw DataError(fmt::format("claims {} x {} pixels, more than the limit of {}", header.width,
                                header.height, limits.max_pixels),
                    name);
  }
  if (!header.complete) throw DataError(fmt::format("is a truncated {}", format), name);
  if (header.animated)
    throw DataError("is an animated WebP, which is not supported", name, "Save its first frame as PNG.");
  return header;
}

cv::Mat decode_by_opencv(std::span<const std::uint8_t> bytes, const std::string& name, ImageFormat format,
                         int flags) {
  silence_opencv();
  cv::Mat decoded;
  try {
    const cv::Mat buffer(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<std::uint8_t*>(bytes.data()));
    decoded = cv::imdecode(buffer, flags);
  } catch (const cv::Exception& error) {
    throw DataError(fmt::format("is a broken {}: {}", name_of(format), error.err), name);
  } catch (const std::bad_alloc&) {
    throw DataError(fmt::format("is a {} that does not fit into memory", name_of(format)), name);
  }
  if (decoded.empty()) throw DataError(fmt::format("is a broken or unsupported {}", name_of(format)), name);
  return decoded;
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
  if (header.format == ImageFormat::gif) {
    result.image = decode_gif_first_frame(bytes, name);
    result.notes.emplace_back("first frame of a GIF");
    return result;
  }
  // JPEG as colour: OpenCV's decoder converts CMYK and YCCK only then. The rest as it is, to see depth and
  // alpha.
  const int flags = header.format == ImageFormat::jpeg ? cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION
                                                       : cv::IMREAD_UNCHANGED;
  std::vector<std::uint8_t> ended;  // OpenCV wants something behind the last digit of a PNM
  if (header.format == ImageFormat::pnm) {
    ended.assign(bytes.begin(), bytes.end());
    ended.push_back('\n');
  }
  const cv::Mat decoded = decode_by_opencv(ended.empty() ? bytes : std::span<const std::uint8_t>(ended), name,
                                           header.format, flags);
  if (static_cast<std::uint64_t>(decoded.rows) * static_cast<std::uint64_t>(decoded.cols) > limits.max_pixels)
    throw DataError("is larger than its header says", name);
  if (header.jpeg_components == 4) result.notes.emplace_back("CMYK converted");
  constexpr std::uint32_t largest_16_bit = 65535;
  const bool own_range = header.format == ImageFormat::pnm && header.largest_value > 255;
  result.image = to_rgb(decoded, name, own_range ? header.largest_value : largest_16_bit, result.notes);
  if (orientation == Orientation::apply_exif) result.image = oriented(result.image, header.exif_orientation);
  return result;
}

DecodedImage read_image(const std::filesystem::path& path, Orientation orientation,
                        const DecodeLimits& limits) {
  return decode_image(read_bytes(path, limits.max_file_bytes), path.string(), orientation, limits);
}

Image read_mask(const std::filesystem::path& path, const DecodeLimits& limits) {
  const std::vector<std::uint8_t> bytes = read_bytes(path, limits.max_file_bytes);
  const ImageHeader header = checked_header(bytes, path.string(), limits);
  if (header.format == ImageFormat::png) return decode_mask_png(bytes, path.string());
  const Image rgb = decode_image(bytes, path.string(), Orientation::ignore_exif, limits).image;
  Image mask(rgb.height, rgb.width, 1);
  for (std::size_t i = 0; i < mask.pixels.size(); ++i)
    mask.pixels[i] = std::max({rgb.pixels[3 * i], rgb.pixels[3 * i + 1], rgb.pixels[3 * i + 2]});
  return mask;
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
