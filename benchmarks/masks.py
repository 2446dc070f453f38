"""How many clicks a wall's mask takes: `python benchmarks/masks.py FOLDER [FOLDER ...] [--weights FILE] [--log LOG] [--out benchmarks/masks.json]`.

A folder holds photos and masks/ with one PNG of the same name for each, or NAME_before.png beside NAME_mask.png. A robot
clicks in the middle of the largest mistake (`robot_click`), with the answer at the photo's full size, and the intersection
over union is measured after each click. Methods: the network alone, enlarged; a random walker on colours alone, which walks
easily between pixels of like chromaticity; the network's answer as what the walker expects before it walks; and what
`find_wall` makes of the network's answer.
"""
import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import splu
from tqdm import tqdm

from wall_inpainting.masks.find import WallFinder
from wall_inpainting.masks.network import load_mask_net, robot_click
from wall_inpainting.pictures.arrays import LIGHT_OF_CODE

CLICKS = 0, 1, 2, 3, 5, 7, 10
SIDE = 224  # px of the longer side in which the walker walks


def read_folder(folder: Path) -> dict[str, tuple[Image.Image, np.ndarray]]:
    "Photos and masks by name"
    pairs = {path.stem: (path, mask) for path in sorted(folder.glob('*.*g')) if (mask := folder/'masks'/f'{path.stem}.png').is_file()}
    pairs |= {path.stem.removesuffix('_before'): (path, mask) for path in sorted(folder.glob('*_before.png')) if (mask := folder/path.name.replace('_before', '_mask')).is_file()}
    if not pairs: raise SystemExit(f'{folder} holds no photos with masks: NAME.jpg and masks/NAME.png, or NAME_before.png and NAME_mask.png')
    return {name: (Image.open(photo).convert('RGB'), np.asarray(Image.open(mask).convert('L')) > 127) for name, (photo, mask) in pairs.items()}


def walker(photo: Image.Image) -> Callable:
    "A random walker (Grady 2005) on the photo's colours: called with what is expected, how much it weighs, and clicks"
    scale = SIDE/max(photo.size)
    w, h = (max(8, round(n*scale)) for n in photo.size)
    light = np.maximum(LIGHT_OF_CODE[np.asarray(photo.resize((w, h), Image.BOX))], 2e-3)
    features = np.dstack([.3*np.log(light.mean(-1)), np.log(light[..., 0]/light[..., 1]), np.log(light[..., 2]/light[..., 1])])  # brightness counts less: shadows change it
    index, rows, columns, weights = np.arange(h*w).reshape(h, w), [], [], []
    for a, b in (((slice(None), slice(1, None)), (slice(None), slice(-1))), ((slice(1, None), slice(None)), (slice(-1), slice(None)))):
        rows.append(index[a].ravel()), columns.append(index[b].ravel())
        weights.append((np.exp(-80*((features[a]-features[b])**2).sum(-1)) + 1e-4).ravel())
    rows, columns, weights = map(np.concatenate, (rows, columns, weights))
    near = coo_array((weights, (rows, columns)), (h*w, h*w)).tocsr()
    near = near + near.T
    laplacian = diags_array(near.sum(0)) - near

    def walk(expected: np.ndarray | None, weight: float, clicks: list) -> np.ndarray:
        trust, aim = np.full((h, w), weight), np.full((h, w), .5) if expected is None else cv2.resize(expected, (w, h), interpolation=cv2.INTER_AREA).astype(float)
        for x, y, positive in clicks:
            spot = cv2.circle(np.zeros((h, w), np.uint8), (int(x*scale), int(y*scale)), 2, 1, -1) > 0
            trust[spot], aim[spot] = 10, float(positive)
        return splu((laplacian + diags_array(trust.ravel())).tocsc()).solve((trust*aim).ravel()).reshape(h, w).astype(np.float32)
    return walk


class Network:
    "The network alone"
    def __init__(self, net, photo): self.net, self.look, self.found = net, net.look(photo), None

    def __call__(self, clicks):
        self.found = self.net.find(self.look, clicks, self.found)
        return self.found


class Walked(Network):
    "The network, then the walker"
    def __init__(self, net, photo):
        super().__init__(net, photo)
        self.walk = walker(photo)

    def __call__(self, clicks): return self.walk(super().__call__(clicks), .03, clicks)


class Colors:
    "The walker on colours alone"
    def __init__(self, photo): self.walk = walker(photo)

    def __call__(self, clicks): return self.walk(None, 1e-6, clicks)


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
        if not (click := robot_click(found, truth)): overlaps += [overlaps[-1]]*(n+1-len(overlaps))
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
    net = load_mask_net(args.weights)
    methods = {'network': partial(Network, net), 'walker': Colors, 'network and walker': partial(Walked, net), 'find_wall': Found}
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
