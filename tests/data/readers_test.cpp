// Every layout on a written-out example of its format, on the genuine annotation files where they are at
// hand, and on what users get wrong: each problem is named with its file and line, all of them at once.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "data/contents.h"
#include "data/dataset.h"
#include "data/example_dataset.h"
#include "data/reader.h"
#include "data/readers/cub_200_2011.h"
#include "io/pictures/image_codec.h"

namespace deda::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::filesystem::path test_data() {
  const char* named = std::getenv("DEDA_TEST_DATA");
  return named != nullptr ? std::filesystem::path{named}
                          : std::filesystem::path{DEDA_SOURCE_DIR} / ".." / "shared" / "data";
}

// --- Oxford-IIIT Pet

void write_pets(Example& example) {
  example.write("annotations/trainval.txt", "Abyssinian_1 1 1 1\namerican_bulldog_10 6 2 1\n");
  example.write("annotations/test.txt", "Abyssinian_2 1 1 1\n");
  for (const char* name : {"Abyssinian_1", "Abyssinian_2", "american_bulldog_10"}) {
    example.picture(std::string{"images/"} + name + ".jpg");
    example.picture(std::string{"annotations/trimaps/"} + name + ".png");
  }
}

TEST(OxfordPets, MakesSparseClassIdsDenseAndNamesBreeds) {
  Example example(Layout::pets);
  write_pets(example);
  const Dataset dataset = example.load();
  EXPECT_THAT(dataset.class_names, ElementsAre("Abyssinian", "american bulldog"));
  ASSERT_EQ(dataset.items.size(), 3u);
  EXPECT_EQ(dataset.items[1].class_id, 1);
  EXPECT_EQ(dataset.items[2].split, Split::test);
  EXPECT_EQ(dataset.items[0].mask_encoding, MaskEncoding::pet_trimap);
}

TEST(OxfordPets, NamesMissingExtraAndMalformed) {
  Example example(Layout::pets);
  write_pets(example);
  example.picture("images/Bengal_7.jpg");
  example.load();
  EXPECT_THAT(example.notes, testing::Contains(HasSubstr("images/Bengal_7.jpg")));
  example.write("annotations/test.txt", "Abyssinian_2 1 1 1\nAbyssinian_99 1 1 1\nAbyssinian_3 one 1 1\n");
  const std::string error = example.error();
  EXPECT_THAT(error, HasSubstr("test.txt:2: images/Abyssinian_99.jpg is listed there, but missing on disk"));
  EXPECT_THAT(error, HasSubstr("test.txt:3: is no line"));
  Example masks(Layout::pets);
  write_pets(masks);
  std::filesystem::remove_all(masks.folder / "annotations/trimaps");
  masks.load();
  EXPECT_THAT(masks.notes, testing::Contains(HasSubstr("3 of 3 pictures have no mask")))
      << "one note for all";
}

TEST(OxfordPets, ReadsTheGenuineFiles) {
  if (!std::filesystem::exists(test_data() / "pets"))
    GTEST_SKIP() << "no genuine pictures at " << test_data();
  DatasetConfig config;
  config.layout = Layout::pets;
  config.root = test_data() / "pets";
  const Dataset dataset = load_dataset(config);
  EXPECT_EQ(dataset.items.size(), 298u);
  EXPECT_THAT(dataset.class_names, ElementsAre("Abyssinian", "american bulldog", "Bengal"))
      << "in the order of the original class ids";
  EXPECT_EQ(dataset.indices(Split::train).size() + dataset.indices(Split::test).size(), 298u);
  for (const Item& item : dataset.items) EXPECT_FALSE(item.mask.empty()) << item.path;
  config.root = test_data() / "pets_fewshot";
  EXPECT_EQ(load_dataset(config).items.size(), 100u);
}

// --- CUB-200-2011

void write_cub(Example& example) {
  example.write("classes.txt", "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n");
  example.write("images.txt", "1 001.Black_footed_Albatross/a.jpg\n2 002.Laysan_Albatross/b.jpg\n");
  example.write("image_class_labels.txt", "1 1\n2 2\n");
  example.write("train_test_split.txt", "1 1\n2 0\n");
  example.write("bounding_boxes.txt", "1 60.0 27.0 325.0 304.0\n2 1 2 3 4\n");
  example.picture("images/001.Black_footed_Albatross/a.jpg");
  example.picture("images/002.Laysan_Albatross/b.jpg");
  example.picture("segmentations/001.Black_footed_Albatross/a.png");
}

