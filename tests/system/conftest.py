"""System tests: the real binary, real sockets on loopback, real clients.

POSTERN names the binary (default build/src/app/postern); it may be built with sanitizers, whose reports fail the
test that stops the server.  POSTERN_RELEASE may name a release build for what is measured.  A failing test
shows the end of the log of every server that runs.
"""
import os
import sys
import uuid

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from kit.certs import Zoo  # noqa: E402
from kit.server import BINARY, Config, Server  # noqa: E402

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
        for server in RUNNING:
            if server.log:
                report.sections.append((f"log of {server.name}", "\n".join(server.log.lines[-40:])))


@pytest.fixture(scope="session")
def zoo(tmp_path_factory):
    return Zoo(tmp_path_factory.mktemp("zoo"))


@pytest.fixture
def token():
    """A word that no other message holds."""
    return uuid.uuid4().hex


def serve(config, name, **more):
    server = Server(config, name)
    RUNNING.append(server)
    try:
        return server.start(**more)
    except BaseException:
        RUNNING.remove(server)
        if server.is_running():
            server.kill()
        raise


@pytest.fixture
def run(request):
    """run(config) starts a server for this test alone and sees to its end."""
    def start(config, name="server", **more):
        server = serve(config, name, **more)

        def finish():
            RUNNING.remove(server)
            server.end()
        request.addfinalizer(finish)
        return server
    return start


@pytest.fixture
def config(tmp_path, zoo):
    """An empty configuration in a folder of its own."""
    return Config(tmp_path, zoo)


POLICIES = ("off", "explicit", "implicit")
MODES = ("starttls", "implicit")


@pytest.fixture(scope="session")
def house(tmp_path_factory, zoo):
    """One server for all that needs no server of its own: every policy on both kinds of listener, relay
    listeners, a hasty listener, and Maildirs for whatever is accepted."""
    c = Config(tmp_path_factory.mktemp("house"), zoo)
    c.trust("staff").spool()
    for policy in POLICIES:
        for mode in MODES:
            c.listener(f"{policy}-{mode}", mode, client_certificate="request", certificate_auth=policy,
                       trust="{staff}")
    c.listener("any-sender", "implicit", trust="{staff}", sender="any")
    c.listener("required", "implicit", trust="{staff}", client_certificate="require")
    c.listener("hasty-starttls", "starttls", trust="{staff}", timeout="1s")
    c.listener("hasty-implicit", "implicit", trust="{staff}", timeout="1s")
    peers = f'{{"{zoo["peer"].fingerprint}", "{zoo["stranger-peer"].fingerprint}"}}'
    c.listener("mx", "starttls", role="relay", peers=peers)
    c.listener("mx-strict", "starttls", role="relay", peers=peers, trust="{staff}", certificate_auth="explicit")
    c.listener("mx-plain", "none", role="relay")
    c.maildir("example.org").maildir("example.net").maildir("default", "elsewhere/%d/%u")
    server = serve(c, "house")
    yield server
    RUNNING.remove(server)
    server.end()
