"""The whole path of `--bundle sd15` without the hub: its cache, laid out as the hub's client does it, holds a small bundle's
files under the published names. And what the published files say, against what the package says of them."""
import json
import re
import shutil
from pathlib import Path

import diffusers
import huggingface_hub
import pytest
import transformers
from accelerate.state import AcceleratorState
from fastcore.script import anno_parser
from PIL import Image
from safetensors.torch import load_file

from wall_inpainting.gap.command_line import wall_gap
from wall_inpainting.lora.command_line import wall_train
from wall_inpainting.models.architectures import SD15_CONFIGS, SD15_SCHEDULE, TinySizes, build_models, write_tiny_bundle
from wall_inpainting.models.bundles import BUNDLES, load_bundle, write_hub_cache
from wall_inpainting.models.command_line import wall_bundle
from wall_inpainting.models.settings import INFERENCE_SETTINGS
from wall_inpainting.painting.command_line import wall_repaint
from wall_inpainting.pictures.arrays import sample_rooms
from wall_inpainting.validation.command_line import wall_validate

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT.parent/'shared'/'fake_hub'/'small'  # the small files of the published repositories; not part of the project
COMMANDS = {command.__name__: command for command in (wall_bundle, wall_repaint, wall_train, wall_validate, wall_gap)}
INPAINTING, CONTROLNET, ADAPTER, DEPTH = (f"models--{source.repo.replace('/', '--')}" for source in BUNDLES['sd15'].sources)


@pytest.fixture(scope='module')
def origin(tmp_path_factory):
    "A hub cache of tiny size"
    home = tmp_path_factory.mktemp('home')
    return write_hub_cache(home, write_tiny_bundle(home/'tiny', sizes=TinySizes(resolution=64)))


@pytest.fixture
def use(monkeypatch, tmp_path, capsys):
    "Sets the hub's cache, cuts off the network, and gives what runs a command line: exit code, what it printed, its complaints"
    def run(cache, *words):
        monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(cache))
        monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
        monkeypatch.chdir(tmp_path)
        AcceleratorState._reset_state(True)  # each training has a precision of its own
        command = COMMANDS[words[0]]
        parsed = vars(anno_parser(command, words[0]).parse_args([*map(str, words[1:])]))
        capsys.readouterr()
        try: code = command(**{name: value for name, value in parsed.items() if name not in ('pdb', 'xtra')}) or 0
        except SystemExit as stop: code = stop.code
        return code, *capsys.readouterr()
    return run


@pytest.fixture
def half(origin, tmp_path):
    "A cache in which the downloads of the UNet and of the ControlNet did not end, and a disk lost the end of the depth estimator"
    cache = shutil.copytree(origin, tmp_path/'half', symlinks=True)
    next(cache.glob(f'{INPAINTING}/snapshots/*/unet/*.safetensors')).unlink()
    shutil.rmtree(cache/CONTROLNET)
    cut = next(cache.glob(f'{DEPTH}/snapshots/*/*.safetensors')).resolve()
    cut.write_bytes(cut.read_bytes()[:-1000])
    return cache


def rooms(folder, count=4):
    "A few of the sample rooms"
    data = shutil.copytree(sample_rooms().parent, folder/'rooms')
    for split in ('train', 'validation'):
        file = data/split/'metadata.jsonl'
        file.write_text('\n'.join(file.read_text().splitlines()[:count]))
    return data


def test_the_layout(origin):
    "Names and variants as `Bundle` looks for them and as the hub has them; every file is a link to a blob"
    files = {path.relative_to(origin/repository/'snapshots').as_posix().split('/', 1)[1]: path
             for repository in (INPAINTING, CONTROLNET, ADAPTER, DEPTH) for path in (origin/repository/'snapshots').rglob('*') if path.is_file()}
    assert {name for name in files if name.endswith('.safetensors')} == {
        'unet/diffusion_pytorch_model.fp16.safetensors', 'vae/diffusion_pytorch_model.fp16.safetensors', 'text_encoder/model.fp16.safetensors',
        'diffusion_pytorch_model.fp16.safetensors', 'models/image_encoder/model.safetensors', 'models/ip-adapter-plus_sd15.safetensors',
        'models/ip-adapter_sd15.safetensors', 'model.safetensors'}
    assert all(path.is_symlink() and path.resolve().parent.name == 'blobs' for path in files.values())
    assert not any('fusion_stage.layers.0.residual_layer1' in name for name in load_file(files['model.safetensors']))


