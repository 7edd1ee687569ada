// Masks by encoding, union, crop margins, feathering, hole dilation, and what becomes of odd pictures.
#include "decoupling/cut.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "decoupling/annotated_masks.h"
#include "decoupling/decouple.h"
#include "decoupling/mask_quality.h"
#include "io/pictures/image_codec.h"
#include "support/temporary_folder.h"

namespace deda::decoupling {
namespace {

io::Image box_mask(int height, int width, int x1, int y1, int x2, int y2) {
  io::Image mask(height, width, 1);
  for (int y = y1; y < y2; ++y) std::fill(mask.row(y) + x1, mask.row(y) + x2, std::uint8_t{255});
  return mask;
}

io::Image gradient(int height, int width) {
  io::Image image(height, width, 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.row(y)[3 * x] = static_cast<std::uint8_t>(x * 255 / width);
      image.row(y)[3 * x + 1] = static_cast<std::uint8_t>(y * 255 / height);
      image.row(y)[3 * x + 2] = 90;
    }
  }
  return image;
}

TEST(Masks, AreReadByTheirEncoding) {
  io::Image values(1, 6, 1);
  values.pixels = {0, 1, 2, 3, 128, 255};
  io::Image undecided;
  const auto read = [&](data::MaskEncoding encoding, TrimapBorder border = TrimapBorder::outside) {
    return decode_mask(values, encoding, 1, border, undecided).pixels;
  };
  EXPECT_EQ(read(data::MaskEncoding::nonzero), (std::vector<std::uint8_t>{0, 255, 255, 255, 255, 255}));
  EXPECT_EQ(read(data::MaskEncoding::grey), (std::vector<std::uint8_t>{0, 0, 0, 0, 255, 255}));
  EXPECT_TRUE(undecided.empty());
  EXPECT_EQ(read(data::MaskEncoding::pet_trimap), (std::vector<std::uint8_t>{0, 255, 0, 0, 0, 0}));
  EXPECT_EQ(undecided.pixels, (std::vector<std::uint8_t>{0, 0, 0, 255, 0, 0}))
      << "the border is in the hole either way";
  EXPECT_EQ(read(data::MaskEncoding::pet_trimap, TrimapBorder::inside),
            (std::vector<std::uint8_t>{0, 255, 0, 255, 0, 0}));
  EXPECT_EQ(read(data::MaskEncoding::voc_class), (std::vector<std::uint8_t>{0, 0, 255, 0, 0, 0}))
      << "palette index = class + 1";
  EXPECT_EQ(undecided.pixels[5], 255);
}

TEST(Masks, UniteByOr) {
  const io::Image merged = union_of({box_mask(4, 4, 0, 0, 2, 2), box_mask(4, 4, 1, 1, 3, 4)});
  EXPECT_EQ(area_of(merged), 4 + 6 - 1);
  EXPECT_EQ(box_of(merged), (std::array<std::int32_t, 4>{0, 0, 3, 4}));
  EXPECT_TRUE(union_of({}).empty());
}

TEST(Cut, CropsTheAlphaBoxWithItsMarginInsideThePicture) {
  DecoupleConfig config;
  config.feather_sigma = 0;
  const Cdp cdp = cut_cdp(gradient(200, 300), box_mask(200, 300, 100, 50, 200, 90), config);
  EXPECT_EQ(cdp.box, (std::array<std::int32_t, 4>{100, 50, 200, 90}));
  EXPECT_EQ(cdp.mask_area, 4000);
  EXPECT_EQ(cdp.crop, (std::array<std::int32_t, 4>{95, 45, 205, 95})) << "5 % of the longer side";
  const Cdp small = cut_cdp(gradient(200, 300), box_mask(200, 300, 0, 190, 10, 200), config);
  EXPECT_EQ(small.crop, (std::array<std::int32_t, 4>{0, 186, 14, 200})) << "at least 4 pixels, clipped";
}

TEST(Cut, SoftensAlphaAndKeepsItFullInsideAndAtTheFrame) {
  const Cdp cdp = cut_cdp(gradient(100, 100), box_mask(100, 100, 0, 30, 60, 70), {});
  const auto alpha = [&](int x, int y) { return cdp.rgba.row(y - cdp.crop[1])[4 * (x - cdp.crop[0]) + 3]; };
  EXPECT_EQ(alpha(30, 50), 255);
  EXPECT_EQ(alpha(0, 50), 255) << "an object that touches the frame is not softened there";
  EXPECT_NEAR(alpha(59, 50), 255 * 0.69, 12) << "half a pixel inside an edge of sigma 1";
  EXPECT_NEAR(alpha(60, 50), 255 * 0.31, 12);
  EXPECT_EQ(alpha(66, 50), 0);
}

TEST(Cut, FillsHiddenColoursWithTheObjectsOwn) {
  io::Image picture(60, 60, 3);  // blue ground, red object
  for (std::size_t i = 2; i < picture.pixels.size(); i += 3) picture.pixels[i] = 255;
  const io::Image mask = box_mask(60, 60, 20, 20, 40, 40);
  for (std::size_t i = 0; i < mask.pixels.size(); ++i) {
    if (mask.pixels[i] != 0) picture.pixels[3 * i] = 255, picture.pixels[3 * i + 2] = 0;
  }
  DecoupleConfig config;
  config.feather_sigma = 0;
  const Cdp cdp = cut_cdp(picture, mask, config);
  for (std::size_t i = 0; i < cdp.rgba.pixels.size(); i += 4) {
    EXPECT_GE(cdp.rgba.pixels[i], 254);
    EXPECT_LE(cdp.rgba.pixels[i + 2], 1) << "no blue anywhere, also under transparent pixels";
  }
}

TEST(Cut, GrowsTheHoleByThreePixelsOrOnePercentHalfToEven) {
  EXPECT_EQ(hole_dilation(100, 200, {}), 3);
  EXPECT_EQ(hole_dilation(500, 350, {}), 5);
  EXPECT_EQ(hole_dilation(450, 350, {}), 4) << "4.5 rounds to even";
  EXPECT_EQ(hole_dilation(10, 550, {}), 6) << "5.5 rounds to even";
  const Cip cip = fill_cip(gradient(100, 100), box_mask(100, 100, 40, 40, 60, 60), {});
  EXPECT_EQ(cip.hole.row(50)[37], 255);
  EXPECT_EQ(cip.hole.row(50)[36], 0);
  EXPECT_EQ(cip.rgb.row(10)[3 * 10], gradient(100, 100).row(10)[30]) << "outside of the hole nothing changes";
  EXPECT_TRUE(fill_cip(gradient(20, 20), box_mask(20, 20, 0, 0, 20, 20), {}).rgb.empty());
}

TEST(Cut, ShrinksStoredPartsWhenAsked) {
  DecoupleConfig config;
  config.cip_shorter_side = 50;
  config.cdp_longer_side = 30;
  EXPECT_EQ(fill_cip(gradient(100, 150), box_mask(100, 150, 40, 40, 60, 60), config).rgb.width, 75);
  const Cdp cdp = cut_cdp(gradient(100, 150), box_mask(100, 150, 10, 10, 90, 60), config);
  EXPECT_EQ(std::max(cdp.rgba.width, cdp.rgba.height), 30);
}

// One picture on disk, with a mask of given values.
struct OnePicture {
  test::TemporaryFolder folder;
  data::Dataset dataset;
  DecoupleConfig config;
  DecoupledPicture run(const io::Image& picture, const io::Image& mask,
                       data::MaskEncoding encoding = data::MaskEncoding::nonzero) {
    dataset.root = folder.path();
    data::Item item;
    item.path = "picture.png";
    item.class_id = 0;
    if (!picture.empty()) io::write_image(folder / "picture.png", picture);
    if (!mask.empty()) {
      io::write_image(folder / "mask.png", mask);
      item.mask = "mask.png";
      item.mask_encoding = encoding;
    }
    std::vector<std::unique_ptr<MaskSource>> sources;
    for (const auto& name : config.sources) sources.push_back(make_mask_source(name, config));
    return decouple_picture(dataset, item, 0, sources, config);
  }
};

TEST(DecouplePicture, EndsInOneOutcomeWithItsReason) {
  OnePicture done;
  const DecoupledPicture good = done.run(gradient(80, 90), box_mask(80, 90, 20, 20, 60, 60));
  EXPECT_EQ(good.result.outcome, io::Outcome::done);
  ASSERT_EQ(good.result.records.size(), 2u);
  EXPECT_EQ(good.result.records[0].info.kind, io::RecordKind::cdp);
  EXPECT_EQ(good.result.records[1].info.channels, 3);

  OnePicture tiny;
  const DecoupledPicture rejected = tiny.run(gradient(100, 100), box_mask(100, 100, 0, 0, 6, 6));
  EXPECT_EQ(rejected.result.outcome, io::Outcome::rejected);
  EXPECT_NE(rejected.result.reason.find("0.36 %"), std::string::npos) << rejected.result.reason;
  OnePicture whole;
  EXPECT_EQ(whole.run(gradient(50, 50), box_mask(50, 50, 0, 0, 50, 50)).result.outcome,
            io::Outcome::rejected);
  OnePicture blank;
  EXPECT_EQ(blank.run(gradient(50, 50), io::Image(50, 50, 1)).result.outcome, io::Outcome::nothing_found);
  OnePicture other_size;
  const DecoupledPicture misfit = other_size.run(gradient(50, 50), box_mask(50, 51, 10, 10, 30, 30));
  EXPECT_EQ(misfit.result.outcome, io::Outcome::rejected);
  EXPECT_NE(misfit.result.reason.find("51 x 50"), std::string::npos) << misfit.result.reason;
  OnePicture missing;
  EXPECT_EQ(missing.run({}, box_mask(50, 50, 10, 10, 30, 30)).result.outcome, io::Outcome::unreadable);
  OnePicture no_mask;
  EXPECT_EQ(no_mask.run(gradient(50, 50), {}).result.outcome, io::Outcome::nothing_found);
  OnePicture one_pixel;
  EXPECT_EQ(one_pixel.run(gradient(1, 1), box_mask(1, 1, 0, 0, 1, 1)).result.outcome, io::Outcome::rejected);
}

TEST(DecouplePicture, GoesDownTheLadder) {
  OnePicture ladder;
  ladder.config.sources = {"annotated", "box_grabcut"};
  const DecoupledPicture found = ladder.run(gradient(50, 50), {});
  EXPECT_EQ(found.result.outcome, io::Outcome::nothing_found);
  EXPECT_NE(found.result.reason.find("annotated: no mask file; box_grabcut: no box annotation"),
            std::string::npos)
      << found.result.reason;
}

TEST(BoxGrabCut, FindsABrightObjectInItsBoxAndGivesTheSameMaskTwice) {
  io::Image picture(300, 400, 3);
  for (int y = 0; y < 300; ++y) {
    for (int x = 0; x < 400; ++x) {
      const bool object = (x - 200) * (x - 200) / 4 + (y - 150) * (y - 150) < 50 * 50;
      for (int c = 0; c < 3; ++c)
        picture.row(y)[3 * x + c] =
            static_cast<std::uint8_t>((object ? 200 : 60) + (x * 7 + y * 13 + c * 5) % 23);
    }
  }
  data::Item item;
  item.box = {95, 95, 305, 205};
  const auto source = make_mask_source("box_grabcut", {});
  const MaskRequest request{&item, &picture, {item.class_id}};
  const Masks first = source->find({}, request), second = source->find({}, request);
  ASSERT_EQ(first.parts.size(), 1u) << first.reason;
  EXPECT_EQ(first.parts[0].mask.pixels, second.parts[0].mask.pixels);
  std::int64_t both = 0, either = 0;
  for (int y = 0; y < 300; ++y) {
    for (int x = 0; x < 400; ++x) {
      const bool object = (x - 200) * (x - 200) / 4 + (y - 150) * (y - 150) < 50 * 50,
                 ours = first.parts[0].mask.row(y)[x] != 0;
      both += object && ours;
      either += object || ours;
    }
  }
  EXPECT_GT(static_cast<double>(both) / static_cast<double>(either), 0.95);
  EXPECT_EQ(first.objects[0].score, 1.0);
}

// A face on a body of another colour: an ellipse that holds the face alone would call the body ground.
TEST(BoxGrabCut, FindsTheWholeOfAnObjectOfTwoColours) {
  const auto inside = [](int x, int y, int radius) {
    return (x - 200) * (x - 200) + (y - 150) * (y - 150) < radius * radius;
  };
  io::Image picture(300, 400, 3);
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const int colour = inside(x, y, 40) ? 40 : inside(x, y, 100) ? 200 : 110;
      for (int c = 0; c < 3; ++c)
        picture.row(y)[3 * x + c] = static_cast<std::uint8_t>(colour + (x * 7 + y * 13 + c * 5) % 23);
    }
  }
  data::Item item;
  item.box = {100, 50, 300, 250};
  const auto overlap_from = [&](const DecoupleConfig& config) {
    const Masks found = make_mask_source("box_grabcut", config)->find({}, {&item, &picture, {item.class_id}});
    if (found.parts.empty()) return 0.0;
    std::int64_t both = 0, either = 0;
    for (int y = 0; y < picture.height; ++y) {
      for (int x = 0; x < picture.width; ++x) {
        const bool ours = found.parts[0].mask.row(y)[x] != 0;
        both += inside(x, y, 100) && ours;
        either += inside(x, y, 100) || ours;
      }
    }
    return static_cast<double>(both) / static_cast<double>(either);
  };
  EXPECT_GT(overlap_from({}), 0.95);
  DecoupleConfig face;
  face.grabcut_seed_share = 0.4;
  EXPECT_LT(overlap_from(face), 0.5) << "else this picture shows nothing";
}

