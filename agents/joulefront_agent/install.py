"""Prepares a device for the agent: sent on stdin to ``python3 -I - VERB ...`` and needs nothing but that Python.

Each verb prints one line of JSON. One that cannot be done prints {"error": why} and exits with status 1.

    probe                         what this machine is and has
    check NAME...                 make the work folder private; which of its folders NAME are whole
    unpack ARCHIVE SHA256 FOLDER  check an archive and unpack it, all or nothing; the archive goes in any case
    remove                        delete the work folder

The work folder is ``joulefront`` in the user's cache folder. ``probe`` is syntax of Python 3.6, to say more than that the
Python is too old.
"""

import contextlib
import hashlib
import json
import os
import platform
import shutil
import stat
import sys
import sysconfig
import tarfile
import tempfile
import time
from pathlib import Path, PurePosixPath

MANIFEST = "manifest.json"  # {path: [size in bytes, sha256]} of all the other files of an unpacked folder
_SPARED_S = 3600.0  # what another session may be shipping at this moment


def work_folder() -> "Path":
    """``joulefront`` in the cache folder that the XDG specification names."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "joulefront"


def probe() -> "dict[str, object]":
    """The facts that decide whether the agent can run here; sizes in bytes, None for what cannot be told."""
    work = work_folder()
    standing = next(folder for folder in [work, *work.parents] if folder.exists())
    disk = os.statvfs(str(standing))
    return {
        "python": [sys.version_info[0], sys.version_info[1]],
        "executable": sys.executable,
        "implementation": sys.implementation.name,
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "machine": platform.machine(),
        "libc": _libc(),
        "modules": {name: _imports(name) for name in ("ctypes", "zlib")},
        "libraries": {name: _loads(name) for name in ("libstdc++.so.6", "libgcc_s.so.1")},
        "home": str(Path.home()),
        "work": str(work),
        "free_b": disk.f_bavail * disk.f_frsize,
        "free_inodes": disk.f_favail if disk.f_files else None,  # some file systems have no fixed number
        "noexec": bool(disk.f_flag & os.ST_NOEXEC),
        "uid": os.getuid(),
    }


def _libc() -> "str | None":
    """Such as "glibc 2.36" or "musl"."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):  # no other C library has that name
        return "musl" if list(Path("/lib").glob("ld-musl-*")) else None


def _imports(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True


def _loads(library: str) -> "bool | None":
    try:
        import ctypes

        ctypes.CDLL(library)
    except ImportError:
        return None
    except OSError:
        return False
    return True


def check(*names: str) -> "dict[str, object]":
    """Make the work folder, readable by this user alone, and tell which of the folders in it are whole.

    Every file is hashed, each time: 8 MB take a tenth of a second, and after a power cut files may be empty or zeros.
    """
    work = work_folder()
    _private(work)
    return {name: _is_whole(work / name) for name in names}


def unpack(archive: str, sha256: str, folder: str) -> "dict[str, object]":
    """Unpack a tar.gz of plain files to the absolute ``folder``, which then appears at once and durably; not a damaged one.

    Of older folders of its kind, what stands before the dash in its name, the one last used is left: another host may
    have an older version of us.
    """
    source, final = Path(archive), Path(folder)
    _private(final.parent)
    try:
        if _sha256(source) != sha256:
            return {"unpacked": False}
        work = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=str(final.parent)))
        try:
            _extract(source, work)
            os.sync()  # all of it, before it gets its name
            if not _is_whole(final):
                shutil.rmtree(str(final), ignore_errors=True)
                work.rename(final)
                os.sync()
        finally:
            shutil.rmtree(str(work), ignore_errors=True)
    finally:
        source.unlink(missing_ok=True)
    _sweep(final)
    return {"unpacked": True}


def remove() -> "dict[str, object]":
    """Delete the work folder with all that is in it."""
    work = work_folder()
    if work.is_symlink():
        raise OSError(f"{work} is a symbolic link: remove it by hand")
    if work.exists():
        shutil.rmtree(str(work))
    return {}


def _private(folder: "Path") -> None:
    """Make a folder of this user alone. Raises OSError for one that is another's, or none."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise OSError(f"{folder} is not a folder: remove it, or move it away")
    if found.st_uid != os.getuid():
        raise OSError(f"{folder} belongs to the user {found.st_uid}, and we are {os.getuid()}: remove it, or chown it")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)


def _is_whole(folder: "Path") -> bool:
    """Whether every file is as it was packed. One that is counts as used now."""
    try:
        files = json.loads((folder / MANIFEST).read_bytes())
        whole = bool(files) and all(
            (folder / name).stat().st_size == size_b and _sha256(folder / name) == sha256
            for name, (size_b, sha256) in files.items()
        )
        if whole:
            os.utime(str(folder))
    except (OSError, ValueError, TypeError, AttributeError):
        return False
    return whole


def _sha256(path: "Path") -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _extract(archive: "Path", folder: "Path") -> None:
    """Plain files and folders below ``folder``, and nothing else. Raises OSError."""
    try:
        with tarfile.open(str(archive), "r:gz") as members:
            for member in members:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts or not (member.isreg() or member.isdir()):
                    raise OSError(f"{archive} holds {member.name!r}, which is no file of a package")
                target = folder / path
                (target if member.isdir() else target.parent).mkdir(mode=0o700, parents=True, exist_ok=True)
                content = members.extractfile(member)
                if content is not None:
                    with target.open("xb") as file:
                        shutil.copyfileobj(content, file, 1 << 20)
    except (tarfile.TarError, EOFError) as error:
        raise OSError(f"{archive} cannot be unpacked: {error}") from error


def _sweep(final: "Path") -> None:
    """Remove what is left of older versions and of interrupted work."""
    kind = final.name.partition("-")[0]
    with contextlib.suppress(OSError):  # another session may be at it as well
        others = [path for path in final.parent.glob(kind + "-*") if path != final]
        folders = sorted((path for path in others if path.is_dir()), key=lambda path: path.stat().st_mtime)
        litter = [path for path in others if not path.is_dir()] + list(final.parent.glob(".unpacking-*"))
        stale = [path for path in litter if abs(time.time() - path.stat().st_mtime) > _SPARED_S]
        for path in folders[:-1] + stale:
            shutil.rmtree(str(path)) if path.is_dir() else path.unlink()


def main(verb: str, *given: str) -> int:
    """Do what is asked and print how it went. Returns the exit status."""
    verbs = {"probe": probe, "check": check, "unpack": unpack, "remove": remove}
    try:
        answer, status = verbs[verb](*given), 0  # type: ignore[operator]
    except OSError as error:
        answer, status = {"error": f"{error.filename}: {error.strerror}" if error.filename else str(error)}, 1
    sys.stdout.write(json.dumps(answer) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
