// The page and its charts: text is escaped, pictures are inside, odd numbers do not break a chart.
#include "report/page.h"

#include <gmock/gmock.h>

#include <array>
#include <limits>
#include <regex>

#include "report/chart.h"
#include "report/letters.h"

namespace deda::report {
namespace {

using testing::AllOf;
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

TEST(Page, KeepsShortNamesOnOneLineAndBreaksLongOnes) {
  Page page("names");
  page.table({"class", "n"},
             {{{"striped beetle"}, {"66.5 ± 5.8", true, true}}, {{std::string(60, 'w') + " w"}}});
  EXPECT_THAT(page.html(), AllOf(HasSubstr("<td class=\"k\">striped beetle</td>"),
                                 HasSubstr("<td class=\"n s\">66.5"), HasSubstr("<td>www")));
}

TEST(Page, NestedTablesSpanColumnsAndRows) {
  Page page("nested");
  page.nested_table(
      {{{"", 1}, {"resnet<18>", 2}}, {{"method", 1}, {"CUB", 1, true}, {"Car", 1, true}}},
      {{{"De-DA", false, true, false, 2}, {"80", true}, {"92", true}}, {{"3", true}, {"3", true}}});
  EXPECT_THAT(page.html(), AllOf(HasSubstr("<th colspan=\"2\" class=\"span\">resnet&lt;18&gt;</th>"),
                                 HasSubstr("<tr class=\"group\"><td rowspan=\"2\""),
                                 HasSubstr("<th class=\"n\">CUB</th>")));
}

TEST(Page, ListsAreEscapedAndNoneForNothing) {
  Page page("lists");
  page.list({});
  EXPECT_THAT(page.html(), Not(HasSubstr("<ul>")));
  page.list({"a < b"});
  EXPECT_THAT(page.html(), HasSubstr("<li>a &lt; b</li>"));
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
  EXPECT_THAT(svg, HasSubstr("height=\"371\" viewBox=\"0 0 520 371\""))
      << "three rows of 17, the plot keeps its size";
  EXPECT_EQ(count(svg, ">De-DA p_aug"), 9u);
  EXPECT_THAT(svg, Not(HasSubstr("x=\"-"))) << "nothing left of the picture";
  EXPECT_EQ(count(svg, "stroke-dasharray"), 4u)
      << "line and legend of the two names beyond the seven colours";

  chart.series = {{std::string(200, 'w'), {{1, 1}, {2, 2}}}};
  EXPECT_THAT(render_svg(chart), AllOf(HasSubstr(std::string(55, 'w')), Not(HasSubstr("lengthAdjust"))))
      << "in several lines, not squeezed";
}

// What is written where: (x, baseline, letters) of every text without a transformation.
struct WrittenText {
  double x = 0, y = 0, size = 12;
  std::string text, anchor;
};
std::vector<WrittenText> texts_of(const std::string& svg) {
  std::vector<WrittenText> texts;
  const std::regex pattern(
      "<text x=\"([0-9.-]+)\" y=\"([0-9.-]+)\"(?: text-anchor=\"(\\w+)\")?(?: "
      "font-size=\"([0-9]+)\")?[^>]*>([^<]*)</text>");
  for (auto at = std::sregex_iterator(svg.begin(), svg.end(), pattern); at != std::sregex_iterator{}; ++at) {
    const auto& match = *at;
    texts.push_back({std::stod(match[1]), std::stod(match[2]), match[4].matched ? std::stod(match[4]) : 12,
                     match[5], match[3]});
  }
  return texts;
}

// With a font whose letters are 0.58 of its size wide, as DejaVu Sans's are in the mean.
TEST(Chart, NothingThatIsWrittenOverlaps) {
  for (const int names : {1, 2, 3, 5, 9}) {
    Chart chart{"Accuracy: a group of pictures with quite a long name, swapped background", "epoch", "y", {}};
    for (int i = 0; i < names; ++i)
      chart.series.push_back(
          {"De-DA, real CDPs only" + std::string(static_cast<std::size_t>(17 * i), 'p'), {{1, 1}, {20, 95}}});
    const auto texts = texts_of(render_svg(chart));
    ASSERT_GT(texts.size(), static_cast<std::size_t>(names));
    const auto box = [](const WrittenText& t) {
      const double width = 0.58 * t.size * static_cast<double>(t.text.size());
      const double left = t.anchor == "middle" ? t.x - width / 2 : t.anchor == "end" ? t.x - width : t.x;
      return std::array{left, t.y - 0.75 * t.size, left + width, t.y + 0.2 * t.size};
    };
    for (std::size_t i = 0; i < texts.size(); ++i) {
      EXPECT_LE(box(texts[i])[2], 520) << texts[i].text;
      EXPECT_GE(box(texts[i])[0], 0) << texts[i].text;
      for (std::size_t j = i + 1; j < texts.size(); ++j) {
        const auto a = box(texts[i]), b = box(texts[j]);
        EXPECT_FALSE(a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3])
            << names << " names: " << texts[i].text << " | " << texts[j].text;
      }
    }
  }
}

TEST(Chart, ShadesTheBandOfALineInItsColourAndMakesRoomForIt) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::string svg =
      render_svg({"t",
                  "x",
                  "y",
                  {{"a", {{1, 5}, {2, 5}, {4, 5}}, {{1, 0, 10}, {2, 0, 10}, {3, nan, nan}, {4, 0, 100}}}}});
  EXPECT_THAT(svg, HasSubstr("fill=\"#0072B2\" stroke=\"none\""));
  EXPECT_THAT(svg, AllOf(Not(HasSubstr("nan")), HasSubstr(">100</text>"))) << "the axis reaches to its end";
  const auto path = svg.substr(svg.find("<path"), svg.find("/>", svg.find("<path")) - svg.find("<path"));
  EXPECT_EQ(std::count(path.begin(), path.end(), 'Z'), 2) << "two stretches";
}

