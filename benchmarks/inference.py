"""Inference with every condition on, against the call that a user would otherwise write: `python benchmarks/inference.py [--device cuda --bundle sd15-random --compile blocks]`.

ControlNet, IP-Adapter Plus, LoRA, guidance, 30 steps, each call with a reference it has not seen. Variants take turns in one
process: (a) diffusers, from the specification; (b) the same mathematics by `optimize`, and (b) less each of its measures;
then whole repaints of a photo, with the depth estimate: (a), the specification's recipe by (b), (c) FAITHFUL in the
fewest steps that keep its colours (`--steps`, or what benchmarks/steps.py found for this bundle), and (d) a palette of
eight. Peak memory and cold starts are those of processes of their own. Utilisation is against a measured matrix product.
Three files of results: calls, repaints and processes.
"""
import importlib
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from common import (RESULTS, bundle_folder, count_flops, forget_peak, in_a_process, lora_folder, make_photo, parse, peak_memory,
                    product_ceiling, progress, random_lora, save, speed_row, status, take_turns, timed)

MEASURES = 'encode_first', 'fuse_lora', 'channels_last', 'guard_vae'
COLORS = '#7a9e7e', '#1f2a44', '#c8654a', '#f3ead7', '#8a8d91', '#c9a66b', '#5b7f95', '#9c4a3c'


def stock_pipeline(folder: Path, lora: Path, device: str):
    "The pipeline of the specification, as one writes it from diffusers' documentation"
    import torch
    from diffusers import ControlNetModel, StableDiffusionControlNetInpaintPipeline
    from transformers import CLIPVisionModelWithProjection
    options = dict(dtype=torch.float16 if device.startswith('cuda') else torch.float32, use_safetensors=True)
    pipe = StableDiffusionControlNetInpaintPipeline.from_pretrained(
        folder/'inpainting', controlnet=ControlNetModel.from_pretrained(folder/'controlnet', **options),
        image_encoder=CLIPVisionModelWithProjection.from_pretrained(folder/'ip_adapter'/'models'/'image_encoder', **options),
        safety_checker=None, requires_safety_checker=False, **options).to(device)
    pipe.load_ip_adapter(str(folder/'ip_adapter'), subfolder='models', weight_name='ip-adapter-plus_sd15.safetensors')
    pipe.load_lora_weights(str(lora), weight_name='pytorch_lora_weights.safetensors')
    pipe.set_ip_adapter_scale(1.)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def stock_repaint(folder: Path, lora: Path, device: str, steps: int):
    "The specification's inference from photo to photo: repaint(photo, mask, reference)"
    import torch
    import transformers
    from PIL import Image
    from wall_inpainting.models.settings import SPEC, pipeline_arguments
    estimate = transformers.pipeline('depth-estimation', model=str(folder/'depth'), device=torch.device(device), dtype=torch.float32)
    pipe = stock_pipeline(folder, lora, device)
    side = pipe.unet.config.sample_size*pipe.vae_scale_factor
    def repaint(photo, mask, reference):
        image, mask = photo.resize((side, side), Image.Resampling.LANCZOS), mask.resize((side, side), Image.Resampling.NEAREST)
        depth = estimate(image)['depth'].resize((side, side))
        call = pipeline_arguments(replace(SPEC, steps=steps), image, mask, depth, reference, torch.Generator().manual_seed(42))
        return pipe(**call).images[0].resize(photo.size, Image.Resampling.LANCZOS)
    return repaint


def references():
    "Plain references without end, each of another colour and noise"
    import numpy as np
    from wall_inpainting.color_reference import create_solid_color_reference, generate_random_color
    generator = np.random.default_rng(0)
    while True: yield create_solid_color_reference(generate_random_color(generator), generator, size=(224, 224))


def load(folder: Path, args):
    from wall_inpainting.models.bundles import load_bundle
    return load_bundle(folder, args.device)


def make_pipelines(args, folder: Path, lora: Path) -> dict:
    "(a), (b), and (b) less each measure, which is not compiled: name to pipeline"
    from wall_inpainting.painting.fast import optimize
    shared, untouched = load(folder, args), load(folder, args) # one whose weights keep the layout they were read in
    def fast(bundle=shared, **changes): return optimize(bundle.pipeline(lora), **changes)
    pipes = {'a': stock_pipeline(folder, lora, args.device), 'b': fast(compile=args.compile)}
    if args.compile: pipes |= {f'b with compile={how}': fast(compile=how) for how in (None, 'blocks', 'whole') if how != args.compile}
    pipes |= {f'b without {name}': fast(untouched if name == 'channels_last' else shared, **{name: False}) for name in MEASURES}
    return pipes | {'b with attention by matrix products': pipes[uncompiled(args)]} # in the context below


def uncompiled(args) -> str: return 'b with compile=None' if args.compile else 'b'


