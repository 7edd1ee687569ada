"""Golden pictures for tests/io/image_codec_test.cpp: odd kinds of files made by Pillow, and what Pillow's convert("RGB") makes of them.

Usage: pillow_pictures.py FOLDER     (needs numpy and Pillow). Writes NAME.ext and rgb.csv (name, height, width, crc32 of the RGB bytes, mean).
"""
import pathlib
import sys
import zlib

import numpy as np
from PIL import Image

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
y, x = np.mgrid[0:24, 0:31]
grey = ((x * 7 + y * 5) % 256).astype(np.uint8)
rgb = np.stack([grey, (y * 10 % 256).astype(np.uint8), (255 - x * 8 % 256).astype(np.uint8)], axis=2)
alpha = (x * 8 % 256).astype(np.uint8)
palette = Image.fromarray(rgb).quantize(16)
exif = Image.Exif()
files = {
    "grey.png": (Image.fromarray(grey), {}),
    "grey_alpha.png": (Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]), {}),
    "rgba.png": (Image.fromarray(np.dstack([rgb, alpha])), {}),
    "palette.png": (palette, {}),
    "sixteen.png": (Image.fromarray((grey.astype(np.uint16) * 257)), {}),
    "one_bit.png": (Image.fromarray(grey > 100), {}),
    "colour.jpg": (Image.fromarray(rgb), {"quality": 92}),
    "progressive.jpg": (Image.fromarray(rgb), {"quality": 85, "progressive": True}),
    "grey.jpg": (Image.fromarray(grey), {"quality": 92}),
    "cmyk.jpg": (Image.fromarray(rgb).convert("CMYK"), {"quality": 95}),
    "colour.bmp": (Image.fromarray(rgb), {}),
    "colour.webp": (Image.fromarray(rgb), {"lossless": True}),
    "colour.tiff": (Image.fromarray(rgb), {}),
    "still.gif": (palette, {}),
}
for name, (image, options) in files.items():
    image.save(folder / name, **options)
for orientation in range(1, 9):
    exif[0x0112] = orientation
    Image.fromarray(rgb).save(folder / f"orientation_{orientation}.jpg", quality=95, exif=exif.tobytes())
frames = [palette, Image.fromarray(255 - rgb).quantize(16)]
frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:], duration=100)
Image.fromarray(rgb).save(folder / "interlaced.gif", interlace=1)
Image.fromarray(rgb).save(folder / "animated.webp", save_all=True, append_images=[Image.fromarray(255 - rgb)], duration=100)
with open(folder / "rgb.csv", "w") as table:
    print("name,height,width,crc32,mean", file=table)
    for path in sorted(folder.glob("*.*")):
        if path.name in {"rgb.csv", "animated.webp"}:
            continue
        with Image.open(path) as image:
            out = np.asarray(image.convert("RGB") if image.mode not in ("I;16", "I") else Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8)).convert("RGB"))
        print(f"{path.name},{out.shape[0]},{out.shape[1]},{zlib.crc32(np.ascontiguousarray(out).tobytes()):08x},{out.mean():.4f}", file=table)