TEST(Chart, CountsEpochsInWholeNumbersAndShowsASinglePoint) {
  Chart chart{"t", "epoch", "y", {{"a", {{1, 1}, {2, 2}}}}};
  EXPECT_THAT(render_svg(chart), HasSubstr(">1.2</text>"));
  chart.whole_x = true;
  chart.series[0].points = {{1, 10}, {2, 20}};
  EXPECT_THAT(render_svg(chart), Not(HasSubstr(">1.2</text>")));
  chart.series[0].points = {{1, 10}};
  EXPECT_THAT(render_svg(chart), AllOf(HasSubstr(" h0"), HasSubstr("stroke-linecap=\"round\"")));
}

TEST(Chart, TellsThoseWhoSeeNoPictureWhatItShows) {
  EXPECT_THAT(render_svg({"Loss", "epoch", "cross entropy", {{"a \"b\"", {{1, 1}}}}}),
              HasSubstr("aria-label=\"Loss: cross entropy over epoch. Lines: a &quot;b&quot;.\""));
}

TEST(Letters, AreCutAndWrappedWithoutBreakingThem) {
  EXPECT_EQ(shortened("001.Black_footed_Albatross", 12), "001.B..tross");
  EXPECT_EQ(shortened("short", 12), "short");
  EXPECT_EQ(shortened("äöüäöüäöü", 6), "äö..öü");
  EXPECT_THAT(wrapped("one two three", 7), testing::ElementsAre("one two", "three"));
  EXPECT_THAT(wrapped("äöüäö x", 3), testing::ElementsAre("äöü", "äö", "x"));
  EXPECT_THAT(wrapped("", 3), testing::ElementsAre(""));
  EXPECT_EQ(few_of({"a", "b", "c"}, 2), "a, b, c") << "one more costs less than to say so";
  EXPECT_EQ(few_of({"a", "b", "c", "d"}, 2), "a, b and 2 more");
}

TEST(Chart, BreaksTheLineAtNonFinitePointsAndSaysWhenThereIsNothing) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const std::string svg = render_svg({"t", "x", "y", {{"a", {{1, 1}, {2, nan}, {3, 2}, {4, inf}}}}});
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
  EXPECT_THAT(render_svg({"t", "x", "y", {}}), HasSubstr("no measurements"));
  EXPECT_THAT(render_svg({"t", "x", "y", {{"flat", {{1, 5}, {2, 5}}}}}), HasSubstr("<path"));
}

TEST(Chart, AReferenceSharesColourAndLegendWithItsName) {
  const std::string svg =
      render_svg({"t", "x", "y", {{"CUB", {{0, 1}, {1, 2}}}, {"CUB", {{0, 2}, {1, 3}}, {}, true}}});
  EXPECT_THAT(svg, HasSubstr("stroke=\"#0072B2\" stroke-dasharray=\"1.5 4\""));
  EXPECT_EQ(svg.find(">CUB<"), svg.rfind(">CUB<"));
}

TEST(Chart, NamedPlacesStandUnderTheirPointsAndMarksOnThem) {
  Chart chart{"t", "x", "y", {{"a", {{0, 1}, {2, std::numeric_limits<double>::quiet_NaN()}}}}};
  chart.x_names = {"none", "mixup", "cutmix"};
  chart.marks = true;
  const std::string svg = render_svg(chart);
  EXPECT_THAT(svg,
              AllOf(HasSubstr(">none<"), HasSubstr(">mixup<"), HasSubstr(">cutmix<"), HasSubstr("<circle")));
  EXPECT_EQ(svg.find("<circle"), svg.rfind("<circle")) << "no mark where there is no number";
}

}  // namespace
}  // namespace deda::report
