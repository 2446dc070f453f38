"""Which changes to the program do the tests notice? `python tools/mutate.py light.formula light.network [--list]`.

Changes one thing at a time in the imported package, never in its files, and runs the tests: a number is made a half larger, a statement that only reworks a
variable (`x = f(x)`, `x *= y`) is left out, or an `if` never holds. A change that no test notices has
survived: either the tests lack a case, or nobody needs that number or step.
"""
import argparse
import ast
import contextlib
import importlib
import inspect
import io
import os
import re
import shlex
import sys
import types
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


def is_quality(node: ast.Constant, parents: dict) -> bool:
    "Whether a number is one that quality may depend on: no index, no axis, no count of channels, no guard against division by 0"
    if type(node.value) not in (int, float) or node.value in (0, 1, 2) or abs(node.value) < 2e-6: return False
    if isinstance(above := parents[node], ast.BinOp) and isinstance(above.left, ast.List): return False  # [x]*3
    while node in parents:
        above = parents[node]
        if isinstance(above, (ast.Slice, ast.JoinedStr, ast.Raise)) or isinstance(above, ast.Subscript) and node is above.slice: return False
        if isinstance(above, ast.Call) and getattr(above.func, 'attr', '') in ('reshape', 'range'): return False
        if isinstance(above, ast.If) and all(isinstance(line, ast.Raise) for line in above.body): return False  # a check of the input
        node = above
    return True


def uses(node: ast.AST, name: str) -> bool: return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node))


def is_step(node: ast.AST) -> bool:
    "Whether a statement only reworks a variable, so that the program goes on without it"
    if isinstance(node, ast.AugAssign): return not isinstance(node.op, ast.Add)
    if isinstance(node, ast.Expr): return isinstance(node.value, ast.Call) and any(keyword.arg == 'out' for keyword in node.value.keywords)
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and uses(node.value, node.targets[0].id)


def find_mutants(source: str) -> list[tuple[str, str]]:  # (where, what was and what becomes of it; the changed source)
    "All changes of one module, from its top to its end"
    tree, mutants, starts = ast.parse(source), [], [0]
    for line in source.splitlines(keepends=True): starts.append(starts[-1] + len(line.encode()))
    parents, raw = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}, source.encode()
    def add(node, text):
        low, high = (starts[row-1] + column for row, column in ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)))
        function = node
        while function in parents and not isinstance(parents[function], ast.Module): function = parents[function]
        was = raw[low:high].decode().splitlines()[0]
        mutants.append((node.lineno, f"{getattr(function, 'name', 'module')}, line {node.lineno}: {was[:80]} -> {text}", (raw[:low] + text.encode() + raw[high:]).decode()))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and is_quality(node, parents): add(node, f'{node.value*1.5:.6g}' if isinstance(node.value, float) else str(round(node.value*1.5)))
        if is_step(node): add(node, 'pass')
        if isinstance(node, ast.If) and not node.orelse and not any(isinstance(line, ast.Raise) for line in ast.walk(node)): add(node.test, 'False')
    return [mutant[1:] for mutant in sorted(mutants, key=lambda mutant: mutant[0])]


def put_in(module: types.ModuleType, source: str):
    "Let a module that is imported already go on as another source has it: whoever imported a function of it calls the new one"
    fresh = types.ModuleType(module.__name__)
    fresh.__dict__.update({name: getattr(module, name) for name in ('__file__', '__package__', '__spec__')})
    exec(compile(source, module.__file__, 'exec'), fresh.__dict__)
    def take_over(old, new):
        old, new = inspect.unwrap(old), inspect.unwrap(new)
        old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__
    for name, new in vars(fresh).items():
        old = vars(module).get(name)
        if getattr(new, '__module__', None) == module.__name__ and inspect.isfunction(inspect.unwrap(new)): take_over(old, new)
        elif inspect.isclass(new) and new.__module__ == module.__name__:
            for method, function in vars(new).items():
                if inspect.isfunction(function): take_over(vars(old)[method], function)
        elif isinstance(new, (int, float, tuple, dict, np.ndarray, np.generic)) and not name.startswith('__'):
            for user in list(sys.modules.values()):
                if getattr(user, '__name__', '').startswith('wall_inpainting') and vars(user).get(name) is old: setattr(user, name, new)


def run_tests(tests: list[str], module: types.ModuleType|None = None, source: str = '') -> str:  # '' where all pass, else what failed first
    "Run tests in a child process, which has all that is imported and prepared here, with one module changed"
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            try:
                if module: put_in(module, source)
                code = pytest.main(['-x', '-q', '-p', 'no:cacheprovider', *tests])
            except BaseException as error: print(f'E   {error!r}'); code = 1
        said = re.findall(r'^E\s+(.*)', output.getvalue(), re.M)
        os.write(write, ('' if code == 0 else said[0][:150] if said else f'pytest ended with {code}: {output.getvalue()[-300:]}').encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as file: return file.read()


def main(names: list[str], tests: list[str], only: str, skip: str, listing: bool):
    modules = {name: importlib.import_module(f'wall_inpainting.{name}') for name in names}
    if not listing:
        for test in tests:
            if test.endswith('.py'): # imported once, with what its `prepare` makes
                sys.path.insert(0, str(Path(test).resolve().parent))
                getattr(importlib.import_module(Path(test).stem), 'prepare', lambda: None)()
        if said := run_tests(tests): raise SystemExit(f'the tests fail without any change: {said}')
    for name, module in modules.items():
        mutants = [mutant for mutant in find_mutants(Path(module.__file__).read_text()) if re.search(only, mutant[0]) and not (skip and re.search(skip, mutant[0]))]
        survivors = 0
        for what, source in mutants:
            said = '' if listing else run_tests(tests, module, source)
            survivors += not said
            print(f'{name} {what}' + ('' if listing else f': {said or "SURVIVED"}'), flush=True)
        print(f'{name}: {len(mutants)} changes' + ('' if listing else f', {survivors} survived'), flush=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('modules', nargs='+', help='such as light.formula')
    parser.add_argument('--tests', type=shlex.split, default=['tests/test_quality.py'], help='what pytest runs, and its options')
    parser.add_argument('--only', default='', help='a regular expression: only changes whose description matches')
    parser.add_argument('--skip', default='', help='a regular expression: changes that are left out, such as those of a trained network')
    parser.add_argument('--list', action='store_true', help='print the changes, run nothing')
    args = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    main(args.modules, args.tests, args.only, args.skip, args.list)
