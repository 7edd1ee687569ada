#include "diffusion/cdp_source.h"

#include <fmt/format.h>

#include <unordered_set>

#include "core/error.h"

namespace deda::diffusion {

CdpSource::CdpSource(const data::Dataset& dataset, io::StoreReader store, std::int64_t resolution,
                     double margin_share)
    : store_{std::move(store)},
      resolution_{resolution},
      margin_share_{margin_share},
      by_class_(dataset.class_names.size()) {
  const io::StoreDescription& description = store_.description();
  if (description.class_names != dataset.class_names) {
    throw DataError(fmt::format("was made for {} classes of {}, not for the classes of this dataset",
                                description.class_names.size(), description.dataset),
                    store_.folder().string(), "Run `deda decouple` with this configuration.");
  }
  std::unordered_set<std::string> training;
  for (const std::size_t item : dataset.indices(data::Split::train))
    training.insert(dataset.items[item].path);
  for (std::size_t i = 0; i < store_.size(); ++i) {
    const io::RecordInfo info = store_.at(i).info;
    const bool real =
        info.kind == io::RecordKind::cdp && info.version == 0 && info.outcome == io::Outcome::done;
    if (!real || !training.contains(description.sources.at(static_cast<std::size_t>(info.source_index))))
      continue;
    by_class_.at(static_cast<std::size_t>(info.class_id)).push_back(records_.size());
    records_.push_back(i);
  }
}

std::int32_t CdpSource::class_of(std::size_t cdp) const {
  return record(cdp).info.class_id;
}

const std::string& CdpSource::source(std::size_t cdp) const {
  return store_.description().sources.at(static_cast<std::size_t>(record(cdp).info.source_index));
}

FramedCdp CdpSource::framed(std::size_t cdp) const {
  const io::RecordView view = record(cdp);
  io::Image rgba(view.info.height, view.info.width, view.info.channels);
  rgba.pixels.assign(view.pixels.begin(), view.pixels.end());
  return frame_cdp(rgba, view.info.crop, resolution_, margin_share_);
}

}  // namespace deda::diffusion