TEST(Cub, ReadsListsBoxesAndSegmentations) {
  Example example(Layout::cub);
  write_cub(example);
  const Dataset dataset = example.load();
  EXPECT_THAT(dataset.class_names, ElementsAre("Black footed Albatross", "Laysan Albatross"));
  ASSERT_EQ(dataset.items.size(), 2u);
  EXPECT_EQ(dataset.items[0].split, Split::train);
  EXPECT_THAT(*dataset.items[0].box, ElementsAre(60, 27, 385, 331)) << "x y width height becomes corners";
  EXPECT_EQ(dataset.items[0].mask_encoding, MaskEncoding::grey);
  EXPECT_EQ(dataset.items[1].mask, "");
}

TEST(Cub, ListsAllProblemsAtOnceWithFileAndLine) {
  Example example(Layout::cub);
  write_cub(example);
  example.write("image_class_labels.txt", "1 1\n2 9\n");
  example.write("train_test_split.txt", "1 5\n");
  example.write("bounding_boxes.txt", "x\n1 2 3 four 5\n");
  const std::string error = example.error();
  EXPECT_THAT(error, HasSubstr("bounding_boxes.txt:1:"));
  EXPECT_THAT(error, HasSubstr("train_test_split.txt:1: is neither 0 (test) nor 1 (train)"));
  EXPECT_THAT(error, HasSubstr("images.txt:2: image has no line in train_test_split.txt"));
}

TEST(Cub, ReadsTheGenuineLists) {
  if (!std::filesystem::exists(test_data() / "annotations"))
    GTEST_SKIP() << "no genuine annotation files at " << test_data();
  DatasetConfig config;
  config.layout = Layout::cub;
  config.root = test_data() / "annotations" / "CUB_200_2011";
  const Dataset dataset = load_dataset(config, {.check_files = false});
  EXPECT_EQ(dataset.items.size(), 11788u);
  EXPECT_EQ(dataset.class_names.size(), 200u);
  EXPECT_EQ(dataset.indices(Split::train).size(), 5994u);
  EXPECT_EQ(dataset.indices(Split::test).size(), 5794u);
  config.images_per_class = 10;
  EXPECT_EQ(load_dataset(config, {.check_files = false}).indices(Split::train).size(), 2000u) << "10-shot";
}

TEST(Cub, SpeciesNumbersComeFromFolderNames) {
  EXPECT_EQ(species_index("003.Sooty_Albatross/x.jpg"), 2);
  EXPECT_EQ(species_index("120.Fox_Sparrow/x.jpg"), 119);
  EXPECT_EQ(species_index("oops/x.jpg"), -1);
  EXPECT_EQ(species_index("1"), -1);
  EXPECT_EQ(species_index(""), -1);
}

TEST(Cub, ReadsListsOfWindows) {
  Example example(Layout::cub);
  write_cub(example);
  example.write("images.txt",
                "\xEF\xBB\xBF"
                "1 001.Black_footed_Albatross\\a.jpg\r\n2 002.Laysan_Albatross\\b.jpg\r\n");
  const Dataset dataset = example.load();
  EXPECT_EQ(dataset.items[0].path, "images/001.Black_footed_Albatross/a.jpg");
  EXPECT_EQ(dataset.items[0].mask, "segmentations/001.Black_footed_Albatross/a.png");
  EXPECT_THAT(example.notes, testing::Contains(HasSubstr("2 path(s) with backslashes")));
  example.write("images.txt", "1 /abs/a.jpg\n2 002.Laysan_Albatross/b.jpg\n");
  EXPECT_THAT(example.error(), HasSubstr("images.txt:1: /abs/a.jpg is an absolute path"));
}

// --- FGVC-Aircraft

void write_aircraft(Example& example) {
  example.write("data/variants.txt", "707-320\nBAE 146-200\n");
  example.write("data/images_variant_trainval.txt", "1025794 707-320\n0034309 BAE 146-200\n");
  example.write("data/images_variant_test.txt", "1340192 BAE 146-200\n");
  example.write("data/images_box.txt", "1025794 3 144 998 431\n");
  for (const char* name : {"1025794", "0034309", "1340192"})
    example.picture(std::string{"data/images/"} + name + ".jpg");
}

