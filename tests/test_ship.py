"""A network shipped: what the folder, the card and the verb hold, and what is said when it cannot be."""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from command_line import joulefront
from joulefront import ship
from joulefront.bench import pins
from joulefront.bench.archives import Archive, archived
from joulefront.bench.wheels import Wheels
from joulefront.cache import Cache, file_sha256
from joulefront.errors import ConfigError, StoreError
from joulefront.export import readme
from joulefront.records import Trial
from joulefront.report.shipped import shipped as text_of
from joulefront.results import Results, read
from shippable import HOSTILE, PRUNED, UNPRUNED, bare, write_shippable
from simulated import Silent
from written import write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its results."""
    return write_shippable(tmp_path_factory.mktemp("user"), device={"model": HOSTILE})


@pytest.fixture(scope="module")
def shipped(study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The pruned network in a folder, and the document."""
    out = tmp_path_factory.mktemp("shipped") / "a" / "ship"
    return out, ship.ship(study, str(PRUNED), out, Silent())


def test_it_holds_what_was_measured_and_the_card_lists_it(study: Path, shipped: tuple[Path, dict[str, Any]]) -> None:
    out, document = shipped
    card = json.loads((out / "card.json").read_text())
    assert document == {**card, "out": str(out)}
    assert (card["trial"], card["unpruned"]) == (PRUNED, False)
    assert card["widths"] == {"0": 8}
    assert set(card["files"]) | {"card.json"} == {path.name for path in out.iterdir()}
    for name, listed in card["files"].items():
        assert (listed["sha256"], listed["size_b"]) == (file_sha256(out / name), (out / name).stat().st_size)
    assert file_sha256(out / "model.so") in {path.stem for path in (study / "artifacts").glob("*.so")}
    assert card["size_b"] == (out / "model.so").stat().st_size
    assert card["files"]["libtvm_runtime.so"]["sha256"] == pins.RUNTIME_SHA256[card["target"]["architecture"]]
    assert os.access(out / "run.py", os.X_OK)
    assert [path.name for path in out.parent.iterdir()] == ["ship"]


def test_every_number_says_how_it_was_made(shipped: tuple[Path, dict[str, Any]]) -> None:
    _, document = shipped
    latency_s = document["latency_s"]
    assert (latency_s["median"], latency_s["interval"]) == (1e-5, pytest.approx([0.98e-5, 1.02e-5]))
    assert (latency_s["provenance"], latency_s["grade"], latency_s["repeats"]) == ("simulated", "full", 2)
    assert document["energy_j"] is None
    assert document["energy_reason"] == "a written study has no meter"
    for split in ("validation", "test"):
        score = document["scores"][split]
        assert score["error"] == pytest.approx(1 - score["metric"])
        assert score["interval"][0] <= score["error"] <= score["interval"][1]
        assert score["examples"] == 40
    assert document["test_reason"] is None
    assert document["kernels"] == {"count": 3, "tuned": 0, "fallbacks": 0}
    assert document["kernels_reason"] is None


def test_the_weights_say_which_network_they_are_of(shipped: tuple[Path, dict[str, Any]]) -> None:
    with safetensors.safe_open(shipped[0] / "weights.safetensors", "np") as weights:
        assert json.loads(weights.metadata()["widths"]) == {"0": 8}
        assert weights.get_tensor("0.weight").shape == (8, 1, 3, 3)


