"""Training of a LoRA at each batch size, with and without checkpointing and compiling: `python benchmarks/training.py [--device cuda --bundle sd15-random]`.

Loops take turns in one process, on the sample rooms, one batch a step: (a) the one drawn in the specification, which reads photos,
encodes two pictures with the VAE and runs the text encoder at each step, and the same with its photos in memory;
(b) the ORIGINAL recipe from the cache, which learns the same; (c) ALIGNED, with an IP-Adapter and a ControlNet besides.
Images a second, utilisation against a measured matrix product of the same precision, and the peak of memory of each loop in
a process of its own, where the cache is there already.
"""
import itertools
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from common import bundle_folder, count_flops, forget_peak, in_a_process, parse, peak_memory, product_ceiling, progress, save, speed_row, status, take_turns
from torch.utils.data import DataLoader

from wall_inpainting.models.architectures import quiet
from wall_inpainting.models.bundles import give_back_memory, load_bundle
from wall_inpainting.pictures.arrays import sample_rooms
from wall_inpainting.dataset import WallInpaintingDataset, collate_fn
from wall_inpainting.training import ALIGNED, ORIGINAL, add_lora, training_unet
from wall_inpainting.lora.steps import LoraRun, TrainingSettings, make_accelerator, make_optimizer, open_data

LOOPS = ['a', 'a_memory', 'b', 'c']
VARIANTS = {'plain': {}, 'checkpointing': dict(gradient_checkpointing=True), 'compiled': dict(compile=True)}


def find_rooms(args, folder: Path) -> Path:
    "The sample rooms, or the first photos of them"
    if args.photos is None: return sample_rooms().parent
    source, some = sample_rooms('train'), folder/'rooms'/'train'
    if not some.is_dir():
        some.mkdir(parents=True)
        for name in ('images', 'masks', 'depth'): (some/name).symlink_to(source/name)
        (some/'metadata.jsonl').write_text(''.join((source/'metadata.jsonl').read_text().splitlines(keepends=True)[:args.photos]))
    return folder/'rooms'


def read_batches(rooms: Path, bundle, settings, in_memory: bool):
    "Batches of the dataset without end"
    dataset = WallInpaintingDataset(rooms, 'train', resolution=bundle.resolution, tokenizer=bundle.tokenizer, **ORIGINAL.dataset_options)
    loader = DataLoader(dataset, settings.batch, shuffle=True, drop_last=True, num_workers=settings.workers, collate_fn=collate_fn,
                        persistent_workers=settings.workers > 0, pin_memory=bundle.device.type == 'cuda')
    return itertools.cycle(list(loader)) if in_memory else itertools.chain.from_iterable(itertools.repeat(loader))


def literal_loop(rooms: Path, bundle, settings, accelerator, in_memory: bool) -> Callable:
    "A step of the training diagram of the specification, box by box"
    batches, vae, text_encoder, scheduler = read_batches(rooms, bundle, settings, in_memory), bundle.vae, bundle.text_encoder, bundle.make_scheduler()
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


def cached_loop(rooms: Path, recipe, bundle, settings, accelerator, folder: Path) -> Callable:
    "A step of the project's own training, less checkpoints and logs"
    run = LoraRun(open_data(rooms, bundle, recipe, settings, folder/'cache'), bundle, recipe, settings, folder/recipe.name, accelerator)
    batches = iter(run.batches())
    return lambda: run.train_step(next(batches))['loss']


def make_step(loop: str, variant: str, batch: int, bundle, args, folder: Path):
    "A step of one loop, one batch a step, with its own LoRA and optimizer"
    settings = TrainingSettings(steps=100_000, warmup=0, batch=batch, accumulate=1, variants=1, workers=0 if args.device == 'cpu' else 4, progress=False)
    accelerator, rooms = make_accelerator(bundle, settings, folder), find_rooms(args, folder)
    if loop in ('a', 'a_memory'): return literal_loop(rooms, bundle, settings, accelerator, in_memory=loop == 'a_memory')
    return cached_loop(rooms, {'b': ORIGINAL, 'c': ALIGNED}[loop], bundle, replace(settings, **VARIANTS[variant]), accelerator, folder)


def cases(args) -> list[tuple]:
    "(loop, variant, batch)"
    return [(loop, variant, batch) for batch in args.batches for loop in args.loops for variant in args.variants if loop in 'bc' or variant == 'plain']


def title(loop: str, variant: str, batch: int) -> str: return f'{loop}, {variant}, batch {batch}'


def peak(args, folder: Path) -> dict:
    "The peak of memory of one loop"
    loop, variant, batch = args.memory_of
    before = status('VmRSS')
    step = make_step(loop, variant, int(batch), load_bundle(bundle_folder(args.bundle, args.device), args.device), args, folder)
    forget_peak(args.device)
    for _ in range(2): step()
    return dict(memory_mb=peak_memory(before, args.device))


if __name__ == '__main__':
    args = parse(__doc__, ('--batches', dict(type=int, nargs='*', default=[1, 4, 16])), ('--variants', dict(nargs='*', default=list(VARIANTS), choices=list(VARIANTS))),
                 ('--loops', dict(nargs='*', default=LOOPS, choices=LOOPS)), ('--memory-of', dict(nargs=3)), ('--folder', dict(type=Path)),
                 ('--photos', dict(type=int, help='of the sample rooms; default: all, whose cache takes a quarter of an hour to build at full size on a CPU')))
    if args.quick: args.batches, args.variants = [1], ['plain', 'checkpointing']
    if args.memory_of:
        with quiet(): print(json.dumps(peak(args, args.folder)))
        sys.exit()
    torch._dynamo.config.recompile_limit = 256 # all compiled loops share one budget of programs
    with quiet(), tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        bundle = load_bundle(bundle_folder(args.bundle, args.device), args.device)
        steps = {title(*case): make_step(*case, bundle, args, folder) for case in progress(cases(args), 'made')}
        plain = {title(*case): case for case in cases(args) if case[1] == 'plain'}
        flops = {name: count_flops(steps[name])/case[2] for name, case in plain.items()} # of an image; arithmetic done twice or fused counts once
        precision = torch.bfloat16 if args.device.startswith('cuda') else torch.float32
        ceiling, seconds, rows = product_ceiling(args.device, precision), take_turns(steps, args.runs, args.device), []
        for loop, variant, batch in cases(args):
            name = title(loop, variant, batch)
            row = speed_row('training', name, seconds, title('a_memory', 'plain', batch), watch=loop in 'bc' and args.runs >= 5, loop=loop, variant=variant, batch=batch)
            if 'seconds' in row: row['images_s'] = batch/row['seconds']
            if 'seconds' in row and (count := flops.get(title(loop, 'plain', batch))): row |= dict(gflop=count/1e9, utilisation=count*row['images_s']/ceiling/1e12)
            rows.append(row)
        notes = dict(bundle=Path(args.bundle).name, resolution=bundle.resolution, ceiling_tflops=ceiling, precision=str(precision).removeprefix('torch.'))
        save('training', args, rows, **notes) # what follows can run out of memory
        del steps, bundle
        give_back_memory()
        if args.device.startswith('cuda'): torch.cuda.empty_cache()
        for row, _ in zip(rows, progress([row['name'] for row in rows], 'memory')): row |= in_a_process('--memory-of', row['loop'], row['variant'], str(row['batch']), '--folder', str(folder))
    save('training', args, rows, **notes)
