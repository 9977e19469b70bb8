"""Signals, reloads and restarts: what a running server does when its operator wants something of it."""
import resource
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from kit.certs import Authority
from kit.nexthop import Hop, obliging
from kit.server import BINARY, ROOT, Config, Server, postern
from kit.traffic import ALICE, submit, wait_empty
from kit.wait import DEADLINE, until
from kit.wire import Closed

BOB = "bob@example.org"


@pytest.fixture
def own(run, config, zoo, tmp_path):
    """A server whose certificate, key, CA and revocation list are copies that a test may change."""
    files = {"cert": zoo.server.certificate, "key": zoo.server.key, "ca": zoo.staff.file, "crl": zoo.crl}
    for name, path in files.items():
        shutil.copy(path, tmp_path / name)
    config.add(f'trust staff {{ ca = {{"{tmp_path}/ca"}} crl = {{"{tmp_path}/crl"}} }}')
    config.add("reload-interval = 0")  # only when told to
    config.spool().maildir("example.org").maildir("default", "elsewhere/%u")
    for name, mode in (("in", "implicit"), ("upgrade", "starttls")):
        config.listener(name, mode, trust="{staff}", certificate=f'"{tmp_path}/cert"', key=f'"{tmp_path}/key"')
    return run(config)


def served_certificate(server, listener="in"):
    with server.connect(listener, "good") as c:
        return c.sock.getpeercert(True)


def der(credential):
    return credential.x509.public_bytes(Encoding.DER)


# ---- reload ----

def test_renewed_certificate(own, zoo, tmp_path):
    """TLS-16: new handshakes show the new certificate; a session that is open goes on."""
    renewed = zoo.issue_server("renewed")
    before = served_certificate(own)
    with own.connect("in", "good") as c:
        c.mail(ALICE, BOB)
        shutil.copy(renewed.certificate, tmp_path / "cert")
        shutil.copy(renewed.key, tmp_path / "key")
        assert served_certificate(own) == before  # nothing happens by itself
        own.log.wait("reloaded", since=own.reload())
        assert served_certificate(own) == served_certificate(own, "upgrade") == der(renewed) != before
        c.message(b"Subject: reload-survivor\r\n\r\nx\r\n")
        c.mail(ALICE, BOB)
        c.quit()
    own.mailbox(BOB).wait("reload-survivor")


def test_handshake_begun_before_a_reload(own, zoo, tmp_path):
    """A connection that was there before the reload and starts TLS after it is served."""
    with own.client("upgrade") as c:
        c.expect_reply(220)
        c.expect("EHLO client.example.org", 250)
        shutil.copy(zoo.issue_server("renewed2").certificate, tmp_path / "cert")
        shutil.copy(zoo.folder / "renewed2.key", tmp_path / "key")
        own.log.wait("reloaded", since=own.reload())
        c.expect("STARTTLS", 220)
        c.start_tls(own.tls("good"))
        c.expect("EHLO client.example.org", 250)
        c.expect(f"MAIL FROM:<{ALICE}>", 250)


