"What the notebook on the gap says is what benchmarks/gap.json says: no figure stands in its text, and those in its outputs are computed anew."
import html
import json
import re
from pathlib import Path

from wall_inpainting.gap.conditions import markdown_table
from wall_inpainting.gap.report import GAP_COLUMNS, check_bars, gap_page, gap_rows, read_gap, tell_findings

ROOT = Path(__file__).parent.parent
CELLS = json.loads((ROOT/'nbs'/'05_gap_analysis.ipynb').read_text(encoding='utf-8'))['cells']
RESULTS = read_gap(ROOT/'benchmarks'/'gap.json')
FIGURE = re.compile(r'\d+\.\d+')


def outputs() -> list[str]:
    "The Markdown that the notebook's cells have put out"
    return [''.join(output['data']['text/markdown']) for cell in CELLS for output in cell.get('outputs', []) if 'text/markdown' in output.get('data', {})]


def recomputed() -> list[str]:
    "What is to stand in the notebook, from the committed numbers"
    tables = [markdown_table([name, *GAP_COLUMNS.values(), "ΔE00 less ORIGINAL's"], gap_rows(RESULTS, settings))
              for name, settings in (('pure model output', 'pure'), ('locked', 'locked'), ('FAITHFUL', 'faithful'))]
    claims = markdown_table(['', 'specified', 'measured'], [(claim['about'], claim['specified'], claim['measured']) for claim in RESULTS['claims']])
    return [*tables, claims, *(verdict.found for verdict in check_bars(RESULTS)), *tell_findings(RESULTS)]


def test_the_text_holds_no_measured_figure():
    specified = {'0.99', '1.5', '2.4', '0.3', '2.5', '3.2'} # a strength of the specification, names of versions, a switch of a recipe, a guidance, and an aim
    for cell in CELLS:
        if cell['cell_type'] == 'markdown': assert not set(FIGURE.findall(''.join(cell['source']))) - specified, ''.join(cell['source'])


def test_the_outputs_are_those_of_the_committed_numbers():
    said = '\n'.join(outputs())
    for text in recomputed(): assert text in said, f'run the notebook again: it does not say {text[:200]!r}'


def test_the_check_can_fail():
    other = json.loads(json.dumps(RESULTS))
    for run in other['runs']: run['metrics']['delta_e_2000'] = [value + 1 for value in run['metrics']['delta_e_2000']]
    assert tell_findings(other)[-1] not in '\n'.join(outputs())


def test_every_condition_was_measured_alike():
    study, runs = RESULTS['study'], RESULTS['runs']
    cells = {(run['condition'], run['seed'], run['settings']) for run in runs if run['scale'] == 1}
    assert cells == {(condition, seed, settings) for condition in study['conditions'] for seed in study['seeds']
                     for settings in ('pure', 'locked', *(('started', 'spec', 'faithful') if seed == study['seeds'][0] else ()))}
    assert all(len(run['metrics']['delta_e_2000']) == study['photos'] for run in runs)
    assert set(RESULTS['labels']) == set(study['conditions'])


def test_the_page_says_the_same():
    page = gap_page(RESULTS, {})
    for text in tell_findings(RESULTS): assert html.escape(text.replace('`', '')) in page
    assert 'http' not in page
