// `deda doctor`: what this machine has, what the configuration needs, what is wrong and how to mend it.
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <thread>

#include "core/escaped_name.h"
#include "data/dataset.h"
#include "decoupling/needed_networks.h"
#include "io/formats/safetensors.h"
#include "jobs/doctor_models.h"
#include "jobs/job.h"
#include "jobs/torch_machine.h"

namespace deda::jobs {

namespace {

namespace fs = std::filesystem;

// Lines for people, and the problems among them.
class Report {
 public:
  void title(std::string_view text) { text_ += fmt::format("\n{}\n", text); }
  void line(std::string_view part, std::string_view finding) {
    text_ += fmt::format("  {:<27}{}\n", part, finding);
  }
  // Worth knowing, but nothing that stops the work.
  void note(std::string_view part, std::string_view finding, std::string_view cure) {
    line(part, fmt::format("{} (note: {})", finding, cure));
  }
  void problem(std::string_view part, Problem problem) {
    line(part, "PROBLEM, see below");
    problems_.push_back(std::move(problem));
  }
  // One whose line is there already.
  void add(Problem problem) { problems_.push_back(std::move(problem)); }
  void problems_of(std::string_view part, const Error& error) {
    for (const Problem& each : error.problems()) problem(part, each);
  }
  std::string text() const {
    std::string all = readable(text_);
    if (problems_.empty()) return all + "\nNothing is in the way.\n";
    all += fmt::format("\n{} to mend:\n", problems_.size());
    for (const Problem& problem : problems_) all += "  " + to_string(problem) + '\n';
    return all;
  }
  bool usable() const { return problems_.empty(); }

 private:
  std::string text_;
  std::vector<Problem> problems_;
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string{} : std::string{value};
}

// The first file of that name on PATH that may be run; empty where there is none.
std::string on_path(const std::string& program) {
  const std::string path = environment("PATH");
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    const fs::path candidate = fs::path{path.substr(begin, end - begin)} / program;
    if (access(candidate.c_str(), X_OK) == 0) return candidate.string();
    begin = end + 1;
  }
  return {};
}

std::string processor_text() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
  std::string text = fmt::format("{} cores", std::thread::hardware_concurrency());
  if (known) text += fmt::format(", this rank may use {}", CPU_COUNT(&allowed));
#if defined(__x86_64__)
  text += __builtin_cpu_supports("avx512f") ? ", AVX-512"
          : __builtin_cpu_supports("avx2")  ? ", AVX2"
                                            : ", no AVX2 (slow)";
#endif
  return text;
}

void report_mpi(Report& report, const JobContext& context) {
  report.title("Ranks");
  report.line("MPI", comm::MpiEnvironment::library_version());
  if (context.mpi_from_any_thread) {
    report.line("threads", "MPI_THREAD_MULTIPLE");
  } else {
    report.problem("threads",
                   {"this MPI does not grant MPI_THREAD_MULTIPLE", "MPI",
                    "Gradients travel in a thread of their own: load an MPI built with thread support."});
  }
  const std::vector<std::string> hosts = context.ranks.host_names();
  const std::set<std::string> different(hosts.begin(), hosts.end());
  report.line("ranks", fmt::format("{} on {} host{} ({})", hosts.size(), different.size(),
                                   different.size() == 1 ? "" : "s", fmt::join(different, ", ")));
  report.line("HDF5", DEDA_HDF5_VERSION " (parallel)");
  // Open MPI 4.1 can lose bytes of collective writes unless it locks the file (ompi issue 12718).
  const std::string lock = environment("OMPI_MCA_fs_ufs_lock_algorithm");
  if (lock == "3")
    report.line("collective writes",
                "the cure for Open MPI's fault is active (OMPI_MCA_fs_ufs_lock_algorithm=3)");
  else
    report.note("collective writes", fmt::format("OMPI_MCA_fs_ufs_lock_algorithm={}", lock),
                "Open MPI 4.1 needs 3, or writes over several nodes can lose bytes; unset it");
}

// The kernel's part of the driver shows itself here.
bool has_nvidia_gpu() {
  std::error_code error;
  return fs::exists("/dev/nvidia0", error) || fs::exists("/dev/dxg", error);
}

// A GPU that would stand idle is a problem; a machine without one needs no plugin.
void report_plugin(Report& report, const TorchMachine& torch) {
  report.line("CUDA/NCCL plugin", torch.plugin);
  if (torch.plugin_not_built)
    report.add(
        {"the CUDA/NCCL plugin was configured, but is not built: GPUs would not be used", "libdeda_cuda.so",
         "Build it (`cmake --build build --target deda_cuda`), or name its folder in DEDA_PLUGIN_DIR."});
  else if (!torch.version.empty() && !torch.plugin_loaded && has_nvidia_gpu())
    report.add({"this machine has an NVIDIA GPU, which would not be used: " + torch.plugin,
                "CUDA/NCCL plugin", "README, \"On GPUs\", says what the plugin needs."});
}

