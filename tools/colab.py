"""Give every notebook but the index its Open-in-Colab badge and a cell that installs the package there: `python tools/colab.py`.

Both stand right below the title. The cell does nothing anywhere but on Colab, and nbdev neither runs nor shows it; outputs
and all other cells stay as they are. With `--check`, nothing is written, and a notebook that lacks them is an error.
"""
import argparse
from pathlib import Path

import nbformat
from nbdev.config import get_config

COLAB = 'https://colab.research.google.com'
INSTALL = '''#| hide
#| eval: false
![ -e /content ] && pip install -q "git+{git_url}" # on Colab only'''


def colab_cells(name: str, config) -> list:
    "The badge and the installing cell of a notebook"
    path = config.git_url.removeprefix('https://github.com/')
    link = f'{COLAB}/github/{path}/blob/{config.branch}/nbs/{name}'
    badge = nbformat.v4.new_markdown_cell(f'[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({link})', id='colab-badge')
    return [badge, nbformat.v4.new_code_cell(INSTALL.format(git_url=config.git_url), id='colab-install')]


def with_colab(notebook, name: str, config):
    "The same notebook with both cells below its title, whether or not it had them"
    notebook = notebook.copy()
    cells = [cell for cell in notebook.cells if cell.get('id') not in ('colab-badge', 'colab-install')]
    title = next((i for i, cell in enumerate(cells) if cell.cell_type == 'markdown' and cell.source.startswith('# ')), None)
    if title is None: raise ValueError(f'{name} has no title, a markdown cell that starts with "# "')
    notebook.cells = [*cells[:title + 1], *colab_cells(name, config), *cells[title + 1:]]
    return notebook


def main(paths: list[Path], check: bool) -> list[str]:
    "Write or check; the names of notebooks that were not as they should be"
    config, stale = get_config(), []
    for path in paths or sorted(path for path in config.nbs_path.rglob('*.ipynb') if path.stem != 'index'):
        notebook = nbformat.read(path, as_version=4)
        wanted = with_colab(notebook, path.resolve().relative_to(config.nbs_path).as_posix(), config)
        if [dict(cell) for cell in wanted.cells] == [dict(cell) for cell in notebook.cells]: continue
        stale.append(path.resolve().relative_to(config.nbs_path).as_posix())
        if check: continue
        unfinished = path.with_suffix('.tmp')
        unfinished.write_text(nbformat.writes(wanted) + '\n', encoding='utf-8')
        unfinished.replace(path)
    return stale


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('notebooks', nargs='*', type=Path, help='default: all but the index')
    parser.add_argument('--check', action='store_true', help='write nothing')
    args = parser.parse_args()
    stale = main(args.notebooks, args.check)
    print(f"{'lack' if args.check else 'given'} badge and cell: {', '.join(stale) or 'none'}")
    if args.check and stale: raise SystemExit(1)
