"""The explorers and the studio in a real browser: `pytest tests/browser`.

Needs the extras `studio` and `browser`, and a Chromium: Debian's (`apt-get install chromium`), or `playwright install chromium`.
Where one of them is missing, these tests are skipped, and say which; with WALL_BROWSER=required they fail. WALL_PICTURES=folder keeps a picture of every step.
"""
import importlib
import json
import os
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
CELLS = ['from wall_inpainting.studio.explorers import MetricExplorer, ShapeFlow', 'MetricExplorer()', 'ShapeFlow()', "print('all', 'ran')"]
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
    server = subprocess.Popen([sys.executable, '-m', *command], cwd=folder, stdout=log, stderr=log, env={**os.environ, **private, 'BROWSER': 'true'})
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


def test_lab_slider_moves_number_and_picture(page, tmp_path):
    cells = [dict(cell_type='code', id=f'c{i}', metadata={}, execution_count=None, outputs=[], source=source) for i, source in enumerate(CELLS)]
    kernel = dict(name='python3', display_name='Python 3 (ipykernel)', language='python')
    (tmp_path/'explore.ipynb').write_text(json.dumps(dict(cells=cells, metadata=dict(kernelspec=kernel), nbformat=4, nbformat_minor=5)))
    port = free_port()
    server = serve(['jupyterlab', '--no-browser', '--allow-root', '--ServerApp.ip=127.0.0.1', f'--ServerApp.port={port}', '--IdentityProvider.token=check',
                    '--LabApp.extension_manager=readonly', '--LabApp.news_url='], f'http://127.0.0.1:{port}/api', tmp_path)
    try:
        page.goto(f'http://127.0.0.1:{port}/lab/tree/explore.ipynb?token=check&reset')
        page.get_by_text('| Idle').first.wait_for()  # before that, Run All would ask for a kernel
        page.get_by_role('menuitem', name='Run', exact=True).click()
        page.get_by_role('menuitem', name='Run All Cells', exact=True).click()
        page.get_by_text('all ran', exact=True).wait_for()
        image, line = page.locator('.jp-OutputArea-output img').first, page.locator('.jp-OutputArea-output b').first
        image.wait_for()
        number, shown = line.inner_text(), picture(image)
        keep(page, 'lab_before')
        page.locator('.widget-slider .noUi-handle').first.focus()
        for _ in range(20): page.keyboard.press('ArrowRight')
        page.wait_for_function('([old]) => document.querySelector(".jp-OutputArea-output b").innerText != old', arg=[number])
        playwright.expect(image).not_to_have_attribute('src', shown, timeout=PATIENCE*1000)
        assert line.inner_text() != number and 'ΔE00' in line.inner_text()
        check_shape_flow(page)
        assert page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0  # no warning shown to the reader
    finally: stop(server)


def check_shape_flow(page):
    "A slider and a click on a card, each followed by the words, the drawing and the tensor's picture"
    cell = page.locator('.jp-OutputArea-output', has=page.get_by_text('pipeline', exact=True))
    drawing, tensor = cell.locator('img').first, cell.locator('img').last
    page.get_by_text('pixel_values · [2, 3, 128, 128]').wait_for()
    box, shown = drawing.bounding_box(), picture(drawing)
    page.mouse.click(box['x'] + .3*box['width'], box['y'] + .1*box['height'])  # the VAE encoder's card
    page.get_by_text('latents · [2, 4, 16, 16]').wait_for()
    playwright.expect(drawing).not_to_have_attribute('src', shown, timeout=PATIENCE*1000)
    drawn, shown = picture(drawing), picture(tensor)
    cell.locator('.noUi-handle').first.focus()  # the batch
    page.keyboard.press('ArrowRight')
    page.get_by_text('latents · [3, 4, 16, 16]').wait_for()
    playwright.expect(drawing).not_to_have_attribute('src', drawn, timeout=PATIENCE*1000)
    keep(page, 'lab_shape_flow')


def test_studio_outline_repaint_save(page, tmp_path):
    "The page of `wall_studio`: click the wall's corners, take the pictures off it with a brush, repaint, draw the curtain, save; a wrong colour is said, not raised"
    from wall_inpainting.studio.page import studio_notebook
    saved = tmp_path/'saved'
    saved.mkdir()
    (tmp_path/'studio.ipynb').write_text(json.dumps(studio_notebook(saved)))
    port = free_port()
    server = serve(['voila', 'studio.ipynb', f'--port={port}', '--no-browser', '--Voila.ip=127.0.0.1'], f'http://127.0.0.1:{port}/voila/static/none', tmp_path)
    try:
        page.goto(f'http://127.0.0.1:{port}/')
        canvas = page.locator('img').first
        canvas.wait_for()
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
    finally: stop(server)


def drag(page, image, places: list[tuple[float, float]]):
    "Paint over a picture with the mouse button down"
    box = image.bounding_box()
    for i, (x, y) in enumerate(places):
        page.mouse.move(box['x'] + x*box['width'], box['y'] + y*box['height'], steps=4)
        if i == 0: page.mouse.down()
        page.wait_for_timeout(120)  # moves are reported at most every 50 ms
    page.mouse.up()


def check_saved(folder: Path):
    "The picture is repainted on the wall and the photo elsewhere"
    import numpy as np
    from PIL import Image

    from wall_inpainting.studio.session import sample_photos
    photo = np.asarray(Image.open(next(iter(sample_photos().values()))[0]).convert('RGB'))
    wall, mask = (np.asarray(Image.open(folder/name)) for name in ('wall.png', 'wall_mask.png'))
    assert .2 < (mask > 127).mean() < .8
    assert (wall[mask > 127] != photo[mask > 127]).any(-1).mean() > .9
    assert (wall[mask == 0] == photo[mask == 0]).all()
    height, width = mask.shape
    assert not any(mask[round(y*height), round(x*width)] for x, y in STROKE)  # the brush took them away
