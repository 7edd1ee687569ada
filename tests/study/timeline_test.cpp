// The timeline: lanes, outcomes, odd times, and bytes that do not depend on the order of events.
#include "study/timeline.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <limits>

namespace deda::study {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::vector<TimelineEntry> three = {{"De-DA <1>", "train", "gpu 10", 100, 7200, "done"},
                                          {"CUB", "decouple", "gpu 2", 0, 100, "done"},
                                          {"CUB", "invert", "gpu 2", 110, 5000, "failed"}};

TEST(Timeline, HasALanePerSlotInTheOrderOfNumbers) {
  const std::string svg = timeline_svg(three);
  EXPECT_LT(svg.find(">gpu 2<"), svg.find(">gpu 10<"));
  EXPECT_THAT(svg, AllOf(HasSubstr("minutes since the study began"), HasSubstr(">decouple<"),
                         HasSubstr(">train<"), HasSubstr("De-DA &lt;1&gt;"), Not(HasSubstr("<1>"))));
}

TEST(Timeline, MarksWhatDidNotEndWell) {
  const std::string svg = timeline_svg(three);
  const std::size_t marked = svg.find("stroke=\"#c00\"");
  ASSERT_NE(marked, std::string::npos);
  EXPECT_EQ(svg.find("stroke=\"#c00\"", marked + 1), std::string::npos);
  EXPECT_THAT(svg.substr(marked, 200), HasSubstr("invert: CUB, failed"));
}

TEST(Timeline, DoesNotDependOnTheOrderOfEvents) {
  auto reversed = three;
  std::reverse(reversed.begin(), reversed.end());
  EXPECT_EQ(timeline_svg(three), timeline_svg(reversed));
}

TEST(Timeline, LeavesOutTimesThatCannotBeAndSaysSo) {
  auto odd = three;
  odd.push_back({"x", "train", "gpu 2", 50, 20, "done"});
  odd.push_back({"x", "train", "gpu 2", std::numeric_limits<double>::quiet_NaN(), 20, "done"});
  const std::string svg = timeline_svg(odd);
  EXPECT_THAT(svg, AllOf(HasSubstr("2 without times left out"), Not(HasSubstr("nan"))));
}

TEST(Timeline, OfNothingSaysSo) {
  EXPECT_THAT(timeline_svg({}), HasSubstr("nothing has run"));
}

}  // namespace
}  // namespace deda::study
