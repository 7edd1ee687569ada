#include "decoupling/decouple.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <opencv2/core.hpp>
#include <thread>

#include "comm/tickets.h"
#include "core/error.h"
#include "core/events.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/stop.h"
#include "data/picture.h"
#include "decoupling/cut.h"
#include "decoupling/trace.h"

namespace deda::decoupling {

namespace {

constexpr int schema_version = 1;  // of what this stage computes: raised when its results change

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "; ") + part;
  return text;
}

// Why a union of masks cannot be used, or "".
std::string rejection(const io::Image& merged, const DecoupleConfig& config) {
  const double share = static_cast<double>(area_of(merged)) / static_cast<double>(merged.pixels.size());
  if (share < config.min_mask_share)
    return fmt::format("the mask covers {:.2f} % of the picture, less than {:.2f} %", 100 * share,
                       100 * config.min_mask_share);
  if (share > config.max_mask_share)
    return fmt::format("the mask covers {:.1f} % of the picture, more than {:.1f} %", 100 * share,
                       100 * config.max_mask_share);
  return {};
}

io::Record make_record(io::RecordInfo info, io::Image image) {
  info.height = image.height;
  info.width = image.width;
  info.channels = image.channels;
  return {info, std::move(image.pixels)};
}

// Cuts and fills; notes are told with the outcome.
void add_records(DecoupledPicture& picture, const io::Image& image, const data::Item& item,
                 const DecoupleConfig& config, std::vector<std::string>& notes) {
  Cdp cdp = cut_cdp(image, picture.merged, config);
  io::RecordInfo info;
  info.source_index = picture.result.item;
  info.class_id = item.class_id;
  info.crop = cdp.crop;
  info.box = cdp.box;
  info.mask_area = cdp.mask_area;
  picture.result.records.push_back(make_record(info, std::move(cdp.rgba)));
  io::Image hole_mask = picture.merged;
  if (!picture.masks.undecided.empty()) hole_mask = union_of({hole_mask, picture.masks.undecided});
  Cip cip = fill_cip(image, hole_mask, config);
  picture.hole = std::move(cip.hole);
  if (cip.rgb.empty() || cip.hole_share > config.max_hole_share) {
    notes.push_back(fmt::format("no CIP: the hole covers {:.1f} % of the picture", 100 * cip.hole_share));
    return;
  }
  info.kind = io::RecordKind::cip;
  info.crop = {0, 0, image.width, image.height};
  picture.result.records.push_back(make_record(info, std::move(cip.rgb)));
}

}  // namespace

DecoupledPicture decouple_picture(const data::Dataset& dataset, const data::Item& item,
                                  std::int64_t item_number,
                                  const std::vector<std::unique_ptr<MaskSource>>& sources,
                                  const DecoupleConfig& config) {
  DecoupledPicture picture;
  picture.result.item = item_number;
  const auto end_with = [&](io::Outcome outcome, std::string reason) {
    picture.result.outcome = outcome;
    picture.result.reason = std::move(reason);
    picture.result.records.clear();
  };
  std::vector<std::string> notes;
  try {
    io::DecodedImage decoded;
    try {
      decoded = data::load_picture(dataset, item);
    } catch (const Error& error) {
      const Problem& problem =
          error.problems().front();  // its place is the item's own path: a store tells it once
      end_with(io::Outcome::unreadable, problem.what);
      return picture;
    }
    notes = decoded.notes;
    picture.height = decoded.image.height;
    picture.width = decoded.image.width;
    io::Outcome outcome = io::Outcome::nothing_found;
    std::vector<std::string> reasons;
    for (const auto& source : sources) {
      try {
        picture.masks = source->find(dataset, item, decoded.image);
      } catch (const Error& error) {
        outcome = io::Outcome::rejected;
        reasons.push_back(source->name() + ": " + error.problems().front().what);
        continue;
      }
      if (picture.masks.masks.empty()) {
        reasons.push_back(source->name() + ": " + picture.masks.reason);
        continue;
      }
      picture.merged = union_of(picture.masks.masks);
      if (std::string why = rejection(picture.merged, config); !why.empty()) {
        outcome = io::Outcome::rejected;
        reasons.push_back(source->name() + ": " + why);
        continue;
      }
      if (!reasons.empty()) notes.push_back("route " + source->name() + " after " + joined(reasons));
      add_records(picture, decoded.image, item, config, notes);
      picture.result.outcome = io::Outcome::done;
      picture.result.reason = joined(notes);
      return picture;
    }
    end_with(outcome, joined(reasons));
  } catch (const std::exception& error) {  // OpenCV, out of memory: one picture must not end the stage
    end_with(io::Outcome::failed, error.what());
  }
  return picture;
}

