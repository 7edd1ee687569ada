// What the process's settings are while attention has to repeat its bytes, and afterwards.
#include "device/kernels.h"

#include <ATen/Context.h>
#include <gtest/gtest.h>

#include <optional>

namespace deda::device {
namespace {

bool fails_for_want_of_a_kernel() {
  const auto& context = at::globalContext();
  return context.deterministicAlgorithms() && !context.deterministicAlgorithmsWarnOnly();
}

TEST(ReproducibleAttention, HoldsUntilTheLastScopeEnds) {
  use_reproducible_kernels();
  EXPECT_FALSE(fails_for_want_of_a_kernel());
  {
    std::optional<ReproducibleAttention> first{std::in_place};
    const ReproducibleAttention second;
    EXPECT_TRUE(fails_for_want_of_a_kernel());
    first.reset();
    EXPECT_TRUE(fails_for_want_of_a_kernel());
  }
  EXPECT_TRUE(at::globalContext().deterministicAlgorithms());
  EXPECT_FALSE(fails_for_want_of_a_kernel());
}

TEST(ReproducibleAttention, ChangesNothingWhereTheFastestKernelsAreWanted) {
  use_fastest_kernels();
  const ReproducibleAttention scope;
  EXPECT_FALSE(at::globalContext().deterministicAlgorithms());
}

}  // namespace
}  // namespace deda::device
