"""Whether anything got slower: `python benchmarks/regression.py [cpu-cpu dataset-cpu ...] [--tolerance 0.2]`.

Runs the commands of the committed results again and compares how many times faster things are than their yardsticks, which ran in
the same turns on the same machine: a slower machine changes little, another number of cores much, which it says. Exit code 1 where
something lost more than the tolerance.
"""
import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from common import RESULTS
from page import compare_ratios, read_results

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('names', nargs='*', help='of files of results, such as calls-cpu; default: all that this machine can run')
    parser.add_argument('--tolerance', type=float, default=.2, help='share of a ratio that may be lost')
    parser.add_argument('--runs', type=int, help="turns; default: as many as the results' command")
    parser.add_argument('--results', type=Path, default=RESULTS)
    args = parser.parse_args()
    import torch
    committed, lost = read_results(args.results), []
    if unknown := set(args.names) - set(committed): sys.exit(f'no results {min(unknown)!r} in {args.results.name}; there are {sorted(committed)}')
    for name in args.names or [name for name, result in committed.items() if any(row.get('watch') for row in result['rows'])]:
        if name.endswith('cuda') and not torch.cuda.is_available():
            print(f'{name}: left out, there is no GPU')
            continue
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder)/'new.json'
            words = shlex.split(committed[name]['command'])[1:] + ['--out', str(out)] + (['--runs', str(args.runs)] if args.runs else [])
            subprocess.run([sys.executable, *words], cwd=RESULTS.parent.parent, check=True, stdout=subprocess.DEVNULL)
            new = json.loads(out.read_text())
        if (cores := new['machine']['cores']) != (before := committed[name]['machine']['cores']): print(f'{name}: on {cores} cores, the committed result on {before}: other ratios say little')
        changes = compare_ratios(new, committed[name])
        for change in changes:
            bad = change['kept'] is None or change['kept'] < 1 - args.tolerance
            print(f"{'SLOWER ' if bad else '       '}{name}: {change['row']}: " + ('not measured any more' if change['kept'] is None else f"{change['old']:.2f} x, now {change['new']:.2f} x"))
            lost += [change]*bad
    sys.exit(bool(lost))
