"""How good and how steady `repaint_wall` is: `python benchmarks/light.py ROOMS [--weights FILE] [--log LOG] [--out benchmarks/light.json] [--worst benchmarks/light_worst.jpg]`.

ROOMS is a folder of `wall_rooms ROOMS --lights` with rooms for validation, which the network has not seen. Each room is
repainted three times, from a plain paint and from its two coats, and compared with the same room traced in the new paint:
the mean CIEDE2000 over the wall, at half size, as grain is nobody's error. The yardsticks, on the same pictures, are the
formula (`recolor`) and what one would otherwise write, reference x shading per channel. Then the same rooms, without grain
and twice as large, wear the coats of `lit_rooms.KINDS` that are drawn, hard ones among them; here the network also goes
without each of the steps beside it, and --worst keeps the worst picture of each kind. Stability is measured on the
sample rooms, twice as large: how far the repaint moves when the photo is degraded. How fast it is `cpu.py` measures.
"""
import argparse
import json
import platform
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from common import multiply
from PIL import Image, ImageDraw
from skimage.color import deltaE_ciede2000, rgb2lab
from tqdm import tqdm

from wall_inpainting.color_reference import recolor
from wall_inpainting.pictures.arrays import LUMINANCE, as_mask, linear_to_srgb, sample_rooms, srgb_to_linear
from wall_inpainting.pretraining.lit_rooms import KINDS, LitRoom, draw_pair, read_lit_room
from wall_inpainting.rooms.folder import load_render
from wall_inpainting.rooms.tracing import develop

COLORS = '#7a9e7e', '#1f2a44', '#c8654a', '#f3ead7'
DRAWN = [kind for kind in KINDS if kind not in ('as traced', 'changed')]
STEPS = {'_fade_clipped': lambda correction, _: correction, '_look_closer': lambda *_: None}  # beside the network, and what takes the place of each


