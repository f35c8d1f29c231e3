"""Solutions of notebook 02; run it in the folder of the notebooks."""

import numpy as np

from tempo_lab import course

tempo = course.start()
with tempo.open(course.clip("voyage"), progress=False) as session:
    prompt = session.prompt("What color is the star?", segment=8)

# %% Exercise 1
position = prompt.positions("memory")[0] - 1  # or prompt.decision
course.check_decision(position, prompt)


# %% Exercise 2
def order(rows, columns):
    blocks = np.arange(rows * columns).reshape(rows // 2, 2, columns // 2, 2)
    return blocks.transpose(0, 2, 1, 3).ravel()


course.check_order(order)

# %% Exercise 3
visual = (512 // 32) * (256 // 32) * (8 // 2)
course.check_visual_tokens(visual)

# %% Exercise 4
reused = {"system", "timestamp", "vision_mark", "vision"}
course.check_reused(reused)
