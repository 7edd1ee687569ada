// Grouped bars: numbers, whiskers, somebody else's dashes, places without a value, odd numbers.
#include "report/bar_chart.h"

#include <gmock/gmock.h>

#include <limits>
#include <regex>

namespace deda::report {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

const BarChart two_methods = {"Figure 9",
                              "top-1, %",
                              {"Vanilla", "De-DA <x>"},
                              {{"CUB", {{72.5, 71.0, 74.0, 72.78, ""}, {80.0, {}, {}, {}, ""}}},
                               {"Car", {{90.0, {}, {}, {}, ""}, {{}, {}, {}, 92.2, "failed"}}}}};

TEST(BarChart, DrawsABarWhiskersAndDashesPerValue) {
  const std::string svg = render_svg(two_methods);
  EXPECT_EQ(count(svg, "opacity=\"0.85\""), 3u + 2u) << "bars and legend";
  EXPECT_EQ(count(svg, "<path"), 1u) << "whiskers where there is an interval";
  EXPECT_EQ(count(svg, "stroke-dasharray"), 2u);
  EXPECT_THAT(svg, AllOf(HasSubstr(">72.5<"), HasSubstr(">failed<"), HasSubstr("De-DA &lt;x&gt;"),
                         Not(HasSubstr("<x>"))));
}

TEST(BarChart, BarsBeginAtZeroSoThatLengthsCompare) {
  const std::string svg = render_svg(two_methods);
  std::vector<double> heights;
  const std::regex bar(
      "<rect x=\"[0-9.]+\" y=\"[0-9.]+\" width=\"[0-9.]+\" height=\"([0-9.]+)\" fill=\"#[0-9A-F]+\" opacity");
  for (std::sregex_iterator at(svg.begin(), svg.end(), bar), end; at != end; ++at)
    heights.push_back(std::stod((*at)[1]));
  ASSERT_GE(heights.size(), 3u);
  EXPECT_NEAR(heights[1] / heights[0], 90.0 / 72.5, 0.01);
}

TEST(BarChart, OddNumbersAndNothingDoNotBreakIt) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::string svg = render_svg({"odd", "y", {"a"}, {{"", {{nan, nan, nan, nan, "?"}}}}});
  EXPECT_THAT(svg, AllOf(Not(HasSubstr("nan")), HasSubstr("no measurements"), HasSubstr(">?<")));
  EXPECT_THAT(render_svg(BarChart{}),
              AllOf(HasSubstr("no measurements"), Not(HasSubstr("nan")), Not(HasSubstr("inf"))));
}

}  // namespace
}  // namespace deda::report
