"""`postern probe server`: the verdict on our own server under each policy, and on servers that behave oddly."""
import json
import socket
import ssl
import threading
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from kit.server import postern

ALICE = "alice@example.org"


def probe(port, tls, credential=None, *more, status=None, timeout=3):
    words = ["probe", "server", f"127.0.0.1:{port}", "--tls", tls, "--tls-version", "1.3", "--json",
             "--timeout", timeout, "--identity", ALICE, "--to", "carol@example.net", *more]
    if credential:
        words += ["--certificate", credential.certificate, "--key", credential.key]
    report = json.loads(postern(*words, status=status).stdout)
    report["by"] = {case["id"]: case["results"][0] for case in report["cases"]}
    return report


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
@pytest.mark.parametrize("policy,verdict", [("off", "none"), ("explicit", "option-1-or-3"), ("implicit", "option-2")])
def test_verdict_on_ourselves(house, zoo, policy, mode, verdict):
    report = probe(house[f"{policy}-{mode}"].port, mode, zoo["good"], status=0)
    assert report["verdict"] == verdict and report["result"] == "conforming", report
    wrong = [(name, c) for name, c in report["by"].items() if c["status"] in ("fail", "warning")]
    assert not wrong, wrong
    straight = report["clients"][-1]
    assert straight["sends"] == "straight to MAIL" and straight["works"] == ("yes" if policy == "implicit" else "no")
    if policy != "off":
        assert report["by"]["pipelined"]["status"] == "pass" and report["by"]["foreign"]["status"] == "pass"
    assert (report["by"]["clear"]["status"] == "pass") == (mode == "starttls")


def test_without_certificate_nothing_is_told(house):
    report = probe(house["implicit-starttls"].port, "starttls", status=2)
    assert report["verdict"] == "unknown" and report["result"] == "could not tell"
    assert "--certificate" in report["by"]["implicit"]["detail"]


class Odd:
    """A server with implicit TLS that says what `answer(line, state)` returns; None: it closes."""

    def __init__(self, zoo, answer, greeting=b"220 odd\r\n", mechanisms="EXTERNAL PLAIN"):
        self.answer, self.greeting, self.mechanisms = answer, greeting, mechanisms
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(zoo.server.certificate, zoo.server.key)
        self.tls.verify_mode = ssl.CERT_OPTIONAL
        self.tls.load_verify_locations(zoo.staff.file)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                conn, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.guarded, args=(conn,), daemon=True).start()

    def guarded(self, conn):
        try:
            with self.tls.wrap_socket(conn, server_side=True) as c:
                self.session(c)
        except OSError:
            pass

    def session(self, c):
        c.sendall(self.greeting)
        state = {"cert": bool(c.getpeercert()), "in": False}
        for raw in c.makefile("rb"):
            line = raw.decode().rstrip("\r\n")
            said = self.usual(line, state)
            if said is None:
                return
            c.sendall(said.encode() + b"\r\n")

    def usual(self, line, state):
        said = self.answer(line, state)
        if said != "usual":
            return said
        word = line.upper().split(" ")[0]
        if word == "EHLO":
            return f"250-odd\r\n250 AUTH {self.mechanisms}" if self.mechanisms else "250 odd"
        if word in ("MAIL", "RCPT"):
            return "250 2.1.0 fine" if state["in"] else "530 5.7.0 log in"
        return {"RSET": "250 2.0.0 ok", "QUIT": "221 2.0.0 bye"}.get(word, "500 5.5.1 what?")


@pytest.fixture
def odd(zoo):
    servers = []

    def start(*args, **more):
        servers.append(Odd(zoo, *args, **more))
        return servers[-1].port
    yield start
    for server in servers:
        server.listening.close()


def test_hides_auth_after_the_certificate(odd, zoo):
    def answer(line, state):
        state["in"] = state["cert"]
        return "503 5.5.1 no AUTH here" if line.startswith("AUTH") else "usual"
    report = probe(odd(answer, mechanisms=""), "implicit", zoo["good"], status=1)
    assert report["verdict"] == "hidden-auth" and report["by"]["enabled"]["status"] == "fail"


