// Embeddings: genuine files of two people, both formats there and back, and files that are something else.
#include "models/weights/embedding_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdlib>
#include <filesystem>
#include <limits>

#include "core/error.h"
#include "core/files.h"
#include "models/weights/tensor_file.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"

namespace deda::models {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path genuine = test::test_data() / "weights" / "textual_inversion";

at::Tensor random_rows(std::int64_t seed, std::int64_t vectors, std::int64_t width) {
  torch::manual_seed(static_cast<std::uint64_t>(seed));
  return 0.02 * torch::randn({vectors, width});
}

// The text of all problems, "" when there are none.
std::string problems_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    std::string text;
    for (const auto& problem : error.problems()) text += to_string(problem) + "\n";
    return text;
  }
  return {};
}

TEST(EmbeddingFile, AGenuineFileLoadsAndIsSavedInBothFormatsWithoutLoss) {
  if (!fs::exists(genuine)) GTEST_SKIP() << genuine << " is not here";
  test::TemporaryFolder folder;
  const auto original = read_tensors(genuine / "learned_embeds.safetensors");
  const auto read = read_embedding(genuine / "learned_embeds.safetensors", {768});
  EXPECT_EQ(read.placeholder, "<birb-style>");
  EXPECT_EQ(read.metadata.at("licence"), "Apache-2.0");
  ASSERT_EQ(read.rows.size(), 1u);
  ASSERT_EQ(read.rows[0].sizes(), (std::vector<std::int64_t>{1, 768}));
  EXPECT_TRUE(read.rows[0][0].equal(original.at("<birb-style>")));
  for (const auto format : {EmbeddingFormat::diffusers, EmbeddingFormat::kohya}) {
    write_embedding(folder / "a.safetensors", read, format);
    const auto again = read_embedding(folder / "a.safetensors", {768});
    EXPECT_EQ(again.placeholder, "<birb-style>");
    EXPECT_EQ(again.metadata.at("source"), "fastai/diffusion-nbs");
    EXPECT_EQ(again.metadata.at("format"), "pt");
    EXPECT_TRUE(again.rows[0].equal(read.rows[0]));
    write_embedding(folder / "b.safetensors", again, format);
    EXPECT_EQ(read_bytes(folder / "a.safetensors"), read_bytes(folder / "b.safetensors"));
  }
}

TEST(EmbeddingFile, GenuinePickledFilesHoldTheSameNumbers) {
  if (!fs::exists(genuine)) GTEST_SKIP() << genuine << " is not here";
  test::TemporaryFolder folder;
  const auto pickled = read_embedding(genuine / "learned_embeds.bin", {768});
  EXPECT_EQ(pickled.placeholder, "<birb-style>");
  EXPECT_TRUE(pickled.rows[0].equal(read_embedding(genuine / "learned_embeds.safetensors", {768}).rows[0]));
  const auto other = read_embedding(genuine / "krk.ti.pt", {768});
  EXPECT_EQ(other.placeholder, "<krk>");
  write_embedding(folder / "krk.safetensors", other);
  EXPECT_TRUE(read_embedding(folder / "krk.safetensors", {768}).rows[0].equal(other.rows[0]));
}

TEST(EmbeddingFile, FilesOfTheWebuiAndOldOnesAreRead) {
  const fs::path archives = DEDA_SOURCE_DIR "/tests/golden/torch_archives";
  const auto webui = read_embedding(archives / "webui.pt", {8});
  EXPECT_EQ(webui.placeholder, "bird");
  EXPECT_EQ(webui.metadata.at("step"), "1999");
  EXPECT_EQ(webui.rows[0].sizes(), (std::vector<std::int64_t>{3, 8}));
  EXPECT_EQ(read_embedding(archives / "old_diffusers.bin", {8}).rows[0].sizes(),
            (std::vector<std::int64_t>{1, 8}));
  EXPECT_TRUE(read_embedding(archives / "half_transposed.bin", {8}).rows[0].equal(webui.rows[0]));
  EXPECT_THAT(problems_of([&] { read_embedding(archives / "many.bin", {8}); }), HasSubstr("holds 2 tensors"));
  EXPECT_THAT(problems_of([&] { read_embedding(archives / "command.bin", {8}); }), HasSubstr("would call"));
}

