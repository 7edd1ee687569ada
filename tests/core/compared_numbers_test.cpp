// Sentences that compare two numbers are true as they are printed.
#include "core/compared_numbers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

namespace deda {
namespace {

TEST(ComparedNumbers, HaveTheUsualPlacesWhereTheseTellThemApart) {
  EXPECT_EQ(compared_numbers(0.312, 0.5, 2), "0.31, less than 0.50");
  EXPECT_EQ(compared_numbers(3.72, 2, 2), "3.72, more than 2.00");
  EXPECT_EQ(compared_numbers(97.25, 95, 1, " %"), "97.2 %, more than 95.0 %");
}

TEST(ComparedNumbers, GetMorePlacesUntilTheyDiffer) {
  EXPECT_EQ(compared_numbers(0.498, 0.5, 2), "0.498, less than 0.500");
  EXPECT_EQ(compared_numbers(95.0004, 95, 1, " %"), "95.0004 %, more than 95.0000 %");
  for (const double limit : {0.01, 0.3, 0.5, 0.95, 1.0, 2.0, 95.0}) {
    for (const double toward : {0.0, 1000.0}) {
      const double value = std::nextafter(limit, toward);
      const std::string text = compared_numbers(value, limit, 2);
      const auto comma = text.find(',');
      const auto than = text.find("than ") + 5;
      EXPECT_EQ(value < limit, text.substr(0, comma) < text.substr(than)) << text;
      EXPECT_NE(text.substr(0, comma), text.substr(than)) << text;
    }
  }
}

}  // namespace
}  // namespace deda
