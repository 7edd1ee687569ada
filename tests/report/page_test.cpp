// The page and its charts: text is escaped, pictures are inside, odd numbers do not break a chart.
#include "report/page.h"

#include <gmock/gmock.h>

#include <limits>

#include "report/chart.h"

namespace deda::report {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Page, EscapesWhatComesFromFileNames) {
  Page page("a <b> & \"c\"");
  page.paragraph("<script>alert(1)</script>");
  page.table({"x<y"}, {{{"</td>"}}});
  const std::string html = page.html();
  EXPECT_THAT(html, Not(HasSubstr("<script>")));
  EXPECT_THAT(html, HasSubstr("a &lt;b&gt; &amp; &quot;c&quot;"));
  EXPECT_THAT(html, HasSubstr("<td>&lt;/td&gt;</td>"));
  EXPECT_THAT(html, HasSubstr("x&lt;y"));
}

TEST(Page, CarriesPicturesInsideSoThatItOpensFromDisk) {
  Page page("pictures");
  page.picture(io::Image(3, 5, 3), "a caption", Page::Codec::png);
  EXPECT_THAT(page.html(), HasSubstr("src=\"data:image/png;base64,iVBORw0KGgo"));
  EXPECT_THAT(page.html(), HasSubstr("width=\"5\" height=\"3\""));
  EXPECT_THAT(page.html(), Not(HasSubstr("http://www.w3.org/1999")));
}

TEST(Chart, DrawsOnePathPerSeriesAndOneLegendEntryPerName) {
  const std::string svg = render_svg(
      {"curves",
       "epoch",
       "accuracy",
       {{"plain", {{1, 10}, {2, 20}}}, {"plain", {{1, 12}, {2, 18}}}, {"De-DA", {{1, 11}, {2, 40}}}}});
  std::size_t paths = 0, plain = 0;
  for (std::size_t at = svg.find("<path"); at != std::string::npos; at = svg.find("<path", at + 1)) ++paths;
  for (std::size_t at = svg.find(">plain<"); at != std::string::npos; at = svg.find(">plain<", at + 1))
    ++plain;
  EXPECT_EQ(paths, 3u);
  EXPECT_EQ(plain, 1u);
}

TEST(Chart, GivesLongLegendsRowsOfTheirOwnAndAStrokeOfItsOwnToEveryName) {
  const auto count = [](const std::string& text, const std::string& part) {
    std::size_t found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
  };
  Chart chart{"t", "x", "y", {}};
  for (int i = 0; i < 9; ++i)
    chart.series.push_back({"De-DA p_aug=0." + std::to_string(i), {{1, 1}, {2, 2}}});
  const std::string svg = render_svg(chart, 520, 320);
  EXPECT_THAT(svg, HasSubstr("height=\"368\" viewBox=\"0 0 520 368\""))
      << "three rows of 16, the plot keeps its size";
  EXPECT_EQ(count(svg, "y=\"36\">De-DA"), 3u);
  EXPECT_EQ(count(svg, "y=\"68\">De-DA"), 3u);
  EXPECT_THAT(svg, Not(HasSubstr("x=\"-"))) << "nothing left of the picture";
  EXPECT_EQ(count(svg, "stroke-dasharray"), 4u)
      << "line and legend of the two names beyond the seven colours";

  chart.series = {{std::string(200, 'w'), {{1, 1}, {2, 2}}}};
  EXPECT_THAT(render_svg(chart), HasSubstr("lengthAdjust"));
  chart.series = {{"plain", {{1, 1}}}, {"De-DA", {{1, 1}}}};
  EXPECT_THAT(render_svg(chart, 520, 320), HasSubstr("height=\"320\"")) << "short ones beside the title";
}

TEST(Chart, BreaksTheLineAtNonFinitePointsAndSaysWhenThereIsNothing) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const std::string svg = render_svg({"t", "x", "y", {{"a", {{1, 1}, {2, nan}, {3, 2}, {4, inf}}}}});
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
  EXPECT_THAT(render_svg({"t", "x", "y", {}}), HasSubstr("no measurements"));
  EXPECT_THAT(render_svg({"t", "x", "y", {{"flat", {{1, 5}, {2, 5}}}}}), HasSubstr("<path"));
}

}  // namespace
}  // namespace deda::report
