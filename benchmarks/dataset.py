"""Reading samples and measuring pictures: `python benchmarks/dataset.py`.

Samples a second of `WallInpaintingDataset`, against decoding the same files in full and nothing else, and how
they grow with worker processes; then megapixels a second of all colour metrics, against scikit-image's CIEDE2000 alone.
The photos are sample rooms enlarged to a camera's 12 megapixels, and to 1, with a sensor's noise, as JPEG.
"""
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np

from common import make_photo, parse, progress, save, speed_row, take_turns


def write_photos(root: Path, megapixels: float, count: int) -> Path:
    "An imagefolder of one photo in many copies: each is a file of its own"
    folder = root/'train'
    for name in ('images', 'masks'): (folder/name).mkdir(parents=True)
    photo, mask = make_photo(megapixels, corners=False)
    photo.save(folder/'images'/'0.jpg', quality=92)
    mask.save(folder/'masks'/'0.png')
    for i in range(1, count):
        for file in ('images/0.jpg', 'masks/0.png'): (folder/file.replace('0', str(i))).write_bytes((folder/file).read_bytes())
    lines = [json.dumps(dict(file_name=f'images/{i}.jpg', mask_file_name=f'masks/{i}.png')) for i in range(count)]
    (folder/'metadata.jsonl').write_text('\n'.join(lines) + '\n')
    return root


def decode(rows) -> float:
    "Decode photos and masks, and no more"
    from PIL import Image
    return sum(np.asarray(Image.open(path))[0, 0].sum() for row in rows for path in (row.image, row.mask))


def sample_rows(megapixels: float, args) -> list[dict]:
    "A dataset's speed with 0, 1, 2, ... workers, once they run"
    from torch.utils.data import DataLoader
    from wall_inpainting.dataset import WallInpaintingDataset, collate_fn
    with tempfile.TemporaryDirectory() as folder:
        dataset = WallInpaintingDataset(write_photos(Path(folder), megapixels, args.photos), check='headers', resolution=args.resolution)
        def loader(workers):
            return DataLoader(dataset, 4, collate_fn=collate_fn, num_workers=workers, persistent_workers=workers > 0, multiprocessing_context='spawn' if workers else None)
        loaders = {f'batches, workers: {workers}': loader(workers) for workers in range(args.workers+1)}
        functions = {'decode alone': lambda: decode(dataset.rows), 'one by one': lambda: [dataset[i] for i in range(len(dataset))]}
        seconds = take_turns(functions | {name: lambda each=each: sum(1 for _ in each) for name, each in loaders.items()}, args.runs)
        del loaders
    rows = [speed_row('samples', name, seconds, 'batches, workers: 0' if 'workers' in name else 'decode alone', watch=name != 'decode alone', megapixels=megapixels) for name in seconds]
    return [row | dict(samples_s=args.photos/row['seconds']) for row in rows]


def metric_rows(megapixels: float, args) -> list[dict]:
    from skimage.color import deltaE_ciede2000, rgb2lab
    from wall_inpainting.color_reference import recolor
    from wall_inpainting.validation_metrics import compute_color_fidelity_metrics, dominant_color_to_pil
    source, mask = make_photo(megapixels)
    reference, output, truth, wall = dominant_color_to_pil('#7a9e7e', (512, 512)), recolor(source, mask, '#7a9e7e'), recolor(source, mask, '#c8654a'), np.asarray(mask) > 127
    seconds = take_turns({'scikit-image, one map': lambda: deltaE_ciede2000(rgb2lab(np.asarray(output)[wall]), rgb2lab(np.asarray(truth)[wall])),
                          'all metrics': lambda: compute_color_fidelity_metrics(reference, output, mask, source, truth)}, args.runs)
    return [speed_row('metrics', name, seconds, 'scikit-image, one map', watch=name == 'all metrics', megapixels=megapixels, megapixels_s=megapixels/statistics.median(seconds[name])) for name in seconds]


if __name__ == '__main__':
    args = parse(__doc__, ('--photos', dict(type=int, default=32)), ('--workers', dict(type=int, default=2, help='at most')),
                 ('--resolution', dict(type=int, default=512, help='px a side of a sample')), ('--megapixels', dict(type=float, nargs='*', default=[1, 12])), device=False)
    if args.quick: args.photos, args.workers, args.megapixels, args.resolution = 4, 1, [.1], 64
    rows = [row for megapixels in progress(args.megapixels, 'dataset') for row in sample_rows(megapixels, args)]
    rows += [row for megapixels in progress(args.megapixels, 'metrics') for row in metric_rows(megapixels, args)]
    save('dataset', args, rows, resolution=args.resolution, photos=args.photos)
