"""What `refine_mask` does to true and to rough masks: `python benchmarks/mask_borders.py FOLDER [FOLDER ...]`.

A folder holds photos and masks/ with one PNG of the same name for each, or NAME_before.png beside NAME_mask.png. Each mask
is simplified to polygons, shrunk, grown and cut into blocks; printed are the intersection over union with the mask itself
before and after `refine_mask`, for the whole mask and within 10 px of its border, and seconds a megapixel.
"""
import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from masks import read_folder
from PIL import Image

from wall_inpainting.masks.outlines import refine_mask

NEAR = 10  # px
DISK = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))  # 2 px to each side


def polygons(mask: np.ndarray, share: float) -> np.ndarray:
    "A mask whose borders are polygons, off by at most a share of the longer side"
    contours = [cv2.approxPolyDP(contour, share*max(mask.shape), True) for contour in cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]]
    return cv2.fillPoly(np.zeros_like(mask), [contour for contour in contours if len(contour) > 2], 1)


def blocks(mask: np.ndarray, side: int = 8) -> np.ndarray:
    "A mask as if it had been found at an eighth of the size"
    height, width = mask.shape
    small = cv2.resize(mask.astype(np.float32), (-(-width//side), -(-height//side)), interpolation=cv2.INTER_AREA) > .5
    return np.kron(small.astype(np.uint8), np.ones((side, side), np.uint8))[:height, :width]


CHANGES = {'as it is': lambda mask: mask, 'polygons 0.2%': lambda mask: polygons(mask, .002), 'polygons 0.4%': lambda mask: polygons(mask, .004),
           'polygons 0.8%': lambda mask: polygons(mask, .008), '2 px inside': lambda mask: cv2.erode(mask, DISK), '2 px outside': lambda mask: cv2.dilate(mask, DISK),
           'blocks of 8 px': blocks}


def overlap(found: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    "Intersection over union in a part of the picture"
    return (found & truth & where).sum()/((found | truth) & where).sum()


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folders', type=Path, nargs='+')
    for folder in parser.parse_args().folders:
        for change, make in CHANGES.items():
            rows = {}
            for name, (photo, truth) in read_folder(folder).items():
                codes = truth.astype(np.uint8)
                rough, near = make(codes), cv2.dilate(codes, np.ones((2*NEAR+1,)*2)) > cv2.erode(codes, np.ones((2*NEAR+1,)*2))
                start = time.perf_counter()
                refined = np.asarray(refine_mask(photo, Image.fromarray(rough*255))) > 0
                seconds = (time.perf_counter() - start)/truth.size*1e6
                rows[name] = [overlap(mask > 0, truth, where) for where in (np.ones_like(truth), near) for mask in (rough, refined)] + [seconds]
            values = np.array(list(rows.values()))
            gain = values[:, 1] - values[:, 0]
            for name, row in rows.items(): print(f'  {name:20} {row[0]:.3f} to {row[1]:.3f}, near the border {row[2]:.3f} to {row[3]:.3f}')
            print(f'{folder.name}, {change}: {values[:, 0].mean():.3f} to {values[:, 1].mean():.3f} (worst {gain.min():+.3f}, better in {(gain > 0).sum()} of {len(gain)}), '
                  f'near the border {values[:, 2].mean():.3f} to {values[:, 3].mean():.3f}; {np.median(values[:, 4]):.2f} s a megapixel', flush=True)
