"""Code that is not trusted: what it sees, and how it is stopped."""

import os

import psutil
import pytest

from tempo_lab.apps.course_kit.sandbox import Sandbox, Stopped, network_can_be_cut

GIB = 1 << 30


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    (folder / "mine.csv").write_text("a,b")
    (folder / "link").symlink_to("/etc")
    (folder / "numpy.py").write_text("raise RuntimeError('the wrong numpy')")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET_TOKEN", "12345")
        with Sandbox(folder, max_bytes=4 * GIB) as running:
            yield running, folder


def value(sandbox, expression, code=""):
    return sandbox[0].run(code, 60, expression).value


def test_it_has_a_copy_of_the_folder_without_links(sandbox):
    assert value(sandbox, "sorted(os.listdir())", "import os") == ["mine.csv", "numpy.py"]
    assert value(sandbox, "open('mine.csv', 'w').write('gone')") == 4
    assert (sandbox[1] / "mine.csv").read_text() == "a,b"


def test_a_file_of_the_student_hides_no_library(sandbox):
    assert value(sandbox, "int(numpy.arange(3).sum())", "import numpy") == 3


def test_it_sees_no_variables_and_no_home_of_the_user(sandbox):
    found = value(sandbox, "dict(os.environ)", "import os")
    assert "SECRET_TOKEN" not in found
    assert found["HOME"] != os.environ.get("HOME")
    assert found["HOME"] == found["TMPDIR"]


@pytest.mark.skipif(not network_can_be_cut(), reason="user namespaces are not allowed here")
def test_it_has_no_network(sandbox):
    code = "import socket\nnames = [name for _, name in socket.if_nameindex()]"
    assert value(sandbox, "names", code) == ["lo"]
    ran = sandbox[0].run("socket.create_connection(('127.0.0.1', 9), timeout=5)", 60)
    assert "unreachable" in ran.error


def test_an_exception_is_told_in_one_line(sandbox):
    ran = sandbox[0].run("raise ValueError('one\\ntwo \\x1b[31m')", 60)
    assert ran.error == r"ValueError: one two \x1b[31m"
    assert sandbox[0].run("1 + 1", 60).error is None
    assert sandbox[0].run("(", 60).error.startswith("SyntaxError")


def test_huge_files_cannot_be_written(sandbox):
    ran = sandbox[0].run("with open('huge', 'wb') as f: f.truncate(1 << 34)", 60)
    assert "File too large" in ran.error


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("while True: pass", "did not finish within 2 seconds"),
        ("import os; os._exit(0)", "ended the kernel"),
        ("kept = bytearray(3 << 30); [0 for _ in iter(int, 1)]", r"more than 2\.0 GiB of memory"),
    ],
)
def test_what_does_not_stop_is_stopped_with_its_processes(tmp_path, code, reason):
    limit = 60 if "bytearray" in code else 2
    with Sandbox(tmp_path, max_bytes=2 * GIB) as running:
        child = "import subprocess\nchild = subprocess.Popen(['sleep', '600']).pid"
        pid = running.run(child, 60, "child").value
        with pytest.raises(Stopped, match=reason):
            running.run(code, limit)
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


def test_a_folder_that_is_too_large_is_not_copied(tmp_path):
    (tmp_path / "large.bin").write_bytes(bytes(2000))
    with Sandbox(tmp_path, max_bytes=4 * GIB, max_copied=1000) as running:
        assert running.run("import os", 60, "os.listdir()").value == []
