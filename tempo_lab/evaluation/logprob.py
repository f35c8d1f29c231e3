"""How probable the right answer is, given the memory tokens that an allocation kept."""

from __future__ import annotations

import numpy as np
import torch

from tempo_lab.allocation import Allocation, keep_tokens
from tempo_lab.model.prompts import IM_END, encode_text, segment_clock
from tempo_lab.session import Session
from tempo_lab.trace import Trace


def allocation_of(trace: Trace) -> Allocation:
    """The allocation that a trace records."""
    data, attrs = trace.data, trace.data.attrs
    return Allocation(
        scores=data["score"].to_numpy(),
        wanted=data["wanted"].to_numpy(),
        tokens=data["tokens"].to_numpy(),
        budget=attrs["budget"],
        strategy=attrs["strategy"],
        mode=attrs["mode"],
        min_tokens=attrs["min_tokens"],
        max_tokens=attrs["memory_slots"],
        seed=attrs["seed"],
    )


@torch.inference_mode()
def answer_logprob(session: Session, trace: Trace, answer: str) -> np.ndarray:
    """Log-probability of an answer, read by the LLM as if it had written it (teacher-forced).

    Args:
        session: the one that made the trace; the memory tokens that it still has are used.
        trace: what was asked, and which memory tokens were kept. A question without history.
        answer: any text.

    Returns:
        float32 [answer_token], natural logarithm of each token's probability; the last one is
        that of the end.
    """
    model, prompts = session.checkpoint.model, session.checkpoint.prompts
    allocation, video = allocation_of(trace), session.video
    memory = session.reader.memory(session.reader.read(trace.question), allocation.needed)
    kept = [
        model.project(keep_tokens(tokens, allocation, segment))
        for segment, tokens in enumerate(memory)
    ]
    clocks = None
    if not video.is_image:
        seconds = [segment_clock(i, video.plan.fps, video.window) for i in range(len(video))]
        clocks = [prompts.clock(each) for each in seconds]
    prompt = prompts.conversation(clocks, allocation.tokens, trace.question)
    opening = encode_text(prompts.llm, "assistant\n")  # where the prompt ends
    written = encode_text(prompts.llm, "assistant\n", answer)[len(opening) :]
    ids = torch.tensor([*written, prompts.llm.convert_tokens_to_ids(IM_END)], device=model.device)
    asked = model.embed(prompt, kept)
    embeddings = torch.cat([asked, model.get_input_embeddings()(ids[None, :-1])], dim=1)
    logits = model(inputs_embeds=embeddings, logits_to_keep=len(ids)).logits[0].float()
    chosen = logits.log_softmax(dim=-1).gather(1, ids[:, None])[:, 0]
    return chosen.cpu().numpy()
