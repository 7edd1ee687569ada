// Masks of every kind that tools write (tests/golden/pillow_masks.py draws one disc in each) mean the same
// disc; where a file does not tell, that is said. And which way up the picture lies that a mask belongs to.
#include "decoupling/mask_meaning.h"

#include <gmock/gmock.h>

#include <cmath>

#include "core/error.h"
#include "core/files.h"
#include "data/contents.h"
#include "data/picture.h"
#include "decoupling/annotated_masks.h"
#include "decoupling/ladder.h"
#include "io/pictures/image_codec.h"
#include "support/crc32.h"
#include "support/temporary_folder.h"

namespace deda::decoupling {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

const std::filesystem::path golden = std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/masks";
constexpr int width = 96, height = 64;
constexpr std::array<std::int32_t, 4> disc_box{20, 10, 58, 48};

bool in_disc(int x, int y) {
  const double dx = x - 0.4 * width, dy = y - 0.45 * height, radius = 0.3 * height;
  return dx * dx + dy * dy < radius * radius;
}

io::Image disc_on_ground() {
  io::Image picture(height, width, 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const std::array<int, 3> colour =
          in_disc(x, y) ? std::array{200, 60, 40} : std::array{40 + x, 120 + y / 2, 90};
      for (int c = 0; c < 3; ++c)
        picture.row(y)[3 * x + c] = static_cast<std::uint8_t>(colour[static_cast<std::size_t>(c)]);
    }
  }
  return picture;
}

std::int64_t disc_area() {
  std::int64_t area = 0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) area += in_disc(x, y);
  }
  return area;
}

MeantMask meant(const std::string& name) {
  return meant_mask(io::read_mask_file(golden / name));
}

TEST(MaskMeaning, IsTheDiscWhateverToolWroteIt) {
  for (const char* name :
       {"l255.png",         "l1.png",          "onebit.png",      "rgb.png",      "u16_1.png",
        "u16_256.png",      "u16_65535.png",   "u16_1.tif",       "float1.tif",   "lossless.webp",
        "white_first.png",  "voc_palette.png", "black_is_7.png",  "no_black.png", "all_black.png",
        "clear_ground.png", "alpha_black.png", "alpha_white.png", "cut_out.png",  "white_on_clear.png",
        "opaque.png",       "grey_alpha.png",  "still.gif",       "onebit.bmp",   "eight.bmp",
        "onebit.tif",       "fax.tif",         "void.png"}) {
    const MeantMask mask = meant(name);
    EXPECT_EQ(box_of(mask.object), disc_box) << name;
    EXPECT_EQ(area_of(mask.object), disc_area()) << name;
  }
}

TEST(MaskMeaning, CutsLossyAndSoftMasksAtHalf) {
  for (const char* name :
       {"jpeg.jpg", "jpeg_q30.jpg", "jpeg_of_1.jpg", "lossy.webp", "jpeg_as_png.png", "softened.png"}) {
    const MeantMask mask = meant(name);
    const auto box = box_of(mask.object);
    for (std::size_t side = 0; side < 4; ++side) EXPECT_LE(std::abs(box[side] - disc_box[side]), 1) << name;
    EXPECT_NEAR(static_cast<double>(area_of(mask.object)), static_cast<double>(disc_area()),
                0.04 * disc_area())
        << name;
    ASSERT_EQ(mask.notes.size(), 1u) << name;
    EXPECT_THAT(mask.notes[0], HasSubstr("cut at half")) << name;
  }
  EXPECT_THAT(meant("jpeg.jpg").notes[0], HasSubstr("lossy JPEG"));
  EXPECT_THAT(meant("lossy.webp").notes[0], HasSubstr("lossy WebP"));
}

TEST(MaskMeaning, TellsWhatItDecided) {
  EXPECT_THAT(meant("l255.png").notes, IsEmpty());
  EXPECT_THAT(meant("white_first.png").notes, IsEmpty());
  EXPECT_THAT(meant("alpha_black.png").notes[0], HasSubstr("it alone varies"));
  EXPECT_THAT(meant("cut_out.png").notes[0], HasSubstr("its colours are a picture"));
  EXPECT_THAT(meant("no_black.png").notes[0], HasSubstr("index 0 taken as ground"));
}

TEST(MaskMeaning, KeepsLabelsAndTellsVoidFromObject) {
  EXPECT_EQ(box_of(meant("labels.png").object)[2], 87) << "the union of both labels";
  const MeantMask void_label = meant("void.png");
  EXPECT_EQ(area_of(void_label.undecided), 6 * width);
  EXPECT_THAT(void_label.notes[0], HasSubstr("undecided"));
  EXPECT_GT(area_of(meant("grey_border.png").object), disc_area()) << "128 beside 255 is no void label";
}

