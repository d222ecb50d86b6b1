"""Prepares a device for the agent: sent on stdin to ``python3 -I - VERB ...`` and needs nothing but that Python.

Each verb prints one line of JSON. One that cannot be done prints {"error": why} and exits with status 1.

    probe [SESSION]               what this machine is and has, and whether another session than that one holds it
    check NAME...                 make the work folder private; which of its folders NAME are whole
    claim NAME UPLOAD             have UPLOAD go on where an upload of NAME was given up, if there is one
    unpack ARCHIVE SHA256 FOLDER  check an archive and unpack it, all or nothing; the archive goes in any case
    remove                        delete the work folder, unless a session holds it

The work folder is ``joulefront`` in the user's cache folder. ``probe`` is syntax of Python 3.6, to say more than that the
Python is too old.
"""

import contextlib
import errno
import fcntl
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
import typing
from pathlib import Path, PurePosixPath

MANIFEST = "manifest.json"  # {path: [size in bytes, sha256]} of all the other files of an unpacked folder
LOCK = "lock"  # in the work folder: an agent holds it for its life, see lock.py
_SPARED_S = 3600.0  # what another session may be shipping at this moment
_USED_S = 86400.0  # a session that is alive marks what it uses at least so often
_GIVEN_UP_S = 120.0  # an upload that is alive is written to more often
_LOCK_S = 1.0  # whoever only looks, or has just come, is done with the lock by then
_LOOK_S = 0.02


def work_folder() -> "Path":
    """``joulefront`` in the cache folder that the XDG specification names."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "joulefront"


def probe(session: str = "") -> "dict[str, object]":
    """The facts that decide whether the agent can run here; sizes in bytes, None for what cannot be told.

    ``held`` says which other session than ``session`` measures here; None where there is none.
    """
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
        "held": _held(work / LOCK, session),
    }


def _held(path: "Path", session: str) -> "str | None":
    try:
        lock = os.open(str(path), os.O_RDWR)
    except OSError:  # none yet, or one that the agent will not get either
        return None
    try:
        return refusal(lock, session)
    finally:
        os.close(lock)


def refusal(lock: int, session: str) -> "str | None":
    """Lock an open lock file, or say which session has it. An agent of ``session`` itself keeps it, and is no reason."""
    deadline_s = time.monotonic() + _LOCK_S
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return None
        holder = holder_of(lock)
        if holder is not None:
            return None if holder["session"] == session else words_for(holder)
        if time.monotonic() > deadline_s:
            return "another process holds its lock"
        time.sleep(_LOOK_S)


def holder_of(lock: int) -> "dict[str, typing.Any] | None":
    """What the agent that has the lock wrote; None while it has not yet, and the file tells of one that has ended."""
    try:
        table = json.loads(os.pread(lock, 4096, 0).decode("utf-8"))
        told = {key: table[key] for key in ("session", "host")}
        holder = {"pid": int(table["pid"]), "since": float(table["since"]), **told}
    except (ValueError, KeyError, TypeError):
        return None
    return holder if _is_agent(holder["pid"]) else None


def words_for(holder: "dict[str, typing.Any]") -> str:
    """That another session measures, for its agent's word in the lock file."""
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC by its clock", time.gmtime(holder["since"]))
    origin = f" (from {holder['host']})" if holder["host"] else ""
    ends = "one whose host is gone ends by itself within a minute"
    return f"another session{origin} measures on it since {since}; {ends}"


def _is_agent(pid: int) -> bool:
    """Whether a process is one, and not another that has come by the same number."""
    try:
        return b"joulefront_agent" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def is_at(lock: int, path: "Path") -> bool:
    """Whether the open file is still the one at ``path``: who removes a device removes its lock as well."""
    opened = os.fstat(lock)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (opened.st_dev, opened.st_ino) == (there.st_dev, there.st_ino)


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


def claim(name: str, upload: str) -> "dict[str, object]":
    """Give the largest part of an upload of the archive NAME that was given up the name UPLOAD, to go on with it.

    Who renames it first has it, so that no two write to one file; an upload of that name that is there stays.
    """
    work = work_folder()
    if (work / upload).exists():
        return {}
    found = []
    for path in work.glob(name + ".*"):
        with contextlib.suppress(FileNotFoundError):  # another session is at it as well
            facts = path.stat()
            if abs(time.time() - facts.st_mtime) > _GIVEN_UP_S:
                found.append((facts.st_size, path))
    for _, path in sorted(found, reverse=True):
        with contextlib.suppress(FileNotFoundError):
            path.rename(work / upload)
            break
    return {}


def unpack(archive: str, sha256: str, folder: str) -> "dict[str, object]":
    """Unpack a tar.gz of plain files to the absolute ``folder``, which then appears at once and durably; not a damaged one.

    Of older folders of its kind, what stands before the dash in its name, those of the last day and the one last used are
    left: another host may have another version of us.
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
            _place(work, final)
        finally:
            shutil.rmtree(str(work), ignore_errors=True)
    finally:
        source.unlink(missing_ok=True)
    _sweep(final)
    return {"unpacked": True}


def _place(work: "Path", final: "Path") -> None:
    """Give an unpacked folder its name, unless another session was quicker with the same."""
    if _is_whole(final):
        return
    damaged = work.with_name(work.name + "-damaged")
    with contextlib.suppress(FileNotFoundError):
        final.rename(damaged)
    try:
        work.rename(final)
        os.sync()
    except OSError:
        if not _is_whole(final):
            raise
    finally:
        shutil.rmtree(str(damaged), ignore_errors=True)


def remove() -> "dict[str, object]":
    """Delete the work folder with all that is in it, the lock last; or say which session ``held`` it."""
    work = work_folder()
    if work.is_symlink():
        raise OSError(f"{work} is a symbolic link: remove it by hand")
    if not work.exists():
        return {"held": None}
    lock = os.open(str(work / LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        held = refusal(lock, "")
        if held is None and not is_at(lock, work / LOCK):
            held = "another process removes it, or has just done so"
        if held is None:
            for path in [path for path in work.iterdir() if path.name != LOCK]:
                shutil.rmtree(str(path)) if path.is_dir() and not path.is_symlink() else path.unlink()
            (work / LOCK).unlink()
            work.rmdir()
    finally:
        os.close(lock)
    return {"held": held}


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
        unused = [path for path in folders[:-1] if abs(time.time() - path.stat().st_mtime) > _USED_S]
        for path in unused + stale:
            shutil.rmtree(str(path)) if path.is_dir() else path.unlink()


def main(verb: str, *given: str) -> int:
    """Do what is asked and print how it went. Returns the exit status."""
    verbs = {"probe": probe, "check": check, "claim": claim, "unpack": unpack, "remove": remove}
    try:
        answer, status = verbs[verb](*given), 0  # type: ignore[operator]
    except OSError as error:
        answer, status = {"error": _reason(error)}, 1
    sys.stdout.write(json.dumps(answer) + "\n")
    return status


def _reason(error: OSError) -> str:
    reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return reason
    disk = os.statvfs(str(work_folder().parent))
    return f"{reason}; no room: {disk.f_bavail * disk.f_frsize / 1e6:.1f} MB free"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
