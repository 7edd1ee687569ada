// safetensors: files of the reference implementation are read, ours are as it would write them, lies are
// refused.
#include "io/formats/safetensors.h"

#include <gmock/gmock.h>

#include <cstring>

#include "core/error.h"
#include "core/files.h"
#include "support/temporary_folder.h"

namespace deda::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Safetensors, ReadsTheReferenceImplementationsFile) {
  const SafetensorsFile file(std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/python.safetensors");
  EXPECT_EQ(file.tensors().size(), 6u);
  EXPECT_EQ(file.metadata().at("note"), "ünïcode");
  const TensorView& weights = file.at("weights");
  EXPECT_EQ(weights.dtype, DType::f32);
  EXPECT_THAT(weights.shape, ElementsAre(3, 4));
  float value = 0;
  std::memcpy(&value, weights.bytes.data() + 4 * 11, 4);
  EXPECT_FLOAT_EQ(value, 1.75f);
  std::int64_t count = 0;
  std::memcpy(&count, file.at("counts").bytes.data() + 24, 8);
  EXPECT_EQ(count, std::int64_t{1} << 40);
  EXPECT_TRUE(file.at("scalar").shape.empty());
  EXPECT_TRUE(file.at("nothing").bytes.empty());
  try {
    file.at("weight");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("nearest name there is \"weights\""));
  }
}

TEST(Safetensors, ReadsBackWhatItWrote) {
  const test::TemporaryFolder folder;
  const std::vector<std::uint8_t> bytes = {1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<TensorToWrite> tensors = {{"b", DType::f16, {2, 2}, bytes},
                                              {"a", DType::u8, {3}, std::span{bytes}.first(3)}};
  write_safetensors(folder / "x.safetensors", tensors, {{"k", "v"}});
  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_THAT(std::vector<std::uint8_t>(file.at("b").bytes.begin(), file.at("b").bytes.end()), bytes);
  EXPECT_EQ(file.at("a").bytes.size(), 3u);
  EXPECT_EQ(file.metadata().at("k"), "v");
  EXPECT_THROW(write_safetensors(folder / "y", std::vector<TensorToWrite>{{"a", DType::f32, {3}, bytes}}),
               DataError)
      << "8 bytes are not 3 floats";
}

// A file with the given header text and data bytes.
std::string message_for(const std::string& header, std::size_t data_bytes, std::uint64_t claimed = 0) {
  const test::TemporaryFolder folder;
  std::string bytes;
  const std::uint64_t length = claimed != 0 ? claimed : header.size();
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> (8 * i) & 255);
  bytes += header + std::string(data_bytes, 'x');
  write_atomically(folder / "lie.safetensors", bytes);
  try {
    SafetensorsFile file(folder / "lie.safetensors");
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("lie.safetensors"));
    return error.what();
  }
  return "no error";
}

TEST(Safetensors, BelievesNothingInAHeader) {
  EXPECT_EQ(message_for(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4), "no error");
  EXPECT_THAT(message_for("{}", 0, 1ull << 60), HasSubstr("header claims"));
  EXPECT_THAT(message_for("{", 0), HasSubstr("no JSON"));
  EXPECT_THAT(message_for("[]", 0), HasSubstr("no JSON object"));
  EXPECT_THAT(message_for(std::string(5000, '['), 0), HasSubstr("nested too deeply"));
  EXPECT_THAT(message_for(R"({"a":7})", 0), HasSubstr("tensor \"a\""));
  EXPECT_THAT(message_for(R"({"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}})", 4),
              HasSubstr("unknown dtype"));
  EXPECT_THAT(message_for(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4),
              HasSubstr("no count"));
  EXPECT_THAT(message_for(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}})", 4),
              HasSubstr("does not fit"))
      << "the product overflows";
  EXPECT_THAT(message_for(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,400]}})", 4),
              HasSubstr("but the file holds 4"));
  EXPECT_THAT(message_for(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}})", 4),
              HasSubstr("tensor \"a\""));
  EXPECT_THAT(
      message_for(
          R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
          4),
      HasSubstr("overlap"));
  EXPECT_THAT(message_for(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})", 4),
              HasSubstr("belong to none"));
  EXPECT_THAT(message_for(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 4),
              HasSubstr("behind the last tensor"));
}

TEST(Safetensors, ListsAllProblemsAtOnceAndNamesEmptyFiles) {
  const std::string message =
      message_for(R"({"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]},"b":5})", 4);
  EXPECT_THAT(message, HasSubstr("\"a\""));
  EXPECT_THAT(message, HasSubstr("\"b\""));
  const test::TemporaryFolder folder;
  write_atomically(folder / "empty", "");
  EXPECT_THROW(SafetensorsFile{folder / "empty"}, DataError);
  EXPECT_THROW(SafetensorsFile{folder / "absent"}, DataError);
  EXPECT_THROW(SafetensorsFile{folder.path()}, DataError) << "a folder";
}

}  // namespace
}  // namespace deda::io
