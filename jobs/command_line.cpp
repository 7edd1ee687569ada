#include "jobs/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "core/error.h"
#include "jobs/version.h"

namespace deda::jobs {

namespace {

constexpr const char* see_help = "`deda --help` lists the subcommands.";

const char* const description =
    "Decoupled Data Augmentation on HPC machines: pictures into objects and backgrounds, and classifiers "
    "trained on new\n"
    "combinations of them. Every subcommand is an MPI job: run it alone, under mpirun or under srun.";

const char* const footer =
    "Examples\n"
    "  deda doctor\n"
    "  mpirun -n 4 deda decouple --config configs/demo.toml\n"
    "  mpirun -n 4 deda train --config configs/demo.toml --set augment.method=deda --set run.seed=2\n"
    "Every key of a configuration: deda train --help-config. Exit codes: 0 done, 2 wrong configuration, 3 "
    "data, 75 stopped in\n"
    "time (the same command continues), 76 another run writes the folder (wait for it), 1 anything else.";

std::vector<std::string> names_of(const std::vector<Job>& jobs) {
  std::vector<std::string> names;
  for (const Job& job : jobs) names.push_back(job.name);
  return names;
}

void check_subcommand(const std::string& word, const std::vector<Job>& jobs,
                      const std::vector<std::string>& left_out) {
  std::vector<std::string> names = names_of(jobs);
  if (std::find(names.begin(), names.end(), word) != names.end()) return;
  if (std::find(left_out.begin(), left_out.end(), word) != left_out.end()) {
    throw ConfigError(fmt::format("this program was built without LibTorch and has no `deda {}`", word),
                      "command line", "Configure with -DDEDA_TORCH=ON and build again.");
  }
  names.insert(names.end(), left_out.begin(), left_out.end());
  const std::string nearest = nearest_name(word, names);
  throw ConfigError(fmt::format("unknown subcommand \"{}\"", word), "command line",
                    nearest.empty() ? std::string{see_help} : fmt::format("Did you mean \"{}\"?", nearest));
}

// "--epocs" -> what was probably meant, among the options of this subcommand.
Problem unexpected_argument(const std::string& word, const CLI::App& app, const std::string& subcommand) {
  std::vector<std::string> options;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
  }
  const std::string bare = word.substr(0, word.find('='));
  const std::string nearest = word.starts_with("-") ? nearest_name(bare, options) : std::string{};
  std::string hint =
      fmt::format("`deda {}--help` lists what it takes.", subcommand.empty() ? "" : subcommand + ' ');
  if (!nearest.empty())
    hint = fmt::format("Did you mean \"{}\"?", nearest);
  else if (subcommand.empty())
    hint = "Options stand behind the subcommand. " + hint;
  else if (word.find('=') != std::string::npos && !word.starts_with("-"))
    hint = fmt::format("Did you mean --set {}?", word);
  return {fmt::format("unexpected argument \"{}\"", word), "command line", hint};
}

void add_common_options(CLI::App& app, const Job& job, CommandLine& line) {
  app.add_flag("--verbose", line.verbose, "say more");
  if (!job.takes_config) return;
  app.add_option_function<std::vector<std::string>>(
         "--config",
         [&line](const std::vector<std::string>& files) {
           line.sources.files.assign(files.begin(), files.end());
         },
         "configuration file (TOML); repeat it: later files win")
      ->allow_extra_args(false)
      ->type_name("FILE");
  app.add_option("--set", line.sources.overrides,
                 "one key of the configuration, as in train.epochs=10; wins over files; repeatable")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  app.add_option_function<std::string>(
         "--method",
         [&line](const std::string& name) { line.sources.overrides.push_back("augment.method=" + name); },
         "as --set augment.method=NAME: deda, or a peer")
      ->type_name("NAME");
  app.add_option_function<std::string>(
         "--out", [&line](const std::string& folder) { line.output = folder; },
         "folder for all results (run.output)")
      ->type_name("DIR");
  app.add_flag("--print-config", line.print_config, "print the complete configuration as TOML and end");
  app.add_flag("--help-config", line.help_config,
               "print every key of the configuration with its default and range and end");
  app.add_flag("--dry-run", line.options.dry_run, "check everything, print the plan, write nothing");
  app.add_option_function<std::string>(
         "--trace", [&line](const std::string& folder) { line.options.trace = folder; },
         "write the tensors of the first steps there, to replay them elsewhere")
      ->type_name("DIR");
  app.add_option("--trace-steps", line.options.trace_steps, "how many steps or items to trace")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
}

// All that CLI11 found wrong, as problems.
std::vector<Problem> problems_of(const CLI::ParseError& error, const CLI::App& app) {
  const auto selected = app.get_subcommands();
  const CLI::App& where = selected.empty() ? app : *selected.front();
  const std::string subcommand = selected.empty() ? std::string{} : selected.front()->get_name();
  std::vector<Problem> problems;
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    bool after_option = false;
    for (const std::string& word : app.remaining(/*recurse=*/true)) {
      // What follows an unknown option is most likely its value: one mistake, one problem.
      const bool option = word.starts_with("-");
      if (option || !after_option) problems.push_back(unexpected_argument(word, where, subcommand));
      after_option = option && word.find('=') == std::string::npos;
    }
  }
  if (problems.empty()) {
    problems.push_back({error.what(), "command line",
                        subcommand.empty() ? std::string{see_help}
                                           : fmt::format("`deda {} --help` shows an example.", subcommand)});
  }
  return problems;
}

}  // namespace

CommandLine parse_command_line(const std::vector<Job>& jobs, const std::vector<std::string>& left_out,
                               int argc, const char* const* argv) {
  CommandLine line;
  CLI::App app{description, "deda"};
  app.footer(footer);
  app.require_subcommand(1);
  bool version = false;
  app.add_flag("--version", version, "print the versions of the program and of all it was built with");
  for (const Job& job : jobs) {
    CLI::App* subcommand = app.add_subcommand(job.name, job.summary);
    if (!job.example.empty()) subcommand->footer("Example\n  " + job.example);
    add_common_options(*subcommand, job, line);
    if (job.add_options) job.add_options(*subcommand);
  }
  if (argc < 2) throw ConfigError("no subcommand given", "command line", see_help);
  const std::string first = argv[1];
  if (first == "--version") {
    line.text = version_text();
    return line;
  }
  if (!first.starts_with("-")) check_subcommand(first, jobs, left_out);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    line.text = app.help();
    return line;
  } catch (const CLI::ParseError& error) {
    throw ConfigError(problems_of(error, app));
  }
  const std::string chosen = app.get_subcommands().front()->get_name();
  line.job = &*std::find_if(jobs.begin(), jobs.end(), [&](const Job& job) { return job.name == chosen; });
  line.options.configured = !line.sources.files.empty() || !line.sources.overrides.empty();
  return line;
}

}  // namespace deda::jobs
