// The stage of a generative peer on 1 to 3 ranks: the bytes of one rank alone, one outcome per picture,
// stopped and continued; what is kept of an edit.
#include "diffusion/whole/generate_pictures.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "core/error.h"
#include "core/files.h"
#include "core/stop.h"
#include "diffusion/peers/hybrid_picture.h"
#include "diffusion/picture_fixture.h"
#include "io/pictures/image_codec.h"
#include "models/weights/tensor_file.h"

namespace deda::diffusion {
namespace {

using generative::Method;

constexpr int picture_count = 7, unreadable = 3;
constexpr std::size_t without_words = 2;  // class

std::map<std::string, std::string> files_of(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("events-")) files[name] = read_text(entry.path());
  }
  return files;
}

// Made once per process, in a folder that all ranks see.
struct World {
  comm::Communicator ranks = comm::Communicator::world();
  std::unique_ptr<test::TemporaryFolder> owned;
  std::filesystem::path path;
  data::Dataset dataset;
  std::vector<std::size_t> pictures;
  std::vector<generative::SourcePicture> sources;

  World() {
    if (ranks.is_root()) owned = std::make_unique<test::TemporaryFolder>();
    path = ranks.broadcast(ranks.is_root() ? owned->path().string() : "");
    dataset.name = "made up";
    dataset.root = path / "pictures";
    dataset.class_names = {"bird", "car", "cat"};
    for (int i = 0; i < picture_count; ++i) {
      data::Item item;
      item.path = std::to_string(i) + ".png";
      item.class_id = i % 3;
      dataset.items.push_back(item);
      pictures.push_back(static_cast<std::size_t>(i));
      sources.push_back({item.path, item.class_id});
    }
    ranks.agree("writing models and pictures", [&] {
      if (!ranks.is_root()) return;
      test::write_picture_model(path / "model", false);
      test::write_picture_model(path / "instruct", true);
      make_folder(dataset.root);
      for (int i = 0; i < picture_count; ++i) {
        if (i == unreadable)
          write_atomically(dataset.root / dataset.items[static_cast<std::size_t>(i)].path, "no picture");
        else
          io::write_image(dataset.root / dataset.items[static_cast<std::size_t>(i)].path,
                          test::blocks_of_colour(40 + 3 * i, 50, static_cast<std::uint64_t>(i)));
      }
    });
  }
  ~World() { ranks.barrier("end of the test"); }

  static generative::GenerationSettings settings(Method method) {
    generative::GenerationSettings settings(method);
    settings.copies = 2;
    settings.steps = method == Method::diffusemix ? 2 : 5;
    if (method == Method::diffusemix)
      settings.prompts = {"bird", "car"};
    else
      settings.strengths = {0.4, 0.8};
    settings.stored_side = 45;
    settings.filter = generative::Filter::none;
    return settings;
  }

  std::shared_ptr<const PeerNetworks> networks(const generative::GenerationSettings& settings) const {
    const at::NoGradGuard no_gradients;
    const bool instructed = settings.method == Method::diffusemix;
    const auto model =
        test::load_picture_model(test::picture_models_config(path / (instructed ? "instruct" : "model")));
    auto made = std::make_shared<PeerNetworks>();
    made->prompts = instructed ? prompts_of_names(*model, "{token}", settings.prompts)
                               : prompts_of_names(*model, peer_prompt(settings, "dog"), dataset.class_names);
    if (!instructed) {
      made->prompts[without_words] = {};
      made->prompts[without_words].missing = "class cat has no word";
    }
    std::vector<TextCondition> texts;
    for (const auto& prompt : made->prompts) {
      made->text_of_prompt.push_back(texts.size());
      if (prompt.missing.empty()) texts.push_back(prompt.text);
    }
    PictureSettings picture;
    picture.edit = {
        .scheduler = instructed ? SchedulerKind::euler_ancestral_linspace : SchedulerKind::dpmpp2m_linspace,
        .steps = settings.steps,
        .strength = 1.0,
        .guidance = settings.guidance,
        .resolution = test::tiny_resolution,
        .led_by = instructed ? Guidance::text_and_picture : Guidance::text,
        .picture_guidance = settings.image_guidance};
    picture.strengths = instructed ? std::vector{1.0} : settings.strengths;
    picture.batch = 2;
    picture.autoencoder_batch = 2;
    made->generator =
        std::make_shared<const PictureGenerator>(model, picture, texts, model->unconditional(""));
    return made;
  }

  // The plan has to outlive the request.
  PictureRequest request(const generative::EditPlan& plan, const std::string& folder, int workers) const {
    return {.dataset = dataset,
            .plan = plan,
            .pictures = pictures,
            .made_of = {},
            .folder = path / folder,
            .seed = 5,
            .batch = 2,
            .items_per_segment = 4,
            .workers = workers,
            .load = [this, &plan] { return networks(plan.settings()); },
            .trace = {},
            .trace_items = 0};
  }
};

class OfMethod : public testing::TestWithParam<Method> {};

