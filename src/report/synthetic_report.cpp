#include "report/synthetic_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "core/error.h"
#include "report/chart.h"

namespace deda::report {

namespace {

constexpr int largest_canvas = 256;  // pixels a side: enough to compare, cheap for large pictures

using Box = std::array<std::int32_t, 4>;

Box united(const Box& a, const Box& b) {
  return {std::min(a[0], b[0]), std::min(a[1], b[1]), std::max(a[2], b[2]), std::max(a[3], b[3])};
}

// The record on a transparent canvas that shows `frame` (source pixels) at `scale` canvas pixels per source
// pixel.
io::Image laid_on(const io::RecordView& record, const Box& frame, double scale) {
  const auto& info = record.info;
  const auto at = [&](std::int32_t value, std::int32_t origin) {
    return static_cast<int>(std::lround((value - origin) * scale));
  };
  const int width = std::max(1, at(frame[2], frame[0])), height = std::max(1, at(frame[3], frame[1]));
  io::Image canvas(height, width, 4);
  cv::Mat whole(height, width, CV_8UC4, canvas.pixels.data());
  const cv::Mat pixels(info.height, info.width, CV_8UC4, const_cast<std::uint8_t*>(record.pixels.data()));
  const int left = at(info.crop[0], frame[0]), top = at(info.crop[1], frame[1]);
  const cv::Rect place = cv::Rect(left, top, std::max(1, at(info.crop[2], frame[0]) - left),
                                  std::max(1, at(info.crop[3], frame[1]) - top));
  cv::Mat resized;
  cv::resize(pixels, resized, place.size(), 0, 0,
             place.width < info.width ? cv::INTER_AREA : cv::INTER_LINEAR);
  const cv::Rect visible = place & cv::Rect(0, 0, width, height);
  if (!visible.empty()) resized(visible - place.tl()).copyTo(whole(visible));
  return canvas;
}

double canvas_scale(const Box& frame) {
  const double longer = std::max({1, frame[2] - frame[0], frame[3] - frame[1]});
  return std::min(1.0, largest_canvas / longer);
}

void count_alpha(const io::RecordView& record, AlphaHistogram& histogram) {
  for (std::size_t i = 3; i < record.pixels.size(); i += 4) {
    if (const unsigned alpha = record.pixels[i]; alpha > 0) ++histogram.counts[alpha * alpha_bins / 256];
  }
}

using CdpKey = std::pair<std::string, std::int32_t>;  // picture, class
CdpKey key_of(const io::StoreReader& store, const io::RecordInfo& info) {
  return {store.description().sources.at(static_cast<std::size_t>(info.source_index)), info.class_id};
}

struct Family {
  std::size_t real = SIZE_MAX;
  std::map<std::int32_t, std::size_t> copies;  // by version
};

// Real CDPs that have copies, in the synthetic store's order.
std::vector<Family> families(const io::StoreReader& synthetic, const io::StoreReader& real) {
  if (synthetic.description().class_names != real.description().class_names)
    throw DataError("was made for other classes than the decouple store beside it",
                    synthetic.folder().string());
  std::map<CdpKey, std::size_t> reals;
  for (std::size_t i = 0; i < real.size(); ++i) {
    const auto info = real.at(i).info;
    if (info.kind == io::RecordKind::cdp && info.version == 0) reals.emplace(key_of(real, info), i);
  }
  std::vector<Family> all;
  std::map<std::int64_t, std::size_t> place;  // item of the synthetic store
  for (std::size_t i = 0; i < synthetic.size(); ++i) {
    const auto info = synthetic.at(i).info;
    const auto found = reals.find(key_of(synthetic, info));
    if (info.version == 0 || found == reals.end()) continue;
    const auto [entry, fresh] = place.emplace(info.source_index, all.size());
    if (fresh) all.push_back({found->second, {}});
    all[entry->second].copies[info.version] = i;
  }
  return all;
}

}  // namespace

Change change_of(const io::RecordView& real, const io::RecordView& synthetic) {
  const Box frame = united(real.info.crop, synthetic.info.crop);
  const double scale = canvas_scale(frame);
  return change_of(laid_on(real, frame, scale), laid_on(synthetic, frame, scale));
}

double AlphaHistogram::soft_share() const {
  std::int64_t all = 0;
  for (const auto count : counts) all += count;
  return all > 0 ? static_cast<double>(all - counts.front() - counts.back()) / static_cast<double>(all) : 0.0;
}

SyntheticSummary compare_with_real(const io::StoreReader& synthetic, const io::StoreReader& real) {
  SyntheticSummary summary;
  for (const Family& family : families(synthetic, real)) {
    const io::RecordView source = real.at(family.real);
    ++summary.real;
    count_alpha(source, summary.real_alpha);
    for (const auto& [version, record] : family.copies) {
      const io::RecordView copy = synthetic.at(record);
      const Change change = change_of(source, copy);
      ++summary.synthetic;
      summary.mean_psnr_db += change.psnr_db;
      summary.mean_overlap += change.overlap;
      summary.strength = copy.info.strength;
      count_alpha(copy, summary.synthetic_alpha);
    }
  }
  if (summary.synthetic > 0) {
    summary.mean_psnr_db /= static_cast<double>(summary.synthetic);
    summary.mean_overlap /= static_cast<double>(summary.synthetic);
  }
  return summary;
}

std::string to_text(const SyntheticSummary& summary) {
  return fmt::format(
      "{} synthetic CDPs of {} real ones at strength {:.2f}: PSNR to the real one {:.1f} dB, silhouettes "
      "overlap {:.1f} %, soft alpha {:.1f} % of the pixels (real ones {:.1f} %)\n",
      summary.synthetic, summary.real, summary.strength, summary.mean_psnr_db, 100 * summary.mean_overlap,
      100 * summary.synthetic_alpha.soft_share(), 100 * summary.real_alpha.soft_share());
}

void add_to_page(Page& page, const SyntheticSummary& summary) {
  page.paragraph(to_text(summary));
  Chart chart{"Alpha of CDP pixels", "alpha (0 is left out)", "share of pixels, %", {}};
  const auto series = [&](const std::string& name, const AlphaHistogram& histogram) {
    double all = 0;
    for (const auto count : histogram.counts) all += static_cast<double>(count);
    Series line{name, {}};
    for (std::size_t bin = 0; bin < alpha_bins; ++bin)
      line.points.emplace_back((static_cast<double>(bin) + 0.5) / alpha_bins,
                               all > 0 ? 100 * static_cast<double>(histogram.counts[bin]) / all : 0);
    chart.series.push_back(std::move(line));
  };
  series("real", summary.real_alpha);
  series("synthetic", summary.synthetic_alpha);
  page.svg(render_svg(chart), "Hard cut-outs have alpha 1 nearly everywhere; haze would show on the left.");
}

SyntheticSheet synthetic_sheet(const io::StoreReader& synthetic, const io::StoreReader& real,
                               std::size_t count) {
  const auto all = families(synthetic, real);
  std::map<std::int32_t, std::vector<const Family*>> by_class;
  std::int32_t copies = 0;
  for (const Family& family : all) {
    by_class[real.at(family.real).info.class_id].push_back(&family);
    copies = std::max(copies, family.copies.empty() ? 0 : family.copies.rbegin()->first);
  }
  SyntheticSheet sheet{{"real CDP"}, {}};
  for (std::int32_t k = 1; k <= copies; ++k) sheet.titles.push_back(fmt::format("synthetic {}", k));
  // Round robin over the classes, so that every class is seen before any is seen twice.
  for (std::size_t round = 0; sheet.rows.size() < count; ++round) {
    const auto before = sheet.rows.size();
    for (const auto& [id, members] : by_class) {
      if (round >= members.size() || sheet.rows.size() >= count) continue;
      const Family& family = *members[round];
      const io::RecordView source = real.at(family.real);
      Box frame = source.info.crop;
      for (const auto& [version, record] : family.copies)
        frame = united(frame, synthetic.at(record).info.crop);
      const double scale = canvas_scale(frame);
      SheetRow row{fmt::format("{}, {}", real.description().class_names.at(static_cast<std::size_t>(id)),
                               key_of(real, source.info).first),
                   {laid_on(source, frame, scale)}};
      row.instead.assign(sheet.titles.size(), "no usable copy");
      for (std::int32_t k = 1; k <= copies; ++k) {
        const auto found = family.copies.find(k);
        row.cells.push_back(
            found == family.copies.end() ? io::Image{} : laid_on(synthetic.at(found->second), frame, scale));
      }
      sheet.rows.push_back(std::move(row));
    }
    if (sheet.rows.size() == before) break;
  }
  return sheet;
}

}  // namespace deda::report
