"""The explorers and the studio in a real browser: `pytest tests/browser`.

Needs the extras `studio` and `browser`, and a Chromium: Debian's (`apt-get install chromium`), or `playwright install chromium`.
Where one of them is missing, these tests are skipped, and say which; with WALL_BROWSER=required they fail. WALL_PICTURES=folder keeps a picture of every step.
"""
import importlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

REQUIRED = os.environ.get('WALL_BROWSER') == 'required'  # whatever is missing is a failure then
playwright, _ = (importlib.import_module(name) if REQUIRED else pytest.importorskip(name) for name in ('playwright.sync_api', 'ipyevents'))

FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
ROOT = Path(__file__).parents[2]
EMBEDDED = {'02_training': ['ShapeFlow'], '03_validation_metrics': ['MetricExplorer', 'GridExplorer'], '04_inference': ['ShapeFlow'], '05_gap_analysis': ['DoseExplorer']}  # what each notebook must show, at least
CELLS = """from wall_inpainting import WallInpaintingDataset, recolor, sample_rooms, validate
from wall_inpainting.studio.explorers import GridExplorer, MetricExplorer, RepaintStudio, ShapeFlow
%%
def formula(image, mask, color): return recolor(image, mask, color)
dataset = WallInpaintingDataset(sample_rooms().parent, 'validation', resolution=128, max_samples=3)
run = validate(dataset, formula, 'run', progress=False)
%%
MetricExplorer()
%%
ShapeFlow('inference')
%%
GridExplorer(run, rows=1)
%%
RepaintStudio()"""
PATIENCE = 180  # s: importing PyTorch and opening a page on two busy cores
OUTLINE = [(0, 0), (.36, .21), (1, .12), (1, .5), (.92, .81), (.36, .74), (0, 1)]  # of the first sample room's wall, in shares of the picture
STROKE = [(.46, .42), (.55, .42), (.68, .42)]  # over the pictures on it, which are no wall


def free_port() -> int:
    "A port that nobody listens on"
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def serve(command: list[str], address: str, folder: Path) -> subprocess.Popen:
    "Start a server with Jupyter folders of its own, and wait for it to answer"
    private = {name: str(folder/name.lower()) for name in ('JUPYTER_CONFIG_DIR', 'JUPYTER_DATA_DIR', 'JUPYTER_RUNTIME_DIR', 'IPYTHONDIR')}
    log = (folder/'server.log').open('w')
    program = shutil.which(command[0], path=Path(sys.executable).parent)
    server = subprocess.Popen([program, *command[1:]], cwd=folder, stdout=log, stderr=log, env={**os.environ, **private, 'BROWSER': 'true'})
    for _ in range(PATIENCE):
        if server.poll() is not None: break
        try: urllib.request.urlopen(address, timeout=2); return server
        except urllib.error.HTTPError: return server
        except OSError: time.sleep(1)
    stop(server)
    pytest.fail(f'{command[0]} does not answer:\n{(folder/"server.log").read_text()[-3000:]}')


def stop(server: subprocess.Popen):
    "End a server and its kernels"
    server.terminate()
    try: server.wait(20)
    except subprocess.TimeoutExpired: server.kill()


@pytest.fixture(scope='module')
def browser():
    "Headless Chromium: Debian's, or the one that Playwright brings"
    with playwright.sync_playwright() as p:
        try: chromium = p.chromium.launch(executable_path=shutil.which('chromium') or None, args=FLAGS)
        except playwright.Error as error:
            if REQUIRED: raise
            pytest.skip(f'no Chromium: {str(error).splitlines()[0]}')
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, request):
    "A page that keeps a picture of how it ended"
    page = browser.new_page(viewport=dict(width=1400, height=1500))
    page.set_default_timeout(PATIENCE*1000)
    yield page
    keep(page, f'{request.node.name}_end')
    page.close()


def keep(page, name: str):
    "Save a picture of the page, where asked for"
    if folder := os.environ.get('WALL_PICTURES'): page.screenshot(path=f'{folder}/{name}.png')


def picture(image) -> str:
    "What identifies the picture that an <img> shows: widgets make a new address for each"
    return image.get_attribute('src')


