// One self-contained HTML page: text, tables, pictures and charts, all inside the file, so that it opens from
// disk and travels by mail. Text is escaped here and nowhere else.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "io/pictures/image.h"

namespace deda::report {

std::string escape_html(std::string_view text);

struct TableCell {
  std::string text;
  bool number = false;  // right-aligned, tabular figures
  bool strong = false;
  bool soft = false;  // smaller and grey, beside what counts
  int rows = 1;       // that it spans; of a nested table only
};

// Of a nested table's header.
struct HeaderCell {
  std::string text;
  int columns = 1;  // that it spans
  bool number = false;
};

class Page {
 public:
  explicit Page(std::string title, std::string subtitle = {});
  void heading(std::string_view text, std::string_view anchor = {});
  void paragraph(std::string_view text);
  void preformatted(std::string_view text);
  void table(const std::vector<std::string>& header, const std::vector<std::vector<TableCell>>& rows,
             std::string_view caption = {});
  enum class Codec { png, jpeg };
  // Header of several rows, columns under common headings. A row whose first cell spans rows begins a group,
  // with a line above; the rows after it lack that cell.
  void nested_table(const std::vector<std::vector<HeaderCell>>& header,
                    const std::vector<std::vector<TableCell>>& rows, std::string_view caption = {});
  void list(const std::vector<std::string>& items);  // nothing for no items
  void picture(const io::Image& image, std::string_view caption, Codec codec = Codec::jpeg);
  void svg(std::string_view markup, std::string_view caption);  // markup made by chart.h, already escaped
  // Figures between the two stand side by side where the window is wide enough.
  void begin_columns();
  void end_columns();
  std::string html() const;
  void save(const std::filesystem::path& path) const;  // atomic

 private:
  std::string title_, subtitle_, body_;
};

}  // namespace deda::report