TEST(MaskMeaning, RefusesAlphaAndColoursThatDisagree) {
  EXPECT_THROW(meant("disagree.png"), DataError);
}

TEST(MaskMeaning, LeavesDefinedNumbersAlone) {
  const auto file = io::read_mask_file(golden / "voc_colours.png");
  const io::Image classes = values_of(file, data::MaskEncoding::voc_class);
  EXPECT_EQ(classes.row(30)[38], 8) << "Pascal's colour of the cat";
  EXPECT_EQ(classes.row(0)[0], 255);
  EXPECT_EQ(classes.row(60)[90], 0);
  const io::Image index =
      values_of(io::read_mask_file(golden / "black_is_7.png"), data::MaskEncoding::voc_class);
  EXPECT_EQ(index.row(0)[0], 7) << "an index is a class number, whatever its colour";
  EXPECT_EQ(values_of(io::read_mask_file(golden / "onebit.png"), data::MaskEncoding::grey).row(30)[38], 255)
      << "white of any depth is 255 of CUB's grey";
}

// A picture and its mask file in a folder.
struct Pair {
  test::TemporaryFolder folder;
  data::Dataset dataset;
  data::Item item;
  Pair(const std::vector<std::uint8_t>& picture, const std::string& picture_name,
       const std::filesystem::path& mask) {
    dataset.root = folder.path();
    item.path = picture_name;
    item.class_id = 0;
    write_atomically(folder / picture_name, {reinterpret_cast<const char*>(picture.data()), picture.size()});
    if (mask.empty()) return;
    item.mask = mask.filename().string();
    item.mask_encoding = data::MaskEncoding::nonzero;
    std::filesystem::copy_file(mask, folder / item.mask, std::filesystem::copy_options::overwrite_existing);
  }
  DecoupledPicture run(const DecoupleConfig& config = {}) const {
    std::vector<std::unique_ptr<MaskSource>> sources;
    for (const auto& name : config.sources) sources.push_back(make_mask_source(name, config));
    return decouple_picture(dataset, item, 0, sources, config);
  }
};

TEST(AnnotatedMasks, RejectWithAReasonThatHelps) {
  const auto reason = [](const std::string& mask) {
    return Pair(io::encode_png(disc_on_ground()), "picture.png", golden / mask).run().result;
  };
  EXPECT_EQ(reason("l255.png").outcome, io::Outcome::done);
  EXPECT_THAT(reason("inverted.png").reason, HasSubstr("is it inverted?"));
  EXPECT_EQ(reason("inverted.png").outcome, io::Outcome::rejected);
  EXPECT_THAT(reason("all_255.png").reason, HasSubstr("share of the picture is 100.0 %"));
  EXPECT_THAT(reason("all_zero.png").reason, HasSubstr("no object pixel"));
  EXPECT_EQ(reason("all_zero.png").outcome, io::Outcome::nothing_found);
  EXPECT_THAT(reason("disagree.png").reason, HasSubstr("tell different objects"));
  const auto sized = [](int mask_width, int mask_height) {
    Pair pair(io::encode_png(disc_on_ground()), "picture.png", golden / "l255.png");
    io::write_image(pair.folder / "l255.png", io::Image(mask_height, mask_width, 1));
    return pair.run().result.reason;
  };
  EXPECT_THAT(sized(98, 65), HasSubstr("98 x 65 pixels, but the picture has 96 x 64: a few pixels off"));
  EXPECT_THAT(sized(48, 32), HasSubstr("0.5 times its size"));
  EXPECT_THAT(sized(64, 96), HasSubstr("its sides are swapped"));
  EXPECT_THAT(sized(30, 99), HasSubstr("another picture's mask"));
}

void append32(std::vector<std::uint8_t>& to, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<std::uint8_t>(value >> shift));
}

// The PNG with an EXIF orientation in a chunk after its header.
std::vector<std::uint8_t> with_orientation(std::vector<std::uint8_t> png, std::uint8_t orientation) {
  const std::vector<std::uint8_t> exif{'M', 'M', 0, 42, 0, 0, 0,           8, 0, 1, 1, 0x12, 0,
                                       3,   0,   0, 0,  1, 0, orientation, 0, 0, 0, 0, 0,    0};
  std::vector<std::uint8_t> body{'e', 'X', 'I', 'f'}, chunk;
  body.insert(body.end(), exif.begin(), exif.end());
  append32(chunk, static_cast<std::uint32_t>(exif.size()));
  chunk.insert(chunk.end(), body.begin(), body.end());
  append32(chunk, test::crc32(body));
  constexpr std::ptrdiff_t after_header = 33;
  png.insert(png.begin() + after_header, chunk.begin(), chunk.end());
  return png;
}