def copy_notebook(path: Path, folder: Path):
    "Copy a notebook without the cells that a test may not run, with a last cell that says it ran"
    notebook = json.loads(path.read_text(encoding='utf-8'))
    skipped = re.compile(r'^#\|\s*(eval:\s*false|slow|cuda|hub)\b|nbdev_export', re.M)
    cells = [cell | dict(outputs=[]) if cell['cell_type'] == 'code' else cell for cell in notebook['cells'] if not skipped.search(''.join(cell['source']))]
    write_notebook(folder/path.name, cells)
    for name in ('benchmarks', 'index_files'): (folder.parent/name).symlink_to(ROOT/name)  # what notebooks read beside the package


def write_notebook(path: Path, cells: list[dict]):
    "Write cells and one that says that all ran"
    kernel = dict(name='python3', display_name='Python 3 (ipykernel)', language='python')
    path.write_text(json.dumps(dict(cells=[*cells, code_cell("print('all', 'ran')", 'last')], metadata=dict(kernelspec=kernel), nbformat=4, nbformat_minor=5)))


def code_cell(source: str, name: str) -> dict: return dict(cell_type='code', id=name, metadata={}, execution_count=None, outputs=[], source=source)


@pytest.fixture
def lab(page, tmp_path):
    "What opens a notebook of a folder in JupyterLab, runs all of it and finds no error"
    folder = tmp_path/'nbs'
    folder.mkdir()
    settings = folder/'jupyter_config_dir/lab/user-settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings'
    settings.parent.mkdir(parents=True)
    settings.write_text('{"windowingMode": "none"}')  # else only the cells in view are there to be looked at
    port = free_port()
    server = serve(['jupyter-lab', '--no-browser', '--allow-root', '--ServerApp.ip=127.0.0.1', f'--ServerApp.port={port}', '--IdentityProvider.token=check',
                    '--LabApp.extension_manager=readonly', '--LabApp.news_url='], f'http://127.0.0.1:{port}/api', folder)

    def run(name):
        page.goto(f'http://127.0.0.1:{port}/lab/tree/{name}.ipynb?token=check&reset')
        page.get_by_text('| Idle').first.wait_for()  # before that, Run All would ask for a kernel
        page.get_by_role('menuitem', name='Run', exact=True).click()
        page.get_by_role('menuitem', name='Run All Cells', exact=True).click()
        error = page.locator('[data-mime-type="application/vnd.jupyter.error"]')
        page.get_by_text('all ran', exact=True).or_(error.first).first.wait_for(timeout=3*PATIENCE*1000)  # a numbered notebook takes a minute
        assert error.count() == 0, error.first.inner_text()
        return page.locator('.jp-OutputArea-output .wall-explorer')
    run.folder = folder
    yield run
    stop(server)


def no_stderr(page):
    "Nothing was printed on stderr: no warning is shown to the reader"
    said = page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]')
    assert said.count() == 0, said.first.inner_text()


def kind_of(explorer) -> str:
    "The class of an explorer: `Explorer` gives its widgets the CSS classes 'wall-explorer' and its own name"
    classes = explorer.get_attribute('class').split()
    return classes[classes.index('wall-explorer') + 1]


def changes(explorer, act, tries: int = 3):
    "Act until the words and a picture of an explorer are others than before; without words, the numbers beside its sliders count"
    texts = lambda kind: explorer.locator(kind).all_inner_texts()
    words, pictures = lambda: texts('.widget-html-content') or texts('.widget-readout'), lambda: [picture(image) for image in explorer.locator('img').all()]
    said, shown = words(), pictures()
    for _ in range(tries):
        act()
        for _ in range(PATIENCE):
            if words() != said and pictures() != shown: return
            explorer.page.wait_for_timeout(300)
    pytest.fail(f'{kind_of(explorer)}: words or pictures are as before\n{words()}')


def move(explorer):
    "Move the first slider of an explorer, or its first list where it has no slider, and see words and pictures change"
    explorer.scroll_into_view_if_needed()
    if kind_of(explorer) == 'RepaintStudio': return try_studio(explorer)
    handle, chooser = explorer.locator('.widget-slider .noUi-handle').first, explorer.locator('select').first
    if explorer.locator('.widget-slider').count():
        handle.focus()
        at_end = handle.get_attribute('aria-valuenow') == handle.get_attribute('aria-valuemax')
        changes(explorer, lambda: explorer.page.keyboard.press('ArrowLeft' if at_end else 'ArrowRight'))
    else: changes(explorer, lambda: chooser.select_option(index=chooser.locator('option').count() - 1))
    keep(explorer.page, f'lab_{kind_of(explorer)}')


