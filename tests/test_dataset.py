"What a dataset must stand: folders that are spoilt in every way, any number of workers, large JPEGs, and another reader of the same folder."
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, RandomSampler

from wall_inpainting.pictures.arrays import sample_rooms
from wall_inpainting.dataset import WallInpaintingDataset, collate_fn, read_crop, wall_crop
from wall_inpainting.pictures.imagefolder import read_metadata

ROOT = sample_rooms('train').parent
ROWS = read_metadata(ROOT, 'train')


def write_lines(split: Path, lines: list):
    "A metadata.jsonl of these lines"
    (split/'metadata.jsonl').write_text('\n'.join(line if isinstance(line, str) else json.dumps(line) for line in lines))


@pytest.fixture
def split(tmp_path) -> Path:
    "A folder of three small samples, cut from the sample rooms; its split"
    split = tmp_path/'rooms'/'train'
    for part in ('images', 'masks'): (split/part).mkdir(parents=True)
    for number in range(3):
        Image.open(ROWS[number].image).convert('RGB').resize((96, 72)).save(split/f'images/{number}.jpg')
        Image.open(ROWS[number].mask).resize((96, 72), Image.NEAREST).save(split/f'masks/{number}.png')
    write_lines(split, [dict(file_name=f'images/{n}.jpg', mask_file_name=f'masks/{n}.png', quality_score=.8) for n in range(3)])
    return split


def lines_of(split): return (split/'metadata.jsonl').read_text().splitlines()


def second_line(**changes):
    "Change the second line of a folder"
    def change(split):
        lines = lines_of(split)
        write_lines(split, [lines[0], json.loads(lines[1]) | changes, lines[2]])
    return change


def save_mask(array):
    "Put another mask in the second sample's place"
    return lambda split: Image.fromarray(array).save(split/'masks/1.png')


