// The stage `deda generate` of a generative peer: edited whole pictures straight into the record store, kind
// `picture`. Items and edits are those of a generative::EditPlan; units have fixed members, as those of
// synthetic CDPs (generation/fill_store.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "core/provenance.h"
#include "data/dataset.h"
#include "diffusion/generation/generator.h"
#include "diffusion/peers/fractal_folder.h"
#include "diffusion/whole/picture_generator.h"
#include "generative/edit_plan.h"
#include "io/store/outcome_limits.h"
#include "models/clip/scorer.h"

namespace deda::diffusion {

// What an edit's CLIP score is measured with.
struct ClipJudge {
  std::shared_ptr<const models::ClipScorer> scorer;
  at::Tensor texts;  // above_chance: one row a class; with_object: with, without
};

// Everything that a unit's edits need, loaded once per rank.
struct PeerNetworks {
  std::shared_ptr<const PictureGenerator> generator;  // its texts: `prompts`, where they have one
  // Of every class, or of an instructed method every style, in the order of its settings.
  std::vector<ClassPrompt> prompts;
  std::vector<std::size_t> text_of_prompt;        // place in the generator's texts
  std::optional<ClipJudge> judge;                 // none: no filter
  std::shared_ptr<const FractalFolder> fractals;  // none: drawn
};

// The prompt of a class or a style with the noun in its place; blanks left at the end are taken away.
std::string peer_prompt(const generative::GenerationSettings& settings, const std::string& noun);

struct PictureRequest {
  const data::Dataset& dataset;
  const generative::EditPlan& plan;
  const std::vector<std::size_t>& pictures;  // in the dataset's list: the plan's, in its order
  Provenance made_of;
  std::filesystem::path folder;                    // of the store
  std::uint64_t seed = 1;                          // of fractals
  std::int64_t batch = 4, items_per_segment = 64;  // tasks that are denoised together; items in a segment
  int workers = 1;
  // Called on every rank when there is work.
  std::function<std::shared_ptr<const PeerNetworks>()> load;
  std::optional<std::filesystem::path> trace;
  std::int64_t trace_items = 0;
};

// Collective. True when the store was complete already. Throws as fill_store().
bool generate_pictures(const comm::Communicator& ranks, const PictureRequest& request);

}  // namespace deda::diffusion
