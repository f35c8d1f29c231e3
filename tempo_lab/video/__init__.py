"""Videos: which frames are sampled, and decoding them in a child process. No torch."""

from tempo_lab.video.decoders.base import VideoInfo, register_decoder
from tempo_lab.video.resize import ExactResize, ReleasedResize, Resize
from tempo_lab.video.sampling import SamplingPlan, plan_sampling
from tempo_lab.video.subtitle_files import read_subtitles
from tempo_lab.video.subtitles import Subtitle, subtitles_at_frames, subtitles_between
from tempo_lab.video.video import Segment, Video

__all__ = [
    "ExactResize",
    "ReleasedResize",
    "Resize",
    "SamplingPlan",
    "Segment",
    "Subtitle",
    "Video",
    "VideoInfo",
    "plan_sampling",
    "read_subtitles",
    "register_decoder",
    "subtitles_at_frames",
    "subtitles_between",
]
