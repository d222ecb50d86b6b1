"""A page about a study, or about several: one file with everything in it, which asks the network for nothing.

The data go in as packed JSON and reach the document as text only. The page's own policy lets nothing run but its own
script and plotly's, known by their hashes, and nothing be loaded.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from joulefront.cache import disk, write_durably
from joulefront.report.comparison_contents import comparison_contents
from joulefront.report.study_contents import study_contents
from joulefront.report.visible import visible
from joulefront.results import Results

_ASSETS = files("joulefront.report") / "assets"
_COMMON = ("elements.js", "page.js", "charts.js", "flat.js", "table.js")
_SCRIPTS = {
    "study": ("study.js", "trials.js", "journey.js"),
    "comparison": ("comparison.js", "networks.js"),
}


def study_page(results: Results) -> str:
    """The HTML of a page about one study: its front, every trial, and how the numbers were made."""
    document = study_contents(results)
    return _page(f"{results.name} on {results.study.device}", document["headline"], document, "study")


def comparison_page(studies: Sequence[Results], document: Mapping[str, Any]) -> str:
    """The HTML of a page about several ``studies``, from the document of their comparison."""
    contents = comparison_contents(studies, document)
    return _page(" · ".join(document["studies"]), contents["headline"], contents, "comparison")


def write(path: Path, page: str) -> None:
    """Write a page so that it is there whole or not at all. Raises StoreError when its folder is missing or full."""
    with disk(str(path)):
        write_durably(path, page.encode())


def _page(title: str, summary: str, document: Mapping[str, Any], kind: str) -> str:
    script = "\n".join((_ASSETS / name).read_text("utf-8") for name in (*_COMMON, *_SCRIPTS[kind], "start.js"))
    plotly = _plotly()
    return Template((_ASSETS / "page.html").read_text("utf-8")).substitute(
        title=escape(visible(title)),
        summary=escape(visible(summary)),
        hashes=f"'{_hash(script)}' '{_hash(plotly)}'",
        style=(_ASSETS / "page.css").read_text("utf-8"),
        script=script,
        data=_packed(json.dumps(document, allow_nan=False, separators=(",", ":"))),
        plotly=_packed(plotly),
    )


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii")


def _hash(script: str) -> str:
    """The script as a Content-Security-Policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _plotly() -> str:
    """plotly.js as the installed plotly has it."""
    return (files("plotly") / "package_data" / "plotly.min.js").read_text("utf-8")