TEST(Aircraft, ReadsVariantsWithBlanksAndOneBasedBoxes) {
  Example example(Layout::aircraft);
  write_aircraft(example);
  example.config.strip_banner = true;
  const Dataset dataset = example.load();
  EXPECT_THAT(dataset.class_names, ElementsAre("707-320", "BAE 146-200"));
  ASSERT_EQ(dataset.items.size(), 3u);
  EXPECT_EQ(dataset.items[1].class_id, 1);
  EXPECT_THAT(*dataset.items[0].box, ElementsAre(2, 143, 998, 431));
  EXPECT_EQ(dataset.items[2].split, Split::test);
  EXPECT_EQ(dataset.banner_rows, 20);
}

TEST(Aircraft, NamesAVariantThatIsNotListed) {
  Example example(Layout::aircraft);
  write_aircraft(example);
  example.write("data/images_variant_test.txt", "1340192 Concorde\n");
  EXPECT_THAT(example.error(), HasSubstr("images_variant_test.txt:1: names variant \"Concorde\""));
  write_aircraft(example);
  example.write("data/images_box.txt", "1025794 998 144 3 431\n0034309 1 1 5 nan\n");
  EXPECT_THAT(example.error(), testing::AllOf(HasSubstr("images_box.txt:1: has a box without pixels"),
                                              HasSubstr("images_box.txt:2: is no line")));
}

// --- Stanford Cars

TEST(Cars, ReadsTheGenuineMatlabFiles) {
  if (!std::filesystem::exists(test_data() / "annotations"))
    GTEST_SKIP() << "no genuine annotation files at " << test_data();
  DatasetConfig config;
  config.layout = Layout::cars;
  config.root = test_data() / "annotations" / "stanford_cars";
  std::vector<std::string> notes;
  const Dataset dataset = load_dataset(config, {.check_files = false}, &notes);
  EXPECT_EQ(dataset.class_names.size(), 196u);
  EXPECT_EQ(dataset.items.size(), 8144u) << "the test annotations there have no classes";
  EXPECT_THAT(*dataset.items[0].box, ElementsAre(38, 115, 569, 375));
  EXPECT_EQ(dataset.items[0].class_id, 13);
  EXPECT_EQ(dataset.items[0].path, "cars_train/00001.jpg");
  EXPECT_THAT(notes, testing::Contains(HasSubstr("8041 pictures without a class")));
}

TEST(Cars, AcceptsATableInstead) {
  Example example(Layout::cars);
  example.write("cars.csv",
                "fname,class,x1,y1,x2,y2,split\na.jpg,\"AM General, Hummer\",1,2,30,40,train\nb.jpg,Acura "
                "RL,0,0,5,5,test\n");
  example.picture("a.jpg");
  example.picture("b.jpg");
  const Dataset dataset = example.load();
  EXPECT_THAT(dataset.class_names, ElementsAre("AM General, Hummer", "Acura RL"));
  EXPECT_EQ(dataset.items[1].split, Split::test);
  example.write("cars.csv", "fname,class,x1,y1,x2,y2,split\na.jpg,A,1,2,x,40,train\n");
  EXPECT_THAT(example.error(), HasSubstr("cars.csv:2:"));
  const std::string header = "fname,class,x1,y1,x2,y2,split\n";
  example.write("cars.csv", header + "a.jpg,A,30,40,1,2,train\nb.jpg,A,nan,0,5,5,test\n");
  EXPECT_THAT(example.error(),
              testing::AllOf(HasSubstr("cars.csv:2: has a box without pixels"), HasSubstr("cars.csv:3:")));
  example.write("cars.csv", "a.jpg,A,1,2,30,40,train\n");
  EXPECT_THAT(example.error(), HasSubstr("cars.csv:1: does not begin with the line"));
}

// --- Pascal VOC

