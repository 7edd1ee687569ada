// The real program as a user meets it: mistakes in the command line and the configuration, help, versions,
// doctor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "command.h"
#include "core/files.h"
#include "support/temporary_folder.h"

namespace deda {
namespace {

using test::CommandResult;
using test::run_command;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

CommandResult deda(const std::string& arguments) {
  return run_command(DEDA_PROGRAM " " + arguments);
}

TEST(Program, ListsThreeMistakesOfAConfigurationBeforeAnyWork) {
  const TemporaryFolder folder;
  const std::string config = (folder / "run.toml").string(), output = (folder / "out").string();
  write_atomically(config, "[run]\nseeed = 1\n[dataset]\nlayout = \"tyo\"\n[train]\nepochs = \"many\"\n");
  const CommandResult result = deda("decouple --config " + config + " --out " + output);
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(
      result.errors,
      AllOf(HasSubstr("3 problems"),
            HasSubstr(config + ":2:1: run.seeed: unknown key. Did you mean \"seed\"?"),
            HasSubstr(config + ":4:10: dataset.layout: unknown name \"tyo\". Did you mean \"toy\"?"),
            HasSubstr(config + ":6:10: train.epochs: a whole number is wanted here, found \"many\"")));
  EXPECT_FALSE(std::filesystem::exists(output));
}

TEST(Program, SuggestsTheNearestSubcommandAndOption) {
  const CommandResult subcommand = deda("decuple");
  EXPECT_EQ(subcommand.code, 2);
  EXPECT_THAT(subcommand.errors, HasSubstr("unknown subcommand \"decuple\". Did you mean \"decouple\"?"));
  const CommandResult option = deda("decouple --confg x.toml");
  EXPECT_EQ(option.code, 2);
  EXPECT_THAT(option.errors,
              AllOf(HasSubstr("\"--confg\". Did you mean \"--config\"?"), Not(HasSubstr("problems"))));
  const CommandResult bare = deda("decouple run.seed=3");
  EXPECT_EQ(bare.code, 2);
  EXPECT_THAT(bare.errors, HasSubstr("Did you mean --set run.seed=3?"));
  EXPECT_EQ(deda("").code, 2);
  EXPECT_EQ(deda("--config x.toml").code, 2);
  EXPECT_EQ(deda("decouple --config").code, 2);
  EXPECT_EQ(deda("decouple --trace-steps 0").code, 2);
}

TEST(Program, NamesAConfigurationThatIsNotThere) {
  const CommandResult result = deda("decouple --config /nowhere/run.toml");
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.errors, AllOf(HasSubstr("/nowhere/run.toml"), HasSubstr("No such file or directory")));
}

TEST(Program, PrintsAConfigurationThatReadsBackToItself) {
  const TemporaryFolder folder;
  const CommandResult first =
      deda("decouple --print-config --set run.seed=7 --set train.epochs=3 --out /somewhere/else");
  ASSERT_EQ(first.code, 0) << first.errors;
  EXPECT_THAT(first.output, AllOf(HasSubstr("seed = 7\n"), HasSubstr("epochs = 3\n"),
                                  HasSubstr("output = \"/somewhere/else\"\n")));
  write_atomically(folder / "again.toml", first.output);
  const CommandResult second = deda("decouple --print-config --config " + (folder / "again.toml").string());
  ASSERT_EQ(second.code, 0) << second.errors;
  EXPECT_EQ(second.output, first.output);
}

TEST(Program, ExplainsItself) {
  const CommandResult all = deda("--help");
  EXPECT_EQ(all.code, 0);
  for (const char* name :
       {"toy", "decouple", "generate", "train", "evaluate", "diversity", "inspect", "forward", "doctor"}) {
    if (deda(std::string{name} + " --help").errors.find("without LibTorch") != std::string::npos) continue;
    EXPECT_THAT(all.output, testing::ContainsRegex(std::string{"\n  "} + name + " +[A-Z]")) << name;
    const CommandResult one = deda(std::string{name} + " --help");
    EXPECT_EQ(one.code, 0) << name;
    EXPECT_THAT(one.output, HasSubstr("Example\n  ")) << name;
  }
  EXPECT_THAT(deda("decouple --help-config").output, AllOf(HasSubstr("[dataset]"), HasSubstr("default")));
}

TEST(Program, SaysThatSyntheticCdpsHaveToBeMadeFirst) {
  if (deda("train --help").errors.find("without LibTorch") != std::string::npos)
    GTEST_SKIP() << "no LibTorch";
  const TemporaryFolder folder;
  const std::string common = " --out " + (folder / "out").string() +
                             " --set dataset.root=" + (folder / "toy").string() +
                             " --set toy.train_per_class=2 --set toy.test_per_class=1 --set toy.size=48";
  ASSERT_EQ(deda("toy" + common).code, 0);
  const CommandResult train = deda("train" + common + " --set train.synthetic_store=/no/synthetic");
  EXPECT_EQ(train.code, 3) << train.errors;
  EXPECT_THAT(train.errors, AllOf(HasSubstr("no store of synthetic CDPs"), HasSubstr("/no/synthetic"),
                                  HasSubstr("deda generate"), HasSubstr("augment.p_syn=0")));
  const CommandResult real_alone = deda("train" + common + " --set augment.p_syn=0");
  EXPECT_EQ(real_alone.code, 3);
  EXPECT_THAT(real_alone.errors, AllOf(HasSubstr("no store of parts"), Not(HasSubstr("synthetic"))));
  // Wrong in several ways, told before a network is loaded.
  const CommandResult generate = deda("generate" + common + " --set models.base=/no/model");
  EXPECT_EQ(generate.code, 3) << generate.errors;
  EXPECT_THAT(generate.errors, HasSubstr("/no/model"));
}

TEST(Program, InspectShowsThePicturesThatTheConfigurationOrTheStoreNamesOrSaysThatTheyAreMissing) {
  const TemporaryFolder folder;
  const auto toy = folder / "toy", output = folder / "out";
  const std::string common =
      " --out " + output.string() + " --set dataset.root=" + toy.string() +
      " --set toy.train_per_class=2 --set toy.test_per_class=1 --set toy.size=48 --set "
      "augment.crop=32 --set augment.resize_shorter=36";
  ASSERT_EQ(deda("toy" + common).code, 0);
  ASSERT_EQ(deda("decouple" + common).code, 0);
  const std::string found = "Pictures from " + toy.string() + ".";
  const CommandResult configured = deda("inspect" + common + " --sheet " + (folder / "sheet.png").string());
  ASSERT_EQ(configured.code, 0) << configured.errors;
  EXPECT_THAT(configured.output, HasSubstr(found));
  EXPECT_THAT(read_text(output / "report.html"), HasSubstr(found));
  const CommandResult by_path =
      deda("inspect " + output.string() + " --report " + (folder / "page.html").string());
  ASSERT_EQ(by_path.code, 0) << by_path.errors;
  EXPECT_THAT(read_text(folder / "page.html"),
              AllOf(HasSubstr(found), HasSubstr("by the default values of [augment]")));
  std::filesystem::rename(toy / "images", folder / "elsewhere");
  const CommandResult missing = deda("inspect" + common + " --sheet " + (folder / "sheet.png").string());
  ASSERT_EQ(missing.code, 0) << missing.errors;
  EXPECT_THAT(missing.output, AllOf(HasSubstr("not on disk"), HasSubstr("--data")));
  EXPECT_THAT(read_text(output / "report.html"), AllOf(HasSubstr("not on disk"), Not(HasSubstr(found))));
}

TEST(Program, NamesTheVersionsOfItsParts) {
  const CommandResult result = deda("--version");
  EXPECT_EQ(result.code, 0);
  for (const char* part :
       {"deda ", "compiler", "MPI", "HDF5", "LibTorch", "OpenCV", "fmt", "CUDA/NCCL plugin"}) {
    EXPECT_THAT(result.output, HasSubstr(part));
  }
}

TEST(Doctor, WorksWithoutAConfiguration) {
  const CommandResult result = deda("doctor");
  EXPECT_EQ(result.code, 0) << result.output;
  for (const char* part : {"MPI", "processor", "LibTorch", "Slurm", "GB free", "Nothing is in the way"})
    EXPECT_THAT(result.output, HasSubstr(part));
}

TEST(Doctor, FindsWhatIsMissing) {
  const TemporaryFolder folder;
  const std::string weights = (folder / "weights.safetensors").string();
  write_atomically(weights, "this is no header");
  const CommandResult result = deda(
      "doctor --set dataset.layout=pets --set dataset.root=/nowhere --set train.store=/no/store --set "
      "train.synthetic_store=/no/synthetic --set "
      "train.weights=" +
      weights);
  EXPECT_EQ(result.code, 3) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("to mend"), HasSubstr("/nowhere"), HasSubstr("/no/store"),
                                   HasSubstr("/no/synthetic"), HasSubstr(weights)));
}

TEST(Doctor, SpeaksOnceForAllRanks) {
  const CommandResult result = run_command(DEDA_MPIEXEC " -n 2 " DEDA_PROGRAM " doctor");
  EXPECT_EQ(result.code, 0) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("2 on 1 host"));
  EXPECT_EQ(result.output.find("Nothing is in the way"), result.output.rfind("Nothing is in the way"));
}

}  // namespace
}  // namespace deda