def try_studio(studio):
    "Repaint a sample room by its own mask, then draw the curtain"
    button = lambda name: studio.get_by_role('button', name=name, exact=True)
    button('sample mask').click()
    changes(studio, lambda: button('repaint').click(), tries=1)
    studio.get_by_text('ΔE00').first.wait_for()
    shown = picture(studio.locator('img').last)
    studio.locator('.widget-slider .noUi-handle').last.focus()
    for _ in range(30): studio.page.keyboard.press('ArrowLeft')
    playwright.expect(studio.locator('img').last).not_to_have_attribute('src', shown, timeout=PATIENCE*1000)
    keep(studio.page, 'lab_RepaintStudio')


def test_lab_explorers_move(page, lab):
    write_notebook(lab.folder/'explore.ipynb', [code_cell(source, f'c{i}') for i, source in enumerate(CELLS.split('\n%%\n'))])
    explorers = lab('explore')
    assert [kind_of(explorer) for explorer in explorers.all()] == ['MetricExplorer', 'ShapeFlow', 'GridExplorer', 'RepaintStudio']
    for explorer in explorers.all(): move(explorer)
    check_shape_flow(page)
    no_stderr(page)


@pytest.mark.parametrize('name', EMBEDDED)
def test_lab_widgets_of_a_numbered_notebook_move(page, lab, name):
    copy_notebook(ROOT/'nbs'/f'{name}.ipynb', lab.folder)
    explorers = lab(name)
    assert explorers.count(), f'{name} shows no explorer'
    assert set(EMBEDDED[name]) <= {kind_of(explorer) for explorer in explorers.all()}
    for explorer in explorers.all(): move(explorer)
    no_stderr(page)


def check_shape_flow(page):
    "A click on a card, followed by the words and the drawing"
    explorer = page.locator('.ShapeFlow')
    drawing = explorer.locator('img').first
    drawing.scroll_into_view_if_needed()
    box, shown = drawing.bounding_box(), picture(drawing)
    page.mouse.click(box['x'] + .3*box['width'], box['y'] + .1*box['height'])  # the VAE encoder's card
    explorer.get_by_text('latents · [').first.wait_for()
    playwright.expect(drawing).not_to_have_attribute('src', shown, timeout=PATIENCE*1000)
    keep(page, 'lab_shape_flow')


@pytest.fixture
def studio(page, tmp_path):
    "The page of `wall_studio`, as the command serves it; pictures are saved in tmp_path/saved"
    (tmp_path/'saved').mkdir()
    port = free_port()
    server = serve(['wall_studio', '--folder', str(tmp_path/'saved'), '--port', str(port), '--no_browser'], f'http://127.0.0.1:{port}/voila/static/none', tmp_path)
    page.goto(f'http://127.0.0.1:{port}/')
    page.locator('img').first.wait_for()
    yield page
    stop(server)


def test_studio_outline_repaint_save(studio, tmp_path):
    "Click the wall's corners, take the pictures off it with a brush, repaint, draw the curtain, save; a wrong colour is said, not raised"
    page, saved, canvas = studio, tmp_path/'saved', studio.locator('img').first
    box = canvas.bounding_box()
    for x, y in OUTLINE:
        before = picture(canvas)
        page.mouse.click(box['x']+2+x*(box['width']-4), box['y']+2+y*(box['height']-4))
        playwright.expect(canvas).not_to_have_attribute('src', before, timeout=PATIENCE*1000)  # each corner is drawn
    keep(page, 'studio_outline')
    button = lambda name: page.get_by_role('button', name=name, exact=True)
    for name in ('add', 'edges'):
        before = picture(canvas)
        button(name).click()
        playwright.expect(canvas).not_to_have_attribute('src', before, timeout=PATIENCE*1000)
    page.get_by_role('button', name='brush: remove').click()
    before = picture(canvas)
    drag(page, canvas, STROKE)
    playwright.expect(canvas).not_to_have_attribute('src', before, timeout=PATIENCE*1000)
    keep(page, 'studio_painted')
    button('repaint').click()
    page.get_by_text('ΔE00').first.wait_for()
    result = page.locator('img').last
    shown = picture(result)
    keep(page, 'studio_repainted')
    page.locator('.widget-slider .noUi-handle').last.focus()
    for _ in range(30): page.keyboard.press('ArrowLeft')
    playwright.expect(result).not_to_have_attribute('src', shown, timeout=PATIENCE*1000)
    button('save').click()
    page.get_by_text('saved wall.png').wait_for()
    check_saved(saved)
    page.get_by_label('colours').fill('no such colour')
    page.keyboard.press('Tab')
    button('repaint').click()
    page.get_by_text('is not a colour').wait_for()


