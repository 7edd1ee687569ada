// The stage with a network source on 1 to 4 ranks: the bytes of one rank alone, whole or stopped and
// continued, in units of any order; what was seen is kept beside the segments; excluded pictures stay out.
// The network is a tiny made-up one, so that nothing but the program is needed.
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/files.h"
#include "core/stop.h"
#include "decoupling/decouple.h"
#include "decoupling/exclusions.h"
#include "decoupling/looks.h"
#include "decoupling/networks/sources.h"
#include "decoupling/stage_fixture.h"
#include "models/weights/tensor_file.h"

namespace deda::decoupling {
namespace {

// Says "beetle" where a pixel is darker than the middle: a 3x3 mean, two classes, a 48x48 input.
void write_network(const std::filesystem::path& folder) {
  make_folder(folder);
  write_atomically(folder / "graph.json",
                   R"({"input": {"tensor": 0, "shape_nhwc": [1, 48, 48, 3]}, "output": 2, "ops": [
    {"op": "CONV_2D", "name": "a", "inputs": [0], "out": 1, "sh": 1, "sw": 1, "pad": "SAME", "act": "none", "dh": 1, "dw": 1},
    {"op": "ARG_MAX", "name": null, "inputs": [1], "out": 2}]})");
  write_atomically(folder / "labels.txt", "background\nbeetle\n");
  const auto kernel = at::stack({at::ones({3, 3, 3}), -at::ones({3, 3, 3})}) / 27;
  models::write_tensors(folder / "model.safetensors",
                        {{"a.weight", kernel}, {"a.bias", at::tensor({0.1f, 0.0f})}});
}

struct Scene {
  SharedFolder shared;
  data::Dataset dataset;
  DecoupleConfig config;
  Scene() {
    make_small_toy(shared.world, shared.path / "toy");
    shared.world.agree("the network", [&] {
      if (shared.world.is_root()) write_network(shared.path / "network");
    });
    data::DatasetConfig dataset_config;
    dataset_config.root = shared.path / "toy";
    dataset = data::load_dataset(dataset_config);
    config.sources = {"semantic", "annotated"};
    config.semantic_classes = {"beetle"};
    config.deeplab = shared.path / "network";
    config.device = DeviceChoice::cpu;
    config.items_per_segment = 7;
    config.batch = 3;
    register_network_sources(shared.world, config);
  }
};

TEST(NetworkStage, GivesTheBytesOfOneRankWithTwoThreadsAndThree) {
  Scene scene;
  const auto& path = scene.shared.path;
  decouple(scene.shared.world, {scene.dataset, scene.config, path / "together", 3, path / "trace", 2});
  if (!scene.shared.world.is_root()) return;
  decouple(comm::Communicator::self(), {scene.dataset, scene.config, path / "alone", 1, std::nullopt, 0});
  const auto together = files_of(path / "together"), alone = files_of(path / "alone");
  ASSERT_EQ(together.size(), alone.size());
  EXPECT_EQ(together.count("looks-000004.jsonl"), 1u);
  for (const auto& [name, bytes] : alone) EXPECT_TRUE(together.at(name) == bytes) << name << " differs";
  const io::StoreReader store(path / "together", io::StoreReader::Check::hashes);
  EXPECT_EQ(store.description().routes, scene.config.sources);
  const auto looks = read_looks(path / "together");
  ASSERT_EQ(looks.size(), 30u);
  std::int64_t semantic = 0;
  for (std::size_t i = 0; i < looks.size(); ++i) {
    EXPECT_EQ(looks[i].item, static_cast<std::int64_t>(i));
    EXPECT_FALSE(looks[i].attempts.empty());
    semantic += looks[i].route == "semantic";
  }
  EXPECT_GT(semantic, 0) << "the network made some of the masks";
  for (std::size_t i = 0; i < store.size(); ++i) {
    const auto& info = store.at(i).info;
    EXPECT_EQ(store.description().routes.at(info.route),
              looks[static_cast<std::size_t>(info.source_index)].route);
  }
  const auto trace = models::read_tensors(path / "trace" / "picture-000001.safetensors");
  EXPECT_EQ(trace.at("deeplab.image_u8_nhwc").sizes(), (std::vector<std::int64_t>{48, 48, 3}));
}

