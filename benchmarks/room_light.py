"""What a paint looks like in a room, told by the paint alone: `python benchmarks/room_light.py ROOMS [--other FOLDER …] [--out benchmarks/room_light.json]`.

ROOMS is a folder of `wall_rooms ROOMS --lights` with rooms for validation, which the network has not seen. Each is repainted from a
plain paint and from its two coats in a paint of which only the reflectance is told, and compared with the same room traced in it:
the mean CIEDE2000 over the wall, at half size, as grain is nobody's error. FOLDERs hold rooms of another making, as
NNN_before.png, NNN_after.png, NNN_mask.png and rooms.json with `name`, `paint_before` and `paint_after`. The methods: the paint
itself ('exact'), shades of grey, which is what one would otherwise write, the network's guess ('room'), and the light told by the
old paint ('was'). `within` is how often the guessed level is off by no more than its spread; two thirds would be honest.
"""
import argparse
import json
import statistics
from pathlib import Path

import numpy as np
from light import wall_difference
from PIL import Image
from tqdm import tqdm

from wall_inpainting.color_reference import parse_color, recolor_photo
from wall_inpainting.light.formula import blackbody
from wall_inpainting.light.network import light_shading
from wall_inpainting.light.room import guess_light, light_of_paint, light_paint
from wall_inpainting.pictures.arrays import LIGHT_OF_CODE, LUMINANCE, mask_photo, srgb_to_linear
from wall_inpainting.rooms.folder import load_render
from wall_inpainting.rooms.tracing import develop


def shades_of_grey(photo, paint):
    "The paint under the 6th-power mean of what is not wall (Finlayson & Trezzi 2004), moved to the colour of the nearest lamp, at the level of what is brightest"
    rgb, mask = photo.rgb, photo.mask
    usable = (rgb.max(-1) < 248) & (rgb.max(-1) > 25)
    seen = usable & (mask == 0)
    if seen.sum() < 100: seen = usable if usable.sum() >= 100 else mask >= 0
    light = LIGHT_OF_CODE[rgb[seen]].astype(float)
    grey = np.maximum((light**6).mean(0)**(1/6), 1e-4)
    lamps = blackbody(1e6/np.linspace(1e6/2000, 1e6/12000, 100))/blackbody(6500)
    lamps /= (lamps@LUMINANCE)[:, None]
    def ratios(color): return np.log(np.maximum(color[..., [0, 2]], 1e-3)/color[..., [1]])
    color = lamps[((ratios(lamps) - ratios(grey))**2).sum(-1).argmin()]
    level = max(np.percentile(light@LUMINANCE, 97), np.median(LIGHT_OF_CODE[rgb[mask >= .5]], 0)@LUMINANCE)/.85
    target = paint*color*np.clip(level, .2, 1)
    return target*min(1, .95/max(target.max(), 1e-6))


def targets(photo, old, paint):
    "What each method takes the new wall's colour for, in linear light, and the guess itself"
    guess = guess_light(photo)
    found = {'exact': paint, 'shades of grey': shades_of_grey(photo, paint), 'room': light_paint(guess, paint)}
    if old is not None: found['was'] = light_paint(light_of_paint(photo, old), paint)
    return found, guess


def measure(cases):
    "Errors by kind and method, and how honest the spread is"
    errors, off = {}, []
    for kind, before, mask, old, paint, truth in tqdm(cases):
        photo = mask_photo(before, mask.astype(np.float32))
        found, guess = targets(photo, old, paint)
        true = LIGHT_OF_CODE[np.median(np.asarray(truth)[mask], 0).astype(int)]
        if true.max() < .9: off.append(abs(np.log((found['room']@LUMINANCE)/(true@LUMINANCE)))/guess.spread)
        for name, target in found.items():
            target = np.maximum(target, 1e-4).astype(np.float32)
            repainted = recolor_photo(photo, target, light_shading(photo, target)[0])
            errors.setdefault(kind, {}).setdefault(name, []).append(wall_difference(repainted, truth, mask))
    summary = {kind: {name: dict(n=len(values), mean=statistics.mean(values), worst=max(values)) for name, values in by.items()} for kind, by in errors.items()}
    return dict(errors=summary, within=float(np.mean(np.array(off) < 1)), spread=float(statistics.median(off)))


def traced(folder, count):
    for path in [path for path in sorted(folder.glob('[0-9]*.npz')) if load_render(path).notes['split'] == 'validation'][:count]:
        render = load_render(path)
        paints = [np.array(paint) for paint in render.notes['paints']]
        truth = develop(render.painted(paints[0]), np.ones(3))
        for kind, before, old in [('plain', render.painted(paints[1]), paints[1]), *((kind, coat, None) for kind, coat in zip(render.notes['kinds'], render.coats))]:
            yield kind, develop(before, np.ones(3)), render.mask, old, paints[0], truth


def others(folder):
    def linear(color): return srgb_to_linear(parse_color(color)/255)
    for room in json.loads((folder/'rooms.json').read_text()):
        before, truth, mask = (Image.open(folder/f"{room['name']}_{part}.png") for part in ('before', 'after', 'mask'))
        yield folder.name, before.convert('RGB'), np.asarray(mask.convert('L')) > 127, linear(room['paint_before']), linear(room['paint_after']), truth.convert('RGB')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('rooms', type=Path)
    parser.add_argument('--other', type=Path, nargs='*', default=[])
    parser.add_argument('--count', type=int, default=60, help='rooms at most')
    parser.add_argument('--log', type=Path, help='log.jsonl of the training, to keep')
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    result = dict(traced=measure(list(traced(args.rooms, args.count))))
    if args.other: result['another making'] = measure([case for folder in args.other for case in others(folder)])
    print(json.dumps(result, indent=1))
    if args.log: result['log'] = [json.loads(line) for line in args.log.read_text().splitlines()]
    if args.out: args.out.write_text(json.dumps(result, indent=1) + '\n')
