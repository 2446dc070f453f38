"""What the benchmarks share: the machine, bundles, taking turns, memory, and the file of results."""
import argparse
import importlib.metadata
import json
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import date
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

RESULTS = Path(__file__).parent/'results'
LIBRARIES = 'torch', 'diffusers', 'transformers', 'peft', 'accelerate', 'numpy', 'opencv-python-headless', 'pillow'


def parse(doc: str, *arguments: tuple, device: bool = True) -> argparse.Namespace:
    "The command line: what all benchmarks have, and `arguments` (name, options) of one"
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    if device:
        parser.add_argument('--device', default='cpu')
        parser.add_argument('--bundle', default='tiny', help="'tiny', that of the package; 'sd15-random', random weights in its full size; or a folder")
    parser.add_argument('--runs', type=int, default=7, help='turns of each, after one to warm up')
    parser.add_argument('--quick', action='store_true', help='tiny counts, to see that all runs; the figures say nothing')
    parser.add_argument('--out', type=Path, help=f'JSON file; default: in {RESULTS.relative_to(RESULTS.parents[1])}, none with --quick')
    for name, options in arguments: parser.add_argument(name, **options)
    args = parser.parse_args()
    if args.quick: args.runs = 1
    return args


def machine(device: str = 'cpu') -> dict:
    "What the figures were measured on"
    import torch
    model = re.search(r'model name\s*:\s*(.+)', cpuinfo.read_text()) if (cpuinfo := Path('/proc/cpuinfo')).is_file() else None
    about = dict(cpu=model[1] if model else platform.processor() or platform.machine(), cores=len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
                 threads=torch.get_num_threads(), memory_gb=round(os.sysconf('SC_PAGE_SIZE')*os.sysconf('SC_PHYS_PAGES')/2**30), system=platform.system())
    if device.startswith('cuda'): about |= dict(gpu=torch.cuda.get_device_name(), gpu_memory_gb=round(torch.cuda.get_device_properties(0).total_memory/2**30), cuda=torch.version.cuda)
    return about


def save(name: str, args: argparse.Namespace, rows: list[dict], part: str | None = None, **notes):
    "Print the rows, and write them with machine, versions and the command, that of a part of the script where it has parts"
    device = getattr(args, 'device', 'cpu')
    versions = {'python': platform.python_version()} | {library: importlib.metadata.version(library) for library in LIBRARIES}
    command = shlex.join(['python', f'benchmarks/{Path(sys.argv[0]).name}', *without(without(sys.argv[1:], '--out'), '--only' if part else '--out'), *(['--only', part] if part else [])])
    result = dict(name=name, command=command, date=date.today().isoformat(), quick=args.quick, machine=machine(device), versions=versions, **notes, rows=rows)
    for row in rows: print(json.dumps(row))
    out = args.out or (None if args.quick else RESULTS/f"{name}-{device.split(':')[0]}.json")
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=1) + '\n')


def without(words: list[str], option: str) -> list[str]:
    "A command line less an option and its value"
    if option not in words: return words
    at = words.index(option)
    return words[:at] + words[at+2:]


def bundle_folder(name: str, device: str = 'cpu') -> Path:
    "The folder of a bundle; that of random weights is written where it is not there yet, and stays in the temporary folder for the next benchmark"
    if name == 'tiny': return Path(str(files('wall_inpainting')/'data'/'tiny'))
    if name != 'sd15-random': return Path(name)
    folder = Path(tempfile.gettempdir())/'wall_inpainting_benchmarks'/name
    if (folder/'bundle.json').is_file(): return folder # written last
    import diffusers
    import torch
    from wall_inpainting.models.architectures import SD15_CONFIGS, SD15_SCHEDULE, adapter_weights, build_models, byte_tokenizer, save_bundle
    torch.manual_seed(0)
    models = build_models(SD15_CONFIGS, device=device)
    adapters = {'plus': adapter_weights(models['unet'], models['image_encoder'], **SD15_CONFIGS['ip_adapter'])}
    return save_bundle(folder, models, adapters, byte_tokenizer(), diffusers.DDIMScheduler.from_config(SD15_SCHEDULE), dict(name=name))


def lora_folder(folder: Path) -> Path:
    "Where a bundle's random LoRA lies"
    return Path(tempfile.gettempdir())/'wall_inpainting_benchmarks'/f'{folder.name}-lora'


def random_lora(folder: Path, bundle) -> Path:
    "A LoRA for a bundle: of rank 8, with weights that do something; written anew each time, as another bundle may have had its folder's name"
    import torch
    from wall_inpainting.models.lora_files import save_lora
    from wall_inpainting.training import add_lora
    out, generator = lora_folder(folder), torch.Generator().manual_seed(0)
    unet = add_lora(bundle.pipeline().unet)
    with torch.no_grad():
        for weight in unet.parameters():
            if weight.requires_grad: weight.add_(.01*torch.randn(weight.shape, generator=generator).to(weight.device))
    return save_lora(unet, out, overwrite=True)


