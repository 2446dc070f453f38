"""The latent lock, each of its choices by itself, and what strength it allows: `python benchmarks/lock.py ROOMS [--photos 24] [--out benchmarks/lock.json]`.

ROOMS is a folder of `wall_rooms ROOMS` with a validation split; `bash benchmarks/gap.sh FOLDER` makes one in FOLDER/rooms. No
choice was made on its rooms: the lock's values were chosen on the sample rooms of the package. First the model's own picture, with
the small bundle and no LoRA, three seeds: ΔE00 of the wall's mean from its reference, its worst, by seed, and by pixel from the
truth. Then what of the model's work a recipe for photos should take: ΔE00 by pixel, what is left of a pattern, and how far the strength of the wall's fine texture is from the truth's, by
the kind of the old wall, at three strengths, with and without the lock. Last what the lock costs a step, and its start a repaint.
"""
import argparse
import json
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter
from unittest import mock

import numpy as np
import torch
from tqdm import tqdm

from wall_inpainting.gap.runs import held_out
from wall_inpainting.inference import WallPainter
from wall_inpainting.models import lock
from wall_inpainting.models.bundles import load_bundle
from wall_inpainting.models.settings import FAITHFUL, LOCKED
from wall_inpainting.pretraining.scores import material_distance
from wall_inpainting.validation.runs import validate_sample

FREE = dict(lock=0., start='noise')
ABLATION = {'pure noise': FREE, 'start alone': dict(lock=0.), 'lock 0.25': dict(lock=.25), 'lock 0.5': dict(lock=.5), 'lock 0.8': {}, 'lock 1': dict(lock=1.),
            'band 1': dict(lock_band=1), 'band 3': dict(lock_band=3), 'band 9': dict(lock_band=9), 'trailing': dict(spacing='trailing'),
            'DDIM': dict(scheduler='ddim'), 'guidance 1': dict(guidance=1.), 'guidance 2.5': dict(guidance=2.5), '4 steps': dict(steps=4),
            '30 steps': dict(steps=30)}
STRENGTHS = {f'strength {strength:g}{", locked" if lock else ""}{", everywhere" if material != FAITHFUL.material else ""}': dict(strength=strength, lock=lock, material=material) | (dict(start='noise') if strength == 1 and not lock else {})
             for material in ('covered', 'everywhere') for lock in (0., .8) for strength in (.5, .75, 1.)}


def paint(painter, samples, settings, seed):
    "Repaint and measure photos"
    done = [validate_sample(sample, lambda image, mask, color: painter(image, mask, color, settings=settings, generator=np.random.default_rng(seed))) for sample in samples]
    if failed := [sample for sample in done if sample.error]: raise RuntimeError(f'{failed[0].name}: {failed[0].error}')
    return done


def column(samples, name): return np.array([np.nan if sample.metrics[name] is None else sample.metrics[name] for sample in samples], float)


def ablate(painter, samples, seeds=(0, 1, 2)):
    "A row for each variant: the model's own picture"
    rows = []
    for name, changes in tqdm(ABLATION.items(), 'variants'):
        runs = [paint(painter, samples, replace(LOCKED, **changes), seed) for seed in seeds]
        errors, pixels = (np.stack([column(run, metric) for run in runs]) for metric in ('delta_e_2000', 'pixel_delta_e_2000'))
        rows.append(dict(variant=name, changes=changes, photos=len(samples), mean=errors.mean(), worst=errors.max(), seeds=errors.mean(1).tolist(), pixel=pixels.mean(),
                         shading=np.nanmean([column(run, 'shading_corr') for run in runs]), pattern=np.nanmean([column(run, 'pattern_left') for run in runs])))
        print(rows[-1], flush=True)
    return rows


def by_strength(painter, samples, kinds):
    "A row for each recipe and kind of wall: what a photo's repaint gets of the model"
    rows, painters = [], {'light network': WallPainter()} | dict.fromkeys(STRENGTHS, painter)
    for name, each in tqdm(painters.items(), 'strengths'):
        done = paint(each, samples, replace(FAITHFUL, **STRENGTHS.get(name, {})), 0)
        distance = np.array([material_distance(sample.output, sample.truth, sample.mask) for sample in done])
        for kind in sorted(set(kinds)):
            of = np.array(kinds) == kind
            rows.append(dict(recipe=name, kind=kind, photos=int(of.sum()), material=distance[of].mean()) | {metric: float(np.nanmean(column(done, metric)[of])) for metric in ('delta_e_2000', 'pixel_delta_e_2000', 'pattern_left')})
    return rows


def cost(painter, sample, runs):
    "Milliseconds of a step, of the lock in it, and once of the start; medians, the two being timed inside the same repaints"
    seconds, start, held = {'step': [], 'lock': [], 'start': []}, lock.lock_call, lock.LatentLock.__call__
    def timed(name, function):
        def call(*args):
            before = perf_counter()
            answer = function(*args)
            seconds[name].append(perf_counter() - before)
            return answer
        return call
    with mock.patch.object(lock, 'lock_call', timed('start', start)), mock.patch.object(lock.LatentLock, '__call__', timed('lock', held)):
        for _ in range(runs): seconds['step'].append(painter(sample.source, sample.mask, sample.color, settings=replace(LOCKED, lock=1.)).timings['diffusion']/LOCKED.steps)
    return {name: 1000*median(each) for name, each in seconds.items()}


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('rooms', type=Path)
    parser.add_argument('--photos', type=int, default=24)
    parser.add_argument('--runs', type=int, default=15, help='repaints for the cost of a step')
    parser.add_argument('--bundle', default='tiny')
    parser.add_argument('--only', nargs='*', default=['ablation', 'strengths', 'cost'])
    parser.add_argument('--out', type=Path, default=Path(__file__).parent/'lock.json')
    args = parser.parse_args()
    torch.set_num_threads(1)
    bundle = load_bundle(args.bundle, 'cpu')
    painter = WallPainter(bundle, progress=False)
    samples = held_out(args.rooms, bundle.resolution, args.photos)
    rows = [json.loads(line) for line in (args.rooms/'validation'/'metadata.jsonl').read_text().splitlines()]
    kinds = [rows[sample.index]['kind'] for sample in samples]
    found = json.loads(args.out.read_text()) if args.out.is_file() else {}
    if 'ablation' in args.only: found['ablation'] = ablate(painter, samples)
    if 'strengths' in args.only: found['strengths'] = by_strength(painter, samples, kinds)
    if 'cost' in args.only: found['cost'] = cost(painter, samples[0], args.runs)
    def rounded(x): return {k: rounded(v) for k, v in x.items()} if isinstance(x, dict) else [rounded(v) for v in x] if isinstance(x, list) else round(float(x), 4) if isinstance(x, (float, np.floating)) else x
    args.out.write_text(json.dumps(rounded(found), indent=1) + '\n')
    for row in found.get('strengths', []) + [found.get('cost')]: print(row)
