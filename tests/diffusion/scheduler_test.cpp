// Grids, noise levels and solver coefficients against diffusers; the strength rule; wrong use.
#include "diffusion/sampling/scheduler.h"

#include <cmath>

#include "diffusion/golden_schedulers.h"

namespace deda::diffusion {
namespace {

using test::golden;
using test::kind_named;
using test::problems_of;

constexpr double sigma_tolerance = 2e-6;        // relative: float32 against float32 in another order
constexpr double coefficient_tolerance = 5e-6;  // float32 against float64

const NoiseScheduleConfig published = stable_diffusion_schedule();

void expect_sigmas(const std::vector<double>& found, const std::vector<double>& expected,
                   const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], expected[i], sigma_tolerance * expected[i]) << what << " " << i;
}

// Nine digits of the golden file hold a float32 exactly.
std::vector<float> as_floats(const std::vector<double>& numbers) {
  return {numbers.begin(), numbers.end()};
}

template <class T>
std::vector<T> last_of(const std::vector<T>& all, std::size_t count) {
  return {all.end() - static_cast<std::ptrdiff_t>(count), all.end()};
}

TEST(StrengthRule, IsThatOfDiffusersInDoubleArithmetic) {
  const std::vector<double> strengths = {0.1, 0.2, 0.25, 0.4, 0.5, 0.7, 0.75, 0.8, 0.9, 1.0};
  const std::vector<std::int64_t> of_25 = {2, 5, 6, 10, 12, 17, 18, 20, 22, 25};
  const std::vector<std::int64_t> of_50 = {5, 10, 12, 20, 25, 35, 37, 40, 45, 50};
  for (std::size_t i = 0; i < strengths.size(); ++i) {
    EXPECT_EQ(evaluations(25, strengths[i]), of_25[i]) << strengths[i];
    EXPECT_EQ(evaluations(50, strengths[i]), of_50[i]) << strengths[i];
    EXPECT_EQ(first_index(25, strengths[i]), 25 - of_25[i]) << strengths[i];
  }
  EXPECT_EQ(evaluations(50, 0.7f), 34) << "what a strength that was once a float costs";
}

TEST(Scheduler, HasDiffusersTimestepsAndSigmasForEveryStrength) {
  std::size_t grids = 0;
  for (const auto& [name, by_steps] : golden().at("grids").items()) {
    if (name == name_of(SchedulerKind::karras25_cli)) continue;
    for (const auto& [steps, grid] : by_steps.items()) {
      const auto timesteps = grid.at("timesteps").get<std::vector<double>>();
      const auto sigmas = grid.at("sigmas").get<std::vector<double>>();
      for (const auto& [strength, count] : grid.at("evaluated").items()) {
        const auto what = name + " " + steps + " " + strength;
        const auto scheduler =
            make_scheduler(kind_named(name), published, std::stoll(steps), std::stod(strength));
        EXPECT_EQ(as_floats(scheduler->timesteps()), as_floats(last_of(timesteps, count.get<std::size_t>())))
            << what;
        expect_sigmas(scheduler->sigmas(), last_of(sigmas, count.get<std::size_t>() + 1), what);
        ++grids;
      }
      const double start = init_noise_sigma(kind_named(name), published, std::stoll(steps));
      const double expected = grid.at("init_noise_sigma");
      EXPECT_NEAR(start, expected, sigma_tolerance * expected) << name;
    }
  }
  EXPECT_EQ(grids, 7u * 2u * 12u);
}

TEST(KarrasCli, HasTheGridOfLayerDiffusesProgram) {
  for (const auto& [steps, by_strength] : golden().at("grids").at("karras25_cli").items()) {
    for (const auto& [strength, grid] : by_strength.items()) {
      const auto what = steps + " " + strength;
      const auto scheduler =
          make_scheduler(SchedulerKind::karras25_cli, published, std::stoll(steps), std::stod(strength));
      EXPECT_EQ(scheduler->timesteps(), grid.at("timesteps").get<std::vector<double>>()) << what;
      expect_sigmas(scheduler->sigmas(), grid.at("sigmas").get<std::vector<double>>(), what);
    }
  }
  // The levels that this program's strengths stand for: much weaker edits than diffusers'.
  struct Start {
    double strength, sigma, timestep;
  };
  for (const auto& [strength, sigma, timestep] :
       {Start{0.2, 0.161, 27}, Start{0.4, 0.664, 238}, Start{0.7, 3.863, 736}}) {
    const auto scheduler = make_scheduler(SchedulerKind::karras25_cli, published, 25, strength);
    EXPECT_EQ(scheduler->timesteps().size(), 25u);
    EXPECT_EQ(scheduler->timesteps().front(), timestep);
    EXPECT_NEAR(scheduler->sigmas().front(), sigma, 1e-3);
  }
  EXPECT_NEAR(init_noise_sigma(SchedulerKind::karras25_cli, published, 25), 14.6146, 1e-4);
}

// The step is linear in the sample and the last two clean predictions: their factors, one by one.
double after_step(Scheduler& scheduler, std::size_t k, float sample, float clean_before, float clean_now) {
  const auto prediction = [&](std::size_t i, float from, float clean) {
    const double sigma = scheduler.sigmas()[i], alpha = 1 / std::sqrt(sigma * sigma + 1);
    return torch::tensor({static_cast<float>((from - alpha * clean) / (sigma * alpha))});
  };
  for (std::size_t i = 0; i < k; ++i) scheduler.step(i, prediction(i, 0, clean_before), torch::zeros({1}));
  return scheduler.step(k, prediction(k, sample, clean_now), torch::full({1}, sample)).item<double>();
}

