// What a classifier makes of the two parts of a picture, each alone: a good mask takes the class with the
// object. Needs no annotation, so that masks of any source can be looked through, the doubtful first.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "augment/geometry.h"
#include "comm/communicator.h"
#include "io/store/record_store.h"
#include "models/classifiers/classifier.h"
#include "training/config.h"

namespace deda::training {

struct MaskScore {
  std::int64_t item = 0;  // of the decoupling store
  double cdp_keeps = 0;   // 0..1: probability of the CDP's class for the CDP alone on grey (cdp_on_grey)
  double cip_keeps = 0;   // 0..1: the same for the CIP alone, its middle as a test picture has it
};

// Collective. A score for every item with a CIP and a real CDP (of several the first), by item, on every
// rank. The network is put into eval mode and back. CIPs are resized and cropped as test pictures are.
std::vector<MaskScore> score_masks(models::Classifier& network, const io::StoreReader& store,
                                   const augment::Geometry& geometry, const comm::Communicator& ranks,
                                   at::Device device, const TrainConfig& config);

// mask_scores.csv as src/report/README.md describes it.
std::string to_csv(const std::vector<MaskScore>& scores, const std::vector<std::string>& sources);

}  // namespace deda::training