// As a camera held upright stores it: EXIF orientation 6 turns it to `picture`.
io::Image lying(const io::Image& picture) {
  io::Image out(picture.width, picture.height, 3);
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x)
      std::copy_n(picture.row(y) + 3 * x, 3, out.row(picture.width - 1 - x) + 3 * y);
  }
  return out;
}

TEST(Orientation, IsTheOneWhoseSizeFitsTheMask) {
  const io::Image upright = disc_on_ground();
  Pair turned(with_orientation(io::encode_png(lying(upright)), 6), "phone.png", golden / "l255.png");
  const data::Picture seen = data::load_picture(turned.dataset, turned.item);
  EXPECT_EQ(seen.image.pixels, upright.pixels);
  const DecoupledPicture parts = turned.run();
  ASSERT_EQ(parts.result.outcome, io::Outcome::done) << parts.result.reason;
  EXPECT_EQ(parts.result.records[0].info.box, disc_box);
  EXPECT_THAT(parts.result.reason, HasSubstr("turned upright by EXIF orientation 6: the mask fits so"));
  EXPECT_EQ(parts.turned, 6);

  Pair as_stored(with_orientation(io::encode_png(upright), 6), "phone.png", golden / "l255.png");
  EXPECT_EQ(data::load_picture(as_stored.dataset, as_stored.item).image.pixels, upright.pixels);
  EXPECT_THAT(as_stored.run().result.reason, HasSubstr("ignored: the mask fits the picture as stored"));

  Pair without(with_orientation(io::encode_png(lying(upright)), 6), "phone.png", {});
  EXPECT_EQ(data::load_picture(without.dataset, without.item).image.height, width) << "as Pillow reads it";
  EXPECT_THAT(data::load_picture(without.dataset, without.item).notes,
              testing::Contains("EXIF orientation 6 ignored"));
  without.item.box = {20, 10, 58, 60};
  EXPECT_EQ(data::load_picture(without.dataset, without.item).image.height, width)
      << "this box fits both ways";
  without.item.box = {20, 10, 90, 48};
  EXPECT_EQ(data::load_picture(without.dataset, without.item).image.height, height)
      << "and this one upright only";
}

TEST(Orientation, ThatNoSizeTellsNeedsTheKey) {
  const io::Image upright = disc_on_ground();
  io::Image half_turned = upright;
  for (std::size_t i = 0; i < upright.pixels.size(); i += 3)
    std::copy_n(&upright.pixels[i], 3, &half_turned.pixels[upright.pixels.size() - 3 - i]);
  Pair pair(with_orientation(io::encode_png(half_turned), 3), "phone.png", golden / "l255.png");
  EXPECT_EQ(pair.run().result.outcome, io::Outcome::rejected);
  EXPECT_THAT(pair.run().result.reason, HasSubstr("Set dataset.orientation to ignore"));
  pair.dataset.orientation = data::OrientationChoice::apply;
  EXPECT_EQ(data::load_picture(pair.dataset, pair.item).image.pixels, upright.pixels);
  EXPECT_EQ(pair.run().result.outcome, io::Outcome::done);
  pair.dataset.orientation = data::OrientationChoice::ignore;
  EXPECT_EQ(data::load_picture(pair.dataset, pair.item).image.pixels, half_turned.pixels);
  EXPECT_THAT(pair.run().result.reason, HasSubstr("EXIF orientation 3 ignored"));
}

TEST(Orientation, CountsForEveryStageThatSeesThePicture) {
  test::TemporaryFolder folder;
  const auto write = [&](const std::string& name, const std::vector<std::uint8_t>& bytes) {
    make_folder((folder / name).parent_path());
    write_atomically(folder / name, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  };
  const io::Image upright = disc_on_ground();
  write("set/cat/phone.png", with_orientation(io::encode_png(lying(upright)), 6));
  write("set/dog/other.png", io::encode_png(upright));
  write("masks/cat/phone.png", read_bytes(golden / "l255.png"));
  data::DatasetConfig config;
  config.layout = data::Layout::folder;
  config.root = folder / "set";
  config.masks = folder / "masks";
  const auto identity = [&](data::OrientationChoice choice) {
    config.orientation = choice;
    FileDigests digests{{}};
    return data::identity_of_classification(data::contents_of(config, {}, digests, 1));
  };
  EXPECT_THAT(identity(data::OrientationChoice::automatic), HasSubstr(" turned 6"));
  EXPECT_EQ(identity(data::OrientationChoice::automatic), identity(data::OrientationChoice::apply));
  EXPECT_THAT(identity(data::OrientationChoice::ignore), testing::Not(HasSubstr("turned")));
}

}  // namespace
}  // namespace deda::decoupling
