"""How cost grows: `python benchmarks/growth.py [--device cuda --bundle sd15-random]`.

With resolution, with the colours of a palette, with pictures in a batch, with processes that share a machine (a CPU's two), and with
the size of a data set: bytes, files and seconds of a training cache of 10 and 1,000 samples, and of 1,000,000 by
simulation: real shards with real headers over nothing, and the rows of few photos many times over.
"""
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np

from common import bundle_folder, forget_peak, make_photo, parse, peak_memory, progress, save, speed_row, take_turns


def square_call(side: int, steps: int) -> dict:
    "Arguments for a picture of that size"
    import torch
    from wall_inpainting.color_reference import create_solid_color_reference
    from wall_inpainting.models.settings import SPEC, pipeline_arguments
    photo, mask = (picture.resize((side, side)) for picture in make_photo(.3))
    reference = create_solid_color_reference([122, 158, 126], np.random.default_rng(0), size=(224, 224))
    return pipeline_arguments(replace(SPEC, steps=steps), photo, mask, photo.convert('L'), reference, torch.Generator().manual_seed(0))


def resolution_rows(pipe, resolution: int, args) -> list[dict]:
    "Half, three quarters, once and twice the bundle's own"
    sides = [side for side in (resolution//2, resolution*3//4, resolution, resolution*3//2, resolution*2) if side % 64 == 0]
    seconds = take_turns({side: lambda side=side: pipe(**square_call(side, args.denoising_steps)) for side in sides}, args.runs, args.device)
    return [speed_row('resolution', side, seconds, resolution) for side in seconds]


def batch_rows(pipe, resolution: int, args) -> list[dict]:
    "Pictures at once; seconds are those of one of them"
    from wall_inpainting.painting.fast import generate_together
    counts = (1, 2, 4, 8)[:2 if args.quick else None]
    calls = square_call(resolution, args.denoising_steps)
    seconds = take_turns({count: lambda count=count: generate_together(pipe, [calls]*count) for count in counts}, args.runs, args.device)
    seconds, memory = {count: [each/count for each in taken] for count, taken in seconds.items()}, {}
    for count in seconds if args.device != 'cpu' else (): # a CPU's allocator keeps what it had, so that a peak would need a process of its own
        forget_peak(args.device)
        generate_together(pipe, [calls]*count)
        memory[count] = peak_memory(device=args.device)
    return [speed_row('batch', count, seconds, 1, watch=True, memory_mb=memory.get(count)) for count in seconds]


def palette_rows(painter, args) -> list[dict]:
    "A palette of 1 to 16 colours with either engine; seconds are those of one of them"
    from wall_inpainting.inference import WallPainter
    from wall_inpainting.models.settings import FAITHFUL
    photo, mask = make_photo(.3, corners=False)
    generator, recipe, light = np.random.default_rng(0), replace(FAITHFUL, steps=args.denoising_steps), WallPainter(progress=False)
    def colors(count): return generator.integers(30, 240, (count, 3)).tolist()
    functions = {(name, count): lambda which=which, count=count: which.palette(photo, mask, colors(count), recipe)
                 for name, which in (('diffusion', painter), ('light', light)) for count in (1, 2, 4, 8, 16)[:2 if args.quick else None]}
    def one_thread():
        with mock.patch('wall_inpainting.inference._threads', lambda image: 1): light.palette(photo, mask, colors(8), recipe)
    functions |= {('light in one thread', 8): one_thread, ('light, colour by colour', 8): lambda: [light(photo, mask, color) for color in colors(8)]}
    seconds = {name: [each/name[1] for each in taken] for name, taken in take_turns(functions, args.runs, args.device).items()}
    named = {f'{name}, {count}': taken for (name, count), taken in seconds.items()}
    return [speed_row('colors', f'{name}, {count}', named, f"{name.split()[0].strip(',')}, 1", watch=name in ('diffusion', 'light'), colors=count) for name, count in seconds]


def process_rows(args) -> list[dict]:
    "One process and two that run at once, each on one thread: repaints a second of all"
    def start(): return subprocess.Popen([sys.executable, *sys.argv, '--repaint'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | dict(OMP_NUM_THREADS='1'))
    workers = [start() for _ in range(2)]
    for worker in workers: worker.stdout.readline() # it is ready
    def round_of(crew):
        for worker in crew: worker.stdin.write('\n'); worker.stdin.flush()
        for worker in crew: worker.stdout.readline()
    try: seconds = take_turns({count: lambda count=count: round_of(workers[:count]) for count in (1, 2)}, args.runs)
    finally:
        for worker in workers: worker.stdin.close(); worker.wait()
    return [speed_row('processes', count, {key: [each/key for each in taken] for key, taken in seconds.items()}, 1) for count in seconds] # a repaint's share


def repaint_on_demand():
    "The process of `process_rows`: a repaint of a megapixel for each line that arrives"
    import cv2
    import torch
    from wall_inpainting.light.network import repaint_wall
    cv2.setNumThreads(1); torch.set_num_threads(1)
    photo, mask = make_photo(1)
    repaint_wall(photo, mask, '#f3ead7')
    print('ready', flush=True)
    for _ in sys.stdin:
        repaint_wall(photo, mask, '#f3ead7')
        print('done', flush=True)


def folder_size(folder: Path) -> dict:
    files = [path for path in folder.rglob('*') if path.is_file()]
    return dict(files=len(files), bytes=sum(path.stat().st_size for path in files))


def cache_row(bundle, count: int, folder: Path) -> dict:
    "A real cache of that many samples, of ALIGNED: to build, and to open again"
    from wall_inpainting.pictures.arrays import sample_rooms
    from wall_inpainting.dataset import WallInpaintingDataset
    from wall_inpainting.lora.cache import build_cache
    from wall_inpainting.training import ALIGNED
    source = sample_rooms('train')
    lines = (source/'metadata.jsonl').read_text().splitlines()
    (folder/'train').mkdir(parents=True)
    for name in ('images', 'masks', 'depth'): (folder/'train'/name).symlink_to(source/name)
    (folder/'train'/'metadata.jsonl').write_text('\n'.join(line for line, _ in zip(itertools.cycle(lines), range(count))) + '\n')
    def open_dataset(): return WallInpaintingDataset(folder, check='none', resolution=bundle.resolution, **ALIGNED.dataset_options)
    def open_cache(): return build_cache(open_dataset(), bundle, ALIGNED, folder/'cache', progress=False)
    start = time.perf_counter(); cache = open_cache(); built = time.perf_counter() - start
    start = time.perf_counter(); open_cache(); opened = time.perf_counter() - start
    return dict(group='cache', name=count, build_s=built, open_s=opened, row_bytes=cache.row_bytes) | folder_size(folder/'cache')


def simulated_row(like: dict, count: int, folder: Path, shard: int = 64) -> dict:
    "What opening a cache of `count` samples takes: its rows' names, and the headers of its shards, whose data are holes in files"
    from wall_inpainting.pictures.arrays import sample_rooms
    from wall_inpainting.pictures.imagefolder import read_metadata
    from wall_inpainting.lora.cache import FileHashes, find_rows, key_name, row_names
    rows = read_metadata(sample_rooms('train').parent, 'train')
    dataset = SimpleNamespace(rows=[rows[i % len(rows)] for i in range(count)])
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter(); names, = row_names(dataset, 1, FileHashes(folder/'hashes.json')); named = time.perf_counter() - start
    for first in range(0, count, shard):
        part = names[first:first+shard]
        data = len(part)*like['row_bytes']
        head = json.dumps(dict(__metadata__=dict(rows=json.dumps(part)), rows=dict(dtype='U8', shape=[data], data_offsets=[0, data]))).encode()
        head += b' '*(-len(head) % 8)
        with open(folder/f'{key_name(part)}.safetensors', 'wb') as file:
            file.write(len(head).to_bytes(8, 'little') + head)
            file.truncate(8 + len(head) + data) # a hole: no disk is needed
    start = time.perf_counter(); found = find_rows(folder); opened = time.perf_counter() - start
    assert len(found) == count
    return dict(group='cache', name=count, simulated=True, build_s=like['build_s']/like['name']*count, names_s=named, open_s=named+opened, row_bytes=like['row_bytes']) | folder_size(folder)


def cache_rows(bundle, args) -> list[dict]:
    counts, simulated = ((10, 1000), 1_000_000) if not args.quick else ((10,), 1000)
    with tempfile.TemporaryDirectory() as folder:
        rows = [cache_row(bundle, count, Path(folder)/str(count)) for count in progress(counts, 'cache')]
        return rows + [simulated_row(rows[-1], count, Path(folder)/f'as if {count}') for count in progress([simulated], 'simulated cache')]


if __name__ == '__main__':
    args = parse(__doc__, ('--denoising-steps', dict(type=int, default=30)), ('--only', dict(choices=['resolution', 'batch', 'colors', 'processes', 'cache'], nargs='*')),
                 ('--repaint', dict(action='store_true')))
    if args.repaint: repaint_on_demand(); sys.exit()
    if args.only and not (args.out or args.quick): sys.exit('--only measures a part, which is not to replace the file of all: say --out')
    if args.quick: args.denoising_steps = 3
    from wall_inpainting.models.architectures import quiet
    from wall_inpainting.models.bundles import load_bundle
    from wall_inpainting.painting.fast import FastPainter, optimize
    with quiet():
        bundle = load_bundle(bundle_folder(args.bundle, args.device), args.device)
        painter, pipe = FastPainter(bundle, progress=False, batch=16), optimize(bundle.pipeline())
        parts = dict(resolution=lambda: resolution_rows(pipe, bundle.resolution, args), batch=lambda: batch_rows(pipe, bundle.resolution, args),
                     colors=lambda: palette_rows(painter, args), processes=lambda: process_rows(args) if args.device == 'cpu' else [], cache=lambda: cache_rows(bundle, args))
        rows = [row for name in progress(parts, 'growth') if not args.only or name in args.only for row in parts[name]()]
    save('growth', args, rows, bundle=Path(args.bundle).name, resolution=bundle.resolution, steps=args.denoising_steps)
