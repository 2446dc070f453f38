"""What only other processes can show of a training: killed at any moment it goes on to the same LoRA, two processes equal
one, a full disk costs nothing but the checkpoint that did not fit, and `wall_train` ends each of these in one sentence."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).parent.parent
LORA, KOHYA = 'pytorch_lora_weights.safetensors', 'wall_inpainting_kohya.safetensors'

# Every switch that keeps a state or draws a number is on: running average, dropout, accumulation, worker processes.
COMMON = '''
import json, os, resource, shutil, signal, sys
from dataclasses import replace
from pathlib import Path

import torch
torch.set_num_threads(1)

from wall_inpainting.models import lora_files
from wall_inpainting.lora import trainer as training
from wall_inpainting.models.architectures import TinySizes, write_tiny_bundle
from wall_inpainting.models.bundles import load_bundle
from wall_inpainting.pictures.arrays import sample_rooms
from wall_inpainting.training import ALIGNED

folder = Path(sys.argv[1])
rooms = folder/'rooms'
if not rooms.exists(): # fewer rooms than the samples: they are enough, and quicker
    shutil.copytree(sample_rooms().parent, rooms)
    for split, count in (('train', 6), ('validation', 2)):
        file = rooms/split/'metadata.jsonl'
        file.write_text('\\n'.join(file.read_text().splitlines()[:count]))
recipe = replace(ALIGNED, ema=.9, min_snr=5., noise_offset=.05, mask_weight=.5, color_weight=.1, reference_dropout=.3, control_dropout=.3)
settings = training.TrainingSettings(steps=7, batch=2, accumulate=2, lr=2e-3, warmup=2, dropout=.1, variants=2, checkpoint_every=1, keep=2, validate_every=4,
                                     workers=1, progress=False)

def train(out, settings=settings):
    return training.train_lora(rooms, load_bundle(folder/'tiny'), recipe, settings, folder/out, cache=folder/'cache')

def in_a_process(function, *args): # forked from this one, which has imported everything and computed nothing
    if (pid := os.fork()) == 0:
        code = 1
        try: function(*args); code = 0
        finally: os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
'''

KILLED = COMMON + '''
def die(): os.kill(os.getpid(), signal.SIGKILL)

def before(owner, name, when):
    "Let `name` die instead of being called, when it is time"
    original = getattr(owner, name)
    def called(*args, **kwargs):
        if when(*args, **kwargs): die()
        return original(*args, **kwargs)
    setattr(owner, name, called)

def half_written(path, data, original=Path.write_bytes):
    if path.name == 'state.pt' and '000004' in str(path):
        with open(path, 'wb') as file: file.write(bytes(data)[:len(data)//2]); file.flush(); die()
    original(path, data)

def in_training(): before(training.LoraRun, '_update', lambda run, norm: run.step == 3)
def at_the_first_step(): before(training.LoraRun, '_update', lambda run, norm: run.step == 0)
def while_logging(): before(training.LoraRun, 'log', lambda run, values: run.step == 5)
def while_the_state_is_written(): Path.write_bytes = half_written
def before_the_lora_is_written(): before(training, 'save_lora', lambda unet, folder, *args: '000005' in str(folder))
def before_the_checkpoint_is_renamed(): before(os, 'replace', lambda a, b: '000005' in str(a) and Path(a).is_dir())
def while_an_old_one_is_deleted(): before(shutil, 'rmtree', lambda path, **options: Path(path).name == '.checkpoint_000002.unfinished' and not options)

def limit_before(owner, name, when):
    "Let files have no more than some bytes from a call of `name` on, as on a full disk"
    original = getattr(owner, name)
    def limited(*args):
        if when(*args): resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        return original(*args)
    setattr(owner, name, limited)

kills = [in_training, at_the_first_step, while_logging, while_the_state_is_written, before_the_lora_is_written, before_the_checkpoint_is_renamed, while_an_old_one_is_deleted]

write_tiny_bundle(folder/'tiny', sizes=TinySizes(resolution=64))
results = {'whole': [in_a_process(train, 'whole')]}
for kill in kills:
    out = kill.__name__
    def killed(): kill(); train(out)
    results[out] = [in_a_process(killed), sorted(path.name for path in (folder/out).glob('*checkpoint*')), in_a_process(train, out)]

def full():
    limit_before(training.LoraRun, 'save', lambda run: run.step == 4)
    try: train('full')
    except training.TrainingError as error: (folder/'message.txt').write_text(str(error))

results['full'] = [in_a_process(full), sorted(path.name for path in (folder/'full').glob('*checkpoint*')), in_a_process(train, 'full')]
(folder/'results.json').write_text(json.dumps(results))
'''

COMMANDS = COMMON + '''
import time
from fastcore.script import anno_parser
from wall_inpainting.lora import cache, command_line

OPTIONS = ['--recipe', 'original', '--bundle', folder/'tiny', '--steps', 5, '--batch', 2, '--accumulate', 1, '--lr', .002, '--variants', 1, '--checkpoint_every', 1,
           '--validate_every', 9, '--workers', 1, '--samples', 0, '--cache', folder/'command_cache']

def begin(out, *more, prepare=None, stderr=None):
    "A `wall_train` in a process of its own; its number"
    if pid := os.fork(): return pid
    code = 99
    try:
        words = ['wall_train', *map(str, (rooms, '--out', folder/out, *OPTIONS, *more))]
        os.setpgid(0, 0) # Ctrl-C reaches a whole group of processes: this one and its workers
        os.dup2(os.open(stderr or folder/'said.txt', os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        if prepare: prepare()
        sys.argv = words
        given = vars(anno_parser(command_line.wall_train, 'wall_train').parse_args(words[1:]))
        command_line.wall_train(**{name: value for name, value in given.items() if name not in ('pdb', 'xtra')})
        code = 0
    except SystemExit as stop: code = stop.code
    except BaseException: import traceback; traceback.print_exc()
    finally: sys.stderr.flush(); os._exit(code)

def end(pid, out, stderr=None):
    "Exit code of a command, the last thing that it said, and the checkpoints that it left"
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    said = (stderr or folder/'said.txt').read_text().replace('\\r', '\\n').strip().splitlines()
    return [code, [line for line in said if line and not line.startswith(('Models of ', 'cache: ', 'steps: '))], sorted(path.name for path in (folder/out).glob('*checkpoint*'))]

def command(out, *more, prepare=None): return end(begin(out, *more, prepare=prepare), out)

def signal_at(step, number):
    def prepare():
        log = training.LoraRun.log
        def logged(run, values):
            log(run, values)
            if run.step == step: os.killpg(0, number)
        training.LoraRun.log = logged
    return prepare

def limit(owner, name, when=lambda *args: True):
    def prepare():
        original = getattr(owner, name)
        def limited(*args):
            if when(*args): resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
            return original(*args)
        setattr(owner, name, limited)
    return prepare

def read_only():
    mkdir = Path.mkdir
    def refused(path, *args, **options):
        if str(path).startswith(str(folder/'read_only')): raise OSError(30, 'Read-only file system', str(path))
        return mkdir(path, *args, **options)
    Path.mkdir = refused

def sleep_at_2():
    log = training.LoraRun.log
    def logged(run, values):
        log(run, values)
        if run.step == 2: (folder/'sleeping').touch(); time.sleep(600)
    training.LoraRun.log = logged

write_tiny_bundle(folder/'tiny', sizes=TinySizes(resolution=64))
results = dict(cache_full=command('cache_full', prepare=limit(cache, '_write_tensors')), whole=command('whole'), nothing=command('nothing', '--resume'))
results['interrupted'] = [command('interrupted', prepare=signal_at(2, signal.SIGINT)), command('interrupted', '--resume')]
results['terminated'] = command('terminated', prepare=signal_at(2, signal.SIGTERM))
results['last_full'] = [command('last_full', prepare=limit(training.LoraRun, 'finish')), command('last_full', '--resume')]
results['read_only'] = command('read_only', prepare=read_only)

for name in ('checkpoint_000001_best', 'checkpoint_000001 (1)'): shutil.copytree(folder/'whole'/'checkpoint_000005', folder/'terminated'/name)
(folder/'terminated'/'checkpoint_000001.tar').write_text('an archive')
(folder/'terminated'/'checkpoint_000002'/'state.pt').write_bytes(b'cut short')
results['damaged'] = command('terminated', '--resume')

sleeping = begin('two', prepare=sleep_at_2, stderr=folder/'sleeping.txt')
while not (folder/'sleeping').exists(): time.sleep(.1)
results['second'] = command('two', '--resume')
os.kill(sleeping, signal.SIGKILL)
os.waitpid(sleeping, 0)
results['third'] = command('two', '--resume')
results['sleeping'] = sleeping
(folder/'commands.json').write_text(json.dumps(results))
'''

TOGETHER = COMMON + '''
from PIL import Image
process, processes, buckets = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1)), 'BUCKETS' in os.environ
if processes == 1:
    write_tiny_bundle(folder/'tiny', sizes=TinySizes(resolution=64))
    if buckets: # three of the six rooms stand
        for path in rooms.glob('train/*/00009*'): Image.open(path).crop((90, 0, 282, 288)).save(path)
settings = replace(settings, accumulate=2//processes, dropout=0., buckets=buckets) # dropout is drawn for each process
seen, step = [], training.LoraRun.train_step
def noted(run, batches):
    assert run.accelerator.num_processes == processes and run.samples_a_step == 4
    seen.append(torch.cat([batch['number'] for batch in batches]).tolist())
    return step(run, batches)
training.LoraRun.train_step = noted
stop_in = os.environ.get('STOP_IN') # Ctrl-C after step 3 reaches this process only
log = training.LoraRun.log
def logged(run, values):
    log(run, values)
    if run.step == 3 and str(process) == stop_in: signal.raise_signal(signal.SIGINT)
training.LoraRun.log = logged
try: train(f'by_{processes}', settings)
except KeyboardInterrupt as stop: (folder/f'stopped_{process}.txt').write_text(str(stop))
(folder/f'seen_{processes}_{process}_{stop_in}.json').write_text(json.dumps(seen))
'''


def run(script: str, folder: Path, *launcher: str, **environment: str):
    (folder/'script.py').write_text(script)
    environment = os.environ | dict(HF_HUB_OFFLINE='1', OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT)) | environment
    done = subprocess.run([sys.executable, *launcher, str(folder/'script.py'), str(folder)], capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]


def same_lora(a: Path, b: Path) -> bool:
    "Whether two files hold the same bytes, and so do the files for ComfyUI and A1111 beside them"
    return all(a.with_name(name).read_bytes() == b.with_name(name).read_bytes() for name in (LORA, KOHYA))


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('killed')
    run(KILLED, folder)
    return folder, json.loads((folder/'results.json').read_text())


KILLS = {  # when: the checkpoints that are there afterwards
    'in_training': ['checkpoint_000002', 'checkpoint_000003'],
    'at_the_first_step': [],
    'while_logging': ['checkpoint_000003', 'checkpoint_000004'],
    'while_the_state_is_written': ['.checkpoint_000004.unfinished', 'checkpoint_000002', 'checkpoint_000003'],
    'before_the_lora_is_written': ['.checkpoint_000005.unfinished', 'checkpoint_000003', 'checkpoint_000004'],
    'before_the_checkpoint_is_renamed': ['.checkpoint_000005.unfinished', 'checkpoint_000003', 'checkpoint_000004'],
    'while_an_old_one_is_deleted': ['.checkpoint_000002.unfinished', 'checkpoint_000003', 'checkpoint_000004'],
}


@pytest.mark.parametrize('when', KILLS)
def test_killed_and_resumed_is_the_same_bit_for_bit(runs, when):
    folder, results = runs
    assert results['whole'] == [0]
    killed, left, resumed = results[when]
    assert (killed, left, resumed) == (-9, KILLS[when], 0)  # SIGKILL, and then to the end
    assert same_lora(folder/when/LORA, folder/'whole'/LORA)
    state, whole = (torch.load(folder/name/'checkpoint_000007'/'state.pt') for name in (when, 'whole'))
    assert all(torch.equal(state['lora'][name], weight) for name, weight in whole['lora'].items())
    assert all(torch.equal(a, b) for a, b in zip(state['ema']['shadow_params'], whole['ema']['shadow_params'], strict=True))
    assert sorted(path.name for path in (folder/when).glob('*checkpoint*')) == ['checkpoint_000006', 'checkpoint_000007']
    steps = [line['step'] for line in map(json.loads, (folder/when/'log.jsonl').read_text().splitlines()) if 'loss' in line]
    assert steps == list(range(1, 8))


def test_a_full_disk_costs_one_checkpoint(runs):
    folder, results = runs
    ended, left, resumed = results['full']
    assert (ended, left, resumed) == (0, ['checkpoint_000002', 'checkpoint_000003'], 0)
    message = (folder/'message.txt').read_text()
    assert "step 4 can't be written" in message and 'checkpoint_000003 is whole' in message
    assert same_lora(folder/'full'/LORA, folder/'whole'/LORA)


@pytest.mark.parametrize('shapes', [{}, {'BUCKETS': '1'}], ids=['squares', 'buckets'])
def test_two_processes_equal_one_and_stop_together(tmp_path, shapes):
    folder = tmp_path
    run(TOGETHER, folder, **shapes)  # makes the bundle and the cache, too
    for stop in ({'STOP_IN': '1'}, {}):  # stopped after step 3 in one of the processes, and resumed; with buckets that is in the middle of an epoch
        run(TOGETHER, folder, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', ACCELERATE_USE_CPU='true', **shapes, **stop)
    for process in (0, 1): assert (folder/f'stopped_{process}.txt').read_text() == 'stopped after step 3; checkpoint_000003 is written'
    one, *parts = (json.loads((folder/f'seen_{name}.json').read_text()) for name in ('1_0_None', '2_0_1', '2_0_None', '2_1_1', '2_1_None'))
    first, second = parts[0] + parts[1], parts[2] + parts[3]
    assert [a + b for a, b in zip(first, second, strict=True)] == one  # the same samples in each step, a half each
    row, epochs = sum(one, []), 3 if shapes else 4
    assert [len(step) for step in one] == ([3]*7 if shapes else [4]*7)  # three rooms of a shape make a batch of two and one of one
    assert [sorted(row[i:i+6]) for i in range(0, 6*epochs, 6)] == [list(range(6))]*epochs  # each once an epoch
    ours, theirs = (load_file(folder/f'by_{n}'/LORA) for n in (1, 2))
    largest = max(float(weight.abs().max()) for name, weight in ours.items() if 'lora_B' in name)  # they begin at zero: what has been learnt
    # sums of single-precision numbers in another order; Adam divides by the gradient's size and so enlarges what is left of small gradients
    print(f'largest weight {largest:.3g}, largest difference {max(float((ours[name] - theirs[name]).abs().max()) for name in ours):.3g}')
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < largest/100


LAUNCHED = ['-m', 'wall_inpainting.lora.command_line', 'rooms', '--recipe', 'original', '--bundle', 'tiny', '--steps', '4', '--batch', '2', '--lr', '.002', '--variants', '1', '--checkpoint_every', '2',
            '--validate_every', '4', '--workers', '0', '--samples', '1', '--cache', 'launched_cache']
TORCHRUN = ['torch.distributed.run', '--standalone', '--nproc_per_node', '2']


def launch(folder: Path, *words: str, launcher: list[str] = ()) -> subprocess.CompletedProcess:
    "The command itself, as a user begins it"
    environment = os.environ | dict(HF_HUB_OFFLINE='1', OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT))
    return subprocess.run([sys.executable, *(['-m', *launcher] if launcher else []), *LAUNCHED, *words], capture_output=True, text=True, cwd=folder, env=environment)


@pytest.fixture(scope='module')
def launched(tmp_path_factory):
    folder = tmp_path_factory.mktemp('launched')
    run(COMMON + "write_tiny_bundle(folder/'tiny', sizes=TinySizes(resolution=64))", folder)
    done = {'one': launch(folder, '--out', 'one', '--accumulate', '2'), 'torchrun': launch(folder, '--out', 'torchrun', '--accumulate', '1', launcher=TORCHRUN),
            'accelerate': launch(folder, '--out', 'accelerate', '--accumulate', '2', launcher=['accelerate.commands.launch', '--cpu', '--num_processes', '2'])}
    return folder, done


@pytest.mark.parametrize('launcher', ['torchrun', 'accelerate'])
def test_launchers_make_one_training(launched, launcher):
    folder, done = launched
    for each in done.values(): assert each.returncode == 0, each.stderr[-3000:]
    assert done[launcher].stdout.count('a LoRA for diffusers') == 1 and done[launcher].stderr.count('Models of tiny') == 1
    about, one = (json.loads((folder/name/'training.json').read_text()) for name in (launcher, 'one'))
    assert about == one  # the settings, and 4 samples a step
    lines = [[json.loads(line) for line in (folder/name/'log.jsonl').read_text().splitlines()] for name in (launcher, 'one')]
    assert [line['step'] for line in lines[0]] == [line['step'] for line in lines[1]] == [1, 2, 3, 4, 4]
    assert [line['loss'] for line in lines[0] if 'loss' in line] == pytest.approx([line['loss'] for line in lines[1] if 'loss' in line], rel=1e-3)  # sums in another order
    assert sorted(path.name for path in (folder/launcher).iterdir()) == sorted(path.name for path in (folder/'one').iterdir())
    ours, theirs = (load_file(folder/name/LORA) for name in (launcher, 'one'))
    largest = max(float(weight.abs().max()) for name, weight in ours.items() if 'lora_B' in name)
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < largest/100  # as in `test_two_processes_equal_one_and_stop_together`


def test_accelerate_on_cpus_says_that_it_is_one_process(launched):
    assert 'this is one process' in launched[1]['accelerate'].stderr and 'this is one process' not in launched[1]['torchrun'].stderr + launched[1]['one'].stderr


def test_two_processes_go_on_with_more_steps(launched):
    folder, _ = launched
    done = subprocess.run([sys.executable, '-m', *TORCHRUN, '-m', 'wall_inpainting.lora.command_line', '--out', 'torchrun', '--resume', '--steps', '6'], capture_output=True, text=True, cwd=folder,
                          env=os.environ | dict(HF_HUB_OFFLINE='1', OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT)))
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line['step'] for line in map(json.loads, (folder/'torchrun'/'log.jsonl').read_text().splitlines()) if 'loss' in line] == [1, 2, 3, 4, 5, 6]


def test_half_precision_on_a_cpu(launched):
    folder, _ = launched
    refused, done = (launch(folder, '--out', precision, '--mixed_precision', precision) for precision in ('fp16', 'bf16'))
    assert refused.returncode == 2 and refused.stderr.splitlines()[-1].startswith('wall_train: mixed precision fp16 needs a GPU') and not (folder/'fp16').exists()
    assert done.returncode == 0 and 'in bfloat16' in done.stderr, done.stderr[-3000:]
    assert all(weight.isfinite().all() for weight in load_file(folder/'bf16'/LORA).values())


@pytest.fixture(scope='module')
def commands(tmp_path_factory):
    folder = tmp_path_factory.mktemp('commands')
    run(COMMANDS, folder)
    return folder, json.loads((folder/'commands.json').read_text())


def one_sentence(said: list[str], *parts: str):
    "Whether a command said one line and no more, with these parts"
    assert len(said) == 1 and said[0].startswith('wall_train: '), said
    for part in parts: assert part in said[0]


THREE = ['checkpoint_000003', 'checkpoint_000004', 'checkpoint_000005']


def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(commands):
    folder, results = commands
    assert results['whole'] == [0, [], THREE]
    (code, said, left), resumed = results['interrupted']
    assert (code, left, resumed) == (130, ['checkpoint_000001', 'checkpoint_000002'], [0, [], THREE])
    one_sentence(said, 'stopped after step 2; checkpoint_000002 is written. Go on with: wall_train ', f' --out {folder}/interrupted ', ' --resume')
    assert same_lora(folder/'interrupted'/LORA, folder/'whole'/LORA)


def test_resume_without_a_run_is_refused(commands):
    folder, results = commands
    code, said, left = results['nothing']
    assert (code, left) == (2, [])
    one_sentence(said, 'nothing does not exist. There are runs in ', '/whole')
    assert not (folder/'nothing').exists()


def test_damaged_checkpoints_and_copies(commands):
    "Stopped by SIGTERM after step 2; then its newest checkpoint is damaged, and a user has put copies beside it"
    folder, results = commands
    assert results['terminated'][::2] == [143, ['checkpoint_000001', 'checkpoint_000002']]
    code, said, left = results['damaged']
    assert code == 0 and len(said) == 1
    assert re.search(r'checkpoint_000002 is damaged \(state.pt has 9 bytes, not [\d,]+\): going on from checkpoint_000001$', said[0])
    copies = ['checkpoint_000001 (1)', 'checkpoint_000001.tar', 'checkpoint_000001_best']
    assert left == [*copies, 'checkpoint_000002.damaged', *THREE]
    for copy in copies[::2]: assert same_lora(folder/'terminated'/copy/LORA, folder/'whole'/'checkpoint_000005'/LORA)
    assert same_lora(folder/'terminated'/LORA, folder/'whole'/LORA)


def test_a_full_disk_ends_in_one_sentence(commands):
    folder, results = commands
    code, said, left = results['cache_full']
    assert (code, left) == (1, [])
    one_sentence(said, ".safetensors can't be written: ", 'File too large')
    (code, said, left), resumed = results['last_full']
    assert (code, left, resumed[0]) == (1, THREE, 0)
    one_sentence(said, 'File too large')
    assert same_lora(folder/'last_full'/LORA, folder/'whole'/LORA)


def test_a_read_only_disk_ends_in_one_sentence(commands):
    code, said, left = commands[1]['read_only']
    assert (code, left) == (1, [])
    one_sentence(said, 'read_only: Read-only file system')


def test_a_second_run_is_refused_while_the_first_lives(commands):
    folder, results = commands
    code, said, _ = results['second']
    assert code == 2
    one_sentence(said, f"two is in use by process {results['sleeping']} on ", ': wait until that run has ended, or choose another folder')
    assert results['third'][0] == 0 and same_lora(folder/'two'/LORA, folder/'whole'/LORA)  # the first was killed
