// The checks by name: see usage below.
#include <cstdio>
#include <exception>
#include <functional>

#include "check.h"
#include "core/error.h"

namespace deda::check {
namespace {

constexpr const char* usage =
    "device_check SUBCOMMAND ...: checks of tests/device/run.sh; figures as JSON lines on standard output\n"
    "  gpu                         whether there is a GPU to check, in a sentence\n"
    "  nccl                        the plugin, its GPUs and memory, a NCCL group over the ranks of mpirun\n"
    "  networks --golden DIR --toy DIR --work DIR --record DIR [--deeplab DIR] [--device cpu|cuda] "
    "[--write [--inputs DIR]] [--precisions all] [--only NAME,NAME]\n"
    "                              every network of `deda forward` against the record; --write makes the "
    "record\n"
    "  compare A B [--limit R]     the tensors of two safetensors files: relative and largest error\n"
    "  same A B                    two files or folders, byte by byte (events-* aside)\n"
    "  summary RUN                 counts, losses and accuracies of a pipeline's output folder as JSON\n"
    "  close RECORD RUN            the same of RUN against a recorded summary, within the stated tolerances\n"
    "  accuracies OUT              of the finished runs in a folder, per method and seed, with mean and "
    "deviation\n"
    "  pictures FROM TO [--side 256] [--quality 90]   an Oxford-IIIT Pet folder with smaller pictures\n"
    "  part --part N --name TEXT --status S --seconds T [--reason TEXT] [--figures FILE]   one line of "
    "results.jsonl\n"
    "  table results.jsonl [--line TEXT]   Markdown\n"
    "Exit codes: 0 passed, 1 failed, 2 wrong call, 3 no GPU to check.\n";

Outcome run(const std::string& name, const std::vector<std::string>& words) {
  const std::map<std::string, std::function<Outcome(const Arguments&)>> subcommands{
      {"nccl", nccl},
      {"networks", networks},
      {"compare", compare},
      {"same", same},
      {"summary", summary},
      {"close", close_to},
      {"accuracies", accuracies},
      {"gpu", gpu},
      {"pictures", pictures},
      {"part", part},
      {"table", table}};
  const auto found = subcommands.find(name);
  if (found == subcommands.end()) {
    std::fputs(usage, stderr);
    return Outcome::wrong_call;
  }
  return found->second(Arguments(words, {"write"}));
}

}  // namespace

Arguments::Arguments(const std::vector<std::string>& words, const std::vector<std::string>& flags) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i].rfind("--", 0) != 0) {
      plain.push_back(words[i]);
      continue;
    }
    const std::string name = words[i].substr(2);
    bool flag = false;
    for (const auto& each : flags) flag = flag || each == name;
    if (flag) {
      named[name] = "yes";
    } else if (i + 1 == words.size()) {
      throw ConfigError("--" + name + " needs a value");
    } else {
      named[name] = words[++i];
    }
  }
}

std::string Arguments::get(const std::string& name, const std::string& otherwise) const {
  const auto found = named.find(name);
  return found == named.end() ? otherwise : found->second;
}

std::string Arguments::required(std::size_t index, const std::string& what) const {
  if (index >= plain.size()) throw ConfigError(what + " is missing on the command line");
  return plain[index];
}

void print(const Figure& figure) {
  nlohmann::ordered_json line{{"figure", figure.name}, {"value", figure.value}};
  if (!figure.unit.empty()) line["unit"] = figure.unit;
  if (!figure.goal.empty()) {
    line["goal"] = figure.goal;
    line["passed"] = figure.passed;
  }
  if (!figure.note.empty()) line["note"] = figure.note;
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

}  // namespace deda::check

int main(int argc, char** argv) {
  using deda::check::Outcome;
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.empty()) return static_cast<int>(deda::check::run({}, {}));
    return static_cast<int>(deda::check::run(words.front(), {words.begin() + 1, words.end()}));
  } catch (const deda::ConfigError& error) {
    std::fprintf(stderr, "device_check: %s\n", error.what());
    return static_cast<int>(Outcome::wrong_call);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "device_check: %s\n", error.what());
    return static_cast<int>(Outcome::failed);
  }
}
