"""The README's example is run as it stands there."""

import json
import re
from pathlib import Path

import pytest

from command_line import joulefront

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (code,) = re.findall(r"```python\n# my_model\.py\n(.*?)```", README.read_text(), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my_model.py"
    file.write_text(code)
    return file


def test_the_example_is_short(example: Path) -> None:
    assert len(example.read_text().splitlines()) <= 30


def test_the_example_is_a_task_that_can_be_measured_and_searched(
    example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["init", "my_model.py:task"], ["measure", "my_model.py:task", "--json"]):
        assert joulefront(monkeypatch, *arguments) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "study.toml is written" in shown
    assert json.loads(shown[shown.index("{") :])["latency_s"]["median"] > 0


def test_the_study_in_the_readme_is_valid() -> None:
    from joulefront.config import StudyConfig, parse

    (study,) = re.findall(r"```toml\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert parse(study, StudyConfig, source="README.md").search.evaluations == 100


def test_the_notebook_in_the_readme_is_the_one_that_is_tested() -> None:
    code = (README.parent / "docs" / "notebook.py").read_text().partition("\n\n")[2].strip()
    assert f"```python\n{code}\n```" in README.read_text()