// Waves of two sizes in one colour: nothing in any box is an object.
io::Image water(int seed) {
  io::Image picture(180, 240, 3);
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const double wave = std::sin(0.13 * x + 0.31 * y + seed) + std::sin(0.05 * x - 0.17 * y + 2.0 * seed) +
                          0.5 * std::sin(1.7 * x + 0.9 * y * (1 + seed % 3));
      for (int c = 0; c < 3; ++c)
        picture.row(y)[3 * x + c] = static_cast<std::uint8_t>(90 + 20 * c + 14 * wave);
    }
  }
  return picture;
}

TEST(BoxGrabCut, AcceptsNoOvalOfWater) {
  OnePicture ladder;
  ladder.config.sources = {"annotated", "box_grabcut"};
  std::vector<std::unique_ptr<MaskSource>> sources;
  for (const auto& name : ladder.config.sources) sources.push_back(make_mask_source(name, ladder.config));
  ladder.dataset.root = ladder.folder.path();
  constexpr int pictures = 12;
  for (int i = 0; i < pictures; ++i) {
    io::write_image(ladder.folder / "picture.png", water(i));
    data::Item item;
    item.path = "picture.png";
    item.class_id = 0;
    item.box = {40.0 + 5 * i, 30, 160.0 + 5 * i, 140};
    const DecoupledPicture seen = decouple_picture(ladder.dataset, item, 0, sources, ladder.config);
    EXPECT_EQ(seen.result.outcome, io::Outcome::rejected) << i << ": " << seen.result.reason;
    EXPECT_NE(seen.result.reason.find("box_grabcut: "), std::string::npos) << seen.result.reason;
    ASSERT_EQ(seen.attempts.size(), 2u);
    for (const FoundObject& object : seen.attempts[1].objects)
      EXPECT_FALSE(object.rejected.empty()) << "what people look at is marked as left out";
  }
}

