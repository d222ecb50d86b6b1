"""The files of the user's devices: private, whole, and with the user's own words left in them."""

import stat
from pathlib import Path

import pytest

from joulefront.errors import ConfigError, StoreError
from joulefront_devices import registry

MINE = """# The one on the desk
name = "pi5"   # as on its label

[transport]
kind = "ssh"
host = "old"  # moves about
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JOULEFRONT_DEVICES", str(tmp_path / "devices"))
    return tmp_path / "devices"


def test_the_folder_is_the_variables_or_the_platforms(folder, monkeypatch):
    assert registry.folder() == folder
    monkeypatch.setenv("JOULEFRONT_DEVICES", "~/boards")
    assert registry.folder() == Path.home() / "boards"
    monkeypatch.delenv("JOULEFRONT_DEVICES")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    assert registry.folder() == Path("/somewhere/joulefront/devices")


def test_a_file_is_private_and_replaced_whole(folder):
    file = registry.file_of("pi5")
    registry.write(file, "a = 1")
    registry.write(file, "a = 2")
    assert file.read_text() == "a = 2"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["pi5.toml"]
    assert registry.names() == ("pi5",)
    registry.remove(file)
    registry.remove(file)
    assert registry.names() == ()


def test_what_is_no_devices_file_is_not_listed(folder):
    folder.mkdir()
    for name in (".pi5.toml-x", "a b.toml", "notes.txt", ".hidden.toml"):
        (folder / name).write_text("")
    assert registry.names() == ()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "a b", "x.toml", "x\n"])
def test_a_name_is_a_word(name):
    with pytest.raises(ConfigError, match="expected a name"):
        registry.file_of(name)


def test_changes_leave_comments_and_order():
    changes = {("meter",): "none", ("transport", "host"): "new", ("facts", "cores"): 4, ("absent",): None}
    assert registry.changed(MINE, changes) == (
        MINE.replace("label\n", 'label\nmeter = "none"\n').replace('"old"', '"new"') + "\n[facts]\ncores = 4\n"
    )
    assert registry.changed(registry.changed(MINE, changes), {("meter",): None, ("facts",): None}).strip() == (
        MINE.replace('"old"', '"new"').strip()
    )


def test_a_folder_that_cannot_be_written_is_named(folder):
    folder.write_text("a file")
    with pytest.raises(StoreError, match=f"{folder}/pi5.toml cannot be written"):
        registry.write(registry.file_of("pi5"), "")


def test_of_a_link_what_it_leads_to_is_written(folder, tmp_path):
    kept = tmp_path / "dotfiles/pi5.toml"
    kept.parent.mkdir()
    kept.write_text("a = 1")
    folder.mkdir()
    file = registry.file_of("pi5")
    file.symlink_to(kept)
    registry.write(file, "a = 2")
    assert file.is_symlink()
    assert kept.read_text() == "a = 2"
    file.unlink()
    file.symlink_to(file)
    with pytest.raises(StoreError, match=r"pi5\.toml cannot be written"):
        registry.write(file, "a = 3")


def test_what_is_no_character_is_written_as_a_question_mark(folder):
    file = registry.file_of("pi5")
    registry.write(file, registry.changed('name = "pi5"\n', {("facts",): {"model": "Pi \ud800 5"}}))
    assert 'model = "Pi ? 5"' in file.read_text(encoding="utf-8")
