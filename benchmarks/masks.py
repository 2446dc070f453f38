"""How many clicks a wall's mask takes: `python benchmarks/masks.py FOLDER [FOLDER ...] [--weights FILE] [--log LOG] [--out benchmarks/masks.json]`.

A folder holds photos and masks/ with one PNG of the same name for each, or NAME_before.png beside NAME_mask.png. A robot
clicks in the middle of the largest mistake (`robot_click`), with the answer at the photo's full size, and the intersection
over union is measured after each click. Methods: the network alone, enlarged; the random walk over the colours alone; both,
which is what `MaskNet.find` gives; and what `find_wall` makes of that at full size.
"""
import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from wall_inpainting.masks import network
from wall_inpainting.masks.find import WallFinder

CLICKS = 0, 1, 2, 3, 5, 7, 10


def read_folder(folder: Path) -> dict[str, tuple[Image.Image, np.ndarray]]:
    "Photos and masks by name"
    pairs = {path.stem: (path, mask) for path in sorted(folder.glob('*.*g')) if (mask := folder/'masks'/f'{path.stem}.png').is_file()}
    pairs |= {path.stem.removesuffix('_before'): (path, mask) for path in sorted(folder.glob('*_before.png')) if (mask := folder/path.name.replace('_before', '_mask')).is_file()}
    if not pairs: raise SystemExit(f'{folder} holds no photos with masks: NAME.jpg and masks/NAME.png, or NAME_before.png and NAME_mask.png')
    return {name: (Image.open(photo).convert('RGB'), np.asarray(Image.open(mask).convert('L')) > 127) for name, (photo, mask) in pairs.items()}


class Network:
    "The network and the random walk after it, or the network alone"
    def __init__(self, net, walk, photo): self.net, self.walk, self.look, self.found = net, walk, net.look(photo), None

    def __call__(self, clicks):
        with nullcontext() if self.walk else patch.object(network, 'random_walk', lambda joints, expected, clicks: expected):
            self.found = self.net.find(self.look, clicks, self.found)
        return self.found


class Walk:
    "The random walk alone, at the size of the network's answers: nothing is expected"
    def __init__(self, photo):
        self.scale = 224/max(photo.size)
        small = np.asarray(photo.resize([round(n*self.scale) for n in photo.size], Image.BOX))
        self.joints, self.expected = network.join_pixels(small), np.full(small.shape[:2], .5, np.float32)

    def __call__(self, clicks): return network.random_walk(self.joints, self.expected, [(x*self.scale, y*self.scale, positive) for x, y, positive in clicks])


class Found:
    "`find_wall`, click after click"
    def __init__(self, photo): self.finder = WallFinder(photo)

    def __call__(self, clicks): return self.finder.find(*([click[:2] for click in clicks if click[2] is kind] for kind in (True, False)))


def click_through(method: Callable, photo: Image.Image, truth: np.ndarray, n: int = max(CLICKS)) -> dict:
    "The intersection over union after 0 to n clicks, and seconds"
    start = time.perf_counter()
    answer, clicks, overlaps, seconds = method(photo), [], [], []
    look = time.perf_counter() - start
    while len(overlaps) <= n:
        start = time.perf_counter()
        found = cv2.resize(np.asarray(answer(clicks), np.float32), photo.size) > .5
        seconds.append(time.perf_counter() - start)
        overlaps.append(float((found & truth).sum()/(found | truth).sum()))
        if not (click := network.robot_click(found, truth)): overlaps += [overlaps[-1]]*(n+1-len(overlaps))
        else: clicks = [*clicks, click]
    return dict(iou={str(k): round(overlaps[k], 4) for k in CLICKS}, look=round(look, 3), click=round(statistics.median(seconds), 3))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folders', type=Path, nargs='+')
    parser.add_argument('--weights', help='default: those that ship')
    parser.add_argument('--methods', nargs='*', help='default: all')
    parser.add_argument('--log', type=Path, help='log.jsonl of the training, to keep')
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    net = network.load_mask_net(args.weights)
    methods = {'network': partial(Network, net, False), 'walk': Walk, 'network and walk': partial(Network, net, True), 'find_wall': Found}
    result = dict(machine=f'{platform.machine()}, Python {platform.python_version()}', folders={})
    for folder in args.folders:
        photos = read_folder(folder)
        by = result['folders'][folder.name] = {}
        for name, method in methods.items():
            if args.methods and name not in args.methods: continue
            rows = {title: click_through(method, *photo) for title, photo in tqdm(photos.items(), f'{folder.name}: {name}')}
            mean = {str(k): round(statistics.mean(row['iou'][str(k)] for row in rows.values()), 3) for k in CLICKS}
            by[name] = dict(mean=mean, look=statistics.median(row['look'] for row in rows.values()), click=statistics.median(row['click'] for row in rows.values()), photos=rows)
            for title, row in rows.items(): print(f'{title:20}', *(f"{row['iou'][str(k)]:.2f}" for k in CLICKS))
            print(f'{folder.name}, {name}:', mean, f"{by[name]['look']:.2f} s a photo, {by[name]['click']:.2f} s a click", flush=True)
    if args.log: result['log'] = [json.loads(line) for line in args.log.read_text().splitlines()]
    if args.out: args.out.write_text(json.dumps(result, indent=1) + '\n')
