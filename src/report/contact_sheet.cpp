#include "report/contact_sheet.h"

#include <algorithm>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "io/pictures/resize.h"
#include "report/letters.h"

namespace deda::report {

namespace {

constexpr int gap = 8;  // pixels between cells and around the sheet
constexpr int title_height = 28;
constexpr int caption_height = 20;
constexpr double title_scale = 0.48, caption_scale = 0.42;
constexpr int title_grey = 30, caption_grey = 80;
constexpr std::uint8_t blank_grey = 244;  // of a cell that says why it has no picture

// What OpenCV can draw: a question mark for every other letter, not one for each of its bytes.
std::string drawable(const std::string& text) {
  std::string out;
  for (const char byte : text) {
    if (!begins_letter(byte)) continue;
    out += byte >= ' ' && byte <= '~' ? byte : '?';
  }
  return out;
}

int width_of(const std::string& text, double scale) {
  int baseline = 0;
  return cv::getTextSize(text, cv::FONT_HERSHEY_SIMPLEX, scale, 1, &baseline).width;
}

void put_text(io::Image& canvas, const std::string& text, int x, int baseline, double scale, int grey) {
  cv::Mat view(canvas.height, canvas.width, CV_8UC3, canvas.pixels.data());
  cv::putText(view, text, {x, baseline}, cv::FONT_HERSHEY_SIMPLEX, scale, cv::Scalar::all(grey), 1,
              cv::LINE_AA);
}

// Cut in the middle until it fits `width` pixels.
std::string fitted(const std::string& text, int width, double scale) {
  std::string line = drawable(text);
  for (std::size_t letters = line.size(); letters > 4 && width_of(line, scale) > width; --letters)
    line = shortened(drawable(text), letters - 1);
  return line;
}

void paste(io::Image& canvas, const io::Image& cell, int x, int y) {
  for (int row = 0; row < cell.height; ++row) {
    std::copy_n(cell.row(row), static_cast<std::size_t>(cell.width) * 3,
                canvas.row(y + row) + static_cast<std::size_t>(x) * 3);
  }
}

// A light grey cell with the words in its middle.
io::Image cell_that_says(const std::string& words, int side) {
  constexpr int line_height = 16;
  io::Image cell(side, side, 3);
  std::fill(cell.pixels.begin(), cell.pixels.end(), blank_grey);
  std::size_t letters = words.size();
  while (letters > 1 && width_of(std::string(letters, 'n'), caption_scale) > side - 2 * gap) --letters;
  const auto lines = wrapped(words, letters);
  int baseline = side / 2 - line_height * static_cast<int>(lines.size() - 1) / 2;
  for (const std::string& line : lines) {
    const std::string text = drawable(line);
    put_text(cell, text, (side - width_of(text, caption_scale)) / 2, baseline, caption_scale, caption_grey);
    baseline += line_height;
  }
  return cell;
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
  const bool captions = std::any_of(rows.begin(), rows.end(), [](const SheetRow& row) {
    return !row.caption.empty() || !row.below.empty();
  });
  const bool titled =
      std::any_of(titles.begin(), titles.end(), [](const std::string& t) { return !t.empty(); });
  const int top = titled ? title_height : gap;
  const int row_height = side + gap + (captions ? caption_height : 0);
  const int columns = static_cast<int>(titles.size());
  io::Image sheet(top + gap + static_cast<int>(rows.size()) * row_height, gap + columns * (side + gap), 3);
  std::fill(sheet.pixels.begin(), sheet.pixels.end(), std::uint8_t{255});
  for (int column = 0; column < columns; ++column) {
    put_text(sheet, fitted(titles[static_cast<std::size_t>(column)], side, title_scale),
             gap + column * (side + gap), title_height - gap, title_scale, title_grey);
  }
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const int y = top + static_cast<int>(r) * row_height;
    for (std::size_t c = 0; c < rows[r].cells.size() && c < titles.size(); ++c) {
      const int x = gap + static_cast<int>(c) * (side + gap);
      if (!rows[r].cells[c].empty())
        paste(sheet, fit_into_cell(rows[r].cells[c], side), x, y);
      else if (c < rows[r].instead.size() && !rows[r].instead[c].empty())
        paste(sheet, cell_that_says(rows[r].instead[c], side), x, y);
    }
    const int baseline = y + side + caption_height - 6;
    for (std::size_t c = 0; c < rows[r].below.size() && c < titles.size(); ++c)
      put_text(sheet, fitted(rows[r].below[c], side, caption_scale), gap + static_cast<int>(c) * (side + gap),
               baseline, caption_scale, caption_grey);
    if (!rows[r].caption.empty()) {
      put_text(sheet, fitted(rows[r].caption, columns * (side + gap) - gap, caption_scale), gap, baseline,
               caption_scale, caption_grey);
    }
  }
  return sheet;
}

std::string undrawable_captions(const std::vector<SheetRow>& rows) {
  std::string text;
  bool any = false;
  const auto add = [&](const std::string& caption) {
    if (caption.empty()) return;
    any = any || drawable(caption) != caption;
    text += (text.empty() ? "" : "; ") + caption;
  };
  for (const SheetRow& row : rows) {
    add(row.caption);
    for (const std::string& caption : row.below) add(caption);
  }
  return any ? " From above: " + text + "." : std::string{};
}

}  // namespace deda::report
