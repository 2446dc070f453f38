"What of the documentation can be checked without Quarto: pages that open with their result, links, the map, Colab, pictures."
import base64
import json
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT/'nbs').rglob('*.ipynb'))
NOTEBOOKS = [page for page in PAGES if page.stem != 'index']
def page_name(page): return page.relative_to(ROOT/'nbs').with_suffix('').as_posix()
each_notebook = pytest.mark.parametrize('notebook', NOTEBOOKS, ids=page_name)
each_page = pytest.mark.parametrize('notebook', PAGES, ids=page_name)
SHOWN = {'image/png', 'image/jpeg', 'image/svg+xml', 'text/markdown', 'text/html'}  # pictures and tables


def cells(notebook: Path) -> list[dict]:
    "The cells, each with its source as one text"
    return [cell | dict(source=''.join(cell['source'])) for cell in json.loads(notebook.read_text(encoding='utf-8'))['cells']]


def outputs(cell: dict) -> list[dict]:
    "What a cell shows, by mime type"
    return [output.get('data', {}) for output in cell.get('outputs', [])]


@each_notebook
def test_title_and_promise(notebook):
    title = next(cell['source'] for cell in cells(notebook) if cell['cell_type'] == 'markdown')
    assert re.match(r'# [^\n]+\n+> [^\n]+', title), 'a page starts with its title and a line of what it promises'


@each_notebook
def test_opens_with_its_result(notebook):
    before = []
    for cell in cells(notebook):
        if cell['cell_type'] == 'markdown' and re.match(r'## ', cell['source']) and len(before) > 1: break
        before.append(cell)
    later = cells(notebook)[len(before):len(before) + 4]  # or right after the first heading
    assert any(SHOWN & set(data) for cell in before + later for data in outputs(cell)), 'no picture or table near the top'


@each_page
def test_links_lead_somewhere(notebook):
    for cell in cells(notebook):
        if cell['cell_type'] != 'markdown': continue
        for target in re.findall(r'\]\(([^)\s]+)\)', cell['source']):
            if re.match(r'https?:|#|mailto:|attachment:', target): continue
            assert (notebook.parent/target.split('#')[0]).exists(), f'{notebook.name} links to {target}'


@pytest.mark.parametrize('name', ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md'])
def test_links_of_text_files(name):
    for target in re.findall(r'\]\(([^)\s]+)\)', (ROOT/name).read_text(encoding='utf-8')):
        if not re.match(r'https?:|#', target): assert (ROOT/target.split('#')[0]).exists(), f'{name} links to {target}'


def test_every_notebook_is_on_the_map():
    index = ''.join(cell['source'] for cell in cells(ROOT/'nbs'/'index.ipynb'))
    missing = [page_name(notebook) for notebook in NOTEBOOKS if f']({page_name(notebook)}.ipynb)' not in index]
    assert not missing, f'index.ipynb does not mention {missing}'


def test_every_notebook_opens_in_colab():
    done = subprocess.run([sys.executable, 'tools/colab.py', '--check'], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + 'run `python tools/colab.py`'


@each_page
def test_no_noise_is_shown(notebook):
    "No warnings, no paths of the machine that ran it, no object where a picture should be"
    for cell in cells(notebook):
        for output in cell.get('outputs', []):
            text = ''.join(output.get('text', [])) + ''.join(output.get('data', {}).get('text/plain', []))
            if output.get('name') == 'stderr': assert not re.search(r'Warning|^\[\w+\] ', text, re.M), f'{notebook.name}: {text[:200]}'
            assert not re.search(r'(?<![\w.])/(home|root|tmp|opt|Users|work|var)/', text), f'{notebook.name}: {text[:200]}'


@each_page
def test_pictures_are_small(notebook):
    "A page loads quickly, and a picture fits on it"
    assert notebook.stat().st_size < 2.5e6
    for cell in cells(notebook):
        for data in outputs(cell):
            for kind in SHOWN & {'image/png', 'image/jpeg'} & set(data):
                assert Image.open(BytesIO(base64.b64decode(''.join(data[kind])))).width <= 2400


@each_page
def test_no_widget_is_saved(notebook):
    "A widget is nothing without its kernel: GitHub and the site get the picture that `tools/refresh.py` leaves of it"
    for cell in cells(notebook):
        for data in outputs(cell):
            assert 'application/vnd.jupyter.widget-view+json' not in data
