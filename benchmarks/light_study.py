"""Which light network: `python benchmarks/light_study.py ROOMS WORK [--steps 800] [--out benchmarks/light_study.json]`.

Each variant of the network is trained for the same few steps on the same photos, then measured on rooms that none has
seen: parameters, milliseconds for the small photo (one thread), mean CIEDE2000 on plain walls, coats and two paints.
WORK keeps the runs, which go on if stopped.
"""
import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
from light import held_out

from wall_inpainting.light.network import AREA, LightNet, load_light_net, repaint_wall
from wall_inpainting.pretraining.light import LightTraining, train_light

VARIANTS = {
    'as shipped': {},
    'half the channels': dict(widths=(24, 32, 48, 64, 80)),
    'sees the wall alone': dict(surround=False),
    'no blurs to start from': dict(blurs=()),
    'photos of 96 x 72 px': dict(size=(96, 72)),
}


def milliseconds(net: LightNet) -> float:
    "One pass over a small photo, median of 9, one thread"
    times, shape = [], (96, 128, 3)
    assert shape[0]*shape[1] == AREA
    inputs = np.full(shape, .5, np.float32), np.ones(shape[:2], np.float32), np.zeros(shape, np.float32), np.zeros(3, np.float32)
    for _ in range(9):
        start = time.perf_counter()
        net(*inputs)
        times.append(1000*(time.perf_counter() - start))
    return statistics.median(times)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('rooms', type=Path)
    parser.add_argument('work', type=Path)
    parser.add_argument('--steps', type=int, default=800)
    parser.add_argument('--count', type=int, default=40, help='rooms to measure on, at most')
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    rows = []
    for name, changes in VARIANTS.items():
        weights = train_light(args.rooms, args.work/name.replace(' ', '_'), LightTraining(steps=args.steps, **changes))
        net = load_light_net(str(weights))
        errors = held_out(args.rooms, {'light': lambda *scene: repaint_wall(*scene, net=net)}, args.count)
        def mean(*kinds): return statistics.fmean(*zip(*((errors[kind]['light']['mean'], errors[kind]['light']['n']) for kind in kinds if kind in errors)))
        rows.append(dict(variant=name, parameters=sum(weights.size for weights in net.weights.values()), milliseconds=milliseconds(net), plain=mean('plain', 'relief'),
                         coats=mean('wallpaper', 'stained', 'posters', 'brick'), two_paints=mean('two paints')))
        print(rows[-1], flush=True)
        if args.out: args.out.write_text(json.dumps(dict(steps=args.steps, rows=rows), indent=1) + '\n')