std::string voc_object(const std::string& name, int x1, int y1, int x2, int y2, bool difficult = false) {
  return "<object><name>" + name + "</name><difficult>" + (difficult ? "1" : "0") +
         "</difficult><bndbox><xmin>" + std::to_string(x1) + "</xmin><ymin>" + std::to_string(y1) +
         "</ymin><xmax>" + std::to_string(x2) + "</xmax><ymax>" + std::to_string(y2) +
         "</ymax></bndbox></object>";
}

void write_voc(Example& example, const std::string& train, const std::string& test) {
  example.write("ImageSets/Main/" + train + ".txt", "2007_000032\n2007_000039\n");
  example.write("ImageSets/Main/" + test + ".txt", "2007_000033\n");
  example.write("Annotations/2007_000032.xml", "<annotation>" + voc_object("person", 1, 1, 10, 10) +
                                                   voc_object("aeroplane", 1, 1, 100, 50) +
                                                   voc_object("car", 1, 1, 300, 300, true) + "</annotation>");
  example.write("Annotations/2007_000039.xml",
                "<annotation>" + voc_object("tvmonitor", 5, 6, 20, 30, true) + "</annotation>");
  example.write("Annotations/2007_000033.xml",
                "<annotation>" + voc_object("cat", 2, 3, 4, 5) + "</annotation>");
  for (const char* name : {"2007_000032", "2007_000039", "2007_000033"})
    example.picture(std::string{"JPEGImages/"} + name + ".jpg");
  example.picture("SegmentationClass/2007_000032.png");
}

TEST(PascalVoc, TakesTheLargestObjectThatIsNotDifficultAndKeepsAllLabels) {
  Example example(Layout::voc2012);
  write_voc(example, "train", "val");
  const Dataset dataset = example.load();
  EXPECT_EQ(dataset.class_names.size(), 20u);
  ASSERT_EQ(dataset.items.size(), 3u);
  EXPECT_EQ(dataset.class_names[static_cast<std::size_t>(dataset.items[0].class_id)], "aeroplane");
  EXPECT_THAT(dataset.items[0].labels, ElementsAre(0, 14)) << "aeroplane and person";
  EXPECT_THAT(*dataset.items[0].box, ElementsAre(0, 0, 100, 50));
  EXPECT_EQ(dataset.items[0].mask_encoding, MaskEncoding::voc_class);
  EXPECT_EQ(dataset.items[1].class_id, 19) << "only a difficult one: it decides";
  EXPECT_THAT(dataset.items[0].difficult, ElementsAre(6)) << "only a difficult car";
  EXPECT_THAT(dataset.items[1].difficult, ElementsAre(19));
  EXPECT_TRUE(dataset.items[2].difficult.empty());
  EXPECT_EQ(dataset.items[2].split, Split::test);
  Example older(Layout::voc2007);
  write_voc(older, "trainval", "test");
  EXPECT_EQ(older.load().items.size(), 3u);
}

TEST(PascalVoc, MakesLabelVectorsOfOneOrOfSeveralLabels) {
  Example example(Layout::voc2012);
  write_voc(example, "train", "val");
  example.write("Annotations/2007_000033.xml", "<annotation>" + voc_object("cat", 2, 3, 4, 5, true) +
                                                   voc_object("cat", 2, 3, 4, 5) +
                                                   voc_object("dog", 1, 1, 9, 9, true) + "</annotation>");
  Dataset dataset = example.load();
  EXPECT_TRUE(has_several_labels(Layout::voc2012));
  EXPECT_FALSE(has_several_labels(Layout::pets));
  const auto vector_of = [&](std::size_t item) {
    std::vector<float> label(dataset.class_names.size(), 7.0f);
    fill_label(dataset, dataset.items[item], label.data());
    std::map<std::size_t, float> nonzero;
    for (std::size_t id = 0; id < label.size(); ++id) {
      if (label[id] != 0) nonzero[id] = label[id];
    }
    return nonzero;
  };
  EXPECT_THAT(vector_of(0), ElementsAre(testing::Pair(0, 1.0f)));
  dataset.multi_label = true;
  EXPECT_THAT(vector_of(0),
              ElementsAre(testing::Pair(0, 1.0f), testing::Pair(6, -1.0f), testing::Pair(14, 1.0f)));
  EXPECT_THAT(vector_of(1), ElementsAre(testing::Pair(19, -1.0f))) << "nothing but a difficult object";
  EXPECT_THAT(vector_of(2), ElementsAre(testing::Pair(7, 1.0f), testing::Pair(11, -1.0f)))
      << "a cat of which one is difficult is there; the dog counts neither way";
  dataset.items[0].class_id = -1;
  EXPECT_THROW(vector_of(0), DataError) << "a picture without a label";
}

