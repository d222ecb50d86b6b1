"""The command line, by what a user types: results, and for each mistake one message and the right exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import joulefront
from written import write_study

STUDY = 'name = "x"\n[task]\nkind = "digits"\n[prepare]\nworkers = 1\n[search]\nevaluations = 4\npopulation = 4\n'
SHORT = (
    'device = "here.toml"\n'
    + STUDY
    + "[recover]\nscreen_epochs = 0.5\nfull_epochs = 0.5\n[measure]\ninterval = 0.5\ntime_s = 0.1\nfull_time_s = 0.1\n"
    + "repeats = 2\nfull_repeats = 2\n"
)
TINY = SHORT.replace('"digits"', '"models.py:searchable"')

MODELS = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
from joulefront.tasks import Task

torch.manual_seed(0)
DATA = TensorDataset(torch.rand(64, 1, 8, 8), torch.arange(64) % 10)


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 3)
        self.dense = nn.Linear(16 * 36, 10)

    def forward(self, x):
        x = self.conv(x)
        if x.sum() > 0:
            x = x * 2
        return self.dense(x.flatten(1))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10))


def branches():
    return Task(Branches(), torch.rand(1, 1, 8, 8), DATA, DATA, DATA)

def searchable():
    return Task(net(), torch.rand(1, 1, 8, 8), DATA, DATA, DATA)


def several_outputs():
    class Dictionary(nn.Module):
        def forward(self, x):
            return {"y": x * 2}
    return Task(Dictionary(), torch.rand(1, 4))


def without_data():
    class Summed(nn.Module):
        def forward(self, x):
            return torch.cumsum(x.expand(5000, 10), 1)  # no kernel computes it
    return Task(nn.Sequential(net(), Summed()), torch.rand(1, 1, 8, 8))

def wrong_shape():
    return Task(net(), torch.rand(1, 3, 8, 8), DATA, DATA, DATA)

def no_task():
    return net()

def fails():
    raise RuntimeError("my_weights.pt is not there")
"""


@pytest.fixture(autouse=True)
def _own_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEFRONT_DEVICES", str(tmp_path / "registered"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a file of models."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models.py").write_text(MODELS)
    # This machine, as busy as it is: these tests are not about what they measure.
    (tmp_path / "here.toml").write_text('name = "here"\n[settle]\ntime_s = 0.0\n')
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "study.toml: no such file"),
        ("name = ", "study.toml: not valid TOML"),
        (STUDY.replace("evaluations", "evaluatons"), "[search] evaluatons: unknown key for kind 'nsga2'; did you mean"),
        (STUDY + "[measures]\n", "study.toml: measures: unknown key; did you mean 'measure'?"),
        ('device = "locla"\n' + STUDY, "device 'locla'"),
        ('device = "board.toml"\n' + STUDY, "board.toml: no such file"),
        (STUDY.replace('"digits"', '"models.py:branches"'), "torch.export does not take the model"),
        (STUDY.replace('"digits"', '"models.py:without_data"'), "task.train is missing"),
        (STUDY.replace('"digits"', '"models.py:wrong_shape"'), "task.model fails on task.example"),
        (STUDY.replace('"digits"', '"models.py:no_task"'), "has no "),
        (STUDY.replace('"digits"', '"models.py:fails"'), "RuntimeError: my_weights.pt is not there (models.py, line"),
    ],
)
@pytest.mark.usefixtures("shared_workers")
def test_a_search_that_cannot_begin_says_why(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str | None, expected: str
) -> None:
    if text is not None:
        Path("study.toml").write_text(text)
    assert joulefront(monkeypatch, "search", "study.toml") == 2
    shown = capsys.readouterr()
    assert expected in shown.err.replace("\n", " ")
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert not Path("results").exists()


def test_what_is_no_study_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert joulefront(monkeypatch, "front", "results/absent") == 2
    assert "no study there" in capsys.readouterr().err


