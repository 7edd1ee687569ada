// More than a thousand broken inputs: each ends in a result or in an error that names its file; none crashes,
// hangs or eats the memory. Run under the address and undefined-behaviour sanitizers by tests/run.sh.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include "core/config.h"
#include "core/error.h"
#include "core/files.h"
#include "core/random.h"
#include "data/dataset.h"
#include "io/example_store.h"
#include "io/formats/matlab_file.h"
#include "io/formats/safetensors.h"
#include "io/formats/text_table.h"
#include "io/formats/torch_archive.h"
#include "io/pictures/image_codec.h"
#include "io/store/record_store.h"
#include "support/temporary_folder.h"

namespace deda::io {
namespace {

constexpr double most_seconds = 5.0;
constexpr std::int64_t most_megabytes = 3000;  // of the whole process, sanitizers' shadow memory included

using Bytes = std::vector<std::uint8_t>;

// What became of the inputs of one kind.
struct Tally {
  int read = 0, refused = 0;
};

class BrokenInputs : public testing::Test {
 protected:
  // Runs `use` on one broken input; `name` must be in the message of an error.
  void feed(const std::string& kind, const std::string& name, const std::function<void()>& use) {
    const auto start = std::chrono::steady_clock::now();
    Tally& tally = tallies()[kind];
    try {
      use();
      ++tally.read;
    } catch (const Error& error) {
      ++tally.refused;
      EXPECT_THAT(error.what(), testing::HasSubstr(name)) << kind;
      EXPECT_FALSE(error.problems().empty());
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    EXPECT_LT(seconds, most_seconds) << kind << ", " << name;
  }
  static std::map<std::string, Tally>& tallies() {
    static std::map<std::string, Tally> all;
    return all;
  }
  static void TearDownTestSuite() {
    int inputs = 0;
    for (const auto& [kind, tally] : tallies()) {
      std::printf("%-22s %5d read, %5d refused\n", kind.c_str(), tally.read, tally.refused);
      inputs += tally.read + tally.refused;
    }
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    std::printf("%-22s %5d inputs, at most %ld MB of memory\n", "all", inputs, usage.ru_maxrss / 1024);
    const bool all = testing::UnitTest::GetInstance()->test_to_run_count() ==
                     testing::UnitTest::GetInstance()->total_test_count();
    // The one on real pictures, run alone where there are none, feeds nothing.
    const bool skipped = testing::UnitTest::GetInstance()->skipped_test_count() > 0;
    EXPECT_GE(inputs, all ? 1000 : skipped ? 0 : 1);
    EXPECT_LT(usage.ru_maxrss / 1024, most_megabytes);
  }

  // Truncations at every kilobyte and at random places, and bit flips.
  void for_each_damage(const Bytes& whole, int flips, int cuts, std::uint64_t sample,
                       const std::function<void(const Bytes&, const std::string&)>& use) {
    RandomStream random{2, Purpose::test, 0, sample};
    for (std::size_t size = 0; size < whole.size(); size += 1024)
      use(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)),
          "cut at " + std::to_string(size));
    for (int i = 0; i < cuts; ++i) {
      const std::size_t size = random.below(static_cast<std::uint32_t>(whole.size()));
      use(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)),
          "cut at " + std::to_string(size));
    }
    for (int i = 0; i < flips; ++i) {
      Bytes damaged = whole;
      const int bits = 1 + static_cast<int>(random.below(8));
      for (int bit = 0; bit < bits; ++bit) {
        // Half of the flips hit the header, where they do most.
        const std::uint32_t range =
            random.chance(0.5) ? std::min<std::uint32_t>(64, static_cast<std::uint32_t>(whole.size()))
                               : static_cast<std::uint32_t>(whole.size());
        damaged[random.below(range)] ^= static_cast<std::uint8_t>(1u << random.below(8));
      }
      use(damaged, "flip " + std::to_string(i));
    }
  }
};

Bytes bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}
std::string text_of(const Bytes& bytes) {
  return {bytes.begin(), bytes.end()};
}

