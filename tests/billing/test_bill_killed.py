"""A bill run killed with SIGKILL goes on where it stopped, and bills nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from bureau import Bureau
from sqlalchemy import Engine

from billing.checks import problems

MEMBERS = 60
KILLED_RUN = """
import sys
from pathlib import Path
from bureau import Bureau
from isp.database import engine

def progress(done, of):
    print(done, flush=True)

bureau = Bureau(engine(sys.argv[1]), Path(sys.argv[2]))
bureau.bill("2026-04", stretch=2, progress=progress)
"""


def killed_after(stretches: int, database_url: str, folder: Path) -> None:
    """Start a run in a process of its own and kill it in the middle of its work."""
    running = subprocess.Popen(
        [sys.executable, "-c", KILLED_RUN, database_url, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    )
    assert running.stdout is not None
    for _ in range(stretches):
        assert running.stdout.readline()
    running.send_signal(signal.SIGKILL)
    running.stdout.close()
    assert running.wait(60) == -signal.SIGKILL


@pytest.mark.req("ALL-02")
def test_a_killed_run_resumes(database_url: str, database: Engine, tmp_path: Path) -> None:
    bureau = Bureau(database, tmp_path)
    plan = bureau.plan(5_000, opening_fee=300)
    for _ in range(MEMBERS):
        bureau.contract(bureau.customer("account-transfer"), plan)
    done = 0
    for stretches in (1, 4):
        killed_after(stretches, database_url, tmp_path)
        billed = len(bureau.invoices())
        assert done < billed < MEMBERS
        done = billed
    rest = bureau.bill("2026-04", "2026-05-04")
    assert (rest.contracts, rest.skipped) == (MEMBERS - done, done)
    assert Counter(kind for _, kind, _ in bureau.lines()) == {
        "monthly": MEMBERS,
        "opening": MEMBERS,
        "transfer-fee": MEMBERS,
    }
    assert bureau.bill("2026-04").skipped == MEMBERS
    with bureau.transaction() as session:
        assert list(problems(session, bureau.shift("2026-05-04"))) == []
