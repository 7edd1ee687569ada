// How long it takes to choose how pictures are mixed, on one core: Co-Mixup by batch and grid, PuzzleMix by
// pair and blocks, at the paper's size (448 pixels), on saliency maps like a network's gradients: noise
// around a few peaks. bench_mixing_solvers [runs] bench_mixing_solvers --dump FOLDER: what it ran on, as
// float32 and int32, for a comparison with other programs.
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "bench/measure.h"
#include "core/random.h"
#include "mixing/co_mixup.h"
#include "mixing/puzzle_mix.h"

namespace {

using namespace deda;
using namespace deda::bench;

constexpr int side = 448, channels = 3;

// Of this process: one thread computes, and others may use the machine.
template <class Work>
double processor_seconds_of(const Work& work) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double start = now();
  work();
  return now() - start;
}

std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

// Pictures as a network gets them, and saliencies of them.
struct Material {
  int pictures;
  std::vector<float> saliency, pixels;  // [pictures, side, side], [pictures, 3, side, side]
  explicit Material(int count)
      : pictures{count}, saliency(at(count) * side * side), pixels(at(count) * channels * side * side) {
    for (int i = 0; i < count; ++i) {
      RandomStream random{1, Purpose::test, 0, static_cast<std::uint64_t>(i)};
      constexpr int peaks = 3;
      double ys[peaks], xs[peaks];
      for (int k = 0; k < peaks; ++k) {
        ys[k] = random.uniform(0.15, 0.85) * side;
        xs[k] = random.uniform(0.15, 0.85) * side;
      }
      const double frequency = random.uniform(0.01, 0.05), phase = random.uniform(0, 6);
      for (int y = 0; y < side; ++y) {
        for (int x = 0; x < side; ++x) {
          double height = 0.1;
          for (int k = 0; k < peaks; ++k) {
            const double dy = (y - ys[k]) / 60, dx = (x - xs[k]) / 60;
            height += std::exp(-dy * dy - dx * dx) / (k + 1);
          }
          saliency[at(i) * side * side + at(y * side + x)] =
              static_cast<float>(1e-4 * height * random.uniform());
          for (int c = 0; c < channels; ++c)
            pixels[(at(i) * channels + at(c)) * side * side + at(y * side + x)] =
                static_cast<float>(std::sin(frequency * x * (c + 1) + phase) + std::cos(frequency * y) +
                                   random.uniform(-0.2, 0.2));
        }
      }
    }
  }
  // Averages over blocks, divided by their sum.
  std::vector<float> blocks(int picture, int count) const {
    std::vector<double> sums(at(count * count));
    const int block = side / count;
    double all = 0;
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        const double value = static_cast<double>(saliency[at(picture) * side * side + at(y * side + x)]);
        sums[at(y / block * count + x / block)] += value;
        all += value;
      }
    }
    std::vector<float> shares(sums.size());
    for (std::size_t p = 0; p < sums.size(); ++p) shares[p] = static_cast<float>(sums[p] / all);
    return shares;
  }
  std::span<const float> map(int picture) const {
    return std::span{saliency}.subspan(at(picture) * side * side, at(side) * side);
  }
  std::span<const float> picture(int index) const {
    return std::span{pixels}.subspan(at(index) * channels * side * side, at(channels) * side * side);
  }
};

double most_memory_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

