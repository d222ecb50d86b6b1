"""``kind`` becomes an object, and every mistake on the way one message."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from joulefront.config import Plugin
from joulefront.errors import ConfigError
from joulefront.plugins import build, fingerprint, resolve

USERS = """
import sys, beside

class Thing:
    def __init__(self, space: int, size: int = 3, names: tuple[str, ...] = ()) -> None:
        self.made = (space, size, names, beside.VALUE)

def needs(space, size):
    return size

def fails(space):
    raise ValueError("no data\\nat all")

thing = object()

def quits(space):
    sys.exit(0)

def variadic(*args, space):
    return args
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "users.py").write_text(USERS)
    (tmp_path / "beside.py").write_text("VALUE = 7\n")
    (tmp_path / "broken.py").write_text("x = 1\ny = undefined\n")
    (tmp_path / "syntax.py").write_text("x = (\n")
    (tmp_path / "quits.py").write_text("import sys\nsys.exit('enough')\n")
    return tmp_path


def make(folder: Path, kind: str, /, **arguments: Any) -> Any:
    return build(Plugin(kind=kind, **arguments), {"known": "math:sqrt"}, folder=folder, where="s.toml: [t]", space=5)


def test_a_class_in_a_file_is_built_with_its_arguments_and_what_the_harness_gives(folder: Path) -> None:
    assert make(folder, "users.py:Thing", size=4, names=["a", "b"]).made == (5, 4, ("a", "b"), 7)


def test_positional_arguments_are_not_asked_for(folder: Path) -> None:
    assert make(folder, "users.py:variadic") == ()


def test_an_object_is_returned_as_it_is(folder: Path) -> None:
    assert make(folder, "users.py:thing") is make(folder, "users.py:thing")


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        ("knwon", {}, "s.toml: [t] unknown kind 'knwon'; did you mean 'known'?"),
        ("absent.py:Thing", {}, "absent.py: no such file"),
        ("no.such.module:Thing", {}, "no.such.module cannot be imported: ModuleNotFoundError"),
        ("users.py:Thingy", {}, "has no 'Thingy'; did you mean 'Thing'?"),
        (
            "broken.py:x",
            {},
            "broken.py cannot be imported: NameError: name 'undefined' is not defined (broken.py, line 2)",
        ),
        ("syntax.py:x", {}, "syntax.py cannot be imported: SyntaxError"),
        ("users.py:Thing", {"sise": 4}, "[t] sise: unknown key for kind 'users.py:Thing'; did you mean 'size'?"),
        ("users.py:Thing", {"space": 4}, "[t] space: unknown key"),
        ("users.py:Thing", {"size": "4"}, "[t] size: expected a valid integer, not '4'"),
        ("users.py:Thing", {"names": "a"}, "[t] names: expected a valid array, not 'a'"),
        ("users.py:needs", {}, "[t] size: missing; kind 'users.py:needs' needs it"),
        ("users.py:fails", {}, "users.py:fails: ValueError: no data at all (users.py, line 12)"),
        ("users.py:thing", {"size": 1}, "takes no ['size']"),
        ("users.py:variadic", {"args": 1}, "[t] args: unknown key"),
        ("users.py:quits", {}, "[t] users.py:quits ends the process: SystemExit: 0 (users.py, line 17)"),
        ("quits.py:x", {}, "[t] quits.py ends the process: SystemExit: enough (quits.py, line 2)"),
        ("builtins:dict", {}, "[t] builtins:dict: Python cannot tell what it takes"),
        ("a:", {}, "unknown kind 'a:'"),
        (":b", {}, "unknown kind ':b'"),
        ("~no-such-user/file.py:x", {}, "cannot be imported: RuntimeError"),
    ],
)
def test_mistakes_are_named(folder: Path, kind: str, arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(folder, kind, **arguments)
    assert expected in str(caught.value)


def test_an_empty_kind_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="unknown kind ''"):
        resolve("", {}, folder=folder, where="[t]")


def test_a_folder_that_may_not_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuses)
    with pytest.raises(ConfigError, match=r"users\.py cannot be imported: PermissionError"):
        make(folder, "users.py:Thing")


def test_the_fingerprint_follows_the_arguments_and_the_file(folder: Path) -> None:
    def of(**arguments: Any) -> str:
        return fingerprint(Plugin(kind="users.py:Thing", **arguments), {}, folder=folder, where="[t]")

    first = of(size=1)
    assert of(size=1) == first
    assert of(size=2) != first
    (folder / "users.py").write_text(USERS + "\n# another line\n")
    assert of(size=1) != first


IDENTIFY = """
import sys
from pathlib import Path
from joulefront.config import Plugin
from joulefront.plugins import build, fingerprint
folder = Path(sys.argv[1])
sys.path.append(str(folder))
for name in sys.argv[3:]:
    __import__(name)
plugin = Plugin(kind=sys.argv[2])
build(plugin, {"known": "beside:known"}, folder=folder, where="[t]", space=5)
print(fingerprint(plugin, {"known": "beside:known"}, folder=folder, where="[t]"))
"""


def identify(folder: Path, kind: str, *imported_before: str) -> str:
    """The fingerprint in a fresh process."""
    command = [sys.executable, "-c", IDENTIFY, str(folder), kind, *imported_before]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


PROJECT = {
    "users.py": "import sys\nsys.path.append(__file__.replace('users.py', 'env/site-packages'))\n"
    "import beside, nets.deep, theirs\ndef thing(space): return space\n",
    "beside.py": "def known(space): return space\n",
    "nets/deep.py": "WIDTH = 1\n",
    "stranger.py": "NOT = 'imported'\n",
    "env/site-packages/theirs.py": "VERSION = 1\n",
}


def project(folder: Path) -> Path:
    for name, text in PROJECT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_fingerprint_follows_what_a_users_file_imports_from_its_folder(tmp_path: Path) -> None:
    folder = project(tmp_path / "one")
    first = identify(folder, "users.py:thing")
    assert identify(folder, "users.py:thing", "nets.deep", "beside") == first
    assert identify(project(tmp_path / "two"), "users.py:thing") == first
    follows = set()
    for name, text in PROJECT.items():
        (folder / name).write_text(text + "# another line\n")
        if identify(folder, "users.py:thing") != first:
            follows.add(name)
        (folder / name).write_text(text)
    assert follows == {"users.py", "beside.py", "nets/deep.py"}


def test_the_fingerprint_of_what_is_ready_made_is_that_of_its_file(tmp_path: Path) -> None:
    folder = project(tmp_path)
    assert identify(folder, "known") == identify(folder, "known", "nets.deep")
