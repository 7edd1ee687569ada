// Where every record of a segment lies, agreed by all ranks before anything is written. Internal to src/io.
//
// The order is (item, kind, version), and records that are equal in all three stay as their item listed them;
// so the layout depends on the items alone and not on which rank holds them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "io/store/record_store.h"
#include "io/store/segment_columns.h"

namespace deda::io {

struct SegmentIdentity {
  std::int64_t number = 0;
  std::int64_t first_item = 0;
  std::int64_t item_count = 0;
};

// An item that is not plainly done, or is and has a note.
struct Remark {
  std::int64_t item = 0;
  Outcome outcome = Outcome::done;
  std::string reason;
  bool operator==(const Remark&) const = default;
};

// A record that this rank writes: where it goes and which of its results it is.
struct OwnRecord {
  std::size_t row = 0;  // in SegmentPlan::columns
  const std::vector<std::uint8_t>* pixels = nullptr;
};

struct SegmentPlan {
  SegmentColumns columns;          // of all records, in file order; the same on every rank
  std::vector<int> owner;          // rank that holds each record; the same on every rank
  std::vector<OwnRecord> own;      // this rank's records, in file order
  std::vector<Remark> remarks;     // by item; the same on every rank
  std::uint64_t pixels_bytes = 0;  // whole pages, at least one
  std::uint64_t end_of_record(std::size_t row) const;  // where the next record starts, or the pixels end
};

// Collective. DataError, the same on all ranks, lists what does not fit: items missing, doubled or outside
// the segment, records whose numbers contradict their pixels, records of items that are not done. `results`
// must outlive the plan.
SegmentPlan plan_segment(const comm::Communicator& ranks, const SegmentIdentity& identity,
                         const std::vector<ItemResult>& results, std::size_t class_count);

}  // namespace deda::io
