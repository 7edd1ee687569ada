// A GDAL that knows no file format. Debian's OpenCV links GDAL for maps and satellite pictures, and with it
// 55 more libraries (120 MB); this program reads JPEG, PNG, BMP, WebP, TIFF and GIF only, which OpenCV reads
// without GDAL. In a pack this library stands in its place: it opens nothing, so that OpenCV tries its other
// readers, as it does where GDAL does not know a file. tests/device/pack.sh uses it only where it has every
// symbol that OpenCV wants.
#include <cstdio>
#include <cstdlib>

// NOLINTBEGIN: GDAL's names.
enum GDALRWFlag { GF_Read };
enum GDALDataType { GDT_Unknown };
enum GDALPaletteInterp { GPI_Gray };
struct GDALColorEntry {
  short c1, c2, c3, c4;
};
struct GDALRasterIOExtraArg;

namespace {
// Only what GDALOpen() gave could get here, and it gives nothing.
[[noreturn]] void not_reachable(const char* name) {
  std::fprintf(stderr, "gdal_without_formats: %s was called although no file can be open\n", name);
  std::abort();
}
}  // namespace

class GDALRasterBand {
 public:
  GDALDataType GetRasterDataType();
  int GetXSize();
  int GetYSize();
  int RasterIO(GDALRWFlag, int, int, int, int, void*, int, int, GDALDataType, long long, long long,
               GDALRasterIOExtraArg*);
};
class GDALDataset {
 public:
  GDALRasterBand* GetRasterBand(int);
  int GetRasterCount();
  int GetRasterXSize();
  int GetRasterYSize();
};
class GDALColorTable {
 public:
  const GDALColorEntry* GetColorEntry(int) const;
  GDALPaletteInterp GetPaletteInterpretation() const;
};

extern "C" {
void GDALAllRegister() {}
void* GDALOpen(const char*, int) {
  return nullptr;
}
int GDALClose(void*) {
  return 0;
}
const char* GDALGetDataTypeName(GDALDataType) {
  return "Unknown";
}
}

GDALDataType GDALRasterBand::GetRasterDataType() {
  not_reachable("GetRasterDataType");
}
int GDALRasterBand::GetXSize() {
  not_reachable("GetXSize");
}
int GDALRasterBand::GetYSize() {
  not_reachable("GetYSize");
}
int GDALRasterBand::RasterIO(GDALRWFlag, int, int, int, int, void*, int, int, GDALDataType, long long,
                             long long, GDALRasterIOExtraArg*) {
  not_reachable("RasterIO");
}
GDALRasterBand* GDALDataset::GetRasterBand(int) {
  not_reachable("GetRasterBand");
}
int GDALDataset::GetRasterCount() {
  not_reachable("GetRasterCount");
}
int GDALDataset::GetRasterXSize() {
  not_reachable("GetRasterXSize");
}
int GDALDataset::GetRasterYSize() {
  not_reachable("GetRasterYSize");
}
const GDALColorEntry* GDALColorTable::GetColorEntry(int) const {
  not_reachable("GetColorEntry");
}
GDALPaletteInterp GDALColorTable::GetPaletteInterpretation() const {
  not_reachable("GetPaletteInterpretation");
}
// NOLINTEND
