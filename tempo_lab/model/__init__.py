"""The model: compressor (SVLM and memory tokens), projector and LLM; its checkpoints and prompts.

Importing this package registers the model type `tempo_qwen` with transformers' auto classes.
"""

from tempo_lab.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from tempo_lab.model.compressor import Compressor
from tempo_lab.model.config import TempoConfig
from tempo_lab.model.prompts import Prompts
from tempo_lab.model.tempo import TempoForConditionalGeneration
from tempo_lab.model.token_map import TokenMap

__all__ = [
    "Checkpoint",
    "Compressor",
    "Prompts",
    "TempoConfig",
    "TempoForConditionalGeneration",
    "TokenMap",
    "load_checkpoint",
    "save_checkpoint",
]
