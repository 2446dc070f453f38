"""What measures outside the diffusion pipeline are worth, each beside its absence: `python benchmarks/measures.py`.

Pairs take turns in one process, each giving the same as the other within rounding: the strips in which the light network's
small copy of a wall is made and a model's material laid on a photo, the rounds in which `recolor` anchors a paint,
`WallPainter`'s one encoding of a depth map, references and tensors made in place. The start of `wall_repaint --engine
diffusion` with Python's garbage collector at work is measured in processes of their own.
"""
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from common import make_photo, parse, progress, save, speed_row, take_turns
from PIL import Image

SAGE = '#7a9e7e'
START = '''
import sys
from contextlib import nullcontext
from wall_inpainting.painting import command_line
from wall_inpainting import inference
if sys.argv[1] == 'collecting': inference.no_garbage_collection = command_line.no_garbage_collection = nullcontext
command_line.wall_repaint(color='#7a9e7e', engine='diffusion', out=sys.argv[2], overwrite=True)
'''


def anchor_pair(megapixels: float):
    "The rounds end where the paint stands still; without: eight of them"
    from wall_inpainting import color_reference
    photo, mask = make_photo(megapixels)
    class Never: # compares as different
        def __getattr__(self, name): return getattr(np, name)
        def array_equal(self, a, b): return False
    def eight():
        with patch.object(color_reference, 'np', Never()): return color_reference.recolor(photo, mask, SAGE)
    return lambda: color_reference.recolor(photo, mask, SAGE), eight


def strips_pair(megapixels: float):
    "The light network's small copy of the wall, made in strips; without: from the products of all pixels at once"
    import cv2
    from wall_inpainting.light import network as light
    photo, mask = make_photo(megapixels)
    def at_once(values, mask, size):
        cover, linear = cv2.resize(mask, size, interpolation=cv2.INTER_AREA), cv2.LUT(values, light.LIGHT_OF_CODE) if values.dtype == np.uint8 else values
        return cover, cv2.resize(cv2.multiply(linear, cv2.merge([mask]*3)), size, interpolation=cv2.INTER_AREA)/np.maximum(cover, 1e-3)[..., None]
    def without():
        with patch.object(light, '_mean_on_wall', at_once): return light.repaint_wall(photo, mask, SAGE)
    return lambda: light.repaint_wall(photo, mask, SAGE), without


def material_pair(megapixels: float, side: int = 512):
    "Strips, tables of codes and one exponential for grey changes; without: the same formula over whole arrays"
    from wall_inpainting.color_reference import parse_color, recolor
    from wall_inpainting.pictures.arrays import as_mask, linear_to_srgb, srgb_to_linear, wall_median
    from wall_inpainting.pictures.compositing import add_material, frame_photo
    photo, mask = make_photo(megapixels)
    recolored, frame = recolor(photo, mask, SAGE), frame_photo(photo.size, side)
    change = .05*np.random.default_rng(0).standard_normal((*frame.size[::-1], 1), np.float32)
    def plainly():
        wall, rgb, target = as_mask(mask, photo.size)[..., None], np.asarray(recolored), parse_color(SAGE)
        large = np.asarray(Image.fromarray(change[..., 0]).resize(photo.size, Image.Resampling.BICUBIC))[..., None]
        light, goal = (srgb_to_linear(np.asarray(codes, np.float32)/255) for codes in (rgb, target))
        ceiling, gain = np.maximum(light, srgb_to_linear(np.maximum(target, 249).astype(np.float32)/255)), np.ones(3, np.float32)
        for _ in range(4):
            made = (255*linear_to_srgb(np.minimum(light*np.exp((large + np.log(gain))*wall), ceiling))).round().astype(np.uint8)
            painted = np.where(wall > 0, made, rgb)
            median = wall_median(painted, wall[..., 0])
            if np.array_equal(median, target): break
            gain *= (goal + 1e-4)/(srgb_to_linear(median.astype(np.float32)/255) + 1e-4)
        return Image.fromarray(painted)
    return lambda: add_material(recolored, as_mask(mask), frame, change, SAGE), plainly


