// `deda inspect`: what a store, a run or a whole output folder holds, as text, PNG and one HTML page.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <set>

#include "core/escaped_name.h"
#include "core/files.h"
#include "core/log.h"
#include "io/pictures/image_codec.h"
#include "io/store/record_store.h"
#include "jobs/job.h"
#include "report/combination_sheet.h"
#include "report/comparison.h"
#include "report/contact_sheet.h"
#include "report/edit_report.h"
#include "report/identifier_report.h"
#include "report/mask_agreement.h"
#include "report/mask_scores.h"
#include "report/mixing_sheet.h"
#include "report/originals.h"
#include "report/overlay.h"
#include "report/store_report.h"
#include "report/synthetic_report.h"

namespace deda::jobs {

namespace {

struct Options {
  std::vector<std::filesystem::path> paths;
  std::filesystem::path report;    // HTML page
  std::filesystem::path sheet;     // PNG or JPEG contact sheet of the (first) store
  std::filesystem::path overlays;  // folder for what the mask sources saw, a picture each
  std::filesystem::path
      dataset_root;  // for the originals in sheets; empty: the configuration's or the store's
  std::int64_t items = 12;
  bool verify = false;
};

constexpr int sheet_cell = 160;
constexpr std::size_t combinations_per_row = 2;

bool is_store(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / "manifest.json");
}

// The given folders that are of the kind, and those one level below the others.
template <class IsKind>
std::vector<std::filesystem::path> find_folders(const std::vector<std::filesystem::path>& paths,
                                                const IsKind& is_kind) {
  std::vector<std::filesystem::path> found;
  for (const auto& path : paths) {
    if (is_kind(path)) {
      found.push_back(path);
      continue;
    }
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
      if (entry.is_directory() && is_kind(entry.path())) found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

// Where the store's pictures may be: as the command says, else as the configuration says, else as the store
// does.
report::Originals originals_of(const io::StoreReader& store, const Options& options,
                               const JobContext& context) {
  if (!options.dataset_root.empty()) return report::Originals{options.dataset_root};
  return {store, {context.options.configured ? context.config.dataset.root : std::filesystem::path{}}};
}

// Rows image | CDP | CIP | combination | combination, the combinations of that row's CDP.
io::Image make_sheet(const io::StoreReader& store, report::SampleRows& sample, const PipelineConfig& config) {
  const auto samples = report::compose_samples(store, config.augment, sample.items, combinations_per_row,
                                               static_cast<std::uint64_t>(config.run.seed));
  for (std::size_t row = 0; row < sample.rows.size(); ++row) {
    auto& [caption, cells, instead, below] = sample.rows[row];
    for (std::size_t k = 0; k < combinations_per_row; ++k) {
      cells.push_back(k < samples[row].size() ? samples[row][k] : io::Image{});
      instead.emplace_back("its CDP is not used");
    }
  }
  return report::render_sheet({"image", "CDP", "CIP", "combination", "combination"}, sample.rows, sheet_cell);
}

void print_remarks(const io::StoreReader& store) {
  constexpr int most_listed = 20;
  int listed = 0;
  for (const auto& [item, remark] : store.remarks()) {
    if (listed++ == most_listed) {
      fmt::print("... {} more remarks in manifest.json\n", store.remarks().size() - most_listed);
      break;
    }
    fmt::print("  {}: {}{}{}\n", store.description().sources[static_cast<std::size_t>(item)],
               io::name_of(remark.first), remark.second.empty() ? "" : ": ", remark.second);
  }
}

void add_remarks_to_page(report::Page& page, const io::StoreReader& store, std::string_view caption) {
  std::vector<std::vector<report::TableCell>> rows;
  for (const auto& [item, remark] : store.remarks()) {
    if (remark.first == io::Outcome::done) continue;
    rows.push_back({{store.description().sources[static_cast<std::size_t>(item)]},
                    {std::string{io::name_of(remark.first)}},
                    {remark.second}});
  }
  if (!rows.empty()) page.table({"picture", "outcome", "reason"}, rows, caption);
}

// The store of real CDPs that a generate store was made of: the one of the same classes that holds its first
// picture, in the same output folder if there are several. nullptr where it is not among the given ones.
const io::StoreReader* real_store_of(const io::StoreReader& synthetic,
                                     const std::vector<io::StoreReader>& stores) {
  const io::StoreReader* found = nullptr;
  for (const auto& store : stores) {
    const auto& description = store.description();
    if (description.stage == "generate" || description.class_names != synthetic.description().class_names)
      continue;
    const auto& sources = description.sources;
    if (synthetic.description().sources.empty() ||
        std::find(sources.begin(), sources.end(), synthetic.description().sources.front()) != sources.end()) {
      if (store.folder().parent_path() == synthetic.folder().parent_path()) return &store;
      if (found == nullptr) found = &store;
    }
  }
  return found;
}

void inspect_synthetic(const io::StoreReader& store, const io::StoreReader* real, const Options& options,
                       report::Page* page, bool write_sheet) {
  if (real == nullptr) {
    fmt::print("the store of its real CDPs is not among the given folders: no comparison\n");
    return;
  }
  const auto summary = report::compare_with_real(store, *real);
  fmt::print("{}", report::to_text(summary));
  if (page == nullptr && !write_sheet) return;
  const auto sheet = report::synthetic_sheet(store, *real, static_cast<std::size_t>(options.items));
  const io::Image image = report::render_sheet(sheet.titles, sheet.rows, sheet_cell);
  if (write_sheet) {
    io::write_image(options.sheet, image, 90);
    fmt::print("contact sheet: {}\n", path_text(options.sheet));
  }
  if (page == nullptr) return;
  report::add_to_page(*page, summary);
  page->picture(image, std::string{"Real CDPs and the synthetic ones that were made of them (SDEdit)."} +
                           report::undrawable_captions(sheet.rows));
}

// What the mask sources saw, by class and drawn on the pictures.
// Edits of a generative peer; on its sheet those of all peers among the given stores, side by side.
void inspect_edits(const io::StoreReader& store, const std::vector<io::StoreReader>& all,
                   const Options& options, const JobContext& context, report::Page* page, bool write_sheet) {
  const auto text = report::to_text(report::summarize_edits(store));
  fmt::print("{}", text);
  if (page == nullptr && !write_sheet) return;
  std::vector<const io::StoreReader*> peers{&store};
  for (const auto& other : all) {
    const bool comparable = &other != &store && !report::peer_of(other).empty() &&
                            other.description().class_names == store.description().class_names;
    if (comparable && write_sheet) peers.push_back(&other);
  }
  constexpr std::size_t edits_alone = 4, edits_beside_others = 2;
  const auto originals = originals_of(store, options, context);
  const auto sheet = report::edit_sheet(peers, originals, static_cast<std::size_t>(options.items),
                                        peers.size() == 1 ? edits_alone : edits_beside_others);
  const auto image = report::render_sheet(sheet.titles, sheet.rows, sheet_cell);
  if (write_sheet) {
    io::write_image(options.sheet, image, 90);
    fmt::print("contact sheet: {}\n{}\n", path_text(options.sheet),
               report::words_on(originals, sheet.shown, sheet.missing_pictures));
  }
  if (page != nullptr)
    page->picture(image, text + report::words_on(originals, sheet.shown, sheet.missing_pictures) +
                             report::undrawable_captions(sheet.rows));
}

void inspect_looks(const io::StoreReader& store, const report::Originals& originals, const Options& options,
                   report::Page* page, bool first) {
  constexpr int overlay_side = 640;
  const auto looks = decoupling::read_looks(store.folder());
  if (looks.empty()) return;
  const auto classes = report::summarize_looks(store, looks);
  fmt::print("{}", report::to_text(classes));
  if (first && !options.overlays.empty()) {
    const auto missing = report::write_overlays(options.overlays, looks, originals, overlay_side);
    fmt::print("overlays: {}\n{}\n", path_text(options.overlays),
               report::words_on(originals, static_cast<std::int64_t>(looks.size()), missing));
  }
  if (page == nullptr) return;
  report::add_to_page(*page, classes);
  const auto scores = report::read_mask_scores(store);
  const auto sheet = report::overlay_sheet(looks, originals, scores, static_cast<std::size_t>(options.items),
                                           sheet_cell + sheet_cell / 2);
  page->picture(
      sheet.image,
      fmt::format("What the mask sources saw, doubtful pictures first. Green: masks that became parts, "
                  "red: rejected; boxes with the words they stand for and their scores.{} {}",
                  scores.empty() ? "" : " Below, the mask scores of a classifier.",
                  report::words_on(originals, sheet.shown, sheet.missing_pictures) + sheet.captions));
}

// Every pair of decoupling stores of one dataset.
void compare_stores(const std::vector<io::StoreReader>& stores, report::Page* page) {
  for (std::size_t a = 0; a < stores.size(); ++a) {
    for (std::size_t b = a + 1; b < stores.size(); ++b) {
      const auto &first = stores[a].description(), &second = stores[b].description();
      if (first.stage != "decouple" || second.stage != "decouple" || first.class_names != second.class_names)
        continue;
      const auto agreement = report::compare_masks(stores[a], stores[b]);
      if (agreement.both == 0) continue;
      fmt::print("{}", report::to_text(agreement));
      if (page != nullptr) report::add_to_page(*page, agreement);
    }
  }
}

void inspect_real(const io::StoreReader& store, const report::Originals& originals, const Options& options,
                  const JobContext& context, report::Page* page, bool write_sheet) {
  if (page == nullptr && !write_sheet) return;
  auto sample = report::sample_rows(store, originals, static_cast<std::size_t>(options.items));
  const io::Image sheet = make_sheet(store, sample, context.config);
  const std::string pictures =
      report::words_on(originals, static_cast<std::int64_t>(sample.rows.size()), sample.missing_pictures);
  if (write_sheet) {
    io::write_image(options.sheet, sheet, 90);
    fmt::print("contact sheet: {}\n{}\n", path_text(options.sheet), pictures);
  }
  if (page == nullptr) return;
  page->picture(
      sheet, fmt::format("Pictures, their class-dependent parts (CDP, on a checkerboard where transparent), "
                         "their class-independent parts (CIP, hole filled), and combinations of that CDP as "
                         "the network sees them, {}. {}",
                         context.options.configured
                             ? "by the configuration's [augment]"
                             : "by the default values of [augment]: no configuration was named",
                         pictures + report::undrawable_captions(sample.rows)));
}

void inspect_store(const io::StoreReader& store, const std::vector<io::StoreReader>& all,
                   const Options& options, const JobContext& context, report::Page* page, bool first) {
  const report::StoreSummary summary = report::summarize(store);
  const bool synthetic = summary.stage == "generate", write_sheet = first && !options.sheet.empty();
  fmt::print("{}\n{}", path_text(store.folder()), report::to_text(summary));
  if (options.verify) fmt::print("every record's hash was verified\n");
  print_remarks(store);
  const bool edited = synthetic && !report::peer_of(store).empty();
  if (page != nullptr) {
    page->heading(fmt::format("{}: {}",
                              edited      ? "Edited pictures"
                              : synthetic ? "Synthetic CDPs"
                                          : "Decoupled pictures",
                              summary.dataset));
    report::add_to_page(*page, summary);
  }
  if (edited)
    inspect_edits(store, all, options, context, page, write_sheet);
  else if (synthetic)
    inspect_synthetic(store, real_store_of(store, all), options, page, write_sheet);
  else {
    const auto originals = originals_of(store, options, context);
    inspect_real(store, originals, options, context, page, write_sheet);
    inspect_looks(store, originals, options, page, first);
  }
  if (page != nullptr)
    add_remarks_to_page(*page, store,
                        edited      ? "Pictures without some or all of their edits."
                        : synthetic ? "CDPs without some or all of their copies."
                                    : "Pictures without parts; they stay in training as they are.");
}

void inspect_identifiers(const std::filesystem::path& folder, report::Page* page) {
  const auto summary = report::read_identifiers(folder);
  fmt::print("{}\n{}", path_text(folder), report::to_text(summary));
  if (page == nullptr) return;
  page->heading("Identifiers");
  report::add_to_page(*page, summary);
}

// Sheets of traces of image-mixing methods: two parents, what was looked at, the mixed picture, its label.
void inspect_mixing(const std::vector<std::filesystem::path>& traces, const Options& options,
                    bool write_sheet, report::Page* page) {
  if (page != nullptr && !traces.empty()) page->heading("Mixed batches");
  for (std::size_t i = 0; i < traces.size(); ++i) {
    const auto sheet = report::mixing_sheet(traces[i], static_cast<std::size_t>(options.items));
    if (!sheet) {
      fmt::print(
          "{}: no traced batch was mixed (each is with probability mix_probability); trace more steps\n",
          path_text(traces[i]));
      continue;
    }
    const auto image = report::render_sheet(sheet->titles, sheet->rows, sheet_cell);
    const auto text = fmt::format("{}, step {}{}{}", report::method_title(sheet->method), sheet->step,
                                  sheet->decided.empty() ? "" : ": ", sheet->decided);
    fmt::print("{}\n  {}\n", path_text(traces[i]), text);
    if (i == 0 && write_sheet) {
      io::write_image(options.sheet, image, 90);
      fmt::print("contact sheet: {}\n", path_text(options.sheet));
    }
    if (page != nullptr) page->picture(image, text + "; below each row the mixed picture's label.");
  }
}

ExitCode inspect(JobContext& context, Options options) {
  if (!context.ranks.is_root()) return ExitCode::done;  // looking is one rank's work
  if (options.paths.empty()) {                          // the configuration's whole output
    options.paths = {context.config.run.output};
    if (options.report.empty()) options.report = context.config.run.output / "report.html";
  }
  for (const auto& path : options.paths) {
    if (!std::filesystem::is_directory(path))
      throw DataError("is no folder", path.string(),
                      "Name a store, a run, or the output folder of a pipeline.");
  }
  std::vector<std::string> problems;
  std::vector<report::RunResults> runs;
  std::set<std::filesystem::path> seen;  // an output folder and a run in it may both be given
  for (const auto& path : options.paths) {
    for (auto& run : report::find_runs(path, problems)) {
      if (seen.insert(std::filesystem::weakly_canonical(run.folder)).second) runs.push_back(std::move(run));
    }
  }
  const auto stores = find_folders(options.paths, is_store);
  const auto identifiers = find_folders(options.paths, report::is_identifier_folder);
  const auto traces = find_folders(options.paths, report::is_mixing_trace);
  if (runs.empty() && stores.empty() && identifiers.empty() && traces.empty() && problems.empty()) {
    throw DataError(
        "holds neither a store nor identifiers nor a run nor a trace of mixed batches",
        options.paths.front().string(),
        "Name a store, a folder of identifiers, a run, a trace of an image-mixing method, or the output "
        "folder of a pipeline.");
  }
  std::unique_ptr<report::Page> page;
  if (!options.report.empty()) {
    page = std::make_unique<report::Page>(
        "De-DA report", runs.empty() ? options.paths.front().string()
                                     : fmt::format("{} runs on {}", runs.size(), runs.front().dataset));
  }
  const auto comparisons = report::compare(runs);
  if (page && !comparisons.empty()) {
    page->heading("Comparison");
    for (const auto& comparison : comparisons) report::add_to_page(*page, comparison, runs);
  }
  std::vector<io::StoreReader> readers;
  for (const auto& folder : stores)
    readers.emplace_back(
        folder, options.verify ? io::StoreReader::Check::hashes : io::StoreReader::Check::sizes, true);
  // The order of the method: real parts, identifiers, synthetic CDPs.
  std::stable_partition(readers.begin(), readers.end(),
                        [](const io::StoreReader& store) { return store.description().stage != "generate"; });
  const auto first_synthetic = std::find_if(readers.begin(), readers.end(), [](const io::StoreReader& store) {
    return store.description().stage == "generate";
  });
  const auto inspect_readers = [&](auto begin, auto end) {
    for (auto store = begin; store != end; ++store)
      inspect_store(*store, readers, options, context, page.get(),
                    is_store(options.paths.front()) ? store->folder() == options.paths.front()
                                                    : store == readers.begin());
  };
  inspect_readers(readers.begin(), first_synthetic);
  compare_stores(readers, page.get());
  for (const auto& folder : identifiers) inspect_identifiers(folder, page.get());
  inspect_readers(first_synthetic, readers.end());
  inspect_mixing(traces, options, stores.empty() && !options.sheet.empty(), page.get());
  for (const auto& comparison : comparisons) fmt::print("\n{}", report::to_text(comparison));
  for (const std::string& problem : problems) log_warning("{}", problem);
  if (page) {
    if (!runs.empty()) {
      std::vector<std::vector<report::TableCell>> rows;
      for (const auto& run : runs) {
        rows.push_back({{run.folder.filename().string()},
                        {report::method_title(run.method)},
                        {std::to_string(run.seed), true},
                        {fmt::format("{}/{}", run.epochs_done, run.epochs), true},
                        {std::to_string(run.ranks), true},
                        {fmt::format("{:.0f}", run.seconds), true},
                        {fmt::format("{:.0f}", run.images_per_second), true},
                        {fmt::format("{:.1f} %", 100 * run.data_wait_share), true},
                        {run.skipped_steps ? std::to_string(*run.skipped_steps) : "-", true},
                        {run.provenance ? run.provenance->processor : "not recorded"}});
      }
      page->heading("Runs");
      page->table({"folder", "method", "seed", "epochs", "ranks", "seconds", "images/s", "waited for data",
                   "skipped steps", "computed on"},
                  rows);
    }
    if (options.report.has_parent_path()) make_folder(options.report.parent_path());
    page->save(options.report);
    fmt::print("\nreport: {}\n", path_text(std::filesystem::absolute(options.report)));
  }
  return problems.empty() ? ExitCode::done : ExitCode::data;
}

}  // namespace

Job make_inspect_job() {
  const auto options = std::make_shared<Options>();
  return {
      .name = "inspect",
      .summary = "Look into stores and runs: statistics, contact sheets, comparison, report page",
      .example = "deda inspect runs/demo --report runs/demo/report.html",
      .add_options =
          [options](CLI::App& app) {
            app.add_option(
                "path", options->paths,
                "stores, runs, traces of image-mixing methods, or folders that hold them (default: "
                "run.output of the configuration, with its page report.html)");
            app.add_option("--report", options->report, "write one self-contained HTML page");
            app.add_option("--sheet", options->sheet,
                           "write the contact sheet of the store that is named first (of the real CDPs "
                           "in an output folder), or of the first trace of mixed batches, as .png or .jpg");
            app.add_option(
                "--overlays", options->overlays,
                "write what the mask sources saw in the first store into this folder, a picture each");
            app.add_option("--data", options->dataset_root,
                           "the dataset's folder, to show the original pictures (default: dataset.root of "
                           "the configuration, else the folder that the store was made from)");
            app.add_option("--items", options->items, "pictures on a contact sheet")
                ->check(CLI::Range(1, 200));
            app.add_flag("--verify", options->verify, "verify the hash of every record");
          },
      .run = [options](JobContext& context) { return inspect(context, *options); }};
}

}  // namespace deda::jobs
