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


ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT/'benchmarks'))
from page import compare_ratios, format_number, read_results, result_table, select_rows

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
    page = (ROOT/'nbs'/'speed.ipynb').read_text()
    assert RESULTS and read_results(ROOT/'benchmarks'/'results') == RESULTS
    for result in RESULTS.values(): assert result['command'] in page


def test_page_is_made_from_these_results(monkeypatch):
    path = ROOT/'nbs'/'speed.ipynb'
    monkeypatch.chdir(path.parent)
    stored, fresh, shell = read_nb(path), read_nb(path), CaptureShell()
    for cell in fresh.cells:
        if cell.cell_type == 'code' and 'nbdev_export' not in cell.source: shell.cell(cell)
    assert not shell.exc
    def tables(cells): return [text for cell in cells for output in cell.get('outputs', []) if (text := ''.join(output.get('data', {}).get('text/markdown', '')))]
    assert tables(fresh.cells) == tables(stored.cells), 'run speed.ipynb again'
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


MADE_UP = dict(name='tea', quick=False, command='python benchmarks/tea.py', machine=dict(cpu='a kettle', cores=1), date='2000-01-01', versions=dict(water='1.0'), rows=[
    dict(group='brew', name='stove', seconds=300., low=290, high=330, runs=5), dict(group='brew', name='kettle', watch=True, seconds=120, low=119, high=125, runs=5, ratio=2.5, against='stove'),
    dict(group='drink', name='cup', ml=200)])


def test_results_that_count(tmp_path):
    for name, quick in (('tea-kitchen', False), ('tea-office', True)): (tmp_path/f'{name}.json').write_text(json.dumps(MADE_UP | dict(quick=quick)))
    tea = read_results(tmp_path)
    assert tea == {'tea-kitchen': MADE_UP}
    assert [row['name'] for row in select_rows(tea, 'tea-kitchen', 'brew')] == ['stove', 'kettle']
    assert select_rows(tea, 'tea-office', 'brew') == select_rows(tea, 'tea-kitchen', 'pour') == []


def test_numbers_have_three_digits():
    values = 1234.5, 99.94, 12.345, 1.2345, .12345, .0123, 3, None, 'a', 1_000_000
    assert [format_number(value) for value in values] == ['1,234', '99.9', '12.3', '1.23', '0.12', '0.012', '3', '–', 'a', '1,000,000']


def test_table_tells_where_it_was_measured():
    shown = result_table(MADE_UP, 'brew', {'': 'name', 'times faster': 'ratio'})
    assert shown.splitlines()[:4] == ['|  | times faster |', '| --- | ---: |', '| stove | – |', '| kettle | 2.50 |']
    assert shown.endswith('`python benchmarks/tea.py`, a kettle, cores: 1, 2000-01-01')
    burnt = dict(MADE_UP, rows=[dict(group='brew', name='stove', failed=True)])
    assert '| stove | failed |' in result_table(burnt, 'brew', {'': 'name', 'seconds': 'seconds'})
    assert result_table(None, 'brew', {'': 'name'}) == '*Not measured.*'


def test_ratios_are_compared():
    later = json.loads(json.dumps(MADE_UP))
    later['rows'][1]['ratio'] = 1.
    assert compare_ratios(later, MADE_UP) == [dict(row='brew kettle', old=2.5, new=1., kept=.4)]  # the stove is nobody's to make faster
    assert compare_ratios(MADE_UP | dict(rows=[]), MADE_UP)[0]['kept'] is None
    with pytest.raises(ValueError, match="'coffee'"): compare_ratios(MADE_UP | dict(name='coffee'), MADE_UP)
