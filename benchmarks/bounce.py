"""What a wall's new paint does to the rest of its room: `python benchmarks/bounce.py ROOMS [--other FOLDER …] [--out benchmarks/bounce.json]`.

ROOMS is a folder of `wall_rooms ROOMS --lights` with rooms for validation, of which the network has seen none. Each is repainted
twice, told what the wall's median really becomes: in the paints it was traced for, and in two at random. FOLDERs hold rooms of
another making, as NNN_before.png, NNN_after.png, NNN_mask.png and rooms.json with `name`. Everything is measured outside the mask
alone, at half size, as grain is nobody's error: the mean CIEDE2000 to the truth, the share of pixels that one can tell from it
(more than 2.3), and the share that is farther from it by more than 2 than in the untouched photo. The methods: nothing; the best
single gain for each channel, fitted to the truth, which no method could know; and `bounce_photo`.
"""
import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from wall_inpainting.light.bounce import bounce_photo
from wall_inpainting.pictures.arrays import LIGHT_OF_CODE, mask_photo, sample_rooms
from wall_inpainting.pictures.edges import read_edge
from wall_inpainting.pictures.photos import read_photo
from wall_inpainting.pretraining.room_light import draw_new_paint, draw_old_paint
from wall_inpainting.rooms.folder import load_render
from wall_inpainting.rooms.tracing import develop
from wall_inpainting.validation_metrics import delta_e_2000, linear_to_lab


def half(picture): return cv2.resize(LIGHT_OF_CODE[np.asarray(picture)], None, fx=.5, fy=.5, interpolation=cv2.INTER_AREA)


def best_gain(before, truth, outside):
    "The truth's gain for each channel, as the median over what is well exposed"
    seen = outside & (before.max(-1) < .95) & (truth.max(-1) < .95)
    gain = np.exp(np.median(np.log((truth[seen] + .01)/(before[seen] + .01)), 0)) if seen.sum() > 20 else np.ones(3)
    return np.clip(before*gain, 0, 1)


def methods(before, truth, mask):
    "Linear pictures [h,w,3] by method, the truth, and where to measure; None where nearly all is wall"
    outside = cv2.resize(1 - mask.astype(np.float32), None, fx=.5, fy=.5, interpolation=cv2.INTER_AREA) > .99
    if outside.sum() < 50: return None
    photo = mask_photo(before, mask.astype(np.float32))
    target = np.maximum(LIGHT_OF_CODE[np.median(np.asarray(truth)[mask], 0).astype(int)], 1e-4)
    start, aim = half(before), half(truth)
    answered = bounce_photo(photo, before, target) # the wall, which is not measured, may as well keep its old paint
    return {'nothing': start, 'best single gain': best_gain(start, aim, outside), 'bounce': half(answered)}, aim, outside


def measure(cases):
    "The figures of each method"
    found = {}
    for before, truth, mask in tqdm(cases):
        if (answer := methods(before, truth, mask)) is None: continue
        pictures, aim, outside = answer
        errors = {name: delta_e_2000(linear_to_lab(picture), linear_to_lab(aim))[outside] for name, picture in pictures.items()}
        for name, error in errors.items(): found.setdefault(name, []).append((error.mean(), (error > 2.3).mean(), (error > errors['nothing'] + 2).mean()))
    def figures(rows):
        mean, told, worse = np.array(rows).T
        return dict(pictures=len(rows), mean=mean.mean(), worst=mean.max(), told_apart=told.mean(), made_worse=worse.mean())
    return {name: figures(rows) for name, rows in found.items()}


def traced(folder):
    for number, path in enumerate(path for path in sorted(folder.glob('[0-9]*.npz')) if load_render(path).notes['split'] == 'validation'):
        render, g = load_render(path), np.random.default_rng([5, number])
        for new, old in (np.array(render.notes['paints'][:2]), (draw_new_paint(g), draw_old_paint(g))):
            yield *(develop(render.painted(paint.astype(np.float32)), np.ones(3)) for paint in (old, new)), render.mask


def others(folder):
    for room in json.loads((folder/'rooms.json').read_text()):
        before, truth, mask = (Image.open(folder/f"{room['name']}_{part}.png") for part in ('before', 'after', 'mask'))
        yield before.convert('RGB'), truth.convert('RGB'), np.asarray(mask.convert('L')) > 127


def seconds(megapixels, runs=5):
    "The least time of `bounce_photo` on a sample photo, enlarged"
    room = read_photo(next((sample_rooms('train')/'images').glob('00009*.png')))
    scale = (megapixels*1e6/(room.image.width*room.image.height))**.5
    size = [round(side*scale) for side in room.image.size]
    mask = Image.open(next((sample_rooms('train')/'masks').glob('00009*.png'))).convert('L').resize(size)
    photo = mask_photo(room.image.resize(size), mask)
    edge, times = read_edge(photo), []
    for _ in range(runs):
        start = time.perf_counter()
        bounce_photo(photo, Image.fromarray(photo.rgb), np.float32([.02, .03, .1]), edge)
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('rooms', type=Path)
    parser.add_argument('--other', type=Path, nargs='*', default=[])
    parser.add_argument('--log', type=Path, help='log.jsonl of the training, to keep (of two runs one after the other)')
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    result = dict(traced=measure(list(traced(args.rooms)))) | {folder.name: measure(list(others(folder))) for folder in args.other}
    result['seconds'] = {str(megapixels): seconds(megapixels) for megapixels in (1, 12)}
    def rounded(x): return {k: rounded(v) for k, v in x.items()} if isinstance(x, dict) else x if isinstance(x, int) else round(float(x), 4)
    result = rounded(result)
    print(json.dumps(result, indent=1))
    if args.log: result['log'] = [json.loads(line) for line in args.log.read_text().splitlines()]
    if args.out: args.out.write_text(json.dumps(result, indent=1) + '\n')