std::vector<std::size_t> decouple_items(const data::Dataset& dataset, const DecoupleConfig& config) {
  if (config.split == SplitChoice::train) return dataset.indices(data::Split::train);
  std::vector<std::size_t> all(dataset.items.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  return all;
}

std::string decouple_identity(const data::Dataset& dataset, const DecoupleConfig& config) {
  return fmt::format("schema {}\n{}\n{}", schema_version, canonical_config(config),
                     data::dataset_identity(dataset));
}

namespace {

io::StoreDescription describe_store(const data::Dataset& dataset, const DecoupleConfig& config,
                                    const std::vector<std::size_t>& items) {
  io::StoreDescription description;
  description.stage = "decouple";
  description.configuration = canonical_config(config);
  description.dataset = dataset.name;
  description.class_names = dataset.class_names;
  description.items_per_segment = config.items_per_segment;
  for (const std::size_t item : items) {
    description.sources.push_back(dataset.items[item].path);
    description.source_classes.push_back(dataset.items[item].class_id);
  }
  return description;
}

// One segment on this rank: threads draw tickets until there are none. Results in any order.
std::vector<io::ItemResult> work_on_segment(const DecoupleRequest& request,
                                            const std::vector<std::size_t>& items,
                                            const std::vector<std::unique_ptr<MaskSource>>& sources,
                                            comm::Tickets& tickets, std::int64_t first,
                                            std::atomic<std::int64_t>& done, Progress& progress) {
  std::vector<io::ItemResult> results;
  std::mutex drawing, collecting;
  std::exception_ptr failure;
  const auto work = [&] {
    try {
      for (;;) {
        std::int64_t ticket = -1;
        {
          const std::lock_guard lock{drawing};
          ticket = tickets.draw();
        }
        if (ticket < 0) return;
        const std::int64_t number = first + ticket;
        const data::Item& item = request.dataset.items[items[static_cast<std::size_t>(number)]];
        DecoupledPicture picture = decouple_picture(request.dataset, item, number, sources, request.config);
        if (request.trace && number < request.trace_steps) write_trace(*request.trace, item.path, picture);
        const std::lock_guard lock{collecting};
        results.push_back(std::move(picture.result));
        // Other ranks' work is estimated from our own until the segment ends: tickets are drawn in order.
        progress.advance_to(static_cast<std::uint64_t>(std::max<std::int64_t>(++done, number)));
      }
    } catch (...) {
      const std::lock_guard lock{collecting};
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < request.threads; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  // A thread that failed may have left tickets: drawn here, so that the round ends for all.
  while (failure && tickets.draw() >= 0) {
  }
  if (failure) std::rethrow_exception(failure);
  return results;
}

}  // namespace

bool decouple(const comm::Communicator& ranks, const DecoupleRequest& request) {
  const std::vector<std::size_t> items = decouple_items(request.dataset, request.config);
  if (items.empty())
    throw DataError("has no picture to decouple in the chosen split", request.dataset.root.string(),
                    "Check dataset.layout and decouple.split.");
  cv::setNumThreads(1);  // our own threads fill the cores
  io::StoreWriter store(ranks, request.folder, describe_store(request.dataset, request.config, items));
  if (store.complete()) return true;
  std::vector<std::unique_ptr<MaskSource>> sources;
  for (const std::string& name : request.config.sources)
    sources.push_back(make_mask_source(name, request.config));
  EventLog events(request.folder, ranks.rank(), "decouple");
  comm::Tickets tickets(ranks);
  const std::vector<std::int64_t> missing = store.missing_segments();
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
    tickets.start_round(last - first);
    std::atomic<std::int64_t> done{finished};
    std::vector<io::ItemResult> results;
    ranks.agree("decoupling a segment", [&, first = first] {
      results = work_on_segment(request, items, sources, tickets, first, done, progress);
    });
    for (const io::ItemResult& result : results) {
      events.write(result.item, "outcome", std::string{io::name_of(result.outcome)},
                   {{"source", request.dataset.items[items[static_cast<std::size_t>(result.item)]].path},
                    {"reason", result.reason}});
    }
    store.write_segment(segment, std::move(results));
    finished += last - first;
    progress.advance_to(static_cast<std::uint64_t>(finished));
  }
  progress.finish();
  store.finish();
  std::int64_t failed = 0;
  ranks.agree("counting outcomes", [&] {
    const io::OutcomeCount count = io::StoreReader(request.folder).outcomes();
    for (const auto& [outcome, number] : count.counts) {
      if (outcome == io::Outcome::unreadable || outcome == io::Outcome::failed) failed += number;
    }
  });
  if (static_cast<double>(failed) > request.config.max_failed_share * static_cast<double>(items.size())) {
    throw DataError(
        fmt::format("{} of {} pictures are unreadable or failed, more than decouple.max_failed_share", failed,
                    items.size()),
        request.folder.string(), "`deda inspect` lists them with their reasons.");
  }
  return false;
}

}  // namespace deda::decoupling
