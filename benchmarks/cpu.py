"""The default engine on a CPU: `python benchmarks/cpu.py`.

Cold starts of `wall_repaint` in fresh processes, split into what Python, imports, weights and the repaint take; how long
the package's own modules take to import; and time and peak memory by the size of a photo, for both engines and
for what one would otherwise write, reference x shading per channel in NumPy. Linux only.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import forget_peak, in_a_process, make_photo, multiply, parse, peak_memory, progress, save, speed_row, status, take_turns

ROOT = Path(__file__).resolve().parent.parent
IMPORTS = {'nothing (Python itself)': 'pass', 'wall_inpainting': 'import wall_inpainting', 'its colours': 'import wall_inpainting.color_reference',
           'wall_repaint': 'import wall_inpainting.painting.command_line', 'the light network': 'import wall_inpainting.light.network',
           'bundles, with diffusers and transformers': 'import wall_inpainting.models.bundles'}
COLD = '''
import json, sys, time
started = time.time()
import wall_inpainting.painting.command_line
engine, out = sys.argv[1:]
if engine == 'light': import wall_inpainting.light.network
imported = time.time()
if engine == 'light': wall_inpainting.light.network.load_light_net()
loaded = time.time()
wall_inpainting.painting.command_line.wall_repaint(engine=engine, out=out)
print(json.dumps([started, imported, loaded, time.time()]))
'''


def run_python(code: str, *words: str) -> str:
    return subprocess.run([sys.executable, '-c', code, *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def import_rows(runs: int) -> list[dict]:
    "Seconds of a process that imports a module, and what of it is the import, in turns"
    own = {name: [] for name in IMPORTS}
    def measure(name): own[name].append(float(run_python(f'import time; start = time.perf_counter(); {IMPORTS[name]}; print(time.perf_counter() - start)').split()[-1]))
    seconds = take_turns({name: lambda name=name: measure(name) for name in IMPORTS}, runs)
    return [speed_row('import', name, seconds, own_s=statistics.median(own[name][1:])) for name in IMPORTS]


def cold_row(engine: str, runs: int, folder: Path) -> dict:
    "The stages of `wall_repaint` on the sample room, each a median over fresh processes"
    stages = []
    for turn in range(runs+1):
        begun = time.time()
        started, imported, loaded, done = json.loads(run_python(COLD, engine, str(folder/f'{engine}{turn}.png')).splitlines()[-1])
        stages.append((started-begun, imported-started, loaded-imported, done-loaded, time.time()-begun))
    python, imports, load, compute, total = map(statistics.median, zip(*stages[1:])) # the first reads files from the disk
    return dict(group='cold', name=engine, python_s=python, import_s=imports, load_s=load if engine == 'light' else None, compute_s=compute, seconds=total, runs=runs)


def engines() -> dict:
    from wall_inpainting.color_reference import recolor
    from wall_inpainting.light.network import repaint_wall
    return {'light': repaint_wall, 'recolor': recolor, 'NumPy': multiply}


def size_rows(megapixels: float, runs: int) -> list[dict]:
    photo, mask = make_photo(megapixels)
    seconds = take_turns({name: lambda engine=engine: engine(photo, mask, '#f3ead7') for name, engine in engines().items()}, runs)
    return [speed_row('size', name, seconds, 'NumPy', watch=name != 'NumPy', megapixels=megapixels) | in_a_process('--memory-of', name, str(megapixels)) for name in engines()]


def memory_of(engine: str, megapixels: float) -> dict:
    "The peak of a process of its own, whole and above what the photo and the libraries take"
    photo, mask = make_photo(megapixels)
    function = engines()[engine]
    function(photo.resize((64, 48)), mask.resize((64, 48)), '#f3ead7') # imports, tables, weights
    forget_peak()
    before = status('VmRSS')
    function(photo, mask, '#f3ead7')
    return dict(memory_mb=peak_memory(before), process_mb=peak_memory())


if __name__ == '__main__':
    args = parse(__doc__, ('--megapixels', dict(type=float, nargs='*', default=[1, 12, 48])), ('--memory-of', dict(nargs=2)), device=False)
    if args.memory_of:
        print(json.dumps(memory_of(args.memory_of[0], float(args.memory_of[1]))))
        sys.exit()
    if args.quick: args.megapixels = [.1]
    os.environ['PYTHONPATH'] = str(ROOT)
    rows = import_rows(args.runs)
    with tempfile.TemporaryDirectory() as folder: rows += [cold_row(engine, args.runs, Path(folder)) for engine in progress(['light', 'recolor'], 'cold start')]
    for megapixels in progress(args.megapixels, 'megapixels'): rows += size_rows(megapixels, args.runs if megapixels < 40 else min(args.runs, 5))
    save('cpu', args, rows)
