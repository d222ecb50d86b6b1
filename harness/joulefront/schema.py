"""The tables of a study's database. ``store`` is the only one that reads and writes them."""

from __future__ import annotations

import sqlalchemy as sql

VERSION = 3
"""SQLite's ``user_version``. What an older format lacks are whole tables; what its records lack, ``older`` makes up for."""

VISITS_SINCE = 2
"""The format that the tables of visits came with."""

tables = sql.MetaData()
facts = sql.Table(
    "facts",
    tables,
    sql.Column("name", sql.String, primary_key=True),
    sql.Column("value", sql.JSON, nullable=False),
)
trials = sql.Table(
    "trials",
    tables,
    sql.Column("number", sql.Integer, primary_key=True),
    sql.Column("fidelity", sql.String, nullable=False),
    sql.Column("genome", sql.String, nullable=False),
    sql.Column("record", sql.JSON, nullable=False),
    sql.Column("created", sql.String, nullable=False),
    sql.UniqueConstraint("fidelity", "genome"),
)
samples = sql.Table(
    "samples",
    tables,
    sql.Column("trial", sql.ForeignKey("trials.number"), primary_key=True),
    sql.Column("repeat", sql.Integer, primary_key=True),
    # Little-endian float64, one value an inference, in the order in which they were taken.
    sql.Column("latency_s", sql.LargeBinary, nullable=False),
)
visits = sql.Table(
    "visits",
    tables,
    sql.Column("session", sql.String, primary_key=True),
    sql.Column("home", sql.String, primary_key=True),
    sql.Column("number", sql.Integer, primary_key=True),
    sql.Column("record", sql.JSON, nullable=False),
    sql.Column("created", sql.String, nullable=False),
)
visit_samples = sql.Table(
    "visit_samples",
    tables,
    sql.Column("session", sql.String, primary_key=True),
    sql.Column("home", sql.String, primary_key=True),
    sql.Column("number", sql.Integer, primary_key=True),
    sql.Column("repeat", sql.Integer, primary_key=True),
    sql.Column("latency_s", sql.LargeBinary, nullable=False),  # as in samples
    sql.ForeignKeyConstraint(["session", "home", "number"], ["visits.session", "visits.home", "visits.number"]),
)
decisions = sql.Table(
    "decisions",
    tables,
    sql.Column("name", sql.String, primary_key=True),
    sql.Column("value", sql.JSON, nullable=False),
    sql.Column("created", sql.String, nullable=False),
)
