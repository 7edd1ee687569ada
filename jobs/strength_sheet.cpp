#include "jobs/strength_sheet.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include "core/parallel.h"
#include "report/contact_sheet.h"
#include "report/cut_out_change.h"

namespace deda::jobs {
namespace {

constexpr int cell_pixels = 160;

}  // namespace

std::vector<std::size_t> cdps_of_many_classes(const diffusion::CdpSource& cdps, std::size_t most) {
  std::vector<std::size_t> chosen;
  bool more = true;
  for (std::size_t turn = 0; more && chosen.size() < most; ++turn) {
    more = false;
    for (const auto& members : cdps.by_class()) {
      if (turn >= members.size() || chosen.size() == most) continue;
      chosen.push_back(members[turn]);
      more = true;
    }
  }
  return chosen;
}

StrengthSheet make_strength_sheet(const diffusion::CdpSource& cdps, const std::vector<std::size_t>& chosen,
                                  const std::vector<std::shared_ptr<const diffusion::Generator>>& generators,
                                  const std::vector<std::string>& class_names, int workers) {
  std::vector<diffusion::CdpToEdit> sources;
  for (const auto cdp : chosen)
    sources.push_back({cdps.framed(cdp), static_cast<std::size_t>(cdps.class_of(cdp)), cdps.source(cdp)});
  const auto columns = generators.size();
  std::vector<diffusion::EditedCopy> copies(sources.size() * columns);
  parallel_for(workers, 0, copies.size(), 1, [&](std::size_t i) {
    at::set_num_threads(1);  // a setting of the thread
    copies[i] = generators[i % columns]->edit({sources[i / columns]}).front().front();
  });

  StrengthSheet sheet;
  sheet.cdps = static_cast<int>(sources.size());
  std::vector<std::string> titles{"real"};
  for (const auto& generator : generators) {
    StrengthFigures figures;
    figures.strength = generator->settings().strength;
    figures.evaluations = generator->editor().evaluations();
    sheet.figures.push_back(figures);
    titles.push_back(fmt::format("s = {}", figures.strength));
  }
  std::vector<report::SheetRow> rows;
  for (std::size_t row = 0; row < sources.size(); ++row) {
    report::SheetRow cells{class_names.at(sources[row].class_id),
                           {report::on_checkerboard(sources[row].framed.rgba)}};
    for (std::size_t column = 0; column < columns; ++column) {
      const auto& copy = copies[row * columns + column];
      cells.cells.push_back(copy.square.empty() ? io::Image{} : report::on_checkerboard(copy.square));
      if (copy.square.empty()) continue;
      auto& figures = sheet.figures[column];
      const auto change = report::change_of(sources[row].framed.rgba, copy.square);
      figures.psnr += change.psnr_db / static_cast<double>(sources.size());
      figures.overlap += change.overlap / static_cast<double>(sources.size());
      figures.usable += copy.outcome == io::Outcome::done;
    }
    rows.push_back(std::move(cells));
  }
  sheet.picture = report::render_sheet(titles, rows, cell_pixels);
  return sheet;
}

std::string to_text(const StrengthSheet& sheet) {
  std::string text = fmt::format("{:>8} {:>11} {:>14} {:>13} {:>12}\n", "strength", "evaluations",
                                 "PSNR to source", "mask overlap", "usable");
  for (const auto& figures : sheet.figures)
    text += fmt::format("{:>8} {:>11} {:>11.2f} dB {:>13.3f} {:>6} of {:>2}\n", figures.strength,
                        figures.evaluations, figures.psnr, figures.overlap, figures.usable, sheet.cdps);
  return text;
}

std::string to_csv(const StrengthSheet& sheet) {
  std::string csv = "strength,evaluations,psnr_db,mask_overlap,usable,cdps\n";
  for (const auto& figures : sheet.figures)
    csv += fmt::format("{},{},{:.4f},{:.6f},{},{}\n", figures.strength, figures.evaluations, figures.psnr,
                       figures.overlap, figures.usable, sheet.cdps);
  return csv;
}

}  // namespace deda::jobs
