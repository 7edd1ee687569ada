#include "report/diversity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

#include "core/error.h"
#include "core/parallel.h"
#include "core/stop.h"
#include "report/bar_chart.h"
#include "report/letters.h"
#include "report/picture_similarity.h"
#include "report/statistics.h"

namespace deda::report {
namespace {

// What was measured of one source.
struct SourceMeasures {
  std::vector<PairSimilarity> pairs;
  std::vector<double> within_psnr;
  std::int64_t equal_versions = 0, missing = 0;
};

// Pairs of the source at `place` of `count`: all have as many, the first ones perhaps one more.
std::int64_t pairs_of(std::int64_t pairs, std::size_t place, std::size_t count) {
  const auto sources = static_cast<std::int64_t>(count);
  return pairs / sources + (static_cast<std::int64_t>(place) < pairs % sources);
}

SourceMeasures measure(const AugmentedPictures& pictures, std::size_t item, std::int64_t pairs,
                       std::int64_t versions) {
  SourceMeasures measures;
  const io::Image source = pictures.source(item);
  std::vector<io::Image> kept;  // versions to compare with each other
  for (std::int64_t version = 0; version < std::max(pairs, versions); ++version) {
    auto picture = pictures.augmented(item, version);
    if (!picture) {
      measures.missing += version < pairs;
      continue;
    }
    if (version < pairs)
      measures.pairs.push_back(
          {item, version, psnr_db(source, *picture), structural_similarity(source, *picture)});
    if (version >= versions) continue;
    for (const io::Image& other : kept) {
      if (const auto psnr = psnr_db(other, *picture))
        measures.within_psnr.push_back(*psnr);
      else
        ++measures.equal_versions;
    }
    kept.push_back(std::move(*picture));
  }
  return measures;
}

// Numbers between ranks: [place, missing, equal versions, pairs, values within], then version, PSNR (NaN: the
// pictures are equal) and SSIM of each pair, then the values within. Doubles hold all of these exactly.
using Message = std::vector<double>;

void append(Message& message, std::size_t place, const SourceMeasures& measures) {
  for (const auto number : {static_cast<std::int64_t>(place), measures.missing, measures.equal_versions,
                            static_cast<std::int64_t>(measures.pairs.size()),
                            static_cast<std::int64_t>(measures.within_psnr.size())})
    message.push_back(static_cast<double>(number));
  for (const auto& pair : measures.pairs) {
    message.push_back(static_cast<double>(pair.version));
    message.push_back(pair.psnr_db.value_or(std::numeric_limits<double>::quiet_NaN()));
    message.push_back(pair.ssim);
  }
  message.insert(message.end(), measures.within_psnr.begin(), measures.within_psnr.end());
}

void read(const Message& message, const std::vector<std::size_t>& items, std::vector<SourceMeasures>& all) {
  std::size_t at = 0;
  while (at < message.size()) {
    const auto place = static_cast<std::size_t>(message[at]);
    SourceMeasures& measures = all.at(place);
    measures.missing = static_cast<std::int64_t>(message[at + 1]);
    measures.equal_versions = static_cast<std::int64_t>(message[at + 2]);
    const auto pairs = static_cast<std::size_t>(message[at + 3]),
               within = static_cast<std::size_t>(message[at + 4]);
    at += 5;
    for (std::size_t i = 0; i < pairs; ++i, at += 3) {
      PairSimilarity pair{items[place], static_cast<std::int64_t>(message[at]), message[at + 1],
                          message[at + 2]};
      if (std::isnan(*pair.psnr_db)) pair.psnr_db.reset();
      measures.pairs.push_back(pair);
    }
    const auto from = message.begin() + static_cast<std::ptrdiff_t>(at);
    measures.within_psnr.assign(from, from + static_cast<std::ptrdiff_t>(within));
    at += within;
  }
}

std::optional<double> mean_of(const std::vector<double>& values) {
  return values.empty() ? std::nullopt : std::optional{mean(values)};
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string{"\"\""} : std::string{c};
  return quoted + "\"";
}

// Enough digits for tables of tables, none that another compiler's sums would change.
std::string csv_number(const std::optional<double>& value) {
  return value ? fmt::format("{:.6f}", *value) : std::string{};
}

}  // namespace

Diversity measure_diversity(const comm::Communicator& ranks, const AugmentedPictures& pictures,
                            const DiversityRequest& request, int threads) {
  const auto& items = request.items;
  // With fewer pairs than sources the last ones have none.
  const auto used =
      std::min<std::size_t>(items.size(), static_cast<std::size_t>(std::max<std::int64_t>(request.pairs, 0)));
  std::vector<SourceMeasures> mine(used), all(used);
  const auto first = static_cast<std::size_t>(ranks.rank()), step = static_cast<std::size_t>(ranks.size());
  ranks.agree("comparing augmented pictures", [&] {
    parallel_for(threads, first, used, step, [&](std::size_t place) {
      if (stop_requested()) throw Stopped("comparing augmented pictures: " + stop_reason());
      mine[place] =
          measure(pictures, items[place], pairs_of(request.pairs, place, items.size()), request.versions);
    });
  });
  Message message;
  for (std::size_t place = first; place < used; place += step) append(message, place, mine[place]);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(message.data());
  for (const auto& part : ranks.all_gather(std::span{bytes, message.size() * sizeof(double)})) {
    Message theirs(part.size() / sizeof(double));
    if (!part.empty()) std::memcpy(theirs.data(), part.data(), theirs.size() * sizeof(double));
    read(theirs, items, all);
  }
  Diversity diversity;
  diversity.method = pictures.method;
  for (const auto& measures : all) {
    diversity.pairs.insert(diversity.pairs.end(), measures.pairs.begin(), measures.pairs.end());
    diversity.within_psnr.insert(diversity.within_psnr.end(), measures.within_psnr.begin(),
                                 measures.within_psnr.end());
    diversity.equal_versions += measures.equal_versions;
    diversity.missing += measures.missing;
  }
  return diversity;
}

DiversitySummary summarize(const Diversity& diversity) {
  DiversitySummary summary;
  summary.method = diversity.method;
  summary.pairs = static_cast<std::int64_t>(diversity.pairs.size());
  std::vector<double> psnr, ssim;
  for (const auto& pair : diversity.pairs) {
    if (!pair.psnr_db) {
      ++summary.identical;
      continue;
    }
    psnr.push_back(*pair.psnr_db);
    ssim.push_back(pair.ssim);
  }
  summary.psnr_mean = mean_of(psnr);
  summary.ssim_mean = mean_of(ssim);
  if (psnr.size() > 1) summary.psnr_deviation = deviation(psnr);
  summary.within_source_psnr = mean_of(diversity.within_psnr);
  return summary;
}

std::string summary_csv(const std::vector<DiversitySummary>& methods, const std::string& dataset) {
  std::string csv = "method,dataset,pairs,psnr_mean,psnr_deviation,ssim_mean,within_source_psnr,identical\n";
  for (const auto& summary : methods)
    csv +=
        fmt::format("{},{},{},{},{},{},{},{}\n", csv_field(summary.method), csv_field(dataset), summary.pairs,
                    csv_number(summary.psnr_mean), csv_number(summary.psnr_deviation),
                    csv_number(summary.ssim_mean), csv_number(summary.within_source_psnr), summary.identical);
  return csv;
}

std::string pairs_csv(const std::vector<Diversity>& methods, const std::vector<std::string>& sources) {
  std::string csv = "source,method,version,psnr,ssim\n";
  for (const auto& diversity : methods) {
    for (const auto& pair : diversity.pairs)
      csv += fmt::format("{},{},{},{},{}\n", csv_field(sources.at(pair.item)), csv_field(diversity.method),
                         pair.version, csv_number(pair.psnr_db), csv_number(pair.ssim));
  }
  return csv;
}

std::string to_text(const std::vector<DiversitySummary>& methods) {
  std::size_t width = std::string_view{"method"}.size();
  for (const auto& summary : methods) width = std::max(width, count_letters(summary.method));
  const auto number = [](const std::optional<double>& value, int decimals, const char* unit) {
    return value ? fmt::format("{:.{}f}{}", *value, decimals, unit) : std::string{"-"};
  };
  std::string text = fmt::format("{:<{}} {:>6} {:>9} {:>20} {:>7} {:>15}\n", "method", width, "pairs",
                                 "identical", "PSNR to the source", "SSIM", "between versions");
  for (const auto& summary : methods) {
    const auto psnr = summary.psnr_deviation
                          ? fmt::format("{:.2f} ± {:.2f} dB", *summary.psnr_mean, *summary.psnr_deviation)
                          : number(summary.psnr_mean, 2, " dB");
    text += fmt::format("{:<{}} {:>6} {:>9} {:>20} {:>7} {:>16}\n", summary.method, width, summary.pairs,
                        summary.identical, psnr, number(summary.ssim_mean, 3, ""),
                        number(summary.within_source_psnr, 2, " dB"));
  }
  return text +
         "Mean ± sample deviation over pairs that differ; lower is more diverse. PSNR rewards every change: "
         "a shift "
         "alone lowers it.\n";
}

std::string diversity_svg(const std::vector<DiversitySummary>& methods, const std::string& dataset) {
  BarChart chart;
  chart.title = "Augmented pictures of " + dataset + ": lower is more diverse";
  chart.y_label = "PSNR (dB), mean ± deviation";
  chart.series = {{"to the source", {}}, {"between versions of one source", {}}};
  for (const auto& summary : methods) {
    chart.categories.push_back(summary.method);
    Bar to_source, between;
    to_source.value = summary.psnr_mean;
    to_source.missing = between.missing = "none";
    if (summary.psnr_deviation) {
      to_source.low = *summary.psnr_mean - *summary.psnr_deviation;
      to_source.high = *summary.psnr_mean + *summary.psnr_deviation;
    }
    between.value = summary.within_source_psnr;
    chart.series[0].bars.push_back(to_source);
    chart.series[1].bars.push_back(between);
  }
  return render_svg(chart);
}

}  // namespace deda::report
