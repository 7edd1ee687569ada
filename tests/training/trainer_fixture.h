// Runs of the trainer on made-up pictures, each test in a folder of its own that all ranks share.
#pragma once

#include <gmock/gmock.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "core/files.h"
#include "core/log.h"
#include "training/device.h"
#include "training/made_up_samples.h"
#include "training/trainer.h"

namespace deda::training {

using comm::Communicator;
using test::Visit;
using testing::HasSubstr;
using testing::Not;

class TrainerTest : public testing::Test {
 protected:
  void SetUp() override {
    set_up_log(ranks_.rank(), ranks_.size(), LogLevel::error);
    clear_stop_request();
    apply_torch_threads(1);
    const auto name = ranks_.broadcast("deda-trainer-test-" + std::to_string(::getpid()));
    folder_ =
        fs::temp_directory_path() / name / testing::UnitTest::GetInstance()->current_test_info()->name();
    if (ranks_.is_root()) fs::remove_all(folder_);
    ranks_.barrier("set-up");
  }
  void TearDown() override {
    clear_stop_request();
    ranks_.barrier("tear-down");
    if (ranks_.is_root()) fs::remove_all(folder_.parent_path());
  }

  static TrainConfig config(std::int64_t epochs) {
    TrainConfig config;
    config.epochs = epochs;
    config.batch_size = batch_size;
    config.milestones = {2};
    config.device = DeviceChoice::cpu;
    return config;
  }
  TrainRequest request(const std::string& name, std::int64_t epochs) const {
    TrainRequest request;
    request.config = config(epochs);
    request.compute.threads.torch = 1;
    request.run = {.name = name,
                   .method = "plain",
                   .network = "resnet18",
                   .dataset = "made-up",
                   .seed = 1,
                   .epochs = epochs,
                   .ranks = 0,
                   .masks = {},
                   .groups = {}};
    request.run.made_of.key = "key of " + name;
    request.folder = folder_ / name;
    return request;
  }
  TrainingState run(const Communicator& ranks, const TrainRequest& request, test::Incidents incidents = {},
                    std::vector<Visit>* visits = nullptr) const {
    return train(ranks, request, test::made_up_training(ranks, pictures, batch_size, incidents, visits),
                 test::made_up_tests(ranks, tests));
  }
  // All ranks' visits, sorted, on every rank.
  std::vector<Visit> gathered(const std::vector<Visit>& visits) const {
    std::vector<Visit> all;
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(visits.data());
    for (const auto& part :
         ranks_.all_gather(std::span<const std::uint8_t>{bytes, visits.size() * sizeof(Visit)})) {
      const auto* first = reinterpret_cast<const Visit*>(part.data());
      all.insert(all.end(), first, first + part.size() / sizeof(Visit));
    }
    std::sort(all.begin(), all.end());
    return all;
  }
  static std::vector<Visit> expected_visits(std::int64_t epochs) {
    std::vector<Visit> visits;
    for (std::int64_t epoch = 1; epoch <= epochs; ++epoch) {
      const auto order =
          permutation(pictures, RandomStream(1, Purpose::shuffle, static_cast<std::uint32_t>(epoch), 0));
      for (std::int64_t i = 0; i < pictures; ++i)
        visits.push_back({epoch, i / batch_size, order[static_cast<std::size_t>(i)]});
    }
    std::sort(visits.begin(), visits.end());
    return visits;
  }
  std::vector<std::uint8_t> bytes_of(const std::string& run, const std::string& file) const {
    return read_bytes(folder_ / run / file);
  }

  // 24 = 3 batches of 8: shares of two pictures at least for up to 4 ranks.
  static constexpr std::int64_t pictures = 24, batch_size = 8, tests = 13;
  Communicator ranks_ = Communicator::world();
  fs::path folder_;
};

}  // namespace deda::training