def make_photo(megapixels: float, corners: bool = True) -> tuple[Image.Image, Image.Image]:
    "A sample room, enlarged to that size at 4:3, with a sensor's noise, and its wall mask; `corners`: the mask reaches into them, so that nothing is cropped"
    from wall_inpainting.pictures.arrays import sample_rooms
    size = round((megapixels*1e6*4/3)**.5), round((megapixels*1e6*3/4)**.5)
    folder = sample_rooms('train')
    photo = Image.open(folder/'images'/'00009_a.png').convert('RGB').resize(size, Image.Resampling.BICUBIC)
    mask = np.array(Image.open(folder/'masks'/'00009.png').convert('L').resize(size, Image.Resampling.NEAREST))
    if corners: mask[[0, 0, -1, -1], [0, -1, 0, -1]] = 255
    rgb, generator = np.array(photo), np.random.default_rng(0)
    for top in range(0, size[1], 256): # in strips: the whole noise of a large photo would be the peak of memory
        part = rgb[top:top+256]
        rgb[top:top+256] = (part + 2*generator.standard_normal(part.shape, np.float32)).clip(0, 255)
    return Image.fromarray(rgb), Image.fromarray(mask)


def multiply(photo: Image.Image, mask, color) -> Image.Image:
    "What one would otherwise write: reference x shading per channel, in plain NumPy"
    from wall_inpainting.color_reference import parse_color
    from wall_inpainting.pictures.arrays import as_mask, linear_to_srgb, srgb_to_linear
    rgb, wall = np.asarray(photo), as_mask(mask) >= .5
    light = srgb_to_linear(rgb.astype(np.float32)/255)
    shading = light/np.maximum(np.median(light[wall], 0), 1e-4)
    new = linear_to_srgb((shading*srgb_to_linear(parse_color(color)/255)).clip(0, 1))
    return Image.fromarray(np.where(wall[..., None], (255*new).round().astype(np.uint8), rgb))


def timed(function: Callable, device: str = 'cpu') -> float:
    "Seconds of one call, to the end of what it set going on a GPU"
    def settle():
        if device.startswith('cuda'):
            import torch
            torch.cuda.synchronize()
    settle()
    start = time.perf_counter()
    function()
    settle()
    return time.perf_counter() - start


def take_turns(functions: dict[str, Callable], runs: int, device: str = 'cpu') -> dict[str, list[float]]:
    "Seconds of each function in each turn, after one to warm up; one that fails is told of, and has none"
    seconds = {name: [] for name in functions}
    for turn in range(runs+1):
        for name, function in functions.items():
            if seconds[name] is None: continue
            try: taken = timed(function, device)
            except Exception as error:
                print(f'{name} failed: {type(error).__name__}: {error}'[:2000], file=sys.stderr)
                seconds[name] = None
                continue
            if turn: seconds[name].append(taken)
    return {name: taken for name, taken in seconds.items() if taken}


def speed_row(group: str, name: str, seconds: dict[str, list[float]], against: str | None = None, watch: bool = False, **notes) -> dict:
    "A row of results: the median, the range, and how many times faster than another in the same turns; `watch`: regression.py minds it"
    row = dict(group=group, name=name) | ({'watch': True} if watch else {})
    if name not in seconds: return row | dict(failed=True) | notes
    row |= dict(seconds=statistics.median(seconds[name]), low=min(seconds[name]), high=max(seconds[name]), runs=len(seconds[name]))
    if against in seconds and against != name: row |= dict(against=against, ratio=statistics.median(a/b for a, b in zip(seconds[against], seconds[name])))
    return row | notes


def status(key: str) -> float:
    "VmHWM or VmRSS of this process, MB; Linux only"
    return int(re.search(rf'{key}:\s+(\d+)', Path('/proc/self/status').read_text())[1])/1024


def forget_peak(device: str = 'cpu'):
    "Begin to measure the peak of memory anew; Linux only"
    if device == 'cpu': Path('/proc/self/clear_refs').write_text('5')
    else:
        import torch
        torch.cuda.reset_peak_memory_stats()


def peak_memory(before: float = 0, device: str = 'cpu') -> float:
    "MB since `forget_peak`: allocated on the GPU, or resident beyond `before`"
    if device == 'cpu': return status('VmHWM') - before
    import torch
    return torch.cuda.max_memory_allocated()/2**20


def in_a_process(*words: str, **environment: str) -> dict:
    "What this script prints, as its last line of JSON, in a process of its own with these arguments added"
    done = subprocess.run([sys.executable, *sys.argv, *words], capture_output=True, text=True, env=os.environ | environment)
    if done.returncode: return dict(failed=done.stderr.strip().splitlines()[-1][:300] if done.stderr.strip() else f'exit {done.returncode}')
    return json.loads(done.stdout.splitlines()[-1])


def product_ceiling(device: str, dtype, side: int | None = None, runs: int = 10) -> float:
    "TFLOP/s of a large matrix product: what this machine reaches at best, in place of what its data sheet says"
    import torch
    side = side or (8192 if device.startswith('cuda') else 2048)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2*side**3/min(take_turns({'product': lambda: a @ b}, runs, device)['product'])/1e12


def count_flops(function: Callable) -> int:
    "Floating-point operations of all products and convolutions in a call, which must not be compiled"
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH): function() # the counter does not know a CPU's fused attention
    return counter.get_total_flops()


def progress(items: Iterable, what: str):
    "Say what is being measured: some of it takes minutes"
    for item in items:
        print(f'{what}: {item}', file=sys.stderr, flush=True)
        yield item
