// Writes the example store into the folder of the first argument; what the restart tests kill and start
// again.
#include <cstdio>

#include "core/error.h"
#include "io/example_store.h"

int main(int argc, char** argv) {
  deda::comm::MpiEnvironment mpi(argc, argv);
  if (argc != 2) return static_cast<int>(deda::ExitCode::configuration);
  try {
    const deda::test::ExampleStore example{.items = 9, .items_per_segment = 4, .largest_side = 60};
    write_example(example, deda::comm::Communicator::world(), argv[1], deda::test::Deal::reversed);
    return 0;
  } catch (const deda::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    deda::comm::Communicator::abort(static_cast<int>(error.exit_code()));
  }
}
