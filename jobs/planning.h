// The plan of stages as jobs use it: made on rank 0, which alone reads the contents of files, and known to
// all.
#pragma once

#include "core/provenance.h"
#include "data/dataset.h"
#include "jobs/job.h"
#include "pipeline/plan.h"

namespace deda::jobs {

// Collective. Errors as pipeline::plan_of(), on all ranks; what is unusual about the dataset is told by rank
// 0, unless it was told before.
pipeline::Plan make_plan(const JobContext& context, pipeline::Stage target, bool tells_notes = true);

// What the node's result is made of, on this machine. `device`: name of the GPU; empty: the CPU is named.
Provenance provenance_of(const pipeline::Plan& plan, const pipeline::Node& node,
                         const std::string& device = {});

// Collective: every rank reads the dataset's annotation files. DataError where hosts have different copies
// (data/same_everywhere.h).
data::Dataset load_dataset(const JobContext& context);

// Collective. The same for what learns: the pictures of train.held_out are not in training. Rank 0 tells how
// many they are. DataError where they are none.
data::Dataset load_dataset_to_learn_from(const JobContext& context);

// Collective. Of a few-shot choice (dataset.images_per_class): rank 0 writes the list of its pictures into
// the stage's folder, the same bytes in every stage. Nothing where all pictures are used.
void write_few_shot_list(const JobContext& context, const data::Dataset& dataset,
                         const std::filesystem::path& folder);

}  // namespace deda::jobs
