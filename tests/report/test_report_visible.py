"""What a device wrote reaches a terminal as text, and never as a command to it."""

import io
import json
import logging

import click
import pytest
from rich.console import Console

from joulefront import cli, terminal
from joulefront.errors import TransportError
from joulefront.records import Failure, Trial
from joulefront.report import devices
from joulefront.report.progress import ProgressBar, ProgressLines
from joulefront.report.visible import visible

EVIL = "\x1b]0;pwned\x07\x1b[2J\r\x9b2J\x7f[/dim] [/nonsense]"
SHOWN = r"\x1b]0;pwned\x07\x1b[2J\r\x9b2J\x7f[/dim] [/nonsense]"


def test_control_characters_are_written_out():
    assert visible(EVIL) == SHOWN
    assert visible("lines\n\tand µ → 漢") == "lines\n\tand µ → 漢"
    assert visible("\u202egpj.exe\udc80") == r"\u202egpj.exe\udc80"


@pytest.mark.parametrize("kind", [ProgressBar, ProgressLines])
def test_progress_shows_what_a_device_said(kind):
    file = io.StringIO()
    with kind(Console(file=file, width=400, force_terminal=False)) as listener:
        listener.stage(f"stage {EVIL}")
        listener.say(f"say {EVIL}")
        listener.doing(f"doing {EVIL}")
        listener.step(Trial(0, (1,), "screen", failure=Failure("Hung", f"step {EVIL}")), None)
    said = file.getvalue()
    assert "\x1b" not in said
    assert "\x07" not in said
    for call in ("stage", "say", "step", *(["doing"] if kind is ProgressBar and "doing" in said else [])):
        assert f"{call} {SHOWN}" in said


def row(**changes):
    keys = ("profile", "host", "transport", "target", "problem")
    return {"name": "b", "meters": [], "status": "ready", **dict.fromkeys(keys), **changes}


def test_tables_show_what_a_device_said(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    terminal.show([row(host=EVIL, problem=f"problem {EVIL}")], False, devices.listing)
    terminal.show({"facts": {EVIL: [EVIL]}}, False, lambda document: str(document["facts"]))
    terminal.show({"facts": {EVIL: [EVIL]}}, True, devices.device)
    output = capsys.readouterr().out
    assert output.count(SHOWN) >= 2
    assert f"problem {SHOWN}" in output
    assert not any(character in output for character in "\x1b\x07\x9b")
    assert json.loads(output[output.rindex('{\n  "facts"') :]) == {"facts": {EVIL: [EVIL]}}


def test_errors_and_warnings_show_what_a_device_said(capsys, monkeypatch):
    def fail(**_options):
        logging.getLogger("joulefront").warning("warning %s", EVIL)
        raise TransportError(f"error {EVIL}")

    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(cli.cli, "main", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == TransportError.exit_code
    said = capsys.readouterr().err
    assert said.splitlines() == [f"warning {SHOWN}", f"joulefront: error {SHOWN}"]


def test_questions_show_what_a_device_said(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(click, "confirm", lambda question, **_: asked.append(question))
    monkeypatch.setattr(click, "prompt", lambda question, **_: asked.append(question))
    user = terminal.Terminal()
    user.agree(EVIL)
    user.secret(EVIL)
    user.tell(EVIL)
    assert asked == [SHOWN, SHOWN]
    assert capsys.readouterr().err == f"{SHOWN}\n"
