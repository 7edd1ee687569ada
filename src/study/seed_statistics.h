// What a few seeds tell: means, intervals and paired differences, and what they do not tell. Values are
// percent, differences percentage points.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace deda::study {

inline constexpr double confidence_level = 0.95;
// From this many seeds on a mean has an interval. Of two it would be 9 standard deviations to either side,
// which tells nothing; of one there is none.
inline constexpr std::size_t seeds_for_interval = 3;

struct Interval {
  double low = 0, high = 0;
};

struct Estimate {
  std::size_t n = 0;
  double mean = 0;                   // 0 where n is 0
  double deviation = 0;              // of the sample (n - 1); 0 where n is less than 2
  std::optional<Interval> interval;  // Student's t, 95 %; from seeds_for_interval values on
};

// In the order of `values`, so that equal lists give equal bytes.
Estimate estimate(const std::vector<double>& values);

struct PairedDifference {
  Estimate difference;
  std::optional<double> p;  // two-sided, of Student's paired test; where there is an interval
};

// ours[i] - theirs[i]; both of one length, the same seed at the same place.
PairedDifference paired_difference(const std::vector<double>& ours, const std::vector<double>& theirs);

// Probability of a |T| of at least `t` for Student's distribution; `degrees` > 0, need not be whole.
double student_two_sided_p(double t, double degrees);
// The t that |T| stays below with probability `confidence`, 0 < confidence < 1.
double student_quantile(double confidence, double degrees);

// Holm's step-down correction of a family of tests, in the same order; each at most 1.
std::vector<double> holm_corrected(const std::vector<double>& p);

// Standard error, in points, of a share of `percent` right among `images` test pictures: what one run has
// even if training again gave the same network. So it is a lower limit of a run's error. 0 for no pictures.
double binomial_standard_error(double percent, std::int64_t images);

// One column of a table: two methods by seed.
struct PairedColumn {
  std::vector<double> ours, theirs;  // of one length, at least 1
};

struct OverColumns {
  double mean = 0;                   // of the columns' mean differences
  std::optional<Interval> interval;  // 95 %, bootstrap over the seeds within each column; where every column
                                     // has seeds_for_interval seeds
  double probability_of_improvement = 0.5;  // that a run of ours beats one of theirs, ties half; mean over
                                            // columns (Agarwal et al., NeurIPS 2021)
};

inline constexpr std::uint32_t bootstrap_resamples = 2000;

// At least one column. A pure function: draws come from a fixed seed (core/random.h).
OverColumns over_columns(const std::vector<PairedColumn>& columns);

}  // namespace deda::study
