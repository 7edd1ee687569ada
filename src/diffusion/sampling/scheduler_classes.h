// The scheduler classes behind make_scheduler, each in a file of its own, and the grids they share. Internal
// to src/diffusion: others use scheduler.h.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "diffusion/sampling/noise_schedule.h"
#include "diffusion/sampling/scheduler.h"

namespace deda::diffusion {

// timesteps[begin_index...] of a full grid are evaluated. Whole numbers, descending.
struct TimeGrid {
  std::vector<std::int64_t> timesteps;  // the full one
  std::size_t begin_index = 0;
  std::vector<double> evaluated() const;
};

// round(linspace(0, T - 1, steps + 1)) without its 0.
std::vector<std::int64_t> linspace_grid(std::int64_t steps, std::int64_t train_timesteps);
// linspace(0, T - 1, steps) as it is, rounded to float32; its 0 is evaluated too. (One step is at timestep
// 0.)
std::vector<double> fractional_linspace(std::int64_t steps, std::int64_t train_timesteps);
// `ratio` apart, starting at `first`, `steps` of them.
std::vector<std::int64_t> leading_grid(std::int64_t steps, std::int64_t ratio, std::int64_t first);

std::unique_ptr<Scheduler> make_dpm_solver(const NoiseSchedule& schedule, const TimeGrid& grid);
// `stride`: timesteps from one level to the next.
std::unique_ptr<Scheduler> make_ddim(const NoiseSchedule& schedule, const TimeGrid& grid,
                                     std::int64_t stride);
std::unique_ptr<Scheduler> make_pndm(const NoiseSchedule& schedule, const TimeGrid& grid,
                                     std::int64_t stride);
enum class EulerNoise { none, ancestral };
// `timesteps`: those that are evaluated; may lie between whole ones.
std::unique_ptr<Scheduler> make_euler(const NoiseSchedule& schedule, const std::vector<double>& timesteps,
                                      EulerNoise noise);
std::unique_ptr<Scheduler> make_karras_cli(const NoiseScheduleConfig& config, std::int64_t steps,
                                           double strength);

// abar of timestep t; below 0 it is that of the final sample: 1 or abar_0.
float alpha_cumprod_or_final(const NoiseSchedule& schedule, std::int64_t t, bool set_alpha_to_one);

// Factors of the variance-exploding form (x = x_0 + sigma eps), for Euler and karras25_cli.
torch::Tensor exploding_model_input(const torch::Tensor& sample, float sigma);
torch::Tensor exploding_clean(PredictionType type, const torch::Tensor& prediction,
                              const torch::Tensor& sample, float sigma);

}  // namespace deda::diffusion
