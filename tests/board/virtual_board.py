"""Virtual arm64 boards: a real Linux in qemu with a real sshd and real sensor drivers. See README.md.

The image is built at the first use and kept in `$JOULEFRONT_BOARD` (default: the user's cache folder) until what it is made
from changes. By hand, `python tests/board/virtual_board.py` boots a board and takes faults from its standard input.
"""

import contextlib
import hashlib
import io
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import platformdirs
from filelock import FileLock

HERE = Path(__file__).parent
PASSWORD = "joulefront"  # of the user pat
LIMIT_S = 300.0  # for anything that a board does in seconds: the machine may be busy

# What has to be there, by the Debian package that brings it: to make the image and boot it, and to make the kernel.
_TOOLS = {
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "qemu-system-aarch64": "qemu-system-arm",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "xz": "xz-utils",
}
_KERNEL_TOOLS = {
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "bc": "bc",
    "bison": "bison",
    "depmod": "kmod",
    "dtc": "device-tree-compiler",
    "flex": "flex",
    "gcc": "gcc libc6-dev",
    "make": "make",
    "/usr/src/linux-source-6.1.tar.xz": "linux-source-6.1",
}


class BoardError(Exception):
    """The board cannot be made, does not boot, or does not do as it is told."""


def image() -> Path:
    """The folder with the disk, the kernel and the device tree that boards boot from, made if need be."""
    given = os.environ.get("JOULEFRONT_BOARD_KERNEL")
    kernel = Path(given) if given else _folder(HERE / "kernel.sh", HERE / "kernel.config", HERE / "board.dtso")
    _require(_TOOLS if given or kernel.exists() else _TOOLS | _KERNEL_TOOLS)
    if not given:
        _make(kernel, HERE / "kernel.sh")
    parts = [kernel / name for name in ("Image.xz", "board.dtb", "modules.tar.xz")]
    folder = _folder(HERE / "image.sh", HERE / "guest_init", HERE / "guest_sensors.py", *parts)
    _make(folder, HERE / "image.sh", kernel)
    return folder


def _folder(*inputs: Path) -> Path:
    """Where that is kept which the first of these makes from the others: another folder when any of them changes."""
    cache = Path(os.environ.get("JOULEFRONT_BOARD") or platformdirs.user_cache_path("joulefront") / "board")
    hashed = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in inputs))
    return cache / f"{inputs[0].stem}-{hashed.hexdigest()[:12]}"


