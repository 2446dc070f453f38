"""Read, paint and write awkward files, and count what goes wrong: `python tools/fuzz.py [--count 1000] [--seed 0]`.

Each input is a small photo and a mask, both made from the packaged sample room in a way that the seed and the input's
number decide: EXIF entries of every type, orientations in every place, colour profiles, PNG chunks, kinds of pixels, files
that are cut or damaged, odd names, masks that are none. What is right is known for each: how the upright photo looks,
which files are good, which must be refused. Exit code 1 where anything went wrong.
"""
import argparse
import os
import struct
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter, defaultdict
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageFilter

from wall_inpainting.color_reference import recolor
from wall_inpainting.pictures.arrays import sample_rooms
from wall_inpainting.pictures.imagefolder import read_metadata
from wall_inpainting.pictures.photos import FORMATS, check_output, read_mask, read_photo, write_image

T = Image.Transpose
STORED = {1: None, 2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM, 5: T.TRANSPOSE, 6: T.ROTATE_90, 7: T.TRANSVERSE, 8: T.ROTATE_270}  # how a camera's sensor sees the upright room
ROW = read_metadata(sample_rooms('train').parent)[0]
ROOM = Image.open(ROW.image).convert('RGB').resize((96, 72), Image.Resampling.LANCZOS)
WALL = Image.open(ROW.mask).convert('L').resize((96, 72), Image.Resampling.NEAREST)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile('LAB')).tobytes()
TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}  # EXIF's types (one of them not in the standard), and bytes of each


def stored(image, orientation): return image if STORED[orientation] is None else image.transpose(STORED[orientation])


