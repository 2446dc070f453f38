"A paint in the light of a room, against rooms that another program traced before and after painting; they are no part of the project, and without them this is skipped."
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from wall_inpainting.light.network import repaint_wall
from wall_inpainting.pictures.arrays import linear_to_srgb, srgb_to_linear

ROOMS = Path(__file__).parents[2]/'shared'/'rooms'
pytestmark = pytest.mark.skipif(not ROOMS.is_dir(), reason='the traced rooms of another program are not here')


def errors(**how) -> list[float]:
    "Mean CIEDE2000 over the wall of each room at half size, with `how` made of what is known of it"
    found = []
    for folder in ('plain', 'patterned'):
        for room in json.loads((ROOMS/folder/'rooms.json').read_text()):
            before, after, mask = (Image.open(ROOMS/folder/f"{room['name']}_{part}.png") for part in ('before', 'after', 'mask'))
            wall = np.asarray(mask) > 127
            painted = repaint_wall(before.convert('RGB'), wall, room['paint_after'], edges='exact', **{name: value(room) for name, value in how.items()})
            labs = [rgb2lab(linear_to_srgb(cv2.resize(srgb_to_linear(np.asarray(picture.convert('RGB'), np.float32)/255), None, fx=.5, fy=.5, interpolation=cv2.INTER_AREA))) for picture in (painted, after)]
            inside = cv2.resize(wall.astype(np.float32), None, fx=.5, fy=.5, interpolation=cv2.INTER_AREA) > 1 - 1e-3
            found.append(float(deltaE_ciede2000(*labs)[inside].mean()))
    return found


def test_a_guess():  # 6.96 for shades of grey, 13.7 for the paint's own colour
    assert np.mean(errors(light=lambda room: 'room')) < 5


def test_the_old_paint_is_told():
    found = errors(was=lambda room: room['paint_before'])
    assert np.mean(found) < 1.6 and max(found) < 4