@pytest.fixture
def here(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_verb_shows_it_and_nothing_moves_the_cursor(
    study: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ship.importlib.metadata, "version", lambda name: "9.9")
    assert joulefront(monkeypatch, "export", str(study), "--pick", str(UNPRUNED), "--out", "ship/") == 0
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out
    assert "the unpruned network: asked for by its number" in shown.out
    assert "0.02 ms, 95 % interval 0.0196 to 0.0204 ms, simulated on local" in shown.out
    assert "energy    none: a written study has no meter" in shown.out
    assert "and there: python3 ship/run.py" in shown.out
    assert "rm -rf" not in Path("ship/README.md").read_text()
    assert joulefront(monkeypatch, "export", str(study), "--pick", "knee", "--out", "ship/") == 2
    assert "ship exists: give another folder with --out, or remove it" in capsys.readouterr().err


def test_the_verb_prints_the_document(
    study: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        joulefront(monkeypatch, "export", str(study), "--pick", "latency_s<1", "--out", "ship", "--from", ".", "--json")
        == 0
    )
    document = json.loads(capsys.readouterr().out)
    assert document["out"] == "ship"
    assert "of 2 networks with latency_s<1" in document["picked_because"]


@pytest.mark.parametrize(
    ("pick", "said"), [("kne", "did you mean 'knee'?"), ("1", "there is no trial 1"), ("latency_s<0", "the nearest is")]
)
def test_what_cannot_be_picked_leaves_nothing(
    study: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pick: str, said: str
) -> None:
    assert joulefront(monkeypatch, "export", str(study), "--pick", pick, "--out", "ship") == 2
    assert said in capsys.readouterr().err
    assert list(here.iterdir()) == []


def test_a_folders_name_is_no_command(shipped: tuple[Path, dict[str, Any]]) -> None:
    said = text_of({**shipped[1], "out": "a/$(reboot) now/"})
    assert said.endswith("and there: python3 '$(reboot) now/run.py'")


def test_the_page_counts_on_every_input_and_core(shipped: tuple[Path, dict[str, Any]]) -> None:
    inputs = [
        {"name": "input0", "shape": [1, 3, 8, 8], "dtype": "float32"},
        {"name": "input1", "shape": [1, 5], "dtype": "int64"},
    ]
    page = readme.text({**shipped[1], "inputs": inputs, "conditions": {"before": {"cores": "2,3"}}})
    assert "run.py input0.npy input1.npy " in page
    assert "float32 of shape (1, 3, 8, 8) and int64 of shape (1, 5)" in page
    assert 'Network("THIS_FOLDER")(input0, input1)' in page
    assert "that of cores 2,3 alone (taskset -c 2,3)" in page


def without_onnx(study: Path, out: Path, moved: Path | None = None) -> str:
    """Why there is none; all else is there."""
    document = ship.ship(study, "knee", out, Silent(), moved=moved)
    assert document["onnx"]["file"] is None
    assert not (out / "model.onnx").exists()
    assert (out / "model.so").is_file()
    reason = str(document["onnx"]["reason"])
    assert f"there is no ONNX file: {reason}" in document["warnings"]
    assert reason in (out / "README.md").read_text()
    return reason


def test_without_the_users_model_all_but_onnx_is_shipped(study: Path, tmp_path: Path) -> None:
    (tmp_path / "moved").mkdir()
    assert "model.py: no such file" in without_onnx(study, tmp_path / "ship", tmp_path / "moved")
    assert bare(tmp_path / "ship").returncode == 0


def test_another_model_than_was_searched_is_no_onnx(study: Path, tmp_path: Path) -> None:
    model = (study.parents[1] / "model.py").read_text()
    (tmp_path / "model.py").write_text(model.replace("torch.manual_seed(0)", "torch.manual_seed(1)"))
    assert "is another model than" in without_onnx(study, tmp_path / "ship", tmp_path)


def test_without_the_exporter_there_is_no_onnx(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joulefront.export.onnx._NEEDS", ("onnx", "joulefront_absent"))
    reason = without_onnx(study, tmp_path / "ship")
    assert reason.startswith("it needs joulefront_absent: pip install 'joulefront[onnx]'")


def test_without_onnxruntime_it_is_said_that_it_was_not_run(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("joulefront.export.onnx.as_onnx", lambda *_, **__: (b"onnx", 20))
    monkeypatch.setattr("joulefront.export.onnx.ran", lambda *_: None)
    about = ship.ship(study, "knee", tmp_path / "ship", Silent())["onnx"]
    assert (about["file"], about["verified_by"]) == ("model.onnx", None)
    assert about["verified_reason"] == "onnxruntime is not installed: not run"


def test_onnx_that_computes_something_else_is_not_shipped(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("joulefront.export.onnx.as_onnx", lambda *_, **__: (b"onnx", 20))
    monkeypatch.setattr("joulefront.export.onnx.ran", lambda *_: ("other", [np.ones((1, 10), np.float32)]))
    assert "model.onnx: output 0 differs from torch's" in without_onnx(study, tmp_path / "ship")


def test_a_full_disk_is_one_message_and_leaves_nothing(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("joulefront.export.folder.os.fsync", full)
    with pytest.raises(StoreError, match="ship cannot be written: No space left on device; make room"):
        ship.ship(study, "knee", tmp_path / "ship", Silent(), moved=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder_to_write_into(study: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"notes\.txt is no folder"):
        ship.ship(study, "knee", tmp_path / "notes.txt" / "a" / "ship", Silent())


def test_a_kept_file_that_is_damaged_is_not_shipped(study: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(study, tmp_path / "study"))
    for library in (damaged / "artifacts").glob("*.so"):
        library.write_bytes(b"x")
    with pytest.raises(StoreError, match="is not there as the study wrote it"):
        ship.ship(damaged, "knee", tmp_path / "ship", Silent())
    assert not (tmp_path / "ship").exists()


@pytest.mark.parametrize("holds", [{}, {"input0": np.zeros(1)}, {"input1": np.zeros(1), "output0": np.zeros(1)}])
def test_a_check_that_lacks_a_tensor_is_damaged(study: Path, tmp_path: Path, holds: dict[str, Any]) -> None:
    damaged = Path(shutil.copytree(study, tmp_path / "study"))
    for check in (damaged / "artifacts").glob("*.check.safetensors"):
        safetensors.numpy.save_file(holds, check)
    with pytest.raises(StoreError, match="is not there as the study wrote it"):
        ship.ship(damaged, "knee", tmp_path / "ship", Silent())


def test_a_study_whose_files_are_gone_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the study's search command, run again, makes what is missing"):
        ship.ship(write_study(tmp_path), "knee", tmp_path / "ship", Silent())


@pytest.fixture
def elsewhere(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Results, list[Wheels]]:
    """The study as if its networks were for an ARM board with Python 3.9, and the wheels that it is given."""
    asked: list[Wheels] = []

    def runtime(self: Wheels) -> Archive:
        asked.append(self)
        libraries = dict.fromkeys(("libtvm_runtime.so", "tvm_ffi/lib/libtvm_ffi.so", "tvm_ffi/core.so"), b"\x7fELF")
        return archived("runtime", self.architecture, Cache(tmp_path / "cache"), lambda: libraries)

    monkeypatch.setattr(Wheels, "runtime", runtime)
    (tmp_path / "board.toml").write_text(
        'name = "board"\n[transport]\nkind = "ssh"\nhost = "board"\nwheels = "wheels"\n', encoding="utf-8"
    )
    results = read(study)
    facts = {**results.facts, "device": {"python": "3.9.2"}}
    config = results.study.model_copy(update={"device": "board.toml"})
    trials = tuple(compiled_for(trial, "aarch64-linux-gnu") for trial in results.trials)
    return replace(results, facts=facts, study=config, trials=trials, origin=tmp_path), asked


def compiled_for(trial: Trial, triple: str) -> Trial:
    assert trial.artifact
    return replace(trial, artifact=replace(trial.artifact, target=replace(trial.artifact.target, triple=triple)))


def test_the_runtime_is_the_devices_own(
    elsewhere: tuple[Results, list[Wheels]], study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, asked = elsewhere
    monkeypatch.setattr(ship, "read", lambda _: results)
    document = ship.ship(study, str(PRUNED), tmp_path / "ship", Silent())
    assert (asked[0].architecture, asked[0].minor, asked[0].folder) == ("aarch64", 9, Path("wheels"))
    assert (tmp_path / "ship/libtvm_ffi.so").read_bytes() == b"\x7fELF"
    assert document["target"]["architecture"] == "aarch64"
    refused = bare(tmp_path / "ship")
    assert refused.returncode == (0 if platform.machine() == "aarch64" else 1)
    assert "is for 64-bit Linux on aarch64" in refused.stderr


@pytest.mark.parametrize(
    ("triple", "made_by", "said"),
    [
        ("riscv64-linux-gnu", None, "compiled for riscv64, and there is a runtime for aarch64 and x86_64 only"),
        ("aarch64-linux-gnu", "0.26.0", "compiled by apache-tvm 0.26.0, and this Joulefront ships the runtime of"),
    ],
)
def test_a_network_without_a_runtime_is_not_shipped(
    elsewhere: tuple[Results, list[Wheels]],
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    triple: str,
    made_by: str | None,
    said: str,
) -> None:
    results, _ = elsewhere
    versions = {**results.facts["versions"], **({"apache-tvm": made_by} if made_by else {})}
    trials = tuple(compiled_for(trial, triple) for trial in results.trials)
    changed = replace(results, facts={**results.facts, "versions": versions}, trials=trials)
    monkeypatch.setattr(ship, "read", lambda _: changed)
    with pytest.raises(ConfigError, match=said):
        ship.ship(study, str(PRUNED), tmp_path / "ship", Silent())
    assert not (tmp_path / "ship").exists()
