#include "decoupling/decouple.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <opencv2/core.hpp>
#include <set>
#include <sstream>
#include <tuple>

#include "comm/ticket_workers.h"
#include "core/error.h"
#include "core/events.h"
#include "core/files.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/stop.h"
#include "decoupling/earlier_store.h"
#include "decoupling/exclusions.h"
#include "decoupling/looks.h"
#include "decoupling/trace.h"

namespace deda::decoupling {

std::vector<std::size_t> decouple_items(const data::Dataset& dataset, const DecoupleConfig& config) {
  if (config.split == SplitChoice::train) return dataset.indices(data::Split::train);
  std::vector<std::size_t> all(dataset.items.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  return all;
}

namespace {

io::StoreDescription describe_store(const DecoupleRequest& request, const std::vector<std::size_t>& items) {
  const auto& [dataset, config] = std::tie(request.dataset, request.config);
  io::StoreDescription description;
  description.stage = "decouple";
  description.key = request.made_of.key;
  description.configuration = request.made_of.settings;
  description.provenance = to_json(request.made_of);
  description.dataset = dataset.name;
  description.class_names = dataset.class_names;
  description.routes = config.sources;
  description.items_per_segment = config.items_per_segment;
  for (const std::size_t item : items) {
    description.sources.push_back(dataset.items[item].path);
    description.source_classes.push_back(dataset.items[item].class_id);
  }
  return description;
}

// What stays the same for all segments.
struct Stage {
  const DecoupleRequest& request;
  std::vector<std::size_t> items;  // positions in dataset.items, in store order
  std::vector<std::unique_ptr<MaskSource>> sources;
  std::set<std::string> excluded;

  const data::Item& item(std::int64_t number) const {
    return request.dataset.items[items[static_cast<std::size_t>(number)]];
  }
};

// A picture that a person took out.
DecoupledPicture excluded_picture(std::int64_t number) {
  DecoupledPicture picture;
  picture.result.item = number;
  picture.result.outcome = io::Outcome::rejected;
  picture.result.reason = "excluded by hand";
  return picture;
}

// What one rank made of a segment, in any order.
struct SegmentWork {
  std::vector<io::ItemResult> results;
  std::vector<std::pair<std::int64_t, std::string>> looks;  // by item
};

void work_on_unit(const Stage& stage, std::int64_t first, std::int64_t last, SegmentWork& work,
                  std::mutex& collecting) {
  const DecoupleRequest& request = stage.request;
  std::vector<UnitItem> unit;
  std::vector<DecoupledPicture> pictures;
  for (std::int64_t number = first; number < last; ++number) {
    const data::Item& item = stage.item(number);
    if (stage.excluded.count(item.path) == 0) {
      unit.push_back({&item, number, request.trace && number < request.trace_steps});
      continue;
    }
    pictures.push_back(excluded_picture(number));
  }
  for (DecoupledPicture& picture : decouple_unit(request.dataset, unit, stage.sources, request.config))
    pictures.push_back(std::move(picture));
  for (DecoupledPicture& picture : pictures) {
    const std::int64_t number = picture.result.item;
    const std::string& source = stage.item(number).path;
    if (request.trace && number < request.trace_steps) write_trace(*request.trace, source, picture);
    std::string look = look_line(picture, source);
    const std::lock_guard lock{collecting};
    work.looks.emplace_back(number, std::move(look));
    work.results.push_back(std::move(picture.result));
  }
}

// One segment on this rank: threads draw units of config.batch pictures until there are none. Which pictures
// a unit has follows from their numbers alone.
SegmentWork work_on_segment(const Stage& stage, comm::Tickets& tickets, std::int64_t first, std::int64_t last,
                            std::int64_t done, Progress& progress) {
  SegmentWork segment;
  std::mutex collecting;
  const std::int64_t batch = stage.request.config.batch;
  comm::work_on_tickets(tickets, {.threads = stage.request.threads}, [&](const comm::DrawnTicket& ticket) {
    const std::int64_t begin = first + ticket.number * batch, end = std::min(last, begin + batch);
    work_on_unit(stage, begin, end, segment, collecting);
    const std::lock_guard lock{collecting};
    done += end - begin;
    // Other ranks' work is estimated from our own until the segment ends: tickets are drawn in order.
    progress.advance_to(static_cast<std::uint64_t>(std::max(done, begin)));
  });
  return segment;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// This rank's share of a segment from the store without exclusions; collective. Nothing where it cannot be
// taken over as it is. The time that this rank works on it is added to `worked_s`.
std::optional<SegmentWork> take_over_segment(const comm::Communicator& ranks, const Stage& stage,
                                             const std::optional<EarlierStore>& earlier, std::int64_t segment,
                                             std::int64_t first, std::int64_t last, double& worked_s) {
  const auto start = std::chrono::steady_clock::now();
  auto items = earlier ? earlier->items(segment, first, last, ranks.rank(), ranks.size()) : std::nullopt;
  worked_s += seconds_since(start);
  if (ranks.any(!items)) return std::nullopt;
  const auto reading_ended = std::chrono::steady_clock::now();
  SegmentWork work;
  for (EarlierStore::Item& item : *items) {
    const std::int64_t number = item.result.item;
    const std::string& source = stage.item(number).path;
    if (stage.excluded.count(source) > 0) {
      DecoupledPicture picture = excluded_picture(number);
      item = {picture.result, look_line(picture, source)};
    }
    work.looks.emplace_back(number, std::move(item.look));
    work.results.push_back(std::move(item.result));
  }
  worked_s += seconds_since(reading_ended);
  return work;
}

// All ranks' looks of a segment into one file, in item order; rank 0 writes.
void write_looks(const comm::Communicator& ranks, const std::filesystem::path& folder, std::int64_t segment,
                 std::vector<std::pair<std::int64_t, std::string>> looks) {
  constexpr int digits = 19;  // of any item number, so that text order is number order
  std::string mine;
  for (const auto& [item, line] : looks) mine += fmt::format("{:0{}}{}\n", item, digits, line);
  const auto everybody =
      ranks.gather(std::span(reinterpret_cast<const std::uint8_t*>(mine.data()), mine.size()));
  ranks.agree("writing what was seen", [&] {
    if (!ranks.is_root()) return;
    std::vector<std::string> lines;
    for (const auto& bytes : everybody) {
      std::istringstream text(std::string(bytes.begin(), bytes.end()));
      for (std::string line; std::getline(text, line);) lines.push_back(line);
    }
    std::sort(lines.begin(), lines.end());
    std::string all;
    for (const std::string& line : lines) all += line.substr(digits) + '\n';
    write_atomically(folder / name_of_looks(segment), all);
  });
}

// A rank's time in segments: its own work, then waiting for the others.
struct Balance {
  double worked_s = 0, waited_s = 0;
};

void tell_balance(const comm::Communicator& ranks, const Balance& mine) {
  if (ranks.size() == 1) return;
  const double longest = ranks.all_reduce(std::vector<double>{mine.waited_s}, comm::Reduction::maximum)[0],
               whole = ranks.all_reduce(std::vector<double>{mine.worked_s + mine.waited_s},
                                        comm::Reduction::maximum)[0];
  if (ranks.is_root() && whole > 0)
    log_info("balance: no rank waited longer than {:.2f} s of {:.2f} s for the others ({:.1f} %)", longest,
             whole, 100 * longest / whole);
}

}  // namespace

io::OutcomeLimits outcome_limits(const DecoupleConfig& config) {
  return {.section = "decouple",
          .max_failed_share = config.max_failed_share,
          .failed_items = "pictures are unreadable or failed",
          .allow_empty = config.allow_empty,
          .wanted_records = "part"};
}

bool decouple(const comm::Communicator& ranks, const DecoupleRequest& request) {
  const std::vector<std::size_t> items = decouple_items(request.dataset, request.config);
  if (items.empty())
    throw DataError("has no picture to decouple in the chosen split", request.dataset.root.string(),
                    "Check dataset.layout and decouple.split.");
  cv::setNumThreads(1);  // our own threads fill the cores
  io::StoreWriter store(ranks, request.folder, describe_store(request, items));
  if (store.complete()) return true;
  Stage stage{request, items, {}, {}};
  ranks.agree("making the mask sources", [&] {
    stage.excluded = read_exclusions(request.config.exclude, request.dataset);
    stage.sources = make_mask_sources(request.config, request.dataset);
  });
  std::optional<EarlierStore> earlier;
  if (!stage.excluded.empty() && !request.trace && !request.without_exclusions.empty())
    earlier = EarlierStore::find(request.without_exclusions);
  const bool earlier_at_all = !ranks.any(!earlier);
  if (earlier_at_all && ranks.is_root())
    log_info("{} pictures are excluded; the others' parts are taken over from {}", stage.excluded.size(),
             request.without_exclusions.string());
  EventLog events(request.folder, ranks.rank(), "decouple");
  comm::Tickets tickets(ranks);
  const std::vector<std::int64_t> missing = store.missing_segments();
  Balance balance;
  std::int64_t finished = 0;
  for (std::int64_t segment = 0; segment < static_cast<std::int64_t>(items.size()); ++segment) {
    const auto [first, last] = store.items_of(segment);
    if (first >= static_cast<std::int64_t>(items.size())) break;
    if (std::find(missing.begin(), missing.end(), segment) == missing.end()) finished += last - first;
    if (last >= static_cast<std::int64_t>(items.size())) break;
  }
  if (finished > 0 && ranks.is_root())
    log_info("continuing: {} of {} pictures are in finished segments", finished, items.size());
  Progress progress("decouple", "pictures", items.size(), ranks.is_root());
  progress.advance_to(static_cast<std::uint64_t>(finished));
  for (const std::int64_t segment : missing) {
    if (ranks.any(stop_requested()))
      throw Stopped(fmt::format("decoupling stopped before segment {}: {}", segment, stop_reason()));
    const auto [first, last] = store.items_of(segment);
    const auto start = std::chrono::steady_clock::now();
    double worked_s = 0;
    std::optional<SegmentWork> work;
    if (earlier_at_all) work = take_over_segment(ranks, stage, earlier, segment, first, last, worked_s);
    if (!work) {
      tickets.start_round((last - first + request.config.batch - 1) / request.config.batch);
      ranks.agree("decoupling a segment", [&, first = first, last = last] {
        const auto work_began = std::chrono::steady_clock::now();
        work = work_on_segment(stage, tickets, first, last, finished, progress);
        worked_s += seconds_since(work_began);
      });
    }
    balance.worked_s += worked_s;
    balance.waited_s += seconds_since(start) - worked_s;
    events.write(segment, "worked_s", worked_s, {{"waited_s", seconds_since(start) - worked_s}});
    for (const io::ItemResult& result : work->results) {
      events.write(result.item, "outcome", std::string{io::name_of(result.outcome)},
                   {{"source", stage.item(result.item).path}, {"reason", result.reason}});
    }
    write_looks(ranks, request.folder, segment, std::move(work->looks));
    store.write_segment(segment, std::move(work->results));
    finished += last - first;
    progress.advance_to(static_cast<std::uint64_t>(finished));
  }
  progress.finish();
  store.finish();
  tell_balance(ranks, balance);
  return false;
}

}  // namespace deda::decoupling
