"""Solutions of notebook 01; run it in the folder of the notebooks."""

import numpy as np

import tempo_lab as tl
from tempo_lab import course

# %% Exercise 1
frames = len(tl.plan_sampling(10 * 25, 25.0))
course.check_sampled_frames(frames)

# %% Exercise 2
seconds = 1024 / 2
course.check_longest(seconds)

# %% Exercise 3
whole, left = divmod(100, 8)
segments_and_last = [whole + 1, left]
course.check_last_segment(segments_and_last)


# %% Exercise 4
def touched(start, end):
    return list(range(int(start // 4), int(np.ceil(end / 4))))


course.check_touched(touched)
