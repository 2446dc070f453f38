"""How good and how steady `repaint_wall` is: `python benchmarks/light.py ROOMS [--weights FILE] [--log LOG] [--out benchmarks/light.json]`.

ROOMS is a folder of `wall_rooms ROOMS --lights` with rooms for validation, which the network has not seen. Each room is
repainted three times, from a plain paint and from its two coats, and compared with the same room traced in the new paint:
the mean CIEDE2000 over the wall, at half size, as grain is nobody's error. The yardsticks, on the same pictures, are the
formula (`recolor`) and what one would otherwise write, reference x shading per channel. Stability is measured on the
sample rooms, twice as large: how far the repaint moves when the photo is degraded. How fast it is `cpu.py` measures.
"""
import argparse
import json
import platform
import statistics
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from common import multiply
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab
from tqdm import tqdm

from wall_inpainting.color_reference import recolor
from wall_inpainting.pictures.arrays import as_mask, linear_to_srgb, sample_rooms, srgb_to_linear
from wall_inpainting.rooms.tracing import develop
from wall_inpainting.rooms.folder import load_render

COLORS = '#7a9e7e', '#1f2a44', '#c8654a', '#f3ead7'


def wall_difference(a: Image.Image, b: Image.Image, wall: np.ndarray) -> float:
    "Mean CIEDE2000 between two pictures over the wall, at half size in linear light"
    def half(x): return cv2.resize(x[:len(x)//2*2, :x.shape[1]//2*2], None, fx=.5, fy=.5, interpolation=cv2.INTER_AREA)
    labs = [rgb2lab(linear_to_srgb(half(srgb_to_linear(np.asarray(x, np.float32)/255)))) for x in (a, b)]
    return float(deltaE_ciede2000(*labs)[half(wall.astype(np.float32)) > 1-1e-3].mean())


def held_out(folder: Path, methods: dict, rooms: int) -> dict:
    "Errors of each method by what the wall wore"
    errors = {}
    paths = [path for path in sorted(folder.glob('[0-9]*.npz')) if load_render(path).notes['split'] == 'validation'][:rooms]
    for path in tqdm(paths, 'rooms'):
        render = load_render(path)
        paints, mask, light = render.notes['paints'], render.mask.astype(np.float32), np.ones(3)
        truth = develop(render.painted(paints[0]), light)
        color = np.median(np.asarray(truth)[render.mask], 0)
        plain = 'relief' if render.notes['relief'] else 'plain'
        for kind, before in [(plain, render.painted(paints[1])), *zip(render.notes['kinds'], render.coats)]:
            photo = develop(before, light)
            for name, method in methods.items():
                errors.setdefault(kind, {}).setdefault(name, []).append(wall_difference(method(photo, mask, color), truth, render.mask))
    return {kind: {name: dict(n=len(values), mean=statistics.mean(values), worst=max(values)) for name, values in by.items()} for kind, by in errors.items()}


def degraded(photo: Image.Image, mask: np.ndarray) -> dict:
    "The same photo and mask, five times not quite the same: (photo, mask)"
    jpeg, square = BytesIO(), np.ones((5, 5), np.uint8)
    photo.save(jpeg, 'JPEG', quality=70)
    noisy = np.asarray(photo) + np.random.default_rng(0).normal(0, 2, (*mask.shape, 3))
    small = photo.width//2, photo.height//2
    return {'JPEG quality 70': (Image.open(jpeg).convert('RGB'), mask), 'half size': (photo.resize(small, Image.Resampling.BOX), cv2.resize(mask, small, interpolation=cv2.INTER_AREA)),
            'noise of 2 codes': (Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8)), mask),
            'mask 2 px wider': (photo, cv2.dilate(mask, square)), 'mask 2 px narrower': (photo, cv2.erode(mask, square))}


def stability(photos: list, method) -> dict:
    "How far the repaint moves: mean and worst photo and colour"
    moved = {}
    for photo, mask in tqdm(photos, 'stability'):
        for color in COLORS:
            whole = method(photo, mask, color)
            for name, (worse, its_mask) in degraded(photo, mask).items():
                again, wall = method(worse, its_mask, color), cv2.erode((mask > .99).astype(np.uint8), np.ones((5, 5)))
                before = whole
                if again.size != whole.size: before, wall = whole.resize(again.size, Image.Resampling.BOX), cv2.resize(wall, again.size, interpolation=cv2.INTER_AREA)
                moved.setdefault(name, []).append(wall_difference(before, again, wall > 0))
    return {name: dict(mean=statistics.mean(values), worst=max(values)) for name, values in moved.items()}


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('rooms', type=Path)
    parser.add_argument('--weights', help='default: those that ship')
    parser.add_argument('--log', type=Path, help='log.jsonl of the training, to keep')
    parser.add_argument('--count', type=int, default=100, help='rooms at most')
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    from wall_inpainting.light.network import load_light_net, repaint_wall
    net = load_light_net(args.weights)
    def light(photo, mask, color): return repaint_wall(photo, mask, color, net=net)
    photos = []
    for split in ('validation', 'train'):
        for row in map(json.loads, (sample_rooms(split)/'metadata.jsonl').read_text().splitlines()):
            if row['file_name'].endswith('_a.png'):
                photo, mask = (Image.open(sample_rooms(split)/row[key]) for key in ('file_name', 'mask_file_name'))
                photos.append((photo.convert('RGB').resize((768, 576), Image.Resampling.BICUBIC), as_mask(mask.convert('L').resize((768, 576), Image.Resampling.NEAREST))))
    result = dict(machine=f'{platform.machine()}, Python {platform.python_version()}',
                  held_out=held_out(args.rooms, {'light': light, 'formula': recolor, 'reference x shading': multiply}, args.count),
                  stability=stability(photos, light))
    if args.log: result['log'] = [json.loads(line) for line in args.log.read_text().splitlines()]
    print(json.dumps({key: value for key, value in result.items() if key != 'log'}, indent=1))
    if args.out: args.out.write_text(json.dumps(result, indent=1) + '\n')
