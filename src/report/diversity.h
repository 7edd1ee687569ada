// How far augmented pictures are from their sources, and from each other: the paper's figure 5(b), PSNR of
// pairs, and SSIM beside it. Lower is more diverse. PSNR rewards every change, a mere shift too.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "io/pictures/image.h"

namespace deda::report {

// Where the pictures of a method come from. Any method that makes pictures of pictures fits: one that
// composes them when asked (jobs/diversity.cpp has De-DA's), or one whose pictures lie in a store, whose
// versions end with its copies. Both functions are called from several threads at once and give the same
// picture whenever they are asked; what they throw ends the measurement.
struct AugmentedPictures {
  std::string method;  // for people and tables: "deda"
  // Source picture `item` as the others are compared with it, [H, W, 3]: resized and cropped as a test sees
  // it, or squashed where the method squashes.
  std::function<io::Image(std::size_t item)> source;
  // What was made of it, of the same size; version 0, 1, ... are independent draws. Nothing where there is no
  // such version (a store has no more copies; an edit was rejected): such a pair is left out, and counted.
  std::function<std::optional<io::Image>(std::size_t item, std::int64_t version)> augmented;
};

struct DiversityRequest {
  std::vector<std::size_t> items;  // sources that every compared method has, in the order of their use
  std::int64_t pairs = 2000;       // each source once, then each once more with another version, ...
  std::int64_t versions = 4;       // of one source that are compared with each other; below 2: none
};

// One source and one of its augmented pictures.
struct PairSimilarity {
  std::size_t item = 0;
  std::int64_t version = 0;
  std::optional<double> psnr_db;  // nothing: the pictures are equal
  double ssim = 0;
};

struct Diversity {
  std::string method;
  std::vector<PairSimilarity> pairs;  // in the order of request.items, then of versions
  std::vector<double> within_psnr;    // of every two versions of one source that differ, dB
  std::int64_t equal_versions = 0;    // two versions of one source that do not
  std::int64_t missing = 0;           // pairs that were asked for and are not there
};

// Collective: ranks share the sources, each on `threads` threads. The result is the same on all of them, for
// any number of ranks and threads. DataError for pictures that cannot be compared; Stopped when asked to.
Diversity measure_diversity(const comm::Communicator& ranks, const AugmentedPictures& pictures,
                            const DiversityRequest& request, int threads);

// Means and sample deviation (n - 1) over pairs that differ; nothing where there is none.
struct DiversitySummary {
  std::string method;
  std::int64_t pairs = 0, identical = 0;  // identical ones are among the pairs and in no mean
  std::optional<double> psnr_mean, psnr_deviation, ssim_mean;
  std::optional<double> within_source_psnr;  // mean of Diversity::within_psnr
};
DiversitySummary summarize(const Diversity& diversity);

// method,dataset,pairs,psnr_mean,psnr_deviation,ssim_mean,within_source_psnr,identical: PSNR in dB, empty
// where there is nothing to take a mean of.
std::string summary_csv(const std::vector<DiversitySummary>& methods, const std::string& dataset);
// source,method,version,psnr,ssim, a line per pair; PSNR in dB, empty where the pictures are equal.
// `sources`: by item.
std::string pairs_csv(const std::vector<Diversity>& methods, const std::vector<std::string>& sources);
// A table for people, and what is to be known of its numbers.
std::string to_text(const std::vector<DiversitySummary>& methods);
// Bars by method, with whiskers of one deviation, as SVG.
std::string diversity_svg(const std::vector<DiversitySummary>& methods, const std::string& dataset);

}  // namespace deda::report
