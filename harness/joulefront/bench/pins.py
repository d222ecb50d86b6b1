"""What a device is given, pinned: each wheel's file and sha256, and the sha256 of TVM's runtime library inside its wheel."""

from __future__ import annotations

from dataclasses import dataclass

OLDEST, NEWEST = 9, 14
"""The minor versions of CPython 3 that tvm_ffi has wheels for, both included; none is for a free-threaded build."""

GLIBC = (2, 28)
"""The C library that the wheels were built against."""

RUNTIME = "tvm/lib/libtvm_runtime.so"
"""The one file of the apache-tvm wheel that a device needs."""

RUNTIME_SHA256 = {
    "aarch64": "ba06950fac134b8d71549111fad2c6605cd6f738061fe0482f217c37ccbdff05",
    "x86_64": "43544bbeaea3cd3ffa919f7eac77244753aff28d1440c42f1ba8df03fa6e3948",
}

_TVM_SHA256 = {
    "aarch64": "4acfdb7653e4e1ba7a707bdf2833db72eb8fda7d04d99141f2a4e1da43171fb7",
    "x86_64": "f503fc903b6e16fda5daacac6698ecb8bc38937f57da7aa29f6c7ab169d08657",
}

_TVM_FFI_SHA256 = {
    "aarch64": {
        9: "fc4f48d7124dc78c9fbb72f240b31b15bf6f3ad5c2f2c0a0be213a6628ccaebb",
        10: "79c69493bd607b3e37e69ce542bc551833bfa40d0ba208f37fb87dd30cf86e69",
        11: "c7a759781d4fbf2b99fa12f2741f250b882b06acc2747bb02831d491d1ac7d3c",
        12: "3fd2255a2e363a40c51ec1eeedb1110a2c74e443f95ae351ee5a81b5ff6808cf",
        13: "d6aebe30f21dcbd9e76c5aab56afe0fe228804a4ad73e413b067ae3d27e02f93",
        14: "8d4a0f356bbc89a648841b8a913a98478a65dc006c05017ca80f539c35974d96",
    },
    "x86_64": {
        9: "c096f5d16d85e976100d06c0fc9670a9bb5007abc21417de2f1a99572854ec6e",
        10: "c5dd9ebb97d2c47c3aed57646714afbecba086bddc4e2d5e649825fb3ea46074",
        11: "4b01a5a3fa07ed3315d5ef1e05d3542dae57a119ef7e77c54bc062414e242f65",
        12: "eb759c039866b541ec2cb07d498082f8ba6ded74d58d9196180a5932f365c077",
        13: "e59657d99d52f83c32ce60db4fdca95f5ca5b73425e33653862d06f7b1feffdc",
        14: "a22cb9637e49c67837c9705be59d3c9b9a525c12f601f894532a16260612a95a",
    },
}


@dataclass(frozen=True, slots=True)
class Wheel:
    """One file of the package index."""

    distribution: str
    version: str
    tags: str
    sha256: str

    @property
    def file(self) -> str:
        """Its name, in the index and in a folder of wheels."""
        return f"{self.distribution.replace('-', '_')}-{self.version}-{self.tags}.whl"

    @property
    def requirement(self) -> str:
        """How pip is asked for it."""
        return f"{self.distribution}=={self.version}"


def tvm(architecture: str) -> Wheel:
    """TVM for aarch64 or x86_64; about 95 MB, of which a device needs 3."""
    tags = f"py3-none-manylinux_2_27_{architecture}.manylinux_2_28_{architecture}"
    return Wheel("apache-tvm", "0.27.0.post1", tags, _TVM_SHA256[architecture])


def tvm_ffi(minor: int, architecture: str) -> Wheel:
    """tvm_ffi for CPython 3.``minor`` on aarch64 or x86_64; 3 MB."""
    tags = f"cp3{minor}-cp3{minor}-manylinux_2_24_{architecture}.manylinux_2_28_{architecture}"
    return Wheel("apache-tvm-ffi", "0.1.14.post1", tags, _TVM_FFI_SHA256[architecture][minor])


def typing_extensions() -> Wheel:
    """What tvm_ffi imports, for any Python from 3.9 on."""
    sha256 = "481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8"
    return Wheel("typing-extensions", "4.16.0", "py3-none-any", sha256)