TEST_F(BrokenInputs, Pictures) {
  cv::Mat mat(60, 80, CV_8UC3);
  RandomStream random{1, Purpose::test, 0, 0};
  for (int i = 0; i < 60 * 80 * 3; ++i)
    mat.data[i] = static_cast<std::uint8_t>((i / 3 % 80) * 3 + random.below(20));
  std::map<std::string, Bytes> seeds;
  for (const char* suffix : {".jpg", ".png", ".bmp", ".webp", ".tiff"}) {
    Bytes bytes;
    cv::imencode(suffix, mat, bytes);
    seeds[suffix] = bytes;
  }
  for (const char* name : {"still.gif", "animated.gif", "interlaced.gif", "palette.png", "cmyk.jpg",
                           "progressive.jpg", "sixteen.png"}) {
    seeds[name] = read_bytes(std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/pictures" / name);
  }
  std::uint64_t sample = 100;
  for (const auto& [name, bytes] : seeds) {
    for_each_damage(bytes, 60, 12, ++sample,
                    [&, suffix = name](const Bytes& damaged, const std::string& how) {
                      feed("pictures", "broken" + suffix, [&] { decode_image(damaged, "broken" + suffix); });
                    });
  }
  // Sixty-five thousand pixels a side, in each format's header.
  const auto claim = [&](const std::string& name,
                         std::initializer_list<std::pair<std::size_t, std::uint8_t>> edits) {
    Bytes bytes = seeds.at(name);
    for (const auto& [at, value] : edits) bytes.at(at) = value;
    feed("huge claims", "huge" + name, [&] {
      decode_image(bytes, "huge" + name);
      FAIL() << name << " was believed";
    });
  };
  claim(".png", {{18, 0xfd}, {19, 0xe8}, {22, 0xfd}, {23, 0xe8}});
  claim(".bmp", {{18, 0xe8}, {19, 0xfd}, {22, 0xe8}, {23, 0xfd}});
  claim("still.gif", {{6, 0xff}, {7, 0xff}, {8, 0xff}, {9, 0xff}});
}

TEST_F(BrokenInputs, Masks) {
  const Bytes palette =
      read_bytes(std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/pictures/palette.png");
  const test::TemporaryFolder folder;
  for_each_damage(palette, 60, 20, 200, [&](const Bytes& damaged, const std::string&) {
    write_atomically(folder / "mask.png", text_of(damaged));
    feed("masks", "mask.png", [&] { read_mask(folder / "mask.png"); });
  });
}

TEST_F(BrokenInputs, RealPictures) {
  const char* named = std::getenv("DEDA_TEST_DATA");
  const std::filesystem::path data = named != nullptr
                                         ? std::filesystem::path{named}
                                         : std::filesystem::path{DEDA_SOURCE_DIR} / ".." / "shared" / "data";
  if (!std::filesystem::exists(data / "pets_edge")) GTEST_SKIP() << "no real pictures at " << data;
  std::uint64_t sample = 300;
  for (const char* name : {"Abyssinian_34.jpg", "Abyssinian_5.jpg"}) {
    const Bytes whole = read_bytes(data / "pets_edge/images" / name);
    for_each_damage(whole, 25, 5, ++sample, [&](const Bytes& damaged, const std::string&) {
      feed("real pictures", name, [&] { decode_image(damaged, name); });
    });
  }
}

TEST_F(BrokenInputs, Safetensors) {
  const Bytes whole = read_bytes(std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/python.safetensors");
  const test::TemporaryFolder folder;
  const auto try_bytes = [&](const Bytes& bytes, const std::string&) {
    write_atomically(folder / "broken.safetensors", text_of(bytes));
    feed("safetensors", "broken.safetensors", [&] {
      const SafetensorsFile file(folder / "broken.safetensors");
      for (const auto& [name, view] : file.tensors()) {
        volatile std::uint8_t touched =
            view.bytes.empty()
                ? 0
                : static_cast<std::uint8_t>(view.bytes.front() ^
                                            view.bytes.back());  // every claim is inside the file
        static_cast<void>(touched);
      }
    });
  };
  for_each_damage(whole, 120, 40, 400, try_bytes);
  for (std::size_t size = 0; size < 12; ++size)
    try_bytes(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)), "");
}

TEST_F(BrokenInputs, TorchArchives) {
  const test::TemporaryFolder folder;
  std::uint64_t sample = 600;
  for (const char* name : {"diffusers.bin", "webui.pt", "half_transposed.bin"}) {
    const Bytes whole =
        read_bytes(std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/torch_archives" / name);
    for_each_damage(whole, 200, 40, ++sample, [&](const Bytes& damaged, const std::string&) {
      write_atomically(folder / "broken.bin", text_of(damaged));
      feed("torch archives", "broken.bin", [&] { read_torch_archive(folder / "broken.bin"); });
    });
  }
}

struct SmallConfig {
  std::int64_t count = 3;
  double rate = 0.5;
  std::string name = "x";
  std::vector<std::int64_t> steps = {1, 2};
  void describe(ConfigVisitor& v) {
    v.field({.key = "count", .help = "a count", .min = 0, .max = 10}, count);
    v.field({.key = "rate", .help = "a rate"}, rate);
    v.field({.key = "name", .help = "a name"}, name);
    v.field({.key = "steps", .help = "steps"}, steps);
  }
};

TEST_F(BrokenInputs, Configurations) {
  const Bytes whole = bytes_of(
      "# a comment\ncount = 7\nrate = 1.5e-3\nname = \"ünïcode \\u00e9\"\nsteps = [1, 2, "
      "0x1f]\n[unknown]\na.b = {c = 1979-05-27T07:32:00Z}\n");
  const test::TemporaryFolder folder;
  for_each_damage(whole, 120, 60, 500, [&](const Bytes& damaged, const std::string&) {
    write_atomically(folder / "broken.toml", text_of(damaged));
    feed("configurations", "broken.toml", [&] {
      SmallConfig config;
      read_config(config, {.files = {folder / "broken.toml"}, .overrides = {}});
    });
  });
}

TEST_F(BrokenInputs, Tables) {
  const test::TemporaryFolder folder;
  for_each_damage(bytes_of("a,b,\"c, \"\"d\"\"\"\n1,2,3\n,,\n\"x\ny\",4,5\n"), 60, 20, 600,
                  [&](const Bytes& damaged, const std::string&) {
                    write_atomically(folder / "broken.csv", text_of(damaged));
                    feed("tables", "broken.csv", [&] { read_csv(folder / "broken.csv"); });
                    feed("tables", "broken.csv", [&] { read_words(folder / "broken.csv", 2); });
                  });
}

TEST_F(BrokenInputs, MatlabFiles) {
  const Bytes whole = read_bytes(std::filesystem::path{DEDA_SOURCE_DIR} / "tests/golden/cars_like.mat");
  const test::TemporaryFolder folder;
  // Cut files only: for some flipped bits matio 1.5.23 believes the dimensions, asks for tens of gigabytes
  // and takes seconds before it gives up with an error (seen with 200 flips: one took 5 s). It did not crash.
  for_each_damage(whole, 0, 60, 700, [&](const Bytes& damaged, const std::string&) {
    write_atomically(folder / "broken.mat", text_of(damaged));
    feed("MATLAB files", "broken.mat",
         [&] { read_matlab_struct_array(folder / "broken.mat", "annotations"); });
    feed("MATLAB files", "broken.mat", [&] { read_matlab_texts(folder / "broken.mat", "class_names"); });
  });
}

TEST_F(BrokenInputs, Stores) {
  const test::TemporaryFolder folder;
  test::ExampleStore example;
  {
    StoreWriter writer(comm::Communicator::self(), folder / "store", example.description());
    for (const std::int64_t segment : writer.missing_segments()) {
      std::vector<ItemResult> results;
      const auto [first, last] = writer.items_of(segment);
      for (std::int64_t item = first; item < last; ++item) results.push_back(example.result(item));
      writer.write_segment(segment, std::move(results));
    }
    writer.finish();
  }
  std::uint64_t sample = 800;
  for (const char* name : {"manifest.json", "segment-000001.h5"}) {
    const Bytes whole = read_bytes(folder / "store" / name);
    for_each_damage(whole, 40, 10, ++sample, [&](const Bytes& damaged, const std::string&) {
      std::ofstream(folder / "store" / name, std::ios::binary | std::ios::trunc) << text_of(damaged);
      for (const auto check : {StoreReader::Check::sizes, StoreReader::Check::hashes}) {
        feed("stores", (folder / "store").string(), [&] {
          const StoreReader reader(folder / "store", check);
          std::uint64_t sum = 0;
          for (std::size_t i = 0; i < reader.size(); ++i) {
            for (const std::uint8_t byte : reader.at(i).pixels) sum += byte;
          }
        });
      }
    });
    std::ofstream(folder / "store" / name, std::ios::binary | std::ios::trunc) << text_of(whole);
  }
}

TEST_F(BrokenInputs, DatasetAnnotations) {
  struct Layout {
    data::Layout layout;
    std::map<std::string, std::string> files;
  };
  const std::vector<Layout> layouts = {
      {data::Layout::pets,
       {{"annotations/trainval.txt", "A_1 1 1 1\nb_2 2 2 1\n"}, {"annotations/test.txt", "A_2 1 1 1\n"}}},
      {data::Layout::cub,
       {{"classes.txt", "1 001.A\n2 002.B\n"},
        {"images.txt", "1 001.A/a.jpg\n2 002.B/b.jpg\n"},
        {"image_class_labels.txt", "1 1\n2 2\n"},
        {"train_test_split.txt", "1 1\n2 0\n"},
        {"bounding_boxes.txt", "1 1 2 3 4\n2 1 2 3 4\n"}}},
      {data::Layout::waterbirds,
       {{"metadata.csv", "img_id,img_filename,y,split,place,place_filename\n1,001.A/a.jpg,1,2,0,x\n"}}},
      {data::Layout::aircraft,
       {{"data/variants.txt", "707\nA 3\n"},
        {"data/images_variant_trainval.txt", "1 707\n2 A 3\n"},
        {"data/images_variant_test.txt", "3 707\n"},
        {"data/images_box.txt", "1 1 2 3 4\n"}}},
      {data::Layout::voc2012,
       {{"ImageSets/Main/train.txt", "a\n"},
        {"ImageSets/Main/val.txt", "b\n"},
        {"Annotations/a.xml",
         "<annotation><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>6</"
         "ymax></bndbox></object></annotation>"},
        {"Annotations/b.xml",
         "<annotation><object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>6</"
         "ymax></bndbox></object></annotation>"}}},
      {data::Layout::cars, {{"cars.csv", "fname,class,x1,y1,x2,y2,split\na.jpg,A,1,2,3,4,train\n"}}},
      {data::Layout::toy,
       {{"toy.json", "{}"},
        {"labels.csv",
         "image,mask,class,split,group,background,x1,y1,x2,y2\ni.png,m.png,striped "
         "beetle,train,0,leaf,1,2,3,4\n"}}},
  };
  std::uint64_t sample = 900;
  for (const Layout& layout : layouts) {
    for (const auto& [broken, text] : layout.files) {
      const test::TemporaryFolder folder;
      for (const auto& [name, content] : layout.files) {
        make_folder((folder / name).parent_path());
        std::ofstream(folder / name) << content;
      }
      data::DatasetConfig config;
      config.layout = layout.layout;
      config.root = folder.path();
      for_each_damage(bytes_of(text), 12, 6, ++sample, [&](const Bytes& damaged, const std::string&) {
        std::ofstream(folder / broken, std::ios::trunc) << text_of(damaged);
        feed("annotations", folder.path().string(),
             [&] { data::load_dataset(config, {.check_files = false}); });
      });
    }
  }
}

}  // namespace
}  // namespace deda::io
