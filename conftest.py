"""`pytest nbs` runs every notebook cell as a test, under the rules of `nbdev_test`, and reports a count of cells.

With `--cov` an exported cell counts as the lines of its module: what a notebook tests is covered, though it runs the cell and
not the module.

A cell is skipped when it says `eval: false` or carries one of settings.ini's `tst_flags` (`--nbflags "hub cuda"` runs
those); once a cell has failed, what follows in its notebook is skipped, for it would run on a state that nobody meant.
"""
import ast
import linecache
import os
import re
import sys
from contextlib import chdir
from pathlib import Path

os.environ.setdefault('HF_HUB_OFFLINE', '1')
os.environ.setdefault('MPLBACKEND', 'Agg')
os.environ['IN_TEST'] = '1'  # what nbdev_test sets, and nbdev's own show_doc looks for

import pytest
from execnb.nbio import read_nb
from execnb.shell import CaptureShell
from nbdev.config import get_config
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import NBProcessor


def pytest_addoption(parser):
    parser.addoption('--nbflags', default='', help='notebook flags whose cells run, separated by spaces')


def pytest_collect_file(file_path, parent):
    if file_path.suffix == '.ipynb' and not file_path.name.startswith(('_', '.')):
        return NotebookFile.from_parent(parent, path=file_path)


class ModuleLines:
    "Gives the code of exported cells the file and the line numbers that it has in the package"
    def __init__(self, shell, notebook):
        self.shell, self.place, self.cache = shell, None, shell.compile.cache
        config = get_config()
        exported = re.match(r'#\|\s*default_exp\s+(\S+)', ''.join(notebook.cells[0].source))
        path = config.lib_path/(exported[1].replace('.', '/') + '.py') if exported else None
        lines = path.read_text(encoding='utf-8').splitlines() if path else []
        self.first = {mark[1]: (str(path), number) for number, line in enumerate(lines, 1) if (mark := re.match(r'# %% \S+ #(\w+)$', line))}
        shell.compile.cache, shell.compile.get_code_name = self.keep_source, self.code_name
        shell.ast_transformers.append(self)

    def begin(self, cell): self.place = self.first.get(cell.get('id')) # None: not exported

    def code_name(self, raw, transformed, number): return self.place[0] if self.place else type(self.shell.compile).get_code_name(self.shell.compile, raw, transformed, number)

    def keep_source(self, *args, **kwargs):
        name = self.cache(*args, **kwargs)
        if self.place: linecache.cache.pop(name, None) # the file's own lines, not the cell's
        return name

    def visit(self, tree): return ast.increment_lineno(tree, self.place[1]) if self.place else tree


class NotebookFile(pytest.File):
    def collect(self):
        self.shell, self.failed_at = None, None
        self.source = read_nb(self.path)
        notebook = NBProcessor(self.path, procs=FrontmatterProc, process=True).nb
        if str(getattr(notebook, 'frontmatter_', {}).get('skip_exec', False)).lower() == 'true': return
        for cell in notebook.cells:
            if cell.cell_type == 'code' and cell.source.strip():
                yield CellItem.from_parent(self, name=f'cell {cell.idx_}', cell=cell)

    def run(self, cell):
        with chdir(self.path.parent):
            if self.shell is None:
                self.shell = CaptureShell(self.path)
                self.lines = ModuleLines(self.shell, self.source) if self.config.getoption('cov_source', None) else None
            if self.lines: self.lines.begin(cell)
            self.shell.cell(cell)
        if self.shell.exc:
            self.failed_at = cell.idx_
            raise self.shell.exc


class CellItem(pytest.Item):
    def __init__(self, *, cell, **kwargs):
        super().__init__(**kwargs)
        self.cell = cell

    def runtest(self):
        directives = getattr(self.cell, 'directives_', None) or {}
        flags = set(get_config().tst_flags.split()) - set(self.config.getoption('nbflags').split())
        if 'nbdev_export(' in self.cell.source: pytest.skip('exports the notebooks')
        if directives.get('eval:', [''])[0].lower() == 'false': pytest.skip('eval: false')
        if named := flags & set(directives): pytest.skip(f"flagged {', '.join(sorted(named))}")
        if self.parent.failed_at is not None: pytest.skip(f'cell {self.parent.failed_at} of this notebook failed')
        self.parent.run(self.cell)

    def repr_failure(self, excinfo, style=None):
        return f'{self.path.name}, {self.name}:\n\n{self.cell.source}\n\n{super().repr_failure(excinfo, style="short")}'

    def reportinfo(self): return self.path, None, f'{self.path.name}::{self.name}'


if str(Path(__file__).parent) not in sys.path: sys.path.insert(0, str(Path(__file__).parent))
