"""How good the small bundle is: `python benchmarks/pretraining.py PHOTOS [--bundle FOLDER] [--runs RUNS] [--out benchmarks/pretraining.json]`.

PHOTOS is a folder of `write_photos` with rooms that no training has seen, traced finely (256 paths a pixel). RUNS is the
folder that `wall_pretrain` wrote: its logs give the loss curves. The repaints are of the packaged sample rooms, or of any
folder laid out like them (`--rooms`), against the same rooms rendered in the new paint. `--views FOLDER` repaints photographs
(FOLDER/NAME.jpg or .png with FOLDER/masks/NAME.png) to look at. Sheets of pictures are written beside the JSON. (The committed
JSON also holds figures of a ControlNet that saw the estimated light; the package no longer has it.)
"""
import argparse
import json
import platform
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from light import wall_difference
from PIL import Image, ImageOps
from tqdm import tqdm

from wall_inpainting.models.bundles import load_bundle
from wall_inpainting.color_reference import parse_color
from wall_inpainting.pictures.arrays import as_mask, sample_rooms, wall_median
from wall_inpainting.pictures.compositing import side_by_side
from wall_inpainting.inference import FAITHFUL, SPEC, WallPainter
from wall_inpainting.pictures.photos import read_mask, read_photo, whole_file
from wall_inpainting.pretraining.photos import Photos
from wall_inpainting.pretraining.scores import depth_error, fill_holes, fill_scores, material_distance, vae_psnr
from wall_inpainting.validation_metrics import shading_corr

MODEL_ONLY = replace(SPEC, name='pure', frame='wall', start='noise', strength=1.) # the model's own picture, in the wall's proportions
METHODS = {'recolor': ('recolor', FAITHFUL), 'light': ('light', FAITHFUL), 'diffusion, faithful': ('diffusion', FAITHFUL), 'diffusion, pure': ('diffusion', MODEL_ONLY)}


def make_painters(bundle) -> dict:
    return {engine: WallPainter(bundle if engine == 'diffusion' else None, engine, progress=False) for engine, _ in METHODS.values()}


def milliseconds(call) -> float:
    "Median of seven calls, after one"
    times = []
    with torch.inference_mode():
        for _ in range(8):
            start = time.perf_counter()
            call()
            times.append(1000*(time.perf_counter()-start))
    return round(statistics.median(times[1:]), 1)


def parts(bundle) -> dict:
    "Parameters of each network, and milliseconds of one call on one thread at the bundle's resolution"
    side, cells = bundle.resolution, bundle.resolution//8
    prompt, cut = torch.zeros(1, 77, bundle.unet.config.cross_attention_dim), torch.zeros(1, 9, cells, cells)
    depth = torch.zeros(1, 3, *[bundle.depth_estimator.model.config.image_size]*2)
    calls = {'vae': lambda: bundle.vae.decode(bundle.vae.encode(torch.zeros(1, 3, side, side)).latent_dist.mean), 'unet': lambda: bundle.unet(cut, 1, prompt),
             'controlnet': lambda: bundle.controlnet(cut[:, :4], 1, prompt, torch.zeros(1, 3, side, side)), 'depth_estimator': lambda: bundle.depth_estimator.model(depth),
             'image_encoder': lambda: bundle.image_encoder(torch.zeros(1, 3, *[bundle.image_encoder.config.image_size]*2)), 'text_encoder': lambda: bundle.text_encoder(torch.zeros(1, 77, dtype=torch.long))}
    threads, table = torch.get_num_threads(), {}
    torch.set_num_threads(1)
    for name, call in calls.items():
        module = getattr(bundle, name)
        table[name] = dict(parameters=sum(p.numel() for p in getattr(module, 'model', module).parameters()), milliseconds=milliseconds(call))
    torch.set_num_threads(threads)
    return table


def room_rows(folder: Path):
    "Photo, mask, truth, its colour and kind, for each row of a data folder that has a truth"
    for metadata in sorted(folder.glob('*/metadata.jsonl')):
        for row in map(json.loads, metadata.read_text(encoding='utf-8').splitlines()):
            if not row.get('target_file_name'): continue
            photo = read_photo(metadata.parent/row['file_name'])
            mask, truth = read_mask(metadata.parent/row['mask_file_name'], photo), read_photo(metadata.parent/row['target_file_name']).image
            yield photo.image, mask, truth, wall_median(np.asarray(truth), as_mask(mask)), row.get('kind', 'plain'), row['file_name']


