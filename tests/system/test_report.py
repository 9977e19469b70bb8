"""What the operator sees: the metrics page, and the report on sequences, of a server that has served."""
import calendar
import http.client
import json
import re
import socket
import subprocess
import time

import pytest

from kit.server import PORTS, postern

ALICE, BOB = "alice@example.org", "bob@example.org"


@pytest.fixture
def site(run, config):
    config.trust("staff").spool().maildir("default", "elsewhere/%d/%u")
    for policy in ("explicit", "implicit"):
        config.listener(policy, "starttls", trust="{staff}", certificate_auth=policy)
    config.metrics = next(PORTS)
    config.add(f'metrics {{ address = "127.0.0.1:{config.metrics}" }}')
    return run(config, "site")


def get(site, target="/metrics", method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", site.config.metrics, timeout=30)
    connection.request(method, target)
    answer = connection.getresponse()
    return answer, answer.read().decode()


def counters(site):
    answer, body = get(site)
    assert answer.status == 200 and answer.getheader("Content-Type").startswith("text/plain; version=0.0.4")
    found = {}
    for line in body.splitlines():
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r'(\w+)\{(.*)\} (-?\d+)', line).groups()
            found[name, *re.findall(r'\w+="([^"]*)"', labels)] = int(value)
    return found


def one_message(client):
    client.expect(f"MAIL FROM:<{ALICE}>", 250)
    client.expect("RCPT TO:<carol@example.net>", 250)
    client.expect("DATA", 354)
    client.send(b"Subject: x\r\n\r\nx\r\n")
    client.expect(".", 250)
    client.expect("QUIT", 221)


def serve_some(site):
    one_message(site.connect("implicit", "good"))
    explicit = site.connect("implicit", "bob")
    explicit.expect("AUTH EXTERNAL =", 235)
    explicit.expect(f"MAIL FROM:<{ALICE}>", 550)
    explicit.expect("QUIT", 221)
    refused = site.connect("explicit", "good", name="refused.example.org")
    refused.expect(f"MAIL FROM:<{ALICE}>", 530)
    refused.expect("QUIT", 221)
    revoked = site.connect("implicit", "revoked")
    revoked.expect("AUTH EXTERNAL =", 504)
    revoked.expect("QUIT", 221)
    for client in (explicit, refused, revoked):
        site.log.end_of(client)


def test_counters(site):
    before = counters(site)
    assert not any(n for (name, *_), n in before.items() if not name.endswith("_expires_seconds"))
    serve_some(site)
    now = counters(site)
    wanted = {
        ("postern_connections_total", "implicit"): 3,
        ("postern_connections_total", "explicit"): 1,
        ("postern_connections_refused_total", "explicit", "connections-per-client"): 0,
        ("postern_tls_handshakes_total", "implicit", "full"): 3,
        ("postern_certificates_total", "implicit", "acceptable", "none"): 2,
        ("postern_certificates_total", "implicit", "unacceptable", "revoked"): 1,
        ("postern_logins_total", "implicit", "explicit"): 1,
        ("postern_logins_total", "implicit", "implicit"): 1,
        ("postern_logins_refused_total", "implicit"): 1,
        ("postern_implicit_refused_total", "explicit"): 1,
        ("postern_implicit_refused_total", "implicit"): 0,
        ("postern_messages_total", "implicit"): 1,
        ("postern_recipients_total", "implicit"): 1,
        ("postern_refused_total", "explicit", "5"): 1,
        ("postern_refused_total", "implicit", "5"): 2,
        ("postern_sessions", "explicit", "explicit"): 0,
    }
    assert {k: now.get(k) for k in wanted} == wanted


def test_expiries(site, zoo):
    """What is on the page goes out of date when the files say so."""
    def seconds(text):
        return calendar.timegm(time.strptime(text, "%b %d %H:%M:%S %Y GMT")) - time.time()

    def openssl(*words):
        return subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=True).stdout

    now = counters(site)
    end = openssl("x509", "-noout", "-enddate", "-in", zoo.server.certificate).strip().partition("=")[2]
    for listener in ("explicit", "implicit"):
        left = now["postern_certificate_expires_seconds", listener, str(zoo.server.certificate)]
        assert abs(left - seconds(end)) < 60
    lists = {key: left for key, left in now.items() if key[0] == "postern_crl_expires_seconds"}
    end = openssl("crl", "-noout", "-nextupdate", "-in", zoo.crl).strip().partition("=")[2]
    assert {key[1:] for key in lists} == {("staff", "CN=Staff CA"), ("staff", "CN=Staff Branch CA")}
    assert all(abs(left - seconds(end)) < 60 for left in lists.values()), lists


@pytest.mark.parametrize("method, target, status", [
    ("GET", "/", 404), ("GET", "/metrics/..", 404), ("POST", "/metrics", 405), ("HEAD", "/metrics", 405)])
def test_nothing_else_is_served(site, method, target, status):
    assert get(site, target, method)[0].status == status


@pytest.mark.parametrize("request_, status", [
    (b"GET /metrics\r\n\r\n", b"400"), (b"\r\n\r\n", b"400"), (b"EHLO me\r\n\r\n", b"400"),
    (b"GET /metrics HTTP/1.0\r\n\r\n", b"200"), (b"GET /" + b"a" * 5000, b"431"), (b"\0" * 5000, b"431")])
def test_requests_that_are_odd(site, request_, status):
    with socket.create_connection(("127.0.0.1", site.config.metrics), timeout=30) as s:
        s.sendall(request_)
        said = b""
        while piece := s.recv(65536):
            said += piece
    assert said.split(b" ", 2)[1] == status, said


def test_many_visitors(site):
    """More than are served at a time are turned away, and the rest are served."""
    waiting = [socket.create_connection(("127.0.0.1", site.config.metrics), timeout=30) for _ in range(16)]
    turned_away = socket.create_connection(("127.0.0.1", site.config.metrics), timeout=30)
    assert turned_away.recv(1) == b""
    for s in waiting:
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert s.recv(12) == b"HTTP/1.1 200"
        s.close()
    assert get(site)[0].status == 200


def test_sequences(site):
    """Who used which sequence, whom a change would lock out, and who was refused."""
    serve_some(site)
    log = "\n".join(site.log.lines) + "\n"
    text = postern("report", "sequences", input=log).stdout
    assert re.search(r"listener implicit\n.*certificate-auth = explicit would lock out 1 of 2:\n    "
                     + re.escape(ALICE), text, re.S), text
    assert re.search(rf"listener explicit\n.*MAIL without AUTH was refused to:\n    {re.escape(ALICE)}", text, re.S)
    told = json.loads(postern("report", "sequences", "--json", "--log", "-", input=log).stdout)
    by = {(u["listener"], u["identity"]): u for u in told["identities"]}
    assert set(by) == {("implicit", ALICE), ("implicit", BOB), ("explicit", ALICE)}
    assert by["implicit", ALICE]["locked_out_by_explicit"] == "all"
    assert by["implicit", BOB]["locked_out_by_explicit"] == "none"
    assert by["explicit", ALICE]["refused"] == 1 and by["explicit", ALICE]["clients"] == ["refused.example.org"]


def test_what_is_no_log(tmp_path):
    assert "no line" in postern("report", "sequences", input="hello\n", status=65).stderr
    assert "cannot read" in postern("report", "sequences", "--log", tmp_path / "none", status=66).stderr
    postern("report", status=64)
    postern("report", "sequences", "--nonsense", status=64)
    assert "nobody logged in" in postern("report", "sequences", input="").stdout
