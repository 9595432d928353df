"""What every test may ask for: a migrated database of both kinds, a day, the office's command line."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from pathlib import Path

import hypothesis
import office
import postgresql
import pytest
from sqlalchemy.engine import Engine

import isp.database
from isp.calendar import TOKYO, Calendar, Day

hypothesis.settings.register_profile(
    "ci", deadline=None, derandomize=True, database=None, print_blob=True
)
hypothesis.settings.register_profile("search", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

pytest_plugins = ("submission_fixtures",)

SHARED = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "req(*numbers): the requirements that the test proves")
    workers_input = getattr(config, "workerinput", None)
    if workers_input is None:
        config.stash[SHARED] = Path(tempfile.mkdtemp(prefix="isp-tests-"))
    else:
        config.stash[SHARED] = Path(workers_input["isp_shared"])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell a worker of pytest-xdist where the session's shared things are."""
    node.workerinput["isp_shared"] = str(node.config.stash[SHARED])  # type: ignore[attr-defined]  # xdist has no types


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        postgresql.stop(config.stash[SHARED])
        shutil.rmtree(config.stash[SHARED])


def migrate(url: str) -> None:
    """Make the tables."""
    made = isp.database.engine(url, new=True)
    isp.database.upgrade(made)
    made.dispose()


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> postgresql.Cluster:
    """The session's private PostgreSQL."""
    return postgresql.cluster(pytestconfig.stash[SHARED])


@pytest.fixture(scope="session")
def postgresql_template(cluster: postgresql.Cluster, worker: str) -> str:
    """A migrated PostgreSQL database to copy from."""
    name = f"{postgresql.TEMPLATE}_{worker}"
    cluster.create(name)
    migrate(cluster.url(name))
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy from; closed, so that it is whole without its log."""
    path = tmp_path_factory.mktemp("template") / "isp.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def worker() -> str:
    """The name of this worker of pytest-xdist."""
    return os.environ.get("PYTEST_XDIST_WORKER", "alone")


COUNT = itertools.count()


@pytest.fixture
def new_postgresql(cluster: postgresql.Cluster, worker: str) -> Iterator[Callable[[str], str]]:
    """Makes PostgreSQL databases from a template and gives their URLs; dropped after the test."""
    made: list[str] = []

    def make(template: str = "template0") -> str:
        name = f"isp_{worker}_{next(COUNT)}"
        cluster.create(name, template)
        made.append(name)
        return cluster.url(name)

    yield make
    for name in made:
        cluster.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated database, once of each kind."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "isp.db")
        return f"sqlite:///{tmp_path / 'isp.db'}"
    make: Callable[[str], str] = request.getfixturevalue("new_postgresql")
    return make(request.getfixturevalue("postgresql_template"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'isp.db'}"
    make: Callable[[], str] = request.getfixturevalue("new_postgresql")
    return make()


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    """A migrated database, once of each kind."""
    opened = isp.database.engine(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def day() -> Callable[..., Day]:
    """Makes the day that a run works on: `day("2026-04-10")`, `day("2026-04-10", "13:00")`."""

    def make(today: str, at: str = "09:00", closed: tuple[str, ...] = ()) -> Day:
        on = date.fromisoformat(today)
        calendar = Calendar(frozenset(date.fromisoformat(other) for other in closed))
        return Day(on, datetime.combine(on, time.fromisoformat(at), TOKYO), calendar)

    return make


@pytest.fixture(name="office")
def _office(database_url: str, tmp_path: Path) -> office.Office:
    """The command line in a folder of its own with the default profile, on both databases."""
    return office.Office(tmp_path, database_url)
