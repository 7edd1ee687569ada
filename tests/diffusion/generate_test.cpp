// The stage on 1 to 3 ranks: the bytes of one rank alone, whatever becomes of single CDPs; stopped and
// continued; its store beside the real one in the trainer's pool.
#include "diffusion/generation/generate.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <numeric>
#include <thread>

#include "augment/part_pool.h"
#include "core/error.h"
#include "core/files.h"
#include "core/stop.h"
#include "diffusion/edit_fixture.h"
#include "models/text/clip_tokenizer.h"

namespace deda::diffusion {
namespace {

constexpr std::size_t without_identifier = 1;  // class
constexpr int cdps = 11, transparent_cdp = 5, cdps_without_identifier = 4;

std::map<std::string, std::string> files_of(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("events-")) files[name] = read_text(entry.path());
  }
  return files;
}

// Eleven real CDPs of two classes, one of them with nothing opaque; a third class has none.
data::Dataset made_up_dataset() {
  data::Dataset dataset;
  dataset.name = "made up";
  dataset.class_names = {"bird", "car", "cat"};
  for (int i = 0; i < cdps; ++i) {
    data::Item item;
    item.path = "images/" + std::to_string(i) + ".png";
    item.class_id = i % 3 == 1 ? without_identifier : 0;
    dataset.items.push_back(item);
  }
  return dataset;
}

io::ItemResult real_parts(const data::Dataset& dataset, int i) {
  io::ItemResult result;
  result.item = i;
  io::Image rgba = test::golden_picture(i % 3);
  if (i == transparent_cdp) rgba = io::Image(rgba.height, rgba.width, 4);
  io::RecordInfo info;
  info.source_index = i;
  info.class_id = dataset.items[static_cast<std::size_t>(i)].class_id;
  info.height = rgba.height;
  info.width = rgba.width;
  info.channels = 4;
  info.crop = info.box = {8, 8, 40, 40};
  info.mask_area = 450;
  result.records.push_back({info, rgba.pixels});
  const io::Image cip(64, 80, 3);
  info.kind = io::RecordKind::cip;
  info.height = cip.height;
  info.width = cip.width;
  info.channels = 3;
  info.crop = {0, 0, cip.width, cip.height};
  result.records.push_back({info, cip.pixels});
  return result;
}

// What all tests share: made once per process, in a folder that all ranks see.
struct World {
  comm::Communicator ranks = comm::Communicator::world();
  std::unique_ptr<test::TemporaryFolder> owned;
  std::filesystem::path path;
  data::Dataset dataset = made_up_dataset();
  std::unique_ptr<CdpSource> source;
  GenerateConfig config;

  World() {
    if (ranks.is_root()) owned = std::make_unique<test::TemporaryFolder>();
    path = ranks.broadcast(ranks.is_root() ? owned->path().string() : "");
    ranks.agree("writing a model", [&] {
      if (ranks.is_root()) test::write_golden_model(path / "model");
    });
    io::StoreDescription description;
    description.stage = "decouple";
    description.configuration = "{}";
    description.dataset = dataset.name;
    description.class_names = dataset.class_names;
    for (const auto& item : dataset.items) {
      description.sources.push_back(item.path);
      description.source_classes.push_back(item.class_id);
    }
    io::StoreWriter store(ranks, path / "real", description);
    std::vector<io::ItemResult> results;
    for (int i = 0; i < cdps && ranks.is_root(); ++i) results.push_back(real_parts(dataset, i));
    store.write_segment(0, std::move(results));
    store.finish();
    source = std::make_unique<CdpSource>(dataset, io::StoreReader(path / "real"), test::tiny_resolution, 0.1);
    config.copies = 2;
    config.batch_cdps = 2;
    config.items_per_segment = 4;  // three segments, the last one short
    config.least_alpha_inside = config.least_area_ratio = 0;
    config.most_area_ratio = 1e9;
  }
  ~World() { ranks.barrier("end of the test"); }

  std::shared_ptr<const Generator> generator() const {
    const auto model = test::load_tiny(path / "model");
    auto prompts = prompts_of_names(*model, "a photo of a {token}", dataset.class_names);
    prompts[without_identifier] = {};
    prompts[without_identifier].missing = "class car has no identifier: its loss was not a number";
    GeneratorSettings settings;
    settings.generate = config;
    settings.strength = 0.2;
    settings.resolution = test::tiny_resolution;
    return std::make_shared<const Generator>(model, settings, std::move(prompts));
  }
  GenerateRequest request(const std::string& folder, int workers) const {
    return {.dataset = dataset,
            .cdps = *source,
            .config = config,
            .strength = 0.2,
            .made_of = {},
            .classes_without_cdp = {},
            .folder = path / folder,
            .workers = workers,
            .load = [this] { return generator(); },
            .trace = {},
            .trace_items = 0};
  }
};