TEST(PascalVoc, TakesOtherClassesFromAListOfOnesOwn) {
  Example example(Layout::voc2007);
  write_voc(example, "trainval", "test");
  example.write("classes.txt", "cat\r\nperson\n\ntvmonitor\n");
  EXPECT_THAT(example.error(),
              testing::AllOf(HasSubstr("unknown class \"aeroplane\""), HasSubstr("has 3 classes")));
  example.write("classes.txt", "cat\nperson\ntvmonitor\naeroplane\ncar\n");
  const Dataset dataset = example.load();
  EXPECT_THAT(dataset.class_names, ElementsAre("cat", "person", "tvmonitor", "aeroplane", "car"));
  EXPECT_THAT(dataset.items[0].labels, ElementsAre(1, 3));
  EXPECT_EQ(dataset.name, example.folder.path().filename().string());
  example.write("classes.txt", "cat\ncat\n");
  EXPECT_THAT(example.error(), HasSubstr("names \"cat\" twice"));
  example.write("classes.txt", "\n");
  EXPECT_THAT(example.error(), HasSubstr("names no class"));
}

TEST(PascalVoc, NamesAPictureWithoutObjects) {
  Example example(Layout::voc2012);
  write_voc(example, "train", "val");
  example.write("Annotations/2007_000032.xml", "<annotation></annotation>");
  EXPECT_THAT(example.error(), HasSubstr("2007_000032.xml: lists no object"));
}

// The pets' annotations have the same form: a head each, of a class that their list names.
TEST(PascalVoc, ReadsTheGenuineXmlOfPets) {
  const auto xmls = test_data() / "pets/annotations/xmls";
  if (!std::filesystem::exists(xmls)) GTEST_SKIP() << "no genuine annotation files at " << xmls;
  Example example(Layout::voc2007);
  std::string list;
  std::set<std::string> kinds;
  std::size_t pictures = 0;
  for (const auto& entry : std::filesystem::directory_iterator(xmls)) {
    const std::string name = entry.path().stem().string(), text = read_text(entry.path());
    if (text.find("<object>") == std::string::npos) continue;
    for (std::size_t at = 0; (at = text.find("<name>", at)) != std::string::npos; ++at)
      kinds.insert(text.substr(at + 6, text.find("</name>", at) - at - 6));
    example.write("Annotations/" + name + ".xml", text);
    list += name + "\n";
    ++pictures;
  }
  ASSERT_GT(pictures, 0u);
  EXPECT_THAT(kinds, testing::IsSubsetOf({"cat", "dog"}));
  example.write("ImageSets/Main/trainval.txt", list);
  example.write("ImageSets/Main/test.txt", "");
  example.config.layout = Layout::voc2007;
  const Dataset dataset = example.load(false);
  ASSERT_EQ(dataset.items.size(), pictures);
  for (const Item& item : dataset.items) {
    EXPECT_TRUE(item.class_id == 7 || item.class_id == 11) << item.path;
    EXPECT_TRUE(item.box.has_value()) << item.path;
    EXPECT_FALSE(item.labels.empty()) << item.path;
  }
}

TEST(Reader, RefusesLabelsOutsideOfTheRange) {
  const DatasetConfig config;
  const LoadOptions options;
  for (const auto& change : std::vector<std::function<void(Item&)>>{[](Item& item) { item.class_id = 2; },
                                                                    [](Item& item) {
                                                                      item.labels = {0, 2};
                                                                    },
                                                                    [](Item& item) { item.difficult = {-1}; },
                                                                    [](Item& item) {
                                                                      item.objects = {{5, {}}};
                                                                    }}) {
    Reader reader{config, options};
    reader.dataset.class_names = {"a", "b"};
    reader.dataset.items.resize(1);
    reader.dataset.items[0].path = "x.png";
    reader.dataset.items[0].class_id = 0;
    change(reader.dataset.items[0]);
    EXPECT_THROW(reader.finish(), DataError);
  }
}

