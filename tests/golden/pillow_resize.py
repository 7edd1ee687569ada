"""Golden numbers for tests/io/resize_test.cpp: checksums of Pillow's Image.resize on pictures made by a formula.

Usage: pillow_resize.py > pillow_resize.csv       (needs numpy and Pillow 11 or 12: Pillow 13 changed the order of
the two passes for some shapes; the committed file was made with Pillow 11.3, 12.0 gives the same)
"""
import sys
import zlib

import numpy as np
import PIL
from PIL import Image

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS, "box": Image.Resampling.BOX}
SIZES = [((37, 53), (64, 64)), ((64, 64), (37, 53)), ((100, 75), (33, 200)), ((1, 40), (5, 7)), ((40, 1), (7, 5)), ((1, 1), (3, 2)), ((50, 60), (50, 60)),
         ((50, 60), (50, 31)), ((50, 60), (31, 60)), ((375, 500), (96, 128)), ((17, 19), (170, 190)), ((240, 320), (1, 1)), ((128, 96), (127, 95))]


def picture(height, width, channels):
    index = np.arange(height * width * channels, dtype=np.uint64)
    value = (index * np.uint64(2654435761) + np.uint64(12345)) & np.uint64(0xFFFFFFFF)
    value ^= value >> np.uint64(15)
    return (value * np.uint64(2246822519) >> np.uint64(24) & np.uint64(255)).astype(np.uint8).reshape(height, width, channels)


def resized(array, size, resample):
    planes = [np.asarray(Image.fromarray(array[:, :, c]).resize((size[1], size[0]), resample)) for c in range(array.shape[2])]
    return np.ascontiguousarray(np.stack(planes, axis=2))


print(f"# Pillow {PIL.__version__}, numpy {np.__version__}", file=sys.stderr)
print("filter,channels,height,width,new_height,new_width,crc32")
for name, resample in FILTERS.items():
    for channels in (1, 3, 4):
        for old, new in SIZES:
            out = resized(picture(*old, channels), new, resample)
            print(f"{name},{channels},{old[0]},{old[1]},{new[0]},{new[1]},{zlib.crc32(out.tobytes()):08x}")