def reference_pair(side: int = 512):
    "Noise of 32 bits, worked on in place; without: of 64 bits, with an array for each step. The noise is not the same, its deviation is"
    from wall_inpainting.color_reference import create_solid_color_reference, parse_color
    def plainly():
        noise = np.random.default_rng(0).normal(0, 8, (side, side, 3))
        rows = np.linspace(.95, 1.05, side)[:, None, None]
        return Image.fromarray((parse_color(SAGE)*rows + noise).round().clip(0, 255).astype(np.uint8))
    return lambda: create_solid_color_reference(SAGE, np.random.default_rng(0), (side, side)), plainly


def tensor_pair(side: int = 512, batch: int = 4):
    "Pictures as a batch of tensors in [-1,1], in place and contiguous before they are stacked; without: an array for each step"
    import torch
    from wall_inpainting.dataset import _to_tensor
    photo = make_photo(.3)[0].resize((side, side))
    def plainly(): return torch.from_numpy(np.array(photo)).permute(2, 0, 1).float()/127.5 - 1
    def stacked(tensor): return torch.stack([tensor() for _ in range(batch)])
    return partial(stacked, lambda: _to_tensor(photo)), partial(stacked, plainly)


def control_pair(steps: int):
    "The ControlNet's encoding of a depth map, once; without: at every step"
    from wall_inpainting import inference
    from wall_inpainting.models.settings import SPEC
    photo, mask = make_photo(.3)
    painter, settings = inference.WallPainter('tiny', device='cpu', progress=False), replace(SPEC, steps=steps)
    def every_step():
        with patch.object(inference, 'shared_control', lambda controlnet: nullcontext()): return painter(photo, mask, SAGE, settings=settings).image
    return lambda: painter(photo, mask, SAGE, settings=settings).image, every_step


def start_pair(folder: Path):
    "A start without the garbage collector, and with it"
    def start(how): subprocess.run([sys.executable, '-c', START, how, str(folder/'start.png')], check=True, capture_output=True)
    return partial(start, 'still'), partial(start, 'collecting')


def check(name: str, with_it, without_it):
    "Both have to give the same, a picture to a code of 255, or the row would compare two things"
    a, b = (np.asarray(function(), np.float32) for function in (with_it, without_it))
    if name.startswith('reference'): alike = a.shape == b.shape and abs(a.mean() - b.mean()) < .1 and abs(a.std() - b.std()) < .1 # other noise
    else: alike = a.shape == b.shape and np.abs(a - b).max() <= (1e-6 if name.startswith('tensors') else 1)
    if not alike: raise ValueError(f'{name}: its absence gives something else')


def rows(group: str, name: str, pair, runs: int, **notes) -> list[dict]:
    off = f'{name}, off'
    seconds = take_turns({name: pair[0], off: pair[1]}, runs)
    return [speed_row(group, name, seconds, off, watch=True, **notes), speed_row(group, off, seconds, **notes)]


if __name__ == '__main__':
    args = parse(__doc__, ('--megapixels', dict(type=float, default=12)), ('--denoising-steps', dict(type=int, default=30)), device=False)
    if args.quick: args.megapixels, args.denoising_steps = .1, 2
    os.environ['PYTHONPATH'] = str(Path(__file__).resolve().parent.parent)
    photo = f'{args.megapixels:g} megapixels'
    pairs = {f'small wall in strips, {photo}': partial(strips_pair, args.megapixels), 'paint anchored until it stands still, 1 megapixel': partial(anchor_pair, 1), f'material in strips, {photo}': partial(material_pair, args.megapixels),
             'reference in place, 512 px': reference_pair, 'tensors in place, four of 512 px': tensor_pair, f'depth encoded once, {args.denoising_steps} steps': partial(control_pair, args.denoising_steps)}
    measured = []
    for name in progress(pairs, 'measure'):
        pair = pairs[name]()
        check(name, *pair)
        measured += rows('measure', name, pair, args.runs)
    with tempfile.TemporaryDirectory() as folder: measured += rows('measure', 'start without garbage collection, --engine diffusion', start_pair(Path(folder)), args.runs)
    save('measures', args, measured)
