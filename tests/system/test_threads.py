"""Every place where threads meet, at once and under load.  `tools/check threads` runs this with the thread sanitizer.

What is asked of the server is little: whoever comes is served, the end is status 0, and no sanitizer reports."""
import collections
import http.client
import os
import subprocess
import threading

import pytest

from kit.certs import Authority
from kit.nexthop import obliging
from kit.server import BINARY, PORTS, SANITIZER, environment, postern
from kit.traffic import wait_empty
from kit.wait import DEADLINE, until
from test_ocsp import Responder
from test_passwords import SECRET, plain, scram

ALICE, BOB, CAROL = "alice@example.org", "bob@example.org", "carol@example.org"
MESSAGE = b"Subject: x\r\n\r\nx\r\n"


def hang_up(peer, recipients, text):
    """A next hop that takes one message on each connection, so that each finds the newest of what it needs."""
    peer.say("250 2.0.0 OK")
    return True


def popen(*words):
    return subprocess.Popen([BINARY, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())


def ended(process, status=None):
    said, _ = process.communicate(timeout=DEADLINE * 4)
    assert not SANITIZER.search(said) and status in (None, process.returncode), f"ended with {process.returncode}: {said}"


class Crowd:
    """Each of the works in a thread of its own, over and over until the end of the `with`."""

    def __init__(self, works):
        self.over, self.rounds, self.errors = threading.Event(), collections.Counter(), []
        self.works = [threading.Thread(target=self.repeat, args=(work,), daemon=True) for work in works]

    def __enter__(self):
        for work in self.works:
            work.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        for work in self.works:
            work.join(DEADLINE)

    def repeat(self, work):
        try:
            while not self.over.is_set():
                work()
                self.rounds[work] += 1
        except Exception as error:  # noqa: BLE001 - told in the test's thread
            self.errors.append(f"{work.__name__}: {error!r}")

    def wait(self):
        """Everybody has been there once."""
        until(lambda: len(self.rounds) == len(self.works) or self.errors, lambda: f"a round of each; so far {self.rounds}")
        assert not self.errors, "\n".join(self.errors)


class Site:
    """A server with all that threads share: a trust, tables and keys that are replaced all the time, a responder,
    passwords, limits, tickets whose keys turn, next hops of every kind."""

    def __init__(self, config, folder):
        self.config, self.zoo = config, config.zoo
        self.ca = Authority(folder, "Site CA")
        self.load = self.ca.issue("load", [ALICE])
        self.responder = Responder(folder, self.ca, [(self.load, "V")])
        self.crl, self.disabled, self.passwords = folder / "site.crl", folder / "disabled", folder / "passwords"
        self.crl.write_bytes(self.ca.crl())
        self.disabled.write_text("# nobody\n")
        for user, words in ((ALICE, ["--scram"]), (BOB, [])):
            postern("passwd", *words, self.passwords, user, input=SECRET + "\n")
        self.near, self.far, self.metrics = next(PORTS), next(PORTS), next(PORTS)
        self.brief = obliging(before_answer=hang_up)
        self.configure(config)
        self.sink = popen("bench", "sink", f"127.0.0.1:{self.far}", "--quiet", "--certificate", self.zoo.server.certificate,
                          "--key", self.zoo.server.key)

    def configure(self, config):
        # Lines of the log pass through one lock, and would put in order what nothing else does: little is logged.
        config.add("log-level = notice", "reload-interval = 50ms", "ticket-key-lifetime = 1s", "auth-threads = 2", "delivery { retry-min = 1s }",
                   f'metrics {{ address = "127.0.0.1:{self.metrics}" }}',
                   f'trust site {{ ca = {{"{self.ca.file}"}} crl = {{"{self.crl}"}} ocsp = soft '
                   f'ocsp-responder = "http://127.0.0.1:{self.responder.port}/" }}',
                   f'passwords staff {{ table = "{self.passwords}" failures = 100000 failure-delay = 1ms }}',
                   "limits some { messages-per-minute = 100000 sessions = 1000 }")
        more = {"trust": "{site}", "limits": "some", "disabled": f'"{self.disabled}"', "sender": "any", "passwords": "staff",
                "mechanisms": "{plain, scram-sha-256-plus}"}
        config.listener("in", "starttls", **more)
        config.listener("strict", "implicit", client_certificate="require", **more)
        config.spool().maildir("default", "mail/%d/%u")
        config.route("near.test", smtp=f'"127.0.0.1:{self.near}"')
        config.route("brief.test", smtp=f'"{self.brief.address}"')
        config.route("far.test", smtp=f'"localhost:{self.far}"', tls="verify", ca=f'"{self.zoo.server_ca.file}"')

    def bench(self, listener, to, *more):
        return popen("bench", "send", f"127.0.0.1:{self.server[listener].port}", "--quiet", "--resume", "--certificate",
                     self.load.certificate, "--key", self.load.key, "--from", ALICE, "--to", to, *more)

    def small_messages(self, n):
        """To a next hop of its own, on connections that are begun again all the time."""
        return self.bench("in", "x@near.test", "--messages", n, "--connections", 8, "--per-connection", 4,
                          "--sink", f"127.0.0.1:{self.near}")

    def large_messages(self, n):
        """In pieces into the spool and out of it, over TLS."""
        return self.bench("strict", "x@far.test", "--tls", "implicit", "--messages", n, "--connections", 3, "--per-connection", 2,
                          "--size", "100K")

    def crowd(self):
        return Crowd([self.newcomer, self.scram_login, self.plain_login, self.plain_login_again, self.metrics_reader,
                      self.administrator, self.queue_watcher])

    # ---- what each of the crowd does ----

    def newcomer(self):
        """A certificate that nobody has seen: the responder is asked, and does not know it either."""
        with self.server.connect("in", self.ca.issue("newcomer", [CAROL])) as client:
            assert client(f"MAIL FROM:<{CAROL}>").code in (250, 530)

    def deliver(self, client, sender, recipient):
        client.mail(sender, recipient, "x@brief.test")
        client.message(MESSAGE)
        client.quit()

    def scram_login(self):
        with self.server.connect("in") as client:
            assert scram(client, "tls-server-end-point", bytes.fromhex(self.zoo.server.fingerprint)).code == 235
            self.deliver(client, ALICE, BOB)

    def plain_login(self):
        with self.server.connect("in") as client:
            client.expect(plain(BOB, "wrong"), 535)
            client.expect(plain(BOB, SECRET), 235)
            self.deliver(client, BOB, ALICE)

    def plain_login_again(self):
        self.plain_login()

    def metrics_reader(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics, timeout=DEADLINE)
        connection.request("GET", "/metrics")
        assert b"postern_sessions" in connection.getresponse().read()
        connection.close()

    def administrator(self):
        """New files, all as they were, which the timer finds, and a signal on top."""
        for path in (self.crl, self.disabled, self.passwords, self.zoo.server.key):
            fresh = path.with_name("." + path.name + ".new")
            fresh.write_bytes(path.read_bytes())
            fresh.chmod(0o600)
            os.replace(fresh, path)
        self.server.log.wait("reloaded", since=self.server.reload())

    def queue_watcher(self):
        postern("queue", "stats", "--database", self.config.database)

    def close(self):
        self.sink.terminate()
        ended(self.sink)
        self.responder.stop()
        self.brief.close()


@pytest.fixture
def site(run, config, tmp_path):
    site = Site(config, tmp_path)
    try:
        site.server = run(config, "site")
        yield site
    finally:
        site.close()


def test_load(site):
    """Everybody is served, everything arrives, and then the server ends."""
    with site.crowd() as crowd:
        for bench in (site.small_messages(400), site.large_messages(50)):
            ended(bench, status=0)
        crowd.wait()
    assert not crowd.errors, "\n".join(crowd.errors)
    wait_empty(site.server)
    site.server.stop()


def test_stop_under_load(site):
    """The end comes while sessions, checks of passwords, questions to a responder and deliveries are under way."""
    with site.crowd() as crowd:
        bench = site.small_messages(100000)
        crowd.wait()
        crowd.over.set()  # what they have begun is cut short
        site.server.stop()
    ended(bench)
