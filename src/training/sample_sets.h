// Where the trainer gets its pictures from: two small doors that jobs/train.cpp opens on augment/pipeline.h
// (samples.h), and tests on made-up batches. No Torch.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "augment/batch_stream.h"
#include "mixing/settings.h"

namespace deda::training {

struct TrainingSamples {
  std::int64_t count = 0;  // per epoch, over all ranks; a last partial batch is kept
  std::int32_t classes = 0;
  std::int32_t height = 0, width = 0;
  // epoch from 1; first_step: batches of that epoch to leave out (continuing in the middle of one).
  std::function<std::unique_ptr<augment::BatchStream>(std::int64_t epoch, std::int64_t first_step)> open;
  // For traces. The settings that samples are drawn with, as JSON; what a sample was before augment.policy
  // changed it, pixels [height, width, 3] (empty function: there is no policy).
  std::string settings = "{}";
  std::function<void(const augment::Draws& sample, std::uint8_t* pixels)> before_policy;
  // Of an image-mixing method, which the stream's owner keeps: its settings, and a sample before it is mixed,
  // pixels [height, width, 3] and label [classes]. Else null and empty.
  const mixing::Settings* mixing = nullptr;
  std::function<void(std::int64_t sample, std::int64_t epoch, std::uint8_t* pixels, float* label)> compose;
};

struct TestSamples {
  std::int64_t count = 0;              // over all ranks; 0: no test split
  std::vector<std::string> groups;     // names of groups besides "all"; may be empty
  std::vector<std::int32_t> group_of;  // [count] group of test picture i (Draws::index), -1 none
  std::function<std::unique_ptr<augment::BatchStream>()>
      open;  // this rank's share of all test pictures, each exactly once
};

}  // namespace deda::training
