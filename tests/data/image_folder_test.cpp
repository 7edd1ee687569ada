// Image folders as people have them: where classes, splits and masks lie is recognised or refused, never
// guessed silently; whatever is left out is told.
#include <gmock/gmock.h>
#include <unistd.h>

#include <map>
#include <set>

#include "data/example_dataset.h"

namespace deda::data {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(ImageFolder, ReadsSplitFoldersAndFindsMasksOfAnySuffix) {
  Example example(Layout::folder);
  example.picture("train/cat/b.jpg");
  example.picture("train/cat/a.png");
  example.picture("train/dog/c.png");
  example.picture("test/dog/d.png");
  example.picture("masks/train/cat/b.png");
  example.config.masks = example.folder / "masks";
  const Dataset dataset = example.load();
  EXPECT_THAT(dataset.class_names, ElementsAre("cat", "dog"));
  ASSERT_EQ(dataset.items.size(), 4u);
  EXPECT_EQ(dataset.items[0].path, "train/cat/a.png") << "by name, not by the directory's order";
  EXPECT_EQ(dataset.items[1].mask, "masks/train/cat/b.png");
  EXPECT_EQ(dataset.items[1].mask_encoding, MaskEncoding::nonzero);
  EXPECT_EQ(dataset.items[0].mask, "");
  EXPECT_EQ(dataset.items[3].split, Split::test);
  EXPECT_THAT(example.notes, testing::Contains(HasSubstr("3 of 4 pictures have no mask")));
}

TEST(ImageFolder, HoldsOutAShareOfEachClassAsAPureFunctionOfTheSeed) {
  Example example(Layout::folder);
  for (int i = 0; i < 8; ++i) example.picture("cat/" + std::to_string(i) + ".png");
  for (int i = 0; i < 4; ++i) example.picture("dog/" + std::to_string(i) + ".png");
  const Dataset dataset = example.load(), again = example.load();
  std::map<std::int32_t, int> held_out;
  for (std::size_t i = 0; i < dataset.items.size(); ++i) {
    EXPECT_EQ(dataset.items[i].split, again.items[i].split);
    held_out[dataset.items[i].class_id] += dataset.items[i].split == Split::test;
  }
  EXPECT_EQ(held_out[0], 2);
  EXPECT_EQ(held_out[1], 1);
}

TEST(ImageFolder, SaysWhatIsMissing) {
  Example example(Layout::folder);
  EXPECT_THAT(example.error(),
              HasSubstr("holds no picture in a class folder; it holds no folder and no picture at all"));
  example.config.root = example.folder / "nowhere";
  EXPECT_THAT(example.error(), HasSubstr("is no folder"));
}

// --- masks inside the root (never a class by accident)

struct Inner : Example {
  explicit Inner(const std::string& masks = "masks") : Example(Layout::folder) {
    for (const char* name : {"cat/a", "cat/b", "dog/a", "dog/b"}) {
      picture(name + std::string{".jpg"});
      picture(masks + "/" + name + ".png");
    }
  }
  std::vector<std::string> masks_of(const Dataset& dataset) {
    std::vector<std::string> names;
    for (const Item& item : dataset.items) {
      EXPECT_TRUE(item.mask.empty() || std::filesystem::exists(dataset.root / item.mask)) << item.mask;
      if (!item.mask.empty()) names.push_back(item.mask);
    }
    return names;
  }
};

TEST(InnerMasks, AreNoClassHoweverTheyAreWritten) {
  Inner example;
  const auto root = example.folder.path();
  const test::TemporaryFolder elsewhere;
  std::filesystem::create_symlink(root, elsewhere / "link");
  std::filesystem::create_symlink(root / "masks", elsewhere / "masks_link");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(root.parent_path());
  const auto name = root.filename();
  const std::vector<std::pair<std::filesystem::path, std::filesystem::path>> ways = {
      {root, root / "masks"},
      {root, root / "masks/"},
      {root, root / "cat/../masks"},
      {root, name / "masks"},
      {name, root / "masks"},
      {name / "", name / "masks//"},
      {elsewhere / "link", root / "masks"},
      {root, elsewhere / "link" / "masks"},
      {elsewhere / "link", elsewhere / "masks_link"},
      {elsewhere / "link/", elsewhere / "link/masks/"}};
  for (const auto& [pictures, masks] : ways) {
    example.config.root = pictures;
    example.config.masks = masks;
    const Dataset dataset = example.load();
    EXPECT_THAT(dataset.class_names, ElementsAre("cat", "dog")) << pictures << " with " << masks;
    EXPECT_EQ(example.masks_of(dataset).size(), 4u) << pictures << " with " << masks;
  }
  std::filesystem::current_path(before);
}

TEST(InnerMasks, AreFoundAndToldWhereNothingNamesThem) {
  for (const char* name : {"masks", "Masks", "mask", "binary_masks", "Segmentations"}) {
    Inner example{name};
    const Dataset dataset = example.load();
    EXPECT_THAT(dataset.class_names, ElementsAre("cat", "dog")) << name;
    EXPECT_EQ(example.masks_of(dataset).size(), 4u) << name;
    EXPECT_THAT(example.notes,
                Contains(HasSubstr(std::string{"the folder "} + name + " is taken as the masks")));
  }
}

TEST(InnerMasks, OfOtherNamesAreRefused) {
  for (const char* name : {"trimaps", "annotations", "gt"}) {
    Inner example{name};
    EXPECT_THAT(example.error(),
                AllOf(HasSubstr(std::string{"the folder "} + name), HasSubstr("dataset.masks")))
        << name;
  }
  Inner example{"whatever"};
  EXPECT_THAT(example.error(),
              AllOf(HasSubstr("the folder whatever has a folder for each of the classes beside it"),
                    HasSubstr("dataset.masks")));
  Inner two;
  two.picture("masks_old/cat/a.png");
  EXPECT_THAT(two.error(), HasSubstr("several folders look like masks: masks, masks_old"));
  Inner same;
  same.config.masks = same.folder / "cat/..";
  EXPECT_THAT(same.error(), HasSubstr("is the folder of the pictures too"));
}

TEST(InnerMasks, BesideTheNamedOnesAreLeftOut) {
  Inner example;
  const test::TemporaryFolder others;
  make_folder(others / "cat");
  io::write_image(others / "cat/a.png", io::Image(6, 8, 3));
  example.config.masks = others.path();
  const Dataset dataset = example.load();
  EXPECT_THAT(dataset.class_names, ElementsAre("cat", "dog"));
  EXPECT_EQ(example.masks_of(dataset).size(), 1u);
  EXPECT_THAT(example.notes, Contains(HasSubstr("masks looks like masks and is no class")));
  EXPECT_THAT(example.notes, Contains(HasSubstr("4 pictures in folders that are no class: masks (4)")));
}

TEST(InnerMasks, MayBeAClassOfTheirOwn) {
  Example example(Layout::folder);  // masks of carnival
  for (const char* name : {"hats/h1.png", "hats/h2.png", "masks/m1.png", "masks/m2.png"})
    example.picture(name);
  EXPECT_THAT(example.load().class_names, ElementsAre("hats", "masks"));
  EXPECT_THAT(example.notes, Contains(HasSubstr("the folder masks is taken as a class")));
  Example faces(Layout::folder);  // numbered files
  for (const char* name : {"with_mask/1.png", "with_mask/2.png", "without_mask/1.png", "without_mask/2.png"})
    faces.picture(name);
  EXPECT_THAT(faces.load().class_names, ElementsAre("with_mask", "without_mask"));
}

TEST(InnerMasks, LieInSplitsAndBesideThem) {
  Example example(Layout::folder);
  for (const char* split : {"train", "test"}) {
    for (const char* name : {"cat/a.png", "dog/b.png"}) {
      example.picture(std::string{split} + "/" + name);
      example.picture(std::string{split} + "/masks/" + name);
    }
  }
  const Dataset dataset = example.load();
  EXPECT_THAT(dataset.class_names, ElementsAre("cat", "dog"));
  EXPECT_EQ(dataset.items[0].mask, "train/masks/cat/a.png");
  EXPECT_EQ(dataset.items[2].mask, "test/masks/cat/a.png");
  Example beside(Layout::folder);
  for (const char* name : {"train/cat/a.png", "train/dog/a.png", "test/cat/a.png"}) {
    beside.picture(name);
    beside.picture(std::string{"masks/"} + name);
  }
  EXPECT_EQ(beside.load().items[2].mask, "masks/test/cat/a.png");
}

TEST(Masks, ThatFitNothingOrSeveralAreTold) {
  Example example(Layout::folder);
  for (const char* name :
       {"set/cat/two.jpg", "set/cat/same.png", "set/cat/same.jpg", "set/cat/full.jpg", "set/dog/d.png",
        "m/cat/two.png", "m/cat/same.png", "m/cat/named_mask.png", "m/cat/full.jpg.png"})
    example.picture(name);
  example.picture("m/cat/two.jpg");
  example.config.root = example.folder / "set";
  example.config.masks = example.folder / "m";
  const Dataset dataset = example.load();
  std::map<std::string, std::string> masks;
  for (const Item& item : dataset.items) masks[item.path] = item.mask;
  EXPECT_EQ(masks["cat/full.jpg"], "../m/cat/full.jpg.png") << "the picture's whole name, and a suffix";
  EXPECT_EQ(masks["cat/two.jpg"], "../m/cat/two.jpg") << "the picture's own name";
  EXPECT_THAT(example.notes,
              Contains(HasSubstr("1 masks fit no picture by name and folder: cat/named_mask.png")));
  EXPECT_THAT(
      example.notes,
      Contains(HasSubstr("1 masks are used for more than one picture: cat/same.jpg and cat/same.png")));
  EXPECT_THAT(example.notes, Contains(HasSubstr("1 pictures have more than one mask")));
}

// --- folders around the classes

TEST(Wrapped, ImagesBesideMasksAreRecognised) {
  for (const bool named : {false, true}) {
    Example example(Layout::folder);
    for (const char* name : {"cat/a.png", "dog/b.png"}) {
      example.picture(std::string{"images/"} + name);
      example.picture(std::string{"masks/"} + name);
    }
    if (named) example.config.masks = example.folder / "masks/";
    const Dataset dataset = example.load();
    EXPECT_THAT(dataset.class_names, ElementsAre("cat", "dog"));
    EXPECT_EQ(dataset.items[0].path, "images/cat/a.png");
    EXPECT_EQ(dataset.items[0].mask, "masks/cat/a.png");
    EXPECT_THAT(example.notes, Contains(HasSubstr("the folders in images are taken as the classes")));
  }
}

TEST(Wrapped, OneFolderTooManyIsTakenOff) {
  Example example(Layout::folder);
  for (const char* name :
       {"pets_v2/cat/a.png", "pets_v2/dog/b.png", "masks/cat/a.png", "masks/dog/b.png", "readme.txt"})
    example.picture(name);
  EXPECT_THAT(example.load().class_names, ElementsAre("cat", "dog"));
  EXPECT_THAT(example.notes, Contains(HasSubstr("the folders in pets_v2 are taken as the classes")));
  Example twice(Layout::folder);
  for (const char* name : {"a/b/train/cat/a.png", "a/b/train/dog/b.png", "a/b/test/cat/c.png"})
    twice.picture(name);
  const Dataset dataset = twice.load();
  EXPECT_THAT(dataset.class_names, ElementsAre("cat", "dog"));
  EXPECT_EQ(dataset.indices(Split::test).size(), 1u);
}

TEST(Wrapped, InsideSplitsToo) {
  Example example(Layout::folder);
  for (const char* name : {"train/images/cat/a.png", "train/images/dog/a.png", "train/masks/cat/a.png",
                           "train/masks/dog/a.png", "valid/images/cat/b.png", "test/images/dog/c.png"})
    example.picture(name);
  const Dataset dataset = example.load();
  EXPECT_THAT(dataset.class_names, ElementsAre("cat", "dog"));
  EXPECT_EQ(dataset.items[0].mask, "train/masks/cat/a.png");
  EXPECT_EQ(dataset.indices(Split::validation).size(), 1u);
}

TEST(OneClass, IsRefusedWhereItIsNoneAndToldElsewhere) {
  Example flat(Layout::folder);
  for (const char* name : {"images/a.png", "images/b.png", "masks/a.png", "masks/b.png"}) flat.picture(name);
  EXPECT_THAT(flat.error(), HasSubstr("the files in masks have the names of pictures beside it"));
  Example bare(Layout::folder);
  for (const char* name : {"images/a.png", "images/b.png"}) bare.picture(name);
  EXPECT_THAT(bare.error(), AllOf(HasSubstr("has one class only, images"), HasSubstr("it holds images/")));
  Example mixed(Layout::folder);
  for (const char* name : {"pets/cover.png", "pets/cat/a.png", "pets/dog/a.png"}) mixed.picture(name);
  EXPECT_THAT(mixed.error(), AllOf(HasSubstr("has one class only, pets"), HasSubstr("pets/cat/, pets/dog/")));
  Example honest(Layout::folder);
  honest.picture("cat/a.png");
  EXPECT_EQ(honest.load().items.size(), 1u) << "to be decoupled";
  EXPECT_THAT(honest.notes, Contains(HasSubstr("there is one class only, cat")));
  Example none(Layout::folder);
  none.picture("a.png");
  EXPECT_THAT(none.error(), AllOf(HasSubstr("holds no picture in a class folder"), HasSubstr("no folder")));
}

// --- splits

TEST(Splits, AreReadInAnyCaseAndUnderTheirUsualNames) {
  for (const auto& [train, test, validation] : std::vector<std::array<std::string, 3>>{
           {"Train", "Test", "Val"}, {"TRAIN", "TEST", "VALID"}, {"training", "testing", "Validation"}}) {
    Example example(Layout::folder);
    for (const char* name : {"/cat/a.png", "/dog/b.png"}) {
      example.picture(train + name);
      example.picture(test + name);
      example.picture(validation + name);
    }
    const Dataset dataset = example.load();
    EXPECT_THAT(dataset.class_names, ElementsAre("cat", "dog"));
    EXPECT_EQ(dataset.indices(Split::train).size(), 2u);
    EXPECT_EQ(dataset.indices(Split::test).size(), 2u);
    EXPECT_EQ(dataset.indices(Split::validation).size(), 2u);
    EXPECT_EQ(dataset.items[0].path, train + "/cat/a.png");
  }
}

TEST(Splits, AClassMayBeCalledTrain) {
  Example example(Layout::folder);
  for (const char* name : {"car/a.png", "car/b.png", "train/a.png", "train/b.png", "bus/a.png", "bus/b.png"})
    example.picture(name);
  const Dataset dataset = example.load();
  EXPECT_THAT(dataset.class_names, ElementsAre("bus", "car", "train"));
  EXPECT_EQ(dataset.indices(Split::test).size(), 3u);
  Example in_split(Layout::folder);
  for (const char* name : {"train/train/a.png", "train/car/a.png", "test/train/a.png"})
    in_split.picture(name);
  EXPECT_THAT(in_split.load().class_names, ElementsAre("car", "train"));
}

TEST(Splits, ThatCannotBeAreRefused) {
  Example unclear(Layout::folder);
  for (const char* name : {"train/cat/a.png", "train/dog/a.png", "car/a.png"}) unclear.picture(name);
  EXPECT_THAT(unclear.error(),
              AllOf(HasSubstr("train holds folders (cat, dog) as a split does"), HasSubstr("car")));
  Example disjoint(Layout::folder);
  for (const char* name : {"train/cat/a.png", "train/dog/a.png", "test/fox/a.png"}) disjoint.picture(name);
  EXPECT_THAT(disjoint.error(), HasSubstr("have no class in common"));
  Example flat(Layout::folder);
  for (const char* name : {"train/a.png", "test/b.png"}) flat.picture(name);
  EXPECT_THAT(flat.error(), HasSubstr("test, train hold pictures without class folders"));
}

TEST(Splits, AloneAreReadAndTold) {
  Example training(Layout::folder);
  for (const char* name : {"train/cat/a.png", "train/dog/a.png"}) training.picture(name);
  EXPECT_EQ(training.load().indices(Split::train).size(), 2u);
  EXPECT_THAT(training.notes, Contains(HasSubstr("no test pictures")));
  Example test(Layout::folder);
  for (const char* name : {"Test/cat/a.png", "Test/dog/a.png"}) test.picture(name);
  EXPECT_EQ(test.load().indices(Split::test).size(), 2u);
  EXPECT_THAT(test.notes, Contains(HasSubstr("no training pictures")));
}

TEST(Splits, TellClassesOfTheTestAloneFlatTestsAndFoldersBeside) {
  Example example(Layout::folder);
  for (const char* name :
       {"train/cat/a.png", "train/dog/a.png", "test/cat/a.png", "test/fox/a.png", "extra/x.png"})
    example.picture(name);
  example.load();
  EXPECT_THAT(example.notes,
              Contains(HasSubstr("1 of 3 classes have no training picture, so nothing learns them: fox")));
  EXPECT_THAT(example.notes, Contains(HasSubstr("1 pictures in folders that are no class: extra (1)")));
  Example flat(Layout::folder);
  for (const char* name : {"train/cat/a.png", "train/dog/a.png"}) flat.picture(name);
  for (int i = 0; i < 30; ++i) flat.picture("test/" + std::to_string(i) + ".png");
  EXPECT_EQ(flat.load().items.size(), 2u);
  EXPECT_THAT(flat.notes,
              Contains(HasSubstr("left out: 30 pictures that lie in no class folder: test/0.png")));
  EXPECT_LE(flat.notes.size(), 2u) << "one warning, not one per picture";
}

TEST(Classes, WithOnePictureOrNoneAreTold) {
  Example example(Layout::folder);
  for (const char* name : {"cat/a.png", "cat/b.png", "fox/a.png"}) example.picture(name);
  make_folder(example.folder / "empty");
  example.write("bear/photo.heic", "x");
  EXPECT_THAT(example.load().class_names, ElementsAre("cat", "fox"));
  EXPECT_THAT(example.notes, Contains(HasSubstr("1 of 2 classes have one picture")));
  EXPECT_THAT(example.notes,
              Contains(HasSubstr("2 folders without a picture that is read, so no class: bear, empty")));
  EXPECT_THAT(example.notes, Contains(HasSubstr("1 picture of a kind that is not read")));
}

TEST(ImageFolder, SaysNothingOfAPlainOne) {
  Example example(Layout::folder);
  for (const char* name : {"train/cat/a.png", "train/dog/a.png", "test/cat/a.png", "test/dog/a.png"})
    example.picture(name);
  example.load();
  EXPECT_THAT(example.notes, IsEmpty());
}

}  // namespace
}  // namespace deda::data
