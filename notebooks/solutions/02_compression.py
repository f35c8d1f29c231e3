"""Solutions of notebook 02; run it in the folder of the notebooks."""

import numpy as np
import torch

import tempo_lab as tl
from tempo_lab import course

tempo = course.start()
session = tempo.open(course.clip("voyage"), progress=False)
question = "What color is the star?"
prompt = session.prompt(question, segment=8)

# %% Exercise 1
position = prompt.positions("memory")[0] - 1  # or prompt.decision
course.check_decision(position, prompt)


# %% Exercise 2
def order(rows, columns):
    blocks = np.arange(rows * columns).reshape(rows // 2, 2, columns // 2, 2)
    return blocks.transpose(0, 2, 1, 3).ravel()


course.check_order(order)

# %% Exercise 3
reused = {"system", "timestamp", "vision_mark", "vision"}
course.check_reused(reused)

# %% Exercise 4
compressor, prompts, batches = tempo.model.compressor, tempo.prompts, session.engine.batches
patches, grid = batches.patches(list(session.video.segments(batches.resize))[8])
with torch.inference_mode():
    features = compressor.encode_vision(torch.from_numpy(patches)[None], grid)
    prefix = compressor.prefix(compressor.system(prompts.system()), [batches.prompt(8)], features)
    (state,) = compressor.relevance(prefix, prompts.question(question))


def write(state, k):
    from tempo_lab.model import qwen

    past = qwen.concat_caches([(state.prefix.cache, *state.suffix)])
    positions = (state.next_position + torch.arange(k)).expand(3, -1)
    slots = compressor.compression_tokens[:, :k]
    return qwen.prefill(compressor.svlm, slots, positions, past)[0]


course.check_third_call(write, compressor, state)

# %% Exercise 5
recorded = tl.Capture(memory=True)
plain = session.ask(question, budget=64, capture=recorded)
predicted = 5  # tokens 0 to 4 come before slot 5
patch = tl.Intervention.patch(0, "memory 5", 0.0, segments=8)
run = session.ask(question, budget=64, capture=recorded, interventions=patch)
course.check_same_tokens(predicted, run, plain)

session.close()
