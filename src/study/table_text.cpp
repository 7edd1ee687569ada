#include "study/table_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/letters.h"
#include "study/table_lines.h"

namespace deda::study {
namespace {

using report::count_letters;
using report::padded;

constexpr std::size_t gap = 2;  // blanks between columns

std::string right(const std::string& text, std::size_t width) {
  return std::string(width - std::min(width, count_letters(text)), ' ') + text;
}

class Writer {
 public:
  explicit Writer(const ResultTable& table) : lines_{lines_of(table)} {
    label_widths_.assign(lines_.row_axes.size(), 0);
    for (std::size_t i = 0; i < lines_.row_axes.size(); ++i) widen(label_widths_[i], lines_.row_axes[i]);
    widths_.assign(lines_.columns, 0);
    for (const LineGroup& group : lines_.groups) {
      for (std::size_t i = 0; i < group.labels.size(); ++i) widen(label_widths_[i], group.labels[i]);
      for (const TableLine& line : group.lines) {
        widen(name_width_, line.name);
        for (std::size_t i = 0; i < line.cells.size(); ++i) widen(widths_[i], line.cells[i]);
      }
    }
    for (const auto& row : lines_.header) {
      std::size_t column = 0;
      for (const HeaderSpan& span : row) {
        if (span.columns == 1) widen(widths_[column], span.text);
        column += span.columns;
      }
    }
  }

  std::string write(std::size_t width) {
    std::size_t left = name_width_;
    for (const std::size_t label : label_widths_) left += label + gap;
    for (std::size_t begin = 0; begin < widths_.size();) {
      std::size_t end = begin, used = left;
      while (end < widths_.size() && (end == begin || used + gap + widths_[end] <= width))
        used += gap + widths_[end++];
      add_block(begin, end, left);
      begin = end;
    }
    return std::move(text_);
  }

 private:
  static void widen(std::size_t& width, const std::string& text) {
    width = std::max(width, count_letters(text));
  }

  void add_line(std::string line) {
    line.erase(line.find_last_not_of(' ') + 1);
    text_ += line + '\n';
  }

  void add_block(std::size_t begin, std::size_t end, std::size_t left) {
    if (begin > 0) text_ += '\n';
    for (std::size_t level = 0; level < lines_.header.size(); ++level) {
      std::string line;
      if (level + 1 == lines_.header.size()) {
        for (std::size_t i = 0; i < lines_.row_axes.size(); ++i)
          line += padded(lines_.row_axes[i], label_widths_[i] + gap);
      }
      line = padded(line, left);
      std::size_t column = 0;
      for (const HeaderSpan& span : lines_.header[level]) {
        const std::size_t first = std::max(column, begin), last = std::min(column + span.columns, end);
        column += span.columns;
        if (first >= last) continue;
        std::size_t room = 0;
        for (std::size_t i = first; i < last; ++i) room += gap + widths_[i];
        const bool is_one = span.columns == 1;
        // A label over several columns stands over the first letter of theirs.
        line += is_one ? right(span.text, room)
                       : std::string(gap, ' ') + padded(report::shortened(span.text, room - gap), room - gap);
      }
      add_line(std::move(line));
    }
    std::size_t whole = left;
    for (std::size_t i = begin; i < end; ++i) whole += gap + widths_[i];
    text_ += std::string(whole, '-') + '\n';
    for (const LineGroup& group : lines_.groups) {
      for (std::size_t l = 0; l < group.lines.size(); ++l) {
        std::string line;
        for (std::size_t i = 0; i < group.labels.size(); ++i)
          line += padded(l == 0 ? group.labels[i] : "", label_widths_[i] + gap);
        line += padded(group.lines[l].name, name_width_);
        for (std::size_t i = begin; i < end; ++i)
          line += std::string(gap, ' ') + right(group.lines[l].cells[i], widths_[i]);
        add_line(std::move(line));
      }
    }
  }

  TableLines lines_;
  std::vector<std::size_t> label_widths_, widths_;
  std::size_t name_width_ = 0;
  std::string text_;
};

// One sentence, its further lines indented.
std::string sentence(const std::string& before, const std::string& text, std::size_t width) {
  std::string result;
  const std::size_t indent = count_letters(before);
  for (const std::string& line : report::wrapped(text, std::max<std::size_t>(width, indent + 20) - indent))
    result += (result.empty() ? before : std::string(indent, ' ')) + line + '\n';
  return result;
}

}  // namespace

std::string to_text(const ResultTable& table, std::size_t width) {
  std::string text = caption_of(table) + "\n\n" + Writer{table}.write(width);
  if (!table.holes.empty()) text += "\nNot there:\n";
  for (const std::string& hole : table.holes) text += sentence("- ", hole, width);
  if (!table.notes.empty()) text += "\nNotes:\n";
  for (const std::string& note : table.notes) text += sentence("- ", note, width);
  return text;
}

}  // namespace deda::study