TEST(NetworkStage, StoppedAndContinuedGivesTheSameBytes) {
  Scene scene;
  const auto& path = scene.shared.path;
  if (scene.shared.world.rank() == scene.shared.world.size() - 1) request_stop("asked by the test");
  EXPECT_THROW(
      decouple(scene.shared.world, {scene.dataset, scene.config, path / "stopped", 2, std::nullopt, 0}),
      Stopped);
  clear_stop_request();
  decouple(scene.shared.world, {scene.dataset, scene.config, path / "stopped", 2, std::nullopt, 0});
  decouple(scene.shared.world, {scene.dataset, scene.config, path / "quiet", 1, std::nullopt, 0});
  if (!scene.shared.world.is_root()) return;
  EXPECT_TRUE(files_of(path / "stopped") == files_of(path / "quiet"));
}

TEST(NetworkStage, ExcludedPicturesStayOut) {
  Scene scene;
  const auto& path = scene.shared.path;
  const std::string first = scene.dataset.items[scene.dataset.indices(data::Split::train)[0]].path;
  scene.config.exclude = path / "exclude.txt";
  scene.shared.world.agree("the list", [&] {
    if (scene.shared.world.is_root())
      write_atomically(scene.config.exclude, "# doubtful\n  " + first + "  # small\n\n#another.png\n");
  });
  decouple(scene.shared.world, {scene.dataset, scene.config, path / "store", 1, std::nullopt, 0});
  if (!scene.shared.world.is_root()) return;
  const io::StoreReader store(path / "store");
  EXPECT_EQ(store.remarks().at(0).first, io::Outcome::rejected);
  EXPECT_EQ(store.remarks().at(0).second, "excluded by hand");
  write_atomically(scene.config.exclude, "no/such.png\nnor/this.png\n");
  try {
    read_exclusions(scene.config.exclude, scene.dataset);
    FAIL() << "names that are no pictures";
  } catch (const DataError& error) {
    EXPECT_EQ(error.problems().size(), 2u);
  }
}

TEST(NetworkStage, ExclusionsTakeTheOtherPicturesOverFromTheStoreWithoutThem) {
  Scene scene;
  const auto& path = scene.shared.path;
  const auto run = [&](const std::string& folder, const std::string& without) {
    decouple(scene.shared.world, {scene.dataset, scene.config, path / folder, 1, std::nullopt, 0,
                                  without.empty() ? std::filesystem::path{} : path / without});
  };
  run("all", "");
  const auto items = scene.dataset.indices(data::Split::train);
  scene.config.exclude = path / "exclude.txt";
  scene.shared.world.agree("the list", [&] {
    if (scene.shared.world.is_root())
      write_atomically(scene.config.exclude,
                       scene.dataset.items[items[1]].path + "\n" + scene.dataset.items[items[7]].path + "\n");
  });
  run("anew", "");
  run("taken over", "all");
  run("nothing there", "no such store");
  if (scene.shared.world.is_root()) {
    EXPECT_TRUE(files_of(path / "taken over") == files_of(path / "anew"));
    EXPECT_TRUE(files_of(path / "nothing there") == files_of(path / "anew"));
    // A mark in what was seen shows that nothing was made anew.
    const auto looks = path / "all" / name_of_looks(0);
    std::string text = read_text(looks);
    text.replace(text.find("\"attempts\""), 0, "\"mark\":1,");
    write_atomically(looks, text);
  }
  scene.shared.world.barrier("marked");
  run("marked", "all");
  if (!scene.shared.world.is_root()) return;
  EXPECT_NE(read_text(path / "marked" / name_of_looks(0)).find("\"mark\""), std::string::npos);
}

}  // namespace
}  // namespace deda::decoupling
