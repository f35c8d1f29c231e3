"""TempoForConditionalGeneration: compressor, projector and LLM, with the released key names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from typing import Any, ClassVar, cast

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, Qwen3ForCausalLM, Qwen3Model
from transformers.models.qwen3.modeling_qwen3 import Qwen3PreTrainedModel

from tempo_lab.common.errors import CheckpointError
from tempo_lab.model.base_qwen import complete_config, read_yes_no_rows
from tempo_lab.model.compressor import Compressor
from tempo_lab.model.config import TempoConfig
from tempo_lab.model.finite import check_finite
from tempo_lab.model.out_of_distribution import FeatureStatistics
from tempo_lab.model.token_map import MEMORY, TokenMap

HUB_OPTIONS = ("revision", "token", "cache_dir", "local_files_only", "subfolder")
RELEASED_LEFTOVER = "vision_tower_aux_list.0.linear_layer.weight"


def build_projector(config: TempoConfig) -> nn.Module:
    """Return the projector from memory width to LLM width: `linear`, or `mlp2x_gelu`."""
    source, target = config.compressor_config.text_config.hidden_size, config.hidden_size
    if config.mm_projector_type == "linear":
        return nn.Linear(source, target)
    if config.mm_projector_type == "mlp2x_gelu":
        return nn.Sequential(nn.Linear(source, target), nn.GELU(), nn.Linear(target, target))
    raise CheckpointError(
        "unknown projector",
        asked=f"mm_projector_type = {config.mm_projector_type!r}",
        found="linear, mlp2x_gelu",
        fix="correct mm_projector_type in config.json",
    )


class TempoModel(Qwen3Model):
    """The LLM without its head, and the compressor and the projector."""

    def __init__(self, config: TempoConfig) -> None:
        super().__init__(config)
        if config.compressor_config is None:
            raise CheckpointError(
                "this configuration does not describe the compressor",
                asked="compressor_config",
                found=f"None (base: {list(config.mm_vision_tower_aux_list)})",
                fix="load the checkpoint with base=<folder of the base Qwen3-VL>",
            )
        self.vision_tower_aux_list = nn.ModuleList(
            [Compressor(config.compressor_config, config.num_compression_tokens)]
        )
        self.mm_projector = build_projector(config)
        width = config.compressor_config.vision_config.out_hidden_size
        self.familiar = FeatureStatistics(width) if config.familiar else None
        self.post_init()


class TempoForConditionalGeneration(Qwen3ForCausalLM):
    """A Tempo as a transformers model.

    Its keys are those of the released checkpoint, plus the buffer `yes_no_rows` (the two rows of
    the base for the relevance prior). `generate` and other methods of transformers work on the LLM,
    with `inputs_embeds` from `embed`.
    """

    config: TempoConfig
    config_class = TempoConfig
    # a released training run may have saved its router; the base's rows are used instead
    _keys_to_ignore_on_load_unexpected: ClassVar = [rf".*{RELEASED_LEFTOVER}"]

    def __init__(self, config: TempoConfig) -> None:
        # Qwen3ForCausalLM.__init__ would build the LLM a first time
        Qwen3PreTrainedModel.__init__(self, config)
        self.model = TempoModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint as transformers does; `base=` is the base of a released checkpoint."""
        base, report = kwargs.pop("base", None), kwargs.pop("output_loading_info", False)
        config = kwargs.pop("config", None)
        if not isinstance(config, TempoConfig):
            hub = {key: kwargs[key] for key in HUB_OPTIONS if key in kwargs}
            config = TempoConfig.from_pretrained(config or pretrained_model_name_or_path, **hub)
        folder = complete_config(config, pretrained_model_name_or_path, base)
        model, info = super().from_pretrained(
            pretrained_model_name_or_path,
            *args,
            config=config,
            output_loading_info=True,
            **kwargs,
        )
        rows = model.compressor.yes_no_rows
        if folder is not None:
            rows.copy_(read_yes_no_rows(folder).to(rows))
        elif any(key.endswith("yes_no_rows") for key in info["missing_keys"]):
            raise CheckpointError(
                "this checkpoint lacks the relevance rows",
                asked="yes_no_rows",
                found=f"not in {pretrained_model_name_or_path}",
                fix="pass base=<folder of the base Qwen3-VL>",
            )
        return (model, info) if report else model

    @wraps(Qwen3ForCausalLM.forward)
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run Qwen3's forward pass; raise `CheckpointError` if logits are NaN or infinite."""
        output = super().forward(*args, **kwargs)
        logits = output[0] if isinstance(output, tuple) else output.logits
        check_finite(logits, "the logits of the LLM", self)
        return output

    @property
    def compressor(self) -> Compressor:
        """The SVLM and its memory tokens."""
        return cast(Compressor, self.model.vision_tower_aux_list[0])

    @property
    def projector(self) -> nn.Module:
        """The projector from memory width to LLM width."""
        return self.model.mm_projector

    @property
    def feature_statistics(self) -> FeatureStatistics | None:
        """Statistics of the training frames; None where the checkpoint has none."""
        return self.model.familiar

    def project(self, memory: torch.Tensor) -> torch.Tensor:
        """Return the LLM embeddings [..., LLM hidden] of memory tokens [..., hidden]."""
        return self.model.mm_projector(memory)

    def embed(self, prompt: TokenMap, memory: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the LLM's input embeddings (docs/method.md section 6).

        Args:
            prompt: a prompt of `Prompts.conversation`.
            memory: projected memory tokens [k, LLM hidden] of each segment, in order.

        Returns:
            [1, position, LLM hidden].
        """
        table = self.model.embed_tokens
        device = table.weight.device
        embeddings = table(torch.as_tensor(prompt.ids, device=device).clamp_min(0))
        where = torch.as_tensor(prompt.role == MEMORY, device=device)
        tokens = [part for part in memory if len(part)]
        if tokens:
            embeddings[where] = torch.cat(tokens).to(embeddings)
        return embeddings[None]


AutoConfig.register(TempoConfig.model_type, TempoConfig)
AutoModelForCausalLM.register(TempoConfig, TempoForConditionalGeneration)
