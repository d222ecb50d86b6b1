"""The virtual board is what the other tests take it for."""

import socket

import paramiko
import pytest
from virtual_board import LIMIT_S, PASSWORD, Board, BoardError

pytestmark = pytest.mark.board


def sensors(board: Board) -> dict[str, dict[str, int]]:
    """The inputs of each sensor, by its name: the numbers of hwmon depend on who came first."""
    board.wait_for_sensors()
    readings: dict[str, dict[str, int]] = {}
    listing = "cd /sys/class/hwmon; for d in *; do grep -H . $d/*_input 2>&1 | sed s,^$d,$(cat $d/name),; done"
    for line in board.ssh("edge", listing).splitlines():
        path, _, value = line.partition(":")
        name, _, reading = path.partition("/")
        if value.lstrip("-").isdigit():
            readings.setdefault(name, {})[reading.removesuffix("_input")] = int(value)
    return readings


def greets(board: Board) -> bool:
    """Within a second."""
    try:
        with socket.create_connection((board.address, board.port), 1) as connection:
            connection.settimeout(1)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


@pytest.mark.parametrize("user", ["root", "edge"])
def test_users_run_arm64_code(board: Board, user: str) -> None:
    assert board.ssh(user, "uname -m; whoami; python3 -c 'print(6 * 7)'").split() == ["aarch64", user, "42"]


def test_what_a_command_complains_of_is_told(board: Board) -> None:
    with pytest.raises(BoardError, match=r"exit status 2\n.*no/such/file"):
        board.ssh("edge", "ls /no/such/file")


def test_it_says_that_it_is_simulated(board: Board) -> None:
    assert "simulated" in board.ssh("edge", "cat /proc/device-tree/model")


def test_the_clock_has_rates_and_governors(board: Board) -> None:
    folder = "/sys/devices/system/cpu/cpu1/cpufreq"
    assert board.ssh("edge", f"cat {folder}/scaling_available_frequencies").split() == ["600000", "1000000", "1500000"]
    assert {"performance", "schedutil"} <= set(board.ssh("edge", f"cat {folder}/scaling_available_governors").split())


def test_sensors_show_the_watts_that_they_are_given(board: Board) -> None:
    board.set_watts(3.25)
    shown = sensors(board)
    assert shown["ina226"]["power1"] == 3_250_000
    assert "power1" not in shown["ina3221"]
    assert shown["ina3221"]["in1"] * shown["ina3221"]["curr1"] == 3_240_000
    assert shown["tmp75"]["temp1"] == 30_000
    assert int(board.ssh("edge", "cat /sys/class/thermal/thermal_zone0/temp")) == 30_000
    board.set_watts(None)


def test_watts_follow_the_cpu_unless_they_are_fixed(board: Board) -> None:
    board.set_watts(3.25)
    board.set_watts(None)
    power = "$(cat $(grep -l ina226 /sys/class/hwmon/*/name | sed s,name,power1_input,))"
    board.ssh("edge", f"until [ {power} -gt 4000000 ]; do :; done")  # which keeps one core of two busy


def test_a_password_opens_the_one_account_that_has_one(board: Board) -> None:
    def connect(user: str, password: str) -> None:
        patient = {"timeout": LIMIT_S, "banner_timeout": LIMIT_S, "auth_timeout": LIMIT_S}
        own = {"allow_agent": False, "look_for_keys": False}
        client.connect(board.address, board.port, user, password, **own, **patient)

    with paramiko.SSHClient() as client:
        client.load_host_keys(str(board.known_hosts))
        connect("pat", PASSWORD)
        assert client.exec_command("whoami")[1].read() == b"pat\n"
        for user, password in (("pat", "wrong"), ("edge", PASSWORD), ("root", PASSWORD)):
            with pytest.raises(paramiko.SSHException):
                connect(user, password)


def test_without_the_cable_nothing_answers_and_with_it_all_goes_on(board: Board) -> None:
    board.pull_cable()
    assert not greets(board)
    board.plug_cable()
    board.wait_until_up()
    assert board.ssh("edge", "whoami") == "edge\n"


def test_a_frozen_board_does_not_answer(board: Board) -> None:
    board.freeze()
    assert not greets(board)
    board.thaw()
    board.wait_until_up()


@pytest.mark.parametrize("again", ["reset", "restart"])
def test_a_board_that_starts_again_is_the_same_one(fresh_board: Board, again: str) -> None:
    who = "cat /etc/machine-id /proc/sys/kernel/random/boot_id"
    fresh_board.ssh("edge", "echo kept > kept; sync")
    machine, boot = fresh_board.ssh("edge", who).split()
    getattr(fresh_board, again)()
    fresh_board.wait_until_up()
    machine_after, boot_after = fresh_board.ssh("edge", who).split()
    assert (machine_after, len(machine)) == (machine, 32)
    assert boot_after != boot
    assert fresh_board.ssh("edge", "cat kept") == "kept\n"
    assert "ina226" in sensors(fresh_board)


def test_two_boards_are_two_machines(two_boards: tuple[Board, Board]) -> None:
    one, other = two_boards
    assert one.host_key != other.host_key
    assert one.ssh("edge", "cat /etc/machine-id") != other.ssh("edge", "cat /etc/machine-id")


def test_a_board_without_power_is_gone(fresh_board: Board) -> None:
    fresh_board.power_off()
    assert not greets(fresh_board)
    with pytest.raises(BoardError):
        fresh_board.wait_until_up()
