"""What the small bundle's sizes cost and bring: `python benchmarks/pretraining_sizes.py ROOMS RUNS HELD_OUT WORK [--steps 200] [--out FILE.json]`.

The autoencoder and the UNet are trained in three sizes each, with equal steps, photos and noise. ROOMS and RUNS are the folders
of `wall_pretrain`, whose photos, autoencoder and latents are used; HELD_OUT is a folder of `write_photos` with rooms that no
training has seen. WORK keeps the trainings, which go on where they were stopped.
"""
import argparse
import json
import platform
import statistics
from dataclasses import replace
from pathlib import Path

import torch
from pretraining import milliseconds

from wall_inpainting.pictures.photos import whole_file
from wall_inpainting.pretraining.bundle import RECIPES, SIZES, make_models, pretrain, read_learnt
from wall_inpainting.pretraining.photos import Photos
from wall_inpainting.pretraining.scores import vae_psnr
from wall_inpainting.pretraining.stages import Denoising, LatentPhotos

TRIED = {'vae': [dict(vae_channels=channels) for channels in ((8, 16, 32, 64), SIZES.vae_channels, (24, 48, 96, 160))],
         'unet': [dict(unet_channels=channels) for channels in ((32, 48, 64, 64), SIZES.unet_channels, (48, 96, 128, 128))]}


def vae_row(models: dict, photos: Photos) -> dict:
    vae, picture = models['vae'], torch.zeros(1, 3, *photos.image.shape[1:3])
    return dict(parameters=sum(p.numel() for p in vae.parameters()), milliseconds=milliseconds(lambda: vae.decode(vae.encode(picture).latent_dist.mean)),
                quality={name: vae_psnr(vae, photos)[name] for name in ('mean', 'color')})


@torch.no_grad()
def unet_row(models: dict, photos: Photos) -> dict:
    unet, stage, latents = models['unet'], Denoising(models), LatentPhotos(photos, models['vae'])
    stage.eval()
    cells = latents.mean.shape[-1]
    losses = [stage(latents.batch(n, 16), torch.Generator().manual_seed(n))['noise'].item() for n in range(24)]
    call = milliseconds(lambda: unet(torch.zeros(1, 9, cells, cells), 1, stage.prompt))
    return dict(parameters=sum(p.numel() for p in unet.parameters()), milliseconds=call, quality=dict(noise=round(statistics.mean(losses), 4)))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ('rooms', 'runs', 'held_out', 'work'): parser.add_argument(name, type=Path)
    parser.add_argument('--steps', type=int, default=200)
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    photos, rows = Photos(args.held_out), []
    for stage, tried in TRIED.items():
        for number, changes in enumerate(tried):
            sizes, folder = replace(SIZES, **changes), args.work/f'{stage}_{number}'
            folder.mkdir(parents=True, exist_ok=True)
            for shared in ('photos', *(('vae', 'latents.npz') if stage == 'unet' else ())):
                if not (folder/shared).exists(): (folder/shared).symlink_to((args.runs/shared).resolve())
            pretrain(args.rooms, folder, replace(RECIPES[stage], steps=args.steps, ema=.98), sizes)
            models = read_learnt(folder, make_models(sizes), ('vae', 'unet') if stage == 'unet' else ('vae',))
            rows.append(dict(stage=stage, shipped=sizes == SIZES, **changes) | (vae_row if stage == 'vae' else unet_row)(models, photos))
            print(json.dumps(rows[-1]), flush=True)
    result = dict(machine=f'{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, one thread', steps=args.steps, held_out=len(photos), rows=rows)
    if args.out:
        with whole_file(args.out) as unfinished: unfinished.write_text(json.dumps(result, indent=1) + '\n')
