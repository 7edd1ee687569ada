// Freed memory stays with the program, unless the user said otherwise.
#include "core/allocator.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace deda {
namespace {

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)

// Blocks that the C library got from the kernel for pieces of 1 MiB. In a process of its own: glibc raises
// its threshold by itself as soon as such a block is freed.
void report_mapped_blocks() {
  keep_freed_memory();
  const auto before = mallinfo2().hblks;
  constexpr std::size_t piece = std::size_t{1} << 20;
  const std::unique_ptr<void, decltype(&std::free)> one{std::malloc(piece), &std::free},
      two{std::malloc(piece), &std::free};
  _exit(static_cast<int>(mallinfo2().hblks - before));
}

TEST(Allocator, PiecesOfAMegabyteComeFromTheHeap) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        unsetenv("GLIBC_TUNABLES");
        report_mapped_blocks();
      },
      testing::ExitedWithCode(0), "");
}

TEST(Allocator, WhatTheUserChoseStays) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        setenv("GLIBC_TUNABLES", "glibc.malloc.check=0", 1);
        report_mapped_blocks();
      },
      testing::ExitedWithCode(2), "")
      << "both pieces are mapped, as glibc does it by default";
}

#else

TEST(Allocator, IsLeftAlone) {
  GTEST_SKIP() << "another C library, or a sanitizer's allocator";
}

#endif

}  // namespace
}  // namespace deda
