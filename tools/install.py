"""Install the package in fresh environments and use it there: `python tools/install.py [names] [--python python3.12]`.

A wheel and an sdist are built from a copy of the files that git knows, so that nothing is left in the working tree. `wheel`
and `sdist` are installed without any extra, and each extra alone: `rooms` renders one tiny room, `studio` opens the page of
wall_studio and looks for its kernel, `browser` imports what the browser tests need, `dev` tests a notebook. One line for each
says what came out, the exit code is 1 if any failed. Each environment takes about 75 seconds and is removed afterwards.
"""
import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

ROOT = Path(__file__).parent.parent
EXTRAS = ['rooms', 'studio', 'browser', 'dev']
IMPORT = '''
import wall_inpainting
assert 'site-packages' in wall_inpainting.__file__, wall_inpainting.__file__
for name in wall_inpainting.__all__: getattr(wall_inpainting, name)
wall_inpainting.load_bundle('tiny')'''


def run(*command, **options) -> str:
    "What a command says; an error with its last lines if it fails"
    inherited = {key: value for key, value in os.environ.items() if key not in ('PYTHONPATH', 'VIRTUAL_ENV')}
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=inherited, **options)
    if done.returncode: raise RuntimeError(f"{' '.join(map(str, command[:4]))} ended with {done.returncode}: {' / '.join(done.stdout.splitlines()[-4:])}")
    return done.stdout


def build(folder: Path) -> tuple[Path, Path, Path]:
    "A copy of the files that git knows, and the wheel and the sdist made from it"
    source = folder/'source'
    for name in filter(None, run('git', 'ls-files', '-z', cwd=ROOT).split('\0')):
        if not (ROOT/name).is_file(): continue  # deleted, and not committed yet
        (source/name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT/name, source/name)
    run(sys.executable, '-m', 'build', '--outdir', folder, source)
    return source, next(folder.glob('*.whl')), next(folder.glob('*.tar.gz'))


def use_nothing(programs: Path, source: Path, folder: Path):
    run(programs/'python', '-c', IMPORT, cwd=folder)
    for command in programs.glob('wall_*'): run(command, '--help', cwd=folder)


def use_rooms(programs: Path, source: Path, folder: Path):
    run(programs/'wall_rooms', 'one', '--train', '0', '--validation', '', '--size', '32x24', '--spp', '1', cwd=folder)
    if not (folder/'one'/'train'/'images'/'00000_a.png').exists(): raise RuntimeError('wall_rooms wrote no picture')


def use_studio(programs: Path, source: Path, folder: Path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    inherited = {key: value for key, value in os.environ.items() if key not in ('PYTHONPATH', 'VIRTUAL_ENV')}
    with open(folder/'log', 'w') as log, subprocess.Popen([programs/'wall_studio', '--port', str(port), '--no_browser'], cwd=folder, stdout=log, stderr=log, env=inherited) as page:
        try:
            for _ in range(60):  # seconds until the server listens
                try: answer = urlopen(f'http://127.0.0.1:{port}/', timeout=120); break
                except HTTPError: raise  # it listens, and says what is wrong
                except URLError:
                    if page.poll() is not None: raise RuntimeError((folder/'log').read_text()[-300:]) from None
                    time.sleep(1)
            else: raise RuntimeError('wall_studio did not answer within a minute')
            if answer.status != 200 or b'"kernelId"' not in answer.read(): raise RuntimeError(f'the page of wall_studio has no kernel, status {answer.status}')
        finally: page.terminate()


def use_browser(programs: Path, source: Path, folder: Path):
    run(programs/'python', '-c', 'from playwright.sync_api import sync_playwright', cwd=folder)


def use_dev(programs: Path, source: Path, folder: Path):
    run(programs/'pytest', '-q', 'nbs/rooms/meshes.ipynb', 'tests/test_structure.py', cwd=source)


def check(name: str, python: str, package: Path, source: Path, use: Callable) -> bool:
    "Install a package in a fresh environment, use it, and print a line"
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        try:
            run(python, '-m', 'venv', Path(place)/'env')
            programs = Path(place)/'env'/('Scripts' if os.name == 'nt' else 'bin')
            wanted = f'{package}[{name}]' if name in EXTRAS else package
            run(programs/'python', '-m', 'pip', 'install', '-q', '--no-compile', '-c', source/'constraints.txt', wanted)
            run(programs/'python', '-m', 'pip', 'check')
            use(programs, source, Path(place))
        except (RuntimeError, OSError) as error: result = f'FAILED, {error}'
        else: result = 'ok'
    print(f'{name}, {python}: {result} ({time.monotonic()-start:.0f} s)', flush=True)
    return result == 'ok'


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ['wheel', 'sdist', *EXTRAS]
    parser.add_argument('names', nargs='*', help=f"of {', '.join(names)}; all by default")
    parser.add_argument('--python', default=sys.executable, help='interpreter that the environments are made with')
    args = parser.parse_args()
    if unknown := set(args.names) - set(names): parser.error(f'no {min(unknown)!r}: choose from {names}')
    use = dict(wheel=use_nothing, sdist=use_nothing, rooms=use_rooms, studio=use_studio, browser=use_browser, dev=use_dev)
    with tempfile.TemporaryDirectory() as folder:
        source, wheel, sdist = build(Path(folder))
        passed = [check(name, args.python, sdist if name == 'sdist' else wheel, source, use[name]) for name in args.names or names]
    raise SystemExit(not all(passed))
