"""The interop lab: our prober and our server with the real programs of Debian.

Needs root and Debian's packages, which are downloaded and unpacked below build-interop/ and never installed.  Where they
cannot be had, every test is skipped and says why.  POSTERN names our binary (default build/src/app/postern).  A failing
test shows the logs of the servers that were running.  What was seen goes to build-interop/results.json.
"""
import os
import sys
import uuid
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system")]

from kit.nexthop import obliging  # noqa: E402
from kit.server import BINARY  # noqa: E402
from lab.house import House  # noqa: E402
from lab.people import People  # noqa: E402
from lab.results import Results  # noqa: E402
from lab.root import BOOKWORM, Missing, Roots  # noqa: E402
from lab.servers import SERVERS, Bed  # noqa: E402

RUNNING = []


def pytest_report_header(config):
    return f"postern: {BINARY}"


def pytest_sessionstart(session):
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"there is no program {BINARY}: build first, or set POSTERN", returncode=2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for program in RUNNING:
            report.sections.append((f"log of {program.name}", program.log()))


@pytest.fixture(scope="session")
def roots():
    try:
        made = Roots()
    except Missing as why:
        pytest.skip(f"the interop lab cannot be set up: {why}")
    yield made
    made.close()


@pytest.fixture(scope="session")
def results(roots):
    kept = Results(roots)
    yield kept
    kept.write()


@pytest.fixture(scope="session")
def bed(roots):
    folder = roots[BOOKWORM].host("/lab/people")
    folder.mkdir()
    people, sink = People(folder), obliging()
    roots.share(folder)
    made = Bed(roots, people, sink)
    yield made
    made.close()
    sink.close()


@pytest.fixture
def token():
    """A word that no other message holds."""
    return uuid.uuid4().hex


@pytest.fixture(scope="session", params=SERVERS, ids=lambda s: s.name)
def server(request, bed):
    """Each real server in turn, running."""
    program = request.param(bed)
    RUNNING.append(program)
    try:
        yield program.start()
    finally:
        program.stop()
        RUNNING.remove(program)
        bed.roots.sweep()


@pytest.fixture(scope="session")
def house(bed, tmp_path_factory):
    made = House(bed, tmp_path_factory.mktemp("house"))
    RUNNING.append(made)
    yield made
    RUNNING.remove(made)
    made.close()
