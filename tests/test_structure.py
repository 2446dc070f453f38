"What holds for the package as a whole: imports run downward, importing is cheap, the README is the index notebook."
import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT/'nbs').glob('[0-9]*.ipynb'))


def default_exp(notebook: Path) -> str:
    "The module that a notebook exports to, from its first cell"
    first = ''.join(json.loads(notebook.read_text(encoding='utf-8'))['cells'][0]['source']).strip()
    return first.removeprefix('#| default_exp ')


MODULES = {default_exp(notebook): notebook for notebook in NOTEBOOKS}
ORDER = list(MODULES)


def imported_modules(module: str) -> set[str]:
    "The package's own modules that `module` imports, at its top or inside a function"
    tree, found = ast.parse((ROOT/'wall_inpainting'/f'{module}.py').read_text()), set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import): names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            base = f"wall_inpainting.{node.module or ''}".rstrip('.') if node.level else node.module
            names = [base] + [f'{base}.{alias.name}' for alias in node.names]
        found |= {name.split('.')[1] for name in names if name.startswith('wall_inpainting.')}
    return found & set(ORDER)


@pytest.mark.parametrize('module', ORDER)
def test_imports_run_downward(module):
    upward = [name for name in imported_modules(module) if ORDER.index(name) >= ORDER.index(module)]
    assert not upward, f'{module} imports {upward}, which come after it in the order of the notebooks'


def test_the_downward_check_can_fail():
    assert ORDER.index('inference') > ORDER.index('color_reference')
    assert 'color_reference' in imported_modules('inference')


@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_has_its_module(notebook):
    assert notebook.stem.endswith(default_exp(notebook))
    assert (ROOT/'wall_inpainting'/f'{default_exp(notebook)}.py').exists()


def test_every_module_has_its_notebook():
    modules = {path.stem for path in (ROOT/'wall_inpainting').glob('[!_]*.py')}
    assert modules == set(ORDER)


@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda path: path.stem)
def test_imports_have_cells_of_their_own(notebook):
    "Building the site runs export cells and whatever holds an import, and no other cell: code beside an import would fail"
    for cell in json.loads(notebook.read_text(encoding='utf-8'))['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] != 'code' or re.search(r'^#\s*\|\s*export', source, re.M) or source.startswith('%'): continue
        if 'nbdev.nbdev_export()' in source: continue
        tree = ast.parse(re.sub(r'^[ \t]*[%!].*$', '', source, flags=re.M))
        imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
        assert not imports or all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in tree.body), source


LIGHT = ['color_reference', 'photos', 'imagefolder', 'rooms', 'inference', 'command_line', 'color_difference',
         'validation_metrics', 'validation_grid', 'run_comparison', 'validation_command_line']


@pytest.mark.parametrize('module', LIGHT)
def test_no_torch_before_it_is_needed(module):
    code = f'import sys, wall_inpainting.{module}; print([m for m in ("torch", "diffusers", "nbdev", "mitsuba") if m in sys.modules])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == '[]'


def test_nothing_of_nbdev_at_run_time():
    for module in ORDER: assert 'nbdev' not in [name.split('.')[0] for name in top_level_names(module)]


def top_level_names(module: str) -> list[str]:
    "Every module named in an import statement of `module`"
    tree = ast.parse((ROOT/'wall_inpainting'/f'{module}.py').read_text())
    return [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names] + \
           [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]


def test_readme_is_the_index_notebook():
    code = 'import tools.readme as r; print(r.README.read_text(encoding="utf-8") == r.build()[0])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split()[-1] == 'True', 'run `python tools/readme.py` and commit README.md'
