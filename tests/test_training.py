"""What only other processes can show of a training: killed at any moment it goes on to the same LoRA, two processes equal
one, and a disk that is full costs nothing but the checkpoint that did not fit."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

ROOT = Path(__file__).parent.parent
LORA = 'pytorch_lora_weights.safetensors'

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
from wall_inpainting.color_reference import sample_rooms
from wall_inpainting.training import ALIGNED

folder = Path(sys.argv[1])
recipe = replace(ALIGNED, ema=.9, min_snr=5., noise_offset=.05, mask_weight=.5, color_weight=.1, reference_dropout=.3, control_dropout=.3)
settings = training.TrainingSettings(steps=7, batch=2, accumulate=2, lr=2e-3, warmup=2, dropout=.1, variants=2, checkpoint_every=1, keep=2, validate_every=4,
                                     workers=1, progress=False)

def train(out, settings=settings):
    bundle = load_bundle(folder/'tiny')
    data = training.open_data(sample_rooms().parent, bundle, recipe, settings, folder/'cache', max_samples=6)
    return training.train_lora(data, bundle, recipe, settings, folder/out)
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

def half_written(path, data, original=training._write):
    if path.name == 'state.pt' and '000004' in str(path):
        with open(path, 'wb') as file: file.write(bytes(data)[:len(data)//2]); file.flush(); die()
    original(path, data)

def in_training(): before(training.LoraRun, '_update', lambda run, norm: run.step == 3)
def at_the_first_step(): before(training.LoraRun, '_update', lambda run, norm: run.step == 0)
def while_logging(): before(training.LoraRun, 'log', lambda run, values: run.step == 5)
def while_the_state_is_written(): training._write = half_written
def before_the_lora_is_written(): before(training, 'save_lora', lambda unet, folder, *args: '000005' in str(folder))
def before_the_checkpoint_is_renamed(): before(os, 'replace', lambda a, b: '000005' in str(a) and Path(a).is_dir())
def while_an_old_one_is_deleted(): before(shutil, 'rmtree', lambda path, **options: Path(path).name == '.checkpoint_000002.unfinished' and not options)

kills = [in_training, at_the_first_step, while_logging, while_the_state_is_written, before_the_lora_is_written, before_the_checkpoint_is_renamed, while_an_old_one_is_deleted]

def in_a_process(function, *args): # forked from this one, which has imported everything and computed nothing
    if (pid := os.fork()) == 0:
        code = 1
        try: function(*args); code = 0
        finally: os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

write_tiny_bundle(folder/'tiny', sizes=TinySizes(resolution=64))
results = {'whole': [in_a_process(train, 'whole')]}
for kill in kills:
    out = kill.__name__
    def killed(): kill(); train(out)
    results[out] = [in_a_process(killed), sorted(path.name for path in (folder/out).glob('*checkpoint*')), in_a_process(train, out)]

def full():
    save = training.LoraRun.save
    def limited(run):
        if run.step == 4: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)) # bytes a file may have
        return save(run)
    training.LoraRun.save = limited
    try: train('full')
    except training.TrainingError as error: (folder/'message.txt').write_text(str(error))

results['full'] = [in_a_process(full), sorted(path.name for path in (folder/'full').glob('*checkpoint*')), in_a_process(train, 'full')]
(folder/'results.json').write_text(json.dumps(results))
'''

TOGETHER = COMMON + '''
process, processes = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))
settings = replace(settings, accumulate=2//processes, dropout=0.) # dropout is drawn for each process
seen, step = [], training.LoraRun.train_step
def noted(run, batches):
    assert run.accelerator.num_processes == processes and run.samples_a_step == 4
    seen.append(torch.cat([batch['number'] for batch in batches]).tolist())
    return step(run, batches)
training.LoraRun.train_step = noted
train(f'by_{processes}', settings)
(folder/f'seen_{processes}_{process}.json').write_text(json.dumps(seen))
'''


def run(script: str, folder: Path, *launcher: str, **environment: str):
    (folder/'script.py').write_text(script)
    environment = os.environ | dict(HF_HUB_OFFLINE='1', OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT)) | environment
    done = subprocess.run([sys.executable, *launcher, str(folder/'script.py'), str(folder)], capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]


def same_lora(a: Path, b: Path) -> bool:
    "Whether two files hold the same bits; not byte for byte, for safetensors writes the entries of its header in any order"
    ours, theirs, headers = load_file(a), load_file(b), [safe_open(path, 'pt').metadata() for path in (a, b)]
    return headers[0] == headers[1] and ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


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


def test_two_processes_equal_one(runs):
    folder, _ = runs  # its bundle and its cache
    run(TOGETHER, folder)
    run(TOGETHER, folder, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', ACCELERATE_USE_CPU='true')
    one, first, second = (json.loads((folder/f'seen_{name}.json').read_text()) for name in ('1_0', '2_0', '2_1'))
    assert [a + b for a, b in zip(first, second, strict=True)] == one  # the same samples in each step, a half each
    row = sum(one, [])
    assert [sorted(row[i:i+6]) for i in range(0, 24, 6)] == [list(range(6))]*4  # each once an epoch
    ours, theirs = (load_file(folder/f'by_{n}'/LORA) for n in (1, 2))
    largest = max(float(weight.abs().max()) for name, weight in ours.items() if 'lora_B' in name)  # they begin at zero: what has been learnt
    # sums of single-precision numbers in another order; Adam divides by the gradient's size and so enlarges what is left of small gradients
    print(f'largest weight {largest:.3g}, largest difference {max(float((ours[name] - theirs[name]).abs().max()) for name in ours):.3g}')
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < largest/100
