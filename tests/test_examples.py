"The examples do what they say, on one machine."
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from wall_inpainting.light.network import repaint_wall
from wall_inpainting.pictures.arrays import sample_rooms
from wall_inpainting.pictures.imagefolder import read_metadata

ROOT = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path) -> Path:
    "Three rooms and their masks, and a file that is none"
    for name in ('photos', 'masks'): (tmp_path/name).mkdir()
    rows = {row.mask: row for row in read_metadata(sample_rooms('train').parent, 'train')}.values()
    for number, row in zip(range(3), rows):
        Image.open(row.image).convert('RGB').save(tmp_path/'photos'/f'{number}.png')
        Image.open(row.mask).convert('L').save(tmp_path/'masks'/f'{number}.png')
    for name in ('photos', 'masks'): (tmp_path/name/'broken.png').write_bytes(b'no picture')
    return tmp_path


def run(folder, *args) -> str:
    env = os.environ | {'PYTHONPATH': str(ROOT), 'HF_HOME': str(folder/'cache'), 'HF_HUB_OFFLINE': '1'}
    done = subprocess.run([sys.executable, ROOT/'examples'/'repaint_datasets.py', 'photos', 'masks', 'painted', '--palette', 'sage, navy', *args], capture_output=True, text=True, cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_repaint_with_datasets(folder):
    assert 'broken.png: not a picture' in run(folder, '--processes', '2')
    assert sorted(path.name for path in (folder/'painted').glob('*.png')) == sorted(f'{number}_{color}.png' for number in range(3) for color in ('1_sage', '2_navy'))
    photo, mask = (Image.open(folder/name/'1.png') for name in ('photos', 'masks'))
    assert Image.open(folder/'painted'/'1_2_navy.png').tobytes() == repaint_wall(photo, mask, 'navy').tobytes()
    table = [json.loads(line) for line in (folder/'painted'/'repaints.jsonl').read_text().splitlines()]
    assert len(table) == 4 and sorted(row['delta_e'] is None for row in table) == [False, False, False, True]


def test_each_machine_has_its_share_and_goes_on(folder):
    (folder/'photos'/'broken.png').unlink()
    assert 'share 0/2: 2 of 2 photos are left' in run(folder, '--share', '0/2')
    assert len(list((folder/'painted').glob('*.png'))) == 4
    (folder/'painted'/'0_1_sage.png').unlink()
    assert 'share 0/2: 1 of 2 photos are left' in run(folder, '--share', '0/2')
    assert 'share 1/2: 1 of 1 photos are left' in run(folder, '--share', '1/2')
    assert len(list((folder/'painted').glob('*.png'))) == 6
    assert '0 of 1' in run(folder, '--share', '1/2')
