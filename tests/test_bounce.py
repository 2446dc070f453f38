"""Light that the wall throws on its room: pinned on the sample rooms, whose truth is a render of the same room in the new paint; and
what every way to repaint makes of it. A figure is the mean CIEDE2000 outside the mask between repaint and truth.
"""
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab
from test_quality import BAND, read_rooms

from wall_inpainting.inference import FAITHFUL, LOCKED, WallPainter
from wall_inpainting.light.network import repaint_wall

NOTHING, BOUNCE = 6.38, 2.58  # means over the 36 sample pictures


def outside(room: str, bounce: bool) -> float:
    photo, mask, truth, color, _ = read_rooms()[room]
    painted = np.asarray(repaint_wall(Image.fromarray(photo), mask, color, edges='exact', bounce=bounce))
    return float(deltaE_ciede2000(rgb2lab(painted[mask == 0]/255), rgb2lab(truth[mask == 0]/255)).mean())


def test_mean_over_the_sample_rooms():
    for bounce, pinned in ((False, NOTHING), (True, BOUNCE)):
        now = np.mean([outside(room, bounce) for room in read_rooms()])
        assert abs(now - pinned) <= BAND, f'bounce {bounce}: {pinned} has become {now:.3f}'


@pytest.mark.parametrize('engine,settings', [('light', FAITHFUL), ('recolor', FAITHFUL), ('diffusion', replace(FAITHFUL, steps=2)), ('diffusion', replace(LOCKED, steps=1))])
def test_every_engine_answers(engine, settings):
    "Outside the mask a repaint with bounced light is nearer to what it is without an engine's own work than to the photo"
    photo, mask, _, color, _ = read_rooms()['train 00009_c']
    paint, away = WallPainter(engine=engine, progress=False), mask == 0
    plain, answered = (np.asarray(paint(Image.fromarray(photo), mask, '#1f2a4d', settings=replace(settings, bounce=bounce)).image, float)[away].mean(0) for bounce in (False, True))
    by_hand = np.asarray(repaint_wall(Image.fromarray(photo), mask, '#1f2a4d', bounce=True), float)[away].mean(0)
    assert np.abs((answered - plain) - (by_hand - photo[away].mean(0))).max() < 2.5  # codes
    assert (plain - answered).max() > 5