TEST_P(OfMethod, GivesTheBytesOfOneRankAndOneOutcomePerPicture) {
  const World world;
  const generative::EditPlan plan(World::settings(GetParam()), world.sources, 5);
  generate_pictures(world.ranks, world.request(plan, "together", 2));
  const auto alone = comm::Communicator::self();
  if (world.ranks.is_root()) {
    generate_pictures(alone, world.request(plan, "alone", 1));
    const auto together = files_of(world.path / "together"), one = files_of(world.path / "alone");
    ASSERT_EQ(together.size(), one.size());
    for (const auto& [name, bytes] : one) EXPECT_TRUE(together.at(name) == bytes) << name;
  }
  EXPECT_TRUE(generate_pictures(world.ranks, world.request(plan, "together", 1)))
      << "called again: done already";

  const io::StoreReader store(world.path / "together", io::StoreReader::Check::hashes);
  EXPECT_EQ(store.outcomes().items, plan.items());
  const bool words = GetParam() != Method::diffusemix;
  for (std::int64_t item = 0; item < plan.items(); ++item) {
    const auto tasks = plan.tasks(item);
    const auto remark = store.remarks().find(item);
    const bool lacks_words = words && tasks.front().target_class == static_cast<std::int32_t>(without_words);
    if (lacks_words) {
      ASSERT_NE(remark, store.remarks().end());
      EXPECT_EQ(remark->second, std::pair(io::Outcome::nothing_found, std::string{"class cat has no word"}));
    } else if (tasks.front().source == unreadable) {
      ASSERT_NE(remark, store.remarks().end());
      EXPECT_EQ(remark->second.first, io::Outcome::unreadable);
    } else {
      EXPECT_EQ(remark, store.remarks().end());
    }
  }
  ASSERT_GT(store.size(), 0u);
  for (std::size_t record = 0; record < store.size(); ++record) {
    const auto info = store.at(record).info;
    const auto task = plan.tasks(info.source_index)[static_cast<std::size_t>(info.version - 1)];
    EXPECT_EQ(info.kind, io::RecordKind::picture);
    EXPECT_EQ(info.class_id, task.source_class);
    EXPECT_EQ(info.target_class, task.target_class);
    EXPECT_EQ(info.strength, static_cast<float>(task.strength));
    EXPECT_EQ(info.seed, task.seed);
    EXPECT_EQ(info.clip_score, io::not_measured);
    const int height = 40 + 3 * static_cast<int>(task.source), width = 50;
    EXPECT_EQ(info.crop, (std::array<std::int32_t, 4>{0, 0, width, height}));
    if (GetParam() == Method::diffusemix) {
      EXPECT_EQ(std::pair(info.height, info.width),
                std::pair(std::int32_t{test::tiny_resolution}, std::int32_t{test::tiny_resolution}));
    } else {
      EXPECT_EQ(std::min(info.height, info.width), std::min({height, width, 45})) << "kept in its aspect";
      EXPECT_NEAR(static_cast<double>(info.width) / info.height, static_cast<double>(width) / height, 0.05);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, OfMethod,
                         testing::Values(Method::real_guidance, Method::diff_mix, Method::diffusemix));

TEST(GeneratePictures, StoppedAndContinuedGivesTheBytesOfAnUndisturbedRun) {
  const World world;
  const generative::EditPlan plan(World::settings(Method::real_guidance), world.sources, 5);
  generate_pictures(world.ranks, world.request(plan, "undisturbed", 1));
  auto request = world.request(plan, "stopped", 1);
  clear_stop_request();
  request.load = [&] {
    request_stop("the test");  // units that were drawn are finished, the first segment is not
    return world.networks(plan.settings());
  };
  EXPECT_THROW(generate_pictures(world.ranks, request), Stopped);
  clear_stop_request();
  generate_pictures(world.ranks, world.request(plan, "stopped", 2));
  if (!world.ranks.is_root()) return;
  const auto undisturbed = files_of(world.path / "undisturbed"), continued = files_of(world.path / "stopped");
  ASSERT_EQ(undisturbed.size(), continued.size());
  for (const auto& [name, bytes] : undisturbed) EXPECT_TRUE(continued.at(name) == bytes) << name;
}

TEST(GeneratePictures, DiffuseMixKeepsHalfOfItsPictureUnderAFractal) {
  const World world;
  const generative::EditPlan plan(World::settings(Method::diffusemix), world.sources, 5);
  auto request = world.request(plan, "traced", 1);
  request.trace = world.path / "trace";
  request.trace_items = 2;
  generate_pictures(world.ranks, request);
  if (!world.ranks.is_root()) return;
  const io::StoreReader store(world.path / "traced");
  for (const int version : {1, 2}) {
    const auto file =
        models::read_tensors(world.path / "trace" / fmt::format("item-000001-edit-{}.safetensors", version));
    const auto hybrid = file.at("hybrid").to(at::kInt), fractal = file.at("fractal").to(at::kInt),
               source = file.at("source").to(at::kInt), edited = file.at("edited").to(at::kInt);
    const auto task = plan.tasks(1)[static_cast<std::size_t>(version - 1)];
    const auto middle = hybrid.size(0) / 2, half = std::int64_t{ramp_pixels / 2};
    const auto side = task.vertical ? 0 : 1;
    EXPECT_TRUE(at::equal(hybrid.narrow(side, 0, middle - half), source.narrow(side, 0, middle - half)));
    EXPECT_TRUE(at::equal(hybrid.narrow(side, middle + half, middle - half),
                          edited.narrow(side, middle + half, middle - half)));
    const auto expected = (4 * hybrid + fractal).div(5, "floor");
    bool found = false;
    for (std::size_t record = 0; record < store.size(); ++record) {
      const auto view = store.at(record);
      if (view.info.source_index != 1 || view.info.version != version) continue;
      found = true;
      const auto kept =
          at::tensor(at::ArrayRef<std::uint8_t>(view.pixels.data(), view.pixels.size()), at::kByte)
              .to(at::kInt)
              .view(expected.sizes());
      EXPECT_TRUE(at::equal(kept, expected));
    }
    EXPECT_TRUE(found);
  }
}

}  // namespace
}  // namespace deda::diffusion
