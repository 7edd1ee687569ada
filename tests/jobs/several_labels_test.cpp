// Several labels per picture, few pictures per class and test pictures of another dataset, by the real
// program on made-up pictures from end to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>

#include "command.h"
#include "core/files.h"
#include "support/made_up_voc.h"
#include "support/temporary_folder.h"

namespace deda {
namespace {

using test::CommandResult;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;
using Json = nlohmann::json;

class SeveralLabels : public testing::Test {
 protected:
  void SetUp() override {
    const auto help = test::run_command(DEDA_PROGRAM " train --help");
    if (help.errors.find("without LibTorch") != std::string::npos) GTEST_SKIP() << "no LibTorch";
  }
  CommandResult deda(const std::string& arguments, int ranks = 1, int seconds = 60) const {
    const std::string program =
        ranks == 1 ? DEDA_PROGRAM : DEDA_MPIEXEC " -n " + std::to_string(ranks) + " " DEDA_PROGRAM;
    return test::run_command(program + " " + arguments + " --out " + (folder / "out").string(), seconds);
  }
  std::string voc_settings() const {
    return " --set dataset.layout=voc2007 --set dataset.root=" + (folder / "voc").string() +
           " --set decouple.sources=[\\\"annotated\\\"] --set augment.resize_shorter=52 --set augment.crop=48"
           " --set augment.p_syn=0 --set train.epochs=2 --set train.batch_size=8 --set run.threads=1"
           " --set train.device=cpu";
  }
  std::filesystem::path one(const std::string& stage) const {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "out")) {
      if (entry.path().filename().string().starts_with(stage + "-")) found.push_back(entry.path());
    }
    if (found.size() != 1) throw std::runtime_error(std::to_string(found.size()) + " folders of " + stage);
    return found.front();
  }
  Json json(const std::filesystem::path& file) const { return Json::parse(read_text(file)); }

  TemporaryFolder folder;
};