def repaints(painters: dict, folder: Path, seeds: int) -> dict:
    "Of each method: CIEDE2000 by pixel, the distance of the material, and how the light goes with the truth's, by kind of wall"
    rooms, result = list(room_rows(folder)), {}
    for name, (engine, settings) in METHODS.items():
        for image, mask, truth, color, kind, file in tqdm(rooms, name):
            for seed in range(seeds if engine == 'diffusion' else 1):
                after = painters[engine](image, mask, parse_color(color), settings=settings, generator=np.random.default_rng(seed)).image
                shading = shading_corr(truth, after, mask) # None where the truth is evenly lit
                row = [wall_difference(after, truth, np.asarray(mask) > 254), material_distance(after, truth, mask), np.nan if shading is None else shading]
                result.setdefault(name, {}).setdefault(kind, []).append(row)
    worst = {'delta_e': np.max, 'material': np.max, 'shading': np.nanmin}
    return {name: {kind: dict(n=len(rows), **{key: dict(mean=round(float(np.nanmean(values)), 3), worst=round(float(worst[key](values)), 3)) for key, values in zip(worst, zip(*rows))})
                   for kind, rows in by.items()} for name, by in result.items()}


def room_sheet(painters: dict, folder: Path, side: int = 230) -> Image.Image:
    "A room of each kind: before, formula, light, faithful, pure, truth"
    kinds, cells = set(), []
    for image, mask, truth, color, kind, file in room_rows(folder):
        if kind in kinds: continue
        kinds.add(kind)
        cells += [image, *(painters[engine](image, mask, parse_color(color), settings=settings).image for engine, settings in METHODS.values()), truth]
    return side_by_side(cells, ncols=len(METHODS)+2, side=side)


def view_sheet(painters: dict, folder: Path, names: list[str], color: str = '#7a9e7e', side: int = 300) -> Image.Image:
    "Photographs: before, light, faithful, pure"
    cells, shown = [], [method for name, method in METHODS.items() if name != 'recolor']
    for name in names:
        photo = read_photo(next(path for path in sorted(folder.iterdir()) if path.stem == name and path.is_file()))
        mask = read_mask(folder/'masks'/f'{name}.png', photo)
        repainted = [photo.image, *(painters[engine](photo.image, mask, color, settings=settings).image for engine, settings in shown)]
        cells += [ImageOps.fit(picture, (side, side*3//4), Image.Resampling.LANCZOS) for picture in repainted] # all of one shape
    return side_by_side(cells, ncols=len(shown)+1)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('photos', type=Path)
    parser.add_argument('--bundle', default='tiny')
    parser.add_argument('--runs', type=Path)
    parser.add_argument('--rooms', type=Path, default=sample_rooms().parent)
    parser.add_argument('--views', type=Path)
    parser.add_argument('--names', nargs='+', default=['kids_wallpaper', 'striped_bedroom', 'clinic_grey', 'lyth_beds'], help='photographs of --views')
    parser.add_argument('--fills', type=int, default=60, help='photos whose walls are filled')
    parser.add_argument('--seeds', type=int, default=2)
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    photos, bundle = Photos(args.photos), load_bundle(args.bundle)
    painters = make_painters(bundle)
    walls = [i for i in range(len(photos)) if .05 < photos.wall[i].mean() < .9][:args.fills]
    result = dict(machine=f'{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}', photos=len(photos), parts=parts(bundle),
                  vae=vae_psnr(bundle.vae, photos), depth=depth_error(bundle.depth_estimator.model, photos),
                  fills=dict(n=len(walls)) | fill_scores(fill_holes(bundle, photos, walls), photos.wall[walls]), rooms=repaints(painters, args.rooms, args.seeds))
    if args.runs:
        result['training'] = {path.parent.name: json.loads(path.read_text())['settings'] | {'log': [json.loads(line) for line in (path.parent/'log.jsonl').read_text().splitlines()][3::4]}
                              for path in sorted(args.runs.glob('*/training.json'))}
    print(json.dumps({key: value for key, value in result.items() if key != 'training'}, indent=1))
    if args.out:
        with whole_file(args.out) as unfinished: unfinished.write_text(json.dumps(result, indent=1) + '\n')
        room_sheet(painters, args.rooms).save(args.out.with_name(f'{args.out.stem}_rooms.jpg'), quality=88)
        if args.views: view_sheet(painters, args.views, args.names).save(args.out.with_name(f'{args.out.stem}_photos.jpg'), quality=85)
