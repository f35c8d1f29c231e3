"""Record the LLM's attention while it generates the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch
import xarray as xr

from tempo_lab.common.errors import CaptureError
from tempo_lab.model.tempo import TempoForConditionalGeneration
from tempo_lab.model.token_map import TokenMap
from tempo_lab.session.capture.attention import AttentionRecorder, AttentionRequest
from tempo_lab.session.capture.key_groups import (
    AllKeys,
    KeyGroupSum,
    Reduction,
    TopKKeys,
    llm_groups,
)
from tempo_lab.session.capture.spec import Capture
from tempo_lab.session.capture.to_xarray import attention_variables


class AnswerRecorder:
    """Records the attention of the position that generates each token of the answer.

    The prompt's last position generates the first token; each token generates the next one.

    Args:
        capture: what to record.
        model: the model.
        segments: number of segments of the video.
        answer_budget: tokens that the answer may have.

    Raises:
        CaptureError: the LLM does not have one of the layers.
    """

    def __init__(
        self,
        capture: Capture,
        model: TempoForConditionalGeneration,
        segments: int,
        answer_budget: int,
    ) -> None:
        self.layers = capture.selected("llm_layers", model.config.num_hidden_layers)
        self.reduce = "key_group" if capture.reduce == "patch_grid" else capture.reduce
        self.top, self.segments, self.answer_budget = capture.top_k, segments, answer_budget
        self.device = model.lm_head.weight.device
        self._recorder = AttentionRecorder(model, self.layers, "LLM")
        self._prompt: TokenMap | None = None
        self._groups: list[str] = []
        self._recorded: dict[int, list[torch.Tensor]] = {}

    def installed(self) -> AbstractContextManager[AttentionRecorder]:
        """See `AttentionRecorder.installed`."""
        return self._recorder.installed()

    @contextmanager
    def recording(self, prompt: TokenMap) -> Iterator[None]:
        """Record the LLM within this context, where it answers `prompt`."""
        self._prompt = prompt
        last = torch.tensor([-1], device=self.device)
        request = AttentionRequest("answer", last, self._reduction(prompt))
        with self._recorder.recording(request):
            yield
        self._recorded = request.recorded

    def unrecorded(self, call: Callable[[str], object]) -> Callable[[str], object]:
        """Return the callback such that what the model does in it is not recorded."""

        def unrecorded_call(text: str) -> object:
            with self._recorder.recording(None):
                return call(text)

        return unrecorded_call

    def _reduction(self, prompt: TokenMap) -> Reduction:
        if self.reduce == "none":
            return AllKeys()
        if self.reduce == "top_k":
            return TopKKeys(self.top)
        self._groups, group = llm_groups(prompt, self.segments)
        beyond = self._groups.index("earlier answer")
        keys = len(prompt) + self.answer_budget
        return KeyGroupSum([group], len(self._groups), keys, self.device, beyond)

    def add_to(self, data: xr.Dataset) -> xr.Dataset:
        """Return a trace's data with the answer's attention.

        Raises:
            CaptureError: there is not exactly one row per token of the answer.
        """
        assert self._prompt is not None
        tokens = data.sizes["answer_token"]
        layers = [self._recorded.pop(layer) for layer in self.layers]
        if any(len(steps) != tokens for steps in layers):
            raise CaptureError(
                "the number of recorded rows differs from the number of answer tokens",
                asked=f"{tokens} tokens of the answer",
                found=f"{len(layers[0])} calls of the LLM",
                fix="do not call the model while a capture runs",
            )
        width = max(step.shape[3] for steps in layers for step in steps)
        heads, *tail = layers[0][0].shape[1], *layers[0][0].shape[4:]
        shape = (len(self.layers), heads, tokens, width, *tail)
        array = np.full(shape, np.nan, dtype=np.float32)
        for layer, steps in enumerate(layers):
            for token, step in enumerate(steps):  # [1, head, 1, key or group, ...]
                array[layer, :, token, : step.shape[3]] = step[0, :, 0].numpy()
        dims = ("llm_layer", "llm_head", "answer_token")
        data = data.assign(dict(attention_variables(array, self.reduce, "llm_", dims)))
        data = data.assign_coords(llm_layer=list(self.layers), llm_head=np.arange(heads))
        if self.reduce == "key_group":
            return data.assign_coords(llm_key_group=self._groups)
        generated = [f"answer[{token}]" for token in range(tokens)]
        names = np.array([*self._prompt.names(), *generated][: len(self._prompt) + tokens - 1])
        return data.assign({"llm_key_name": ("llm_key", names)})
