"""Widgets that are heard: what a page would be sent, for tests."""

from typing import Any

from comm.base_comm import BaseComm


class Heard(BaseComm):
    """A widget's connection, which keeps the states that are sent through it."""

    def __init__(self, **options: Any) -> None:
        self.states: list[dict[str, Any]] = []
        super().__init__(**options)

    def publish_msg(self, msg_type: str, data: Any = None, **_: Any) -> None:
        if msg_type == "comm_msg":
            self.states.append(data["state"])
