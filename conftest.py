"""`pytest nbs` runs every notebook cell as a test, under the rules of `nbdev_test`, and reports a count of cells.

A cell is skipped when it says `eval: false` or carries one of settings.ini's `tst_flags` (`--nbflags "hub cuda"` runs
those); once a cell has failed, what follows in its notebook is skipped, for it would run on a state that nobody meant.
"""
import os
import sys
from contextlib import chdir
from pathlib import Path

os.environ.setdefault('HF_HUB_OFFLINE', '1')
os.environ.setdefault('MPLBACKEND', 'Agg')
os.environ['IN_TEST'] = '1'  # what nbdev_test sets, and nbdev's own show_doc looks for

import pytest
from execnb.shell import CaptureShell
from nbdev.config import get_config
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import NBProcessor


def pytest_addoption(parser):
    parser.addoption('--nbflags', default='', help='notebook flags whose cells run, separated by spaces')


def pytest_collect_file(file_path, parent):
    if file_path.suffix == '.ipynb' and not file_path.name.startswith(('_', '.')):
        return NotebookFile.from_parent(parent, path=file_path)


class NotebookFile(pytest.File):
    def collect(self):
        self.shell, self.failed_at = None, None
        notebook = NBProcessor(self.path, procs=FrontmatterProc, process=True).nb
        if str(getattr(notebook, 'frontmatter_', {}).get('skip_exec', False)).lower() == 'true': return
        for cell in notebook.cells:
            if cell.cell_type == 'code' and cell.source.strip():
                yield CellItem.from_parent(self, name=f'cell {cell.idx_}', cell=cell)

    def run(self, cell):
        with chdir(self.path.parent):
            if self.shell is None: self.shell = CaptureShell(self.path)
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