def make_calls(args, pipes: dict, resolution: int) -> dict:
    "name to a call with a reference that it has not seen"
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from wall_inpainting.models.settings import SPEC, pipeline_arguments
    photo, mask = (picture.resize((resolution, resolution)) for picture in make_photo(.3))
    unseen, settings = references(), replace(SPEC, steps=args.denoising_steps)
    def call(name):
        arguments = pipeline_arguments(settings, photo, mask, photo.convert('L'), next(unseen), torch.Generator().manual_seed(42))
        if not name.endswith('matrix products'): return pipes[name](**arguments).images[0]
        with sdpa_kernel(SDPBackend.MATH): return pipes[name](**arguments).images[0]
    return {name: partial(call, name) for name in pipes}


def measure_calls(args, folder: Path, lora: Path) -> list[dict]:
    "Rows of the call alone"
    import torch
    pipes = make_pipelines(args, folder, lora)
    calls = make_calls(args, pipes, load(folder, args).resolution)
    ceiling = product_ceiling(args.device, pipes['a'].unet.dtype)
    calls[uncompiled(args)]() # what is kept from call to call is not counted
    flops = {'a': count_flops(calls['a']), 'b': count_flops(calls[uncompiled(args)])}
    seconds = take_turns(calls, args.runs, args.device)
    rows = [dict(group='ceiling', name='matrix product', tflops=ceiling, dtype=str(pipes['a'].unet.dtype).removeprefix('torch.'))]
    for name in calls:
        base = 'a' if name in ('a', 'b') else 'b' if '=' in name else uncompiled(args)
        row = speed_row('call', name, seconds, base, watch=name == 'b')
        if name in flops and 'seconds' in row:
            row |= dict(gflop=flops[name]/1e9, steps_s=pipes[name].num_timesteps/row['seconds'], utilisation=flops[name]/row['seconds']/ceiling/1e12)
        rows.append(row)
    if args.device.startswith('cuda'): torch.cuda.empty_cache()
    return rows


def make_repaints(args, folder: Path, lora: Path, names=None) -> dict:
    "Whole repaints of a photo of one megapixel: name to function"
    import numpy as np
    from wall_inpainting.painting.fast import FastOptions, FastPainter
    from wall_inpainting.inference import WallPainter
    from wall_inpainting.models.settings import FAITHFUL, SPEC
    photo, mask = make_photo(1, corners=False)
    unseen, generator = references(), np.random.default_rng(0)
    painter = None if names == ['a whole'] else FastPainter(load(folder, args), lora, progress=False, options=FastOptions(compile=args.compile))
    def color(): return [int(value) for value in generator.integers(30, 240, 3)]
    def palette(which): return which.palette(photo, mask, [color() for _ in COLORS[:args.colors]], faithful)
    spec, faithful = (replace(settings, steps=args.denoising_steps) for settings in (SPEC, FAITHFUL))
    fewest = replace(FAITHFUL, **args.fewest) if args.fewest else None
    made = {'b whole': lambda: painter(photo, mask, reference=next(unseen), settings=spec), 'faithful': lambda: painter(photo, mask, color(), settings=faithful)}
    if fewest: made['c'] = lambda: painter(photo, mask, color(), settings=fewest)
    made['d'] = lambda: palette(painter)
    if names is None or 'a whole' in names:
        stock = stock_repaint(folder, lora, args.device, args.denoising_steps)
        made = {'a whole': lambda: stock(photo, mask, next(unseen))} | made
    if names is None:
        one_by_one = WallPainter(painter.bundle, lora=lora, progress=False)
        made['d one by one'] = lambda: palette(one_by_one)
    return made


def measure_repaints(args, folder: Path, lora: Path) -> list[dict]:
    "Rows of whole repaints; those of palettes are per colour"
    repaints, stages = make_repaints(args, folder, lora), {}
    def watched(name):
        repaint = repaints[name]()
        if hasattr(repaint, 'timings'): stages.setdefault(name, []).append(repaint.timings)
    seconds = take_turns({name: partial(watched, name) for name in repaints}, args.runs, args.device)
    seconds |= {name: [each/args.colors for each in seconds[name]] for name in ('d', 'd one by one') if name in seconds}
    rows = [speed_row('repaint', name, seconds, 'faithful' if name.startswith('d') else 'a whole', watch=name in ('b whole', 'faithful', 'c', 'd')) for name in repaints]
    for row in rows: # the first turn is for warming up
        if turns := stages.get(row['name'], [])[1:]: row['stages'] = {stage: statistics.median(turn[stage] for turn in turns) for stage in turns[0]}
    if args.fewest: next(row for row in rows if row['name'] == 'c').update(settings=args.fewest, over_faithful=statistics.median(a/b for a, b in zip(seconds['faithful'], seconds['c'])))
    return rows


