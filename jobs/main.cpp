// `deda`: the list of its subcommands.
#include "core/allocator.h"
#include "jobs/run_job.h"

namespace deda::jobs {
Job make_toy_job();
Job make_decouple_job();
Job make_invert_job();
Job make_tune_job();
Job make_generate_job();
Job make_train_job();
Job make_evaluate_job();
Job make_diversity_job();
Job make_plan_job();
Job make_study_job();
Job make_inspect_job();
Job make_forward_job();
Job make_pretrain_job();
Job make_doctor_job();
}  // namespace deda::jobs

int main(int argc, char** argv) {
  deda::keep_freed_memory();
  using namespace deda::jobs;
  std::vector<Job> jobs;
  std::vector<std::string> left_out;
  jobs.push_back(make_toy_job());
  jobs.push_back(make_decouple_job());
#ifdef DEDA_TORCH
  jobs.push_back(make_invert_job());
  jobs.push_back(make_tune_job());
  jobs.push_back(make_generate_job());
  jobs.push_back(make_train_job());
  jobs.push_back(make_evaluate_job());
  jobs.push_back(make_diversity_job());
#else
  left_out = {"invert", "tune", "generate", "train", "evaluate", "diversity", "pretrain", "forward"};
#endif
  jobs.push_back(make_plan_job());
  jobs.push_back(make_study_job());
  jobs.push_back(make_inspect_job());
#ifdef DEDA_TORCH
  jobs.push_back(make_pretrain_job());
  jobs.push_back(make_forward_job());
#endif
  jobs.push_back(make_doctor_job());
  return run_program(jobs, left_out, argc, argv);
}
