// The real CDPs that identifiers are learnt from and synthetic ones are made of: the training pictures'
// records of a decouple store, framed as the diffusion model sees them. Pixels stay in the mapped store. No
// Torch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "diffusion/transparent/framing.h"
#include "io/store/record_store.h"

namespace deda::diffusion {

class CdpSource {
 public:
  // CDPs of the dataset's training pictures, in the store's order (matched by source path, so that a store of
  // another split or subset serves as well). DataError when the store's classes are not the dataset's.
  CdpSource(const data::Dataset& dataset, io::StoreReader store, std::int64_t resolution,
            double margin_share);

  std::size_t size() const { return records_.size(); }
  std::int32_t class_of(std::size_t cdp) const;
  const std::string& source(std::size_t cdp) const;  // path of its picture in the dataset
  io::RecordView record(std::size_t cdp) const { return store_.at(records_[cdp]); }
  // CDPs of every class, [classes], in order; a class may have none.
  const std::vector<std::vector<std::size_t>>& by_class() const { return by_class_; }
  // [resolution, resolution, 4]. DataError when nothing of it is opaque. Safe from many threads.
  FramedCdp framed(std::size_t cdp) const;

 private:
  io::StoreReader store_;
  std::int64_t resolution_;
  double margin_share_;
  std::vector<std::size_t> records_;
  std::vector<std::vector<std::size_t>> by_class_;
};

}  // namespace deda::diffusion