def test_access_rule(odd, zoo):
    def answer(line, state):
        state["in"] = state["cert"]
        return "504 5.5.4 not that" if line.startswith("AUTH") else "usual"
    report = probe(odd(answer, mechanisms="PLAIN"), "implicit", zoo["good"], status=1)
    assert report["verdict"] == "access-rule"


def test_prompts_in_spite_of_an_equals_sign(odd, zoo):
    def answer(line, state):
        if line.startswith("AUTH"):
            state["asked"] = True
            return "334 VXNlcm5hbWU6"
        if state.pop("asked", False):
            state["in"] = line == ""
            return "235 2.7.0 in" if state["in"] else "501 5.5.2 cancelled"
        return "usual"
    report = probe(odd(answer), "implicit", zoo["good"])
    assert report["verdict"] == "option-1-or-3"
    works = {c["sends"]: c["works"] for c in report["clients"]}
    assert works["bare, then an empty line"] == "yes" and works["AUTH EXTERNAL ="] == "no"


def test_closes_after_535(odd, zoo):
    def answer(line, state):
        if state.get("refused"):
            return None
        state["refused"] = line.startswith("AUTH")
        return "535 5.7.8 no" if state["refused"] else "usual"
    report = probe(odd(answer), "implicit", zoo["good"])
    assert report["verdict"] == "none"


@pytest.mark.parametrize("greeting", [b"220-more\r\n" * 1000, b"220 " + b"x" * 100000, b"\x1b[2Jhello\r\n", b""],
                         ids=["lines", "length", "garbage", "silence"])
def test_hostile_greeting(odd, zoo, greeting):
    report = probe(odd(lambda line, state: None, greeting=greeting), "implicit", zoo["good"], status=2, timeout=1)
    assert report["result"] == "could not tell" and report["by"]["no-certificate"]["status"] == "not run"


def test_anybody_may_send(odd, zoo):
    def answer(line, state):
        state["in"] = True
        return "535 5.7.8 no" if line.startswith("AUTH") else "usual"
    assert probe(odd(answer), "implicit", zoo["good"], status=1)["verdict"] == "open"


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    report = probe(port, "implicit", status=2)
    assert "refused" in report["by"]["no-certificate"]["detail"].lower()


class Page(HTMLParser):
    """Sees that every element is closed in turn, that nothing is loaded, and collects the words."""
    EMPTY = {"meta", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.tags = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        assert not {"src", "href", "onload"} & {name for name, _ in attributes}
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        self.words.append(data)


def test_reports_as_files(odd, zoo, tmp_path):
    """JUnit XML and a page, with a server that would like to be markup."""
    def answer(line, state):
        state["in"] = state["cert"]
        return "504 5.5.4 <script>alert('x')</script> & so on" if line.startswith("AUTH") else "usual"
    junit, html = tmp_path / "r.xml", tmp_path / "r.html"
    done = postern("probe", "server", f"127.0.0.1:{odd(answer)}", "--tls", "implicit", "--certificate",
                   zoo["good"].certificate, "--key", zoo["good"].key, "--junit", junit, "--html", html, status=1)
    assert "<script>alert('x')</script> & so on" in done.stdout
    root = ElementTree.parse(junit).getroot()
    cases = root.findall("testsuite/testcase")
    assert root.tag == "testsuites" and len(cases) == int(root.get("tests"))
    assert len(root.findall(".//failure")) == int(root.get("failures")) > 0
    assert len(root.findall(".//skipped")) == int(root.get("skipped")) > 0
    assert any("<script>" in e.text for e in root.iter("system-out"))
    page = Page(html.read_text())
    assert "script" not in page.tags and any("<script>" in w for w in page.words)
    assert any("access rule" in w for w in page.words)


def test_a_report_that_cannot_be_written(odd, zoo, tmp_path):
    port = odd(lambda line, state: "usual")
    done = postern("probe", "server", f"127.0.0.1:{port}", "--tls", "implicit", "--html", tmp_path / "no" / "r.html",
                   status=73)
    assert "r.html: No such file" in done.stderr