BROKEN = {
    "empty certificate": ("cert", b""),
    "no certificate": ("cert", None),
    "garbage certificate": ("cert", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    "key of another": ("key", "stranger"),
    "no key": ("key", None),
    "no CA": ("ca", None),
    "garbage list": ("crl", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_renewal(own, zoo, tmp_path, what):
    """TLS-16: a file that is broken keeps the old one in place, and the log names the file."""
    name, content = BROKEN[what]
    before = served_certificate(own)
    path = tmp_path / name
    kept = path.read_bytes()
    if content is None:
        path.unlink()
    else:
        path.write_bytes(zoo["bob"].key.read_bytes() if content == "stranger" else content)
    mark = own.reload()
    event = own.log.wait("reload-failed", since=mark)
    assert event.level == "error" and str(path) in event["message"] and "stays" in event["message"], event
    assert own.log.wait("reloaded", since=mark).level == "warning"
    assert served_certificate(own) == before
    submit(own, BOB)
    path.write_bytes(kept)
    own.log.wait("reloaded", since=own.reload(), failed=0)


def test_revoked_meanwhile(own, zoo, tmp_path):
    """CERT-11, EDG-14, EDG-18, RES-06: after a reload with a new list a resumed session is judged by it, and one that
    is open and logged in ends at its next command."""
    ca = Authority(tmp_path, "Short CA")  # its own, so that nobody else's certificate is touched
    shortlived = ca.issue("shortlived", [ALICE])
    (tmp_path / "ca").write_bytes(ca.file.read_bytes())
    (tmp_path / "crl").write_bytes(ca.crl())
    own.log.wait("reloaded", since=own.reload())
    tls = own.tls(shortlived)

    def session(resume=None):
        c = own.client("in")
        c.sock = tls.wrap_socket(c.sock, server_hostname="mail.example.org", session=resume)
        c.expect_reply(220)
        c.ehlo = c.expect("EHLO client.example.org", 250)
        return c

    with session() as first:
        assert first.offers_external()
        ticket = first.sock.session
    with session(ticket) as second:
        assert second.offers_external() and second.sock.session_reused
        ticket = second.sock.session
    loggedin, outside = session(), session()
    loggedin.expect(f"MAIL FROM:<{ALICE}>", 250)
    ca.revoke(shortlived)
    (tmp_path / "crl").write_bytes(ca.crl())
    own.log.wait("reloaded", since=own.reload())
    for resume in (ticket, None):
        with session(resume) as c:
            assert not c.offers_external()
            c.expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0", "revoked")
    with loggedin, outside:
        outside.expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0", "revoked")
        loggedin.expect(f"RCPT TO:<{BOB}>", 421, "4.7.0", "revoked")
        loggedin.expect_close()


def test_files_are_watched(own, zoo, tmp_path):
    """TLS-16: without a signal, too, when the interval says so."""
    own.stop()
    own.config.parts[own.config.parts.index("reload-interval = 0")] = "reload-interval = 200ms"
    own.start()
    renewed = zoo.issue_server("watched")
    mark = own.log.mark()
    for name, path in (("cert", renewed.certificate), ("key", renewed.key)):
        shutil.copy(path, tmp_path / "fresh")
        (tmp_path / "fresh").rename(tmp_path / name)
    until(lambda: served_certificate(own) == der(renewed), "the new certificate")
    assert own.log.wait("reloaded", since=mark, failed=0)


def test_reloads_under_load(own):
    """Twenty reloads while clients come and go: everybody is served."""
    stop, served, errors = threading.Event(), [], []

    def work():
        while not stop.is_set():
            try:
                with own.connect("in", "good") as c:
                    c.expect(f"MAIL FROM:<{ALICE}>", 250)
                    c.quit()
                served.append(1)
            except Exception as e:  # noqa: BLE001: shown below
                errors.append(e)
                return

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for _ in range(20):
        before = len(served)
        own.log.wait("reloaded", since=own.reload())
        until(lambda: len(served) > before or errors, "a client to be served")
    stop.set()
    for t in threads:
        t.join()
    assert not errors, errors[0]


# ---- the end ----

def test_stop_with_a_message_in_flight(own):
    """SMTP-22: idle clients hear 421 4.3.2, nobody new is let in, what is in flight is finished and kept; exit 0."""
    idle = [own.connect("in", "good"), own.connect("upgrade", "good"), own.client("upgrade")]
    idle[2].expect_reply(220)
    busy = own.connect("in", "good")
    busy.mail(ALICE, BOB)
    busy.expect("DATA", 354)
    busy.send(b"Subject: in-flight\r\n\r\nhalf of it, ")
    own.signal(signal.SIGTERM)
    for c in idle:
        c.expect_reply(421, "4.3.2")
        c.expect_close()
    with pytest.raises((ConnectionError, Closed)):
        own.client("in").reply()
    assert own.is_running()
    busy.send(b"and the rest\r\n.\r\n")
    busy.expect_reply(250, "2.0.0")
    busy.expect_reply(421, "4.3.2")
    busy.expect_close()
    own.stop()
    assert own.log.find("stopped")
    own.start()
    assert own.mailbox(BOB).wait("in-flight").body == b"half of it, and the rest\n"


def test_stop_in_a_transaction(own):
    """A transaction that is open is in flight: its client may finish it."""
    with own.connect("in", "good") as c:
        c.expect(f"MAIL FROM:<{ALICE}>", 250)
        own.signal(signal.SIGTERM)
        own.log.wait("stopping")
        c.expect(f"RCPT TO:<{BOB}>", 250)
        c.message(b"Subject: late-one\r\n\r\nx\r\n")
        c.expect_reply(421, "4.3.2")
    own.stop()
    own.start()
    own.mailbox(BOB).wait("late-one")


def test_stop_in_the_handshake(own):
    """Connections that have not got anywhere do not keep a server from stopping, and hear nothing in the clear."""
    waiting = [own.client("in"), own.client("upgrade")]
    waiting[1].expect_reply(220)
    waiting[1].expect("EHLO client.example.org", 250)
    waiting[1].expect("STARTTLS", 220)
    own.log.session_of(waiting[0])
    own.stop(timeout=15)
    for c in waiting:
        c.expect_close()


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_stop_signals(own, number):
    """Either ends the server well, at once when nothing is in flight."""
    own.signal(number)
    assert own.wait_exit(15) == 0
    assert own.log.find("stopped")


def test_stop_with_a_delivery_in_flight(run, config):
    """I3: a next hop that answers while we stop is heard, and after the restart nothing is sent twice."""
    asked, go = threading.Event(), threading.Event()

    def hold(peer, recipients, text):
        asked.set()
        go.wait(30)

    hop = obliging(before_answer=hold)
    config.trust().spool().listener("in", "implicit", trust="{staff}")
    config.route("default", smtp=f'"{hop.address}"', tls="off")
    server = run(config)
    token, _ = submit(server, "u@far.test")
    assert asked.wait(30)
    server.signal(signal.SIGTERM)
    server.log.wait("stopping")
    go.set()
    server.stop()
    server.start()
    wait_empty(server)
    assert len(hop.holding(token)) == 1
    hop.close()


def test_restart_delivers(run, config):
    """I1: what was queued before a stop is delivered after the start, in any number."""
    hop = Hop()
    port = hop.port
    hop.close()
    config.trust().spool().listener("in", "implicit", trust="{staff}").route("default", smtp=f'"127.0.0.1:{port}"')
    config.add("delivery { retry-min = 1s retry-max = 1s }")
    server = run(config)
    tokens = [submit(server, f"u{n}@far.test")[0] for n in range(20)]
    server.stop()
    hop = Hop(port=port)
    server.start()
    postern("queue", "flush", "-c", config.folder / "postern.conf")
    for token in tokens:
        hop.wait(token)
    wait_empty(server)
    assert len(hop.taken) == 20
    hop.close()


def test_second_server_on_one_spool(own, config, tmp_path):
    """Two servers never share a spool: the second one says who has it and goes."""
    other = Config(tmp_path / "other", own.config.zoo)
    other.folder.mkdir()
    other.trust().spool(own.config.database).listener("in", "implicit", trust="{staff}").maildir("example.org")
    second = Server(other, "second")
    second.start(wait=False)
    assert second.wait_exit() != 0
    event = second.log.wait("start-failed")
    assert str(own.config.database) in event["message"], event
    submit(own, BOB)


def test_descriptors(run, config):
    """The soft limit, which is there for select(2), is raised to what the system allows; less than what is configured
    is told at the start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    config.trust().spool().maildir("default").listener("in", "implicit", trust="{staff}", connections=1_000_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 512), hard))
    try:
        server = run(config)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    limits = Path(f"/proc/{server.pid}/limits").read_text().splitlines()
    now = next(line for line in limits if line.startswith("Max open files")).split()
    assert now[3] == now[4] == str(hard), now
    assert "LimitNOFILE" in server.log.wait("descriptors")["message"]


def test_service_manager_is_told(run, config, tmp_path):
    """sd_notify(3): ready when it serves, and that it ends before it has ended."""
    config.trust().spool().maildir("default").listener("in", "implicit", trust="{staff}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(DEADLINE)
        server = run(config, env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert manager.recv(100) == b"READY=1"
        server.connect("in", "good").quit()
        server.stop()
        assert manager.recv(100) == b"STOPPING=1"


def test_service_manager_is_gone(run, config, tmp_path):
    config.trust().spool().maildir("default").listener("in", "implicit", trust="{staff}")
    server = run(config, env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    assert "READY=1" in server.log.wait("service-manager")["message"]
    server.connect("in", "good").quit()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_unit(tmp_path):
    unit = (ROOT / "examples/postern.service.in").read_text()
    assert "@bindir@/postern serve" in unit
    place = tmp_path / "postern.service"
    place.write_text(unit.replace("@bindir@/postern", str(BINARY)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", place], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