std::string last_line(std::string text) {
  while (text.ends_with('\n')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

// Labels of a picture of the made-up dataset, as its annotation has them.
std::set<int> labels_of(const std::filesystem::path& root, const std::string& name) {
  const std::string text = read_text(root / "Annotations" / (name + ".xml"));
  std::set<int> labels;
  for (std::size_t id = 0; id < test::made_up_voc::kinds.size(); ++id) {
    if (text.find(std::string{"<name>"} + test::made_up_voc::kinds[id] + "</name>") != std::string::npos)
      labels.insert(static_cast<int>(id));
  }
  return labels;
}

std::set<int> present(const Json& label) {
  std::set<int> ids;
  for (std::size_t id = 0; id < label.size(); ++id) {
    EXPECT_TRUE(label[id] == 0.0 || label[id] == 1.0) << label;
    if (label[id] == 1.0) ids.insert(static_cast<int>(id));
  }
  return ids;
}

TEST_F(SeveralLabels, TrainWithDeDaFromAnnotationsToScores) {
  test::write_made_up_voc(folder / "voc", {.train = 24, .test = 13, .size = 56});
  const std::string settings = voc_settings();
  ASSERT_EQ(deda("decouple" + settings).code, 0);
  const CommandResult trained = deda("train" + settings, 2);
  ASSERT_EQ(trained.code, 0) << trained.errors;
  EXPECT_THAT(trained.output,
              AllOf(HasSubstr("exact match, %"), HasSubstr("mAP 11-point"), HasSubstr("F1 macro")));
  const auto run = one("train");
  const Json results = json(run / "results.json");
  EXPECT_EQ(results.at("objective"), "multi_label");
  EXPECT_EQ(results.at("dataset"), "voc");
  EXPECT_EQ(results.at("accuracy").at("all").at("images"), 13);
  for (const char* metric : {"mAP", "mAP 11-point", "F1 micro", "F1 macro"}) {
    const double last = results.at("metrics").at(metric).at("last");
    EXPECT_GE(last, 0) << metric;
    EXPECT_LE(last, 100) << metric;
  }
  EXPECT_THAT(read_text(run / "history.csv"),
              testing::StartsWith("epoch,learning_rate,loss,accuracy.all,metric.mAP,metric.mAP 11-point,"));

  // The same numbers on any number of ranks, and those of the run.
  std::vector<Json> evaluations;
  for (const int ranks : {1, 2, 3}) {
    const CommandResult evaluated = deda("evaluate --weights last" + settings, ranks);
    ASSERT_EQ(evaluated.code, 0) << evaluated.errors;
    evaluations.push_back(json(run / "evaluation-last-test.json"));
    EXPECT_EQ(evaluations.back().at("groups"), evaluations.front().at("groups")) << ranks;
    for (const auto& [name, value] : evaluations.back().at("metrics").items())
      EXPECT_NEAR(value.get<double>(), results.at("metrics").at(name).at("last").get<double>(), 1e-9)
          << name << " on " << ranks << " ranks";
  }
  EXPECT_EQ(evaluations.front().at("groups").at("all").at("accuracy"),
            results.at("accuracy").at("all").at("last"));

  const CommandResult inspected =
      deda("inspect " + (folder / "out").string() + " --report " + (folder / "page.html").string());
  ASSERT_EQ(inspected.code, 0) << inspected.errors;
  EXPECT_THAT(inspected.output,
              AllOf(HasSubstr("exact match (%) of the last epoch"), HasSubstr("mAP 11-point")));
  EXPECT_THAT(read_text(folder / "page.html"),
              AllOf(HasSubstr("binary cross entropy"), HasSubstr("F1 micro")));

  const CommandResult single =
      deda("train" + settings +
           " --set train.objective=single_label --set augment.method=plain --set train.epochs=1");
  ASSERT_EQ(single.code, 0) << single.errors;
  EXPECT_THAT(single.output, HasSubstr("top-1 accuracy, %")) << "the largest object's class";
}

TEST_F(SeveralLabels, EverySamplesLabelsFollowFromItsDraws) {
  test::write_made_up_voc(folder / "voc", {.train = 36, .test = 2, .size = 56});
  const std::string settings = voc_settings() + " --set augment.p_aug=0.8";
  ASSERT_EQ(deda("decouple" + settings).code, 0);
  const auto name_of = [](std::int64_t index) { return fmt::format("a{:04}", index); };
  int combined = 0, mixed = 0, natural = 0, second_labels = 0;
  for (const char* further : {"", " --set augment.mixed_label=area", " --set augment.paste_on=true"}) {
    const bool area = std::string{further}.find("area") != std::string::npos,
               paste_on = std::string{further}.find("paste_on") != std::string::npos;
    const CommandResult drawn = deda("train --trace-draws 36" + settings + further);
    ASSERT_EQ(drawn.code, 0) << drawn.errors;
    std::istringstream lines(drawn.output);
    for (std::string text; std::getline(lines, text);) {
      if (!text.starts_with('{')) continue;
      const Json line = Json::parse(text);
      const std::set<int> own = labels_of(folder / "voc", name_of(line.at("index")));
      if (line.at("augmented") == 0) {
        ++natural;
        EXPECT_EQ(present(line.at("label")), own) << text;
        continue;
      }
      ++combined;
      const int class1 = line.at("class1"), class2 = line.at("class2");
      EXPECT_EQ(own.count(class1), 1u) << "the anchor's label is one of its picture's: " << text;
      second_labels += class1 != *own.begin();
      const std::set<int> donor = labels_of(folder / "voc", name_of(line.at("cip")));
      std::set<int> pasted{class1};
      if (line.at("mix") >= 0) {
        ++mixed;
        EXPECT_NE(class1, class2) << text;
        EXPECT_EQ(labels_of(folder / "voc", name_of(line.at("mix"))).count(class2), 1u) << text;
        pasted.insert(class2);
      } else {
        EXPECT_EQ(class2, -1);
      }
      for (const int id : pasted)
        EXPECT_EQ(donor.count(id), 0u) << "the background shares no label: " << text;
      if (area) {
        const double first = line.at("area1"), second = line.at("area2");
        EXPECT_NEAR(line.at("label").at(static_cast<std::size_t>(class1)).get<double>(),
                    first / (first + second), 1e-6);
        if (class2 >= 0)
          EXPECT_NEAR(line.at("label").at(static_cast<std::size_t>(class2)).get<double>(),
                      second / (first + second), 1e-6);
        continue;
      }
      std::set<int> expected = pasted;
      if (paste_on) expected.insert(donor.begin(), donor.end());
      EXPECT_EQ(present(line.at("label")), expected) << text;
    }
  }
  EXPECT_GT(combined, 60);
  EXPECT_GT(mixed, 20);
  EXPECT_GT(natural, 5);
  EXPECT_GT(second_labels, 3) << "anchors are not always the first label";
}

TEST_F(SeveralLabels, NameWhatIsWrongWithAnnotations) {
  test::write_made_up_voc(folder / "voc", {.train = 4, .test = 2, .size = 40});
  const std::string settings = voc_settings();
  write_atomically(folder / "voc/Annotations/a0001.xml", "<annotation></annotation>");
  CommandResult told = deda("train --set augment.method=plain" + settings);
  EXPECT_EQ(told.code, 3);
  EXPECT_THAT(told.errors, HasSubstr("a0001.xml: lists no object"));
  write_atomically(
      folder / "voc/Annotations/a0001.xml",
      "<annotation><object><name>unicorn</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax>"
      "<ymax>5</ymax></bndbox></object></annotation>");
  told = deda("train --set augment.method=plain" + settings);
  EXPECT_EQ(told.code, 3);
  EXPECT_THAT(told.errors, HasSubstr("unknown class \"unicorn\""));
  told = deda("train --set train.label_smoothing=0.1 --set augment.method=plain" + settings);
  EXPECT_NE(told.code, 0);
}

// The same few pictures for decoupling, identifiers, synthetic CDPs and training, and a list of them.
TEST_F(SeveralLabels, FewPicturesAreTheSameInAllStages) {
  test::write_made_up_voc(folder / "voc", {.train = 30, .test = 2, .size = 64});
  const std::string settings =
      voc_settings() +
      " --set dataset.images_per_class=3 --set dataset.subset_seed=4 --set augment.p_syn=0.5"
      " --set models.base=" DEDA_SOURCE_DIR
      "/configs/models/toy --set diffusion.init_word=beetle --set invert.steps=2"
      " --set invert.batch=2 --set generate.copies=1 --set generate.steps=4 --set generate.guidance=1 --set"
      " generate.allow_empty=true --set augment.allow_empty=true --set train.epochs=1";
  for (const char* stage : {"decouple", "invert", "generate", "train"}) {
    const CommandResult made = deda(stage + settings);
    ASSERT_EQ(made.code, 0) << stage << ": " << made.errors;
  }
  const std::string list = read_text(one("decouple") / "few_shot.csv");
  for (const char* stage : {"invert", "generate", "train"})
    EXPECT_EQ(read_text(one(stage) / "few_shot.csv"), list) << stage;
  // The list is what the stages have used: decouple's sources are its pictures, synthetic CDPs are of them.
  std::vector<std::string> listed;
  std::istringstream lines(list);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('"')) listed.push_back(line.substr(1, line.find('"', 1) - 1));
  }
  EXPECT_GE(listed.size(), 3u);
  EXPECT_LE(listed.size(), 9u) << "three of each kind at most";
  const Json manifest = json(one("decouple") / "manifest.json");
  const auto sources = manifest.at("sources").get<std::vector<std::string>>();
  EXPECT_EQ(sources, listed);
  const std::set<std::string> known(listed.begin(), listed.end());
  std::set<std::string> used;
  const Json synthetic = json(one("generate") / "manifest.json");
  for (const auto& source : synthetic.at("sources")) used.insert(source.get<std::string>());
  for (const auto& source : used) EXPECT_EQ(known.count(source), 1u) << source;
  EXPECT_EQ(used.size(), known.size());
}