TEST(PascalVoc, NamesBrokenXmlUnknownClassesAndMissingFiles) {
  Example example(Layout::voc2012);
  write_voc(example, "train", "val");
  example.write("Annotations/2007_000032.xml", "<annotation><object>");
  example.write("Annotations/2007_000039.xml",
                "<annotation>" + voc_object("unicorn", 1, 1, 5, 5) + "</annotation>");
  std::filesystem::remove(example.folder / "Annotations/2007_000033.xml");
  const std::string error = example.error();
  EXPECT_THAT(error, HasSubstr("2007_000032.xml:1: is broken XML"));
  EXPECT_THAT(error, HasSubstr("unknown class \"unicorn\""));
  EXPECT_THAT(error, HasSubstr("val.txt:1: Annotations/2007_000033.xml is missing"));
}

TEST(PascalVoc, ReadsTheGenuineLists) {
  if (!std::filesystem::exists(test_data() / "annotations"))
    GTEST_SKIP() << "no genuine annotation files at " << test_data();
  Example example(Layout::voc2012);
  for (const char* list : {"train", "val"})
    example.write(std::string{"ImageSets/Main/"} + list + ".txt",
                  read_text(test_data() / "annotations/voc12" / (std::string{list} + ".txt")));
  const Dataset dataset = example.load(false);
  EXPECT_EQ(dataset.indices(Split::train).size(), 1464u);
  EXPECT_EQ(dataset.indices(Split::test).size(), 1449u);
}

TEST(PascalVoc, ReadsAnnotationsOfOtherPrograms) {
  Example example(Layout::voc2012);
  write_voc(example, "train", "val");
  example.write("Annotations/2007_000032.xml",
                "<annotation>\n<object><name> "
                "Cat\n</name><polygon><pt><x>20</x><y>30</y></pt><pt><x>60</x><y>31</y></pt>"
                "<pt><x>40</x><y>50.5</y></pt></polygon></object></annotation>");
  example.write("Annotations/2007_000039.xml",
                "<annotation><object><name>dog</name><polygon><x1>3</x1><y1>4</y1><x2>9</x2><y2>4</y2><x3>9</"
                "x3><y3>8</y3>"
                "</polygon></object></annotation>");
  std::string wide = "\xFF\xFE";  // UTF-16 with its mark
  for (const char c : "<?xml version=\"1.0\" encoding=\"utf-16\"?><annotation>" +
                          voc_object("cat", 2, 3, 4, 5)
                              .replace(voc_object("cat", 2, 3, 4, 5).find("</bndbox>"), 9,
                                       "</bndbox><bndbox><xmin>1</xmin></bndbox>") +
                          "</annotation>")
    wide += {c, '\0'};
  example.write("Annotations/2007_000033.xml", wide);
  const Dataset dataset = example.load();
  ASSERT_EQ(dataset.items.size(), 3u);
  EXPECT_EQ(dataset.class_names[static_cast<std::size_t>(dataset.items[0].class_id)], "cat");
  EXPECT_THAT(*dataset.items[0].box, ElementsAre(19, 29, 60, 50.5))
      << "a polygon's extent, 1-based as boxes are";
  EXPECT_THAT(*dataset.items[1].box, ElementsAre(2, 3, 9, 8));
  EXPECT_THAT(*dataset.items[2].box, ElementsAre(1, 2, 4, 5)) << "the first of two";
  EXPECT_THAT(example.notes, testing::Contains(HasSubstr("2007_000032.xml:2")));
  EXPECT_THAT(example.notes, testing::Contains(HasSubstr("1 object(s) with several boxes")));
}

