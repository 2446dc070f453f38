"The committed results of the benchmarks: whole, made by scripts that are there, and on the page."
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from execnb.nbio import read_nb
from execnb.shell import CaptureShell

from wall_inpainting.speed import compare_ratios, read_results

ROOT = Path(__file__).parent.parent
RESULTS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT/'benchmarks'/'results').glob('*.json'))}


@pytest.mark.parametrize('name', RESULTS)
def test_result_tells_where_it_is_from(name):
    result = RESULTS[name]
    assert not result['quick'] and result['rows'] and name.startswith(f"{result['name']}-")
    assert {'cpu', 'cores'} <= set(result['machine']) and {'python', 'torch'} <= set(result['versions'])
    program, script, *_ = shlex.split(result['command'])
    assert program == 'python' and (ROOT/script).is_file()
    assert not any(word.startswith('/') for word in shlex.split(result['command'])), 'a path of one machine'


@pytest.mark.parametrize('name', RESULTS)
def test_watched_rows_have_a_yardstick_in_the_same_run(name):
    assert not [row for row in RESULTS[name]['rows'] if row.get('failed')]
    rows = [row for row in RESULTS[name]['rows'] if row.get('watch') and 'against' in row]
    for row in rows:
        yardstick = [other for other in RESULTS[name]['rows'] if other['group'] == row['group'] and str(other['name']) == str(row['against'])]
        assert yardstick and row['runs'] >= 5 and row['low'] <= row['seconds'] <= row['high'], row
    assert {change['kept'] for change in compare_ratios(RESULTS[name], RESULTS[name])} <= {1}


def test_page_shows_every_result():
    page = (ROOT/'nbs'/'07_speed.ipynb').read_text()
    assert RESULTS and read_results(ROOT/'benchmarks'/'results') == RESULTS
    for result in RESULTS.values(): assert result['command'] in page


def test_page_is_made_from_these_results(monkeypatch):
    path = ROOT/'nbs'/'07_speed.ipynb'
    monkeypatch.chdir(path.parent)
    stored, fresh, shell = read_nb(path), read_nb(path), CaptureShell()
    for cell in fresh.cells:
        if cell.cell_type == 'code' and 'nbdev_export' not in cell.source: shell.cell(cell)
    assert not shell.exc
    def tables(cells): return [text for cell in cells for output in cell.get('outputs', []) if (text := ''.join(output.get('data', {}).get('text/markdown', '')))]
    assert tables(fresh.cells) == tables(stored.cells), 'run 07_speed again'
    assert len(tables(stored.cells)) > 15


def run(*words):
    return subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, env=os.environ | {'PYTHONPATH': str(ROOT)}, capture_output=True, text=True)


@pytest.mark.parametrize('factor, code', [(10, 1), (.1, 0)])
def test_regression_check_runs_the_command_again(tmp_path, factor, code):
    done = run('benchmarks/dataset.py', '--megapixels', .1, '--photos', 4, '--workers', 0, '--runs', 1, '--resolution', 64, '--out', tmp_path/'dataset-cpu.json')
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path/'dataset-cpu.json').read_text())
    for row in result['rows']: row |= {'ratio': factor*row['ratio']} if 'ratio' in row else {}
    (tmp_path/'dataset-cpu.json').write_text(json.dumps(result))
    checked = run('benchmarks/regression.py', '--results', tmp_path)
    assert checked.returncode == code and ('SLOWER' in checked.stdout) == bool(code), checked.stdout + checked.stderr
