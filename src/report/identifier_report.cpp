#include "report/identifier_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "io/formats/text_table.h"
#include "report/chart.h"
#include "report/letters.h"

namespace deda::report {

namespace {

std::filesystem::path manifest_of(const std::filesystem::path& folder) {
  return folder / "identifiers.json";
}

std::optional<double> number_in(const nlohmann::json& object, const char* key) {
  const auto& value = object.at(key);
  return value.is_number() ? std::optional<double>(value.get<double>()) : std::nullopt;
}

// Rows step, loss under a header.
std::vector<std::pair<double, double>> read_curve(const std::filesystem::path& file) {
  std::vector<std::pair<double, double>> points;
  for (const auto& row : io::read_csv(file).rows) {
    if (row.cells.size() < 2) continue;
    const auto step = io::to_number(row.cells[0]), loss = io::to_number(row.cells[1]);
    if (step && loss) points.emplace_back(*step, *loss);
  }
  return points;
}

std::string text_of(const std::optional<double>& value) {
  return value ? fmt::format("{:.4f}", *value) : "-";
}

// The store that identifiers were learnt from knows the class and has nothing of it.
bool is_left_out(const IdentifierRow& row) {
  return row.outcome == "no_cdp" && row.cdps == 0;
}

// One line on such classes; empty where there is none. Many are named: some may have pictures.
std::string words_on_left_out(const IdentifierSummary& summary) {
  constexpr std::size_t most_named = 20;
  std::vector<std::string> names;
  for (const auto& row : summary.classes) {
    if (is_left_out(row)) names.push_back(row.class_name);
  }
  return names.empty() ? std::string{}
                       : fmt::format("{} of {} classes have no CDP, so no identifier: {}", names.size(),
                                     summary.classes.size(), few_of(names, most_named));
}

// Mean over those classes where both were measured, with the number of them.
struct Pair {
  double before = 0, after = 0;
  std::int64_t classes = 0, better = 0;
};
Pair held_out(const IdentifierSummary& summary) {
  Pair pair;
  for (const auto& row : summary.classes) {
    if (!row.held_out_word || !row.held_out_after) continue;
    ++pair.classes;
    pair.before += *row.held_out_word;
    pair.after += *row.held_out_after;
    pair.better += *row.held_out_after < *row.held_out_word;
  }
  if (pair.classes > 0) {
    pair.before /= static_cast<double>(pair.classes);
    pair.after /= static_cast<double>(pair.classes);
  }
  return pair;
}

std::string verdict(const IdentifierSummary& summary) {
  const Pair pair = held_out(summary);
  if (pair.classes == 0)
    return "No CDPs were held out (invert.held_out = 0): nothing says how well they generalise.";
  return fmt::format(
      "On held-out CDPs the noise-prediction loss is {:.4f} with the initial word and {:.4f} with the "
      "identifier; lower in "
      "{} of {} classes.",
      pair.before, pair.after, pair.better, pair.classes);
}

}  // namespace

bool is_identifier_folder(const std::filesystem::path& folder) {
  return std::filesystem::exists(manifest_of(folder));
}

IdentifierSummary read_identifiers(const std::filesystem::path& folder) {
  IdentifierSummary summary{folder, {}};
  try {
    const auto json = nlohmann::json::parse(read_text(manifest_of(folder)));
    for (const auto& object : json.at("classes")) {
      IdentifierRow row;
      row.class_name = object.at("class");
      row.placeholder = object.at("placeholder");
      row.outcome = object.at("outcome");
      row.reason = object.at("reason");
      row.initial_word = object.at("initial_word");
      row.cdps = object.at("cdps");
      row.loss_first = number_in(object, "loss_first");
      row.loss_last = number_in(object, "loss_last");
      row.held_out_word = number_in(object, "held_out_loss_word");
      row.held_out_after = number_in(object, "held_out_loss_after");
      if (!object.at("cosine").empty()) row.cosine = object.at("cosine").at(0).get<double>();
      for (const auto& file : object.at("files")) {
        const std::filesystem::path name = file.at("name").get<std::string>();
        if (name.extension() == ".csv") row.loss_curve = read_curve(folder / name);
      }
      summary.classes.push_back(std::move(row));
    }
  } catch (const nlohmann::json::exception& error) {
    throw DataError(std::string{"is damaged: "} + error.what(), manifest_of(folder).string());
  }
  return summary;
}

std::string to_text(const IdentifierSummary& summary) {
  constexpr std::size_t widest_name = 48, word_width = 14;
  std::size_t width = count_letters("identifier of");
  for (const auto& row : summary.classes) {
    if (!is_left_out(row)) width = std::max(width, std::min(widest_name, count_letters(row.class_name)));
  }
  std::string text =
      fmt::format("{} {:<14} {:>6} {:<10} {:>10} {:>10} {:>11} {:>11}\n", padded("identifier of", width),
                  "started from", "CDPs", "outcome", "first loss", "last loss", "held: word", "held: ident");
  for (const auto& row : summary.classes) {
    if (is_left_out(row)) continue;
    text += fmt::format("{} {} {:>6} {:<10} {:>10} {:>10} {:>11} {:>11}\n",
                        padded(shortened(row.class_name, widest_name), width),
                        padded(shortened(row.initial_word, word_width), word_width), row.cdps, row.outcome,
                        text_of(row.loss_first), text_of(row.loss_last), text_of(row.held_out_word),
                        text_of(row.held_out_after));
  }
  if (const std::string left_out = words_on_left_out(summary); !left_out.empty()) text += left_out + '\n';
  return text + verdict(summary) + '\n';
}

void add_to_page(Page& page, const IdentifierSummary& summary) {
  page.paragraph(verdict(summary));
  std::vector<std::vector<TableCell>> rows;
  for (const auto& row : summary.classes) {
    if (is_left_out(row)) continue;
    rows.push_back({{row.class_name},
                    {row.placeholder},
                    {row.initial_word},
                    {std::to_string(row.cdps), true},
                    {row.outcome + (row.reason.empty() ? "" : ": " + row.reason)},
                    {text_of(row.loss_first), true},
                    {text_of(row.loss_last), true},
                    {text_of(row.held_out_word), true},
                    {text_of(row.held_out_after), true},
                    {text_of(row.cosine), true}});
  }
  page.table({"class", "identifier", "started from", "CDPs", "outcome", "first loss", "last loss",
              "held out: word", "held out: identifier", "cosine to start"},
             rows, "Losses are noise-prediction errors over the timesteps that the edit visits.");
  if (const std::string left_out = words_on_left_out(summary); !left_out.empty())
    page.paragraph(left_out + '.');
  constexpr std::size_t most_curves = 12;  // more colours than that tell nothing
  Chart chart{"Loss of identifiers", "step", "loss", {}, true};
  std::size_t curves = 0;
  for (const auto& row : summary.classes) {
    if (row.loss_curve.empty()) continue;
    if (curves++ < most_curves) chart.series.push_back({row.class_name, row.loss_curve});
  }
  page.svg(render_svg(chart), curves > most_curves
                                  ? fmt::format("The first {} of {} classes.", most_curves, curves)
                                  : "One line per class.");
}

}  // namespace deda::report
