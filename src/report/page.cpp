#include "report/page.h"

#include <fmt/format.h>

#include "core/escaped_name.h"
#include "core/files.h"
#include "io/pictures/image_codec.h"
#include "report/letters.h"

namespace deda::report {

namespace {

constexpr int jpeg_quality = 88;

constexpr std::string_view style = R"css(
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667085; --line: #e3e6ea; --paper: #ffffff; --tint: #f6f7f9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9ec; --soft: #9aa4b2; --line: #2c323a; --paper: #14171b; --tint: #1b1f25; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 20px; margin: 44px 0 10px; padding-top: 10px; border-top: 1px solid var(--line); }
.subtitle, figcaption, caption { color: var(--soft); font-size: 14px; }
p { max-width: 74ch; margin: 8px 0; }
table { border-collapse: collapse; margin: 14px 0; font-size: 15px; }
caption { caption-side: bottom; text-align: left; padding-top: 6px; }
th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: baseline; }
th { font-weight: 600; }
td { max-width: 40em; overflow-wrap: break-word; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; padding-left: 14px; }
td.n, td.k { white-space: nowrap; }
.n + td:not(.n), .n + th:not(.n) { padding-left: 14px; }
td.s { font-weight: 650; }
td.f { color: var(--soft); font-size: .92em; }
table.nested { font-size: 12px; line-height: 1.4; }
table.nested td, table.nested th { border-bottom: 0; padding: 1px 6px 1px 0; }
table.nested td.n, table.nested th.n { padding-left: 6px; padding-right: 0; }
table.nested td.k { white-space: nowrap; }
table.nested th.span { text-align: center; border-bottom: 1px solid var(--line); padding: 1px 4px; }
table.nested tr.group td { border-top: 1px solid var(--line); padding-top: 5px; }
ul { margin: 8px 0; padding-left: 20px; max-width: 110ch; font-size: 15px; }
li { margin: 3px 0; overflow-wrap: break-word; }
figcaption { overflow-wrap: anywhere; max-width: 110ch; }
figure { margin: 16px 0; }
img, svg { max-width: 100%; height: auto; border: 1px solid var(--line); border-radius: 4px; background: #fff; }
pre { background: var(--tint); padding: 12px 14px; border-radius: 4px; overflow-x: auto; font-size: 13px; line-height: 1.45; }
.scroll { overflow-x: auto; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 0 20px; }
)css";

// n: number, k: a short text, kept on one line, s: strong, f: soft.
std::string class_of(const TableCell& cell) {
  constexpr std::size_t short_text = 36;  // letters
  const std::size_t letters = count_letters(cell.text);
  const bool breakable = letters > 1 && cell.text.find_first_of(" -") != std::string::npos;
  std::string names = cell.number ? "n" : breakable && letters <= short_text ? "k" : "";
  if (cell.strong) names += names.empty() ? "s" : " s";
  if (cell.soft) names += names.empty() ? "f" : " f";
  return names.empty() ? std::string{} : " class=\"" + names + "\"";
}

std::string base64(const std::vector<std::uint8_t>& bytes) {
  constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = bytes.size() - i;
    const unsigned group =
        bytes[i] << 16 | (left > 1 ? bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);
    out += digits[group >> 18];
    out += digits[group >> 12 & 63];
    out += left > 1 ? digits[group >> 6 & 63] : '=';
    out += left > 2 ? digits[group & 63] : '=';
  }
  return out;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : readable(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

Page::Page(std::string title, std::string subtitle)
    : title_{std::move(title)}, subtitle_{std::move(subtitle)} {}

void Page::heading(std::string_view text, std::string_view anchor) {
  body_ += anchor.empty() ? fmt::format("<h2>{}</h2>\n", escape_html(text))
                          : fmt::format("<h2 id=\"{}\">{}</h2>\n", escape_html(anchor), escape_html(text));
}

void Page::paragraph(std::string_view text) {
  body_ += fmt::format("<p>{}</p>\n", escape_html(text));
}

void Page::preformatted(std::string_view text) {
  body_ += fmt::format("<pre>{}</pre>\n", escape_html(text));
}

void Page::table(const std::vector<std::string>& header, const std::vector<std::vector<TableCell>>& rows,
                 std::string_view caption) {
  body_ += "<div class=\"scroll\"><table>\n";
  if (!caption.empty()) body_ += fmt::format("<caption>{}</caption>\n", escape_html(caption));
  body_ += "<thead><tr>";
  for (std::size_t column = 0; column < header.size(); ++column) {
    const bool number = !rows.empty() && column < rows.front().size() && rows.front()[column].number;
    body_ += fmt::format("<th{}>{}</th>", number ? " class=\"n\"" : "", escape_html(header[column]));
  }
  body_ += "</tr></thead>\n<tbody>\n";
  for (const auto& row : rows) {
    body_ += "<tr>";
    for (const TableCell& cell : row) {
      body_ += fmt::format("<td{}>{}</td>", class_of(cell), escape_html(cell.text));
    }
    body_ += "</tr>\n";
  }
  body_ += "</tbody></table></div>\n";
}

void Page::nested_table(const std::vector<std::vector<HeaderCell>>& header,
                        const std::vector<std::vector<TableCell>>& rows, std::string_view caption) {
  body_ += "<div class=\"scroll\"><table class=\"nested\">\n";
  if (!caption.empty()) body_ += fmt::format("<caption>{}</caption>\n", escape_html(caption));
  body_ += "<thead>";
  for (const auto& row : header) {
    body_ += "<tr>";
    for (const HeaderCell& cell : row) {
      const std::string span = cell.columns > 1 ? fmt::format(" colspan=\"{}\" class=\"span\"", cell.columns)
                               : cell.number    ? " class=\"n\""
                                                : "";
      body_ += fmt::format("<th{}>{}</th>", span, escape_html(cell.text));
    }
    body_ += "</tr>";
  }
  body_ += "</thead>\n<tbody>\n";
  for (const auto& row : rows) {
    body_ += !row.empty() && row.front().rows > 1 ? "<tr class=\"group\">" : "<tr>";
    for (const TableCell& cell : row) {
      const std::string span = cell.rows > 1 ? fmt::format(" rowspan=\"{}\"", cell.rows) : std::string{};
      body_ += fmt::format("<td{}{}>{}</td>", span, class_of(cell), escape_html(cell.text));
    }
    body_ += "</tr>\n";
  }
  body_ += "</tbody></table></div>\n";
}

void Page::list(const std::vector<std::string>& items) {
  if (items.empty()) return;
  body_ += "<ul>\n";
  for (const std::string& item : items) body_ += fmt::format("<li>{}</li>\n", escape_html(item));
  body_ += "</ul>\n";
}

void Page::picture(const io::Image& image, std::string_view caption, Codec codec) {
  const bool png = codec == Codec::png || image.channels == 4;
  body_ += fmt::format(
      "<figure><img width=\"{}\" height=\"{}\" alt=\"{}\" "
      "src=\"data:image/{};base64,{}\"><figcaption>{}</figcaption></figure>\n",
      image.width, image.height, escape_html(caption), png ? "png" : "jpeg",
      base64(png ? io::encode_png(image) : io::encode_jpeg(image, jpeg_quality)), escape_html(caption));
}

void Page::svg(std::string_view markup, std::string_view caption) {
  body_ += fmt::format("<figure>{}<figcaption>{}</figcaption></figure>\n", markup, escape_html(caption));
}

void Page::begin_columns() {
  body_ += "<div class=\"columns\">\n";
}

void Page::end_columns() {
  body_ += "</div>\n";
}

std::string Page::html() const {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\">"
      "<title>{0}</title><style>{1}</style></head>\n<body><main>\n<h1>{0}</h1>\n<div "
      "class=\"subtitle\">{2}</div>\n{3}</main></body></html>\n",
      escape_html(title_), style, escape_html(subtitle_), body_);
}

void Page::save(const std::filesystem::path& path) const {
  write_atomically(path, html());
}

}  // namespace deda::report