TEST(PascalVoc, NamesEveryFaultOfAFileWithItsLine) {
  Example example(Layout::voc2012);
  write_voc(example, "train", "val");
  example.write("Annotations/2007_000032.xml",
                "<annotation>\n<object><name>cat</name></object>\n" + voc_object("unicorn", 1, 1, 5, 5) +
                    "\n" + voc_object("cat", 58, 48, 19, 10) +
                    "\n<object><name>cat</name><polygon><x1>1</x1><y1>2</y1></polygon></object>\n"
                    "<object><name>cat</name><bndbox><xmin>nan</xmin><ymin>1</ymin><xmax>2</xmax><ymax>3</"
                    "ymax></bndbox>"
                    "</object></annotation>");
  example.write("Annotations/2007_000039.xml", "<annotation></annotation>");
  const std::string error = example.error();
  for (const char* text :
       {"2007_000032.xml:2: has an object without bndbox", "2007_000032.xml:3: names the unknown class",
        "2007_000032.xml:4: has a box without pixels, from (57, 47) to (19, 10)",
        "2007_000032.xml:5: has an object without bndbox and with a polygon of 1 corners",
        "2007_000032.xml:6: has a box whose xmin is no number", "2007_000039.xml: lists no object"})
    EXPECT_THAT(error, HasSubstr(text));
}

// --- Waterbirds

TEST(Waterbirds, GroupsByBirdAndPlaceAndClassesBySpecies) {
  Example example(Layout::waterbirds);
  example.write("metadata.csv",
                "img_id,img_filename,y,split,place,place_filename\n1,001.Black_footed_Albatross/a.jpg,1,2,0,/"
                "b/x.jpg\n2,003.Sooty_Albatross/b.jpg,0,0,1,/o/y.jpg\n");
  example.picture("001.Black_footed_Albatross/a.jpg");
  example.picture("003.Sooty_Albatross/b.jpg");
  const Dataset dataset = example.load();
  EXPECT_EQ(dataset.items[0].group, 2);
  EXPECT_EQ(dataset.group_names[2], "waterbird on land");
  EXPECT_EQ(dataset.items[0].split, Split::test);
  EXPECT_EQ(dataset.items[1].class_id, 2);
  EXPECT_EQ(dataset.class_names[2], "Sooty Albatross");
}

void write_cub_and_waterbirds(Example& cub, Example& birds) {
  cub.write("classes.txt", "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n");
  cub.write("images.txt",
            "1 001.Black_footed_Albatross/a.jpg\n2 002.Laysan_Albatross/b.jpg\n3 "
            "002.Laysan_Albatross/c.jpg\n");
  cub.write("image_class_labels.txt", "1 1\n2 2\n3 2\n");
  cub.write("train_test_split.txt", "1 1\n2 1\n3 0\n");
  for (const char* name :
       {"001.Black_footed_Albatross/a.jpg", "002.Laysan_Albatross/b.jpg", "002.Laysan_Albatross/c.jpg"})
    cub.picture(std::string{"images/"} + name);
  birds.write("metadata.csv",
              "img_id,img_filename,y,split,place,place_filename\n"
              "1,001.Black_footed_Albatross/a.jpg,1,0,1,/x\n"
              "3,002.Laysan_Albatross/c.jpg,1,2,0,/x\n");
  for (const char* name : {"001.Black_footed_Albatross/a.jpg", "002.Laysan_Albatross/c.jpg"})
    birds.picture(name);
}

TEST(TestRoot, TakesTestPicturesOfAnotherDatasetByTheNamesOfClasses) {
  Example cub(Layout::cub), birds(Layout::waterbirds);
  write_cub_and_waterbirds(cub, birds);
  const Dataset own = cub.load();
  cub.config.test_root = birds.folder.path();
  const Dataset dataset = cub.load();
  EXPECT_EQ(dataset.name, own.name) << "stores of its parts stay what they are";
  EXPECT_EQ(dataset.test_name, "Waterbirds");
  EXPECT_EQ(dataset.class_names, own.class_names);
  ASSERT_EQ(dataset.indices(Split::train).size(), 2u);
  ASSERT_EQ(dataset.indices(Split::test).size(), 1u);
  const Item& test = dataset.items[dataset.indices(Split::test).front()];
  EXPECT_EQ(test.class_id, 1) << "the species, not waterbird or landbird";
  EXPECT_EQ(dataset.group_names.at(static_cast<std::size_t>(test.group)), "waterbird on land");
  EXPECT_EQ(dataset.file(test.path), birds.folder / "002.Laysan_Albatross/c.jpg");
  EXPECT_EQ(dataset.file(dataset.items[0].path), cub.folder / "images/001.Black_footed_Albatross/a.jpg");
  for (const std::size_t i : dataset.indices(Split::train)) EXPECT_EQ(dataset.items[i].group, -1);
}

