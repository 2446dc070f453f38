"What holds for the package as a whole: imports run downward, importing is cheap, the README is the index notebook."
import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT/'tools'))
from imports import find_modules, find_violations, read_imports

PAGES = sorted((ROOT/'nbs').rglob('*.ipynb'))


def cells(notebook: Path) -> list[dict]:
    "The cells, each with its source as one text"
    return [cell | dict(source=''.join(cell['source'])) for cell in json.loads(notebook.read_text(encoding='utf-8'))['cells']]


def page_name(page: Path) -> str: return page.relative_to(ROOT/'nbs').with_suffix('').as_posix()


EXPORTS = {notebook: first.removeprefix('#| default_exp ') for notebook in PAGES if (first := cells(notebook)[0]['source'].strip()).startswith('#| default_exp ')}
MODULES = find_modules()


def test_imports_run_downward():
    assert find_violations(read_imports()) == []


@pytest.mark.parametrize('module, line, said', [
    ('pictures/photos.py', 'from ..inference import WallPainter', 'pictures.photos imports inference, which is not below it'),
    ('lora/cache.py', 'from ..painting.fast import FastPainter', 'lora.cache imports painting.fast, which is not below it'),
    ('studio/page.py', 'from ..rooms.folder import wall_rooms', 'studio.page imports rooms.folder, which makes data or weights'),
    ('models/bundles.py', 'def f(): import wall_inpainting.models.settings', 'imports go round in a circle')])
def test_a_planted_import_is_found(tmp_path, module, line, said):
    package = shutil.copytree(ROOT/'wall_inpainting', tmp_path/'wall_inpainting', ignore=shutil.ignore_patterns('data', '__pycache__'))
    (package/module).write_text((package/module).read_text() + f'\n{line}\n')
    if 'circle' in said: (package/'models'/'settings.py').write_text('from .bundles import Bundle')
    assert any(said in violation for violation in find_violations(read_imports(package)))


def test_every_module_has_its_notebook():
    assert sorted(EXPORTS.values()) == sorted(MODULES)
    for notebook, module in EXPORTS.items(): assert re.sub(r'(^|/)\d\d_', r'\1', page_name(notebook)) == module.replace('.', '/')


def test_the_front_rooms():
    assert [page.name for page in PAGES if page.parent.name == 'nbs'] == [
        '00_color_reference.ipynb', '01_dataset.ipynb', '02_training.ipynb', '03_validation_metrics.ipynb', '04_inference.ipynb', '05_gap_analysis.ipynb',
        'index.ipynb', 'speed.ipynb']


def test_the_sidebar_shows_every_page():
    listed = re.findall(r'- (\S+\.ipynb)', (ROOT/'nbs'/'sidebar.yml').read_text())
    assert sorted(listed) == sorted(f'{page_name(page)}.ipynb' for page in PAGES)


def test_the_door():
    import wall_inpainting
    assert {'WallPainter', 'recolor', 'load_bundle', 'WallInpaintingDataset', 'train_lora', 'validate'} <= set(dir(wall_inpainting)) == set(wall_inpainting.__all__)
    for name in wall_inpainting.__all__: assert getattr(wall_inpainting, name) is not None
    with pytest.raises(AttributeError, match='no_such_name'): wall_inpainting.no_such_name
    stub = ast.parse((ROOT/'wall_inpainting'/'__init__.pyi').read_text())
    homes = {alias.name: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert homes == wall_inpainting._HOME  # what a type checker finds is what there is


def test_the_door_opens_nothing_by_itself():
    code = 'import sys, wall_inpainting; print(sorted(name for name in sys.modules if name.startswith("wall_inpainting.") or name in ("numpy", "PIL", "torch")))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == '[]'


@pytest.mark.parametrize('notebook', PAGES, ids=page_name)
def test_imports_have_cells_of_their_own(notebook):
    "Building the site runs export cells and whatever holds an import, and no other cell: code beside an import would fail"
    for cell in cells(notebook):
        source = cell['source']
        if cell['cell_type'] != 'code' or re.search(r'^#\s*\|\s*export', source, re.M) or source.startswith('%'): continue
        if 'nbdev.nbdev_export()' in source: continue
        tree = ast.parse(re.sub(r'^[ \t]*[%!].*$', '', source, flags=re.M))
        imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
        assert not imports or all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in tree.body), source


@pytest.mark.parametrize('notebook', PAGES, ids=page_name)
def test_errors_are_told_apart(notebook):
    "`test_fail` alone passes for any mistake of the test's own: each says what the error must contain"
    for cell in cells(notebook):
        if cell['cell_type'] != 'code' or 'test_fail(' not in cell['source']: continue
        for node in ast.walk(ast.parse(re.sub(r'^[ \t]*[%!].*$', '', cell['source'], flags=re.M))):
            if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'test_fail': assert 'contains' in [keyword.arg for keyword in node.keywords], ast.unparse(node)


LIGHT = ['color_reference', 'light.network', 'pictures.photos', 'pictures.imagefolder', 'rooms.folder', 'inference', 'painting.command_line', 'validation_metrics',
         'validation.grid', 'validation.comparison', 'validation.command_line']


@pytest.mark.parametrize('module', LIGHT)
def test_no_torch_before_it_is_needed(module):
    code = f'import sys, wall_inpainting.{module}; print([m for m in ("torch", "diffusers", "nbdev", "mitsuba") if m in sys.modules])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == '[]'


@pytest.mark.parametrize('engine', ['light', 'recolor'])
def test_a_repaint_without_large_libraries(engine, tmp_path):
    "They would take longer to import than the repaint takes: where one is needed, it is imported late, and by another engine"
    code = f"""import sys; from wall_inpainting.painting.command_line import wall_repaint; wall_repaint(engine={engine!r}, out={str(tmp_path/'wall.png')!r})
print(sorted({{'torch', 'diffusers', 'transformers', 'scipy', 'skimage', 'matplotlib'}} & set(sys.modules)))"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == '[]' and (tmp_path/'wall.png').stat().st_size > 0


def test_nothing_of_nbdev_at_run_time():
    for module, path in MODULES.items(): assert 'nbdev' not in [name.split('.')[0] for name in top_level_names(path)], module


def top_level_names(path: Path) -> list[str]:
    "Every module named in an import statement of a file"
    tree = ast.parse(path.read_text())
    return [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names] + \
           [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]


def test_readme_is_the_index_notebook():
    code = 'import tools.readme as r; print(r.README.read_text(encoding="utf-8") == r.build()[0])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split()[-1] == 'True', 'run `python tools/readme.py` and commit README.md'
