"""A network of a settled front as files to deploy: what was measured, what it needs to run, and ONNX made anew."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import json
import re
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joulefront import kept
from joulefront.bench import outputs, pins
from joulefront.bench.wheels import LIBRARY, Wheels
from joulefront.cache import Cache
from joulefront.errors import ConfigError, JoulefrontError
from joulefront.export import card, folder, licences, onnx, readme, weights
from joulefront.pick import pick
from joulefront.records import Job, Trial
from joulefront.results import Results, read
from joulefront_agent.wire import Tensor
from joulefront_devices import load as load_device

if TYPE_CHECKING:
    from joulefront.protocols import Listener

_FFI = "libtvm_ffi.so"
_SCRIPTS = {
    "network.py": ("joulefront.export.scripts", "network.py"),
    "run.py": ("joulefront.export.scripts", "run.py"),
    "rebuild.py": ("joulefront.export.scripts", "rebuild.py"),
    "pruned_layers.py": ("joulefront.prune", "resize.py"),
}


def ship(study: Path, wanted: str, out: Path, listener: Listener, *, moved: Path | None = None) -> dict[str, Any]:
    """Write the network that ``wanted`` picks (see ``pick.pick``) of the ``study``'s folder into the new folder ``out``.

    ``moved`` is the folder of the study's file where that is another one than at its search. Returns the network's card,
    and ``out``. What is there without the user's model is shipped as it was measured; where ONNX cannot be made, the card
    and a warning say why.

    Raises ConfigError for what cannot be picked, an ``out`` that exists and a device that has no runtime; StoreError when
    the disk refuses or a kept file is damaged; TransportError when the runtime cannot be fetched.
    """
    folder.require_new(out)
    results = read(study)
    picked = pick(results, wanted)
    trial = picked.trial
    listener.stage(f"exporting trial {trial.number}")
    job = kept.job(results.folder, trial, f"trial {trial.number}")
    candidate = trial.candidate
    assert candidate is not None
    document = card.network(results, trial, job)
    warnings = [*(trial.measurement.warnings if trial.measurement else ()), *picked.warnings]
    listener.doing("collecting the runtime")
    files = {
        "model.so": job.library.read_bytes(),
        **_runtime(results, trial, listener, moved),
        "LICENSES.txt": licences.text().encode(),
        **{
            name: importlib.resources.files(package).joinpath(file).read_bytes()
            for name, (package, file) in _SCRIPTS.items()
        },
        "check.safetensors": kept.check(job),
        "weights.safetensors": weights.with_widths(
            kept.weights(results.folder, trial).read_bytes(), candidate.pruning.widths
        ),
    }
    listener.doing("making the ONNX file (the task is loaded once more)")
    made, about = _onnx(results, trial, job, moved)
    if made is not None:
        files["model.onnx"] = made
    else:
        warnings.append(f"there is no ONNX file: {about['reason']}")
    document |= {
        "picked_because": picked.because,
        "warnings": warnings,
        "check": {"file": "check.safetensors", "tolerance": outputs.TOLERANCE},
        "onnx": about,
        "runtime": {"licence": "Apache-2.0", **_versions(card.architecture(trial))},
        "joulefront": importlib.metadata.version("joulefront"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": card.listed(files),
    }
    document["target"]["glibc"] = ".".join(map(str, pins.GLIBC))
    files["README.md"] = readme.text(document).encode()
    document["files"] |= card.listed({"README.md": files["README.md"]})
    files["card.json"] = json.dumps(document, indent=2, allow_nan=False).encode()
    listener.doing(f"writing {out}")
    folder.write(out, files)
    return {**document, "out": str(out)}


def _runtime(results: Results, trial: Trial, listener: Listener, moved: Path | None) -> dict[str, bytes]:
    """The runtime's shared libraries for what the network was compiled for. No Python's version enters into them."""
    architecture = card.architecture(trial)
    if architecture not in pins.RUNTIME_SHA256:
        known = " and ".join(pins.RUNTIME_SHA256)
        raise ConfigError(
            f"trial {trial.number} was compiled for {architecture}, and there is a runtime for {known} only"
        )
    for name, version in _versions(architecture).items():
        if (made := results.facts["versions"].get(name)) != version:
            raise ConfigError(
                f"{results.folder}: its networks were compiled by {name} {made}, and this Joulefront ships the runtime of "
                f"{version}: export with the version that searched, {results.facts['versions'].get('joulefront')}"
            )
    # Of the device's own Python, whose wheels the cache most likely holds since the search.
    python = re.fullmatch(r"3\.(\d{1,3})\b.*", str(results.facts["device"].get("python")))
    minor = min(max(int(python[1]) if python else sys.version_info.minor, pins.OLDEST), pins.NEWEST)
    archive = Wheels(minor, architecture, _wheels(results, moved), Cache(), listener.say).runtime()
    with tarfile.open(archive.path) as members:
        return {name: _member(members, path) for name, path in ((LIBRARY, LIBRARY), (_FFI, f"tvm_ffi/lib/{_FFI}"))}


def _member(members: tarfile.TarFile, path: str) -> bytes:
    file = members.extractfile(path)
    assert file is not None
    return file.read()


def _versions(architecture: str) -> dict[str, str]:
    """Of the runtime that is shipped."""
    wheels = pins.tvm(architecture), pins.tvm_ffi(pins.NEWEST, architecture)
    return {wheel.distribution: wheel.version for wheel in wheels}


def _wheels(results: Results, moved: Path | None) -> Path | None:
    """The folder of wheels that the device's file names, for hosts without a package index."""
    try:
        device = load_device(results.study.device, folder=moved or results.origin or Path())
    except ConfigError:  # the device may be long gone
        return None
    named = device.transport.arguments.get("wheels")
    return Path(str(named)).expanduser() if named else None


def _onnx(results: Results, trial: Trial, job: Job, moved: Path | None) -> tuple[bytes | None, dict[str, Any]]:
    """The network as ONNX, and what the card says of it: why there is none, where it cannot be made."""
    absent = {"file": None, "reason": None, "opset": None, "verified_by": None, "verified_reason": None}
    inputs, expected = kept.by_name("input", job.inputs), kept.by_name("output", job.expected)
    try:
        model, example = _model(results, trial, moved)
        made, opset = onnx.as_onnx(model, example, inputs=list(inputs), outputs=list(expected))
        verified = onnx.ran(made, inputs)
        if verified is not None:
            returned = [Tensor(output.shape, str(output.dtype), output.tobytes()) for output in verified[1]]
            outputs.check("model.onnx", job.expected, returned)
    except JoulefrontError as error:
        return None, {**absent, "reason": str(error)}
    by, reason = (verified[0], None) if verified else (None, "onnxruntime is not installed: not run")
    about = {**absent, "file": "model.onnx", "opset": opset, "verified_by": by, "verified_reason": reason}
    return made, about


def _model(results: Results, trial: Trial, moved: Path | None) -> tuple[Any, tuple[Any, ...]]:
    """The pruned network in torch, out of the user's own, and an example input. Raises JoulefrontError."""
    from joulefront.loaded import load_searched  # torch takes seconds, and a mistake is said before
    from joulefront.prune.weights import load

    task = load_searched(results, moved)
    assert trial.candidate is not None
    path = kept.weights(results.folder, trial)
    return load(task.model, task.example, trial.candidate.pruning, path), task.example
