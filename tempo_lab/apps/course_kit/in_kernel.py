"""What the grader calls inside the kernel that runs a submission.

Names of the original notebook keep their values whatever a student's cell assigns to them, and a
check comes fresh from its file. A student's code shares the process with it, so this stops changed
checks and redefined names, not somebody who attacks the grader on purpose.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from tempo_lab.common.text import one_line

_COURSE = "tempo_lab.course"
_saved: dict[str, Any] = {}
_theirs: set[str] = set()


def limit_file_size(max_bytes: int) -> None:
    """Refuse to write files above a size, for this process and its children, on Unix."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))


def before(names: dict[str, Any], answers: Iterable[str] = ()) -> None:
    """Remember the notebook's names before a student's cell; the names of answers get none."""
    _saved.clear()
    _saved.update(names)
    for answer in answers:
        names[answer] = ...
        _theirs.add(answer)


def after(names: dict[str, Any]) -> None:
    """Give the notebook's names their values back, and remember which ones the student added."""
    _theirs.update(name for name in names if name not in _saved)
    for name, value in _saved.items():
        if name not in _theirs:
            names[name] = value


def judge(names: dict[str, Any], check: str, name: str) -> str:
    """Judge an answer with a fresh copy of its check; return JSON with "right" and "text".

    The check is used only if it still rejects its own examples of wrong answers: it does not if
    something that it calls was redefined.

    Args:
        names: the kernel's names.
        check: source of the call, such as "course.check_words(words, trace.totals)".
        name: name of the check.
    """
    old = {each: sys.modules.pop(each) for each in list(sys.modules) if _of_course(each)}
    try:
        course = import_module(_COURSE)
        result = eval(check, {**names, "course": course})
        right, text = result.right is True, one_line(str(result.text), 200)
        if right and any(course.CHECKS[name](*wrong).right for wrong in _wrong(course, name)):
            right, text = False, "The check accepts wrong answers here: something was redefined."
    except BaseException as error:
        right, text = False, f"{type(error).__name__}: {one_line(str(error), 160)}"
    finally:
        for each in [each for each in sys.modules if _of_course(each)]:
            del sys.modules[each]
        sys.modules.update(old)
    return json.dumps({"right": right, "text": text})


def _wrong(course: Any, name: str) -> list[tuple[Any, ...]]:
    return course.CHECKS[name].examples()[1]


def _of_course(module: str) -> bool:
    return module == _COURSE or module.startswith(f"{_COURSE}.")
