"""An SSH server in this process, for tests that need neither sshd nor another machine: commands run here, as this user, with
a home folder of their own; files are this machine's."""

import contextlib
import os
import socket
import subprocess
import threading
from pathlib import Path

import paramiko

PASSWORD = "only for tests"


class Server(paramiko.ServerInterface):
    """Lets in who has the key or the password."""

    def __init__(self, owner):
        self.owner = owner

    def get_allowed_auths(self, username):
        return "publickey,password"

    def check_auth_publickey(self, username, key):
        known = self.owner.authorized_keys()
        good = username == "pi" and f"{key.get_name()} {key.get_base64()}" in known
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_auth_password(self, username, password):
        good = username == "pi" and password == PASSWORD
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(self, chanid, origin, destination):
        self.owner.forwards[chanid] = destination
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        threading.Thread(target=self.owner.execute, args=(channel, command.decode()), daemon=True).start()
        return True


class Files(paramiko.SFTPServerInterface):
    """This machine's files, as they are."""

    def stat(self, path):
        return self._try(lambda: paramiko.SFTPAttributes.from_stat(Path(path).stat()))

    def mkdir(self, path, attr):
        return self._try(lambda: Path(path).mkdir(attr.st_mode or 0o777))

    def remove(self, path):
        return self._try(lambda: Path(path).unlink())

    def posix_rename(self, oldpath, newpath):
        return self._try(lambda: Path(oldpath).replace(newpath) and None)

    def open(self, path, flags, attr):
        def opened():
            file = os.fdopen(os.open(path, flags, 0o600), "ab" if flags & os.O_APPEND else "wb", buffering=0)
            handle = paramiko.SFTPHandle(flags)
            handle.readfile = handle.writefile = file
            return handle

        return self._try(opened)

    @staticmethod
    def _try(call):
        try:
            result = call()
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        return paramiko.SFTP_OK if result is None else result


class SshServer:
    """Listens on 127.0.0.1; user "pi", whose home is ``home``. ``key`` is the client's private key file, let in.

    ``greeting`` is what the user's shell prints before a command runs, as some .bashrc do.
    """

    def __init__(self, folder: Path, host_key=None, greeting=""):
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.key = folder / "id"
        client = paramiko.RSAKey.generate(2048)
        client.write_private_key_file(str(self.key))
        (self.home / ".ssh").mkdir(mode=0o700)
        (self.home / ".ssh/authorized_keys").write_text(f"{client.get_name()} {client.get_base64()} tests\n")
        self.host_key = host_key or paramiko.ECDSAKey.generate()
        self.greeting = greeting
        self.forwards = {}
        self.commands = []
        self._transports = []
        self._listen(0)
        self.port = self._socket.getsockname()[1]

    @property
    def host_key_line(self):
        return f"{self.host_key.get_name()} {self.host_key.get_base64()}"

    @property
    def arguments(self):
        """What a device's [transport] would say."""
        return {
            "host": "127.0.0.1",
            "user": "pi",
            "port": self.port,
            "key": str(self.key),
            "host_key": self.host_key_line,
        }

    def authorized_keys(self):
        lines = (self.home / ".ssh/authorized_keys").read_text().splitlines()
        return [" ".join(line.split()[:2]) for line in lines if line.strip()]

    def drop(self):
        """Cut every connection."""
        for transport in self._transports:
            transport.sock.close()
            transport.close()
        self._transports.clear()

    def stop(self):
        """Listen no more, and cut every connection."""
        # Not closed before its thread has left it: the next server's socket may get its number, and the thread that server's
        # connections.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._socket.close()
        self.drop()

    def start(self):
        """Listen again, on the same port."""
        self._listen(self.port)

    def _listen(self, port):
        self._socket = socket.create_server(("127.0.0.1", port))
        self._accepting = threading.Thread(target=self._accept, args=(self._socket,), daemon=True)
        self._accepting.start()

    def close(self):
        self.stop()

    def _accept(self, listening):
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport = paramiko.Transport(client)
            transport.add_server_key(self.host_key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files)
            self._transports.append(transport)
            with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
                transport.start_server(event=threading.Event(), server=Server(self))
                threading.Thread(target=self._forward, args=(transport,), daemon=True).start()

    def _forward(self, transport):
        """Serve the channels that lead on to another host."""
        while transport.is_active():
            channel = transport.accept(0.5)
            if channel is not None and channel.chanid in self.forwards:
                threading.Thread(target=_relay, args=(channel, self.forwards[channel.chanid]), daemon=True).start()

    def execute(self, channel, command):
        """Run a command as sshd does: by a shell, with the channel as its stdin, stdout and stderr."""
        self.commands.append(command)
        # What the client answers is read when it has been told that the command begins: not after it was told that it ended.
        channel.get_transport().global_request("keepalive@lag.net", wait=True)
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], "SSH_CONNECTION": "127.0.0.1 1 127.0.0.1 22"}
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=self.home,
            bufsize=0,
        )
        if self.greeting:
            channel.sendall(self.greeting.encode())
        pumps = [
            threading.Thread(target=_pump, args=(process.stdout.read, channel.sendall), daemon=True),
            threading.Thread(target=_pump, args=(process.stderr.read, channel.sendall_stderr), daemon=True),
        ]
        for pump in pumps:
            pump.start()
        feed = threading.Thread(target=_feed, args=(channel, process.stdin), daemon=True)
        feed.start()
        for pump in pumps:
            pump.join()
        status = process.wait()
        process.stdout.close()
        process.stderr.close()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            channel.send_exit_status(status if status >= 0 else 255)
            channel.close()
        feed.join()


def _pump(read, write):
    with contextlib.suppress(OSError, EOFError, ValueError):
        while chunk := read(1 << 15):
            write(chunk)


def _relay(channel, destination):
    with socket.create_connection(destination) as onward:
        back = threading.Thread(target=_pump, args=(lambda most_b: onward.recv(most_b), channel.sendall), daemon=True)
        back.start()
        _pump(channel.recv, onward.sendall)
        with contextlib.suppress(OSError):
            onward.shutdown(socket.SHUT_RDWR)
        back.join()


def _feed(channel, stdin):
    with contextlib.suppress(OSError, EOFError, ValueError):
        while chunk := channel.recv(1 << 15):
            stdin.write(chunk)
    with contextlib.suppress(OSError):
        stdin.close()
