"""The user's SSH agent, at whichever socket the settings name: paramiko's own looks at the environment only."""

from __future__ import annotations

import socket
from pathlib import Path

import paramiko
from paramiko.agent import AgentSSH

_ANSWER_S = 15.0


class SshAgent(AgentSSH):
    """An agent's keys. Raises OSError where none listens, and SSHException for one that speaks something else."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(_ANSWER_S)
            connection.connect(str(path))
            self._connect(connection)  # type: ignore[attr-defined]
            connection.settimeout(None)  # its user may have to touch a key before it signs
        except BaseException:
            connection.close()
            raise

    def keys(self) -> dict[bytes, paramiko.AgentKey]:
        """Its keys, by their public halves."""
        return {key.blob: key for key in self.get_keys()}

    def close(self) -> None:
        """Let go of the agent."""
        self._close()  # type: ignore[attr-defined]
