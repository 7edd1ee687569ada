#include "report/contact_sheet.h"

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "io/pictures/resize.h"

namespace deda::report {

namespace {

constexpr int gap = 8;  // pixels between cells and around the sheet
constexpr int title_height = 28;
constexpr int caption_height = 18;
constexpr double title_scale = 0.48, caption_scale = 0.36;

void put_text(io::Image& canvas, const std::string& text, int x, int baseline, double scale, int grey) {
  cv::Mat view(canvas.height, canvas.width, CV_8UC3, canvas.pixels.data());
  cv::putText(view, text, {x, baseline}, cv::FONT_HERSHEY_SIMPLEX, scale, cv::Scalar::all(grey), 1,
              cv::LINE_AA);
}

// Cuts the text in the middle until it fits `width` pixels: both ends of a path tell something.
std::string fitted(std::string text, int width, double scale) {
  const auto wide = [&](const std::string& t) {
    int baseline = 0;
    return cv::getTextSize(t, cv::FONT_HERSHEY_SIMPLEX, scale, 1, &baseline).width > width;
  };
  if (!wide(text)) return text;
  while (text.size() > 4 && wide(text.substr(0, text.size() / 2) + ".." + text.substr(text.size() / 2 + 1))) {
    text.erase(text.size() / 2, 1);
  }
  return text.substr(0, text.size() / 2) + ".." + text.substr(text.size() / 2 + 1);
}

void paste(io::Image& canvas, const io::Image& cell, int x, int y) {
  for (int row = 0; row < cell.height; ++row) {
    std::copy_n(cell.row(row), static_cast<std::size_t>(cell.width) * 3,
                canvas.row(y + row) + static_cast<std::size_t>(x) * 3);
  }
}

}  // namespace

io::Image on_checkerboard(const io::Image& image, int square) {
  if (image.channels != 4) return image;
  constexpr int light = 236, dark = 200;
  io::Image out(image.height, image.width, 3);
  for (int y = 0; y < image.height; ++y) {
    const std::uint8_t* in = image.row(y);
    std::uint8_t* to = out.row(y);
    for (int x = 0; x < image.width; ++x, in += 4, to += 3) {
      const int board = ((x / square + y / square) % 2 == 0) ? light : dark;
      for (int c = 0; c < 3; ++c)
        to[c] = static_cast<std::uint8_t>((in[c] * in[3] + board * (255 - in[3]) + 127) / 255);
    }
  }
  return out;
}

io::Image fit_into_cell(const io::Image& image, int side) {
  io::Image cell(side, side, 3);
  std::fill(cell.pixels.begin(), cell.pixels.end(), std::uint8_t{255});
  if (image.empty()) return cell;
  io::Image rgb = image;
  if (image.channels == 1) {
    rgb = io::Image(image.height, image.width, 3);
    for (std::size_t i = 0; i < image.pixels.size(); ++i) std::fill_n(&rgb.pixels[3 * i], 3, image.pixels[i]);
  }
  constexpr double largest_enlargement = 3.0;
  const double scale =
      std::min(largest_enlargement, static_cast<double>(side) / std::max(image.height, image.width));
  const int height = std::clamp(static_cast<int>(image.height * scale + 0.5), 1, side);
  const int width = std::clamp(static_cast<int>(image.width * scale + 0.5), 1, side);
  rgb = on_checkerboard(io::resize(rgb, height, width, io::Filter::bilinear));
  paste(cell, rgb, (side - width) / 2, (side - height) / 2);
  return cell;
}

io::Image render_sheet(const std::vector<std::string>& titles, const std::vector<SheetRow>& rows, int side) {
  const bool captions =
      std::any_of(rows.begin(), rows.end(), [](const SheetRow& row) { return !row.caption.empty(); });
  const int row_height = side + gap + (captions ? caption_height : 0);
  const int columns = static_cast<int>(titles.size());
  io::Image sheet(title_height + gap + static_cast<int>(rows.size()) * row_height,
                  gap + columns * (side + gap), 3);
  std::fill(sheet.pixels.begin(), sheet.pixels.end(), std::uint8_t{255});
  for (int column = 0; column < columns; ++column) {
    put_text(sheet, fitted(titles[static_cast<std::size_t>(column)], side, title_scale),
             gap + column * (side + gap), title_height - gap, title_scale, 30);
  }
  for (std::size_t r = 0; r < rows.size(); ++r) {
    int y = title_height + static_cast<int>(r) * row_height;
    for (std::size_t c = 0; c < rows[r].cells.size() && c < titles.size(); ++c) {
      if (!rows[r].cells[c].empty())
        paste(sheet, fit_into_cell(rows[r].cells[c], side), gap + static_cast<int>(c) * (side + gap), y);
    }
    if (!rows[r].caption.empty()) {
      put_text(sheet, fitted(rows[r].caption, columns * (side + gap) - gap, caption_scale), gap,
               y + side + caption_height - 5, caption_scale, 110);
    }
  }
  return sheet;
}

}  // namespace deda::report