TEST(DpmSolver, HasTheCoefficientsOfThePapersFormula) {
  for (const auto& golden_case : golden().at("coefficients")) {
    const std::int64_t steps = golden_case.at("steps");
    const auto scheduler = make_scheduler(SchedulerKind::dpmpp2m_linspace, published, steps,
                                          golden_case.at("strength").get<double>());
    const auto rows = golden_case.at("rows").get<std::vector<std::vector<double>>>();
    ASSERT_EQ(rows.size(), scheduler->timesteps().size());
    for (std::size_t k = 0; k < rows.size(); ++k) {
      const double of_clean = after_step(*scheduler, k, 0, 1, 1);
      EXPECT_NEAR(after_step(*scheduler, k, 1, 0, 0), rows[k][0], coefficient_tolerance) << steps << " " << k;
      EXPECT_NEAR(of_clean, rows[k][1], coefficient_tolerance) << steps << " " << k;
      EXPECT_NEAR(after_step(*scheduler, k, 0, 0, 1) - of_clean, rows[k][2], coefficient_tolerance)
          << steps << " " << k;
    }
  }
}

TEST(Ddim, GoesFromLevelToLevelAndEndsAtTimestepZero) {
  const auto scheduler = make_scheduler(SchedulerKind::ddim_leading, published, 25, 0.4);
  const auto one = torch::ones({1}), zero = torch::zeros({1});
  // With no noise predicted the sample shrinks or grows as alpha does; with no clean part as the noise share.
  const NoiseSchedule schedule(published);
  const double to_321 = scheduler->step(0, zero, one * schedule.alpha(361)).item<double>();
  EXPECT_NEAR(to_321, 0.745080, coefficient_tolerance);
  EXPECT_NEAR(scheduler->step(0, one, one * schedule.noise_share(361)).item<double>(), 0.666975,
              coefficient_tolerance);
  EXPECT_NEAR(scheduler->sigmas().back(), schedule.sigma(0), 1e-9);
  auto to_one = published;
  to_one.set_alpha_to_one.reset();  // DDIM's own default
  EXPECT_EQ(make_scheduler(SchedulerKind::ddim_leading, to_one, 25, 0.4)->sigmas().back(), 0.0);
}

// What a file without a spacing means to diffusers (InstructPix2Pix's): not the leading grid of whole
// numbers.
TEST(EulerAncestral, HasFractionalTimestepsWithLinspace) {
  const auto scheduler = make_scheduler(SchedulerKind::euler_ancestral_linspace, published, 20, 1.0);
  const auto& timesteps = scheduler->timesteps();
  ASSERT_EQ(timesteps.size(), 20u);
  EXPECT_EQ(timesteps.front(), 999);
  EXPECT_NEAR(timesteps[1], 946.421053, 1e-4);
  EXPECT_EQ(timesteps.back(), 0);
  const NoiseSchedule schedule(published);
  EXPECT_NEAR(scheduler->sigmas()[1],
              schedule.sigma(946) + (timesteps[1] - 946) * (schedule.sigma(947) - schedule.sigma(946)),
              sigma_tolerance * schedule.sigma(947));
  EXPECT_NEAR(init_noise_sigma(SchedulerKind::euler_ancestral_linspace, published, 20), schedule.sigma(999),
              1e-6);
}

TEST(Scheduler, WithNothingToDoIsRefusedEarlyWithAllProblems) {
  for (const auto kind : scheduler_kinds) {
    const auto text = problems_of([&] { make_scheduler(kind, published, 25, 0.03); });
    EXPECT_NE(text.find("int(steps * strength) is 0"), std::string::npos) << text;
    EXPECT_THROW(make_scheduler(kind, published, 25, 0.0), ConfigError);
    EXPECT_THROW(make_scheduler(kind, published, 25, 1.01), ConfigError);
    EXPECT_THROW(make_scheduler(kind, published, 25, std::nan("")), ConfigError);
    EXPECT_THROW(make_scheduler(kind, published, 1000, 0.5), ConfigError);
    EXPECT_NO_THROW(make_scheduler(kind, published, 1, 1.0));
    EXPECT_NO_THROW(make_scheduler(kind, published, 998, 0.5));
  }
  const auto text = problems_of([] { make_scheduler(SchedulerKind::ddim_leading, published, 0, 2); });
  EXPECT_NE(text.find("steps: there are 0 steps"), std::string::npos) << text;
  EXPECT_NE(text.find("strength: is 2.0"), std::string::npos) << text;
  auto far = published;
  far.steps_offset = 100;
  EXPECT_THROW(make_scheduler(SchedulerKind::ddim_leading, far, 25, 0.5), ConfigError);
}

TEST(Scheduler, StepsOutOfOrderOrWithoutTheirNoiseAreErrorsOfTheProgram) {
  const auto x = test::hashed(test::clean_index);
  const auto solver = make_scheduler(SchedulerKind::dpmpp2m_linspace, published, 25, 0.4);
  EXPECT_THROW(solver->step(1, x, x), std::logic_error);
  solver->step(0, x, x);
  EXPECT_THROW(solver->step(2, x, x), std::logic_error);
  EXPECT_THROW(solver->step(10, x, x), std::logic_error);
  EXPECT_THROW(solver->model_input(x, 10), std::logic_error);
  for (const auto kind : scheduler_kinds) {
    const auto scheduler = make_scheduler(kind, published, 25, 0.4);
    EXPECT_EQ(scheduler->needs_noise(), kind == SchedulerKind::euler_ancestral_leading ||
                                            kind == SchedulerKind::euler_ancestral_linspace);
    if (scheduler->needs_noise()) {
      EXPECT_THROW(scheduler->step(0, x, x), std::logic_error);
    }
  }
}

}  // namespace
}  // namespace deda::diffusion
