"""Golden masks for tests/decoupling/mask_meaning_test.cpp: one disc as tools write it, in every kind of file that users had.

Usage: pillow_masks.py FOLDER     (needs numpy and Pillow; run with Pillow 13.0). Writes NAME.ext of 96 x 64 pixels.
"""
import io
import pathlib
import sys

import numpy as np
from PIL import Image

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
W, H = 96, 64
y, x = np.mgrid[0:H, 0:W]


def disc(cx=0.4, cy=0.45, r=0.3):
    return (x - cx * W) ** 2 + (y - cy * H) ** 2 < (r * min(W, H)) ** 2


d = disc()
grey = Image.fromarray((d * 255).astype(np.uint8))
rng = np.random.default_rng(1)
picture = rng.integers(1, 255, (H, W, 3)).astype(np.uint8)
picture[d] = (200, 60, 40)


def save(name, image, **options):
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(folder / name, **options)


def palette(name, indices, colours, **options):
    image = Image.new("P", (W, H))
    image.putdata(indices.astype(np.uint8).ravel().tolist())
    image.putpalette(colours + [0] * (768 - len(colours)))
    image.save(folder / name, **options)


def rgba(colours, alpha):
    return np.dstack([colours, alpha.astype(np.uint8)])


save("l255.png", grey)
save("l1.png", d.astype(np.uint8))
save("onebit.png", grey.convert("1"))
save("rgb.png", grey.convert("RGB"))
for value in (1, 256, 65535):
    save(f"u16_{value}.png", (d * value).astype(np.uint16))
save("u16_1.tif", d.astype(np.uint16))
save("float1.tif", d.astype(np.float32))
save("jpeg.jpg", grey, quality=75)
save("jpeg_q30.jpg", grey, quality=30)
save("jpeg_of_1.jpg", d.astype(np.uint8) * 40, quality=90)
save("lossy.webp", grey, quality=50)
save("lossless.webp", grey, lossless=True)
buffer = io.BytesIO()
grey.save(buffer, "JPEG", quality=30)
save("jpeg_as_png.png", Image.open(buffer))
save("softened.png", grey.resize((4 * W, 4 * H), Image.NEAREST).rotate(1).resize((W, H), Image.BILINEAR))
palette("white_first.png", ~d, [255, 255, 255, 0, 0, 0])
palette("voc_palette.png", d, [0, 0, 0, 128, 0, 0])
palette("black_is_7.png", np.where(d, 1, 7), [0, 0, 0, 255, 255, 255])
palette("no_black.png", d, [68, 1, 84, 253, 231, 37])
palette("all_black.png", d, [])
palette("clear_ground.png", d, [255, 255, 255, 255, 255, 255], transparency=0)
black, white = np.zeros((H, W, 3), np.uint8), np.full((H, W, 3), 255, np.uint8)
save("alpha_black.png", rgba(black, d * 255))
save("alpha_white.png", rgba(white, d * 255))
save("cut_out.png", rgba(picture, d * 255))
save("white_on_clear.png", rgba(np.dstack([d * 255] * 3).astype(np.uint8), d * 255))
save("opaque.png", rgba(np.dstack([d * 255] * 3).astype(np.uint8), np.full((H, W), 255)))
save("grey_alpha.png", Image.merge("LA", [Image.new("L", (W, H), 255), grey]))
save("disagree.png", rgba(np.dstack([disc(0.75, 0.5, 0.2) * 255] * 3).astype(np.uint8), d * 255))
save("still.gif", grey)
save("onebit.bmp", grey.convert("1"))
save("eight.bmp", grey)
save("onebit.tif", grey.convert("1"))
save("fax.tif", grey.convert("1"), compression="group4")
labels = d.astype(np.uint8)
labels[disc(0.8, 0.7, 0.15)] = 2
save("labels.png", labels)
void = d.astype(np.uint8)
void[:3] = void[-3:] = 255
save("void.png", void)
trimap = (d * 255).astype(np.uint8)
trimap[disc(r=0.35) & ~d] = 128
save("grey_border.png", trimap)
save("inverted.png", (~d * 255).astype(np.uint8))
save("all_zero.png", np.zeros((H, W), np.uint8))
save("all_255.png", np.full((H, W), 255, np.uint8))
colours = np.zeros((H, W, 3), np.uint8)
colours[d] = (64, 0, 0)  # Pascal's cat, number 8
colours[:2] = (224, 224, 192)
save("voc_colours.png", colours)