def _make(folder: Path, script: Path, *arguments: Path) -> None:
    """The folder is whole or not there: the script fills another one, which then gets its name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.parent / script.stem
    with FileLock(beside.with_suffix(".lock")):  # another session may want the same
        if folder.exists():
            return
        partial, log = beside.with_suffix(".partial"), beside.with_suffix(".log")
        shutil.rmtree(partial, ignore_errors=True)  # of an interrupted session
        with log.open("wb") as output:
            done = subprocess.run([script, partial, *arguments], stdout=output, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise BoardError(f"{script.name} failed, see {log}:\n{_tail(log)}")
        partial.rename(folder)


def _require(tools: dict[str, str]) -> None:
    there = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    packages = sorted({package for tool, package in tools.items() if not shutil.which(tool, os.F_OK, there)})
    if packages:
        raise BoardError(f"The virtual board needs: apt-get install -y --no-install-recommends {' '.join(packages)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


class Board:
    """One board. Its folder is its disk: what is written there outlasts `reset` and `restart`, and so does who it is.

    `ssh_config` names it `board` to any OpenSSH client, as root (`-l edge`: an ordinary user with the same key).
    """

    def __init__(self, image: Path, folder: Path, address: str = "127.0.0.1", port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.image, self.folder = image, folder
        self.address, self.port = address, port or _free_port(address)
        self.key, self.known_hosts, self.ssh_config = folder / "key", folder / "known_hosts", folder / "ssh_config"
        self._disk, self._identity, self._console = folder / "disk.qcow2", folder / "identity.tar", folder / "console"
        # A socket's path is short: 108 bytes. A test's folder may not be.
        self._sockets = tempfile.TemporaryDirectory(prefix="joulefront-board-")
        self._qmp_path = Path(self._sockets.name) / "qmp"
        self._qemu: subprocess.Popen[bytes] | None = None
        if not self._disk.exists():
            backing = ["-b", str(image / "board.img"), "-F", "raw"]
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, self._disk], check=True)
            self._write_identity()
        self.host_key = " ".join((folder / "host_key.pub").read_text().split()[:2])
        self.known_hosts.write_text(f"[{self.address}]:{self.port} {self.host_key}\n")
        self.ssh_config.write_text(
            f"Host board\n  HostName {self.address}\n  Port {self.port}\n  User root\n"
            f"  IdentityFile {self.key}\n  IdentitiesOnly yes\n  BatchMode yes\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  StrictHostKeyChecking yes\n"
        )

    def _write_identity(self) -> None:
        """A tape archive, which the guest finds as its second disk and unpacks: what no two boards have in common."""
        for key in (self.key, self.folder / "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "board", "-f", key], check=True)
        machine = uuid.uuid4().hex
        user_key = self.key.with_suffix(".pub").read_bytes()
        with tarfile.open(self._identity, "w") as archive:
            for name, content, mode, owner in (
                ("etc/machine-id", f"{machine}\n".encode(), 0o444, 0),
                ("etc/hostname", f"board-{machine[:4]}\n".encode(), 0o444, 0),
                ("etc/ssh/ssh_host_ed25519_key", (self.folder / "host_key").read_bytes(), 0o600, 0),
                ("root/.ssh/authorized_keys", user_key, 0o600, 0),
                ("home/edge/.ssh/authorized_keys", user_key, 0o600, 1000),
            ):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode, entry.uid, entry.gid = len(content), mode, owner, owner
                archive.addfile(entry, io.BytesIO(content))

    def power_on(self) -> None:
        """Without waiting for anything."""
        disk = f"file={self._disk},format=qcow2,if=none,id=disk,cache=unsafe"
        identity = f"file={self._identity},format=raw,if=none,id=identity,readonly=on"
        command = ["setpriv", "--pdeathsig", "KILL"]  # however the tests end, the boards end with them
        command += ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024"]
        command += ["-accel", "tcg,thread=multi", "-display", "none", "-monitor", "none"]
        command += ["-kernel", self.image / "Image", "-dtb", self.image / "board.dtb"]
        command += ["-append", "root=/dev/vda rw console=ttyAMA0 quiet random.trust_cpu=on init=/sbin/guest_init"]
        command += ["-drive", disk, "-device", "virtio-blk-pci,drive=disk"]
        command += ["-drive", identity, "-device", "virtio-blk-pci,drive=identity"]
        command += ["-netdev", f"user,id=cable,restrict=on,hostfwd=tcp:{self.address}:{self.port}-:22"]
        command += ["-device", "virtio-net-pci,netdev=cable,romfile=", "-device", "virtio-rng-pci"]
        command += ["-serial", f"file:{self._console}", "-qmp", f"unix:{self._qmp_path},server=on,wait=off"]
        with (self.folder / "qemu.log").open("wb") as log:
            self._qemu = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, which then end the boards in order
            )

    def wait_until_up(self) -> None:
        """Until sshd greets. That qemu accepts a connection means nothing."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            if self._qemu is None or self._qemu.poll() is not None:
                raise BoardError(f"qemu ended:\n{_tail(self.folder / 'qemu.log')}")
            with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), 5) as connection:
                connection.settimeout(5)
                if connection.recv(4) == b"SSH-":
                    return
            time.sleep(0.1)
        raise BoardError(f"No sshd after {LIMIT_S:.0f} s; the console's end:\n{_tail(self._console)}")

    def power_off(self) -> None:
        """At once, as by pulling the plug."""
        if self._qemu is not None:
            with contextlib.suppress(OSError, BoardError):  # it may be gone already
                self._qmp("quit")  # rather than a signal: what the guest has written is then on its disk
            try:
                self._qemu.wait(30)
            except subprocess.TimeoutExpired:
                self._qemu.kill()
                self._qemu.wait()
            self._qemu = None

    def restart(self) -> None:
        """The power goes and comes back; returns when sshd greets."""
        self.power_off()
        self.power_on()
        self.wait_until_up()

    def reset(self) -> None:
        """As by the reset button; `wait_until_up` tells when sshd is back."""
        self._qmp("system_reset", event="RESET")

    def freeze(self) -> None:
        """All stands still and nothing answers, until `thaw`."""
        self._qmp("stop")

    def thaw(self) -> None:
        """Goes on as if no time had passed."""
        self._qmp("cont")

    def pull_cable(self) -> None:
        """Packets are lost from now on, and no connection is told."""
        self._qmp("set_link", name="cable", up=False)

    def plug_cable(self) -> None:
        """Packets come through again."""
        self._qmp("set_link", name="cable", up=True)

    def ssh(self, user: str, command: str, limit_s: float = LIMIT_S) -> str:
        """What the command prints. Raises BoardError if it fails, with what it complained of."""
        arguments = ["ssh", "-F", str(self.ssh_config), "-l", user, "board", command]
        try:
            done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise BoardError(f"{user}@board: {command}: not done within {limit_s:.0f} s") from None
        if done.returncode != 0:
            raise BoardError(f"{user}@board: {command}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def wait_for_sensors(self) -> None:
        """They come up a few seconds after sshd."""
        self.ssh("root", "until [ -e /run/guest_sensors.pid ]; do sleep 0.1; done")

    def set_watts(self, watts: float | None) -> None:
        """What the sensors show from now on, to within a step of theirs; None: watts that follow the CPU's use again."""
        self.wait_for_sensors()
        if watts is None:
            # Until it is there: watts that are fixed right after this have to find it, to end it.
            self.ssh(
                "root",
                "guest_sensors follow > /dev/null 2>&1 & until [ -s /run/guest_sensors.pid ]; do sleep 0.1; done",
            )
        else:
            self.ssh("root", f"guest_sensors fix {watts}")

    def close(self) -> None:
        """Powered off, and nothing is left but the folder."""
        self.power_off()
        self._sockets.cleanup()

    def _qmp(self, command: str, event: str = "", **arguments: Any) -> None:
        """Tells qemu, and waits until it has done so and the event has come. A connection a command: qemu serves one."""
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rw") as stream:
            connection.settimeout(30)
            connection.connect(str(self._qmp_path))
            stream.readline()  # qemu's greeting
            for name, values, wanted in (("qmp_capabilities", {}, ""), (command, arguments, event)):
                stream.write(json.dumps({"execute": name, "arguments": values}) + "\n")
                stream.flush()
                missing = {"return", wanted} - {""}
                while missing:  # an event may come before the answer
                    reply = json.loads(stream.readline() or '{"error": {"desc": "hung up"}}')
                    if "error" in reply:
                        raise BoardError(f"qemu: {command}: {reply['error']['desc']}")
                    missing -= {"return"} if "return" in reply else {reply["event"]}


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def booted(image: Path, folder: Path, address: str = "127.0.0.1", port: int | None = None) -> Iterator[Board]:
    """A board that is up, and off at the end."""
    with contextlib.closing(Board(image, folder, address, port)) as board:
        board.power_on()
        board.wait_until_up()
        yield board


def main() -> None:
    """Boots a board on port 2301 (or the one given), and does to it what is typed."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 2301
    faults = ["pull_cable", "plug_cable", "reset", "freeze", "thaw", "power_off", "restart", "set_watts"]
    try:
        made_from = image()
        with booted(made_from, made_from / f"by-hand-{port}", port=port) as board:
            click.echo(
                f"ssh -F {board.ssh_config} board\nOr type: {', '.join(faults[:-1])}, set_watts 3.25; Ctrl-D ends it."
            )
            for line in sys.stdin:
                verb, *rest = shlex.split(line) or [""]
                if verb in faults:
                    getattr(board, verb)(*map(float, rest))
                else:
                    click.echo(f"Not one of: {', '.join(faults)}")
    except BoardError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
