"""Run notebooks in a real kernel and save their outputs, then clean them: `python tools/refresh.py [nbs/rooms/*.ipynb ...]`.

`nbdev_test` checks that cells run but never saves what they show. This does, under the same rules: cells marked
`eval: false`, or with one of settings.ini's `tst_flags`, are not run and keep the outputs they have. With `--flags cuda`
(or `hub`, `slow`) those cells run as well.
"""
import argparse
import os
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbdev.clean import nbdev_clean
from nbdev.config import get_config

DIRECTIVE = re.compile(r'^\s*#\s*\|\s*(.+?)\s*$', re.M)


def skipped(source: str, flags: set[str]) -> bool:
    "Whether a cell's directives keep it from running"
    directives = DIRECTIVE.findall(source)
    return any(re.fullmatch(r'eval:\s*false', d) or d in flags for d in directives)


def refresh(path: Path, flags: set[str]):
    "Run `path` and save its outputs; a failing cell raises and leaves the file as it was"
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=1200, kernel_name='python3', resources={'metadata': {'path': str(path.parent)}})
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type == 'code' and not skipped(cell.source, flags): client.execute_cell(cell, index)
    for cell in notebook.cells: # a saved widget is nothing without its kernel, and a page may choose it before the picture beside it
        for output in cell.get('outputs', []):
            if 'image/png' in output.get('data', {}): output.data.pop('application/vnd.jupyter.widget-view+json', None)
    unfinished = path.with_suffix('.tmp')
    unfinished.write_text(nbformat.writes(notebook) + '\n', encoding='utf-8')
    unfinished.replace(path)
    nbdev_clean(str(path))
    print(f'refreshed {path}')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('notebooks', nargs='*', type=Path, help='default: all of nbs/')
    parser.add_argument('--flags', default='', help='flags whose cells run too, separated by spaces')
    args = parser.parse_args()
    os.environ.setdefault('HF_HUB_OFFLINE', '' if 'hub' in args.flags else '1')
    config = get_config()
    flags = set(config.tst_flags.split()) - set(args.flags.split())
    for path in args.notebooks or sorted(config.nbs_path.rglob('*.ipynb')): refresh(path, flags)
