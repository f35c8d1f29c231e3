"""Where the LLM looked while it wrote the answer."""

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
from tempo_lab.session.capture.key_groups import EveryKey, KeyGroupSum, Reduction, Top, llm_groups
from tempo_lab.session.capture.selection import pick_layers
from tempo_lab.session.capture.spec import Capture
from tempo_lab.session.capture.to_xarray import attention_variables


class AnswerRecord:
    """Attention of the position that wrote each token of the answer.

    The first token is written by the prompt's last position, each later one by the token before.

    Args:
        spec: what to record.
        model: the model.
        segments: of the video.
        room: tokens that the answer may have.

    Raises:
        CaptureError: the LLM has no such layer.
    """

    def __init__(
        self, spec: Capture, model: TempoForConditionalGeneration, segments: int, room: int
    ) -> None:
        self.layers = pick_layers(spec.llm_layers, model.config.num_hidden_layers, "llm_layers")
        self.reduce = "key_group" if spec.reduce == "patch_grid" else spec.reduce
        self.top, self.segments, self.room = spec.top, segments, room
        self.device = model.lm_head.weight.device
        self._recorder = AttentionRecorder(model, self.layers, "LLM")
        self._prompt: TokenMap | None = None
        self._names: list[str] = []
        self._found: dict[int, list[torch.Tensor]] = {}

    def installed(self) -> AbstractContextManager[AttentionRecorder]:
        """See `AttentionRecorder.installed`."""
        return self._recorder.installed()

    @contextmanager
    def at(self, prompt: TokenMap) -> Iterator[None]:
        """Record while the LLM answers `prompt`."""
        self._prompt = prompt
        last = torch.tensor([-1], device=self.device)
        job = AttentionRequest("answer", last, self._reduction(prompt))
        with self._recorder.at(job):
            yield
        self._found = job.found

    def apart(self, call: Callable[[str], object]) -> Callable[[str], object]:
        """The same callback, with nothing recorded of what the model does in it."""

        def called(text: str) -> object:
            with self._recorder.at(None):
                return call(text)

        return called

    def _reduction(self, prompt: TokenMap) -> Reduction:
        if self.reduce == "none":
            return EveryKey()
        if self.reduce == "top_k":
            return Top(self.top)
        self._names, group = llm_groups(prompt, self.segments)
        beyond = self._names.index("earlier answer")
        keys = len(prompt) + self.room
        return KeyGroupSum([group], len(self._names), keys, self.device, beyond)

    def add(self, data: xr.Dataset) -> xr.Dataset:
        """The numbers of a trace with the answer's attention.

        Raises:
            CaptureError: not one row for each token of the answer.
        """
        assert self._prompt is not None
        tokens = data.sizes["answer_token"]
        steps = [self._found.pop(layer) for layer in self.layers]
        if any(len(parts) != tokens for parts in steps):
            raise CaptureError(
                "not every token of the answer was recorded once",
                asked=f"{tokens} tokens of the answer",
                found=f"{len(steps[0])} calls of the LLM",
                fix="ask the model nothing else while a capture runs",
            )
        widest = max(part.shape[3] for parts in steps for part in parts)
        heads, *tail = steps[0][0].shape[1], *steps[0][0].shape[4:]
        shape = (len(self.layers), heads, tokens, widest, *tail)
        array = np.full(shape, np.nan, dtype=np.float32)
        for layer, parts in enumerate(steps):
            for token, part in enumerate(parts):  # [1, head, 1, key or group, ...]
                array[layer, :, token, : part.shape[3]] = part[0, :, 0].numpy()
        dims = ("llm_layer", "llm_head", "answer_token")
        data = data.assign(dict(attention_variables(array, self.reduce, "llm_", dims)))
        data = data.assign_coords(llm_layer=list(self.layers), llm_head=np.arange(heads))
        if self.reduce == "key_group":
            return data.assign_coords(llm_key_group=self._names)
        written = [f"answer[{token}]" for token in range(tokens)]
        names = np.array([*self._prompt.names(), *written][: len(self._prompt) + tokens - 1])
        return data.assign({"llm_key_name": ("llm_key", names)})
