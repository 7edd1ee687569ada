#include "study/table_latex.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "study/table_lines.h"

namespace deda::study {
namespace {

using Kind = TableLine::Kind;

// Wider tables are shrunk to the line.
constexpr std::size_t most_unscaled_columns = 4;

// Of UTF-8, what our own texts hold; other letters stay, LaTeX reads UTF-8.
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> signs = {
    {{"±", "$\\pm$"}, {"·", "$\\cdot$"}, {"×", "$\\times$"}}};

std::string escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto sign = std::find_if(signs.begin(), signs.end(),
                                   [&](const auto& each) { return text.starts_with(each.first); });
    if (sign != signs.end()) {
      out += sign->second;
      text.remove_prefix(sign->first.size());
      continue;
    }
    switch (const char c = text.front()) {
      case '&':
      case '%':
      case '$':
      case '#':
      case '_':
      case '{':
      case '}':
        out += '\\';
        out += c;
        break;
      case '\\':
        out += "\\textbackslash{}";
        break;
      case '~':
        out += "\\textasciitilde{}";
        break;
      case '^':
        out += "\\textasciicircum{}";
        break;
      case '<':
        out += "$<$";
        break;
      case '>':
        out += "$>$";
        break;
      case '|':
        out += "$|$";
        break;
      case '"':
        out += "''";
        break;
      case '\n':
        out += ' ';
        break;
      default:
        out += c;
    }
    text.remove_prefix(1);
  }
  return out;
}

// A number's sign as mathematics sets it: "-0.31" -> "$-$0.31".
std::string cell_of(const std::string& text) {
  const std::string tex = escaped(text);
  return tex.size() > 1 && (tex[0] == '-' || tex[0] == '+') ? fmt::format("${}${}", tex[0], tex.substr(1))
                                                            : tex;
}

bool is_shown(Kind kind) {
  return kind == Kind::ours || kind == Kind::paper || kind == Kind::to_baseline;
}

}  // namespace

std::string to_latex(const ResultTable& table) {
  const TableLines lines = lines_of(table);
  const std::size_t labels = lines.row_axes.size() + 1;  // the last tells which number a line holds
  const bool is_wide = lines.columns > most_unscaled_columns;
  std::string tex =
      fmt::format(
          "% Needs \\usepackage{{booktabs}}{}.\n\\begin{{table}}\n\\centering\\small\n\\caption{{{}}}\n{}",
          is_wide ? " and \\usepackage{graphicx}" : "", escaped(caption_of(table)),
          is_wide ? "\\resizebox{\\linewidth}{!}{%\n" : "") +
      "\\begin{tabular}{" + std::string(labels, 'l') + std::string(lines.columns, 'r') + "}\n\\toprule\n";
  for (std::size_t level = 0; level < lines.header.size(); ++level) {
    const bool is_last = level + 1 == lines.header.size();
    std::string rules;
    for (std::size_t i = 0; i < labels; ++i) {
      if (i > 0) tex += " & ";
      if (is_last && i < lines.row_axes.size()) tex += escaped(lines.row_axes[i]);
    }
    std::size_t column = labels + 1;
    for (const HeaderSpan& span : lines.header[level]) {
      tex += span.columns == 1
                 ? " & " + escaped(span.text)
                 : fmt::format(" & \\multicolumn{{{}}}{{c}}{{{}}}", span.columns, escaped(span.text));
      if (!is_last && !span.text.empty())
        rules += fmt::format("\\cmidrule(lr){{{}-{}}}", column, column + span.columns - 1);
      column += span.columns;
    }
    tex += " \\\\\n" + rules + (rules.empty() ? "" : "\n");
  }
  tex += "\\midrule\n";
  for (const LineGroup& group : lines.groups) {
    bool is_first = true;
    for (const TableLine& line : group.lines) {
      if (!is_shown(line.kind)) continue;
      for (const std::string& label : group.labels) tex += (is_first ? escaped(label) : "") + " & ";
      tex +=
          escaped(line.name == "- " + table.layout.baseline ? "minus " + table.layout.baseline : line.name);
      for (const std::string& cell : line.cells) tex += " & " + (cell == "-" ? "--" : cell_of(cell));
      tex += " \\\\\n";
      is_first = false;
    }
  }
  tex += fmt::format("\\bottomrule\n\\end{{tabular}}{}\n", is_wide ? "}" : "");
  std::string below;
  for (const auto* sentences : {&table.holes, &table.notes}) {
    for (const std::string& sentence : *sentences)
      below += escaped(sentence) + (sentence.ends_with('.') ? "" : ".") + "\n";
  }
  if (!below.empty())
    tex += "\n\\smallskip\n\\begin{minipage}{\\linewidth}\\footnotesize\n" + below + "\\end{minipage}\n";
  return tex + "\\end{table}\n";
}

}  // namespace deda::study