@pytest.mark.usefixtures("shared_workers")
def test_a_first_study_from_init_to_front(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real compiler, the real agent, on this machine."""
    assert joulefront(monkeypatch, "init", "digits", "--out", "made.toml") == 0
    capsys.readouterr()
    assert joulefront(monkeypatch, "init", "digits", "--out", "made.toml") == 2
    assert "made.toml exists" in capsys.readouterr().err

    Path("study.toml").write_text(SHORT)
    assert joulefront(monkeypatch, "validate", "study.toml", "--json") == 0
    checked = json.loads(capsys.readouterr().out)
    assert checked["provenance"] == "estimated"
    assert checked["seconds"]["total"] > checked["seconds"]["trial"] > 0

    assert joulefront(monkeypatch, "search", "study.toml", "--json") == 0
    searched = capsys.readouterr()
    document = json.loads(searched.out)
    assert set(document) >= {"study", "devices", "reference", "reference_reason", "front", "trials", "hypervolume"}
    assert document["state"] == "settled"
    assert document["front"]
    point = document["front"][0]
    assert set(point) >= {
        "trial",
        "genome",
        "widths",
        "objectives",
        "intervals",
        "metrics",
        "fidelity",
        "grade",
        "provenance",
    }
    assert point["provenance"]["latency_s"] == "measured"
    assert point["metrics"]["latency_s"] > 0
    low, high = point["intervals"]["latency_s"]
    assert low <= point["objectives"]["latency_s"] <= high
    assert "searching (4)" in searched.err

    assert joulefront(monkeypatch, "front", "results/x") == 0
    table = capsys.readouterr().out
    assert "(unpruned)" in table
    assert "networks measured" in table

    Path("study.toml").write_text(SHORT.replace("evaluations = 4", "evaluations = 5"))
    assert joulefront(monkeypatch, "search", "study.toml") == 2
    assert "search.evaluations was 4, is 5" in capsys.readouterr().err


@pytest.mark.usefixtures("shared_workers")
def test_limits_that_nothing_meets(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("study.toml").write_text(SHORT + "[limits]\nlatency_s = 1e-9\n")
    assert joulefront(monkeypatch, "search", "study.toml") == 2
    assert "nothing keeps them all (latency_s <= 1e-09)" in capsys.readouterr().err


def test_a_full_disk_stops_the_study_and_blames_no_network(here: Path, fresh_cache: Path) -> None:
    """The kernel refuses files above a limit, as it refuses any on a full disk; a library needs more than that."""
    Path("study.toml").write_text(TINY)
    command = "ulimit -f 1000; exec joulefront search study.toml"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env={**os.environ, "PATH": path}, check=False
    )
    assert done.returncode == 3, done.stderr
    assert f"{fresh_cache}" in done.stderr
    assert "cannot be written: File too large; make room, then run the same command again" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_cache_entry_is_said_and_made_again(
    here: Path, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("study.toml").write_text(TINY)
    assert joulefront(monkeypatch, "validate", "study.toml") == 0
    (weights,) = (fresh_cache / "candidates").rglob("weights.safetensors")
    (library,) = (fresh_cache / "artifacts").rglob("model.so")
    for damaged in (weights, library):
        data = damaged.read_bytes()
        damaged.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    capfd.readouterr()
    assert joulefront(monkeypatch, "validate", "study.toml") == 0
    said = capfd.readouterr().err
    for damaged in (weights, library):
        assert f"{damaged.parent} is damaged ({damaged.name}): thrown away and made again" in said


def test_one_model_is_measured_without_data(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        joulefront(
            monkeypatch, "measure", "models.py:without_data", "--device", "here.toml", "--threads", "2", "--json"
        )
        == 0
    )
    document = json.loads(capsys.readouterr().out)
    assert set(document) >= {"device", "latency_s", "energy_j", "provenance", "reason", "conditions", "warnings"}
    latency = document["latency_s"]
    assert set(latency) == {"median", "interval", "indicative", "p90", "p99", "samples"}
    assert 0 < latency["interval"][0] <= latency["median"] <= latency["interval"][1]
    assert (latency["p99"] is None) == (latency["samples"] < 1_000)
    assert document["energy_j"] is not None or document["reason"]
    assert [(use["kernel"], use["tuned"], use["calls"]) for use in document["kernels"]] == [
        ("conv2d", False, 1),
        ("dense", False, 1),
    ]
    assert [(one["operators"], one["calls"]) for one in document["fallbacks"]] == [("cumsum", 1)]
    assert document["kernels_reason"] is None
    (told,) = (warning for warning in document["warnings"] if "TVM's own loops" in warning)
    assert told.startswith("cumsum runs TVM's own loops, since no kernel of ours applies: about ")
    assert told.endswith(" % of the inference, measured by itself")


def test_a_model_that_cannot_be_compiled_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert joulefront(monkeypatch, "measure", "models.py:branches") == 2
    assert "Traceback" not in capsys.readouterr().err


def test_init_writes_a_study_that_is_valid_and_names_the_task_from_its_folder(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from joulefront.config import StudyConfig, read

    assert joulefront(monkeypatch, "init", "models.py:branches", "--out", "studies/first.toml") == 0
    study = read(Path("studies/first.toml"), StudyConfig)
    assert study == StudyConfig.model_validate({"name": "models", "task": {"kind": "../models.py:branches"}})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["models.py:without_data"], "task.train is missing"),
        (["models.py:absent"], "has no 'absent'"),
        (["digits", "--device", "lokal"], "device 'lokal'"),
    ],
)
def test_init_refuses_what_a_search_could_not_use(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert joulefront(monkeypatch, "init", *arguments) == 2
    assert expected in capsys.readouterr().err
    assert not Path("study.toml").exists()


def test_the_schema_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert joulefront(monkeypatch, "schema") == 0
    assert "objectives" in json.loads(capsys.readouterr().out)["properties"]
    assert joulefront(monkeypatch, "schema", "device") == 0
    assert "transport" in json.loads(capsys.readouterr().out)["properties"]
    assert joulefront(monkeypatch, "schema", "profile") == 0
    assert "boards" in json.loads(capsys.readouterr().out)["properties"]


HEAVY = ("torch", "tvm", "pymoo", "scipy", "paramiko", "sqlalchemy", "plotly", "pydantic", "rich", "numpy", "tomlkit")


def test_what_a_users_code_prints_does_not_spoil_the_result(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with Path("models.py").open("a") as file:
        file.write("\nprint('loading my data')\nimport os; os.write(1, b'and from C\\n')\n")
    Path("study.toml").write_text(TINY)
    assert joulefront(monkeypatch, "validate", "study.toml", "--json") == 0
    shown = capfd.readouterr()
    assert json.loads(shown.out)["study"] == "x"
    assert "loading my data" in shown.err
    assert "and from C" in shown.err


@pytest.mark.parametrize("verb", ["init", "measure"])
def test_an_empty_task_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert joulefront(monkeypatch, verb, "") == 2
    assert "expected file.py:object" in capsys.readouterr().err


def test_outputs_that_cannot_be_compared_are_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert joulefront(monkeypatch, "measure", "models.py:several_outputs") == 2
    assert "the model returns a dict" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["devices"], ["devices", "add"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv = {['joulefront', *arguments, '--help']!r}\n"
        "from joulefront.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print(sorted(set(sys.modules) & set({HEAVY!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_devices_are_listed_without_torch_and_tvm() -> None:
    code = (
        "import sys; sys.argv = ['joulefront', 'devices', 'list']\n"
        "from joulefront.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted(set(sys.modules) & {'torch', 'tvm', 'tvm_ffi', 'paramiko'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_folder_of_devices_may_be_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("boards").mkdir()
    Path("boards/mine.toml").write_text('name = "mine"\nmeter = "fluke"\n')
    assert joulefront(monkeypatch, "devices", "list", "--devices", "boards", "--json") == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["local", "mine"]
    assert joulefront(monkeypatch, "measure", "models.py:without_data", "--device", "mine", "--devices", "boards") == 2
    assert "mine.toml: meter: expected auto" in capsys.readouterr().err
    Path("study.toml").write_text(STUDY)
    for verb in ("search", "validate"):
        assert joulefront(monkeypatch, verb, "study.toml", "--device", "mine", "--devices", "boards") == 2
        assert "mine.toml: meter: expected auto" in capsys.readouterr().err
    assert (
        joulefront(monkeypatch, "init", "digits", "--out", "new.toml", "--device", "mine", "--devices", "boards") == 2
    )
    assert "mine.toml: meter: expected auto" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["add", "pi5", "pi@"], 2, "'pi@': expected [user@]host[:port]"),
        (["add", "pi5", "pi@127.0.0.1:99999"], 2, "expected a port from 1 to 65535"),
        (["add", "local", "pi@127.0.0.1:1"], 2, "that is this machine"),
        (["add", "pi5", "pi@127.0.0.1:1", "--meter", "x"], 2, "device 'pi5': meter: expected auto"),
        (["add", "pi5", "pi@127.0.0.1:1", "--key", "absent"], 2, "'absent' does not exist"),
        (["add", "pi5", "pi@127.0.0.1:1"], 3, "127.0.0.1 port 1 cannot be reached: it refuses the connection"),
        (["show", "pi5"], 2, "device 'pi5': not registered"),
        (["check", "pi5"], 2, "device 'pi5': not registered"),
        (["edit", "pi5", "--meter", "none"], 2, "device 'pi5': not registered"),
        (["remove", "pi5"], 2, "device 'pi5': not registered"),
        (["remove", "a b"], 2, "expected a name"),
    ],
)
def test_a_mistake_about_devices_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert joulefront(monkeypatch, "devices", *arguments) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_results_are_shown_without_torch_and_tvm(tmp_path: Path) -> None:
    folder = str(write_study(tmp_path, count=4))
    verbs = (["front"], ["trials"], ["trials", "--csv"], ["trials", "0"], ["watch"], ["report", "--figure", "x.svg"])
    code = (
        "import sys\nfrom joulefront.cli import main\n"
        f"for verb, *options in {verbs!r}:\n"
        f"    sys.argv = ['joulefront', verb, {folder!r}, *options]\n"
        "    try: main()\n"
        "    except SystemExit as ended: assert not ended.code\n"
        "    print()\n"
        "    print('heavy', verb, sorted(set(sys.modules) & {'torch', 'tvm', 'tvm_ffi'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    said = [line for line in done.stdout.splitlines() if line.startswith("heavy")]
    assert said == [f"heavy {verb} []" for verb, *_ in verbs]
