"""What all figures for papers have in common: the files they go into, the same bytes for the same data."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from joulefront.cache import disk
from joulefront.errors import ConfigError

# What each kind of file would otherwise say of the time at which it was written.
_UNDATED: dict[str, dict[str, None]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def check(path: Path) -> None:
    """Raise ConfigError for a file that is no .png, .svg or .pdf, or whose folder is not there."""
    if path.suffix.lower() not in _UNDATED:
        raise ConfigError(f"{path}: expected a file that ends in .png, .svg or .pdf")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}; make it, or name another file")


@contextmanager
def settings() -> Iterator[None]:
    """Meanwhile, matplotlib's own settings and ours, whatever a user's are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        # Names are no formulas; ids do not hang on the time; a PDF's letters can be searched.
        matplotlib.rcParams.update({"text.parse_math": False, "svg.hashsalt": "joulefront", "pdf.fonttype": 42})
        yield


def save(figure: Figure, path: Path) -> None:
    """Write the figure into a file whose suffix says the format. Raises ConfigError as ``check``, StoreError for a full disk."""
    check(path)
    suffix = path.suffix.lower()
    picture = io.BytesIO()
    figure.savefig(picture, format=suffix[1:], metadata=_UNDATED[suffix])
    with disk(str(path)):
        path.write_bytes(picture.getvalue())
