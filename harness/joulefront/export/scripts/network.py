"""The network in this folder, for Python 3.9 or later on 64-bit Linux: the standard library is enough.

from network import Network
network = Network("path/of/this/folder")
outputs = network(image)  # bytes, array.array, a NumPy array: anything with a buffer
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import os
import platform
import struct
import threading
from pathlib import Path
from typing import Any

_FFI, _RUNTIME, _MODEL = "libtvm_ffi.so", "libtvm_runtime.so", "model.so"
FORMATS = {
    "float32": "f",
    "float64": "d",
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "q",
    "uint8": "B",
    "bool": "?",
}
"""A number's format, as memoryview and array have it, by its dtype."""

# The kinds of values in tvm/ffi/c_api.h, and DLPack's codes of what dtypes are called.
_INT, _DTYPE, _DEVICE, _TEXT, _OBJECT, _TENSOR = 1, 5, 6, 8, 64, 70
_CODES = {"int": 0, "uint": 1, "float": 2, "bool": 6}


class _Any(ctypes.Structure):
    """TVMFFIAny: a value, as its kind and eight bytes."""

    _fields_ = (("kind", ctypes.c_int32), ("padding", ctypes.c_uint32), ("bits", ctypes.c_uint64))


class _Text(ctypes.Structure):
    """TVMFFIByteArray."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Object:
    """A function, a tensor or another object of the runtime, let go of when Python lets go of this."""

    def __init__(self, runtime: _Runtime, kind: int, address: int) -> None:
        self.runtime, self.kind, self.address = runtime, kind, address

    def __call__(self, *arguments: Any) -> Any:
        return self.runtime.call(self.address, arguments)

    def __del__(self) -> None:
        self.runtime.ffi.TVMFFIObjectDecRef(self.address)

    @property
    def data(self) -> int:
        """Where a tensor's numbers are. Behind each object's header of 24 bytes, here lies a DLTensor: data, …, offset."""
        data, offset = (ctypes.c_uint64.from_address(self.address + 24 + byte).value for byte in (0, 40))
        return data + offset


class _Runtime:
    """TVM's runtime, by its C interface. Whatever it complains of becomes a RuntimeError."""

    def __init__(self, ffi: Path, runtime: Path) -> None:
        self.ffi = ctypes.CDLL(str(ffi), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(runtime), mode=ctypes.RTLD_GLOBAL)  # model.so links against its symbols
        self.ffi.TVMFFIObjectDecRef.argtypes = [ctypes.c_void_p]
        self.ffi.TVMFFIFunctionCall.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p]

    def function(self, name: str) -> _Object:
        text, found = ctypes.create_string_buffer(name.encode()), ctypes.c_void_p()
        named = _Text(ctypes.addressof(text), len(name))
        self._check(self.ffi.TVMFFIFunctionGetGlobal(ctypes.byref(named), ctypes.byref(found)))
        if found.value is None:
            raise RuntimeError(f"the runtime has no function {name}")
        return _Object(self, _OBJECT, found.value)

    def call(self, function: int, arguments: tuple[Any, ...]) -> Any:
        values, result, texts = (_Any * len(arguments))(), _Any(), []
        for index, given in enumerate(arguments):
            value = values[index]
            if isinstance(given, str):
                texts.append(ctypes.create_string_buffer(given.encode()))
                value.kind, value.bits = _TEXT, ctypes.addressof(texts[-1])
            elif isinstance(given, _Object):
                value.kind, value.bits = given.kind, given.address
            elif given is not None:  # None is all zeros
                value.kind, value.bits = given if isinstance(given, tuple) else (_INT, given % 2**64)
        self._check(self.ffi.TVMFFIFunctionCall(function, values, len(arguments), ctypes.byref(result)))
        return _Object(self, result.kind, result.bits) if result.kind >= _OBJECT else result.bits

    def _check(self, status: int) -> None:
        if status:
            raised = ctypes.c_void_p()
            self.ffi.TVMFFIErrorMoveFromRaised(ctypes.byref(raised))
            error = _Object(self, _OBJECT, raised.value or 0)
            message = _Text.from_address(error.address + 24 + 16)  # behind the header and the kind of the error
            raise RuntimeError(ctypes.string_at(message.data, message.size).decode(errors="replace"))