TEST(TestRoot, NamesClassesThatAreNotTrainedAndAMissingTestSplit) {
  Example cub(Layout::cub), birds(Layout::waterbirds);
  write_cub_and_waterbirds(cub, birds);
  cub.config.test_root = birds.folder.path();
  birds.write("metadata.csv",
              "img_id,img_filename,y,split,place,place_filename\n3,004.Groove_billed_Ani/d.jpg,0,2,0,/x\n");
  birds.picture("004.Groove_billed_Ani/d.jpg");
  EXPECT_THAT(cub.error(), HasSubstr("Groove billed Ani"));
  birds.write(
      "metadata.csv",
      "img_id,img_filename,y,split,place,place_filename\n1,001.Black_footed_Albatross/a.jpg,1,0,1,/x\n");
  EXPECT_THAT(cub.error(), HasSubstr("has no test picture"));
  cub.config.test_root = cub.folder / "nowhere";
  EXPECT_THAT(cub.error(), HasSubstr("is no folder"));
}

TEST(Waterbirds, NamesAMissingColumnAndAWrongValue) {
  Example example(Layout::waterbirds);
  example.write("metadata.csv", "img_id,img_filename,y,split\n1,001.A/a.jpg,1,2\n");
  EXPECT_THAT(example.error(), HasSubstr("metadata.csv:1: has no column place"));
  example.write("metadata.csv", "img_id,img_filename,y,split,place,place_filename\n1,001.A/a.jpg,7,2,0,x\n");
  EXPECT_THAT(example.error(), HasSubstr("metadata.csv:2: has y, split or place out of range"));
}

TEST(Waterbirds, ReadsTheGenuineTable) {
  if (!std::filesystem::exists(test_data() / "annotations"))
    GTEST_SKIP() << "no genuine annotation files at " << test_data();
  DatasetConfig config;
  config.layout = Layout::waterbirds;
  config.root = test_data() / "annotations" / "waterbirds";
  const Dataset dataset = load_dataset(config, {.check_files = false});
  EXPECT_EQ(dataset.indices(Split::train).size(), 4795u);
  EXPECT_EQ(dataset.indices(Split::validation).size(), 1199u);
  EXPECT_EQ(dataset.indices(Split::test).size(), 5794u);
  EXPECT_EQ(dataset.class_names.size(), 200u);
}

// --- few-shot and identity

TEST(FewShot, IsAPureFunctionOfTheSeedAndKeepsTheTestSplit) {
  Example example(Layout::folder);
  for (int i = 0; i < 12; ++i) example.picture("train/cat/" + std::to_string(i) + ".png");
  for (int i = 0; i < 3; ++i) example.picture("train/dog/" + std::to_string(i) + ".png");
  for (int i = 0; i < 4; ++i) example.picture("test/cat/" + std::to_string(i) + ".png");
  example.config.images_per_class = 5;
  const auto paths = [&] {
    std::vector<std::string> names;
    for (const Item& item : example.load().items) names.push_back(item.path);
    return names;
  };
  const auto first = paths();
  EXPECT_EQ(first.size(), 5u + 3u + 4u) << "five cats, all three dogs, the whole test split";
  EXPECT_EQ(paths(), first);
  example.config.subset_seed = 1;
  EXPECT_NE(paths(), first);
}

TEST(Contents, TellPicturesApartWhereverTheyLie) {
  Example example(Layout::folder);
  example.picture("train/cat/a.png");
  example.picture("train/cat/b.png");
  FileDigests digests{{}};
  const auto identity = [&] {
    return identity_of_classification(contents_of(example.config, {}, digests, 2));
  };
  const std::string before = identity();
  EXPECT_EQ(identity(), before);
  io::write_image(example.folder / "train/cat/b.png", io::Image(40, 40, 3));
  EXPECT_NE(identity(), before);
}

TEST(Problems, AreCappedWithTheirNumber) {
  Example example(Layout::pets);
  std::string list;
  for (int i = 0; i < 50; ++i) list += "Abyssinian_" + std::to_string(i) + " 1 1 1\n";
  example.write("annotations/trainval.txt", list);
  example.write("annotations/test.txt", "");
  EXPECT_THAT(example.error(), HasSubstr("and 30 more problems"));
}

}  // namespace
}  // namespace deda::data