def test_studio_uploads(studio, tmp_path):
    "Photos of 12 and 48 megapixels, larger than Voilà's websocket takes by itself; a file over the limit gets a sentence; the kernel ends with its page"
    canvas, button, said = studio.locator('img').first, studio.get_by_role('button', name='sample mask', exact=True), []
    studio.on('dialog', lambda dialog: (said.append(dialog.message), dialog.accept()))
    for width, height in [(4000, 3000), (6000, 8000)]:
        write_phone_photo(tmp_path/'phone.jpg', width, height)
        before = picture(canvas)
        upload(studio, tmp_path/'phone.jpg')
        playwright.expect(canvas).not_to_have_attribute('src', before, timeout=PATIENCE*1000)
        box = canvas.bounding_box()
        assert abs(box['width']/box['height'] - width/height) < .02
        keep(studio, f'studio_{width}x{height}')
    with (tmp_path/'huge.tif').open('wb') as file: file.truncate(201_000_000)  # a sparse file: it takes no room
    with studio.expect_event('dialog'): upload(studio, tmp_path/'huge.tif')
    assert said == ['huge.tif has 201 MB: a photo may have 200 MB at most']
    before = picture(canvas)
    button.click()  # the connection is still there
    playwright.expect(canvas).not_to_have_attribute('src', before, timeout=PATIENCE*1000)
    studio.goto('about:blank')
    log = tmp_path/'server.log'
    for _ in range(100):
        if 'Kernel shutdown' in log.read_text(): break
        time.sleep(.1)
    assert 'Kernel shutdown' in log.read_text() and '403 POST' not in log.read_text(), log.read_text()[-2000:]


def write_phone_photo(path: Path, width: int, height: int):
    "A JPEG of more than 10 MB: noise makes large files"
    import numpy as np
    from PIL import Image
    noise = np.random.default_rng(0).integers(0, 256, (height//2, width//2, 3), np.uint8)
    Image.fromarray(noise).resize((width, height), Image.Resampling.NEAREST).save(path, quality=90)
    assert path.stat().st_size > 10*2**20


def upload(page, file: Path):
    "Choose a file with the studio's button"
    with page.expect_file_chooser() as chooser: page.get_by_role('button', name='your photo').click()
    chooser.value.set_files(file)


def drag(page, image, places: list[tuple[float, float]]):
    "Paint over a picture with the mouse button down"
    box = image.bounding_box()
    for i, (x, y) in enumerate(places):
        page.mouse.move(box['x'] + x*box['width'], box['y'] + y*box['height'], steps=4)
        if i == 0: page.mouse.down()
        page.wait_for_timeout(120)  # moves are reported at most every 50 ms
    page.mouse.up()


def check_saved(folder: Path):
    "The picture is repainted on the wall and the photo beyond its soft edges"
    import numpy as np
    from PIL import Image

    from wall_inpainting.studio.session import sample_photos
    from wall_inpainting.validation_metrics import outside_change
    photo = np.asarray(Image.open(next(iter(sample_photos().values()))[0]).convert('RGB'))
    wall, mask = (np.asarray(Image.open(folder/name)) for name in ('wall.png', 'wall_mask.png'))
    assert .2 < (mask > 127).mean() < .8
    assert (wall[mask > 127] != photo[mask > 127]).any(-1).mean() > .9
    assert outside_change(Image.fromarray(photo), Image.fromarray(wall), mask)['outside_max'] == 0
    height, width = mask.shape
    assert not any(mask[round(y*height), round(x*width)] for x, y in STROKE)  # the brush took them away
