// Every kind of picture file is handled as Pillow's convert("RGB") does, or refused with its reason.
#include "io/pictures/image_codec.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <numeric>

#include "core/error.h"
#include "core/files.h"
#include "io/formats/text_table.h"
#include "io/pictures/image_header.h"
#include "io/pictures/mask_file.h"
#include "io/pictures/png_file.h"
#include "support/crc32.h"

namespace deda::io {
namespace {

using testing::Contains;
using testing::HasSubstr;

const std::filesystem::path golden = std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/pictures";

double mean(const Image& image) {
  return std::accumulate(image.pixels.begin(), image.pixels.end(), 0.0) /
         static_cast<double>(image.pixels.size());
}

std::string refusal(const std::vector<std::uint8_t>& bytes, const std::string& name = "picture.bin") {
  try {
    decode_image(bytes, name);
  } catch (const DataError& error) {
    return error.what();
  }
  return "no error";
}

TEST(ImageCodec, DecodesWhatPillowDecodesToTheSamePixels) {
  const TextTable table = read_csv(golden / "rgb.csv");
  ASSERT_GT(table.rows.size(), 20u);
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    const auto& cells = table.rows[i].cells;
    const Image image = read_image(golden / cells[0]).image;
    ASSERT_EQ(image.channels, 3) << cells[0];
    EXPECT_EQ(image.height, *to_integer(cells[1])) << cells[0];
    EXPECT_EQ(image.width, *to_integer(cells[2])) << cells[0];
    if (cells[0] == "cmyk.jpg") {
      // CMYK has no one conversion: Pillow and OpenCV round the product of ink and black differently.
      EXPECT_NEAR(mean(image), *to_number(cells[4]), 1.0) << cells[0];
      continue;
    }
    EXPECT_EQ(test::crc32(image.pixels), std::stoul(cells[3], nullptr, 16))
        << cells[0] << ", mean " << mean(image) << " instead of " << cells[4];
  }
}

std::vector<std::uint8_t> bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

TEST(ImageCodec, ReadsPortableMapsOfAllKinds) {
  using std::string;
  const std::vector<std::pair<string, std::vector<std::uint8_t>>> maps = {
      {"P1 2 1 1 0", {0, 0, 0, 255, 255, 255}},
      {"P2\n# by hand\n2 1\n255\n0 200", {0, 0, 0, 200, 200, 200}},
      {"P3 2 1 255 1 2 3 4 5 6", {1, 2, 3, 4, 5, 6}},
      {"P4\n2 1\n\x80", {0, 0, 0, 255, 255, 255}},
      {"P5 2 1 255\n\x10\x20", {16, 16, 16, 32, 32, 32}},
      {"P6 # c\n2 1\n255\n"
       "\x01\x02\x03\x04\x05\x06",
       {1, 2, 3, 4, 5, 6}},
      {string("P5 2 1 4095\n\x0F\xFF\0\0", 16), {255, 255, 255, 0, 0, 0}},  // 12 bit of a camera
      {string("P5 2 1 65535\n\xFF\xFF\x80\x80", 17), {255, 255, 255, 128, 128, 128}}};
  for (const auto& [text, pixels] : maps) {
    SCOPED_TRACE(text);
    DecodedImage decoded;
    ASSERT_NO_THROW(decoded = decode_image(bytes_of(text), "map.pnm"));
    EXPECT_EQ(decoded.image.height, 1) << text;
    EXPECT_EQ(decoded.image.width, 2) << text;
    EXPECT_EQ(decoded.image.pixels, pixels) << text;
  }
  EXPECT_THAT(refusal(bytes_of("P6 9 9 255\nxx")), HasSubstr("is a truncated PNM"));
  EXPECT_THAT(refusal(bytes_of("P3 9 9 255 1 2 3")), HasSubstr("PNM"));
  EXPECT_THAT(refusal(bytes_of("P5 70000 70000 255\n")), HasSubstr("claims 70000 x 70000 pixels"));
  EXPECT_THAT(refusal(bytes_of("P5 99999999999999999999 2 255\n")), HasSubstr("claims"));
  EXPECT_THAT(refusal(bytes_of("P5 2")), HasSubstr("is a broken PNM"));
  EXPECT_THAT(refusal(bytes_of("P5 2 2 0\nxxxx")), HasSubstr("PNM"));
}

TEST(ImageCodec, KnowsTheOtherSuffixesOfJpeg) {
  const Image picture(6, 8, 3);
  for (const char* name : {"x.jfif", "x.mpo", "x.jif"})
    EXPECT_TRUE(decode_image(encode_jpeg(picture, 90), name).notes.empty()) << name;
}

TEST(ImageCodec, TellsWhatItDid) {
  EXPECT_THAT(read_image(golden / "rgba.png").notes, Contains("alpha dropped"));
  EXPECT_THAT(read_image(golden / "grey_alpha.png").notes, Contains("alpha dropped"));
  EXPECT_THAT(read_image(golden / "sixteen.png").notes, Contains("16 bit scaled to 8"));
  EXPECT_THAT(read_image(golden / "cmyk.jpg").notes, Contains("CMYK converted"));
  EXPECT_THAT(read_image(golden / "animated.gif").notes, Contains("first frame of a GIF"));
  EXPECT_TRUE(read_image(golden / "colour.jpg").notes.empty());
  EXPECT_THAT(decode_image(read_bytes(golden / "rgba.png"), "misnamed.jpg").notes,
              Contains("is a PNG although named .jpg"));
}

TEST(ImageCodec, TurnsByExifOnlyWhenAsked) {
  const Image upright = read_image(golden / "orientation_1.jpg").image;
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const auto path = golden / ("orientation_" + std::to_string(orientation) + ".jpg");
    EXPECT_EQ(read_image(path).image.pixels, upright.pixels) << "ignored by default, as PIL does";
    const Image turned = read_image(path, Orientation::apply_exif).image;
    EXPECT_EQ(turned.height, orientation <= 4 ? 24 : 31);
    // Where the stored top left pixel goes, by the EXIF standard.
    const int bottom = turned.height - 1, right = turned.width - 1;
    const int y = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8 ? bottom : 0;
    const int x = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7 ? right : 0;
    for (int c = 0; c < 3; ++c)
      EXPECT_EQ(turned.row(y)[3 * x + c], upright.row(0)[c]) << "orientation " << orientation;
  }
}