def cut(part):
    "Keep only the first half of a file"
    return lambda split: (split/part).write_bytes((split/part).read_bytes()[:(split/part).stat().st_size//2])


def shaped_by_alpha(split):
    mask = Image.new('RGBA', (96, 72), 'white')
    mask.putalpha(Image.open(split/'masks/1.png').convert('L'))
    mask.save(split/'masks/1.png')


def lying_photo(split):
    "The second photo lies on its side and its mask does so too, without saying so"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(split/'images/1.jpg').transpose(Image.ROTATE_90).save(split/'images/1.jpg', exif=exif)
    Image.open(split/'masks/1.png').transpose(Image.ROTATE_90).save(split/'masks/1.png')


def as_csv(split):
    (split/'metadata.jsonl').unlink()
    (split/'metadata.csv').write_text('file_name,mask_file_name\nimages/0.jpg,masks/0.png\n')


BOX = np.pad(np.full((40, 40), 255, np.uint8), ((10, 22), (20, 36)))
WAYS = {  # how a folder is spoilt, and what the error has to name
    'missing file': (lambda split: (split/'images/1.jpg').unlink(), 'images/1.jpg: there is no such file'),
    'truncated picture': (cut('images/1.jpg'), 'images/1.jpg: damaged or cut short'),
    'truncated mask': (cut('masks/1.png'), 'masks/1.png: damaged or cut short'),
    'no picture at all': (lambda split: (split/'images/1.jpg').write_text('hello'), 'images/1.jpg: not a picture'),
    'mask of another size': (save_mask(BOX.T.copy()), 'masks/1.png: 72 x 96 px'),
    'empty mask': (save_mask(np.zeros((72, 96), np.uint8)), 'masks/1.png: the mask is empty'),
    'mask that is all wall': (save_mask(np.full((72, 96), 255, np.uint8)), 'masks/1.png: all of it is wall'),
    'mask of 0 and 1': (save_mask(BOX//255), 'the values 0 and 1;'),
    'wall at half grey': (save_mask(BOX//255*150), 'the values 0 and 150;'),
    'label map': (save_mask(BOX//255*(2 + 198*(np.arange(96) > 40)).astype(np.uint8)), 'the values 0, 2 and 200;'),
    'mask shaped by alpha': (shaped_by_alpha, 'masks/1.png: a mask with transparency'),
    'mask that is a photo': (lambda split: Image.open(split/'images/1.jpg').save(split/'masks/1.png'), 'masks/1.png: '),
    'mask too small': (save_mask(np.pad(np.full((9, 9), 255, np.uint8), ((30, 33), (40, 47)))), 'masks/1.png: 20 wall pixels'),
    'mask lies as the file': (lying_photo, 'masks/1.png: 72 x 96 px'),
    'missing column': (lambda split: write_lines(split, [lines_of(split)[0], '{"file_name": "images/1.jpg"}']), "line 2: column 'mask_file_name'"),
    'unreadable line': (lambda split: write_lines(split, [lines_of(split)[0], lines_of(split)[1][:30]]), 'line 2: unreadable JSON'),
    'path outside': (second_line(mask_file_name='../../secret.png'), 'line 2: mask_file_name'),
    'invalid color': (second_line(color='#12345'), 'line 2: color'),
    'invalid score': (second_line(quality_score='high'), 'line 2: quality_score'),
    'nothing good enough': (lambda split: write_lines(split, [line.replace('0.8', '0.3') for line in lines_of(split)]), 'quality_threshold is 0.5'),
    'no rows': (lambda split: write_lines(split, []), 'metadata.jsonl has no rows'),
    'unknown split': (lambda split: split.rename(split.parent/'test'), 'splits found: test'),
    'a table': (as_csv, 'metadata.csv: JSON Lines is read, not CSV'),
    'two at once': (lambda split: [cut('images/0.jpg')(split), (split/'masks/2.png').unlink()], '2 faults'),
}


@pytest.mark.parametrize('way', WAYS)
def test_a_spoilt_folder_is_refused(split, way):
    spoil, expected = WAYS[way]
    spoil(split)
    with pytest.raises(ValueError) as refused: WallInpaintingDataset(split.parent, resolution=64)
    assert expected in str(refused.value)


def test_a_whole_folder_is_read(split):
    dataset = WallInpaintingDataset(split.parent, resolution=64, check='full')
    assert repr(dataset) == 'WallInpaintingDataset(train: 3 samples, 0 with a target, 64 px)'
    data = (split/'images/1.jpg').read_bytes()
    (split/'images/1.jpg').write_bytes(data[:-2])  # the end marker is lost, no pixel is
    again = WallInpaintingDataset(split.parent, resolution=64, check='full')
    assert torch.equal(again[1]['pixel_values'], dataset[1]['pixel_values'])


def test_damage_in_the_middle_is_found_late_or_by_a_full_check(split):
    Image.open(ROWS[0].image).convert('RGB').resize((96, 72)).save(split/'images/1.png')
    data = (split/'images/1.png').read_bytes()
    (split/'images/1.png').write_bytes(data[:2000]+bytes(len(data)-2200)+data[-200:])
    second_line(file_name='images/1.png')(split)
    late = WallInpaintingDataset(split.parent, resolution=64)
    with pytest.raises(ValueError, match='images/1.png: damaged or cut short'): late[1]
    with pytest.raises(ValueError, match='line 2'): WallInpaintingDataset(split.parent, resolution=64, check='full')


@pytest.mark.parametrize('note', ['exif', 'raw profile', 'xmp'])
def test_a_photo_that_lies_on_its_side_is_turned_to_its_mask(split, note):
    "However the file says it, and with an odd entry beside it; the mask was drawn on what a viewer shows"
    upright = WallInpaintingDataset(split.parent, resolution=64)[1]['pixel_values']
    from PIL import PngImagePlugin
    exif = b'Exif\0\0II*\0\x08\0\0\0\x02\0' + b'\x12\x01\x03\0\x01\0\0\0\x06\0\0\0' + b'\x28\x01\x02\0\x01\0\0\0x\0\0\0' + bytes(4)
    notes = PngImagePlugin.PngInfo()
    if note == 'raw profile': notes.add_text('Raw profile type exif', f'\nexif\n{len(exif):8}\n{exif.hex()}\n')
    if note == 'xmp': notes.add_itxt('XML:com.adobe.xmp', '<rdf tiff:Orientation="6"/>')
    photo = Image.open(split/'images/1.jpg').convert('RGB').transpose(Image.ROTATE_90)
    photo.save(split/'images/1.png', pnginfo=notes, **dict(exif=exif) if note == 'exif' else {})
    second_line(file_name='images/1.png')(split)
    turned = WallInpaintingDataset(split.parent, resolution=64)[1]['pixel_values']
    assert (turned-upright).abs().mean() < .05  # a JPEG decoded in draft mode against a PNG


@pytest.mark.parametrize('shape', [(1, 1), (9, 7), (3, 8)])
def test_the_crop_is_the_best_there_is(shape):
    "Every other window is tried, on random masks, lying and standing"
    generator = np.random.default_rng(0)
    for height, width in [(20, 77), (77, 20), (31, 31), (1, 9)]*5:
        blocks = np.kron(generator.random((9, 9)) > .8, np.ones((9, 9)))[:height, :width].astype(np.uint8)*255
        blocks[0, 0] = 255
        left, top, right, bottom = wall_crop(blocks, shape=shape)
        across, down = min(width, max(1, round(height*shape[0]/shape[1]))), min(height, max(1, round(width*shape[1]/shape[0])))  # the largest that fits
        every = [blocks[y:y+down, x:x+across].sum(dtype=int) for y in range(height-down+1) for x in range(width-across+1)]
        assert (right-left, bottom-top, blocks[top:bottom, left:right].sum(dtype=int)) == (across, down, max(every))
        left, top, right, bottom = wall_crop(blocks, generator, jitter=.9, shape=shape)
        assert blocks[top:bottom, left:right].sum(dtype=int) >= .1*max(every)


def test_draft_mode_costs_no_quality(tmp_path):
    "A large JPEG with sensor noise: less than a step of 8 bits on average, and no shift of the mean colour"
    generator = np.random.default_rng(0)
    large = Image.open(ROWS[0].image).convert('RGB').resize((2400, 1800), Image.BICUBIC)
    large = Image.fromarray(cv2.add(np.asarray(large), generator.normal(0, 6, (1800, 2400, 3)), dtype=cv2.CV_8U))
    large.save(tmp_path/'large.jpg', quality=92)
    window = 300, 0, 2100, 1800
    fast = np.asarray(read_crop(tmp_path/'large.jpg', large.size, window, (320, 320))).astype(float)
    slow = np.asarray(Image.open(tmp_path/'large.jpg').resize((320, 320), Image.LANCZOS, box=window)).astype(float)
    assert 0 < np.abs(fast-slow).mean() < 1  # 0 would mean that nothing was left out
    assert np.abs((fast-slow).mean((0, 1))).max() < .1


def same(one, other): return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_any_number_of_workers_give_the_same_batches():
    "`set_epoch` reaches workers that go on from one epoch to the next, and changes what is drawn"
    dataset = WallInpaintingDataset(ROOT, resolution=64, use_targets=False, crop_jitter=.5, flip_prob=.5, max_samples=12)

    def epochs_of(workers):
        # a sampler of its own: the loader draws from the generator it is given too, and persistent workers less often
        sampler = RandomSampler(dataset, generator=torch.Generator().manual_seed(0))
        loader = DataLoader(dataset, batch_size=3, sampler=sampler, num_workers=workers, persistent_workers=workers > 0, collate_fn=collate_fn)
        return [(dataset.set_epoch(epoch), list(loader))[1] for epoch in range(2)]

    alone, together = epochs_of(0), epochs_of(2)
    assert [len(batches) for batches in together] == [len(batches) for batches in alone] == [4, 4]
    assert all(same(a, b) for ours, theirs in zip(alone, together) for a, b in zip(ours, theirs))
    dataset.set_epoch(0)
    first = dataset[0]
    dataset.set_epoch(1)
    assert not torch.equal(first['reference_image'], dataset[0]['reference_image'])


def test_datasets_reads_the_same_pixels(tmp_path):
    "Hugging Face's own reader of the folder"
    import datasets
    datasets.disable_progress_bars()
    theirs = datasets.load_dataset('imagefolder', data_dir=str(ROOT), cache_dir=str(tmp_path))
    for split in ('train', 'validation'):
        ours = read_metadata(ROOT, split)
        assert len(theirs[split]) == len(ours)
        for row, other in zip(ours[:2], theirs[split]):
            for name in ('image', 'mask', 'target'):
                if path := getattr(row, name): assert np.array_equal(np.asarray(other[name]), np.asarray(Image.open(path)))
