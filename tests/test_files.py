"Files as people have them: each input is made here, and stands for a kind that once went wrong, mostly without a word."
import os
import signal
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from tools import fuzz
from wall_inpainting.color_reference import parse_color, recolor
from wall_inpainting.pictures.arrays import sample_rooms
from wall_inpainting.painting.command_line import mask_doubts, uneven_share, wall_repaint
from wall_inpainting.pictures.edges import border_distance, edge_reach
from wall_inpainting.pictures.imagefolder import check_picture, read_metadata
from wall_inpainting.pictures.photos import PhotoError, convert_profile, read_mask, read_photo, whole_file, write_image

ROW = read_metadata(sample_rooms('train').parent)[0]
ROOM, WALL = Image.open(ROW.image).convert('RGB'), Image.open(ROW.mask).convert('L')
OUTSIDE = np.asarray(WALL) == 0
AWAY = border_distance(~OUTSIDE) > edge_reach(WALL.size)  # of soft edges
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    "A folder with the room and its mask, in which the command runs"
    monkeypatch.chdir(tmp_path)
    ROOM.save('room.png'), WALL.save('mask.png')
    return tmp_path


def said(capsys, *args, code=None, **options) -> str:
    "What `wall_repaint` prints, or the one line in which it refuses"
    options = dict(mask='mask.png', engine='recolor', out='out.png') | options
    if 'palette' not in options: options.setdefault('color', 'navy')
    if code is None:
        wall_repaint(*args, **options)
        return capsys.readouterr().out
    with pytest.raises(SystemExit) as stop: wall_repaint(*args, **options)
    line = capsys.readouterr().err
    assert stop.value.code == code and line.count('\n') == 1
    return line


def exif_bytes(*entries):
    "EXIF data of entries (tag, type, count, four bytes)"
    return b'Exif\0\0II*\0\x08\0\0\0' + struct.pack('<H', len(entries)) + b''.join(struct.pack('<HHI', *e[:3]) + e[3] for e in sorted(entries)) + bytes(4)


ORIENTATION = 0x0112, 3, 1, struct.pack('<HH', 3, 0)


def lut_profile():
    "sRGB as a profile that has a table from codes to CIELAB and none back, as phones embed it"
    grid = np.linspace(0, 255, 33).round().astype(np.uint8)
    codes = np.stack(np.meshgrid(grid, grid, grid, indexing='ij'), -1).reshape(1, -1, 3)
    lab = ImageCms.applyTransform(Image.fromarray(codes), ImageCms.buildTransform(ImageCms.createProfile('sRGB'), ImageCms.createProfile('LAB'), 'RGB', 'LAB', ImageCms.Intent.RELATIVE_COLORIMETRIC))
    table = np.frombuffer(lab.tobytes(), np.uint8).reshape(-1, 3).copy()
    table[:, 1:] ^= 128  # Pillow's a and b are signed, those of ICC's 8-bit table have 128 added
    tag = b'mft1\0\0\0\0' + bytes([3, 3, 33, 0]) + struct.pack('>9i', *(65536*(i % 4 == 0) for i in range(9))) + bytes(range(256))*3 + table.tobytes() + bytes(range(256))*3
    tags = {b'wtpt': b'XYZ \0\0\0\0' + struct.pack('>3i', 63190, 65536, 54061), b'A2B0': tag}
    head, data = struct.pack('>I', len(tags)), b''
    for name, value in tags.items():
        head += name + struct.pack('>II', 132 + 12*len(tags) + len(data), len(value))
        data += value
    start = struct.pack('>I4sI4s4s4s', 128 + len(head) + len(data), b'\0'*4, 0x02400000, b'mntr', b'RGB ', b'Lab ') + b'\0'*12 + b'acsp'
    return start.ljust(68, b'\0') + struct.pack('>3i', 63190, 65536, 54061) + b'\0'*48 + head + data


# Colour profiles