def test_check(origin, half, use):
    code, said, _ = use(origin, 'wall_bundle', 'check', 'sd15')
    assert (code, said.count('\n'), 'sd15: all 20 files are there' in said) == (0, 5, True)
    code, said, complaint = use(half, 'wall_bundle', 'check', 'sd15')
    assert (code, complaint) == (1, '')
    assert '11 of 12 files are there' in said and 'missing (1.7 GB): unet/diffusion_pytorch_model.fp16.safetensors' in said and 'damaged (1.4 GB): model.safetensors' in said
    code, said, complaint = use(half, 'wall_bundle', 'fetch', 'sd15')
    lines = complaint.splitlines()
    assert (code, said, len(lines)) == (2, '', 5) and lines[0] == "wall_bundle: the bundle 'sd15' is not complete on this machine and can't be downloaded (HF_HUB_OFFLINE is set):"
    assert lines[-1] == 'With a network, this fetches all that is missing of the bundle (3.8 GB): wall_bundle fetch sd15'


NOTHING = """\
{command}: the bundle 'sd15' is not complete on this machine and can't be downloaded (HF_HUB_OFFLINE is set):
  stable-diffusion-v1-5/stable-diffusion-inpainting: {inpainting} are missing (2.1 GB)
  lllyasviel/control_v11f1p_sd15_depth: ControlNet is missing (0.7 GB)
  h94/IP-Adapter: {adapter} are missing (2.6 GB)
  Intel/dpt-large: depth estimator is missing (1.4 GB)
With a network, this fetches all that is missing of the bundle (6.9 GB): wall_bundle fetch sd15
"""
HALF = """\
wall_repaint: the bundle 'sd15' is not complete on this machine and can't be downloaded (HF_HUB_OFFLINE is set):
  stable-diffusion-v1-5/stable-diffusion-inpainting: unet/diffusion_pytorch_model.fp16.safetensors is missing (1.7 GB)
  lllyasviel/control_v11f1p_sd15_depth: ControlNet is missing (0.7 GB)
  Intel/dpt-large: model.safetensors is damaged, perhaps half a download (Error while deserializing header: incomplete metadata, file not fully covered) (1.4 GB)
With a network, this fetches all that is missing of the bundle (3.8 GB): wall_bundle fetch sd15
"""


@pytest.mark.parametrize('words, inpainting, adapter', [
    (['wall_repaint'], 'scheduler, VAE, UNet, tokenizer, text encoder, feature extractor', 'IP-Adapter, image encoder'),
    (['wall_train', 'rooms', '--recipe', 'aligned'], 'tokenizer, text encoder, VAE, UNet, scheduler, feature extractor', 'image encoder, IP-Adapter'),
    (['wall_validate', 'rooms'], 'scheduler, VAE, UNet, tokenizer, text encoder, feature extractor', 'IP-Adapter, image encoder'),
    (['wall_gap', 'rooms'], 'scheduler, VAE, UNet, tokenizer, text encoder, feature extractor', 'IP-Adapter, image encoder')], ids=lambda words: words[0] if isinstance(words, list) else '')