def wall_difference(a: Image.Image, b: Image.Image, wall: np.ndarray) -> float:
    "Mean CIEDE2000 between two pictures over the wall, at half size in linear light"
    def half(x): return cv2.resize(x[:len(x)//2*2, :x.shape[1]//2*2], None, fx=.5, fy=.5, interpolation=cv2.INTER_AREA)
    labs = [rgb2lab(linear_to_srgb(half(srgb_to_linear(np.asarray(x, np.float32)/255)))) for x in (a, b)]
    return float(deltaE_ciede2000(*labs)[half(wall.astype(np.float32)) > 1-1e-3].mean())


def validation_rooms(folder: Path, count: int) -> list[Path]:
    return [path for path in sorted(folder.glob('[0-9]*.npz')) if load_render(path).notes['split'] == 'validation'][:count]


def held_out(folder: Path, methods: dict, rooms: int) -> dict:
    "Errors of each method by what the wall wore"
    errors = {}
    for path in tqdm(validation_rooms(folder, rooms), 'rooms'):
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


def enlarge(room: LitRoom) -> LitRoom:
    "The room at twice its size, so that a drawn coat is as fine as on a photo, and the network looks twice"
    def twice(a): return cv2.resize(a, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR if a.dtype == np.float32 else cv2.INTER_NEAREST)
    arrays = {field.name: getattr(room, field.name) for field in fields(room)}
    arrays['mask'] = room.mask.astype(np.uint8)
    large = {name: np.stack([twice(picture) for picture in a]) if a.ndim == 4 else twice(a) for name, a in arrays.items()}
    return LitRoom(**large | dict(mask=large['mask'] > 0))


def draw_cases(folder: Path, rooms: int) -> Iterator[tuple[str, Image.Image, np.ndarray, Image.Image, np.ndarray]]:  # kind, photo, mask, truth, colour
    "Every kind of wall that is drawn, in every room; exposed so that nine tenths of both pictures, before and after, are below 80%"
    for i, path in enumerate(tqdm(validation_rooms(folder, rooms), 'drawn')):
        room = enlarge(read_lit_room(path))
        for kind in DRAWN:
            pair = draw_pair(room, np.random.default_rng([2, i, list(KINDS).index(kind)]), kind)
            gain = np.full(3, .8/np.percentile(np.maximum(pair.before, pair.after) @ LUMINANCE, 90))
            photo, truth = develop(pair.before, gain), develop(pair.after, gain)
            yield kind, photo, pair.mask, truth, np.median(np.asarray(truth)[pair.mask], 0)


@contextmanager
def without(step: str) -> Iterator[None]:
    "The light network without one of STEPS"
    from wall_inpainting.light import network
    kept = getattr(network, step)
    setattr(network, step, STEPS[step])
    try: yield
    finally: setattr(network, step, kept)


def drawn(folder: Path, methods: dict, rooms: int) -> tuple[dict, dict]:  # errors; kind -> (error, photo, repainted, truth)
    "Errors of each method by the kind that was drawn, and each kind's worst picture of the first method"
    errors, worst, first = {}, {}, next(iter(methods))
    for kind, photo, mask, truth, color in draw_cases(folder, rooms):
        for name, method in methods.items():
            repainted = method(photo, mask.astype(np.float32), color)
            error = wall_difference(repainted, truth, mask)
            errors.setdefault(kind, {}).setdefault(name, []).append(error)
            if name == first and error > worst.get(kind, [0])[0]: worst[kind] = error, photo, repainted, truth
    return {kind: {name: dict(n=len(values), mean=statistics.mean(values), worst=max(values)) for name, values in by.items()} for kind, by in errors.items()}, worst


def contact_sheet(worst: dict, size: tuple[int, int] = (224, 168)) -> Image.Image:
    "Before, repainted and truth of each kind's worst picture, two kinds side by side"
    (w, h), title = size, 14
    sheet = Image.new('RGB', (6*w + 8, -(-len(worst)//2)*(h + title)), 'white')
    for i, (kind, (error, *pictures)) in enumerate(worst.items()):
        x, y = i % 2*(3*w + 8), i//2*(h + title)
        ImageDraw.Draw(sheet).text((x + 2, y + 1), f'{kind}: before | repainted, off by {error:.1f} | truth', 'black')
        for k, picture in enumerate(pictures): sheet.paste(picture.resize(size, Image.Resampling.LANCZOS), (x + k*w, y + title))
    return sheet


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
    parser.add_argument('--drawn', type=int, default=20, help='rooms at most, to draw coats in')
    parser.add_argument('--out', type=Path)
    parser.add_argument('--worst', type=Path, help='contact sheet of the worst pictures')
    args = parser.parse_args()
    from wall_inpainting.light.network import load_light_net, repaint_wall
    net = load_light_net(args.weights)
    def light(photo, mask, color): return repaint_wall(photo, mask, color, net=net)
    def lacking(step):
        def repaint(*scene):
            with without(step): return light(*scene)
        return repaint
    photos = []
    for split in ('validation', 'train'):
        for row in map(json.loads, (sample_rooms(split)/'metadata.jsonl').read_text().splitlines()):
            if row['file_name'].endswith('_a.png'):
                photo, mask = (Image.open(sample_rooms(split)/row[key]) for key in ('file_name', 'mask_file_name'))
                photos.append((photo.convert('RGB').resize((768, 576), Image.Resampling.BICUBIC), as_mask(mask.convert('L').resize((768, 576), Image.Resampling.NEAREST))))
    methods = {'light': light, 'formula': recolor, 'reference x shading': multiply}
    by_kind, worst = drawn(args.rooms, methods | {f'light without {step}': lacking(step) for step in STEPS}, args.drawn)
    if args.worst: contact_sheet(worst).save(args.worst, quality=80)
    result = dict(machine=f'{platform.machine()}, Python {platform.python_version()}', held_out=held_out(args.rooms, methods, args.count), drawn=by_kind,
                  stability=stability(photos, light))
    if args.log: result['log'] = [json.loads(line) for line in args.log.read_text().splitlines()]
    print(json.dumps({key: value for key, value in result.items() if key != 'log'}, indent=1))
    if args.out: args.out.write_text(json.dumps(result, indent=1) + '\n')
