"""Speed and memory of LoRA training: `python benchmarks/training.py [--batch 4] [--accumulate 2] [--steps 2] [--runs 7]`.

Loops that take turns in one process, on the sample rooms: (a) the one drawn in the specification, which reads photos,
encodes two pictures with the VAE and runs the text encoder at each step, and the same with its photos in memory;
(b) the ORIGINAL recipe from the cache, which learns the same; (c) ALIGNED, with an IP-Adapter and a ControlNet besides.
Peak memory is that of each loop alone in a process of its own.

By default a bundle of small random networks on the CPU. With `--full --device cuda`, Stable Diffusion 1.5 in its full
size, random weights too; `--peak 989` (TFLOP/s by the GPU's data sheet, here an H100's in bf16) adds its utilisation.
"""
import argparse
import itertools
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import diffusers
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from wall_inpainting.architectures import (SD15_CONFIGS, SD15_SCHEDULE, adapter_weights, build_models, byte_tokenizer,
                                           save_bundle, write_tiny_bundle)
from wall_inpainting.bundles import load_bundle
from wall_inpainting.color_reference import sample_rooms
from wall_inpainting.dataset import WallInpaintingDataset, collate_fn
from wall_inpainting.training_recipes import ALIGNED, ORIGINAL, add_lora, training_unet
from wall_inpainting.training_steps import Run, TrainingSettings, make_accelerator, make_optimizer, open_data

LOOPS = {'a': '(a) the specification, literally', 'a_memory': '(a) with its photos in memory', 'b': '(b) ORIGINAL, cached', 'c': '(c) ALIGNED, cached'}


def write_full_bundle(folder: Path) -> Path:
    "Stable Diffusion 1.5 and what goes with it, in full size, with random weights"
    models = build_models(SD15_CONFIGS, device='cpu')
    adapters = {kind: adapter_weights(models['unet'], models['image_encoder'], **SD15_CONFIGS['ip_adapter'], kind=kind) for kind in ('plus', 'plain')}
    return save_bundle(folder, models, adapters, byte_tokenizer(), diffusers.PNDMScheduler(**SD15_SCHEDULE), dict(name='sd15-random'))


def read_batches(bundle, settings, in_memory: bool):
    "Batches of the dataset without end"
    dataset = WallInpaintingDataset(sample_rooms().parent, 'train', resolution=bundle.resolution, tokenizer=bundle.tokenizer, **ORIGINAL.dataset_options)
    loader = DataLoader(dataset, settings.batch, shuffle=True, drop_last=True, num_workers=settings.workers, collate_fn=collate_fn,
                        persistent_workers=settings.workers > 0, pin_memory=bundle.device.type == 'cuda')
    return itertools.cycle(list(loader)) if in_memory else itertools.chain.from_iterable(itertools.repeat(loader))


def literal_loop(bundle, settings, accelerator, in_memory: bool) -> Callable:
    "A step of the training diagram of the specification, box by box"
    batches, vae, text_encoder, scheduler = read_batches(bundle, settings, in_memory), bundle.vae, bundle.text_encoder, bundle.make_scheduler()
    unet = add_lora(training_unet(bundle, ORIGINAL), settings.rank, settings.alpha)
    lora = [weight for weight in unet.parameters() if weight.requires_grad]
    unet, optimizer = accelerator.prepare(unet, make_optimizer(lora, settings))

    def encode(pictures):
        with torch.no_grad(): return vae.encode(pictures.to(vae.dtype)).latent_dist.sample()*vae.config.scaling_factor

    def step():
        for _ in range(settings.accumulate):
            batch = {name: tensor.to(accelerator.device, non_blocking=True) for name, tensor in next(batches).items()}
            latents, masked_latents = encode(batch['pixel_values']), encode(batch['pixel_values']*(1 - batch['masks']))
            mask = F.interpolate(batch['masks'], size=latents.shape[-2:], mode='nearest').to(latents)
            with torch.no_grad(): text = text_encoder(batch['input_ids'])[0]
            noise = torch.randn_like(latents)
            timesteps = torch.randint(0, scheduler.config.num_train_timesteps, (len(latents),), device=latents.device)
            with accelerator.autocast():
                predicted = unet(torch.cat([scheduler.add_noise(latents, noise, timesteps), mask, masked_latents], 1), timesteps, text).sample
            loss = F.mse_loss(predicted.float(), noise.float())
            accelerator.backward(loss/settings.accumulate)
        accelerator.clip_grad_norm_(lora, settings.clip)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def cached_loop(recipe, bundle, settings, accelerator, folder: Path) -> Callable:
    "A step of the project's own training, less checkpoints and logs"
    run = Run(open_data(sample_rooms().parent, bundle, recipe, settings, folder/'cache'), bundle, recipe, settings, folder/recipe.name, accelerator)
    batches = iter(run.batches())
    return lambda: run.train_step(next(batches))['loss']


