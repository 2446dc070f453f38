from .color_reference import (apply_color_jitter, color_to_hex, create_solid_color_reference, extract_dominant_color, generate_random_color, parse_color,
                              recolor)
from .dataset import WallInpaintingDataset, collate_fn
from .inference import FAITHFUL, LOCKED, SPEC, InferenceSettings, Repaint, WallPainter
from .light.network import estimate_light, repaint_wall
from .lora.trainer import TrainingSettings, train_lora
from .masks.find import WallFinder, find_wall
from .masks.outlines import refine_mask
from .models.bundles import Bundle, load_bundle
from .painting.fast import FastPainter
from .painting.paints import Chip, Deck, find_chip, named_chips, read_deck
from .pictures.arrays import sample_rooms
from .pictures.photos import Photo, read_mask, read_photo, write_image
from .training import ALIGNED, ORIGINAL, TRAINING_RECIPES
from .validation.grid import ValidationSample, ValidationVisualizer, create_segment_overlay
from .validation.runs import validate
from .validation_metrics import compute_color_fidelity_metrics, dominant_color_to_pil, mask_tensor_to_pil, tensor_to_pil

__version__: str
__all__ = ['ALIGNED', 'Bundle', 'Chip', 'Deck', 'FAITHFUL', 'FastPainter', 'InferenceSettings', 'LOCKED', 'ORIGINAL', 'Photo', 'Repaint', 'SPEC',
           'TRAINING_RECIPES', 'TrainingSettings', 'ValidationSample', 'ValidationVisualizer', 'WallFinder', 'WallInpaintingDataset', 'WallPainter',
           'apply_color_jitter', 'collate_fn', 'color_to_hex', 'compute_color_fidelity_metrics', 'create_segment_overlay',
           'create_solid_color_reference', 'dominant_color_to_pil', 'estimate_light', 'extract_dominant_color', 'find_chip', 'find_wall',
           'generate_random_color', 'load_bundle', 'mask_tensor_to_pil', 'named_chips', 'parse_color', 'read_deck', 'read_mask', 'read_photo',
           'recolor', 'refine_mask', 'repaint_wall', 'sample_rooms', 'tensor_to_pil', 'train_lora', 'validate', 'write_image']
