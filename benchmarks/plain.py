"""A plain implementation of the released code: what a user would have without Tempo Lab.

The whole video is preprocessed at once; all segments go as one padded batch through transformers'
own modules, whose vision tower runs frame after frame; all memory tokens are computed, then most
are thrown away; nothing is kept for a second question (METHOD section 8).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionPatchEmbed

from tempo_lab.allocation.ata import allocate
from tempo_lab.model import Checkpoint
from tempo_lab.model.generate import Answer, answer
from tempo_lab.model.pixels import PatchGrid, video_size
from tempo_lab.model.prompts import pair_seconds, segment_seconds
from tempo_lab.model.token_map import VISION, concatenate, rope_positions
from tempo_lab.video.resize import ReleasedResize

STAGES: dict[str, float] = {}


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Add the time of a block to `STAGES`."""
    start = time.perf_counter()
    yield
    STAGES[name] = STAGES.get(name, 0.0) + time.perf_counter() - start


@torch.inference_mode()
def plain_answer(
    loaded: Checkpoint, path: Path, question: str, *, budget: int, max_new_tokens: int
) -> Answer:
    """Answer a question about a `.npy` video of 8-frame segments sampled at 2 frames a second."""
    model, prompts = loaded.model, loaded.prompts
    compressor, vlm = model.compressor, model.compressor.svlm
    # transformers' own loop over frames, own masks and own convolution
    vlm.visual.set_attn_implementation("sdpa")
    vlm.language_model.set_attn_implementation("sdpa")
    vlm.visual.patch_embed.__class__ = Qwen3VLVisionPatchEmbed

    with stage("load and resize"):
        frames = np.load(path)
        images = [Image.fromarray(frame) for frame in frames]
        for step in (0, 1):
            sizes = ReleasedResize().steps(frames.shape[2], frames.shape[1])
            images = [image.resize(sizes[step], Image.Resampling.BICUBIC) for image in images]
        video = torch.stack([torch.from_numpy(np.asarray(image).copy()) for image in images])
        width, height = video_size(*images[0].size)
        video = video.permute(0, 3, 1, 2).contiguous()
        video = F.interpolate(video.float(), size=(height, width), mode="bicubic", antialias=True)
        video = (video.clamp(0, 255).round() - 127.5) / 127.5

    with stage("patches"):
        segments, grid = len(frames) // 8, PatchGrid(4, height // 16, width // 16)
        x = video.reshape(segments * 4, 2, 3, grid.rows // 2, 2, 16, grid.columns // 2, 2, 16)
        pixels = x.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, 1536)

    with stage("vision"):
        thw = torch.tensor([[1, grid.rows, grid.columns]]).expand(segments * 4, 3)
        seen = vlm.visual(pixels, grid_thw=thw)

    with stage("SVLM"):
        system, asked = prompts.system(), prompts.question(question)
        read = [
            concatenate(
                [system, prompts.video(grid, pair_seconds(np.arange(8 * i, 8 * i + 8), 2.0)), asked]
            )
            for i in range(segments)
        ]
        slots, longest = compressor.slots, max(map(len, read))
        ids = torch.zeros(segments, longest, dtype=torch.long)
        visual = torch.zeros(segments, longest + slots, dtype=torch.bool)
        mask = torch.zeros(segments, longest + slots, dtype=torch.long)
        positions = torch.ones(3, segments, longest + slots, dtype=torch.long)
        for i, prompt in enumerate(read):
            placed, following = rope_positions(prompt)
            n = len(prompt)
            ids[i, :n] = torch.from_numpy(prompt.ids)
            visual[i, :n] = torch.from_numpy(prompt.role == VISION)
            mask[i, : n + slots] = 1
            positions[:, i, :n] = torch.from_numpy(placed)
            positions[:, i, n : n + slots] = following + torch.arange(slots)
        embeddings = torch.cat(
            [vlm.language_model.embed_tokens(ids), torch.zeros(segments, slots, 64)], dim=1
        )
        embeddings[visual] = seen.pooler_output
        for i, prompt in enumerate(read):
            embeddings[i, len(prompt) : len(prompt) + slots] = compressor.compression_tokens[0]
        states = vlm.language_model(
            inputs_embeds=embeddings,
            attention_mask=mask,
            position_ids=positions,
            visual_pos_masks=visual,
            deepstack_visual_embeds=seen.deepstack_features,
            use_cache=True,
        ).last_hidden_state
        decision = torch.stack([states[i, len(prompt) - 1] for i, prompt in enumerate(read)])
        memory = [states[i, len(prompt) : len(prompt) + slots] for i, prompt in enumerate(read)]

    with stage("allocation and LLM"):
        scores = torch.sigmoid(compressor.logit(decision)).numpy()
        tokens = allocate(scores, budget, max_tokens=slots).tokens
        kept = [model.project(part[:k]) for part, k in zip(memory, tokens, strict=True)]
        clocks = [prompts.timestamp(each) for each in segment_seconds(segments, 2.0)]
        prompt = prompts.conversation(clocks, tokens, question)
        embedded = model.embed(prompt, kept)
        return answer(model, prompts.llm, embedded, max_new_tokens=max_new_tokens)
