"""``kind`` -> object: the one way in which a name in a file becomes code.

A kind is the name of a ready-made implementation, ``package.module:object``, or ``file.py:object`` with the path relative
to the file that names it. Only what the user wrote there is imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import json
import sys
import traceback
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from joulefront.config import Plugin
from joulefront.errors import ConfigError, JoulefrontError
from joulefront.problems import nearest

# Where others' code lies, even when it lies below a user's folder.
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_PREFIXES = (Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve())


def build(plugin: Plugin, ready: Mapping[str, str], *, folder: Path, where: str, **given: Any) -> Any:
    """The object that ``plugin`` names, made with its arguments and with ``given``, which the harness adds.

    ``ready`` maps the ready-made names to ``module:object``; ``where`` is how messages call the table, such as
    ``study.toml: [task]``. What is no class and no function is returned as it is, and then takes no arguments.
    Raises ConfigError for an unknown name, an argument that is unknown, missing or of the wrong type, and for whatever
    the object itself raises, SystemExit too.
    """
    found = resolve(plugin.kind, ready, folder=folder, where=where)
    if not (inspect.isclass(found) or inspect.isroutine(found)):
        if plugin.arguments:
            raise ConfigError(
                f"{where} {plugin.kind} is an object, not a class or function: it takes no {list(plugin.arguments)}"
            )
        return found
    arguments = _checked(found, plugin, given, where)
    with _blame(f"{where} {plugin.kind}"):
        return found(**arguments, **given)


def resolve(kind: str, ready: Mapping[str, str], *, folder: Path, where: str) -> Any:
    """The object that ``kind`` names, not called. Raises ConfigError."""
    name = ready.get(kind, kind)
    module_name, _, attribute = name.rpartition(":")
    if not (module_name and attribute):
        raise ConfigError(
            f"{where} unknown kind {kind!r}; {nearest(kind, ready)} (or package.module:object, file.py:object)"
        )
    module = _module(module_name, folder, where)
    found = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [known for known in vars(module) if not known.startswith("_")]
            raise ConfigError(f"{where} {module_name} has no {attribute!r}; {nearest(attribute, public)}")
        found = getattr(found, part)
    return found


def fingerprint(plugin: Plugin, ready: Mapping[str, str], *, folder: Path, where: str) -> str:
    """A hash of the plugin's arguments and of the source that defines it: part of a cache's key.

    The source of a user's own plugin is that of every loaded module in the folder of its file or below, so the plugin
    is built before; that of one that is ready-made or installed is its own file.
    """
    module = _module(ready.get(plugin.kind, plugin.kind).rpartition(":")[0], folder, where)
    digest = hashlib.sha256(json.dumps([plugin.kind, plugin.arguments], sort_keys=True, default=str).encode())
    if (file := _file(module)) is None:
        return digest.hexdigest()
    files = {file.name: file}
    if plugin.kind not in ready and not _INSTALLED & set(file.parts):
        files = _neighbours(file.parent)
    for name, path in sorted(files.items()):
        source = path.read_bytes()
        digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()


def describe(error: BaseException) -> str:
    """An exception of somebody else's code in one line, with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError):
        place = f" (line {error.lineno})"
    else:
        place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}{place}" if message else f"{type(error).__name__}{place}"


@contextlib.contextmanager
def _blame(who: str, failing: str = "") -> Iterator[None]:
    """Raise what somebody else's code raises as a ConfigError, which says that ``who`` is at fault."""
    try:
        yield
    except JoulefrontError:
        raise
    except SystemExit as error:
        raise ConfigError(f"{who} ends the process: {describe(error)}") from error
    except Exception as error:
        raise ConfigError(f"{who}{failing}: {describe(error)}") from error


def _file(module: object) -> Path | None:
    """The file that a module was loaded from, if it was loaded from one."""
    file = getattr(module, "__file__", None)
    path = Path(file) if isinstance(file, str) else None
    # torch.ops and its like name a file that is relative to nothing.
    return path.resolve() if path and path.is_absolute() and path.is_file() else None


def _neighbours(folder: Path) -> dict[str, Path]:
    """The files of all loaded modules in ``folder`` or below, by their names there; not what is installed there."""
    environments = [path for path in _PREFIXES if path.is_relative_to(folder)]
    files = {file for module in list(sys.modules.values()) if (file := _file(module)) and file.is_relative_to(folder)}
    return {
        file.relative_to(folder).as_posix(): file
        for file in files
        if not _INSTALLED & set(file.parts) and not any(file.is_relative_to(path) for path in environments)
    }


def _module(name: str, folder: Path, where: str) -> ModuleType:
    """Import ``name``: a module's dotted name, or the path of a file."""
    with _blame(f"{where} {name}", " cannot be imported"):
        path = (folder / Path(name).expanduser()).resolve() if name.endswith(".py") else None
        if path is not None and not path.is_file():
            raise ConfigError(f"{where} {path}: no such file")
        # What a user's file imports lies beside it, as it does when Python runs that file. At the end of the path, so
        # that a file of theirs shadows nothing that is installed.
        beside = str(path.parent if path else folder.resolve())
        if beside not in sys.path:
            sys.path.append(beside)
        return _load_file(path) if path else importlib.import_module(name)


def _load_file(path: Path) -> ModuleType:
    name = f"joulefront_user_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and torch.export look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _checked(found: Callable[..., Any], plugin: Plugin, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The plugin's arguments, checked against the signature of what they are for."""
    try:
        parameters = inspect.signature(found).parameters
    except ValueError:
        raise ConfigError(
            f"{where} {plugin.kind}: Python cannot tell what it takes; name a function of yours"
        ) from None
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    named = {name for name, parameter in parameters.items() if parameter.kind not in variadic}
    required = {name for name in named if parameters[name].default is inspect.Parameter.empty}
    known = (named - set(given)) | set(type(plugin).model_fields) - {"kind"}
    for name in plugin.arguments:
        if name in given or (name not in named and not open_ended):
            raise ConfigError(f"{where} {name}: unknown key for kind {plugin.kind!r}; {nearest(name, known)}")
    for name in sorted(required - set(given) - set(plugin.arguments)):
        raise ConfigError(f"{where} {name}: missing; kind {plugin.kind!r} needs it")
    if unwanted := sorted(set(given) - named) if not open_ended else []:
        raise ConfigError(
            f"{where} {plugin.kind} does not take {', '.join(unwanted)}, which every implementation here is given"
        )
    hints = _hints(found)
    return {name: _typed(name, value, hints.get(name), where) for name, value in plugin.arguments.items()}


def _hints(found: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(found.__init__ if inspect.isclass(found) else found)
    except (NameError, TypeError):  # annotations that only a type checker can resolve
        return {}


def _typed(name: str, value: Any, hint: Any, where: str) -> Any:
    if hint is None:
        return value
    try:
        # By way of JSON, because there pydantic's strictness lets a TOML array be a tuple.
        return TypeAdapter(hint).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        expected = error.errors()[0]["msg"].replace("Input should be", "expected")
        raise ConfigError(f"{where} {name}: {expected}, not {value!r}") from None
    except (PydanticSchemaGenerationError, TypeError):  # a type that is no plain value, or a TOML date
        return value
