// The comparison: which runs share a mean, spread, differences, and what it says of runs that are missing,
// unfinished, of unknown settings, or there twice.
#include "report/comparison.h"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "core/files.h"
#include "report/run_groups.h"
#include "support/temporary_folder.h"

namespace deda::report {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

using Json = nlohmann::json;

// A setting of the whole configuration; of the training's own settings too where it has an effect on it.
void configure(RunResults& run, const std::string& key, const Json& value) {
  Json configuration = Json::parse(run.provenance->configuration);
  configuration[key] = value;
  run.provenance->configuration = configuration.dump();
}
void set(RunResults& run, const std::string& key, const Json& value) {
  Json settings = Json::parse(run.provenance->settings);
  settings[key] = value;
  run.provenance->settings = settings.dump();
  configure(run, key, value);
}
RunResults with(RunResults run, const std::string& key, const Json& value) {
  set(run, key, value);
  run.folder += "-" + key + value.dump();
  return run;
}

RunResults run(const std::string& method, std::int64_t seed, double usual, double swapped,
               bool finished = true) {
  RunResults result;
  result.folder = "runs/" + method + std::to_string(seed);
  result.method = method;
  result.network = "resnet18";
  result.dataset = "toy";
  result.seed = seed;
  result.epochs = result.epochs_done = 20;
  result.finished = finished;
  result.groups = {"all", "swapped background"};
  result.accuracy["all"] = {usual + 1, usual, usual, 100};
  result.accuracy["swapped background"] = {swapped + 1, swapped, swapped, 50};
  result.provenance = {.stage = "train",
                       .key = "f" + std::to_string(seed),
                       .needs = {},
                       .inputs = {{"pictures", "0123456789abcdef"}},
                       .settings = "{}",
                       .configuration = "{}",
                       .code_version = "1.0",
                       .processor = "a processor"};
  set(result, "run.seed", seed);
  set(result, "augment.method", method == "plain" ? "plain" : "deda");
  set(result, "augment.crop", 64);
  set(result, "train.batch_size", 16);
  set(result, "train.milestones", {10, 15});
  configure(result, "decouple.fill", "alpha_pyramid");
  configure(result, "decouple.exclude", "");
  configure(result, "diffusion.strength", 0.4);
  if (method == "plain") return result;
  set(result, "augment.p_aug", 0.5);
  set(result, "augment.p_syn", method == "deda" ? 0.25 : 0.0);
  result.provenance->needs["decouple"] = "dddddddddddddddd";
  if (method == "deda") result.provenance->needs["generate"] = "eeeeeeeeeeeeeeee";
  return result;
}

RunResults of_earlier_program(RunResults run) {
  run.provenance.reset();
  return run;
}

Comparison only(const std::vector<RunResults>& runs) {
  const auto comparisons = compare(runs);
  EXPECT_EQ(comparisons.size(), 1u);
  return comparisons.at(0);
}

// Titles and cells of the groups, as "De-DA 0.5".
std::vector<std::string> titles_of(const Comparison& comparison) {
  std::vector<std::string> titles;
  for (const MethodSummary& method : comparison.methods) {
    titles.push_back(method_title(method.method, method.masks));
    for (const std::string& cell : method.settings) titles.back() += ' ' + cell;
  }
  return titles;
}

TEST(Comparison, GivesMeanSpreadAndDifferenceToPlain) {
  const auto comparisons = compare(
      {run("deda", 1, 80, 60), run("plain", 1, 70, 20), run("plain", 2, 74, 24), run("deda", 2, 82, 66)});
  ASSERT_EQ(comparisons.size(), 1u);
  const Comparison& comparison = comparisons[0];
  ASSERT_EQ(comparison.methods.size(), 2u);
  EXPECT_EQ(comparison.methods[0].method, "plain") << "plain comes first";
  EXPECT_DOUBLE_EQ(mean(comparison.methods[1].last.at("swapped background")), 63.0);
  EXPECT_NEAR(deviation(comparison.methods[1].last.at("swapped background")), std::sqrt(18.0), 1e-12);
  const std::string text = to_text(comparison);
  EXPECT_THAT(text, HasSubstr("+41.0"));
  EXPECT_THAT(text, HasSubstr("63.0 ± 4.2"));
  EXPECT_TRUE(comparison.notes.empty());
}

TEST(Comparison, HasAColumnForHeldOutPicturesWhereARunHasThem) {
  auto chosen = with(run("deda", 1, 70, 40), "train.held_out", 0.2);
  chosen.held_out = Accuracy{66, 65, 64, 30};
  const auto comparison = compare({chosen, run("deda", 1, 71, 41)}).at(0);
  ASSERT_THAT(comparison.groups, ElementsAre("all", "swapped background", "held-out training pictures"));
  const std::string text = to_text(comparison);
  EXPECT_THAT(text, HasSubstr("65.0"));
  EXPECT_THAT(text, Not(HasSubstr("nan"))) << text;
  EXPECT_THAT(to_text(compare({run("deda", 1, 71, 41)}).at(0)), Not(HasSubstr("held-out")));
}

TEST(Comparison, NamesWhatIsMissingAndNeverInventsIt) {
  const auto comparisons = compare({run("plain", 1, 70, 20), run("plain", 2, 71, 21), run("deda", 1, 80, 60),
                                    run("deda", 2, 0, 0, false)});
  ASSERT_EQ(comparisons.size(), 1u);
  const std::string text = to_text(comparisons[0]);
  EXPECT_THAT(text, HasSubstr("De-DA (seed 2) is not finished"));
  EXPECT_THAT(text, HasSubstr("De-DA has 1 of 2 seeds"));
}

TEST(Comparison, NamesMaskSourcesInTheTitleWhereThereAreSeveralAndNoSettingTellsThem) {
  RunResults annotated = run("deda-real", 1, 80, 60), other = run("deda-real", 1, 78, 58);
  annotated.masks = "annotated, box_grabcut";
  other.masks = "box_grabcut";
  other.folder = "other";
  other.provenance->needs["decouple"] = "cccccccccccccccc";
  const Comparison both = only({run("plain", 1, 70, 20), annotated, other});
  EXPECT_THAT(both.notes, IsEmpty());
  EXPECT_THAT(both.columns, ElementsAre("decouple"));
  EXPECT_THAT(titles_of(both), ElementsAre("Plain -", "De-DA, real CDPs only [box_grabcut] cccccccc",
                                           "De-DA, real CDPs only [annotated, box_grabcut] dddddddd"));
  EXPECT_THAT(to_text(only({annotated})), Not(HasSubstr("[")));

  configure(annotated, "decouple.sources", {"annotated", "box_grabcut"});
  configure(other, "decouple.sources", Json::array({"box_grabcut"}));
  const Comparison told = only({annotated, other});
  EXPECT_THAT(told.columns, ElementsAre("sources"));
  EXPECT_THAT(titles_of(told), ElementsAre("De-DA, real CDPs only [annotated, box_grabcut]",
                                           "De-DA, real CDPs only [box_grabcut]"));
}

TEST(Comparison, NeverAveragesUnequalSettings) {
  const Comparison comparison = only({run("plain", 1, 70, 20), run("deda", 1, 80, 60), run("deda", 2, 82, 62),
                                      with(run("deda", 1, 90, 70), "augment.p_aug", 0.3),
                                      with(run("deda", 2, 91, 71), "augment.p_aug", 0.3)});
  EXPECT_THAT(comparison.columns, ElementsAre("p_aug"));
  EXPECT_THAT(titles_of(comparison), ElementsAre("Plain -", "De-DA 0.3", "De-DA 0.5"));
  EXPECT_THAT(comparison.methods[1].last.at("all"), ElementsAre(90, 91));
  EXPECT_THAT(comparison.methods[2].last.at("all"), ElementsAre(80, 82));
  const std::string text = to_text(comparison);
  EXPECT_THAT(text, AllOf(HasSubstr("p_aug"), HasSubstr("90.5 ± 0.7"), HasSubstr("81.0 ± 1.4")));
  EXPECT_THAT(text, HasSubstr("+20.5")) << "to plain, which has no p_aug";
  Page page("comparison");
  add_to_page(page, comparison, {});
  EXPECT_THAT(page.html(),
              AllOf(HasSubstr("<th>p_aug</th>"), HasSubstr("<td>0.3</td>"), HasSubstr("<td>-</td>")));
}

TEST(Comparison, HasNoColumnForWhatTheTitleTells) {
  const Comparison methods =
      only({run("plain", 1, 70, 20), run("deda", 1, 80, 60), run("deda-real", 1, 78, 58)});
  EXPECT_THAT(methods.columns, IsEmpty()) << "p_syn is 0 with real CDPs only";
  EXPECT_THAT(to_text(methods),
              AllOf(HasSubstr("De-DA - Plain"), HasSubstr("De-DA, real CDPs only - Plain")));
  const Comparison several = only({run("deda", 1, 80, 60), with(run("deda", 1, 81, 61), "augment.p_syn", 0.5),
                                   run("deda-real", 1, 78, 58)});
  EXPECT_THAT(titles_of(several), ElementsAre("De-DA 0.25", "De-DA 0.5", "De-DA, real CDPs only 0.0"));
}

TEST(Comparison, TakesSettingsBySectionAsWellAsFlat) {
  RunResults flat = run("deda", 1, 80, 60), by_section = run("deda", 2, 82, 62);
  const Json settings = Json::parse(by_section.provenance->settings);
  Json sections = Json::object();
  for (const auto& [key, value] : settings.items())
    sections[key.substr(0, key.find('.'))][key.substr(key.find('.') + 1)] = value;
  by_section.provenance->settings = sections.dump();
  EXPECT_EQ(only({flat, by_section}).methods.size(), 1u);
}

TEST(Comparison, QualifiesNamesOnlyWhereTwoAreTheSame) {
  RunResults other = with(run("deda", 1, 80, 60), "augment.seed", 4);
  set(other, "augment.batch_size", 1);
  set(other, "train.batch_size", 32);
  set(other, "train.milestones", Json::array());
  RunResults first = with(run("deda", 1, 80, 60), "augment.seed", 3);
  set(first, "augment.batch_size", 2);
  EXPECT_THAT(only({first, other}).columns,
              ElementsAre("augment.batch_size", "augment.seed", "train.batch_size", "milestones"));
  EXPECT_THAT(titles_of(only({first, other})), ElementsAre("De-DA 1 4 32 []", "De-DA 2 3 16 [10, 15]"));
}

TEST(Comparison, TellsStoresApartByTheSettingsThatMadeThem) {
  RunResults other = run("deda", 1, 78, 58), real = run("deda-real", 1, 77, 57);
  other.folder = "other";
  other.provenance->needs["generate"] = "9999999999999999";
  configure(other, "diffusion.strength", 0.2);
  configure(other, "models.device", "cuda");   // no effect
  configure(other, "decouple.fill", "telea");  // an equal store of parts: no effect either
  configure(other, "train.bucket_mb", 5);      // not among the settings of the training
  configure(other, "run.threads", 4);
  const Comparison comparison = only({run("plain", 1, 70, 20), run("deda", 1, 80, 60), other, real});
  EXPECT_THAT(comparison.columns, ElementsAre("strength"));
  EXPECT_THAT(titles_of(comparison),
              ElementsAre("Plain -", "De-DA 0.2", "De-DA 0.4", "De-DA, real CDPs only -"));
}

TEST(Comparison, TellsStoresApartByContentWhereNoSettingDoes) {
  RunResults other = run("deda", 1, 78, 58);
  other.folder = "other";
  other.provenance->needs["generate"] = "9999999999999999";
  EXPECT_THAT(only({run("deda", 1, 80, 60), other}).columns, ElementsAre("generate"));
  EXPECT_THAT(titles_of(only({run("deda", 1, 80, 60), other})),
              ElementsAre("De-DA 99999999", "De-DA eeeeeeee"));

  // Parts that were made anew make the synthetic ones anew: one reason, one column.
  other.provenance->needs["decouple"] = "8888888888888888";
  EXPECT_THAT(only({run("deda", 1, 80, 60), other}).columns, ElementsAre("decouple"));

  // A path tells no content, but it helps to read the digits.
  configure(other, "decouple.exclude", "review.exclude.txt");
  const Comparison with_path = only({run("deda", 1, 80, 60), other});
  EXPECT_THAT(with_path.columns, ElementsAre("exclude", "decouple"));
  EXPECT_THAT(titles_of(with_path), ElementsAre("De-DA \"\" dddddddd", "De-DA review.exclude.txt 88888888"));
}

TEST(Comparison, LooksAtIdentifiersWhereTheyHavePartInSyntheticCdps) {
  RunResults first = run("deda", 1, 80, 60), second = run("deda", 1, 78, 58);
  second.folder = "other";
  second.provenance->needs["generate"] = "9999999999999999";
  configure(first, "invert.steps", 400);
  configure(second, "invert.steps", 200);
  EXPECT_THAT(only({first, second}).columns, ElementsAre("steps"));
  for (RunResults* run : {&first, &second}) configure(*run, "generate.identifier", "class_name");
  EXPECT_THAT(only({first, second}).columns, ElementsAre("generate"));
}

TEST(Comparison, DoesNotAskTheConfigurationAboutAStoreThatItOnlyNames) {
  RunResults other = run("deda-real", 1, 78, 58);
  other.folder = "other";
  other.provenance->needs["decouple"] = "8888888888888888";
  configure(other, "decouple.fill", "telea");  // says nothing of the store in another folder
  configure(other, "train.store", "elsewhere/decouple-1");
  RunResults own = run("deda-real", 1, 80, 60);
  configure(own, "train.store", "");
  const Comparison comparison = only({own, other});
  EXPECT_THAT(comparison.columns, ElementsAre("store", "decouple"));
  EXPECT_THAT(titles_of(comparison), ElementsAre("De-DA, real CDPs only \"\" dddddddd",
                                                 "De-DA, real CDPs only elsewhere/decouple-1 88888888"));
}

TEST(Comparison, TellsExcludedPicturesApart) {
  RunResults first = run("deda-real", 1, 80, 60), second = run("deda-real", 1, 78, 58);
  second.folder = "other";
  first.provenance->inputs["decouple.exclude"] = "1111111111111111";
  second.provenance->inputs["decouple.exclude"] = "2222222222222222";
  second.provenance->needs["decouple"] = "8888888888888888";  // follows from it
  EXPECT_THAT(only({first, second}).columns, ElementsAre("decouple.exclude"));
  EXPECT_THAT(titles_of(only({first, second})),
              ElementsAre("De-DA, real CDPs only 11111111", "De-DA, real CDPs only 22222222"));
  // With plain training, which leaves no picture out, it is the difference that is looked for.
  EXPECT_THAT(to_text(only({run("plain", 1, 70, 20), first, second})),
              AllOf(HasSubstr("+10.0"), HasSubstr("+8.0")));
}

TEST(Comparison, TellsFilesApartByPathWhereThatIsEnoughElseByContent) {
  RunResults scratch = run("plain", 1, 70, 20), first = scratch, second = scratch;
  configure(scratch, "train.weights", "");
  first.folder = "first";
  first.provenance->inputs["train.weights"] = "1111111111111111";
  configure(first, "train.weights", "a.safetensors");
  second.folder = "second";
  second.provenance->inputs["train.weights"] = "2222222222222222";
  configure(second, "train.weights", "b.safetensors");
  const Comparison by_path = only({scratch, first, second});
  EXPECT_THAT(by_path.columns, ElementsAre("weights"));
  EXPECT_THAT(titles_of(by_path), ElementsAre("Plain -", "Plain a.safetensors", "Plain b.safetensors"));

  configure(second, "train.weights", "a.safetensors");
  const Comparison by_content = only({scratch, first, second});
  EXPECT_THAT(by_content.columns, ElementsAre("train.weights"));
  EXPECT_THAT(titles_of(by_content), ElementsAre("Plain 11111111", "Plain 22222222", "Plain -"));
}

TEST(Comparison, TellsOtherPicturesApartByTheSettingsThatChoseThem) {
  RunResults few = run("plain", 1, 40, 20), changed = run("plain", 1, 71, 21);
  few.folder = "few";
  few.provenance->inputs["pictures"] = "3333333333333333";
  configure(few, "dataset.images_per_class", 10);
  RunResults all = run("plain", 1, 70, 20);
  configure(all, "dataset.images_per_class", 0);
  EXPECT_THAT(only({all, few}).columns, ElementsAre("images_per_class"));
  EXPECT_THAT(titles_of(only({all, few})), ElementsAre("Plain 0", "Plain 10"));

  changed.folder = "changed";
  changed.provenance->inputs["pictures"] = "4444444444444444";
  EXPECT_THAT(only({run("plain", 1, 70, 20), changed}).columns, ElementsAre("pictures"));
}

TEST(Comparison, NeverShowsTwoGroupsUnderOneName) {
  RunResults with_more = run("deda", 1, 80, 60);
  with_more.folder = "more";
  set(with_more, "augment.more", true);  // only one of the two has it
  const Comparison comparison = only({run("deda", 1, 80, 60), with_more});
  EXPECT_THAT(comparison.columns, ElementsAre("more"));
  EXPECT_THAT(titles_of(comparison), ElementsAre("De-DA -", "De-DA true"));
}

TEST(Comparison, NeverAveragesRunsOfUnknownSettings) {
  const std::vector<RunResults> runs = {of_earlier_program(run("plain", 1, 70, 20)),
                                        of_earlier_program(run("deda", 1, 80, 60)),
                                        of_earlier_program(run("deda", 2, 90, 70)), run("deda", 1, 84, 64)};
  const Comparison comparison = only(runs);
  ASSERT_EQ(comparison.methods.size(), 4u);
  for (const MethodSummary& method : comparison.methods) EXPECT_EQ(method.seeds.size(), 1u);
  const std::string text = to_text(comparison);
  EXPECT_THAT(text, HasSubstr("De-DA (made by an earlier version: settings unknown)"));
  EXPECT_THAT(text, HasSubstr("Plain (made by an earlier version: settings unknown)"));
  EXPECT_THAT(text, AllOf(Not(HasSubstr("85.0")), Not(HasSubstr("±")), Not(HasSubstr(" - Plain"))));
  EXPECT_THAT(text, HasSubstr("they are not averaged"));
  EXPECT_THAT(text, HasSubstr("runs/plain1, runs/deda1, runs/deda2"));
  EXPECT_THAT(text,
              HasSubstr("De-DA has no difference to plain: the settings of the plain runs are unknown"));
  EXPECT_THAT(text, Not(HasSubstr("seeds")));
  EXPECT_THAT(comparison.columns, ElementsAre("folder"));
  EXPECT_THAT(titles_of(comparison), ElementsAre("Plain plain1", "De-DA -", "De-DA deda1", "De-DA deda2"));
}

TEST(Comparison, CountsARunThatIsThereTwiceOnceAndTellsWhetherBothAreEqual) {
  RunResults first = run("deda", 1, 80, 60), copy = first, unequal = first;
  first.folder = "here/train-1";
  copy.folder = "there/train-1";
  unequal.folder = "elsewhere/train-1";
  unequal.accuracy["all"].last = 81.5;
  const Comparison equal = only({first, copy});
  ASSERT_EQ(equal.methods.size(), 1u);
  EXPECT_THAT(equal.methods[0].last.at("all"), ElementsAre(80));
  EXPECT_THAT(
      equal.notes,
      ElementsAre("De-DA (seed 1) was run twice with the same settings and equal accuracies: here/train-1 is "
                  "shown, there/train-1 is left out"));
  const Comparison two = only({first, unequal});
  EXPECT_THAT(two.methods[0].last.at("all"), ElementsAre(80));
  EXPECT_THAT(
      two.notes,
      ElementsAre(
          "De-DA (seed 1) was run twice with the same settings and unequal accuracies: test 80.00 and "
          "81.50 (+1.50); here/train-1 counts, elsewhere/train-1 is left out"));
  ASSERT_EQ(two.curves.size(), 1u);
  EXPECT_THAT(two.curves[0].folders, ElementsAre("here/train-1")) << "no curve of what does not count";
}

TEST(Comparison, HoldsMethodsAgainstPlainTrainingWithTheSameSettings) {
  const auto with_batch = [](RunResults run, int size) {
    return with(std::move(run), "train.batch_size", size);
  };
  const Comparison comparison =
      only({run("plain", 1, 70, 20), with_batch(run("plain", 1, 60, 10), 32), run("deda", 1, 80, 60),
            with_batch(run("deda", 1, 75, 50), 32), with_batch(run("deda", 1, 65, 40), 64)});
  EXPECT_THAT(titles_of(comparison), ElementsAre("Plain 16", "Plain 32", "De-DA 16", "De-DA 32", "De-DA 64"));
  EXPECT_EQ(comparison.methods[2].plain, 0u);
  EXPECT_EQ(comparison.methods[3].plain, 1u);
  EXPECT_EQ(comparison.methods[4].plain, std::nullopt);
  EXPECT_THAT(to_text(comparison), AllOf(HasSubstr("+10.0"), HasSubstr("+15.0"), Not(HasSubstr("+5.0"))));
  EXPECT_THAT(comparison.notes,
              ElementsAre("De-DA batch_size=64 has no difference to plain: no plain run has its batch_size"));

  // Other first weights are no fair comparison either, though plain training from scratch reads no such file.
  RunResults tuned = run("deda", 1, 90, 80);
  tuned.provenance->inputs["train.weights"] = "1111111111111111";
  EXPECT_THAT(only({run("plain", 1, 70, 20), tuned}).notes,
              ElementsAre("De-DA train.weights=11111111 has no difference to plain: no plain run has its "
                          "train.weights"));
}

TEST(Comparison, DoesNotChooseAmongPlainTrainings) {
  RunResults other = run("plain", 1, 60, 10);
  other.folder = "other";
  set(other, "augment.only_of_plain", true);
  const Comparison comparison = only({run("plain", 1, 70, 20), other, run("deda", 1, 80, 60)});
  EXPECT_EQ(comparison.methods.back().plain, std::nullopt);
  EXPECT_THAT(comparison.notes, testing::Contains(HasSubstr("several plain ones have its settings")));
}

TEST(Comparison, NamesOtherProgramsAndNumbersOfRanks) {
  RunResults other = with(run("deda", 1, 80, 60), "augment.p_aug", 0.3);
  other.provenance->code_version = "1.1";
  other.ranks = 2;
  EXPECT_THAT(
      only({run("deda", 1, 80, 60), other}).notes,
      ElementsAre("computed by several versions of the program, so small differences may come from there: "
                  "1.0: De-DA p_aug=0.5; 1.1: De-DA p_aug=0.3",
                  "trained by several numbers of ranks, which share batches and sums otherwise, so small "
                  "differences may come from there: 0 ranks: De-DA p_aug=0.5; 2 ranks: De-DA p_aug=0.3"));
}

RunResults on(RunResults run, const std::string& processor) {
  run.provenance->processor = processor;
  return run;
}

TEST(Comparison, MarksMeansOverSeveralKindsOfProcessorsAndSaysWhatIsPromised) {
  const std::vector<RunResults> runs = {
      on(run("plain", 1, 70, 20), "an EPYC"), on(run("plain", 2, 72, 22), "an EPYC"),
      on(run("deda", 1, 80, 60), "an EPYC"), on(run("deda", 2, 82, 64), "a Xeon")};
  const Comparison comparison = only(runs);
  EXPECT_THAT(comparison.kinds, ElementsAre("a Xeon", "an EPYC"));
  EXPECT_THAT(comparison.methods[0].kinds, ElementsAre("B", "B"));
  EXPECT_THAT(comparison.methods[1].kinds, ElementsAre("B", "A"));
  EXPECT_THAT(
      comparison.notes,
      ElementsAre(
          AllOf(HasSubstr("A is a Xeon, B is an EPYC"), HasSubstr("equal results on one kind")),
          "De-DA mixes kinds of processors or devices (A: seed 2; B: seed 1): its mean and spread hold "
          "what the kinds differ in too"));
  const std::string text = to_text(comparison);
  EXPECT_THAT(text, AllOf(HasSubstr("kind"), HasSubstr("mean  A+B (mixed)")));
  Page page("comparison");
  add_to_page(page, comparison, runs);
  EXPECT_THAT(page.html(), AllOf(HasSubstr("<th>kind</th>"), HasSubstr("A+B (mixed)</td>"),
                                 HasSubstr("A is a Xeon, B is an EPYC")));
  EXPECT_EQ(comparison.curves[1].name, "De-DA [A+B (mixed)]");
  EXPECT_EQ(comparison.curves[0].name, "Plain");
}

TEST(Comparison, SaysOnWhichKindOfProcessorEqualNumbersArePromised) {
  const std::vector<RunResults> runs = {run("plain", 1, 70, 20), run("deda", 1, 80, 60)};
  const Comparison comparison = only(runs);
  EXPECT_THAT(comparison.notes, IsEmpty());
  EXPECT_THAT(to_text(comparison), Not(HasSubstr("kind")));
  Page page("comparison");
  add_to_page(page, comparison, runs);
  EXPECT_THAT(page.html(),
              AllOf(HasSubstr("All were computed on a processor"), Not(HasSubstr("<th>kind</th>"))));
  Page with_unknown("comparison");
  const std::vector<RunResults> more = {runs[0], of_earlier_program(run("deda", 1, 80, 60))};
  add_to_page(with_unknown, only(more), more);
  EXPECT_THAT(with_unknown.html(), Not(HasSubstr("All were computed")));
}

TEST(Comparison, SaysWhyRepetitionsMayDiffer) {
  RunResults first = run("deda", 1, 80, 60), second = on(first, "another processor");
  first.folder = "here";
  second.folder = "there";
  second.accuracy["all"].last = 81;
  EXPECT_THAT(
      only({first, second}).notes,
      testing::Contains(HasSubstr("(computed on a processor and on another processor: equal results are "
                                  "promised on one kind only)")));
  second = first;
  second.folder = "there";
  second.ranks = 2;
  second.accuracy["all"].last = 81;
  EXPECT_THAT(only({first, second}).notes,
              testing::Contains(HasSubstr("trained by 0 ranks and by 2 ranks: equal results")));
}

TEST(Comparison, DrawsSeedsAsOneLineWithABand) {
  std::vector<RunResults> runs = {run("plain", 1, 70, 20), run("plain", 2, 72, 22), run("plain", 3, 74, 24)};
  for (RunResults& each : runs)
    each.history = {{1, 0.1, 2.0, {{"all", 50.0 + static_cast<double>(each.seed)}}},
                    {2, 0.1, 1.0, {{"all", 60.0 + static_cast<double>(each.seed)}}}};
  const Comparison comparison = only(runs);
  Page page("comparison");
  add_to_page(page, comparison, runs);
  const std::string html = page.html();
  std::size_t lines = 0, bands = 0;
  for (std::size_t at = html.find("<path"); at != std::string::npos; at = html.find("<path", at + 1)) {
    const std::string path = html.substr(at, html.find("/>", at) - at);
    ++(path.find("fill=\"none\"") != std::string::npos ? lines : bands);
  }
  EXPECT_EQ(lines, 2u) << "one of accuracy, one of loss";
  EXPECT_EQ(bands, 2u);
  EXPECT_THAT(html, HasSubstr("Accuracy: test: mean of 3 seeds, band from the lowest to the highest."));
}

TEST(Comparison, NamesCurvesByTheSettingsThatDiffer) {
  std::vector<RunResults> runs = {run("plain", 1, 70, 20), run("deda", 1, 80, 60),
                                  with(run("deda", 1, 90, 70), "augment.p_aug", 0.3),
                                  with(run("deda", 2, 90, 70, false), "augment.p_aug", 0.3)};
  for (RunResults& run : runs) run.history = {{1, 0.1, 2.0, {{"all", 50.0}}}, {2, 0.1, 1.0, {{"all", 60.0}}}};
  RunResults longer = run("deda", 1, 95, 75);
  longer.folder = "longer";
  longer.epochs = 40;
  longer.history = runs[0].history;
  runs.push_back(longer);
  const auto comparisons = compare(runs);
  ASSERT_EQ(comparisons.size(), 2u);
  const Comparison& comparison = comparisons[0];
  EXPECT_EQ(comparison.epochs, 20);
  EXPECT_THAT(comparison.notes, testing::Contains(HasSubstr("De-DA p_aug=0.3 (seed 2) is not finished")));
  Page page("comparison");
  add_to_page(page, comparison, runs);
  const std::string html = page.html();
  EXPECT_THAT(html, AllOf(HasSubstr(">Plain</text>"), HasSubstr(">De-DA p_aug=0.3</text>"),
                          HasSubstr(">De-DA p_aug=0.3 (seed 2, not finished)</text>"),
                          HasSubstr(">De-DA p_aug=0.5</text>"), Not(HasSubstr(">De-DA</text>"))));
  std::size_t paths = 0;
  for (std::size_t at = html.find("<path"); at != std::string::npos; at = html.find("<path", at + 1)) ++paths;
  EXPECT_EQ(paths, 8u) << "the unfinished run too, none of the longer training: 4 of accuracy, 4 of loss";
}

TEST(Comparison, LinesUpUnderLongNamesAndSettings) {
  const std::string text =
      to_text(only({run("plain", 1, 70, 20), run("deda-real", 1, 80, 60),
                    with(run("deda-real", 1, 82, 62), "augment.scale", "a long name of a kind of scale")}));
  std::istringstream lines(text);
  std::set<std::size_t> widths;
  std::string line;
  std::getline(lines, line);  // the title
  while (std::getline(lines, line)) widths.insert(line.size());
  EXPECT_EQ(widths.size(), 1u) << text;
}

TEST(Comparison, KeepsDatasetsApart) {
  RunResults other = run("plain", 1, 50, 50);
  other.dataset = "pets";
  EXPECT_EQ(compare({run("plain", 1, 70, 20), other}).size(), 2u);
}

TEST(Comparison, OfNothingIsNothing) {
  EXPECT_TRUE(compare({}).empty());
}

TEST(RunGroups, FlattensSectionsAndTakesNothingButObjects) {
  const ValuesByKey flat = {{"augment.p_aug", "0.5"}, {"train.milestones", "[150,225]"}};
  EXPECT_EQ(values_by_key(R"({"augment.p_aug": 0.5, "train.milestones": [150, 225]})", "here"), flat);
  EXPECT_EQ(values_by_key(R"({"augment": {"p_aug": 0.5}, "train": {"milestones": [150, 225]}})", "here"),
            flat);
  EXPECT_THROW(values_by_key("[1]", "here"), std::exception);
  EXPECT_THROW(values_by_key("{", "here"), std::exception);
}

// A run folder with `member` in its results.json.
void write_run(const std::filesystem::path& folder, const Json& member) {
  Json results = {{"name", "demo"},
                  {"method", "plain"},
                  {"network", "resnet18"},
                  {"dataset", "toy"},
                  {"seed", 1},
                  {"epochs", 20},
                  {"epochs_done", 20},
                  {"finished", true},
                  {"ranks", 1},
                  {"seconds", 1.0},
                  {"images_per_second", 1.0},
                  {"data_wait_share", 0.0},
                  {"groups", {"all"}},
                  {"accuracy", {{"all", {{"best", 1}, {"last", 1}, {"mean_last_10", 1}, {"images", 1}}}}}};
  results.update(member);
  std::filesystem::create_directories(folder);
  write_atomically(folder / "results.json", results.dump());
  write_atomically(folder / "history.csv", "epoch,learning_rate,loss,accuracy.all\n1,0.1,2,1\n");
}

TEST(RunResults, HoldWhatTheyWereMadeOf) {
  const test::TemporaryFolder folder;
  const Provenance made_of = *run("deda", 1, 80, 60).provenance;
  write_run(folder / "new", {{"provenance", Json::parse(to_json(made_of))}});
  write_run(folder / "old", Json::object());
  std::vector<std::string> problems;
  const auto runs = find_runs(folder.path(), problems);
  EXPECT_THAT(problems, IsEmpty());
  ASSERT_EQ(runs.size(), 2u);
  ASSERT_TRUE(runs[0].provenance.has_value());
  EXPECT_EQ(to_json(*runs[0].provenance), to_json(made_of));
  EXPECT_FALSE(runs[1].provenance.has_value());
}

TEST(RunResults, HoldTheAccuracyOfHeldOutPictures) {
  const test::TemporaryFolder folder;
  write_run(folder / "a", {{"held_out",
                            {{"share", 0.1},
                             {"images", 6},
                             {"best", 70},
                             {"best_epoch", 2},
                             {"last", 60},
                             {"mean_last_10", 65}}}});
  write_atomically(folder / "a" / "history.csv",
                   "epoch,learning_rate,loss,accuracy.all,held_out_accuracy\n1,0.1,2,,\n2,0.1,2,1,70\n");
  write_run(folder / "b", {{"held_out", nullptr}});
  write_run(folder / "c", Json::object());  // of an earlier version
  write_run(folder / "d", {{"held_out", {{"best", 70}}}});
  std::vector<std::string> problems;
  const auto runs = find_runs(folder.path(), problems);
  ASSERT_EQ(runs.size(), 3u);
  ASSERT_TRUE(runs[0].held_out.has_value());
  EXPECT_EQ(runs[0].held_out->best, 70);
  EXPECT_EQ(runs[0].held_out->last, 60);
  EXPECT_EQ(runs[0].held_out->mean_last_10, 65);
  EXPECT_EQ(runs[0].held_out->images, 6);
  ASSERT_EQ(runs[0].history.size(), 2u);
  EXPECT_FALSE(runs[0].history[0].held_out.has_value());
  EXPECT_EQ(runs[0].history[1].held_out, 70);
  EXPECT_FALSE(runs[1].held_out.has_value());
  EXPECT_FALSE(runs[2].held_out.has_value());
  EXPECT_THAT(problems, ElementsAre(HasSubstr("d/results.json")));
}

TEST(RunResults, NameTheFileOfADamagedProvenance) {
  const test::TemporaryFolder folder;
  Json no_object = Json::parse(to_json(*run("deda", 1, 80, 60).provenance)), incomplete = no_object;
  no_object["settings"] = {1, 2};
  incomplete.erase("needs");
  write_run(folder / "a", {{"provenance", "gone"}});
  write_run(folder / "b", {{"provenance", nullptr}});
  write_run(folder / "c", {{"provenance", no_object}});
  write_run(folder / "d", {{"provenance", incomplete}});
  write_run(folder / "e", Json::object());
  std::vector<std::string> problems;
  EXPECT_EQ(find_runs(folder.path(), problems).size(), 1u);
  ASSERT_EQ(problems.size(), 4u);
  for (std::size_t i = 0; i < problems.size(); ++i)
    EXPECT_THAT(problems[i], AllOf(HasSubstr(std::string(1, static_cast<char>('a' + i)) + "/results.json"),
                                   HasSubstr("provenance")));
}

}  // namespace
}  // namespace deda::report
