// Files of torch.save (tests/golden/torch_archives.py): the numbers they hold, and refusal of everything
// else.
#include "io/formats/torch_archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/error.h"
#include "core/files.h"
#include "support/temporary_folder.h"

namespace deda::io {
namespace {

using ::testing::HasSubstr;

std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/torch_archives" / name;
}

std::vector<float> floats_of(const ArchivedTensor& tensor) {
  std::vector<float> values(tensor.bytes.size() / sizeof(float));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

std::string refusal_of(const std::filesystem::path& path) {
  try {
    read_torch_archive(path);
  } catch (const DataError& error) {
    return error.what();
  }
  return {};
}

TEST(TorchArchive, HoldsTensorsByPath) {
  const auto archive = read_torch_archive(golden("diffusers.bin"));
  ASSERT_EQ(archive.tensors.size(), 1u);
  const auto& bird = archive.tensors.at("<bird>");
  EXPECT_EQ(bird.dtype, DType::f32);
  EXPECT_EQ(bird.shape, (std::vector<std::int64_t>{3, 8}));
  const auto values = floats_of(bird);
  for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(values[i], static_cast<float>(i) / 16);
}

TEST(TorchArchive, FollowsOffsetsAndStrides) {
  const auto part = read_torch_archive(golden("old_diffusers.bin")).tensors.at("<bird>");
  EXPECT_EQ(part.shape, (std::vector<std::int64_t>{8}));
  EXPECT_EQ(floats_of(part).front(), 0.5f);
  const auto half = read_torch_archive(golden("half_transposed.bin")).tensors.at("<bird>");
  EXPECT_EQ(half.dtype, DType::f16);
  EXPECT_EQ(half.shape, (std::vector<std::int64_t>{3, 8}));
  std::uint16_t second = 0, eighth = 0;
  std::memcpy(&second, half.bytes.data() + 2, 2);
  std::memcpy(&eighth, half.bytes.data() + 16, 2);
  EXPECT_EQ(second, 0x2C00);  // 1/16
  EXPECT_EQ(eighth, 0x3800);  // 8/16
}

TEST(TorchArchive, KeepsTextsAndNumbersOfTheWebui) {
  const auto archive = read_torch_archive(golden("webui.pt"));
  EXPECT_EQ(archive.tensors.at("string_to_param/*").shape, (std::vector<std::int64_t>{3, 8}));
  EXPECT_EQ(archive.texts.at("name"), "bird");
  EXPECT_EQ(archive.texts.at("step"), "1999");
  EXPECT_EQ(archive.texts.at("sd_checkpoint_name"), "v1-5");
}

TEST(TorchArchive, NeverCallsWhatAFileNames) {
  EXPECT_THAT(refusal_of(golden("command.bin")), HasSubstr("would call posix.system"));
  EXPECT_THAT(refusal_of(golden("command.bin")), HasSubstr("command.bin"));
}

TEST(TorchArchive, OtherFilesAreNamedAsWhatTheyAre) {
  EXPECT_THAT(refusal_of(golden("before_1_6.bin")), HasSubstr("before 1.6"));
  EXPECT_THAT(refusal_of(DEDA_SOURCE_DIR "/tests/golden/python.safetensors"),
              HasSubstr("is no file of torch.save"));
  EXPECT_TRUE(is_torch_archive(golden("webui.pt")));
  EXPECT_FALSE(is_torch_archive(golden("before_1_6.bin")));
  EXPECT_FALSE(is_torch_archive(golden("nothing.bin")));
}

// Pickles that ask for depth, length or endless expansion: refused at once.
TEST(TorchArchive, BombsAreRefused) {
  const auto whole = read_bytes(golden("diffusers.bin"));
  std::string file{whole.begin(), whole.end()};
  const auto at = file.find("\x80\x02}");
  ASSERT_NE(at, std::string::npos);
  constexpr std::size_t length = 160;  // within the pickle
  const test::TemporaryFolder folder;
  const auto refused = [&](std::string pickle) {
    pickle.resize(length, '.');
    auto bomb = file;
    bomb.replace(at, length, pickle);
    write_atomically(folder / "bomb.bin", bomb);
    return refusal_of(folder / "bomb.bin");
  };
  EXPECT_THAT(refused("\x80\x02]q" + std::string(1, '\0') + "h" + std::string(1, '\0') + "a."),
              HasSubstr("nested"));
  EXPECT_THAT(refused("\x80\x02" + std::string(100, ']') + std::string(40, 'a') + "."), HasSubstr("nested"));
  EXPECT_THAT(refused("\x80\x02" + std::string("K") + std::string(1, '\1') + "."), "");
  EXPECT_THAT(refused("\x80\x02h\x07."), HasSubstr("never there"));
  EXPECT_THAT(refused("\x80\x02X\xff\xff\xff\x7f."), HasSubstr("ends in the middle"));
}

}  // namespace
}  // namespace deda::io
