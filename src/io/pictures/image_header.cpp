#include "io/pictures/image_header.h"

#include <algorithm>
#include <cstring>

namespace deda::io {

namespace {

using Bytes = std::span<const std::uint8_t>;

// Bounds-checked numbers: outside of the file everything is 0.
std::uint32_t big16(Bytes b, std::size_t at) {
  return at + 2 <= b.size() ? static_cast<std::uint32_t>(b[at] << 8 | b[at + 1]) : 0;
}
std::uint32_t little16(Bytes b, std::size_t at) {
  return at + 2 <= b.size() ? static_cast<std::uint32_t>(b[at + 1] << 8 | b[at]) : 0;
}
std::uint32_t big32(Bytes b, std::size_t at) {
  return big16(b, at) << 16 | big16(b, at + 2);
}
std::uint32_t little32(Bytes b, std::size_t at) {
  return little16(b, at + 2) << 16 | little16(b, at);
}
std::uint32_t little24(Bytes b, std::size_t at) {
  return at + 3 <= b.size() ? static_cast<std::uint32_t>(b[at] | b[at + 1] << 8 | b[at + 2] << 16) : 0;
}
bool starts(Bytes b, std::size_t at, std::string_view text) {
  return at + text.size() <= b.size() && std::memcmp(b.data() + at, text.data(), text.size()) == 0;
}

// Orientation tag (0x0112) of the first image directory of an EXIF block.
int exif_orientation(Bytes exif) {
  constexpr std::uint32_t orientation_tag = 0x0112;
  const bool little = starts(exif, 0, "II");
  if (!little && !starts(exif, 0, "MM")) return 1;
  const auto number16 = [&](std::size_t at) { return little ? little16(exif, at) : big16(exif, at); };
  const std::size_t directory = little ? little32(exif, 4) : big32(exif, 4);
  const std::uint32_t entries = number16(directory);
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + 12 * static_cast<std::size_t>(i);
    if (entry + 12 > exif.size()) return 1;
    if (number16(entry) != orientation_tag) continue;
    const std::uint32_t value = number16(entry + 8);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

void read_jpeg(Bytes b, ImageHeader& header) {
  header.complete = false;
  header.lossy = true;
  std::size_t at = 2;
  while (at + 4 <= b.size()) {
    if (b[at] != 0xff) {
      ++at;
      continue;
    }
    const std::uint8_t marker = b[at + 1];
    if (marker == 0xff) {
      ++at;
      continue;
    }
    if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += 2;
      continue;
    }
    if (marker == 0xd9) return;
    const std::size_t length = big16(b, at + 2);
    if (length < 2) return;
    const bool frame = marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
    if (frame && header.width == 0) {
      header.height = big16(b, at + 5);
      header.width = big16(b, at + 7);
      header.jpeg_components = at + 9 < b.size() ? b[at + 9] : 0;
    }
    if (marker == 0xe1 && starts(b, at + 4, "Exif") && at + 2 + length <= b.size() && length > 8) {
      header.exif_orientation = exif_orientation(b.subspan(at + 10, length - 8));
    }
    if (marker == 0xda) {
      // Pixels follow up to the end-of-image marker; searched from behind, since bytes may trail it.
      for (std::size_t end = b.size() - 1; end > at + 2 + length && end > 0; --end) {
        if (b[end] == 0xd9 && b[end - 1] == 0xff) {
          header.complete = true;
          return;
        }
      }
      return;
    }
    at += 2 + length;
  }
}

// Chunks of a PNG: size, name, data, check sum.
void read_png(Bytes b, ImageHeader& header) {
  header.width = big32(b, 16);
  header.height = big32(b, 20);
  header.complete = false;
  constexpr std::size_t signature = 8, around_data = 12;
  for (std::size_t at = signature; at + around_data <= b.size();) {
    const std::size_t length = big32(b, at);
    if (length > b.size() - at - around_data) break;
    if (starts(b, at + 4, "eXIf")) header.exif_orientation = exif_orientation(b.subspan(at + 8, length));
    if (starts(b, at + 4, "IEND")) header.complete = true;
    at += around_data + length;
  }
}

// Chunks of a WebP: name, size, data, padded to an even size.
void read_webp_chunks(Bytes b, ImageHeader& header) {
  constexpr std::size_t first_chunk = 12, chunk_head = 8;
  constexpr std::string_view jpeg_prefix{"Exif\0\0", 6};  // some writers keep what JPEG puts before EXIF
  for (std::size_t at = first_chunk; at + chunk_head <= b.size();) {
    const std::size_t length = std::min<std::size_t>(little32(b, at + 4), b.size() - at - chunk_head);
    const Bytes data = b.subspan(at + chunk_head, length);
    if (starts(b, at, "VP8 ")) header.lossy = true;
    if (starts(b, at, "EXIF"))
      header.exif_orientation =
          exif_orientation(starts(data, 0, jpeg_prefix) ? data.subspan(jpeg_prefix.size()) : data);
    at += chunk_head + length + (length & 1);
  }
}

void read_webp(Bytes b, ImageHeader& header) {
  read_webp_chunks(b, header);
  header.complete = b.size() >= static_cast<std::size_t>(little32(b, 4)) + 8 - (little32(b, 4) & 1);
  if (starts(b, 12, "VP8X")) {
    constexpr std::uint8_t animation_flag = 0x02;
    header.animated = b.size() > 20 && (b[20] & animation_flag) != 0;
    header.width = little24(b, 24) + 1;
    header.height = little24(b, 27) + 1;
  } else if (starts(b, 12, "VP8L")) {
    const std::uint32_t bits = little32(b, 21);
    header.width = (bits & 0x3fff) + 1;
    header.height = (bits >> 14 & 0x3fff) + 1;
  } else if (starts(b, 12, "VP8 ")) {
    header.width = little16(b, 26) & 0x3fff;
    header.height = little16(b, 28) & 0x3fff;
  }
}

void read_tiff(Bytes b, ImageHeader& header) {
  const bool little = b[0] == 'I';
  const auto number16 = [&](std::size_t at) { return little ? little16(b, at) : big16(b, at); };
  const auto number32 = [&](std::size_t at) { return little ? little32(b, at) : big32(b, at); };
  const std::size_t directory = number32(4);
  const std::uint32_t entries = number16(directory);
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + 12 * static_cast<std::size_t>(i);
    if (entry + 12 > b.size()) return;
    constexpr std::uint32_t width_tag = 256, height_tag = 257, compression_tag = 259, short_type = 3;
    constexpr std::uint32_t old_jpeg = 6, jpeg = 7;
    const std::uint32_t tag = number16(entry),
                        value = number16(entry + 2) == short_type ? number16(entry + 8) : number32(entry + 8);
    if (tag == width_tag) header.width = value;
    if (tag == height_tag) header.height = value;
    if (tag == compression_tag) header.lossy = value == old_jpeg || value == jpeg;
  }
}

// "P6 # comment\n640 480 255\n" and the pixels; P1 to P3 are written in digits.
void read_pnm(Bytes b, ImageHeader& header) {
  const int kind = b[1] - '0';
  std::size_t at = 2;
  const auto is_blank = [](std::uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  const auto number = [&]() -> std::uint64_t {
    while (at < b.size() && (is_blank(b[at]) || b[at] == '#')) {
      if (b[at] == '#') {
        while (at < b.size() && b[at] != '\n' && b[at] != '\r') ++at;
      } else {
        ++at;
      }
    }
    constexpr std::uint64_t most = 1u << 30;  // beyond any size that is accepted
    std::uint64_t value = 0;
    for (; at < b.size() && b[at] >= '0' && b[at] <= '9'; ++at)
      value = std::min<std::uint64_t>(most, value * 10 + (b[at] - '0'));
    return value;
  };
  header.width = number();
  header.height = number();
  const bool bits = kind == 1 || kind == 4, digits = kind <= 3, colour = kind == 3 || kind == 6;
  header.largest_value = bits ? 1 : static_cast<std::uint32_t>(number());
  ++at;  // the one blank before the pixels
  const std::uint64_t channels = colour ? 3 : 1, bytes_each = header.largest_value > 255 ? 2 : 1;
  const std::uint64_t pixels = header.width * header.height;  // both at most 2^30
  const std::uint64_t least = digits      ? pixels * channels
                              : kind == 4 ? (header.width + 7) / 8 * header.height
                                          : pixels * channels * bytes_each;
  header.complete = at <= b.size() && b.size() - at >= least;
}

}  // namespace

std::string_view name_of(ImageFormat format) {
  switch (format) {
    case ImageFormat::jpeg:
      return "JPEG";
    case ImageFormat::png:
      return "PNG";
    case ImageFormat::bmp:
      return "BMP";
    case ImageFormat::webp:
      return "WebP";
    case ImageFormat::tiff:
      return "TIFF";
    case ImageFormat::gif:
      return "GIF";
    case ImageFormat::pnm:
      return "PNM";
    case ImageFormat::unknown:
      break;
  }
  return "unknown";
}

ImageHeader read_image_header(Bytes b) {
  ImageHeader header;
  if (starts(b, 0, "\xff\xd8\xff")) {
    header.format = ImageFormat::jpeg;
    read_jpeg(b, header);
  } else if (starts(b, 0, "\x89PNG\r\n\x1a\n")) {
    header.format = ImageFormat::png;
    read_png(b, header);
  } else if (starts(b, 0, "GIF87a") || starts(b, 0, "GIF89a")) {
    header.format = ImageFormat::gif;
    header.width = little16(b, 6);
    header.height = little16(b, 8);
  } else if (starts(b, 0, "RIFF") && starts(b, 8, "WEBP")) {
    header.format = ImageFormat::webp;
    read_webp(b, header);
  } else if (starts(b, 0, std::string_view{"II*\0", 4}) || starts(b, 0, std::string_view{"MM\0*", 4})) {
    header.format = ImageFormat::tiff;
    read_tiff(b, header);
  } else if (b.size() > 2 && b[0] == 'P' && b[1] >= '1' && b[1] <= '6' &&
             (b[2] == '#' || b[2] == ' ' || (b[2] >= '\t' && b[2] <= '\r'))) {
    header.format = ImageFormat::pnm;
    read_pnm(b, header);
  } else if (starts(b, 0, "BM")) {
    header.format = ImageFormat::bmp;
    const auto magnitude = [](std::uint32_t value) {
      return static_cast<std::int32_t>(value) < 0 ? 0u - value : value;
    };  // negative height: top-down rows
    header.width = magnitude(little32(b, 18));
    header.height = magnitude(little32(b, 22));
  }
  return header;
}

}  // namespace deda::io