def test_a_profile_with_one_way_only_is_kept_and_the_paint_is_right(folder, capsys):
    icc = lut_profile()
    ROOM.save('phone.jpg', icc_profile=icc, quality=95)
    with pytest.raises(PhotoError): convert_profile(ROOM, None, icc)  # there is no way back
    said(capsys, 'phone.jpg', color='#7a9e7e')
    assert Image.open('out.png').info['icc_profile'] == icc
    seen = np.asarray(convert_profile(Image.open('out.png'), icc, None))[~OUTSIDE]
    assert np.abs(np.median(seen, 0) - parse_color('#7a9e7e').astype(int)).max() <= 3  # the profile's 8 bits of CIELAB
    assert 'how to make one' in said(capsys, 'phone.jpg', color=None, reference='room.png', out='reference.png', code=2)


@pytest.mark.parametrize('length', [0, 60, 128, 200, 300, 400, len(SRGB)-1])
def test_a_cut_profile_counts_as_none(folder, capsys, length):
    ROOM.save('photo.png', icc_profile=SRGB[:length])
    text = said(capsys, 'photo.png')
    usable = 'icc_profile' in Image.open('out.png').info
    assert usable or length == 0 or 'damaged and was dropped' in text


@pytest.mark.parametrize('chunk, words', [((b'gAMA', struct.pack('>I', 100000)), 'gamma 1'), ((b'cICP', bytes([12, 13, 0, 1])), 'Display P3'), ((b'cICP', bytes([9, 18, 0, 1])), 'HDR')])
def test_what_a_png_says_of_its_colours_is_used_or_said(folder, capsys, chunk, words):
    Path('photo.png').write_bytes(fuzz.with_chunks(ROOM, [chunk]))
    assert words in said(capsys, 'photo.png', color='#7a9e7e')
    result = Image.open('out.png')
    assert np.array_equal(np.asarray(result)[AWAY], np.asarray(ROOM)[AWAY])
    shown = convert_profile(result, result.info.get('icc_profile'), None)
    assert np.abs(np.median(np.asarray(shown)[~OUTSIDE], 0) - [122, 158, 126]).max() <= 2


def test_adobe_rgb_by_exif_is_used(folder, capsys):
    exif = Image.Exif()
    exif[0x8769] = {0xa001: 0xffff, 0xa005: {1: 'R03'}}
    ROOM.save('photo.jpg', exif=exif, quality=95)
    assert 'Adobe RGB' in said(capsys, 'photo.jpg', color='#ff0000')
    assert np.abs(np.median(np.asarray(Image.open('out.png'))[~OUTSIDE], 0) - [219, 0, 0]).max() <= 2


# How a file lies

def test_orientation_is_read_beside_entries_of_any_tag_and_type(tmp_path):
    "What can't be written back is dropped and said"
    small = ROOM.resize((40, 30))
    upside = small.transpose(Image.ROTATE_180)
    upside.save(tmp_path/'plain.jpg', exif=exif_bytes(ORIENTATION))
    expected = read_photo(tmp_path/'plain.jpg').image.tobytes()
    said_so = 0
    for tag in (256, 270, 271, 272, 282, 283, 296, 301, 305, 306, 318, 319, 338, 339, 513, 529, 530, 531, 532, 33432, 34665, 34853):
        for kind in range(1, 14):
            upside.save(tmp_path/'odd.jpg', exif=exif_bytes(ORIENTATION, (tag, kind, 1, b'a\0\0\0')))
            photo = read_photo(tmp_path/'odd.jpg')
            assert photo.orientation == 3 and photo.image.tobytes() == expected, (tag, kind)
            said_so += any('dropped' in note for note in photo.notes)
            read_photo(write_image(photo.image, tmp_path/'back.png', photo, overwrite=True))
    assert said_so > 5


@pytest.mark.parametrize('key, body', [('Raw profile type exif', f'\nexif\n      32\n{exif_bytes((0x0112, 3, 1, struct.pack("<HH", 6, 0))).hex()}\n'),
                                       ('XML:com.adobe.xmp', '<x tiff:Orientation="6"/>')])
def test_a_png_turned_by_its_text_takes_a_mask_either_way(folder, key, body):
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt(key, body) if key.startswith('XML') else notes.add_text(key, body)
    ROOM.transpose(Image.ROTATE_90).save('photo.png', pnginfo=notes)
    WALL.transpose(Image.ROTATE_90).save('lying.png')
    photo = read_photo('photo.png')
    assert photo.image.tobytes() == ROOM.tobytes() and photo.text == {}
    for name in ('mask.png', 'lying.png'): assert read_mask(name, photo).tobytes() == WALL.tobytes()


# Masks

