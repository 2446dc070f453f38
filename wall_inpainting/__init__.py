"Repaint walls in photographs. The public names; each is imported when it is first used."
from importlib import import_module as _import_module

__version__ = "0.1.0"

# Where each public name is defined. `__init__.pyi` says the same to type checkers, and a test compares the two.
_HOMES = {'color_reference': 'apply_color_jitter color_to_hex create_solid_color_reference extract_dominant_color generate_random_color parse_color recolor',
          'dataset': 'WallInpaintingDataset collate_fn',
          'inference': 'FAITHFUL InferenceSettings LOCKED Repaint SPEC WallPainter',
          'light.network': 'estimate_light repaint_wall',
          'lora.trainer': 'TrainingSettings train_lora',
          'masks.find': 'WallFinder find_wall',
          'masks.outlines': 'refine_mask',
          'models.bundles': 'Bundle load_bundle',
          'painting.fast': 'FastPainter',
          'painting.paints': 'Chip Deck find_chip named_chips read_deck',
          'pictures.arrays': 'sample_rooms',
          'pictures.photos': 'Photo read_mask read_photo write_image',
          'training': 'ALIGNED ORIGINAL TRAINING_RECIPES',
          'validation.grid': 'ValidationSample ValidationVisualizer create_segment_overlay',
          'validation.runs': 'validate',
          'validation_metrics': 'compute_color_fidelity_metrics dominant_color_to_pil mask_tensor_to_pil tensor_to_pil'}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}
__all__ = sorted(_HOME)


def __dir__(): return __all__


def __getattr__(name):
    if name not in _HOME: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    globals()[name] = value = getattr(_import_module(f'.{_HOME[name]}', __name__), name)  # found without this function the next time
    return value