TEST(EmbeddingFile, TwoTextEncodersTakeTwoFilesOfDiffusersOrOneOfKohya) {
  test::TemporaryFolder folder;
  const EmbeddingFile embedding{"<bird>", {random_rows(1, 2, 24), random_rows(2, 2, 40)}, {{"steps", "400"}}};
  write_embedding(folder / "d.safetensors", embedding);
  EXPECT_EQ(read_tensors(folder / "d.safetensors").at("<bird>").sizes(), (std::vector<std::int64_t>{2, 24}));
  EXPECT_EQ(read_tensors(folder / "d_2.safetensors").at("<bird>").sizes(),
            (std::vector<std::int64_t>{2, 40}));
  write_embedding(folder / "k.safetensors", embedding, EmbeddingFormat::kohya);
  EXPECT_EQ(read_tensors(folder / "k.safetensors").at("clip_g").sizes(), (std::vector<std::int64_t>{2, 40}));
  for (const std::string name : {"d.safetensors", "k.safetensors"}) {
    const auto read = read_embedding(folder / name, {24, 40});
    EXPECT_EQ(read.placeholder, "<bird>");
    EXPECT_EQ(read.metadata.at("steps"), "400");
    for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(read.rows[i].equal(embedding.rows[i]));
  }
  fs::remove(folder / "d_2.safetensors");
  EXPECT_THAT(problems_of([&] {
                read_embedding(folder / "d.safetensors", {24, 40});
              }),
              HasSubstr("d_2.safetensors"));
}

// tests/golden/embeddings.py puts these files through diffusers' own loader.
at::Tensor golden_rows(std::int64_t encoder) {
  const std::int64_t vectors = 2, width = encoder == 0 ? 16 : 24;
  return ((at::arange(vectors * width, at::kFloat) + 100 * encoder) / 1024 - 0.05).view({vectors, width});
}

TEST(EmbeddingFile, FilesOfTheOriginalsScriptsAreRead) {
  const fs::path golden = DEDA_SOURCE_DIR "/tests/golden/embeddings";
  const auto one = read_embedding(golden / "theirs.safetensors", {16});
  EXPECT_EQ(one.placeholder, "<bird>");
  EXPECT_TRUE(one.rows[0].equal(golden_rows(0)));
  const auto kohya = read_embedding(golden / "theirs_kohya.safetensors", {16});
  EXPECT_EQ(kohya.placeholder, "theirs_kohya");
  EXPECT_TRUE(kohya.rows[0].equal(golden_rows(0).to(at::kHalf).to(at::kFloat)));
  for (const std::string name : {"theirs_xl.safetensors", "theirs_kohya_xl.safetensors"}) {
    const auto two = read_embedding(golden / name, {16, 24});
    ASSERT_EQ(two.rows.size(), 2u);
    for (std::int64_t i = 0; i < 2; ++i)
      EXPECT_TRUE(two.rows[static_cast<std::size_t>(i)].equal(golden_rows(i))) << name;
  }
}

TEST(EmbeddingFile, OurFilesAreThoseThatDiffusersHasLoaded) {
  const fs::path golden = DEDA_SOURCE_DIR "/tests/golden/embeddings";
  const char* renew = std::getenv("DEDA_RENEW_GOLDEN");
  test::TemporaryFolder folder;
  const auto to = renew != nullptr ? golden : folder.path();
  const EmbeddingFile one{"<bird>", {golden_rows(0)}, {{"class", "Laysan Albatross"}, {"steps", "400"}}};
  const EmbeddingFile two{"<bird>", {golden_rows(0), golden_rows(1)}, one.metadata};
  write_embedding(to / "ours.safetensors", one);
  write_embedding(to / "ours_kohya.safetensors", one, EmbeddingFormat::kohya);
  write_embedding(to / "ours_xl.safetensors", two);
  write_embedding(to / "ours_kohya_xl.safetensors", two, EmbeddingFormat::kohya);
  for (const std::string name : {"ours", "ours_kohya", "ours_xl", "ours_xl_2", "ours_kohya_xl"})
    EXPECT_EQ(read_bytes(to / (name + ".safetensors")), read_bytes(golden / (name + ".safetensors"))) << name;
}

