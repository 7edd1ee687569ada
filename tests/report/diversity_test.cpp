// Pairs and versions of augmented pictures: what is compared with what, over ranks and threads, and what is
// told of it.
#include "report/diversity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>

#include "core/error.h"
#include "core/stop.h"
#include "report/picture_similarity.h"
#include "support/hashed_numbers.h"

namespace deda {
namespace {

using report::Diversity;
using report::DiversityRequest;
using report::DiversitySummary;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int side = 12;

io::Image noise(std::uint64_t number) {
  io::Image picture(side, side, 3);
  for (std::size_t i = 0; i < picture.pixels.size(); ++i)
    picture.pixels[i] = static_cast<std::uint8_t>(256 * test::hashed_number(number, i));
  return picture;
}

io::Image source_of(std::size_t item) {
  return noise(1000 + item);
}

// Version 2 of item 5 is its source; item 7 has no version after the first; versions 1 and 3 of item 9 are
// equal.
std::optional<io::Image> augmented_of(std::size_t item, std::int64_t version) {
  if (item == 7 && version > 0) return std::nullopt;
  if (item == 5 && version == 2) return source_of(item);
  if (item == 9 && version == 3) version = 1;
  return noise(2000 + 50 * item + static_cast<std::uint64_t>(version));
}

Diversity measure(const DiversityRequest& request, int threads = 1) {
  return report::measure_diversity(comm::Communicator::world(), {"made up", source_of, augmented_of}, request,
                                   threads);
}

std::vector<std::pair<std::size_t, std::int64_t>> pairs_in(const Diversity& diversity) {
  std::vector<std::pair<std::size_t, std::int64_t>> pairs;
  for (const auto& pair : diversity.pairs) pairs.emplace_back(pair.item, pair.version);
  return pairs;
}

TEST(Diversity, TakesEachSourceOnceBeforeOneTwice) {
  const auto few = measure({.items = {8, 3, 5, 2}, .pairs = 3, .versions = 0});
  EXPECT_THAT(pairs_in(few), ElementsAre(std::pair{8, 0}, std::pair{3, 0}, std::pair{5, 0}));
  EXPECT_TRUE(few.within_psnr.empty());
  const auto more = measure({.items = {8, 3, 5}, .pairs = 5, .versions = 0});
  EXPECT_THAT(pairs_in(more), ElementsAre(std::pair{8, 0}, std::pair{8, 1}, std::pair{3, 0}, std::pair{3, 1},
                                          std::pair{5, 0}));
  for (const auto& pair : more.pairs) {
    const auto picture = *augmented_of(pair.item, pair.version);
    EXPECT_EQ(pair.psnr_db, report::psnr_db(source_of(pair.item), picture));
    EXPECT_EQ(pair.ssim, report::structural_similarity(source_of(pair.item), picture));
  }
}

TEST(Diversity, ComparesVersionsOfOneSource) {
  const auto diversity = measure({.items = {4, 6}, .pairs = 2, .versions = 3});
  std::vector<double> expected;
  for (const std::size_t item : {4, 6}) {
    for (const auto& [one, other] : {std::pair{0, 1}, std::pair{0, 2}, std::pair{1, 2}})
      expected.push_back(*report::psnr_db(*augmented_of(item, one), *augmented_of(item, other)));
  }
  EXPECT_EQ(diversity.within_psnr, expected);
  EXPECT_EQ(report::summarize(diversity).pairs, 2);
}

TEST(Diversity, CountsWhatIsMissingOrEqual) {
  const auto diversity = measure({.items = {5, 7, 9}, .pairs = 9, .versions = 4});
  EXPECT_EQ(diversity.pairs.size(), 7u);
  EXPECT_EQ(diversity.missing, 2);                 // of item 7
  EXPECT_EQ(diversity.equal_versions, 1);          // of item 9
  EXPECT_EQ(diversity.within_psnr.size(), 6 + 5);  // items 5 and 9
  const auto summary = report::summarize(diversity);
  EXPECT_EQ(summary.pairs, 7);
  EXPECT_EQ(summary.identical, 1);
  double sum = 0, squares = 0, similarity = 0;
  for (const auto& pair : diversity.pairs) {
    if (pair.item == 5 && pair.version == 2) {
      EXPECT_FALSE(pair.psnr_db);
      continue;
    }
    sum += *pair.psnr_db;
    similarity += pair.ssim;
  }
  EXPECT_NEAR(*summary.psnr_mean, sum / 6, 1e-12);
  EXPECT_NEAR(*summary.ssim_mean, similarity / 6, 1e-12);
  for (const auto& pair : diversity.pairs) {
    if (pair.psnr_db) squares += (*pair.psnr_db - sum / 6) * (*pair.psnr_db - sum / 6);
  }
  EXPECT_NEAR(*summary.psnr_deviation, std::sqrt(squares / 5), 1e-12);
}

TEST(Diversity, IsTheSameForAnyNumberOfRanksAndThreads) {
  const DiversityRequest request{.items = {5, 0, 7, 9, 1, 2, 3}, .pairs = 17, .versions = 4};
  const auto alone =
      report::measure_diversity(comm::Communicator::self(), {"made up", source_of, augmented_of}, request, 1);
  for (const int threads : {1, 3}) {
    const auto shared = measure(request, threads);
    ASSERT_EQ(pairs_in(shared), pairs_in(alone));
    for (std::size_t i = 0; i < alone.pairs.size(); ++i) {
      EXPECT_EQ(shared.pairs[i].psnr_db, alone.pairs[i].psnr_db);
      EXPECT_EQ(shared.pairs[i].ssim, alone.pairs[i].ssim);
    }
    EXPECT_EQ(shared.within_psnr, alone.within_psnr);
    EXPECT_EQ(shared.missing, alone.missing);
    EXPECT_EQ(shared.equal_versions, alone.equal_versions);
    EXPECT_EQ(report::pairs_csv({shared}, std::vector<std::string>(10, "a")),
              report::pairs_csv({alone}, std::vector<std::string>(10, "a")));
  }
}

TEST(Diversity, NothingToCompareIsNoError) {
  for (const DiversityRequest& request : {DiversityRequest{}, DiversityRequest{.items = {7}, .pairs = 0}}) {
    const auto summary = report::summarize(measure(request));
    EXPECT_EQ(summary.pairs, 0);
    EXPECT_FALSE(summary.psnr_mean);
    EXPECT_THAT(report::summary_csv({summary}, "toy"), HasSubstr("\nmade up,toy,0,,,,,0\n"));
    EXPECT_THAT(report::diversity_svg({summary}, "toy"), HasSubstr("no measurements"));
  }
  EXPECT_FALSE(report::summarize(measure({.items = {1}, .pairs = 1, .versions = 0})).psnr_deviation);
}

TEST(Diversity, ErrorsOfOneRankReachAll) {
  const report::AugmentedPictures broken{"broken", source_of,
                                         [](std::size_t item, std::int64_t) -> std::optional<io::Image> {
                                           if (item == 3) throw DataError("cannot be read", "picture.png");
                                           return noise(item);
                                         }};
  EXPECT_THROW(report::measure_diversity(comm::Communicator::world().duplicate(), broken,
                                         {.items = {0, 1, 2, 3}, .pairs = 4}, 2),
               DataError);
  const report::AugmentedPictures other_size{
      "other", source_of, [](std::size_t, std::int64_t) { return std::optional{io::Image(20, 20, 3)}; }};
  EXPECT_THROW(report::measure_diversity(comm::Communicator::world().duplicate(), other_size,
                                         {.items = {0, 1, 2, 3}, .pairs = 4}, 1),
               DataError);
}

TEST(Diversity, StopsWhenAskedTo) {
  request_stop("a test");
  EXPECT_THROW(
      report::measure_diversity(comm::Communicator::world().duplicate(), {"made up", source_of, augmented_of},
                                {.items = {0, 1, 2, 3}, .pairs = 4}, 1),
      Stopped);
  clear_stop_request();
}

DiversitySummary deda_summary() {
  DiversitySummary summary;
  summary.method = "deda";
  summary.pairs = 2000;
  summary.identical = 3;
  summary.psnr_mean = 9.1234567;
  summary.psnr_deviation = 1.5;
  summary.ssim_mean = 0.25;
  summary.within_source_psnr = 8.75;
  return summary;
}

TEST(DiversityFiles, HoldWhatWasMeasured) {
  DiversitySummary none;
  none.method = "a, b";
  EXPECT_EQ(report::summary_csv({deda_summary(), none}, "cub"),
            "method,dataset,pairs,psnr_mean,psnr_deviation,ssim_mean,within_source_psnr,identical\n"
            "deda,cub,2000,9.123457,1.500000,0.250000,8.750000,3\n"
            "\"a, b\",cub,0,,,,,0\n");
  Diversity diversity;
  diversity.method = "deda";
  diversity.pairs = {{1, 0, 12.5, 0.5}, {0, 2, std::nullopt, 1}};
  EXPECT_EQ(report::pairs_csv({diversity}, {"a\"b.jpg", "c.jpg"}),
            "source,method,version,psnr,ssim\n"
            "c.jpg,deda,0,12.500000,0.500000\n"
            "\"a\"\"b.jpg\",deda,2,,1.000000\n");
  const auto text = report::to_text({deda_summary(), none});
  EXPECT_THAT(text, HasSubstr("9.12 ± 1.50 dB"));
  EXPECT_THAT(text, HasSubstr("8.75 dB"));
  EXPECT_THAT(text, HasSubstr("PSNR rewards every change"));
  const auto svg = report::diversity_svg({deda_summary(), none}, "cub");
  EXPECT_THAT(svg, testing::StartsWith("<svg xmlns"));
  EXPECT_THAT(svg, HasSubstr("PSNR (dB)"));
  EXPECT_THAT(svg, HasSubstr("9.1"));
}

}  // namespace
}  // namespace deda
