"""Responders asked about certificates (RFC 6960): a real `openssl ocsp`, and ones that are dead or silent."""
import socket
import subprocess
import threading

import pytest

from kit.certs import Authority, write_pem, key_pem

ALICE = "alice@example.org"


class Responder:
    """`openssl ocsp` on a port of its own."""

    def __init__(self, folder, ca, known):
        index = folder / "index.txt"
        index.write_text("".join(f"{state}\t391231235959Z\t{'261102000000Z' if state == 'R' else ''}\t"
                                 f"{serial_hex(c)}\tunknown\t/CN={c.name}\n" for c, state in known))
        key = write_pem(folder / "responder.key", key_pem(ca.key))
        self.process = subprocess.Popen(
            ["openssl", "ocsp", "-port", "0", "-index", index, "-CA", ca.file, "-rsigner", ca.file,
             "-rkey", key, "-nmin", "5", "-ignore_err"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = int(self.process.stdout.readline().split()[1].rsplit(":", 1)[1])

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


def serial_hex(credential):
    digits = f"{credential.serial:X}"
    return "0" * (len(digits) % 2) + digits


class Silent:
    """Takes connections and says nothing."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def stop(self):
        self.socket.close()


@pytest.fixture
def ca(tmp_path):
    return Authority(tmp_path, "Site CA")


@pytest.fixture
def serve(run, config, ca):
    def start(port, mode):
        config.add("ocsp-timeout = 1s")
        config.add(f'trust site {{ ca = {{"{ca.file}"}} ocsp = {mode} '
                   f'ocsp-responder = "http://127.0.0.1:{port}/" }}')
        for tls in ("starttls", "implicit"):
            config.listener(tls, tls, trust="{site}")
        config.spool().maildir("default", "elsewhere/%d/%u")
        return run(config, "site")
    return start


@pytest.mark.parametrize("mode", ("soft", "hard"))
def test_what_openssl_says(serve, ca, tmp_path, mode):
    """CERT-12: good is let in, revoked and unknown are not, under either mode, and are told why."""
    good, revoked, unknown = (ca.issue(n, [ALICE]) for n in ("good", "revoked", "unknown"))
    responder = Responder(tmp_path, ca, [(good, "V"), (revoked, "R")])
    try:
        server = serve(responder.port, mode)
        for listener in ("starttls", "implicit"):
            for version in ("1.2", "1.3"):
                client = server.connect(listener, good, version)
                client.expect("AUTH EXTERNAL =", 235)
                client = server.connect(listener, revoked, version)
                client.expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0", "was revoked on 2026-11-02")
                client = server.connect(listener, unknown, version)
                client.expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0", "not known to the responder")
    finally:
        responder.stop()


@pytest.mark.parametrize("listener", ("starttls", "implicit"))
def test_no_answer_hard(serve, ca, listener):
    """Hard: without an answer the client is told to come again, long before two minutes have passed (SUB-10); others are
    served while it waits."""
    silent = Silent()
    server = serve(silent.port, "hard")
    alice = ca.issue("alice", [ALICE])
    replies = []

    def wait():
        client = server.connect(listener, alice)
        replies.append(client.expect(f"MAIL FROM:<{ALICE}>", 454, "4.7.0", "gives no answer"))

    waiting = threading.Thread(target=wait)
    waiting.start()
    other = server.connect(listener, None)
    other.expect("NOOP", 250)
    waiting.join()
    assert replies
    silent.stop()


def test_no_answer_soft(serve, ca):
    """Soft: without an answer the certificate counts, and the log says that nobody answered."""
    silent = Silent()
    server = serve(silent.port, "soft")
    mark = server.log.mark()
    server.connect("starttls", ca.issue("alice", [ALICE])).expect("AUTH EXTERNAL =", 235)
    server.log.wait("ocsp-no-answer", since=mark)
    silent.stop()


def test_stop_while_waiting(serve, ca):
    """A server that is stopped waits for no responder."""
    silent = Silent()
    server = serve(silent.port, "hard")
    alice = ca.issue("alice", [ALICE])

    def wait():
        try:
            server.connect("implicit", alice)
        except (AssertionError, OSError, EOFError):
            pass

    waiting = threading.Thread(target=wait)
    waiting.start()
    silent.socket.accept()
    server.stop()
    waiting.join()
    silent.stop()