TEST(Generate, GivesTheBytesOfOneRankAndOneOutcomePerCdp) {
  const World world;
  auto together = world.request("together", 2);
  together.trace = world.path / "trace";
  together.trace_items = 3;
  EXPECT_FALSE(generate(world.ranks, together));
  if (!world.ranks.is_root()) return;
  generate(comm::Communicator::self(), world.request("alone", 1));
  const auto a = files_of(world.path / "together"), b = files_of(world.path / "alone");
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, bytes] : b) EXPECT_TRUE(a.at(name) == bytes) << name << " differs";
  const io::StoreReader store(world.path / "together", io::StoreReader::Check::hashes);
  io::OutcomeCount outcomes = store.outcomes();
  EXPECT_EQ(outcomes.items, cdps);
  EXPECT_EQ(outcomes.counts[io::Outcome::nothing_found], cdps_without_identifier);
  EXPECT_EQ(outcomes.counts[io::Outcome::failed] + outcomes.counts[io::Outcome::nothing_found] +
                outcomes.counts[io::Outcome::rejected] + outcomes.counts[io::Outcome::done],
            cdps);
  ASSERT_GT(store.size(), 0u);
  for (std::size_t i = 0; i < store.size(); ++i) {
    const auto& info = store.at(i).info;
    EXPECT_TRUE(info.version == 1 || info.version == 2);
    EXPECT_FLOAT_EQ(info.strength, 0.2f);
    EXPECT_EQ(info.channels, 4);
    const auto& path = store.description().sources[static_cast<std::size_t>(info.source_index)];
    EXPECT_EQ(info.seed, seed_of_copy(1, path, info.version));
    EXPECT_EQ(info.class_id, 0);
  }
  EXPECT_EQ(store.remarks().at(1).second, "class car has no identifier: its loss was not a number");
  EXPECT_TRUE(std::filesystem::exists(world.path / "trace" / "item-000002-copy-1.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(world.path / "trace" / "item-000003-copy-1.safetensors"));
}

TEST(Generate, ACdpThatFailsIsAnOutcomeAndNotTheEnd) {
  World world;
  generate(world.ranks, world.request("store", 1));
  const io::StoreReader store(world.path / "store");
  EXPECT_EQ(store.outcomes().items, cdps);
  const auto& [outcome, why] = store.remarks().at(transparent_cdp);
  EXPECT_EQ(outcome, io::Outcome::failed);
  EXPECT_EQ(why, "the CDP has no opaque pixel");
  auto strict = world.request("strict", 1);
  world.config.max_failed_share = 0.05;  // one of eleven is more
  for (const bool again : {false, true}) {
    EXPECT_EQ(generate(world.ranks, strict), again);
    EXPECT_THROW(io::check_outcomes(world.ranks, strict.folder, outcome_limits(world.config)), DataError);
  }
  world.config.max_failed_share = 1;
  world.config.most_area_ratio = 0;
  generate(world.ranks, world.request("rejected", 1));
  const io::StoreReader rejected(world.path / "rejected");
  io::OutcomeCount outcomes = rejected.outcomes();
  EXPECT_EQ(rejected.size(), 0u);
  EXPECT_EQ(outcomes.counts[io::Outcome::rejected], cdps - cdps_without_identifier - 1);
  const auto& reason = rejected.remarks().at(0).second;
  EXPECT_NE(reason.find("copy 1 rejected: "), std::string::npos) << reason;
  EXPECT_NE(reason.find("copy 2 rejected: "), std::string::npos) << reason;
  EXPECT_THROW(io::check_outcomes(world.ranks, rejected.folder(), outcome_limits(world.config)), DataError);
  world.config.allow_empty = true;
  EXPECT_NO_THROW(io::check_outcomes(world.ranks, rejected.folder(), outcome_limits(world.config)));
}

TEST(Generate, CalledAgainWhenDoneLoadsNothing) {
  const World world;
  generate(world.ranks, world.request("store", 1));
  auto again = world.request("store", 1);
  again.load = []() -> std::shared_ptr<const Generator> { throw ModelError("loaded for nothing"); };
  EXPECT_TRUE(generate(world.ranks, again));
}

TEST(Generate, StoppedAnywhereContinuesToTheSameBytes) {
  const World world;
  generate(world.ranks, world.request("quiet", 1));
  if (world.ranks.rank() == world.ranks.size() - 1) request_stop("asked by the test");  // one rank is enough
  EXPECT_THROW(generate(world.ranks, world.request("stopped", 2)), Stopped);
  clear_stop_request();
  // Later and later, so that it ends.
  int stops = 0;
  for (auto delay = std::chrono::milliseconds(20);; delay *= 2) {
    std::thread clock([&] {
      std::this_thread::sleep_for(delay);
      if (world.ranks.is_root()) request_stop("asked by the test");
    });
    bool finished = false;
    try {
      generate(world.ranks, world.request("stopped", 2));
      finished = true;
    } catch (const Stopped&) {
      ++stops;
    }
    clock.join();
    clear_stop_request();
    if (finished) break;
    ASSERT_LT(stops, 20);
  }
  if (world.ranks.is_root()) {
    EXPECT_TRUE(files_of(world.path / "stopped") == files_of(world.path / "quiet"));
  }
}

TEST(Generate, EndsWithAnErrorWhenTooManyFailOrThereIsNothing) {
  World world;
  data::Dataset none = world.dataset;
  for (auto& item : none.items) item.split = data::Split::test;
  const CdpSource nothing(none, io::StoreReader(world.path / "real"), test::tiny_resolution, 0.1);
  const auto from_nothing = GenerateRequest{.dataset = none,
                                            .cdps = nothing,
                                            .config = world.config,
                                            .made_of = {},
                                            .classes_without_cdp = {},
                                            .folder = world.path / "nothing",
                                            .load = [&] { return world.generator(); },
                                            .trace = {}};
  EXPECT_THROW(generate(world.ranks, from_nothing), DataError);
  auto failing = world.request("failing", 1);
  failing.load = []() -> std::shared_ptr<const Generator> { throw ModelError("no weights"); };
  EXPECT_THROW(generate(world.ranks, failing), ModelError);
}

TEST(Generate, ItsStoreFillsThePoolsVersions) {
  const World world;
  generate(world.ranks, world.request("synthetic", 1));
  const std::vector<std::size_t> training{0, 1, 2, 3, 5, 10};
  const io::StoreReader real(world.path / "real"), synthetic(world.path / "synthetic");
  const augment::PartPool pool(world.dataset, training, {real, synthetic}, {});
  const augment::PartPool other_order(world.dataset, training, {synthetic, real}, {});
  const augment::PartPool alone(world.dataset, training, {real}, {});
  std::map<std::int64_t, std::vector<io::RecordView>> made;
  for (std::size_t i = 0; i < synthetic.size(); ++i)
    made[synthetic.at(i).info.source_index].push_back(synthetic.at(i));
  for (std::size_t item = 0; item < training.size(); ++item) {
    const auto& versions = made[static_cast<std::int64_t>(training[item])];
    ASSERT_EQ(pool.versions(item), static_cast<int>(versions.size()));
    EXPECT_EQ(alone.versions(item), 0);
    EXPECT_EQ(pool.cdp(item, 0).pixels.data(), alone.cdp(item, 0).pixels.data());
    EXPECT_TRUE(pool.has_cip(item));
    for (int version = 1; version <= pool.versions(item); ++version) {
      const auto& record = versions[static_cast<std::size_t>(version - 1)];
      EXPECT_EQ(pool.cdp(item, version).width, record.info.width);
      // Of its own box, over the shorter side of the real picture.
      const auto& box = record.info.box;
      EXPECT_DOUBLE_EQ(pool.cdp(item, version).relative_size,
                       std::max(box[2] - box[0], box[3] - box[1]) / 64.0);
      EXPECT_DOUBLE_EQ(other_order.cdp(item, version).relative_size, pool.cdp(item, version).relative_size);
    }
  }
  EXPECT_EQ(pool.versions(1), 0) << "a class without an identifier";
  EXPECT_GT(made.size(), 0u);
}

// What keys of training rely on (src/pipeline/plan.cpp): byte for byte, rejected copies counted.
TEST(Generate, TheFirstCopiesOfALargerStoreAreThoseOfASmallerOne) {
  World world;
  // Between the first CDP's two copies, so that one of them is rejected.
  const auto& source = *world.source;
  const auto copies = world.generator()->edit({{source.framed(0), 0, source.source(0)}}).front();
  world.config.most_area_ratio = (copies[0].change.area_ratio + copies[1].change.area_ratio) / 2;
  generate(world.ranks, world.request("two", 1));
  world.config.copies = 5;
  generate(world.ranks, world.request("five", 1));
  const io::StoreReader two(world.path / "two"), five(world.path / "five"), real(world.path / "real");
  using Name = std::pair<std::int64_t, std::int32_t>;  // CDP and number of the copy
  std::map<Name, io::RecordView> first;
  for (std::size_t i = 0; i < five.size(); ++i) {
    const auto record = five.at(i);
    if (record.info.version <= 2) first[{record.info.source_index, record.info.version}] = record;
  }
  ASSERT_EQ(first.size(), two.size());
  ASSERT_LT(two.size(), 12u) << "of six usable CDPs, one copy at least is rejected";
  ASSERT_GT(two.size(), 0u);
  for (std::size_t i = 0; i < two.size(); ++i) {
    const auto record = two.at(i);
    const auto& same = first.at({record.info.source_index, record.info.version});
    EXPECT_TRUE(
        std::equal(record.pixels.begin(), record.pixels.end(), same.pixels.begin(), same.pixels.end()))
        << record.info.source_index << ", copy " << record.info.version;
    EXPECT_EQ(record.info.seed, same.info.seed);
    EXPECT_EQ(record.info.box, same.info.box);
  }
  std::vector<std::size_t> training(static_cast<std::size_t>(cdps));
  std::iota(training.begin(), training.end(), 0u);
  const augment::PartPool expected(world.dataset, training, {real, two}, {}),
      limited(world.dataset, training, {real, five}, {.most_version = 2}),
      whole(world.dataset, training, {real, five}, {});
  EXPECT_EQ(limited.synthetic(), expected.synthetic());
  EXPECT_GT(whole.synthetic(), expected.synthetic());
  for (std::size_t item = 0; item < training.size(); ++item) {
    ASSERT_EQ(limited.versions(item), expected.versions(item)) << item;
    for (int place = 1; place <= limited.versions(item); ++place)
      EXPECT_EQ(limited.cdp(item, place).version, expected.cdp(item, place).version);
  }
}

TEST(Generate, ListsAllThatIsWrongWithAConfiguration) {
  const World world;
  ModelsConfig models;
  models.base = world.path / "model";
  DiffusionConfig diffusion;
  EXPECT_EQ(problems_of_generation(models, diffusion, world.config, test::tiny_resolution).size(), 0u);
  EXPECT_EQ(resolution_multiple(models), 8) << "autoencoder 4, UNet 2";
  diffusion.strength = 0.01;
  diffusion.prompt = "a photo";
  const auto problems = problems_of_generation(models, diffusion, world.config, 30);
  ASSERT_EQ(problems.size(), 3u);
  EXPECT_NE(problems[1].what.find("30 is no multiple of 8"), std::string::npos);
  EXPECT_EQ(problems[2].where, "diffusion.prompt");
  models.base = "/nowhere";
  EXPECT_GE(problems_of_generation(models, diffusion, world.config, 30).size(), 3u);
}

TEST(Generate, RefusesPromptsThatTheTextEncoderWouldCut) {
  const World world;
  ModelsConfig models;
  models.base = world.path / "model";
  const auto tokenizer = deda::models::ClipTokenizer::from_folder(models.base / "tokenizer");
  const auto room = tokenizer.max_length() - 2;
  std::string words;
  while (static_cast<std::int64_t>(tokenizer.tokens(words + "a ").size()) < room) words += "a ";
  DiffusionConfig diffusion;
  diffusion.prompt = words + "{token}";  // exactly full with a row, one too many with two
  auto config = world.config;
  config.identifier = IdentifierChoice::learned;
  EXPECT_EQ(problems_of_prompts(models, diffusion, config, 1, {}).size(), 0u);
  const auto problems = problems_of_prompts(models, diffusion, config, 2, {});
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].where, "diffusion.prompt");
  EXPECT_NE(problems[0].what.find(fmt::format("{} tokens, {} fit", room + 1, room)), std::string::npos)
      << problems[0].what;
  config.identifier = IdentifierChoice::class_name;
  const auto by_name = problems_of_prompts(models, diffusion, config, 1, {"a", "a a"});
  ASSERT_EQ(by_name.size(), 1u);
  EXPECT_NE(by_name[0].what.find("class \"a a\""), std::string::npos) << by_name[0].what;
  config.negative_prompt = words + words;
  EXPECT_EQ(problems_of_prompts(models, diffusion, config, 1, {}).size(), 1u);
}

}  // namespace
}  // namespace deda::diffusion
