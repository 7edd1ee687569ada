#include "diffusion/generation/fill_store.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <opencv2/core.hpp>

#include "comm/ticket_workers.h"
#include "core/error.h"
#include "core/events.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/stop.h"

namespace deda::diffusion {
namespace {

// One segment on this rank: threads draw units until there are none, or until the program is asked to stop.
struct SegmentWork {
  std::vector<io::ItemResult> results;
  bool stopped = false;
};

SegmentWork work_on_segment(const StoreWork& request, std::int64_t unit, comm::Tickets& tickets,
                            std::int64_t first, std::int64_t last, Progress& progress) {
  SegmentWork segment;
  std::mutex collecting;
  std::int64_t done = 0;
  const comm::TicketWorkers workers{.threads = request.workers,
                                    // A setting of the thread: sums must not depend on the number of cores.
                                    .begin_thread = [] { at::set_num_threads(1); },
                                    .stop = stop_requested};
  const auto work = [&](const comm::DrawnTicket& ticket) {
    const auto begin = first + ticket.number * unit;
    auto items = request.make(begin, std::min(last, begin + unit));
    const std::lock_guard lock{collecting};
    done += static_cast<std::int64_t>(items.size());
    for (auto& item : items) segment.results.push_back(std::move(item));
    // Other ranks' work is estimated from our own until the segment ends: tickets are drawn in order.
    progress.advance_to(static_cast<std::uint64_t>(std::max(first + done, begin)));
  };
  segment.stopped = !comm::work_on_tickets(tickets, workers, work);
  return segment;
}

std::int64_t finished_items(const io::StoreWriter& store, const std::vector<std::int64_t>& missing,
                            std::int64_t items) {
  for (const std::int64_t segment : missing) {
    const auto [first, last] = store.items_of(segment);
    items -= last - first;
  }
  return items;
}

void write_events(EventLog& events, const StoreWork& work, const io::ItemResult& item) {
  events.write(item.item, "outcome", std::string{io::name_of(item.outcome)},
               {{"source", work.description.sources[static_cast<std::size_t>(item.item)]},
                {"copies", static_cast<std::int64_t>(item.records.size())},
                {"reason", item.reason}});
}

}  // namespace

bool fill_store(const comm::Communicator& ranks, const StoreWork& work) {
  io::StoreWriter store(ranks, work.folder, work.description);
  if (store.complete()) return true;
  cv::setNumThreads(1);  // our own threads fill the cores
  const auto unit = work.prepare();
  EventLog events(work.folder, ranks.rank(), work.description.stage);
  comm::Tickets tickets(ranks);
  const auto items = static_cast<std::int64_t>(work.description.sources.size());
  const auto missing = store.missing_segments();
  auto finished = finished_items(store, missing, items);
  if (finished > 0 && ranks.is_root())
    log_info("continuing: {} of {} {} are in finished segments", finished, items, work.items);
  Progress progress("generate", std::string{work.items}, static_cast<std::uint64_t>(items), ranks.is_root());
  progress.advance_to(static_cast<std::uint64_t>(finished));
  for (const std::int64_t segment : missing) {
    const auto [first, last] = store.items_of(segment);
    tickets.start_round((last - first + unit - 1) / unit);
    SegmentWork done;
    ranks.agree("generating a segment", [&, first = first, last = last] {
      done = work_on_segment(work, unit, tickets, first, last, progress);
    });
    if (ranks.any(done.stopped))
      throw Stopped(fmt::format("generating stopped in segment {}: {}", segment, stop_reason()));
    for (const auto& item : done.results) write_events(events, work, item);
    store.write_segment(segment, std::move(done.results));
    finished += last - first;
    progress.advance_to(static_cast<std::uint64_t>(finished));
  }
  progress.finish();
  store.finish();
  return false;
}

}  // namespace deda::diffusion