def child(args) -> dict:
    "What a process of its own measures: a cold start, or the peak of memory; nothing has been imported when it begins"
    (kind, name), folder = args.child, bundle_folder(args.bundle, args.device)
    start = time.perf_counter()
    needed = {'torch': (), 'diffusers': ('ControlNetModel', 'StableDiffusionControlNetInpaintPipeline'), 'transformers': ('CLIPVisionModelWithProjection', 'pipeline')}
    ours = {'peft': ('LoraConfig',), 'wall_inpainting.painting.fast': (), 'wall_inpainting.models.settings': (), 'wall_inpainting.models.lora_files': ()}
    for library, lazy in (needed if kind == 'cold' and name == 'a' else needed | ours).items(): # memory: above the same libraries for all
        module = importlib.import_module(library)
        for each in lazy: getattr(module, each) # these libraries import a class when it is asked for
    imported, resident = time.perf_counter(), status('VmRSS') # the libraries count for nobody
    from wall_inpainting.models.architectures import quiet
    with quiet():
        if not name.endswith(' compiled'): args.compile = None
        call = make_child(name.removesuffix(' compiled'), args, folder, lora_folder(folder))
        loaded = time.perf_counter()
        forget_peak(args.device)
        first = timed(call, args.device)
        if kind == 'memory': return dict(memory_mb=peak_memory(resident, args.device))
        return dict(import_s=imported-start, load_s=loaded-imported, first_s=first, later_s=timed(call, args.device))


def make_child(name: str, args, folder: Path, lora: Path):
    "The one function that a process of its own is about"
    if name not in ('a', 'b'): return make_repaints(args, folder, lora, [name])[name]
    if name == 'a': pipe = stock_pipeline(folder, lora, args.device)
    else:
        from wall_inpainting.painting.fast import optimize
        pipe = optimize(load(folder, args).pipeline(lora), compile=args.compile)
    side = pipe.unet.config.sample_size*pipe.vae_scale_factor
    return make_calls(args, {name: pipe}, side)[name]


def measure_processes(args) -> list[dict]:
    "Rows of memory, each of one process, and of cold starts: medians over processes in turns, but for compiling from nothing"
    names = ['a', 'b', 'a whole', 'b whole', 'faithful', *['c']*bool(args.fewest), 'd']
    if args.compile: names += [f'{name} compiled' for name in names if not name.startswith('a')]
    rows = [dict(group='memory', name=name) | in_a_process('--child', 'memory', name) for name in progress(names, 'memory')]
    with tempfile.TemporaryDirectory() as cache:
        def start(name): return in_a_process('--child', 'cold', name, TORCHINDUCTOR_CACHE_DIR=cache)
        first = [dict(group='cold', name='b compiled', runs=1) | start('b compiled')] if args.compile else []
        starts = {'a': 'a', 'b': 'b'} | ({'b compiled': 'b compiled, from the cache'} if args.compile else {})
        turns = [{name: start(name) for name in starts} for _ in progress(range(min(args.runs, 3)), 'cold start')]
    rows += [dict(group='cold', name=title, runs=len(turns)) | {part: statistics.median(turn[name][part] for turn in turns) for part in turns[0][name]} for name, title in starts.items()]
    return rows + first


def found_steps(bundle: str) -> dict | None:
    "What benchmarks/steps.py found to be enough for this bundle"
    found = [json.loads(path.read_text()) for path in RESULTS.glob('steps-*.json')]
    return next((result['fewest'] for result in found if result['bundle'] == Path(bundle).name), None)


if __name__ == '__main__':
    args = parse(__doc__, ('--compile', dict(choices=['blocks', 'whole'], help='default: not at all')), ('--denoising-steps', dict(type=int, default=30)),
                 ('--colors', dict(type=int, default=8, help='of the palette')), ('--steps', dict(type=int, help='of (c), at strength 0.5 with DPM-Solver++')),
                 ('--only', dict(choices=['calls', 'repaints', 'processes'], help='one of the three files')), ('--child', dict(nargs=2)))
    if args.quick: args.denoising_steps, args.colors = 4, 2
    if args.out and not args.only: sys.exit('--out is one file, and there are three: say --only calls, repaints or processes')
    args.fewest = dict(steps=args.steps) if args.steps else found_steps(args.bundle)
    if args.child:
        print(json.dumps(child(args)))
        sys.exit()
    folder = bundle_folder(args.bundle, args.device)
    from wall_inpainting.models.architectures import quiet
    with quiet():
        lora = random_lora(folder, load(folder, args))
        parts = dict(calls=lambda: measure_calls(args, folder, lora), repaints=lambda: measure_repaints(args, folder, lora), processes=lambda: measure_processes(args))
        for part in [args.only] if args.only else parts:
            notes = dict(bundle=Path(args.bundle).name, resolution=load(folder, args).resolution, steps=args.denoising_steps, colors=args.colors, compile=args.compile)
            save(part, args, parts[part](), part=part, **notes)
