"""Virtual boards for `pytest -m board`: `board` is shared by all tests, who leave it as they found it; `fresh_board` is not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from virtual_board import Board, BoardError, booted, image


@pytest.fixture(scope="session")
def board_image() -> Path:
    """What boards boot from. Whoever asks for these tests wants them run: what is missing fails, it does not skip."""
    try:
        return image()
    except BoardError as error:
        missing = str(error)
    pytest.fail(missing, pytrace=False)


@pytest.fixture(scope="session")
def board(board_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """One for all tests."""
    with booted(board_image, tmp_path_factory.mktemp("board")) as board:
        yield board


@pytest.fixture(scope="session")
def two_boards(
    board: Board, board_image: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Board, Board]]:
    """The one for all tests, and another."""
    with booted(board_image, tmp_path_factory.mktemp("other")) as other:
        yield board, other


@pytest.fixture
def fresh_board(board_image: Path, tmp_path: Path) -> Iterator[Board]:
    """One that may be broken."""
    with booted(board_image, tmp_path / "board") as board:
        yield board