TEST(ImageCodec, RefusesWithAReason) {
  EXPECT_THAT(refusal({}), HasSubstr("is empty"));
  EXPECT_THAT(refusal({1, 2, 3, 4, 5, 6, 7, 8}), HasSubstr("is no image"));
  EXPECT_THAT(refusal(read_bytes(golden / "animated.webp")), HasSubstr("animated WebP"));
  auto jpeg = read_bytes(golden / "colour.jpg");
  jpeg.resize(jpeg.size() - 40);
  EXPECT_THAT(refusal(jpeg), HasSubstr("truncated JPEG"));
  auto png = read_bytes(golden / "rgba.png");
  png.resize(png.size() / 2);
  EXPECT_THAT(refusal(png), HasSubstr("truncated PNG"));
  auto gif = read_bytes(golden / "still.gif");
  gif.resize(gif.size() / 2);
  EXPECT_THAT(refusal(gif), HasSubstr("truncated GIF"));
  EXPECT_THAT(refusal(read_bytes(golden / "colour.jpg"), "folder/name.jpg"), HasSubstr("no error"));
  EXPECT_THAT(refusal({}, "folder/name.jpg"), HasSubstr("folder/name.jpg"));
}

TEST(ImageCodec, BelievesNoClaimOfSixtyFiveThousandPixels) {
  auto png = read_bytes(golden / "rgba.png");
  png[16] = png[20] = 0;
  png[17] = png[21] = 0;
  png[18] = png[22] = 0xfd;
  png[19] = png[23] = 0xe8;
  EXPECT_THAT(refusal(png), HasSubstr("claims 65000 x 65000 pixels"));
  auto gif = read_bytes(golden / "still.gif");
  gif[6] = gif[7] = gif[8] = gif[9] = 0xff;
  EXPECT_THAT(refusal(gif), HasSubstr("claims 65535 x 65535 pixels"));
  DecodeLimits small;
  small.max_pixels = 100;
  EXPECT_THROW(decode_image(read_bytes(golden / "colour.jpg"), "x.jpg", Orientation::ignore_exif, small),
               DataError);
}

// A tall picture of stripes, so that few of its rows share a block.
std::vector<std::uint8_t> tall_jpeg() {
  Image image(1600, 32, 3);
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < 3 * image.width; ++x)
      image.row(y)[x] = static_cast<std::uint8_t>((y * 37 + x * 11 + y * x) % 251);
  }
  return encode_jpeg(image, 90);
}

// The last `lost` bytes before the end marker are missing.
std::vector<std::uint8_t> shortened(std::vector<std::uint8_t> jpeg, std::size_t lost) {
  jpeg.erase(jpeg.end() - 2 - static_cast<std::ptrdiff_t>(lost), jpeg.end() - 2);
  return jpeg;
}

