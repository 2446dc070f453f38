"""How near soft edges come to the truth, on rooms that were traced before and after painting, and how long they take.

`python benchmarks/edges.py ROOMS [PHOTOS]`: ROOMS holds NNN_before.png, NNN_after.png, NNN_mask.png (white = nothing but wall) and
rooms.json with `name` and `appearance_after`; PHOTOS holds pictures, and masks/NAME.png. Printed are the mean CIEDE2000 of the ring
of one pixel outside the true mask and of the two pixels inside it, for exact and soft edges, with masks that are off in several
ways; then, for photos at their own size and at 12 megapixels, seconds and the ratio to a repaint with exact edges, in turns.
"""
import argparse
import json
import statistics
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from wall_inpainting.color_reference import paint_target, recolor_photo
from wall_inpainting.light.network import light_shading
from wall_inpainting.pictures.arrays import mask_photo
from wall_inpainting.pictures.edges import read_edge, soften_edge

SIDE = np.ones((3, 3), np.uint8)


def outlined(mask):
    "The mask drawn by corners, as by hand"
    drawn, (contours, levels) = np.zeros_like(mask), cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for hole in (False, True):
        for contour, (*_, parent) in zip(contours, levels[0]):
            if (parent >= 0) == hole: cv2.drawContours(drawn, [cv2.approxPolyDP(contour, .003*max(mask.shape), True)], -1, int(not hole), -1)
    return drawn


def blocks(mask, side=4):
    "The mask of a network for small pictures, enlarged"
    small = cv2.resize(mask.astype(np.float32), None, fx=1/side, fy=1/side, interpolation=cv2.INTER_AREA)
    return cv2.resize((small > .5).astype(np.uint8), mask.shape[::-1], interpolation=cv2.INTER_NEAREST)


MASKS = {'true': lambda mask: mask, '1 px too small': lambda mask: cv2.erode(mask, SIDE), '1 px too large': lambda mask: cv2.dilate(mask, SIDE),
         '2 px too small': lambda mask: cv2.erode(mask, SIDE, iterations=2), '2 px too large': lambda mask: cv2.dilate(mask, SIDE, iterations=2),
         'polygon': outlined, 'blocks of 4 px': blocks}


def repaint(photo, color):
    target = paint_target(photo, color)
    return np.asarray(recolor_photo(photo, target, light_shading(photo, target)[0]))


def measure_rooms(folder):
    for name, change in MASKS.items():
        errors = []
        for room in json.loads((folder/'rooms.json').read_text()):
            before, after = (np.asarray(Image.open(folder/f"{room['name']}_{kind}.png").convert('RGB')) for kind in ('before', 'after'))
            mask = (np.asarray(Image.open(folder/f"{room['name']}_mask.png")) > 127).astype(np.uint8)
            photo = mask_photo(before, change(mask).astype(np.float32))
            exact = repaint(photo, room['appearance_after'])
            ring, rim = cv2.dilate(mask, SIDE) > mask, mask > cv2.erode(mask, SIDE, iterations=2)
            off = [deltaE_ciede2000(rgb2lab(image), rgb2lab(after)) for image in (exact, soften_edge(photo, exact, read_edge(photo)))]
            errors.append([error[part].mean() for part in (ring, rim, ring | rim) for error in off])
        ring, ring_soft, rim, rim_soft, both, both_soft = np.mean(errors, 0)
        print(f'{name:15} ring {ring:5.2f} -> {ring_soft:5.2f}  rim {rim:5.2f} -> {rim_soft:5.2f}  both {both:5.2f} -> {both_soft:5.2f}', flush=True)


def measure_time(folder, runs=5):
    for file in sorted(path for path in folder.iterdir() if (folder/'masks'/f'{path.stem}.png').exists()):
        for megapixels in (None, 12):
            image, mask = Image.open(file).convert('RGB'), Image.open(folder/'masks'/f'{file.stem}.png').convert('L')
            if megapixels:
                scale = (megapixels*1e6/(image.width*image.height))**.5
                image, mask = (part.resize((round(part.width*scale), round(part.height*scale)), how) for part, how in ((image, Image.Resampling.BICUBIC), (mask, Image.Resampling.NEAREST)))
            photo, seconds = mask_photo(image, mask), []
            for _ in range(runs+1):
                start = time.perf_counter()
                exact = repaint(photo, 'navy')
                middle = time.perf_counter()
                soften_edge(photo, exact, read_edge(photo))
                seconds.append((middle-start, time.perf_counter()-middle))
            alone, more = (statistics.median(values) for values in zip(*seconds[1:]))
            print(f'{file.stem:18} {image.width*image.height/1e6:5.2f} megapixels  {more:.2f} s, beside {alone:.2f} s of the repaint: {1+more/alone:.2f} times', flush=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('rooms', type=Path)
    parser.add_argument('photos', type=Path, nargs='?')
    args = parser.parse_args()
    measure_rooms(args.rooms)
    if args.photos: measure_time(args.photos)
