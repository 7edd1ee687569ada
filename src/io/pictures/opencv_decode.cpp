#include "io/pictures/opencv_decode.h"

#include <fmt/format.h>

#include <iostream>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <streambuf>
#include <vector>

#include "core/error.h"

namespace deda::io {

namespace {

thread_local bool this_thread_is_quiet = false;

// Stands between std::cerr and where it writes: OpenCV's decoders print there, whatever the level of its log.
// Per thread, so that what other threads say in the meantime is not lost.
class QuietableBuffer final : public std::streambuf {
 public:
  explicit QuietableBuffer(std::streambuf* behind) : behind_{behind} {}

 protected:
  int_type overflow(int_type c) override {
    if (this_thread_is_quiet || traits_type::eq_int_type(c, traits_type::eof()))
      return traits_type::not_eof(c);
    return behind_->sputc(traits_type::to_char_type(c));
  }
  std::streamsize xsputn(const char* text, std::streamsize count) override {
    return this_thread_is_quiet ? count : behind_->sputn(text, count);
  }
  int sync() override { return behind_->pubsync(); }

 private:
  std::streambuf* behind_;
};

// Before main(), while there is one thread, and for the whole life of the process.
const bool cerr_is_quietable = [] {
  static const std::ios_base::Init streams_are_there;
  std::cerr.rdbuf(new QuietableBuffer(std::cerr.rdbuf()));
  return true;
}();

class Quiet {
 public:
  Quiet() { this_thread_is_quiet = cerr_is_quietable; }
  ~Quiet() { this_thread_is_quiet = false; }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
};

}  // namespace

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

void silence_opencv() {
  static const bool done = [] {
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
    return true;
  }();
  static_cast<void>(done);
}

cv::Mat decode_by_opencv(std::span<const std::uint8_t> bytes, const std::string& name, ImageFormat format,
                         const DecodeLimits& limits) {
  silence_opencv();
  std::vector<std::uint8_t> ended;  // OpenCV wants something behind the last digit of a PNM
  if (format == ImageFormat::pnm) {
    ended.assign(bytes.begin(), bytes.end());
    ended.push_back('\n');
    bytes = ended;
  }
  cv::Mat decoded;
  try {
    const Quiet quiet;
    const cv::Mat buffer(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<std::uint8_t*>(bytes.data()));
    decoded = cv::imdecode(buffer, cv::IMREAD_UNCHANGED);
  } catch (const cv::Exception& error) {
    throw DataError(fmt::format("is a broken {}: {}", name_of(format), error.err), name);
  } catch (const std::bad_alloc&) {
    throw DataError(fmt::format("is a {} that does not fit into memory", name_of(format)), name);
  }
  if (decoded.empty()) throw DataError(fmt::format("is a broken or unsupported {}", name_of(format)), name);
  if (static_cast<std::uint64_t>(decoded.rows) * static_cast<std::uint64_t>(decoded.cols) > limits.max_pixels)
    throw DataError("is larger than its header says", name);
  return decoded;
}

}  // namespace deda::io