TEST(BoxGrabCut, LeavesARejectedMaskToTheNextSource) {
  OnePicture ladder;
  ladder.config.sources = {"box_grabcut", "annotated"};
  ladder.dataset.root = ladder.folder.path();
  io::write_image(ladder.folder / "picture.png", water(1));
  io::write_image(ladder.folder / "mask.png", box_mask(180, 240, 60, 50, 120, 110));
  data::Item item;
  item.path = "picture.png";
  item.mask = "mask.png";
  item.mask_encoding = data::MaskEncoding::nonzero;
  item.class_id = 0;
  item.box = {40, 30, 160, 140};
  std::vector<std::unique_ptr<MaskSource>> sources;
  for (const auto& name : ladder.config.sources) sources.push_back(make_mask_source(name, ladder.config));
  const DecoupledPicture seen = decouple_picture(ladder.dataset, item, 0, sources, ladder.config);
  ASSERT_EQ(seen.result.outcome, io::Outcome::done) << seen.result.reason;
  EXPECT_EQ(seen.route, "annotated");
  EXPECT_NE(seen.result.reason.find("route annotated after box_grabcut: "), std::string::npos);
  EXPECT_LT(seen.result.records[0].info.mask_quality, low_mask_quality)
      << "accepted, and known to be doubtful";
}

