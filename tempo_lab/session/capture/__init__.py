"""Record attention, hidden states and memory tokens while a question runs.

    spec = tl.Capture(attention=tl.Rows(["decision", "memory"]), reduce="key_group")
    print(spec.price(video))
    trace = video.ask(question, budget=64, capture=spec)
    trace.data["attention"]  # [segment, layer, head, row, key_group]

Everything is installed for one `ask` and removed after it, also after an error or Ctrl-C.
"""

from tempo_lab.session.capture.spec import Capture, Price, Rows

__all__ = ["Capture", "Price", "Rows"]
