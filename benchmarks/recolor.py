"""Time and memory of `recolor`: `python benchmarks/recolor.py [--megapixels 12] [--runs 5]`.

The yardstick, run in turn with it, is what one would otherwise write: reference x shading per channel in plain NumPy.
The photo is a sample room, enlarged, with sensor noise; the mask reaches into all four corners, so that nothing is cropped.
"""
import argparse
import re
import statistics
import time
from pathlib import Path

import numpy as np
from PIL import Image

from wall_inpainting.color_reference import as_mask, linear_to_srgb, parse_color, recolor, sample_rooms, srgb_to_linear


def make_photo(megapixels: float) -> tuple[Image.Image, Image.Image]:
    "A photo of about that size, 4:3, and its wall mask"
    size = round((megapixels*1e6*4/3)**.5), round((megapixels*1e6*3/4)**.5)
    folder = sample_rooms('train')
    photo = Image.open(folder/'images'/'00009_a.png').resize(size, Image.Resampling.BICUBIC)
    mask = np.array(Image.open(folder/'masks'/'00009.png').resize(size, Image.Resampling.NEAREST))
    mask[[0, 0, -1, -1], [0, -1, 0, -1]] = 255
    noise = np.random.default_rng(0).standard_normal((size[1], size[0], 3), np.float32)*2
    return Image.fromarray((np.asarray(photo) + noise).clip(0, 255).astype(np.uint8)), Image.fromarray(mask)


def multiply(photo: Image.Image, mask: Image.Image, color) -> Image.Image:
    "Reference x shading per channel"
    rgb, wall = np.asarray(photo), as_mask(mask) >= .5
    light = srgb_to_linear(rgb.astype(np.float32)/255)
    new = linear_to_srgb((light/np.median(light[wall], 0)*srgb_to_linear(parse_color(color)/255)).clip(0, 1))
    return Image.fromarray(np.where(wall[..., None], (255*new).round().astype(np.uint8), rgb))


def timed(function, *args) -> float:
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def peak_memory() -> float:
    "The process's largest resident size so far, MB; Linux only"
    return int(re.search(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())[1])/1024


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--megapixels', type=float, default=12)
    parser.add_argument('--runs', type=int, default=5)
    args = parser.parse_args()
    photo, mask = make_photo(args.megapixels)
    recolor(photo.resize((64, 48)), mask.resize((64, 48)), '#f3ead7')  # imports and tables
    Path('/proc/self/clear_refs').write_text('5')  # forget the peak of making the photo
    before = peak_memory()
    recolor(photo, mask, '#f3ead7')  # alone, so that the rise in memory is its own
    rise = peak_memory() - before
    pairs = [(timed(recolor, photo, mask, '#f3ead7'), timed(multiply, photo, mask, '#f3ead7')) for _ in range(args.runs)]
    ours, theirs = (statistics.median(times) for times in zip(*pairs))
    print(f'{photo.width} x {photo.height} px: recolor {ours:.2f} s, peak {rise:.0f} MB above the photo; '
          f'plain NumPy {theirs:.2f} s; ratio {statistics.median(a/b for a, b in pairs):.2f} (medians of {args.runs})')
