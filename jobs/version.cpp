#include "jobs/version.h"

#include <fmt/format.h>

#include "comm/communicator.h"
#include "deda_commit.h"
#include "jobs/torch_machine.h"

namespace deda::jobs {

std::string code_version() {
  return fmt::format("{} ({})", DEDA_VERSION, DEDA_COMMIT);
}

std::string version_text() {
  const TorchMachine torch = describe_torch_machine();
  const auto row = [](std::string_view part, std::string_view version) {
    return fmt::format("  {:<18}{}\n", part, version);
  };
  std::string text = fmt::format("deda {}\n", code_version());
  text += row("compiler", DEDA_COMPILER);
  text += row("MPI", comm::MpiEnvironment::library_version());
  text += row("HDF5", DEDA_HDF5_VERSION " (parallel)");
  text += row("LibTorch", torch.version.empty() ? "not in this build (DEDA_TORCH=OFF)" : torch.version);
  text += row("OpenCV", DEDA_OPENCV_VERSION);
  text +=
      row("fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100));
  text += row("CUDA/NCCL plugin", torch.plugin);
  return text;
}

}  // namespace deda::jobs
