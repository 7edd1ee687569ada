#include "io/pictures/jpeg_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
// In this order: jpeglib.h uses FILE without including it, and decides which messages jerror.h has.
#include <jpeglib.h>
//
#include <jerror.h>

#include "core/error.h"

namespace deda::io {

namespace {

constexpr double most_damaged_share = 0.02;  // of the rows

// libjpeg's error manager with what it has said so far.
struct Messages {
  jpeg_error_mgr manager{};  // first: libjpeg knows only this part
  jmp_buf leave{};
  char error[JMSG_LENGTH_MAX] = "", damage[JMSG_LENGTH_MAX] = "", remark[JMSG_LENGTH_MAX] = "";
  bool damaged = false;
  JDIMENSION first_damaged_row = 0;
};

Messages* messages_of(j_common_ptr info) {
  return reinterpret_cast<Messages*>(info->err);
}

[[noreturn]] void leave(j_common_ptr info) {
  Messages* messages = messages_of(info);
  info->err->format_message(info, messages->error);
  std::longjmp(messages->leave, 1);
}

// Warnings after which pixels are made up; the others are about bytes that were passed over.
bool is_damage(int code) {
  return code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE || code == JWRN_JPEG_EOF ||
         code == JWRN_MUST_RESYNC || code == JWRN_ARITH_BAD_CODE;
}

void take_message(j_common_ptr info, int level) {
  constexpr int warning = -1;
  if (level != warning) return;
  Messages* messages = messages_of(info);
  if (!is_damage(info->err->msg_code)) {
    if (messages->remark[0] == '\0') info->err->format_message(info, messages->remark);
    return;
  }
  if (messages->damaged) return;
  messages->damaged = true;
  info->err->format_message(info, messages->damage);
  // In one scan damage harms what comes below; in several the picture is made of all of them.
  auto* picture = reinterpret_cast<j_decompress_ptr>(info);
  messages->first_damaged_row = jpeg_has_multiple_scans(picture) != 0 ? 0 : picture->output_scanline;
}

void print_nothing(j_common_ptr) {}

// One row of Adobe's inverted CMYK: ink is what is missing from 255.
void rgb_of_inverted_cmyk(const std::uint8_t* cmyk, std::uint8_t* rgb, std::size_t width) {
  constexpr int full = 255;
  for (std::size_t x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    const int black = cmyk[3];
    for (int c = 0; c < 3; ++c) rgb[c] = static_cast<std::uint8_t>(black - ((full - cmyk[c]) * black >> 8));
  }
}

// Everything that libjpeg may leave by longjmp, with no C++ object in its frame.
bool decode(jpeg_decompress_struct* info, Messages* messages, std::span<const std::uint8_t>* bytes,
            std::uint64_t max_pixels, Image* image, std::vector<std::uint8_t>* cmyk_row) {
  if (setjmp(messages->leave) != 0) return false;
  jpeg_create_decompress(info);
  jpeg_mem_src(info, bytes->data(), static_cast<unsigned long>(bytes->size()));
  jpeg_read_header(info, TRUE);
  const bool cmyk = info->num_components == 4;
  info->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(info);
  if (std::uint64_t{info->output_width} * info->output_height > max_pixels)
    ERREXIT1(info, JERR_IMAGE_TOO_BIG, static_cast<unsigned>(JPEG_MAX_DIMENSION));
  *image = Image(static_cast<int>(info->output_height), static_cast<int>(info->output_width), 3);
  if (cmyk) cmyk_row->resize(std::size_t{info->output_width} * 4);
  while (info->output_scanline < info->output_height) {
    std::uint8_t* to = image->row(static_cast<int>(info->output_scanline));
    JSAMPROW row = cmyk ? cmyk_row->data() : to;
    jpeg_read_scanlines(info, &row, 1);
    if (cmyk) rgb_of_inverted_cmyk(cmyk_row->data(), to, info->output_width);
  }
  jpeg_finish_decompress(info);
  return true;
}

}  // namespace

Image decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& name, std::uint64_t max_pixels,
                  std::vector<std::string>& notes) {
  Messages messages;
  jpeg_decompress_struct info{};
  info.err = jpeg_std_error(&messages.manager);
  messages.manager.error_exit = leave;
  messages.manager.emit_message = take_message;
  messages.manager.output_message = print_nothing;
  Image image;
  std::vector<std::uint8_t> cmyk_row;
  bool ok = false;
  try {
    ok = decode(&info, &messages, &bytes, max_pixels, &image, &cmyk_row);
  } catch (const std::bad_alloc&) {
    jpeg_destroy_decompress(&info);
    throw DataError("is a JPEG that does not fit into memory", name);
  }
  const int components = info.num_components;
  jpeg_destroy_decompress(&info);
  if (!ok) throw DataError(std::string{"is a broken JPEG: "} + messages.error, name);
  if (components == 4) notes.emplace_back("CMYK converted");
  if (messages.damaged) {
    const auto lost = image.height - static_cast<int>(messages.first_damaged_row);
    const std::string what = fmt::format("{} of {} rows are lost ({})", lost, image.height, messages.damage);
    if (lost > most_damaged_share * image.height) throw DataError("is a damaged JPEG: " + what, name);
    notes.push_back("damaged JPEG: " + what);
  }
  if (messages.remark[0] != '\0') notes.push_back(fmt::format("libjpeg: {}", messages.remark));
  return image;
}

}  // namespace deda::io
