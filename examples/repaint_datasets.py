"""Repaint a folder of photos on all cores with `datasets`, or a share of it on each machine of a cluster.

    pip install datasets
    python examples/repaint_datasets.py photos masks painted --palette 'sage, navy' --processes 8
    srun --ntasks 4 sh -c 'python examples/repaint_datasets.py photos masks painted --palette "sage, navy" --share $SLURM_PROCID/4'

`datasets.map` hands out the photos; `repaint_file` is all that is needed of this package. Photos whose files are there are passed over, so
the same command goes on after a stop. The result is a table of what was painted: painted/repaints.jsonl, one for each share.
"""
import argparse
from functools import lru_cache
from pathlib import Path

from datasets import Dataset

from wall_inpainting import WallPainter, find_chip
from wall_inpainting.painting.command_line import RepaintJob, list_photos, pair_masks, repaint_file, split_colors


@lru_cache(1)
def painter() -> WallPainter: # one in each process
    import cv2
    cv2.setNumThreads(1) # the processes share the cores
    return WallPainter(progress=False) # on GPUs: WallPainter('sd15', device=f'cuda:{rank}') with `rank` of `map(with_rank=True)`


def repaint_row(row: dict, job: RepaintJob) -> dict:
    "One photo of the table: what was painted, or why not"
    try: done = repaint_file(row['photo'], row['mask'], row['out'], job, painter())
    except ValueError as error: return dict(delta_e=None, error=str(error))
    return dict(delta_e=max(repaint.delta_e for repaint in done.values()), error=None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, what in dict(photos='folder', masks='folder: a mask for each photo, called as it is', out='folder, made where it is missing').items(): parser.add_argument(name, type=Path, help=what)
    parser.add_argument('--palette', required=True, help='paints, separated by commas')
    parser.add_argument('--processes', type=int, default=1)
    parser.add_argument('--share', default='0/1', help='number of this machine, from 0, and of all machines: 0/4')
    args = parser.parse_args()
    number, machines = map(int, args.share.split('/'))
    job = RepaintJob(tuple(map(find_chip, split_colors(args.palette))), palette=True, overwrite=True)
    args.out.mkdir(parents=True, exist_ok=True)
    rows = [dict(photo=str(photo), mask=str(mask), out=str(args.out/f'{photo.stem}.png')) for photo, mask in pair_masks(list_photos([args.photos]), args.masks)[number::machines]]
    left = [row for row in rows if not all(path.exists() for path in job.paths(row['out']))]
    print(f'share {args.share}: {len(left)} of {len(rows)} photos are left')
    if not left: return
    done = Dataset.from_list(left).map(repaint_row, fn_kwargs=dict(job=job), num_proc=min(args.processes, len(left)), desc='photos')
    done.to_json(args.out/('repaints.jsonl' if machines == 1 else f'repaints_{number}.jsonl'))
    for row in done.filter(lambda row: row['error'] is not None): print(row['error'])


if __name__ == '__main__': main()