TEST(MaskQuality, TellsObjectsFromGround) {
  io::Image picture = water(2);
  const io::Image object = box_mask(180, 240, 60, 40, 140, 120),
                  elsewhere = box_mask(180, 240, 150, 60, 220, 130);
  for (std::size_t i = 0; i < object.pixels.size(); ++i) {
    if (object.pixels[i] != 0) picture.pixels[3 * i] = static_cast<std::uint8_t>(picture.pixels[3 * i] + 90);
  }
  EXPECT_GT(mask_quality(picture, object), 0.95);
  EXPECT_LT(mask_quality(picture, elsewhere), least_grabcut_quality);
  const io::Image half = box_mask(180, 240, 100, 40, 180, 120);
  EXPECT_GT(mask_quality(picture, half), mask_quality(picture, elsewhere));
  EXPECT_LT(mask_quality(picture, half), mask_quality(picture, object));
  EXPECT_EQ(mask_quality(picture, io::Image(180, 240, 1)), 0);
  EXPECT_EQ(mask_quality(picture, box_mask(180, 240, 0, 0, 240, 180)), 0) << "nothing around it";
}

TEST(MaskQuality, IsKeptWithEveryRecordOfEveryRoute) {
  OnePicture annotated;
  const DecoupledPicture good = annotated.run(gradient(80, 90), box_mask(80, 90, 20, 20, 60, 60));
  ASSERT_EQ(good.result.records.size(), 2u);
  for (const io::Record& record : good.result.records) EXPECT_GE(record.info.mask_quality, 0);
  EXPECT_EQ(good.result.records[0].info.mask_quality, static_cast<float>(good.quality));
}

}  // namespace
}  // namespace deda::decoupling