TEST(ImageCodec, RefusesDamagedJpegsAndNotesLostRowsAtTheEnd) {
  const auto jpeg = tall_jpeg();
  EXPECT_TRUE(decode_image(jpeg, "tall.jpg").notes.empty());
  EXPECT_THAT(refusal(shortened(jpeg, jpeg.size() / 2)), HasSubstr("is a damaged JPEG: "));
  EXPECT_THAT(refusal(shortened(jpeg, jpeg.size() / 2)), HasSubstr("of 1600 rows are lost"));
  const auto notes = decode_image(shortened(jpeg, 20), "tall.jpg").notes;
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0], HasSubstr("damaged JPEG: "));
}

TEST(ImageCodec, PrintsNothing) {
  testing::internal::CaptureStderr();
  for (const char* name :
       {"colour.bmp", "colour.tiff", "colour.webp", "colour.jpg", "rgba.png", "still.gif"}) {
    const auto whole = read_bytes(golden / name);
    for (std::size_t bytes = 8; bytes < whole.size(); bytes += whole.size() / 13 + 1)
      refusal({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes)}, name);
    for (std::size_t place = 30; place < whole.size(); place += whole.size() / 29 + 1) {
      auto flipped = whole;
      flipped[place] ^= 0x55;
      refusal(flipped, name);
    }
  }
  refusal(shortened(tall_jpeg(), 500));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(ImageCodec, FindsOrientationAndLossInEveryKindOfHeader) {
  EXPECT_EQ(read_image_header(read_bytes(golden / "orientation_6.jpg")).exif_orientation, 6);
  EXPECT_TRUE(read_image_header(read_bytes(golden / "orientation_6.jpg")).lossy);
  auto webp = read_bytes(golden / "colour.webp");
  EXPECT_FALSE(read_image_header(webp).lossy);
  EXPECT_EQ(read_image_header(webp).exif_orientation, 1);
  const std::vector<std::uint8_t> exif{'E', 'X',  'I', 'F', 26, 0, 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0, 1,
                                       0,   0x12, 1,   3,   0,  1, 0, 0, 0,   8,   0,  0, 0, 0, 0, 0, 0};
  webp.insert(webp.end(), exif.begin(), exif.end());
  EXPECT_EQ(read_image_header(webp).exif_orientation, 8);
  EXPECT_TRUE(read_image_header(webp).turns_sides());
}

TEST(ImageCodec, ReadsMasksAsStored) {
  const Image palette = read_mask(golden / "palette.png");
  EXPECT_EQ(palette.channels, 1);
  EXPECT_LT(*std::max_element(palette.pixels.begin(), palette.pixels.end()), 16) << "indices, not colours";
  const Image bits = read_mask(golden / "one_bit.png");
  EXPECT_EQ(*std::max_element(bits.pixels.begin(), bits.pixels.end()), 1) << "one bit is not scaled to 255";
  const Image grey = read_mask(golden / "grey.png");
  EXPECT_EQ(grey.row(2)[3], 31);
  EXPECT_EQ(read_mask(golden / "colour.bmp").channels, 1);
}

TEST(ImageCodec, WritesWhatItReads) {
  Image image(5, 4, 4);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<std::uint8_t>(i * 11);
  const PngSamples mask = decode_png_samples(encode_png(Image(3, 3, 1)), "m.png");
  EXPECT_EQ(mask.samples, std::vector<std::uint16_t>(9, 0));
  const Image back = decode_image(encode_png(image), "b.png").image;
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(back.pixels[3 * i + 1], image.pixels[4 * i + 1]);
  EXPECT_THROW(encode_jpeg(image, 90), DataError);
}

TEST(ImageCodec, ReadsTheKnownDefectsOfOxfordPets) {
  const char* named = std::getenv("DEDA_TEST_DATA");
  const std::filesystem::path data = named != nullptr
                                         ? std::filesystem::path{named}
                                         : std::filesystem::path{DEDA_SOURCE_DIR} / ".." / "shared" / "data";
  if (!std::filesystem::exists(data / "pets_edge")) GTEST_SKIP() << "no real pictures at " << data;
  EXPECT_THAT(read_image(data / "pets_edge/images/Abyssinian_34.jpg").notes,
              Contains("is a GIF although named .jpg"));
  const DecodedImage png = read_image(data / "pets_edge/images/Abyssinian_5.jpg");
  EXPECT_EQ(png.image.width, 200);
  EXPECT_EQ(png.image.height, 150);
}

}  // namespace
}  // namespace deda::io
