// What the tests of the stage share: a folder of all ranks, a few toy pictures, and what a run left behind.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "core/files.h"
#include "data/toy.h"
#include "support/temporary_folder.h"

namespace deda::decoupling {

// A folder that all ranks share and rank 0 removes.
struct SharedFolder {
  comm::Communicator world = comm::Communicator::world();
  std::unique_ptr<test::TemporaryFolder> owned;
  std::filesystem::path path;
  SharedFolder() {
    if (world.is_root()) owned = std::make_unique<test::TemporaryFolder>();
    path = world.broadcast(world.is_root() ? owned->path().string() : "");
  }
  ~SharedFolder() { world.barrier("end of the test"); }
};

// Name and content of a store's files, without the events: those have times.
inline std::map<std::string, std::string> files_of(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("events-")) files[name] = read_text(entry.path());
  }
  return files;
}

// 30 pictures for training of 48 x 48 pixels. Collective.
inline void make_small_toy(const comm::Communicator& ranks, const std::filesystem::path& root) {
  data::ToyConfig toy;
  toy.train_per_class = 5;
  toy.test_per_class = 1;
  toy.size = 48;
  data::make_toy_dataset(ranks, toy, root);
}

}  // namespace deda::decoupling
