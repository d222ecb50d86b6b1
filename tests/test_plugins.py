"""``kind`` becomes an object, and every mistake on the way one message."""

from pathlib import Path
from typing import Any

import pytest

from joulefront.config import Plugin
from joulefront.errors import ConfigError
from joulefront.plugins import build, fingerprint

USERS = """
import beside

class Thing:
    def __init__(self, space: int, size: int = 3, names: tuple[str, ...] = ()) -> None:
        self.made = (space, size, names, beside.VALUE)

def needs(space, size):
    return size

def fails(space):
    raise ValueError("no data\\nat all")

thing = object()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "users.py").write_text(USERS)
    (tmp_path / "beside.py").write_text("VALUE = 7\n")
    (tmp_path / "broken.py").write_text("x = 1\ny = undefined\n")
    (tmp_path / "syntax.py").write_text("x = (\n")
    return tmp_path


def make(folder: Path, kind: str, /, **arguments: Any) -> Any:
    return build(Plugin(kind=kind, **arguments), {"known": "math:sqrt"}, folder=folder, where="s.toml: [t]", space=5)


def test_a_class_in_a_file_is_built_with_its_arguments_and_what_the_harness_gives(folder: Path) -> None:
    assert make(folder, "users.py:Thing", size=4, names=["a", "b"]).made == (5, 4, ("a", "b"), 7)


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
    ],
)
def test_mistakes_are_named(folder: Path, kind: str, arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(folder, kind, **arguments)
    assert expected in str(caught.value)


def test_the_fingerprint_follows_the_arguments_and_the_file(folder: Path) -> None:
    def of(**arguments: Any) -> str:
        return fingerprint(Plugin(kind="users.py:Thing", **arguments), {}, folder=folder, where="[t]")

    first = of(size=1)
    assert of(size=1) == first
    assert of(size=2) != first
    (folder / "users.py").write_text(USERS + "\n# another line\n")
    assert of(size=1) != first