TEST(EmbeddingFile, HalfPrecisionIsWidenedAndAFileWithoutANameTakesItsOwn) {
  test::TemporaryFolder folder;
  const auto rows = random_rows(3, 3, 16).to(at::kHalf);
  write_tensors(folder / "my-bird.safetensors", {{"emb_params", rows}});
  const auto read = read_embedding(folder / "my-bird.safetensors", {16});
  EXPECT_EQ(read.placeholder, "my-bird");
  EXPECT_EQ(read.rows[0].scalar_type(), at::kFloat);
  EXPECT_TRUE(read.rows[0].equal(rows.to(at::kFloat)));
}

TEST(EmbeddingFile, FilesThatAreSomethingElseAreNamedAsSuch) {
  test::TemporaryFolder folder;
  const auto told = [&](const NamedTensors& tensors, const std::vector<std::int64_t>& widths = {16}) {
    write_tensors(folder / "x.safetensors", tensors);
    return problems_of([&] { read_embedding(folder / "x.safetensors", widths); });
  };
  EXPECT_THAT(told({{"<a>", random_rows(1, 1, 24)}}),
              HasSubstr("rows of width 24, text encoder 1 of the model has 16"));
  EXPECT_THAT(told({{"<a>", random_rows(1, 1, 16)}, {"<b>", random_rows(1, 1, 16)}}),
              HasSubstr("holds 2 tensors: <a> [1, 16], <b>"));
  EXPECT_THAT(told({}), HasSubstr("holds no tensor"));
  EXPECT_THAT(told({{"<a>", at::zeros({2, 3, 4})}}), HasSubstr("expected [vectors, width]"));
  EXPECT_THAT(told({{"<a>", at::zeros({0, 16})}}), HasSubstr("expected [vectors, width]"));
  EXPECT_THAT(told({{"<a>", at::zeros({1, 16}, at::kLong)}}), HasSubstr("Long"));
  EXPECT_THAT(told({{"<a>", at::zeros({100, 16})}}), HasSubstr("100 vectors"));
  EXPECT_THAT(told({{"<a>", random_rows(1, 1, 16)}}, {16, 24}),
              HasSubstr("1 text encoder(s), the model has 2"));
  EXPECT_THAT(told({{"clip_g", random_rows(1, 1, 24)}}, {16, 24}), HasSubstr("lacks the tensor clip_l"));
  EXPECT_THAT(told({{"clip_l", random_rows(1, 1, 16)}, {"clip_g", random_rows(1, 2, 24)}}, {16, 24}),
              HasSubstr("1 vectors for the first text encoder and 2 for the second"));
  EXPECT_THAT(told({{"unet.down.to_q.lora_A.weight", at::zeros({4, 16})}}), HasSubstr("LoRA"));
  EXPECT_THAT(told({{"conv_in.weight", at::zeros({4, 16})}}), HasSubstr("weights of a network"));
  // Both of what is wrong with one tensor are told.
  auto bad = at::zeros({100, 16});
  bad[3][5] = std::numeric_limits<float>::quiet_NaN();
  const auto both = told({{"<a>", bad}});
  EXPECT_THAT(both, HasSubstr("100 vectors"));
  EXPECT_THAT(both, HasSubstr("not a number"));
}

TEST(EmbeddingFile, NothingIsWrittenThatCouldNotBeReadAgain) {
  test::TemporaryFolder folder;
  const auto path = folder / "x.safetensors";
  EXPECT_THROW(write_embedding(path, {"", {random_rows(1, 1, 8)}, {}}), ConfigError);
  EXPECT_THROW(write_embedding(path, {"<a>", {}, {}}), ModelError);
  EXPECT_THROW(write_embedding(path, {"<a>", {at::zeros({8})}, {}}), ModelError);
  EXPECT_THROW(write_embedding(path, {"<a>", {at::full({1, 8}, std::numeric_limits<float>::infinity())}, {}}),
               ModelError);
  EXPECT_FALSE(fs::exists(path));
}

TEST(EmbeddingFile, SeveralVectorsAreNumberedAsDiffusersDoes) {
  EXPECT_EQ(placeholders_of_rows("<x>", 1), (std::vector<std::string>{"<x>"}));
  EXPECT_EQ(placeholders_of_rows("<x>", 3), (std::vector<std::string>{"<x>", "<x>_1", "<x>_2"}));
}

}  // namespace
}  // namespace deda::models
