"""How few steps keep FAITHFUL's colours: `python benchmarks/steps.py --bundle FOLDER [--lora FILE] [--device cuda]`.

The sample rooms have their truth: the same room traced in the new paint. Each room is repainted in that paint at every
number of steps, strength and scheduler, and compared with it: the mean CIEDE2000 over the wall's pixels, and the strength of the wall's
material. Enough are the fewest evaluations of the UNet that keep both within 5% of FAITHFUL's at 30 steps: the colours alone would let pass
a model that leaves the wall bare.
"""
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from common import bundle_folder, parse, progress, save

STEPS = 30, 20, 15, 10, 8, 6, 4, 2
STRENGTHS = .3, .5, .7
SCHEDULERS = 'dpm', 'ddim'


def read_rooms(count: int) -> list[tuple]:
    "(photo, mask, colour, truth) of sample rooms, both splits"
    from PIL import Image
    from wall_inpainting.pictures.arrays import sample_rooms
    found = []
    for split in ('validation', 'train'):
        folder = sample_rooms(split)
        for row in map(json.loads, (folder/'metadata.jsonl').read_text().splitlines()):
            if not row.get('target_file_name'): continue
            photo, mask, truth = (Image.open(folder/row[key]) for key in ('file_name', 'mask_file_name', 'target_file_name'))
            found.append((photo.convert('RGB'), mask.convert('L'), row['color'], truth.convert('RGB')))
    return found[::max(1, len(found)//count)][:count] # spread over the rooms


def measure(painter, rooms: list[tuple], settings) -> dict:
    "Mean errors over the rooms, and seconds a room"
    from wall_inpainting.pretraining.scores import material_distance
    from wall_inpainting.validation_metrics import pixel_delta_e_2000
    errors, materials, seconds = [], [], []
    for photo, mask, color, truth in rooms:
        start = time.perf_counter()
        repaint = painter(photo, mask, color, settings=settings)
        seconds.append(time.perf_counter() - start)
        errors.append(float(np.nanmean(pixel_delta_e_2000(repaint.image, truth, mask))))
        materials.append(material_distance(repaint.image, truth, mask))
    return dict(delta_e=statistics.mean(errors), worst=max(errors), material=statistics.mean(materials), seconds=statistics.median(seconds))


def choose(rows: list[dict]) -> dict:
    "Whole: FAITHFUL's own errors; passed: how many cases keep both within 5%; fewest: of these the one with the fewest evaluations, if it can be at FAITHFUL's own strength and scheduler"
    from wall_inpainting.models.settings import FAITHFUL
    curve, own = [row for row in rows if row['group'] == 'curve'], (FAITHFUL.strength, FAITHFUL.scheduler)
    whole, = [row for row in curve if (row['steps'], row['strength'], row['scheduler']) == (30, *own)]
    enough = [row for row in curve if all(row[error] <= 1.05*whole[error] for error in ('delta_e', 'material'))]
    best = min(enough, key=lambda row: (row['evaluations'], row['strength'] != own[0], row['scheduler'] != own[1], row['steps']))
    return dict(whole={error: whole[error] for error in ('delta_e', 'material')}, passed=len(enough), fewest={name: best[name] for name in ('steps', 'strength', 'scheduler')}, evaluations=best['evaluations'])


if __name__ == '__main__':
    args = parse(__doc__, ('--rooms', dict(type=int, default=9, help='each has three finishes in a row: a number that takes turns among them')), ('--lora', dict(help='a .safetensors file or its folder')))
    from wall_inpainting.models.architectures import quiet
    from wall_inpainting.models.bundles import load_bundle
    from wall_inpainting.painting.fast import FastPainter
    from wall_inpainting.inference import WallPainter
    from wall_inpainting.models.settings import FAITHFUL
    if args.quick: args.rooms, STEPS, STRENGTHS, SCHEDULERS = 1, (30, 4), (.5,), ('dpm',)
    rooms, rows = read_rooms(args.rooms), []
    with quiet():
        bundle = load_bundle(bundle_folder(args.bundle, args.device), args.device)
        painter = FastPainter(bundle, args.lora, progress=False)
        rows.append(dict(group='floor', name='recoloured, no model') | measure(WallPainter(engine=FAITHFUL.base), rooms, FAITHFUL))
        cases = [dict(steps=steps, strength=strength, scheduler=scheduler) for scheduler in SCHEDULERS for strength in STRENGTHS for steps in STEPS if int(steps*strength)]
        for case in progress(cases, 'steps'):
            rows.append(dict(group='curve', **case, evaluations=int(case['steps']*case['strength'])) | measure(painter, rooms, replace(FAITHFUL, **case)))
    save('steps', args, rows, bundle=Path(args.bundle).name, rooms=len(rooms), **choose(rows))
