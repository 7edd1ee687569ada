// What has happened to items: one file per driver, its only writer, one synced JSON line per event. The state
// is all ledgers of an output folder together; their order means nothing, and a torn last line is passed
// over.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace deda::study {

enum class Outcome : std::uint8_t {
  done,     // the stage's own result says so
  stopped,  // with a checkpoint, because it was asked to or time was short: goes on another time
  held,     // another run writes the folder: wait
  lost,     // killed, or ended well without a result, or its driver died
  failed,
};
std::string_view name_of(Outcome outcome);

// One start of an item.
struct Attempt {
  std::string item;
  std::int64_t number = 0;  // from 1, over all studies and drivers of an output folder
  std::string study, driver;
  double started = 0;  // seconds since 1970
  double ended = 0;    // 0: not that anybody said
  std::optional<Outcome> outcome;
  int exit_code = 0, signal = 0;
  std::int64_t slots = 1;
  std::vector<std::int64_t> slot_numbers;
  std::string node, device, log, message;  // message: the first line of what went wrong
  double work_before = 0;                  // share of the item's work that was done when it began, 0..1
  double work_after = 0;
  bool final = false;  // of a failure: another try would fail alike
};

// DIR/ledger/DRIVER.jsonl
class LedgerWriter {
 public:
  // IoError with a hint when the folder cannot be written.
  LedgerWriter(const std::filesystem::path& study_folder, std::string study, std::string driver);
  void started(const Attempt& attempt);
  void ended(const Attempt& attempt);
  // Failures of the item up to this attempt no longer count.
  void forgiven(const std::string& item, std::int64_t number);
  const std::filesystem::path& file() const { return file_; }

 private:
  std::filesystem::path file_;
  std::string study_, driver_;
};

// All ledgers below OUTPUT/study-*/ledger. refresh() reads what was added.
class LedgerReader {
 public:
  explicit LedgerReader(std::filesystem::path output);
  void refresh();
  // By item, then by number.
  const std::map<std::string, std::map<std::int64_t, Attempt>>& attempts() const { return attempts_; }
  // Up to which attempt the item's failures are forgiven; 0: none.
  std::int64_t forgiven(const std::string& item) const;
  // Lines that are no events, as "FILE:LINE: reason": counted and told, never fatal.
  const std::vector<std::string>& damaged() const { return damaged_; }

 private:
  void read(const std::filesystem::path& file);
  void take(const std::string& line);

  std::filesystem::path output_;
  struct Place {
    std::uint64_t bytes = 0;
    std::int64_t lines = 0;
  };
  std::map<std::string, Place> places_;  // how far each file is read
  std::map<std::string, std::map<std::int64_t, Attempt>> attempts_;
  std::map<std::string, std::int64_t> forgiven_;
  std::vector<std::string> damaged_;
};

double seconds_since_1970();

}  // namespace deda::study