template <class T>
void dump(const std::string& path, const std::vector<T>& values) {
  std::ofstream{path, std::ios::binary}.write(reinterpret_cast<const char*>(values.data()),
                                              static_cast<std::streamsize>(values.size() * sizeof(T)));
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int batches[] = {8, 16, 20}, grids[] = {4, 16}, block_counts[] = {2, 4, 8, 16};
  const bool dumping = argc > 2 && std::string_view{argv[1]} == "--dump";
  const std::string folder = dumping ? argv[2] : "";
  const int runs = argc > 1 && !dumping ? std::max(1, std::atoi(argv[1])) : 9;
  const Material material{20};
  std::printf(
      "choosing how 448 x 448 pictures are mixed, processor time of one core, median of %d runs, load %.1f\n",
      runs, load_average());
  if (dumping) {
    dump(folder + "/saliency.f32", material.saliency);
    dump(folder + "/pixels.f32", material.pixels);
  }

  const double memory_before = most_memory_megabytes();
  mixing::CoMixupSolver co_mixup;
  for (const int pictures : batches) {
    std::vector<mixing::PeakWindow> peaks(at(pictures));
    std::vector<double> times;
    for (int run = 0; run < runs; ++run)
      times.push_back(processor_seconds_of([&] {
        for (int i = 0; i < pictures; ++i) peaks[at(i)] = mixing::find_peak_window(material.map(i), side);
      }));
    std::printf("Co-Mixup, batch %2d: peaks of the maps on the host %15.2f ms\n", pictures,
                1e3 * median(times));
    for (const int grid : grids) {
      std::vector<float> saliency;
      for (int i = 0; i < pictures; ++i) {
        const auto blocks = material.blocks(i, grid);
        saliency.insert(saliency.end(), blocks.begin(), blocks.end());
      }
      std::vector<double> weights(at(pictures));
      std::vector<std::int32_t> start(at(pictures * grid * grid));
      times.clear();
      int iterations = 0;
      for (int run = 0; run < runs; ++run) {
        RandomStream random{2, Purpose::test, static_cast<std::uint32_t>(grid),
                            static_cast<std::uint64_t>(run)};
        double sum = 0;
        for (double& weight : weights) sum += weight = -std::log(1 - random.uniform());
        for (double& weight : weights) weight /= sum;
        for (std::int32_t& picture : start)
          picture = static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(pictures)));
        times.push_back(processor_seconds_of([&] {
          iterations =
              co_mixup.solve(pictures, grid, saliency, mixing::peak_distances(peaks), weights, start, {})
                  .iterations;
        }));
      }
      std::printf("Co-Mixup, batch %2d, grid %2d: %38.2f ms (%d iterations in the last run)\n", pictures,
                  grid, 1e3 * median(times), iterations);
    }
  }
  std::printf("memory that Co-Mixup added: %.1f MB\n", most_memory_megabytes() - memory_before);

  mixing::PuzzleMixSolver puzzle_mix;
  for (const int asked : block_counts) {
    const mixing::PuzzleGrid grid = mixing::puzzle_grid(side, asked);
    std::vector<std::vector<float>> cells, saliency;
    std::vector<double> times, cell_times, mix_times;
    const int pictures = 16;
    for (int i = 0; i < pictures; ++i) {
      saliency.push_back(material.blocks(i, grid.blocks));
      cell_times.push_back(processor_seconds_of(
          [&] { cells.push_back(mixing::average_cells(material.picture(i), side, grid.cell)); }));
    }
    std::vector<float> mixed(at(channels) * side * side);
    for (int run = 0; run < runs; ++run) {
      RandomStream random{3, Purpose::test, static_cast<std::uint32_t>(asked),
                          static_cast<std::uint64_t>(run)};
      const double lambda = random.uniform();
      times.push_back(processor_seconds_of([&] {
                        for (int i = 0; i < pictures; ++i) {
                          const int other = (i + 1 + run) % pictures;
                          puzzle_mix.solve(grid, {saliency[at(i)], cells[at(i)]},
                                           {saliency[at(other)], cells[at(other)]}, lambda, {});
                        }
                      }) /
                      pictures);
      const auto& mixture =
          puzzle_mix.solve(grid, {saliency[0], cells[0]}, {saliency[1], cells[1]}, lambda, {});
      mix_times.push_back(processor_seconds_of(
          [&] { mixing::mix_pictures(mixture, material.picture(0), material.picture(1), side, mixed); }));
    }
    std::printf(
        "PuzzleMix, %2d blocks: %8.3f ms a pair; %.2f ms for cells of a picture, %.2f ms for mixing, on the "
        "host\n",
        grid.blocks, 1e3 * median(times), 1e3 * median(cell_times), 1e3 * median(mix_times));
  }
  return 0;
}