def test_nothing_is_cached(words, inpainting, adapter, use, tmp_path):
    "One list, before anything is read or written"
    if 'rooms' in words: rooms(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert use(tmp_path/'none', *words, '--bundle', 'sd15') == (2, '', NOTHING.format(command=words[0], inpainting=inpainting, adapter=adapter))
    assert sorted(tmp_path.iterdir()) == before


def test_a_training_asks_for_what_it_needs(use, tmp_path):
    _, _, complaint = use(tmp_path/'none', 'wall_train', rooms(tmp_path), '--bundle', 'sd15', '--recipe', 'original', '--samples', 0)
    assert [line.split(':')[0].strip() for line in complaint.splitlines()[1:-1]] == ['stable-diffusion-v1-5/stable-diffusion-inpainting']
    assert use(tmp_path/'none', 'wall_train', 'no rooms', '--bundle', 'sd15')[2].startswith('wall_train: no rooms is no folder')  # told before the bundle


def test_half_a_cache(half, use):
    assert use(half, 'wall_repaint', '--bundle', 'sd15') == (2, '', HALF)


@pytest.mark.parametrize('settings', INFERENCE_SETTINGS)
def test_repaint(settings, origin, use, tmp_path, monkeypatch):
    recipe = INFERENCE_SETTINGS[settings]
    monkeypatch.setitem(INFERENCE_SETTINGS, settings, type(recipe)(**vars(recipe) | dict(steps=4)))
    code, said, complaint = use(origin, 'wall_repaint', '--bundle', 'sd15', '--settings', settings, '--out', 'room.png')
    assert code == 0 and 'diffusion' in said, complaint
    assert Image.open(tmp_path/'room.png').size == (384, 288)


QUICK = '--batch 2 --accumulate 1 --variants 1 --workers 0 --warmup 0 --checkpoint_every 1'.split()


@pytest.mark.parametrize('recipe, samples', [('original', 0), ('aligned', 1)])
def test_train_resume_and_load_elsewhere(recipe, samples, origin, use, tmp_path):
    "Two steps, one of them after a resume that finds its run; the code in the LoRA's card loads it into stock diffusers"
    words = ['wall_train', rooms(tmp_path), '--bundle', 'sd15', '--recipe', recipe, '--out', 'run', '--steps', 2, '--samples', samples, *QUICK]
    code, _, complaint = use(origin, *words)
    assert code == 0, complaint
    shutil.rmtree(tmp_path/'run'/'checkpoint_000002')
    for name in ('pytorch_lora_weights.safetensors', 'wall_inpainting_kohya.safetensors'): (tmp_path/'run'/name).rename(tmp_path/name)
    code, _, complaint = use(origin, *words, '--resume')
    assert code == 0, complaint
    lora = 'pytorch_lora_weights.safetensors'
    first, again = load_file(tmp_path/lora), load_file(tmp_path/'run'/lora)
    assert first.keys() == again.keys() and all(tensor.equal(again[name]) for name, tensor in first.items())
    snippet = re.search(r'```python\n(.*?)```', (tmp_path/'run'/'README.md').read_text(encoding='utf-8'), re.DOTALL)[1]
    names = {}
    exec(snippet.replace("'FOLDER'", repr(str(tmp_path/'run'))).replace("'cuda'", "'cpu'"), names)
    loaded = {name: tensor for name, tensor in names['pipe'].unet.state_dict().items() if 'lora_' in name}
    assert len(loaded) == len(again) == 256
    for name, tensor in again.items():
        there = loaded[name.removeprefix('unet.').replace('lora_A.weight', 'lora_A.default_0.weight').replace('lora_B.weight', 'lora_B.default_0.weight')]
        assert tensor.to(there.dtype).equal(there)


def test_the_commands_of_the_readme(origin, use, tmp_path, monkeypatch):
    "Those with sd15, as they stand there, on a sample room"
    lines = re.findall(r'^wall_\w+ .*$', (ROOT/'README.md').read_text(encoding='utf-8'), re.M)
    chosen = [line for line in lines if 'sd15' in line or line.startswith('wall_train')]
    assert len(chosen) >= 4
    row = json.loads((sample_rooms('validation')/'metadata.jsonl').read_text().splitlines()[0])
    Image.open(sample_rooms('validation')/row['file_name']).convert('RGB').save(tmp_path/'room.jpg', quality=95)
    shutil.copy(sample_rooms('validation')/row['mask_file_name'], tmp_path/'walls.png')
    rooms(tmp_path).rename(tmp_path/'my_rooms')
    recipe = INFERENCE_SETTINGS['faithful']
    monkeypatch.setitem(INFERENCE_SETTINGS, 'faithful', type(recipe)(**vars(recipe) | dict(steps=2)))
    for line in chosen:
        words = re.sub(r"'([^']*)'", r'\1', line.split(' # ')[0]).split()
        code, _, complaint = use(origin, *words, *(['--steps', 1, '--samples', 0, *QUICK] if words[0] == 'wall_train' else ['--overwrite'] if words[0] == 'wall_repaint' else []))
        assert code == 0, f'{line}: {complaint}'


@pytest.mark.parametrize('settings', INFERENCE_SETTINGS.values(), ids=lambda settings: settings.name)
def test_timesteps_are_those_of_the_published_scheduler(settings, origin, use):
    "The packaged bundle's, and a cache's with the published file"
    use(origin, 'wall_bundle', 'check')
    published = load_bundle('sd15')
    published.__dict__['scheduler'] = diffusers.DDIMScheduler.from_config(SD15_SCHEDULE | dict(_class_name='DDIMScheduler', _diffusers_version='0.6.0.dev0'))
    found = []
    for bundle in (load_bundle('tiny'), published, load_bundle('sd15')):
        scheduler = bundle.make_scheduler(settings.scheduler, settings.spacing)
        scheduler.set_timesteps(settings.steps)
        found.append(scheduler.timesteps.tolist())
    assert found[0] == found[1] == found[2]
    assert found[0][:2] == dict(spec=[958, 925], locked=[913, 837], faithful=[961, 929])[settings.name]  # SPEC's strength of 0.99 skips the first


published_files = pytest.mark.skipif(not PUBLISHED.is_dir(), reason='the small files of the published repositories are not here')


@published_files
def test_the_schedule_is_the_published_one():
    file, = PUBLISHED.rglob('scheduler_config.json')
    published = json.loads(file.read_text())
    assert {name: value for name, value in published.items() if name[0] != '_'} == SD15_SCHEDULE and published['_class_name'] == 'DDIMScheduler'
    packaged = json.loads((BUNDLES['tiny'].inpainting.repo/'scheduler'/'scheduler_config.json').read_text())
    assert {name for name in published | packaged if published.get(name) != packaged.get(name)} == {'_diffusers_version'}


HISTORY = {'architectures', 'torch_dtype', 'dtype', 'transformers_version', 'initializer_factor', 'initializer_range', 'model_type',  # of the training, and of the libraries
           'bos_token_id', 'eos_token_id', 'pad_token_id',  # the tokenizer brings them
           'dropout'}  # 0, and no class of today has it


@published_files
@pytest.mark.parametrize('part, name, cls', [
    ('unet', f'{INPAINTING}/unet', diffusers.UNet2DConditionModel), ('vae', f'{INPAINTING}/vae', diffusers.AutoencoderKL),
    ('text_encoder', f'{INPAINTING}/text_encoder', transformers.CLIPTextConfig), ('controlnet', CONTROLNET, diffusers.ControlNetModel),
    ('image_encoder', f'{ADAPTER}/models/image_encoder', transformers.CLIPVisionConfig), ('depth_estimator', DEPTH, transformers.DPTConfig)])
def test_the_configurations_are_the_published_ones(part, name, cls):
    "Every value of a published file is named in SD15_CONFIGS, or is its class's default, or changes no result"
    published = {key: value for key, value in json.loads((PUBLISHED/name/'config.json').read_text()).items() if key[0] != '_' and key not in HISTORY}
    ours = build_models(SD15_CONFIGS)[part].config
    ours = ours.to_dict() if hasattr(ours, 'to_dict') else dict(ours)
    plain = json.loads(json.dumps({key: ours.get(key, 'none') for key in published}))
    assert plain == published
