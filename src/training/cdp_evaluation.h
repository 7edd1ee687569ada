// What a classifier makes of a store's CDPs, alone on grey: whether synthetic ones still look like their
// class (paper section 3.2: the edit must not change it).
#pragma once

#include <cstdint>
#include <vector>

#include "comm/communicator.h"
#include "io/pictures/image.h"
#include "io/store/record_store.h"
#include "models/classifiers/classifier.h"
#include "training/config.h"

namespace deda::training {

struct CdpScore {
  std::int32_t version = 0;  // 0 real, 1..K synthetic
  float strength = 0;
  std::int64_t correct = 0, total = 0;
};

// [side, side, 3]: the CDP on mid grey, its longer side on 7/10 of the picture (the middle of the sizes that
// combinations draw).
io::Image cdp_on_grey(const io::RecordView& record, int side);

// Collective. One score per version, in order. The network is put into eval mode and back.
std::vector<CdpScore> evaluate_cdps(models::Classifier& network, const io::StoreReader& store, int side,
                                    const comm::Communicator& ranks, at::Device device,
                                    const TrainConfig& config);

}  // namespace deda::training
