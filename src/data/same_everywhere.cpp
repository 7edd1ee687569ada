#include "data/same_everywhere.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/file_digests.h"
#include "core/hash.h"
#include "core/parallel.h"

namespace deda::data {

namespace {

constexpr std::size_t sampled_files = 64;
// Looking at a file of a network drive is waiting, not computing: more threads than cores.
constexpr int threads = 16;
constexpr const char* hint =
    "Give all hosts the same copy of the dataset, or put it where all of them see it, and run again.";

// One side's view as lines that begin with a name: what differs first is found by comparing them.
using Lines = std::vector<std::string>;

std::string text_of(const Lines& lines) {
  return fmt::format("{}\n", fmt::join(lines, "\n"));
}
Lines lines_of(const std::string& text) {
  Lines lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string box_text(const std::array<double, 4>& box) {
  return fmt::format("{},{},{},{}", box[0], box[1], box[2], box[3]);
}

Lines list_of(const Dataset& dataset) {
  Lines lines{"dataset " + dataset.name, fmt::format("banner rows: {}", dataset.banner_rows)};
  for (const auto& name : dataset.class_names) lines.push_back("class " + name);
  for (const auto& name : dataset.group_names) lines.push_back("group " + name);
  for (const auto& name : dataset.subjects) lines.push_back("subject " + name);
  for (const Item& item : dataset.items) {
    std::string line =
        fmt::format("{}: class {}, split {}", item.path, item.class_id, static_cast<int>(item.split));
    if (!item.mask.empty())
      line += fmt::format(", mask {} ({})", item.mask, static_cast<int>(item.mask_encoding));
    if (item.group >= 0) line += fmt::format(", group {}", item.group);
    if (!item.labels.empty()) line += fmt::format(", labels {}", fmt::join(item.labels, "+"));
    if (!item.difficult.empty()) line += fmt::format(", difficult {}", fmt::join(item.difficult, "+"));
    if (item.box) line += ", box " + box_text(*item.box);
    for (const ObjectBox& object : item.objects)
      line += fmt::format(", object {}:{}", object.class_id, box_text(object.box));
    lines.push_back(std::move(line));
  }
  return lines;
}

// Relative to the root: every picture and mask, each once.
std::vector<std::string> files_of(const Dataset& dataset) {
  std::set<std::string> files;
  for (const Item& item : dataset.items) {
    files.insert(item.path);
    if (!item.mask.empty()) files.insert(item.mask);
  }
  return {files.begin(), files.end()};
}

Lines sizes_of(const Dataset& dataset, const std::vector<std::string>& files) {
  Lines lines(files.size());
  parallel_for(threads, 0, files.size(), 1, [&](std::size_t i) {
    std::error_code error;
    const auto bytes = std::filesystem::file_size(dataset.file(files[i]), error);
    lines[i] = error ? fmt::format("{}: not there", files[i]) : fmt::format("{}: {} bytes", files[i], bytes);
  });
  return lines;
}

// Spread over the list, the same for equal lists.
Lines contents_of_sample(const Dataset& dataset, const std::vector<std::string>& files) {
  const std::size_t count = std::min(sampled_files, files.size());
  std::vector<std::string> sample;
  std::vector<std::filesystem::path> paths;
  for (std::size_t i = 0; i < count; ++i) {
    sample.push_back(files[i * files.size() / count]);
    paths.push_back(dataset.file(sample.back()));
  }
  // Nothing from the cache: it knows files by device and inode, which differ in meaning from host to host.
  const auto digests = FileDigests{{}}.of(paths, threads);
  Lines lines;
  for (std::size_t i = 0; i < count; ++i)
    lines.push_back(fmt::format("{}: content {}", sample[i], digests[i]));
  return lines;
}

class Comparison {
 public:
  Comparison(const comm::Communicator& ranks, std::filesystem::path root)
      : ranks_{ranks}, hosts_{ranks.host_names()}, root_{std::move(root)} {}

  // Collective. `look` gives this rank's lines. `takes_part`: this rank looks at all; rank 0 must.
  void require_equal(std::string_view what, bool takes_part, const std::function<Lines()>& look) const {
    Lines mine;
    ranks_.agree(fmt::format("comparing {} of the dataset", what), [&] {
      if (takes_part) mine = look();
    });
    const std::string text = text_of(mine), digest = xxhash128_hex(text);
    const std::string digest_of_zero = ranks_.broadcast(ranks_.is_root() ? digest : "");
    const bool differs = takes_part && digest_of_zero != digest;
    if (!ranks_.any(differs)) return;
    const Lines theirs = lines_of(ranks_.broadcast(ranks_.is_root() ? text : ""));
    ranks_.agree(fmt::format("comparing {} of the dataset", what), [&] {
      if (differs) tell_difference(what, theirs, mine);
    });
  }

 private:
  [[noreturn]] void tell_difference(std::string_view what, const Lines& theirs, const Lines& mine) const {
    const auto [there, here] = std::mismatch(theirs.begin(), theirs.end(), mine.begin(), mine.end());
    const auto differing = [&](const Lines& lines, Lines::const_iterator at) {
      return at == lines.end() ? std::string{"nothing more"} : fmt::format("\"{}\"", *at);
    };
    throw DataError(
        fmt::format(
            "{} of the dataset differ between hosts. First difference: {} for rank 0 on host {}, {} for rank "
            "{} on host {} ({} lines there, {} here)",
            what, differing(theirs, there), hosts_.front(), differing(mine, here), ranks_.rank(),
            hosts_[static_cast<std::size_t>(ranks_.rank())], theirs.size(), mine.size()),
        root_.string(), hint);
  }

  const comm::Communicator& ranks_;
  std::vector<std::string> hosts_;
  std::filesystem::path root_;
};

}  // namespace

void require_same_everywhere(const comm::Communicator& ranks, const Dataset& dataset, FilesOf files) {
  if (ranks.size() == 1) return;
  const Comparison comparison(ranks, dataset.root);
  comparison.require_equal("the lists", true, [&] { return list_of(dataset); });
  // Rank 0 is the first of its host: another first one is on another host.
  const bool looks = files == FilesOf::every_rank || ranks.local_rank() == 0;
  if (ranks.all_reduce(looks ? 1 : 0, comm::Reduction::sum) == 1) return;  // one host
  const auto names = files_of(dataset);
  comparison.require_equal("the sizes of files", looks, [&] { return sizes_of(dataset, names); });
  comparison.require_equal("the contents of files", looks,
                           [&] { return contents_of_sample(dataset, names); });
}

}  // namespace deda::data
