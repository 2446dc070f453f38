"What the page on speed is made with: results read from JSON files, tables of them, and how ratios have changed."
import json
from collections.abc import Callable
from pathlib import Path


def read_results(
    folder:str|Path, # of JSON files, as the scripts in benchmarks/ write them
) -> dict[str, dict]: # by name and device, such as 'calls-cuda'
    "Results that count"
    found = {path.stem: json.loads(path.read_text()) for path in sorted(Path(folder).glob('*.json'))}
    return {name: result for name, result in found.items() if not result['quick']}


def select_rows(
    results:dict[str, dict], # of `read_results`
    name:str,  # of a result
    group:str, # of its rows
) -> list[dict]: # none: not measured
    "The rows of a group"
    return [row for row in results[name]['rows'] if row['group'] == group] if name in results else []


def format_number(
    value, # number, text, True, or None
) -> str:
    "A figure with three digits, as a person writes it"
    if value is None: return '–'
    if not isinstance(value, (int, float)) or isinstance(value, bool): return str(value)
    if isinstance(value, int) or abs(value) >= 100: return f'{value:,.0f}'
    return f'{value:.2g}' if abs(value) < .1 else f'{value:.{1 if abs(value) >= 10 else 2}f}'


def result_table(
    result:dict|None,   # of `read_results`; None: there is none
    group:str,          # of its rows
    columns:dict[str, str|Callable], # title: key of a row, or a function of the row; the first names it
    titles:dict[str, str]|None=None, # what a row's name means
) -> str: # Markdown; says where it was measured, or that it was not
    "A table of one group, and where it comes from"
    rows = [row for row in result['rows'] if row['group'] == group] if result else []
    if not rows: return '*Not measured.*'
    def value(row, column): return column(row) if callable(column) else row.get(column)
    def cells(row):
        name, *values = [value(row, column) for column in columns.values()]
        if row.get('failed'): values[0] = 'failed'
        return [(titles or {}).get(name, str(name)), *map(format_number, values)]
    lines = [list(columns), ['---']+['---:']*(len(columns)-1), *map(cells, rows)]
    machine = result['machine']
    place = machine.get('gpu') or f"{machine['cpu']}, cores: {machine['cores']}"
    return '\n'.join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n`{result['command']}`, {place}, {result['date']}"


def compare_ratios(
    new:dict, # result
    old:dict, # result of the same command
) -> list[dict]: # row (group and name), old and new ratio, and kept, new/old; new and kept are None where it is gone
    "How the watched ratios of a result have changed"
    if new['name'] != old['name']: raise ValueError(f"results of {new['name']!r} can't be compared with those of {old['name']!r}")
    def ratios(result): return {tuple(str(row.get(key, '')) for key in ('group', 'name', 'megapixels')): row.get('ratio') for row in result['rows'] if row.get('watch')}
    now = ratios(new)
    return [dict(row=' '.join(key).strip(), old=ratio, new=now.get(key), kept=now[key]/ratio if now.get(key) else None) for key, ratio in ratios(old).items() if ratio]