// A classifier of one dataset's classes, tested by groups of another's pictures (paper table 5).
TEST_F(SeveralLabels, AClassifierIsTestedByGroupsOfAnotherDataset) {
  const auto cub = folder / "cub", birds = folder / "birds";
  std::string classes, images, labels, splits,
      metadata = "img_id,img_filename,y,split,place,place_filename\n";
  RandomStream draws{1, Purpose::toy_dataset, 9, 0};
  const auto picture = [&](const std::filesystem::path& file, int kind) {
    io::Image image(40, 40, 3);
    for (auto& value : image.pixels)
      value = static_cast<std::uint8_t>(80 * kind + static_cast<int>(draws.below(60)));
    make_folder(file.parent_path());
    io::write_image(file, image);
  };
  for (int kind = 0; kind < 2; ++kind) {
    const std::string species = kind == 0 ? "001.Black_footed_Albatross" : "002.Laysan_Albatross";
    classes += fmt::format("{} {}\n", kind + 1, species);
    for (int i = 0; i < 6; ++i) {
      const int id = 6 * kind + i + 1;
      const std::string path = fmt::format("{}/{}.jpg", species, id);
      images += fmt::format("{} {}\n", id, path);
      labels += fmt::format("{} {}\n", id, kind + 1);
      splits += fmt::format("{} {}\n", id, i < 4 ? 1 : 0);
      picture(cub / "images" / path, kind);
      if (i < 4) continue;
      // Of one group three pictures, of the others one or none.
      for (int copy = 0; copy < (kind == 1 && i == 4 ? 3 : 1); ++copy) {
        const std::string name = fmt::format("{}/{}_{}.jpg", species, id, copy);
        metadata += fmt::format("{},{},{},2,{},/x\n", id, name, kind, i - 4);
        picture(birds / name, kind);
      }
    }
  }
  write_atomically(cub / "classes.txt", classes);
  write_atomically(cub / "images.txt", images);
  write_atomically(cub / "image_class_labels.txt", labels);
  write_atomically(cub / "train_test_split.txt", splits);
  write_atomically(birds / "metadata.csv", metadata);
  const CommandResult trained =
      deda("train --set dataset.layout=cub --set dataset.root=" + cub.string() +
               " --set dataset.test_root=" + birds.string() +
               " --set augment.method=plain --set augment.resize_shorter=40 --set augment.crop=36 --set "
               "train.epochs=1"
               " --set train.batch_size=4 --set train.device=cpu --set run.threads=1",
           2);
  ASSERT_EQ(trained.code, 0) << trained.errors;
  EXPECT_THAT(trained.output, AllOf(HasSubstr("landbird on water"), HasSubstr("mean of groups")));
  const Json results = json(one("train") / "results.json");
  EXPECT_EQ(results.at("dataset"), "CUB-200-2011, tested on Waterbirds");
  const auto& accuracy = results.at("accuracy");
  EXPECT_EQ(accuracy.at("all").at("images"), 6);
  double sum = 0, weighted = 0;
  for (const char* group :
       {"landbird on land", "landbird on water", "waterbird on land", "waterbird on water"}) {
    const double last = accuracy.at(group).at("last"), pictures = accuracy.at(group).at("images");
    EXPECT_EQ(pictures, std::string{group} == "waterbird on land" ? 3 : 1) << group;
    sum += last / 4;
    weighted += last * pictures / 6;
  }
  EXPECT_NEAR(accuracy.at("all").at("last").get<double>(), weighted, 1e-9);
  EXPECT_NEAR(results.at("mean_of_groups").at("last").get<double>(), sum, 1e-9);
  const CommandResult inspected = deda("inspect " + (folder / "out").string());
  EXPECT_THAT(inspected.output, AllOf(HasSubstr("waterbird on land"), HasSubstr("mean of groups")));
}

