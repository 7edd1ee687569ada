// Main of every test: starts MPI (rank 0 of 1 without a launcher), lets rank 0 speak, agrees on the verdict:
// 1 when a test failed on any rank, 77 (which CTest calls skipped) when one was skipped, else 0.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "comm/communicator.h"

int main(int argc, char** argv) {
  deda::comm::MpiEnvironment mpi(argc, argv);
  testing::InitGoogleMock(&argc, argv);
  const auto world = deda::comm::Communicator::world();
  if (!world.is_root()) {
    // Other ranks print only failures, with their rank in front.
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    class FailurePrinter : public testing::EmptyTestEventListener {
     public:
      explicit FailurePrinter(int rank) : rank_{rank} {}
      void OnTestPartResult(const testing::TestPartResult& result) override {
        if (result.failed()) {
          std::fprintf(stderr, "[rank %d] %s:%d: %s\n", rank_, result.file_name() ? result.file_name() : "?",
                       result.line_number(), result.message());
        }
      }

     private:
      int rank_;
    };
    listeners.Append(new FailurePrinter(world.rank()));
  }
  const int verdict = RUN_ALL_TESTS();
  const auto failures = world.all_reduce(static_cast<std::int64_t>(verdict != 0), deda::comm::Reduction::sum);
  const auto skipped =
      world.all_reduce(static_cast<std::int64_t>(testing::UnitTest::GetInstance()->skipped_test_count()),
                       deda::comm::Reduction::maximum);
  const auto ran = testing::UnitTest::GetInstance()->test_to_run_count();
  if (ran == 0) {
    std::fprintf(stderr, "no test ran\n");
    return 1;
  }
  if (failures > 0) return 1;
  constexpr int skip_code = 77;
  return skipped > 0 ? skip_code : 0;
}