def label_map():
    labels = np.where(np.asarray(WALL) > 127, 1, 6).astype(np.uint8)
    labels[250:], labels[:20, :60] = 4, 149
    return labels


NO_MASKS = {'labels': (label_map, 'the values 1, 4, 6 and 149'), 'half': (lambda: np.asarray(WALL)//255*150, 'the values 0 and 150'),
            'noise': (lambda: np.random.default_rng(0).integers(0, 2, WALL.size[::-1]), 'the values 0 and 1'), 'video range': (lambda: 16 + np.asarray(WALL)//255*219, 'the values 16 and 235'),
            'void': (lambda: np.where(label_map() == 149, 255, label_map()), 'the values 1, 4, 6 and 255')}


@pytest.mark.parametrize('name', NO_MASKS)
def test_what_is_no_mask_is_refused_with_its_values(folder, capsys, name):
    make, values = NO_MASKS[name]
    Image.fromarray(make().astype(np.uint8)).save('other.png')
    line = said(capsys, 'room.png', mask='other.png', code=2)
    assert line.startswith('wall_repaint: other.png: ') and values in line and '255) is the wall, black (0) the rest' in line
    assert not Path('out.png').exists()


def test_soft_and_lossy_masks_are_painted(folder, capsys):
    WALL.resize((1920, 1440), Image.BICUBIC).resize(WALL.size, Image.LANCZOS).save('soft.png')
    WALL.save('lossy.jpg', quality=40)
    far = cv2.dilate(np.asarray(WALL), np.ones((17, 17))) == 0  # a JPEG block is 8 px wide
    for number, mask in enumerate(('soft.png', 'lossy.jpg')):
        said(capsys, 'room.png', mask=mask, out=f'{number}.png')
        assert np.array_equal(np.asarray(Image.open(f'{number}.png'))[far], np.asarray(ROOM)[far])


def test_slats_thinner_than_a_pixel_of_the_network_are_painted(folder, capsys):
    slats = np.zeros((600, 800), np.uint8)
    slats[100:400, 200:600:12] = slats[100:400, 201:600:12] = 255
    large = ROOM.resize((800, 600), Image.LANCZOS)
    large.save('large.png'), Image.fromarray(slats).save('slats.png')
    said(capsys, 'large.png', mask='slats.png', engine='light')
    result = np.asarray(Image.open('out.png'))
    assert np.array_equal(result[slats == 0], np.asarray(large)[slats == 0])
    assert np.abs(np.median(result[slats > 0], 0) - [0, 0, 128]).max() <= 1


def test_a_wrong_mask_is_doubted_in_words_and_by_a_figure(folder, capsys):
    "The median is the paint whatever the mask covers, so the second figure must tell"
    assert 'border follows' not in (right := said(capsys, 'room.png', color='#7a9e7e'))
    WALL.rotate(180).save('upside.png')
    wrong = said(capsys, 'room.png', mask='upside.png', color='#7a9e7e', edges='exact', out='upside_out.png')
    assert "The mask's border follows no edges" in wrong and 'ΔE00 0.0' in wrong
    share = [int(text.split('% of the wall far')[0].split()[-1]) for text in (right, wrong)]
    assert share[0] <= 10 and share[1] >= 25
    part = np.array(WALL)
    part[:, part.shape[1]//2:] = 0
    two = recolor(recolor(ROOM, WALL, '#7a9e7e'), Image.fromarray(part), '#b05050')  # its CIEDE2000 from the first is over 40
    assert uneven_share(two, WALL) > .25
    assert 'exchanged' in mask_doubts(ROOM, WALL.point(lambda code: 255 - code))[0]


# Large files, cut files

@pytest.mark.parametrize('sides, allowed', [((16320, 12240), True), ((20000, 12000), False)])
def test_the_limit_of_size_is_the_same_for_painting_and_training(tmp_path, sides, allowed):
    header = struct.pack('>IIBBBBB', *sides, 8, 2, 0, 0, 0)
    (tmp_path/'large.png').write_bytes(b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + b'IHDR' + header + struct.pack('>I', zlib.crc32(b'IHDR' + header)) + b'\0\0\0\0IDAT5\xaf\x06\x1e\0\0\0\0IEND\xaeB`\x82')
    if allowed: assert check_picture(tmp_path/'large.png') == sides
    else:
        for read in (read_photo, check_picture):
            with pytest.raises(PhotoError, match='240 megapixels; at most 220'): read(tmp_path/'large.png')


@pytest.mark.parametrize('options', [{}, dict(progressive=True), dict(restart_marker_rows=1), dict(subsampling=0, optimize=True)])
def test_a_jpeg_without_its_end_is_read_and_a_cut_one_is_not(tmp_path, options):
    ROOM.save(buffer := BytesIO(), 'JPEG', quality=90, **options)
    data = buffer.getvalue()
    (tmp_path/'whole.jpg').write_bytes(data), (tmp_path/'endless.jpg').write_bytes(data[:-2])
    assert read_photo(tmp_path/'endless.jpg').image.tobytes() == read_photo(tmp_path/'whole.jpg').image.tobytes()
    assert check_picture(tmp_path/'endless.jpg') == ROOM.size
    for lost in (3, 5, 30, 3000, 9000):
        (tmp_path/'cut.jpg').write_bytes(data[:-lost])
        for read in (read_photo, check_picture):
            with pytest.raises(PhotoError, match='damaged or cut short'): read(tmp_path/'cut.jpg')


# Writing

def test_resolution_and_text_come_back(folder, capsys):
    notes = PngImagePlugin.PngInfo()
    notes.add_text('Author', 'Jo'), notes.add_itxt('Title', '部屋', 'ja')
    ROOM.save('photo.png', dpi=(300, 150), pnginfo=notes)
    said(capsys, 'photo.png')
    back = Image.open('out.png')
    assert back.text == {'Author': 'Jo', 'Title': '部屋'} and [round(dpi) for dpi in back.info['dpi']] == [300, 150]
    for out in ('out.jpg', 'out.tif'):
        said(capsys, 'photo.png', out=out)
        assert [round(dpi) for dpi in Image.open(out).info['dpi']] == [300, 150]


def test_exif_that_is_too_long_for_a_jpeg_is_cut_and_said(folder, capsys):
    exif = Image.Exif()
    exif[0x010f], exif[0x8769] = 'A phone', {0x927c: bytes(80_000), 0x9003: '2026:01:01 00:00:00'}
    ROOM.save('photo.png', exif=exif)
    assert 'left out: 0x927c' in said(capsys, 'photo.png', out='out.jpg')
    assert Image.open('out.jpg').getexif()[0x010f] == 'A phone'
    assert Image.open('out.jpg').getexif().get_ifd(0x8769)[0x9003] == '2026:01:01 00:00:00'


def test_a_console_without_greek_gets_every_picture(folder):
    "Windows: the first line of output used to end the command, and with it the palette"
    code = 'from wall_inpainting.painting.command_line import wall_repaint as w; w("room.png", mask="mask.png", palette="navy, sage", engine="recolor")'
    environment = os.environ | dict(PYTHONIOENCODING='cp1252', PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, cwd=folder, env=environment)
    assert done.returncode == 0 and done.stdout.count(b'dE00') == 4, done.stderr
    assert len(list(folder.glob('wall_repaint_?_*.png'))) == 2


def test_a_link_stays_a_link(folder, capsys):
    ROOM.save('kept.png')
    Path('link.png').symlink_to('kept.png'), Path('nowhere.png').symlink_to('gone.png')
    before = Path('kept.png').read_bytes()
    assert 'exists (a link)' in said(capsys, 'room.png', out='link.png', code=2) and Path('kept.png').read_bytes() == before
    assert 'kept.png is replaced' in said(capsys, 'room.png', out='link.png', overwrite=True)
    assert Path('link.png').is_symlink() and Path('kept.png').read_bytes() != before
    for overwrite in (False, True): assert 'is not there' in said(capsys, 'room.png', out='nowhere.png', overwrite=overwrite, code=2)
    assert Path('nowhere.png').is_symlink() and not Path('gone.png').exists()


def test_long_names_are_written_and_longer_ones_named(folder, capsys):
    longest = 'x'*251 + '.png'  # 255 bytes, the most that a file system takes
    said(capsys, 'room.png', out=longest)
    assert Path(longest).is_file() and not list(folder.glob('.*'))
    assert f'x{longest}: can not be written' in said(capsys, 'room.png', out='x' + longest, code=2)


def test_the_error_of_a_disk_names_the_file(tmp_path, monkeypatch):
    "On a disk that can't be written to, deleting what was begun fails as well, and must not hide the first error"
    def refuse(self, *args, **kwargs): raise OSError(30, 'Read-only file system', str(self))
    monkeypatch.setattr(Path, 'unlink', refuse)
    monkeypatch.setattr(Path, 'write_text', refuse)
    with pytest.raises(OSError) as error:
        with whole_file(tmp_path/'log.txt') as unfinished: unfinished.write_text('x')
    assert (error.value.errno, error.value.filename) == (30, str(tmp_path/'log.txt'))
    monkeypatch.setattr(Image.Image, 'save', lambda self, path, *args, **options: refuse(path))
    with pytest.raises(PhotoError, match='out.png: can not be written .Read-only file system'): write_image(ROOM, tmp_path/'out.png')


def test_a_lora_of_another_model_is_refused_with_a_count(tmp_path):
    import torch
    from safetensors.torch import save_file

    from wall_inpainting.models.bundles import BundleError, load_bundle
    bundle = load_bundle('tiny')
    layers = [name for name, module in bundle.unet.named_modules() if name.endswith(('to_q', 'to_v'))]
    sizes = {name: module.weight.shape for name, module in bundle.unet.named_modules() if name in layers}
    keys = {f'unet.{name}.lora_{part}.weight': torch.zeros((4, sizes[name][1]) if part == 'A' else (sizes[name][0], 4)) for name in layers for part in 'AB'}
    save_file({key.replace('up_blocks.3', 'up_blocks.3.blocks').replace('blocks.0.attn', 'blocks.5.attn') if 'up_blocks.3' in key else key: tensor for key, tensor in keys.items()}, tmp_path/'xl.safetensors')
    matching = sum('up_blocks.3' not in key for key in keys)
    with pytest.raises(BundleError, match=f'Stable Diffusion XL: {matching} of its {len(keys)} keys match'): bundle.pipeline(lora=tmp_path/'xl.safetensors')
    save_file(keys | {next(iter(keys)): torch.full_like(next(iter(keys.values())), torch.nan)}, tmp_path/'nan.safetensors')
    with pytest.raises(BundleError, match=f'1 of its {len(keys)} tensors hold NaN'): bundle.pipeline(lora=tmp_path/'nan.safetensors')


def test_fuzz_finds_nothing(capsys):
    "A part of `python tools/fuzz.py`, with another seed"
    assert fuzz.main(60, 3) == 0, capsys.readouterr().out


def test_many_photos_are_stopped_and_go_on(folder):
    "Ctrl-C among many photos: one line with the command that goes on, no half file, and nothing is painted twice"
    for name, picture in dict(photos=ROOM, masks=WALL).items():
        (folder/name).mkdir()
        for number in range(12): picture.save(folder/name/f'{number:02d}.png')
    (folder/'wall_repaint.py').write_text("import sys\nfrom wall_inpainting.painting.command_line import wall_repaint\nif __name__ == '__main__': sys.exit(wall_repaint())\n") # as pip installs the command
    words = ['wall_repaint.py', 'photos', '--masks', 'masks', '--color', 'navy', '--out', 'painted', '--engine', 'recolor']
    env = os.environ | {'PYTHONPATH': str(Path(__file__).parent.parent), 'PYTHONUNBUFFERED': ''} # so that the command itself must send its first line at once
    running = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=env, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    assert running.stdout.readline().startswith('00.png: 00.png, ')
    running.send_signal(signal.SIGINT)
    _, complaint = running.communicate(timeout=60)
    assert running.returncode == 130 and complaint.splitlines()[-1] == f"wall_repaint: stopped. Go on with: wall_repaint {' '.join(words[1:])}"
    done = {path: path.stat().st_mtime_ns for path in (folder/'painted').glob('*.png')}
    assert 1 <= len(done) < 12
    again = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=folder, env=env, check=True)
    assert f'{len(done)} of 12 photos are painted already' in again.stdout
    files = sorted((folder/'painted').glob('*.png'))
    assert len(files) == 12 and {path: path.stat().st_mtime_ns for path in done} == done
    assert {path.read_bytes() for path in files} == {files[0].read_bytes()} and not list((folder/'painted').glob('.*part*'))