// Minutes: with DEDA_TEST_ALL=1 alone.
TEST_F(SeveralLabels, DeDaBeatsPlainTrainingOnExactMatchOverFiveSeeds) {
  if (std::getenv("DEDA_TEST_ALL") == nullptr) GTEST_SKIP() << "takes minutes: set DEDA_TEST_ALL=1";
  test::write_made_up_voc(folder / "voc", {.train = 120, .test = 120, .size = 96});
  const std::string settings =
      " --set dataset.layout=voc2007 --set dataset.root=" + (folder / "voc").string() +
      " --set decouple.sources=[\\\"annotated\\\"] --set augment.resize_shorter=72 --set augment.crop=64"
      " --set augment.scale=native --set augment.p_syn=0 --set train.epochs=30 --set train.batch_size=16"
      " --set train.milestones=[22] --set train.evaluate_every=10 --set train.device=cpu";
  ASSERT_EQ(deda("decouple" + settings).code, 0);
  std::vector<double> differences;
  double plain_sum = 0, deda_sum = 0;
  for (int seed = 1; seed <= 5; ++seed) {
    std::array<double, 2> last{};
    for (const bool with_parts : {false, true}) {
      const std::string own = settings + " --set run.seed=" + std::to_string(seed) +
                              " --set augment.method=" + (with_parts ? "deda" : "plain");
      const CommandResult trained = deda("train" + own, 1, 1200);
      ASSERT_EQ(trained.code, 0) << trained.errors;
      last[with_parts ? 1 : 0] = json(std::filesystem::path{last_line(trained.output)} / "results.json")
                                     .at("accuracy")
                                     .at("all")
                                     .at("last");
    }
    plain_sum += last[0] / 5;
    deda_sum += last[1] / 5;
    differences.push_back(last[1] - last[0]);
    std::printf("seed %d: exact match plain %.2f %%, De-DA %.2f %%\n", seed, last[0], last[1]);
  }
  std::printf("mean: plain %.2f %%, De-DA %.2f %%\n", plain_sum, deda_sum);
  EXPECT_GT(deda_sum, plain_sum);
  EXPECT_GE(std::count_if(differences.begin(), differences.end(), [](double each) { return each > 0; }), 4);
}

}  // namespace
}  // namespace deda