class Network:
    """The network in a folder that `joulefront export` wrote; ``card`` is its card.json.

    Threads that call it wait for one another. Of several networks in one thread, the one whose first call there was the
    last decides on how many threads they all compute. Raises ValueError for a folder that is not whole, and on another
    machine than it is for.
    """

    def __init__(self, folder: str | os.PathLike[str] = Path(__file__).parent) -> None:
        folder = Path(folder).resolve()
        try:
            self.card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise not_whole(folder / "card.json") from error
        target = self.card["target"]
        needs = f"64-bit Linux on {target['architecture']} with glibc {target['glibc']} or later and libstdc++"
        if (platform.system(), platform.machine()) != ("Linux", target["architecture"]):
            raise ValueError(f"{folder} is for {needs}; this is {platform.system()} on {platform.machine()}")
        loaded = _loaded()  # another folder's network may run here too, and a second copy of the runtime would not load
        ffi, library, model = (loaded.get(name, folder / name) for name in (_FFI, _RUNTIME, _MODEL))
        for path in (ffi, library, model):
            if not is_whole(path, self.card):
                if path.parent != folder:
                    raise ValueError(f"{path} is loaded already, another TVM: use a process without it for {folder}")
                raise not_whole(path)
        os.environ["TVM_BIND_THREADS"] = "0"  # or it ties threads to the first cores
        try:
            runtime = _Runtime(ffi, library)
        except OSError as error:
            raise ValueError(f"{error}; it needs {needs}") from error
        self._lock, self._caller = threading.Lock(), threading.local()
        get = runtime.function("ffi.ModuleGetFunction")
        self._library = runtime.function("ffi.ModuleLoadFromFile")(str(model))
        machine = get(self._library, "vm_load_executable", 0)()
        get(machine, "vm_initialization", 0)(1, 0, 2)  # the CPU, its first device, pooled memory
        self._main, self._item = get(machine, "main", 0), runtime.function("ffi.ArrayGetItem")
        # By the runtime, which aligns to 64 bytes: generated vector code crashes on less.
        allocate, shape_of = runtime.function("runtime.TVMTensorAllocWithScope"), runtime.function("ffi.Shape")
        cpu = (_DEVICE, 1)
        self._inputs = [
            (tensor, allocate(shape_of(*tensor["shape"]), (_DTYPE, _dtype(tensor["dtype"])), cpu, None))
            for tensor in self.card["inputs"]
        ]

    def __call__(self, *inputs: Any) -> list[memoryview]:
        """The outputs, for inputs as the card lists them, in C order: arrays of that shape and dtype, or flat.

        Raises ValueError for others.
        """
        if len(inputs) != len(self._inputs):
            raise ValueError(f"the network takes {len(self._inputs)} inputs, not {len(inputs)}")
        views = []
        for given, (tensor, _) in zip(inputs, self._inputs):  # noqa: B905 -- its strict is of Python 3.10
            view = memoryview(given)
            if view.nbytes != _size(tensor) or not _is_alike(view, tensor):
                raise ValueError(
                    f"{tensor['name']}: expected {tensor['dtype']} of shape {tensor['shape']}, {_size(tensor)} bytes, "
                    f"not {view.nbytes} bytes in the format {view.format!r} of shape {list(view.shape or ())}"
                )
            views.append(view)
        with self._lock:
            for view, (_, place) in zip(views, self._inputs):  # noqa: B905
                ctypes.memmove(place.data, view.tobytes(), view.nbytes)
            result, about = self.infer(), self.card["outputs"]
            several = [result] if result.kind == _TENSOR else [self._item(result, index) for index in range(len(about))]
            return [_copied(output, about[index]) for index, output in enumerate(several)]

    def infer(self) -> Any:
        """One inference on the inputs that were given last, for a timer; its outputs stay the runtime's."""
        if not hasattr(self._caller, "threads"):
            self._caller.threads = self._take_threads()
        return self._main(*(place for _, place in self._inputs))

    def _take_threads(self) -> int:
        """Give the calling thread, which has a pool of its own in the runtime, as many as the network was compiled for."""
        cores = [str(core) for core in sorted(os.sched_getaffinity(0))[: self.card["target"]["threads"]]]
        function = self._main.runtime.function
        function("runtime.config_threadpool")(-2, len(cores), function("ffi.Array")(*cores))
        return len(cores)


def is_whole(path: Path, card: dict[str, Any]) -> bool:
    """Whether a file of the folder is there with the bytes that the card lists."""
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == card["files"][path.name]["sha256"]


def not_whole(path: Path) -> ValueError:
    """What to raise for a file that is not."""
    return ValueError(f"{path} is not there as it was exported: copy the whole folder again")


def _loaded() -> dict[str, Path]:
    """The runtime's libraries that this process has loaded, by name."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    paths = {Path(line.split(None, 5)[5]) for line in lines if line.endswith((_FFI, _RUNTIME))}
    return {path.name: path for path in paths}


def _is_alike(view: memoryview, tensor: dict[str, Any]) -> bool:
    """Whether a buffer of the right size is an array of that shape and dtype, or one of them flat, or bytes."""
    kind = (view.format or "B").lstrip("<=@").replace("l", "q")  # a long has 8 bytes on 64-bit Linux
    if view.ndim == 1:
        return kind in ("B", "b", "c", FORMATS[tensor["dtype"]])
    return list(view.shape or ()) == tensor["shape"] and kind == FORMATS[tensor["dtype"]]


def _copied(output: _Object, tensor: dict[str, Any]) -> Any:
    data: Any = memoryview(bytearray(ctypes.string_at(output.data, _size(tensor))))
    return data.cast(FORMATS[tensor["dtype"]], tensor["shape"])


def _dtype(name: str) -> int:
    """A DLDataType: a byte of code, one of bits, two of lanes."""
    kind = name.rstrip("0123456789")
    return _CODES[kind] | int(name[len(kind) :] or 8) << 8 | 1 << 16


def _size(tensor: dict[str, Any]) -> int:
    """In bytes."""
    count: int = math.prod(tensor["shape"])
    return count * struct.calcsize(FORMATS[tensor["dtype"]])