def make_loop(name: str, bundle, settings, accelerator, folder: Path) -> Callable:
    if name in 'bc': return cached_loop(dict(b=ORIGINAL, c=ALIGNED)[name], bundle, settings, accelerator, folder)
    return literal_loop(bundle, settings, accelerator, in_memory=name == 'a_memory')


def timed(step: Callable, steps: int, device) -> float:
    "Seconds a step"
    start = time.perf_counter()
    for _ in range(steps): step()
    if device.type == 'cuda': torch.cuda.synchronize()
    return (time.perf_counter() - start)/steps


def status(key: str) -> float:
    "VmHWM or VmRSS of this process, MB; Linux only"
    return int(re.search(rf'{key}:\s+(\d+)', Path('/proc/self/status').read_text())[1])/1024


def peak_memory(name: str, args, folder: Path) -> float:
    "The most that a loop takes beside the libraries, MB; in a process where nothing else was read"
    imported = status('VmRSS')
    bundle, settings, accelerator = set_up(args, folder)
    step = make_loop(name, bundle, settings, accelerator, folder)
    if bundle.device.type == 'cpu': Path('/proc/self/clear_refs').write_text('5') # forget the peak of reading the weights
    else: torch.cuda.reset_peak_memory_stats()
    for _ in range(3): step()
    return status('VmHWM') - imported if bundle.device.type == 'cpu' else torch.cuda.max_memory_allocated()/2**20


def set_up(args, folder: Path):
    "Bundle, settings and accelerator"
    bundle = load_bundle(folder/'bundle', args.device)
    workers = 0 if args.device == 'cpu' else 4 # on a CPU, reading takes its time from the networks either way
    steps = args.steps*args.runs + 8 # with warm-up and counting
    settings = TrainingSettings(steps=steps, warmup=0, batch=args.batch, accumulate=args.accumulate, variants=1, workers=workers, progress=False)
    return bundle, settings, make_accelerator(bundle, settings, folder)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--full', action='store_true', help='Stable Diffusion 1.5 in its full size')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--batch', type=int, default=4)
    parser.add_argument('--accumulate', type=int, default=2, help='batches a step')
    parser.add_argument('--steps', type=int, default=2, help='in each turn')
    parser.add_argument('--runs', type=int, default=7, help='turns of each loop')
    parser.add_argument('--peak', type=float, help="TFLOP/s by the GPU's data sheet")
    parser.add_argument('--memory-of', nargs=2, help=argparse.SUPPRESS) # a loop and the folder of its bundle: the process of its own
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.memory_of:
        print(peak_memory(args.memory_of[0], args, Path(args.memory_of[1])))
        sys.exit()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (write_full_bundle if args.full else write_tiny_bundle)(folder/'bundle')
        bundle, settings, accelerator = set_up(args, folder)
        loops = {name: make_loop(name, bundle, settings, accelerator, folder) for name in LOOPS}
        flops, seconds, images = {}, {name: [] for name in LOOPS}, args.batch*args.accumulate
        for name, step in loops.items():
            timed(step, 2, bundle.device) # warm-up
            with FlopCounterMode(display=False) as counter: step()
            flops[name] = counter.get_total_flops()/images
        for _ in range(args.runs):
            for name, step in loops.items(): seconds[name].append(timed(step, args.steps, bundle.device))
        print(f'{bundle.source.name} at {bundle.resolution} px on {args.device}, {torch.get_num_threads()} threads, {accelerator.mixed_precision} mixed precision, '
              f'{args.accumulate} batches of {args.batch} a step; medians of {args.runs} turns')
        for name, title in LOOPS.items():
            command = [sys.executable, __file__, *sys.argv[1:], '--memory-of', name, str(folder)]
            memory = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])
            rate, ratio = images/statistics.median(seconds[name]), statistics.median(a/b for a, b in zip(seconds['a'], seconds[name]))
            use = f'  {flops[name]*rate/args.peak/1e12:5.0%} of the peak' if args.peak else ''
            print(f'{title:34}{rate:8.2f} images/s{ratio:7.2f} x (a){memory:8.0f} MB{flops[name]/1e9:9.2f} GFLOP an image{use}', flush=True)