void report_machine(Report& report, const TorchMachine& torch) {
  report.title("Machine");
  report.line("processor", processor_text());
  if (torch.version.empty())
    report.note("LibTorch", "not in this build",
                "only toy, decouple, inspect and doctor work; configure with -DDEDA_TORCH=ON");
  else
    report.line("LibTorch", torch.version);
  report_plugin(report, torch);
  if (torch.devices.empty())
    report.line("GPUs", torch.plugin_loaded
                            ? "none visible: training runs on the processor"
                            : "not looked for without the plugin: training runs on the processor");
  for (const std::string& device : torch.devices) report.line("GPU", device);
  const std::string sinfo = on_path("sinfo"), srun = on_path("srun"),
                    allocation = environment("SLURM_JOB_ID");
  report.line("Slurm", sinfo.empty() && srun.empty()
                           ? "not on PATH: start with mpirun"
                           : fmt::format("sinfo {}, srun {}", sinfo.empty() ? "missing" : sinfo,
                                         srun.empty() ? "missing" : srun));
  report.line("allocation", allocation.empty() ? "none"
                                               : fmt::format("job {} on {}, ends at {}", allocation,
                                                             environment("SLURM_JOB_NODELIST"),
                                                             environment("SLURM_JOB_END_TIME").empty()
                                                                 ? "an unknown time"
                                                                 : environment("SLURM_JOB_END_TIME")));
}

void report_output(Report& report, const fs::path& output) {
  std::error_code error;
  fs::path existing = fs::absolute(output);
  while (!fs::exists(existing, error) && existing.has_relative_path()) existing = existing.parent_path();
  const fs::space_info space = fs::space(existing, error);
  if (access(existing.c_str(), W_OK) != 0) {
    report.problem("run.output", {"results cannot be written there", existing.string(),
                                  "Set run.output (or --out) to a folder of yours."});
    return;
  }
  constexpr double bytes_per_gb = 1e9, small_gb = 1.0;
  const double free_gb = error ? 0.0 : static_cast<double>(space.available) / bytes_per_gb;
  const std::string finding =
      fmt::format("{}: {:.1f} GB free", fs::absolute(output).lexically_normal().string(), free_gb);
  if (free_gb < small_gb)
    report.note("run.output", finding, "a store and checkpoints need more than that");
  else
    report.line("run.output", finding);
}

void report_dataset(Report& report, const data::DatasetConfig& config) {
  std::error_code error;
  if (config.layout == data::Layout::toy && !fs::exists(config.root, error)) {
    report.line("dataset", fmt::format("the toy dataset is not drawn yet: `deda toy` makes it at \"{}\"",
                                       config.root.string()));
    return;
  }
  try {
    std::vector<std::string> notes;
    const data::Dataset dataset = data::load_dataset(config, {}, &notes);
    report.line("dataset",
                fmt::format("{} at {}: {} classes, {} training, {} validation and {} test pictures",
                            dataset.name, dataset.root.string(), dataset.class_names.size(),
                            dataset.indices(data::Split::train).size(),
                            dataset.indices(data::Split::validation).size(),
                            dataset.indices(data::Split::test).size()));
    const auto masks = std::count_if(dataset.items.begin(), dataset.items.end(), [](const data::Item& item) {
      return item.mask_encoding != data::MaskEncoding::none;
    });
    report.line("masks", fmt::format("{} of {} pictures", masks, dataset.items.size()));
    for (const std::string& note : notes) report.line("dataset", "note: " + note);
    if (dataset.class_names.size() < 2)
      report.note("dataset", "has one class only", "it can be decoupled, not trained on");
  } catch (const Error& failure) {
    report.problems_of("dataset", failure);
  }
}

