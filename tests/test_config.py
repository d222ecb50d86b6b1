"""Every mistake in a study file is one message that names the file, the key and what was expected."""

import json
from pathlib import Path

import pytest

from joulefront.config import StudyConfig, parse, read, study_text
from joulefront.errors import ConfigError
from joulefront.problems import nearest

GOOD = 'name = "x"\n[task]\nkind = "digits"\nmodel = "tiny"\n[search]\nkind = "nsga2"\npopulation = 8\nseed = 3\n'


def test_a_study_is_read_with_its_defaults_and_its_plugins_arguments() -> None:
    study = parse(GOOD, StudyConfig, source="study.toml")
    assert study.task.arguments == {"model": "tiny"}
    assert (study.search.seed, study.search.arguments) == (3, {"population": 8})
    assert study.objectives == ("error", "latency_s", "energy_j")
    assert study.measure.interval == 0.02


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + "[mesure]\ninterval = 0.1\n", "study.toml: mesure: unknown key; did you mean 'measure'?"),
        (GOOD + "[measure]\nintervall = 0.1\n", "[measure] intervall: unknown key; did you mean 'interval'?"),
        (GOOD + '[measure]\ninterval = "2 %"\n', "measure.interval: expected a valid number, not '2 %'"),
        (GOOD + "[measure]\ninterval = 2.0\n", "measure.interval: expected less than 1, not 2.0"),
        (GOOD + "[measure]\ntimeout_s = inf\n", "measure.timeout_s: expected a finite number"),
        ('name = "x"\ntask = "digits"\n', "task: expected a table with a kind, not 'digits'"),
        (GOOD + "[space]\nmultiple = 0\n", "space.multiple: expected greater than or equal to 1 or 'auto', not 0"),
        (GOOD + '[space]\nexclude = "stem"\n', "space.exclude: expected a valid array, not 'stem'"),
        (
            GOOD + '[space]\nfloors = {"layer2.0" = 1.5}\n',
            "space.floors.layer2.0: expected less than or equal to 1, not 1.5",
        ),
        (GOOD + "[space]\nfloors = 0.5\n", "space.floors: expected a table, not 0.5"),
        (GOOD + '[space]\ncriteria = ["l2", "l2"]\n', "study.toml: space.criteria: 'l2' is the study's own criterion"),
        (GOOD + "[limits]\nlatancy_s = 0.1\n", "[limits] latancy_s: unknown key; did you mean 'latency_s'?"),
        (GOOD + "[limits]\nlatency_s = -1.0\n", "limits.latency_s: expected greater than 0, not -1.0"),
        ('objectives = ["error", "latency"]\n' + GOOD, "'latency'"),
        ('objectives = ["error", "error"]\n' + GOOD, "objectives: expected each objective once"),
        ("objectives = []\n" + GOOD, "objectives"),
        ('name = "x"\n', "study.toml: task: missing"),
        ('name = "../x"\n[task]\nkind = "digits"\n', "name: "),
        ("name = \n", "study.toml: not valid TOML: "),
    ],
)
def test_mistakes_are_named(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, StudyConfig, source="study.toml")
    assert expected in str(caught.value)
    assert caught.value.exit_code == 2


def test_every_mistake_of_a_file_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(GOOD + "[measure]\nintervall = 1\nrepeats = 1\n", StudyConfig, source="study.toml")
    assert len(str(caught.value).splitlines()) == 2


def test_a_missing_file_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read(tmp_path / "absent.toml", StudyConfig)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "bytes.toml", StudyConfig)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path, StudyConfig)


def test_a_study_survives_json() -> None:
    study = parse(GOOD + "[limits]\nlatency_s = 0.5\n", StudyConfig, source="study.toml")
    assert StudyConfig.model_validate_json(study.model_dump_json()) == study


def test_the_schema_is_json_and_knows_every_table() -> None:
    schema = json.loads(json.dumps(StudyConfig.model_json_schema()))
    assert set(schema["properties"]) == set(StudyConfig.model_fields)


def test_nearest_names_all_where_none_is_near() -> None:
    assert nearest("zzz", ["beta", "alpha"]) == "known: alpha, beta"
    assert nearest("zzz", []) == "none is known here"


def test_a_study_on_another_device_keeps_what_else_it_says(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text("# mine\n" + GOOD)
    assert study_text(file) == study_text(file, "local") == "# mine\n" + GOOD
    other = study_text(file, "pi5")
    assert "# mine" in other
    study = parse(other, StudyConfig, source="study.toml")
    assert study == parse(GOOD, StudyConfig, source="study.toml").model_copy(update={"name": "x-pi5", "device": "pi5"})
    by_path = parse(study_text(file, "boards/pi.toml"), StudyConfig, source="study.toml")
    assert (by_path.name, by_path.device) == ("x-pi", str(Path("boards/pi.toml").resolve()))
