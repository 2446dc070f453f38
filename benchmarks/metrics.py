"""Time of all colour metrics on one core: `OMP_NUM_THREADS=1 python benchmarks/metrics.py`.

The yardstick is scikit-image's CIEDE2000 alone, on the same wall pixels.
"""
import statistics
import time

import cv2
import numpy as np
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from wall_inpainting.color_reference import recolor, sample_rooms
from wall_inpainting.validation_metrics import compute_color_fidelity_metrics, dominant_color_to_pil


def processor_seconds(function, *args) -> float:
    start = time.process_time()
    function(*args)
    return time.process_time() - start


if __name__ == '__main__':
    cv2.setNumThreads(1)
    folder, size = sample_rooms('train'), (1156, 867)  # 1 megapixel
    source, truth = (Image.open(folder/'images'/f'00009_{x}.png').resize(size, Image.Resampling.BICUBIC) for x in 'ab')
    mask = Image.open(folder/'masks'/'00009.png').resize(size, Image.Resampling.NEAREST)
    reference, output = dominant_color_to_pil('#7a9e7e', (512, 512)), recolor(source, mask, '#7a9e7e')
    wall = np.asarray(mask) > 127
    def library(): return deltaE_ciede2000(rgb2lab(np.asarray(output)[wall]), rgb2lab(np.asarray(truth)[wall]))
    pairs = [(processor_seconds(compute_color_fidelity_metrics, reference, output, mask, source, truth), processor_seconds(library)) for _ in range(6)][1:]
    ours, theirs = (statistics.median(times) for times in zip(*pairs))
    print(f'{size[0]} x {size[1]} px, {wall.mean():.0%} wall: all metrics {ours:.2f} s, one CIEDE2000 map by scikit-image {theirs:.2f} s (medians of {len(pairs)})')