// The networks of the configured mask sources: there, readable, with all their files.
void report_mask_networks(Report& report, const decoupling::DecoupleConfig& config) {
  report.line("mask sources", fmt::format("{}", fmt::join(config.sources, ", ")));
  for (Problem& problem : decoupling::missing_networks(config))
    report.problem(problem.where, std::move(problem));
  for (const auto& network : decoupling::needed_networks(config)) {
    std::error_code error;
    if (network.path.empty() || !fs::exists(network.path, error)) continue;
    std::vector<std::string> names = {"config.json", "preprocessor_config.json"};
    if (network.key == "decouple.deeplab") names = {"graph.json", "labels.txt"};
    if (network.key == "decouple.grounding_dino") names.emplace_back("vocab.txt");
    const bool folder = fs::is_directory(network.path, error);
    // A folder with Meta's original names has the weights alone.
    const bool whole = network.key != "decouple.sam" || fs::exists(network.path / "config.json", error);
    for (const std::string& name : names) {
      const bool joint =
          name == "preprocessor_config.json" && fs::exists(network.path / "processor_config.json", error);
      if (folder && whole && !joint && !fs::exists(network.path / name, error))
        report.problem(network.key, {name + " is missing", network.path.string(),
                                     "README of src/decoupling names the files."});
    }
    std::size_t files = 0, tensors = 0;
    std::uintmax_t bytes = 0;
    const auto look_into = [&](const fs::path& file) {
      if (file.extension() != ".safetensors" || file.filename() == "golden.safetensors") return;
      try {
        tensors += io::SafetensorsFile(file).tensors().size();
        bytes += fs::file_size(file);
        ++files;
      } catch (const Error& failure) {
        report.problems_of(network.key, failure);
      }
    };
    if (folder) {
      for (const auto& entry : fs::directory_iterator(network.path, error)) look_into(entry.path());
    } else {
      look_into(network.path);
    }
    constexpr double bytes_per_mb = 1e6;
    if (files == 0)
      report.problem(network.key, {"holds no .safetensors file", network.path.string(),
                                   "README of src/decoupling names the files."});
    else
      report.line(network.key, fmt::format("{}: {} tensors, {:.0f} MB", network.path.string(), tensors,
                                           static_cast<double>(bytes) / bytes_per_mb));
  }
}

void report_training_inputs(Report& report, const training::TrainConfig& train) {
  if (!train.weights.empty()) {
    try {
      const io::SafetensorsFile file{train.weights};
      report.line("train.weights",
                  fmt::format("{}: {} tensors", train.weights.string(), file.tensors().size()));
    } catch (const Error& error) {
      report.problems_of("train.weights", error);
    }
  }
  const auto check_store = [&](const char* key, const fs::path& folder, const char* remedy) {
    std::error_code error;
    if (fs::is_directory(folder, error))
      report.line(key, folder.string());
    else
      report.problem(key, {"there is no such store", folder.string(), remedy});
  };
  if (!train.store.empty())
    check_store("train.store", train.store, "Run `deda decouple`, or leave train.store empty.");
  if (!train.synthetic_store.empty() && train.synthetic_store != "none")
    check_store("train.synthetic_store", train.synthetic_store,
                "Run `deda generate`, or leave train.synthetic_store empty.");
}

// As training::plan_compute judges it, before a job asks for it.
void report_precision(Report& report, const training::TrainConfig& train, const TorchMachine& torch) {
  if (train.device == DeviceChoice::cpu || !torch.lacks_bfloat16) return;
  if (train.precision == training::Precision::bf16)
    report.problem("train.precision",
                   {"a GPU here has no units for bf16", "train.precision",
                    "Set train.precision = \"fp16\", which scales the loss, or \"fp32\"."});
  if (train.precision == training::Precision::tf32)
    report.note("train.precision", "tf32", "a GPU here has no units for it and computes in fp32");
}

void report_models(Report& report, const diffusion::ModelsConfig& models, std::int64_t resolution) {
  report.title("Diffusion model");
  if (models.base == diffusion::ModelsConfig{}.base && !fs::exists(models.base)) {
    report.line("models.base", fmt::format("\"{}\" is not here: `deda pretrain --model` makes a toy model; "
                                           "configs/models/README.md names the real ones",
                                           models.base.string()));
    return;
  }
  const ModelsFinding finding = examine_models(models, resolution);
  for (const auto& [part, found] : finding.lines) report.line(part, found);
  for (const Problem& problem : finding.problems) report.add(problem);
}

ExitCode run_doctor(JobContext& context) {
  Report report;
  report_mpi(report, context);  // collective
  if (!context.ranks.is_root()) return ExitCode::done;
  const TorchMachine torch = describe_torch_machine();
  report_machine(report, torch);
  report.title(context.options.configured ? "Configuration"
                                          : "Configuration (none given: name one with --config)");
  report_output(report, context.config.run.output);
  if (context.options.configured) {
    report_dataset(report, context.config.dataset);
    report_mask_networks(report, context.config.decouple);
    report_training_inputs(report, context.config.train);
    report_precision(report, context.config.train, torch);
    report_models(report, context.config.models, context.config.diffusion.resolution);
  }
  const std::string text = fmt::format("deda {}\n{}", DEDA_VERSION, report.text());
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
  return report.usable() ? ExitCode::done : ExitCode::data;
}

}  // namespace

Job make_doctor_job() {
  return {
      .name = "doctor",
      .summary = "Say what this machine has and what a configuration needs, what is wrong and how to mend it",
      .example = "deda doctor --config configs/demo.toml",
      .add_options = {},
      .run = run_doctor};
}

}  // namespace deda::jobs
