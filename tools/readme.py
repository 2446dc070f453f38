"""Write README.md from nbs/index.ipynb, as `nbdev_readme` would: `python tools/readme.py`.

`nbdev_readme` needs Quarto. This takes the notebook through the same nbdev processors (`nbdev.serve.proc_nbs`) and writes
its cells as GitHub Markdown; pictures go to index_files/, where nbdev_readme puts them. Links between notebooks, which
only the site can follow, get the folder in front that they need on GitHub.
"""
import base64
import os
import re
from pathlib import Path

from execnb.nbio import read_nb
from nbdev.config import get_config
from nbdev.processors import FilterDefaults

ROOT = Path(__file__).parent.parent
README, FIGURES = ROOT/'README.md', Path('index_files')/'figure-commonmark'


def processed_index():
    "`index.ipynb` after nbdev's processors: directives obeyed, hidden cells gone"
    os.environ['IN_TEST'] = '1'
    notebook = read_nb(get_config(path=ROOT).nbs_path/'index.ipynb')
    FilterDefaults()(notebook)
    return notebook


def output_markdown(output, name: str, figures: dict[str, bytes]) -> str:
    "One output as Markdown; a picture is added to `figures` under `name`"
    if output.output_type == 'stream': return '    ' + ''.join(output.text).rstrip().replace('\n', '\n    ')
    for kind in ('png', 'jpeg'):
        if f'image/{kind}' in output.data:
            path = FIGURES/f'{name}.{kind}'
            figures[path.as_posix()] = base64.b64decode(''.join(output.data[f'image/{kind}']))
            return f'![]({path.as_posix()})'
    if 'text/markdown' in output.data: return ''.join(output.data['text/markdown'])
    return '    ' + ''.join(output.data['text/plain']).replace('\n', '\n    ')


def cell_markdown(cell, figures: dict[str, bytes]) -> list[str]:
    "The blocks of one processed cell"
    source = cell.source.strip()
    if cell.cell_type == 'raw': # nbdev turns the title into front matter
        title = re.search(r'^title: *(.+)$', source, re.M)
        return [f'# {title[1]}'] if title else []
    if cell.cell_type == 'markdown': return [re.sub(r'\]\(([\w/]+\.ipynb)', r'](nbs/\1', source)]
    if not source: return []
    directives = {line.split('|', 1)[1].split(':')[0].strip(): line.split(':', 1)[-1].strip()
                  for line in source.splitlines() if line.startswith('#|')}
    code = '\n'.join(line for line in source.splitlines() if not line.startswith('#|')).strip()
    blocks = [] if directives.get('echo') == 'false' else [f'``` python\n{code}\n```']
    return blocks + [output_markdown(output, f'cell-{cell.idx_ + 1}-output-{i}', figures)
                     for i, output in enumerate(cell.get('outputs', []), 1)]


def build() -> tuple[str, dict[str, bytes]]:
    "README.md's text, and its pictures by path"
    figures, blocks = {}, []
    for cell in processed_index().cells: blocks += cell_markdown(cell, figures)
    return '\n\n'.join(block for block in blocks if block) + '\n', figures


if __name__ == '__main__':
    text, figures = build()
    README.write_text(text, encoding='utf-8')
    for path, data in figures.items():
        (ROOT/path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT/path).write_bytes(data)
    print(f'wrote README.md and {len(figures)} pictures')
