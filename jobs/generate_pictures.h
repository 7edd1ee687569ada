// `deda generate` with a generative peer: edits of whole pictures into a store.
#pragma once

#include "jobs/job.h"

namespace deda::jobs {

// Collective. As the job: exit code, or an error.
ExitCode generate_pictures(JobContext& context);

}  // namespace deda::jobs
