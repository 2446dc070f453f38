"""Whether longer training makes the small bundle better: `python benchmarks/longer_training.py PHOTOS NAME=BUNDLE... [--log FILE] [--out benchmarks/longer_training.json]`.

PHOTOS is a folder of `write_photos` with rooms that no training has seen; each BUNDLE a folder of `assemble_bundle`, or 'tiny'. Of
each: the mean squared error of the predicted noise at each of some levels, of the UNet alone, with the IP-Adapter and with the
ControlNet, from the same photos, holes and noise; walls filled from nothing; the model's own picture of sample rooms, free and
locked, from the truth by pixel. `--log` is the log.jsonl of a training whose losses go into the JSON. A sheet is written beside it.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
from light import wall_difference
from pretraining import MODEL_ONLY, room_rows
from tqdm import tqdm

from wall_inpainting.color_reference import parse_color
from wall_inpainting.inference import WallPainter
from wall_inpainting.models.bundles import load_bundle
from wall_inpainting.models.settings import LOCKED
from wall_inpainting.pictures.arrays import sample_rooms
from wall_inpainting.pictures.compositing import side_by_side
from wall_inpainting.pictures.photos import whole_file
from wall_inpainting.pretraining.photos import Photos
from wall_inpainting.pretraining.scores import fill_holes, fill_scores
from wall_inpainting.pretraining.stages import STAGES, LatentPhotos, adapter_of

LEVELS = 20, 60, 120, 200, 300, 400, 500, 600, 700, 800, 880, 940, 980, 999
DENOISERS = 'unet', 'ip_adapter', 'controlnet'


def make_stage(name, bundle):
    "A stage of training with a bundle's networks"
    models = {part: getattr(bundle, part).float() for part in ('vae', 'unet', 'controlnet', 'image_encoder', 'text_encoder')}
    return STAGES[name](models | dict(ip_adapter=adapter_of(bundle.pipeline().unet))).eval()


@torch.no_grad()
def noise_error(stage, latents, level, batches=4, size=64) -> float:
    "Mean squared error of the predicted noise at a level"
    errors = []
    for step in range(batches):
        batch, generator = latents.batch(step, size), torch.Generator().manual_seed(1000*level + step)
        noise, timesteps = torch.randn(batch['mean'].shape, generator=generator), torch.full((size,), level)
        answer = stage.answer(stage.scheduler.add_noise(batch['mean'], noise, timesteps), timesteps, stage.prompt.expand(size, -1, -1), batch, generator)
        errors.append((answer-noise).square().mean().item())
    return round(float(np.mean(errors)), 5)


def own_pictures(bundle, rooms, settings, seeds) -> dict:
    "CIEDE2000 by pixel of the model's own picture of sample rooms from the truth: mean, by seed, and the pictures of the first seed"
    painter = WallPainter(bundle, 'diffusion', progress=False)
    repaints = [[painter(image, mask, parse_color(color), settings=settings, generator=np.random.default_rng(seed)).image for image, mask, _, color, *_ in rooms] for seed in seeds]
    errors = [[wall_difference(after, truth, np.asarray(mask) > 254) for after, (_, mask, truth, *_) in zip(row, rooms)] for row in repaints]
    return dict(mean=round(float(np.mean(errors)), 2), seeds=[round(float(np.mean(row)), 2) for row in errors], pictures=repaints[0])


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('photos', type=Path)
    parser.add_argument('bundles', nargs='+', help='NAME=FOLDER')
    parser.add_argument('--log', type=Path)
    parser.add_argument('--fills', type=int, default=60)
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    photos, rooms, rows, cells = Photos(args.photos), [*room_rows(sample_rooms().parent)][::2], {}, []
    chosen = [i for i in range(len(photos)) if .05 < photos.wall[i].mean() < .9]
    chosen = chosen[::max(1, len(chosen)//args.fills)][:args.fills]
    for name, _, folder in tqdm([each.partition('=') for each in args.bundles]):
        latents = LatentPhotos(photos, load_bundle(folder).vae.float(), seed=99)
        noise = {part: [noise_error(make_stage(part, load_bundle(folder)), latents, level) for level in LEVELS] for part in DENOISERS}
        fills = fill_holes(load_bundle(folder), photos, chosen)
        own = {label: own_pictures(load_bundle(folder), rooms, settings, range(seeds)) for label, settings, seeds in (('free', MODEL_ONLY, 3), ('locked', LOCKED, 1))}
        for part in own.values():
            pictures = part.pop('pictures')
            cells += [pictures[i] for i in (0, 4, 8, 12, 16)]
        rows[name] = dict(noise=noise, fills=fill_scores(fills, photos.wall[chosen]), own=own)
        print(name, json.dumps(rows[name]), flush=True)
    result = dict(photos=len(photos), levels=LEVELS, fills=len(chosen), rooms=len(rooms), bundles=rows)
    if args.log: result['log'] = [json.loads(line) for line in args.log.read_text().splitlines()]
    if args.out:
        with whole_file(args.out) as unfinished: unfinished.write_text(json.dumps(result) + '\n')
        side_by_side(cells, ncols=10, side=150).save(args.out.with_suffix('.jpg'), quality=88)
