"""What imports what in the package: `python tools/imports.py` prints the floors, each module with its imports, and the figures.

A floor may import floors before it, and modules of one floor that share a folder may import each other as long as nothing
goes round in a circle. `rooms` and `pretraining` make data and weights: nothing else imports them.
"""
import argparse
import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent/'wall_inpainting'
FLOORS = [['pictures.arrays'], ['light.formula', 'light.layers', 'pictures.edges'], ['light.room'], ['color_reference'], ['pictures'], ['runs'], ['light', 'models'], ['masks'], ['dataset'], ['training'],
          ['validation_metrics'], ['inference'], ['lora', 'validation', 'painting'], ['masks.command_line'], ['gap'], ['gap_analysis'], ['gap.command_line'], ['studio'],
          ['rooms'], ['pretraining']]
MAKERS = ['rooms', 'pretraining']  # of data and weights


def find_modules(package: Path = PACKAGE) -> dict[str, Path]:
    "The modules of the package by name, without the package's own: 'inference', 'light.formula'"
    return {'.'.join(path.relative_to(package).with_suffix('').parts): path for path in sorted(package.rglob('*.py')) if not path.name.startswith('_')}


def read_imports(package: Path = PACKAGE) -> dict[str, set[str]]:
    "For each module those of the package that it imports, at its top or inside a function"
    modules = find_modules(package)
    graph = {}
    for module, path in modules.items():
        folder, names = ['wall_inpainting', *module.split('.')[:-1]], set()
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import): names |= {alias.name for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                start = folder[:len(folder)-node.level+1] if node.level else []
                base = '.'.join([*start, *([node.module] if node.module else [])])
                names |= {base, *(f'{base}.{alias.name}' for alias in node.names)}
        graph[module] = {name.removeprefix('wall_inpainting.') for name in names} & set(modules)
    return graph


def floor_of(module: str, floors: list[list[str]] = FLOORS) -> tuple[int, str]:
    "The number of a module's floor, and which room of the floor it is in; the longest name counts"
    rooms = [(len(room), number, room) for number, floor in enumerate(floors) for room in floor if f'{module}.'.startswith(f'{room}.')]
    if not rooms: raise ValueError(f'{module} is on no floor: name it in FLOORS of tools/imports.py')
    return max(rooms)[1:]


def find_violations(graph: dict[str, set[str]]) -> list[str]:
    "A line for each import that is not allowed"
    found = []
    for module, imported in graph.items():
        (here, room), maker = floor_of(module), module.split('.')[0] in MAKERS
        for name in sorted(imported):
            there, other = floor_of(name)
            if there > here or there == here and room != other: found.append(f'{module} imports {name}, which is not below it')
            if name.split('.')[0] in MAKERS and not maker: found.append(f'{module} imports {name}, which makes data or weights')
    try: TopologicalSorter(graph).prepare()
    except CycleError as error: found.append(f'imports go round in a circle: {" -> ".join(error.args[1])}')
    return found


def longest_chain(graph: dict[str, set[str]]) -> list[str]:
    "The longest way down from a module along its imports"
    chains = {}
    for module in TopologicalSorter(graph).static_order():
        chains[module] = [module, *max((chains[name] for name in graph[module]), key=len, default=[])]
    return max(chains.values(), key=len)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--package', type=Path, default=PACKAGE, help='folder of the modules')
    args = parser.parse_args()
    graph = read_imports(args.package)
    for module, imported in graph.items(): print(f"{module}: {', '.join(sorted(imported)) or '-'}")
    chain = longest_chain(graph)
    print(f"\n{len(graph)} modules, {sum(map(len, graph.values()))} arrows, longest chain {len(chain)}: {' > '.join(chain)}")
    if args.package == PACKAGE and (found := find_violations(graph)): raise SystemExit('\n'.join(found))