def exif_data(rng, orientation, extra=True):
    "EXIF data with the orientation, and with entries of any tag and type, a list of details among them"
    order = rng.choice(['<', '>'])
    known = [256, 270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 513, 514, 529, 33432, 33434, 34665, 34853, 36864, 36867, 37121, 37500, 37510, 40960, 40961, 40965, 41486, 41728]
    def entry(tag, kind, values=None):
        count = int(rng.integers(0, 6))
        body = rng.bytes(count*TYPES[kind]) if values is None else values
        return tag, kind, count if values is None else 1, body
    def pack(entries, at, more=b''):
        table, data, start = b'', more, at + 2 + 12*len(entries) + 4
        for tag, kind, count, body in sorted(entries, key=lambda e: e[0]):
            if len(body) > 4: body, data = struct.pack(order + 'I', start + len(data)), data + body + bytes(len(body) % 2)
            table += struct.pack(order + 'HHI', tag, kind, count) + body.ljust(4, b'\0')
        return struct.pack(order + 'H', len(entries)) + table + bytes(4) + data
    entries = [entry(0x0112, 3, struct.pack(order + 'H', orientation))]
    if extra:
        tags = [int(tag) for tag in rng.choice(known, rng.integers(1, 4), replace=False) if tag != 274]
        entries += [entry(tag, int(rng.choice(list(TYPES)))) for tag in tags if tag not in (34665, 34853)]
        if 34665 in tags:
            inner = [entry(int(tag), int(rng.choice(list(TYPES)))) for tag in rng.choice(known[18:], 2, replace=False)]
            at = 8 + 2 + 12*(len(entries) + 1) + 4
            return b'Exif\0\0' + (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(order + 'I', 8) + pack(entries + [entry(34665, 4, struct.pack(order + 'I', at))], 8, pack(inner, at))
    return b'Exif\0\0' + (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(order + 'I', 8) + pack(entries, 8)


def with_chunks(image, chunks, late=(), **options):
    "A PNG's bytes with more chunks before its pixels, and some after them"
    image.save(buffer := BytesIO(), 'PNG', **options)
    data = buffer.getvalue()
    def pack(kind, body): return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
    return data[:33] + b''.join(pack(*c) for c in chunks) + data[33:-12] + b''.join(pack(*c) for c in late) + data[-12:]


def saved(image, kind, **options):
    image.save(buffer := BytesIO(), kind, **options)
    return buffer.getvalue()


# Photos: each gives (bytes, extension, whether it must be read: True, False, None for either, how its file lies)
def photo_exif(rng):
    orientation, kind = int(rng.integers(1, 9)), str(rng.choice(['JPEG', 'PNG', 'WEBP']))
    return saved(stored(ROOM, orientation), kind, exif=exif_data(rng, orientation)), kind.lower(), True, orientation


def photo_places(rng):
    "Orientation in each of the places where a file can hold it"
    orientation, place = int(rng.integers(1, 9)), rng.integers(7)
    picture, exif = stored(ROOM, orientation), exif_data(rng, orientation, False)
    quote = str(rng.choice(['"', "'"]))
    xmp = f'<x tiff:Orientation={quote}{orientation}{quote}/>' if rng.random() < .5 else f'<tiff:Orientation>{orientation}</tiff:Orientation>'
    raw = f'\nexif\n{len(exif):8}\n{exif.hex()}\n'.encode()
    if place == 0: return with_chunks(picture, [(b'tEXt', b'Raw profile type exif\0' + raw)]), 'png', True, orientation
    if place == 1: return with_chunks(picture, [], [(b'zTXt', b'Raw profile type exif\0\0' + zlib.compress(raw))]), 'png', True, orientation
    if place == 2: return with_chunks(picture, [], [(b'eXIf', exif[6:])]), 'png', True, orientation
    if place == 3: return with_chunks(picture, [(b'iTXt', b'XML:com.adobe.xmp\0\0\0\0\0' + xmp.encode())]), 'png', True, orientation
    if place == 4: return saved(picture, 'JPEG', xmp=xmp.encode()), 'jpg', True, orientation
    if place == 5: return saved(picture, 'WEBP', xmp=xmp.encode(), lossless=True), 'webp', True, orientation
    return saved(picture, 'TIFF', tiffinfo={274: orientation}), 'tif', True, orientation


def photo_profile(rng):
    icc = bytearray([SRGB, LAB][int(rng.random() < .1)])
    for at in rng.integers(0, len(icc), rng.integers(0, 12)): icc[at] = rng.integers(256)
    icc = bytes(icc[:rng.integers(0, len(icc) + 1)] if rng.random() < .5 else icc)
    kind = str(rng.choice(['JPEG', 'PNG', 'WEBP', 'TIFF']))
    picture = ROOM.convert('L') if rng.random() < .2 and kind != 'WEBP' else ROOM
    return saved(picture, kind, icc_profile=icc), kind.lower().replace('tiff', 'tif'), True, 1


def photo_pixels(rng):
    mode = str(rng.choice(['L', 'LA', 'P', '1', 'RGBA', 'I;16', 'PA', '16 bits', 'CMYK', 'F', 'I', 'LAB', 'YCbCr']))
    if mode == '16 bits': return cv2.imencode('.png', np.asarray(ROOM)[..., ::-1].astype(np.uint16)*257)[1].tobytes(), 'png', True, 1
    if mode == 'I;16': return saved(Image.fromarray(np.asarray(ROOM.convert('L')).astype(np.uint16)*257), str(rng.choice(['PNG', 'TIFF']))), 'png', True, 1
    if mode == 'PA': return saved(ROOM.quantize(64), 'PNG', transparency=3), 'png', True, 1
    if mode in ('CMYK', 'LAB'): return saved(ROOM.convert('CMYK') if mode == 'CMYK' else Image.new('LAB', ROOM.size), 'TIFF'), 'tif', False, 1
    if mode in ('F', 'I'): return saved(ROOM.convert('L').convert(mode), 'TIFF'), 'tif', False, 1
    if mode == 'YCbCr': return saved(ROOM, 'JPEG', progressive=bool(rng.random() < .5), subsampling=int(rng.integers(3)), quality=int(rng.integers(30, 96))), 'jpg', True, 1
    picture = ROOM.quantize(64) if mode == 'P' else ROOM.convert(mode)
    if mode in ('LA', 'RGBA') and rng.random() < .7: picture.putalpha(WALL)
    kind = str(rng.choice(['PNG', 'TIFF'])) if mode != 'P' else str(rng.choice(['PNG', 'GIF', 'BMP']))
    return saved(picture, kind), kind.lower().replace('tiff', 'tif'), True, 1


def photo_chunks(rng):
    chunks = [c for c in ((b'gAMA', struct.pack('>I', int(rng.choice([0, 1, 45455, 55556, 100000, 2**31])))), (b'cICP', rng.bytes(4) if rng.random() < .5 else bytes([12, 13, 0, 1])),
                          (b'cHRM', rng.bytes(32) if rng.random() < .5 else struct.pack('>8I', 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)), (b'sRGB', b'\0'), (b'pHYs', rng.bytes(8) + b'\1'),
                          (b'tEXt', b'Author\0Jo'), (b'iTXt', b'Title\0\0\0en\0\0' + 'Küche'.encode()), (b'zTXt', b'Notes\0\0' + rng.bytes(9))) if rng.random() < .3]
    return with_chunks(ROOM, chunks), 'png', True, 1


def photo_damaged(rng):
    "A file that is cut, or has other bytes in places, or more bytes at its end"
    orientation, kind = int(rng.integers(1, 9)), str(rng.choice(['JPEG', 'PNG', 'WEBP', 'TIFF', 'GIF', 'BMP', 'PPM']))
    options = dict(exif=exif_data(rng, orientation, False)) if kind in ('JPEG', 'PNG', 'WEBP') else {}
    orientation = orientation if options else 1
    data, way = bytearray(saved(stored(ROOM, orientation), kind, **options)), rng.integers(4)
    extension = kind.lower().replace('tiff', 'tif')
    if way == 0: return bytes(data + rng.bytes(rng.integers(1, 99))), extension, None, orientation
    if way == 1 and kind == 'JPEG': return bytes(data[:-2]), extension, True, orientation
    if way < 3: return bytes(data[:rng.integers(0, len(data)-12)]), extension, None if kind in ('TIFF', 'GIF', 'BMP', 'PPM') else False, orientation
    for at in rng.integers(0, len(data), rng.integers(1, 9)): data[at] = rng.integers(256)
    return bytes(data), extension, None, None  # what is right can't be known


PHOTOS = dict(exif=photo_exif, places=photo_places, profile=photo_profile, pixels=photo_pixels, chunks=photo_chunks, damaged=photo_damaged)


# Masks: each gives (bytes, extension, whether it must be read)
def mask_of(kind, rng):
    wall = np.asarray(WALL)
    if kind == 'plain': return saved(WALL, 'PNG'), 'png', True
    if kind == 'jpeg': return saved(WALL, 'JPEG', quality=int(rng.integers(20, 96))), 'jpg', True
    if kind == 'soft': return saved(WALL.filter(ImageFilter.GaussianBlur(rng.uniform(.3, 1.5))), 'PNG'), 'png', True
    if kind == 'resized': return saved(WALL.resize((700, 500), Image.Resampling.BICUBIC).resize(WALL.size, Image.Resampling.LANCZOS), 'PNG'), 'png', True
    if kind == 'palette': return saved(WALL.convert('RGB').quantize(2), 'PNG'), 'png', True
    if kind == 'one bit': return saved(WALL.convert('1'), 'PNG'), 'png', True
    if kind == '16 bits': return saved(Image.fromarray(wall.astype(np.uint16)*257), 'PNG'), 'png', True
    if kind == 'dirty': return saved(Image.fromarray(np.clip(wall.astype(int) + rng.integers(-2, 3, wall.shape), 0, 255).astype(np.uint8)), 'PNG'), 'png', True
    if kind == 'labels': return saved(Image.fromarray(np.uint8(rng.choice(256, 5, replace=False))[(np.arange(72)[:, None]//15 + 0*wall)]), 'PNG'), 'png', None
    if kind == 'classes': return saved(Image.fromarray(np.where(wall > 0, int(rng.integers(1, 128)), int(rng.integers(128, 240))).astype(np.uint8)), 'PNG'), 'png', False
    if kind == 'half': return saved(Image.fromarray(wall//255*np.uint8(rng.integers(20, 215))), str(rng.choice(['PNG', 'JPEG']))), 'png', False
    if kind == 'zero one': return saved(Image.fromarray(wall//255), 'PNG'), 'png', False
    if kind == 'noise': return saved(Image.fromarray(rng.integers(0, int(rng.integers(2, 9)), wall.shape).astype(np.uint8)), 'PNG'), 'png', False
    if kind == 'alpha':
        shaped = Image.new('RGBA', WALL.size, 'white'); shaped.putalpha(WALL)
        return saved(shaped, 'PNG'), 'png', False
    if kind == 'white': return saved(Image.new('L', WALL.size, int(rng.integers(128, 256))), 'PNG'), 'png', False
    if kind == 'black': return saved(Image.new('L', WALL.size, int(rng.integers(0, 9))), 'PNG'), 'png', False
    if kind == 'photo': return saved(ROOM, 'JPEG', quality=95), 'jpg', False
    if kind == 'size': return saved(WALL.resize((95, 72)), 'PNG'), 'png', False
    return saved(WALL, 'PNG')[:int(rng.integers(0, 150))], 'png', False  # cut


MASKS = ['plain']*8 + ['jpeg', 'soft', 'resized', 'palette', 'one bit', '16 bits', 'dirty', 'labels', 'classes', 'half', 'zero one', 'noise', 'alpha', 'white', 'black', 'photo', 'size', 'cut']
NAMES = ['photo', 'ein Foto ü', '部屋', '-photo', 'a\nb', 'x'*240, 'photo.tar', '\udcff', "it's #1 %s {}"]


def one_sentence(error): return isinstance(error, ValueError) and '\n' not in str(error).replace('a\nb', '') and not isinstance(error, UnicodeError)


def lies_right(image):
    "Whether a picture is the room upright, and none of its seven other positions"
    def distance(other): return np.abs(np.asarray(image.convert('L'), float) - np.asarray(other.convert('L'), float)).mean() if other.size == image.size else np.inf
    return distance(ROOM) <= min(distance(stored(ROOM, turn)) for turn in range(2, 9))


def try_one(rng, folder, note):
    "Run one input; `note(what)` is called with what went wrong"
    kind = str(rng.choice(list(PHOTOS)))
    mask_kind = str(rng.choice(MASKS))
    data, extension, good, orientation = PHOTOS[kind](rng)
    mask_data, mask_extension, mask_good = mask_of(mask_kind, rng)
    path, mask_path = folder/f'{rng.choice(NAMES)}.{extension}', folder/f'mask.{mask_extension}'
    out = folder/f'out{rng.choice(list(FORMATS))}'
    path.write_bytes(data), mask_path.write_bytes(mask_data)
    try: photo = read_photo(path)
    except Exception as error:
        if not one_sentence(error): note(kind, f'crash in reading: {type(error).__name__}')
        elif good: note(kind, 'good photo refused')
        return kind, 'refused'
    if good is False: note(kind, 'damaged photo read')
    if orientation and not (kind == 'damaged' and good is None) and not lies_right(photo.image): note(kind, 'turned wrongly')
    try: mask = read_mask(mask_path, photo)
    except Exception as error:
        if not one_sentence(error): note(f'mask: {mask_kind}', f'crash in reading: {type(error).__name__}')
        elif mask_good and photo.image.size == ROOM.size: note(f'mask: {mask_kind}', 'good mask refused')
        return kind, 'mask refused'
    if mask_good is False: note(f'mask: {mask_kind}', 'bad mask read')
    try:
        painted = recolor(photo.image, mask, photo.color('navy'))
        far = cv2.dilate(np.asarray(WALL), np.ones((25, 25))) == 0 if mask_good else np.asarray(mask) == 0
        if painted.size == ROOM.size and not np.array_equal(np.asarray(painted)[far], np.asarray(photo.image)[far]): note(f'mask: {mask_kind}', 'changed outside the mask')
        check_output(out, False, photo)
        written = write_image(painted, out, photo)
    except Exception as error:
        if not one_sentence(error): note(kind, f'crash in painting or writing: {type(error).__name__}')
        elif 'JPEG holds no transparency' not in str(error): note(kind, 'could not be written')
        return kind, 'not written'
    try:
        back = read_photo(written)
        if out.suffix not in ('.jpg', '.jpeg') and back.image.tobytes() != painted.tobytes(): note(kind, 'other pixels after writing')
        if (back.icc, back.orientation) != (photo.icc, 1): note(kind, 'profile or orientation lost in writing')
    except Exception as error: note(kind, f'result can not be read: {type(error).__name__}')
    return kind, 'painted'


def main(count, seed):
    warnings.simplefilter('ignore')
    start, ends, wrong, first = time.time(), Counter(), defaultdict(Counter), {}
    for number in range(count):
        def note(kind, what):
            wrong[kind][what] += 1
            first.setdefault((kind, what), number)
        with tempfile.TemporaryDirectory() as folder: ends[try_one(np.random.default_rng([seed, number]), Path(folder), note)] += 1
    print(f'{count} inputs, seed {seed}, {time.time()-start:.0f} s')
    for kind in PHOTOS: print(f'  {kind}: ' + ', '.join(f'{n} {end}' for (k, end), n in sorted(ends.items()) if k == kind))
    total = sum(sum(found.values()) for found in wrong.values())
    print(f'{total} went wrong')
    for kind, found in sorted(wrong.items()):
        for what, n in found.most_common(): print(f'  {kind}: {n} x {what} (first: input {first[kind, what]})')
    return int(total > 0)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--count', type=int, default=1000, help='inputs')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    sys.exit(main(args.count, args.seed))
