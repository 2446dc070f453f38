"""Stable Diffusion 1.5 at its real size on a CPU: `python benchmarks/full_size.py`; random weights, 20 GB of memory for (a).

A repaint of a megapixel from reading the models to the picture, with ControlNet, IP-Adapter Plus, a LoRA and guidance. Each variant
runs in processes of its own, which take turns: (a) stock diffusers, from the specification; (b) the same mathematics by
`FastPainter`, in float32; (b) in bfloat16; (c) FAITHFUL in bfloat16; (d) a palette of two with (c). All make the same few evaluations
of the UNet for a picture (`--evaluations`); what the whole recipe would take is computed from the seconds of one evaluation, and
of all the rest. Every turn is written to the file of results: a run that was stopped goes on.
"""
import json
import os
import statistics
import sys
import time
from dataclasses import replace

from common import RESULTS, bundle_folder, in_a_process, lora_folder, make_photo, parse, progress, random_lora, save, status
from inference import references, stock_repaint

VARIANTS = {'a': ('spec', 'float32', 1), 'b': ('spec', 'float32', 1), 'b bfloat16': ('spec', 'bfloat16', 1), # recipe, type of number, colours
            'c': ('faithful', 'bfloat16', 1), 'd': ('faithful', 'bfloat16', 2)}


def recipe(name: str, evaluations: int):
    "The recipe in so many evaluations of the UNet, and how many it has as a whole"
    from wall_inpainting.models.settings import INFERENCE_SETTINGS
    settings = INFERENCE_SETTINGS[name]
    def runs(steps): return int(steps*settings.strength)
    return replace(settings, steps=next(steps for steps in range(1, 99) if runs(steps) == evaluations)), runs(settings.steps)


def watch_steps(times: list[float]):
    "Have the schedulers write down when each step ends"
    import diffusers
    for cls in (diffusers.DDIMScheduler, diffusers.DPMSolverMultistepScheduler):
        def step(self, *args, inner=cls.step, **kwargs):
            times.append(time.perf_counter())
            return inner(self, *args, **kwargs)
        cls.step = step


def child(args) -> dict:
    "One variant, from reading the models to the picture"
    import torch
    from wall_inpainting.models.architectures import quiet
    from wall_inpainting.models.bundles import load_bundle
    from wall_inpainting.painting.fast import FastPainter
    name, folder = args.child, bundle_folder(args.bundle)
    which, dtype, colors = VARIANTS[name]
    settings, _ = recipe(which, args.evaluations)
    (photo, mask), unseen, times = make_photo(1, corners=False), references(), []
    watch_steps(times)
    start = time.perf_counter()
    with quiet():
        if name == 'a': stock_repaint(folder, lora_folder(folder), 'cpu', settings.steps)(photo, mask, next(unseen))
        else:
            painter = FastPainter(load_bundle(folder, dtype=getattr(torch, dtype)), lora_folder(folder), progress=False)
            if which == 'spec': painter(photo, mask, reference=next(unseen), settings=settings)
            else: painter.palette(photo, mask, ['#1f2a44', '#7a9e7e'][:colors], settings)
    seconds = time.perf_counter() - start
    between = [b - a for a, b in zip(times, times[1:])]
    step_s = statistics.median(each for n, each in enumerate(between, 1) if n % args.evaluations) # not from one picture to the next
    return dict(seconds=seconds, step_s=step_s, memory_mb=status('VmHWM'))


def make_rows(turns: dict[str, list[dict]], evaluations: int) -> list[dict]:
    "Medians over turns; the ratios to (a) are those of the same turns"
    rows = []
    for name, measured in turns.items():
        which, dtype, colors = VARIANTS[name]
        whole = recipe(which, evaluations)[1]
        if bad := [turn['failed'] for turn in measured if 'failed' in turn]:
            rows.append(dict(group='full size', name=name, failed=True, why=bad[0]))
            continue
        each = [turn['seconds']/colors for turn in measured]
        step_s = statistics.median(turn['step_s'] for turn in measured)
        row = dict(group='full size', name=name, recipe=which, dtype=dtype, seconds=statistics.median(each), low=min(each), high=max(each), runs=len(each), step_s=step_s,
                   memory_mb=max(turn['memory_mb'] for turn in measured))
        rows.append(row | dict(whole=whole, whole_s=row['seconds'] + (whole - evaluations)*step_s))
    base = next((row for row in rows if row['name'] == 'a' and 'seconds' in row), None)
    for row in rows if base else ():
        if row is base or 'seconds' not in row: continue
        row |= dict(against='a', ratio=statistics.median(a['seconds']*VARIANTS[row['name']][2]/b['seconds'] for a, b in zip(turns['a'], turns[row['name']])),
                    step_ratio=base['step_s']/row['step_s'], whole_ratio=base['whole_s']/row['whole_s'])
    return rows


if __name__ == '__main__':
    args = parse(__doc__, ('--bundle', dict(default='sd15-random', help="'sd15-random', random weights, or a folder")), ('--evaluations', dict(type=int, default=3, help='of the UNet for a picture, 2 or more')),
                 ('--child', dict()), device=False)
    if args.evaluations < 2: sys.exit('--evaluations must be 2 or more: a step is what lies between two')
    if args.child:
        print(json.dumps(child(args)))
        sys.exit()
    folder = bundle_folder(args.bundle)
    if not lora_folder(folder).is_dir():
        from wall_inpainting.models.bundles import load_bundle
        random_lora(folder, load_bundle(folder))
    out = args.out or RESULTS/'full_size-cpu.json'
    before = json.loads(out.read_text()) if out.is_file() and not args.quick else {}
    turns = before['turns'] if before.get('evaluations') == args.evaluations and len(before.get('turns', {}).get('d', ())) < args.runs else {name: [] for name in VARIANTS}
    for turn in progress(range(1, args.runs+1), 'turn'):
        for name in VARIANTS:
            if len(turns[name]) >= turn: continue
            turns[name].append(in_a_process('--child', name, HF_HUB_OFFLINE='1'))
            save('full_size', args, make_rows({name: measured for name, measured in turns.items() if measured}, args.evaluations), bundle=args.bundle.split(os.sep)[-1], evaluations=args.evaluations, turns=turns)
