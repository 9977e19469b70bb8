"""`postern probe server`: the verdict on our own server under each policy, and on servers that behave oddly."""
import json
import socket
import ssl
import subprocess
import threading
import time
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from kit.certs import key_pem, write_pem
from kit.server import BINARY, environment, postern
from kit.wait import DEADLINE, until

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


def test_the_sender_is_the_certificates_own(house, zoo):
    """Who names nobody is not told that a server which looks at senders follows another rule."""
    words = ["probe", "server", f"127.0.0.1:{house['implicit-implicit'].port}", "--tls", "implicit", "--tls-version", "1.3",
             "--json", *shown(zoo["good"])]
    report = json.loads(postern(*words, status=0).stdout)
    assert report["verdict"] == "option-2"


@pytest.mark.parametrize("policy,verdict,status", [("implicit", "unknown", 2), ("explicit", "option-1-or-3", 0)])
def test_a_sender_that_is_refused(house, zoo, policy, verdict, status):
    """550 after 235 is about the sender: it breaks no rule, and says nothing about mail without AUTH."""
    report = probe(house[f"{policy}-implicit"].port, "implicit", zoo["good"], "--from", "mallory@example.org", status=status)
    assert report["verdict"] == verdict and "--from" in report["by"]["login-opens"]["detail"]
    assert ("--from" in report["untold"]) == (policy == "implicit")


def test_without_certificate_nothing_is_told(house):
    report = probe(house["implicit-starttls"].port, "starttls", status=2)
    assert report["verdict"] == "unknown" and report["result"] == "could not tell"
    assert "--certificate" in report["by"]["implicit"]["detail"]


class Odd:
    """A server that says what `answer(line, state)` returns ("usual": what is usual, None: it closes).  TLS from the first
    octet, unless `starttls`; `carry`: what came in the clear behind STARTTLS is taken for said inside."""

    def __init__(self, zoo, answer, greeting=b"220 odd\r\n", mechanisms="EXTERNAL PLAIN", starttls=False, carry=False,
                 versions=None, pause=0):
        self.answer, self.greeting, self.mechanisms = answer, greeting, mechanisms
        self.starttls, self.carry, self.pause = starttls, carry, pause
        self.done = threading.Event()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if versions:
            self.tls.minimum_version, self.tls.maximum_version = versions
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

    def close(self):
        self.done.set()
        self.listening.close()

    def guarded(self, conn):
        try:
            if self.starttls:
                with conn:
                    self.session(conn, {"cert": False, "in": False, "tls": False})
                return
            with self.tls.wrap_socket(conn, server_side=True) as c:
                self.session(c, {"cert": bool(c.getpeercert()), "in": False, "tls": True})
        except OSError:
            pass

    def send(self, c, octets):
        if not self.pause:
            c.sendall(octets)
        for i in range(len(octets) if self.pause else 0):
            c.sendall(octets[i:i + 1])
            if self.done.wait(self.pause):
                raise OSError("the test is over")

    def session(self, c, state, left=b"", greet=True):
        if greet:
            self.send(c, self.greeting)
        while True:
            while b"\r\n" not in left:
                more = c.recv(4096)
                if not more:
                    return
                left += more
            raw, left = left.split(b"\r\n", 1)
            line = raw.decode()
            said = self.usual(line, state)
            if said is None:
                return
            self.send(c, said.encode() + b"\r\n")
            if line == "STARTTLS" and said.startswith("220"):
                with self.tls.wrap_socket(c, server_side=True) as inside:
                    fresh = {"cert": bool(inside.getpeercert()), "in": False, "tls": True}
                    self.session(inside, fresh, left if self.carry else b"", greet=False)
                return

    def usual(self, line, state):
        said = self.answer(line, state)
        if said != "usual":
            return said
        word = line.upper().split(" ")[0]
        if word == "EHLO":
            state["hello"] = True
            if self.starttls and not state["tls"]:
                return "250-odd\r\n250 STARTTLS"
            return f"250-odd\r\n250-PIPELINING\r\n250 AUTH {self.mechanisms}" if self.mechanisms else "250 odd"
        if word == "STARTTLS" and self.starttls and not state["tls"]:
            return "501 5.5.4 alone" if " " in line else "220 2.0.0 go"
        if word in ("MAIL", "RCPT") and not state.get("hello"):
            return "503 5.5.1 hello?"
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
        server.close()


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
    assert "refused" in report["by"]["version"]["detail"].lower()


@pytest.mark.parametrize("listener,tls,said", [("implicit-implicit", "starttls", "--tls implicit"),
                                               ("implicit-starttls", "implicit", "--tls starttls")])
def test_tls_the_other_way(house, zoo, listener, tls, said):
    """A port that is not 465 does not tell in which way it speaks TLS; who took the wrong one is told, and not asked for
    another certificate."""
    report = probe(house[listener].port, tls, zoo["good"], status=2, timeout=1)
    assert said in report["untold"] and "--tls" in report["change"] and "Give a certificate" not in report["change"]


def test_a_certificate_refused_by_everybody(house, zoo):
    """The alert is the reason; that the server was not reached is only what follows from it."""
    report = probe(house["required"].port, "implicit", zoo["unknown-ca"], status=2)
    assert "unknown_ca" in report["untold"], report["untold"]


# ---- our own, all at once ----

def statuses(report):
    """By case, its status in each column."""
    return {case["id"]: [r["status"] for r in case["results"]] for case in report["cases"]}


def run_probe(*words, status=None):
    return json.loads(postern("probe", "server", "--json", "--timeout", 10, *words, status=status).stdout)


def shown(credential):
    return ["--certificate", credential.certificate, "--key", credential.key]


def own(zoo, name="good"):
    return shown(zoo[name]) + ["--identity", ALICE, "--to", "carol@example.net"]


def bad(zoo):
    """Every kind, from the zoo."""
    kinds = {"no-email": "dns-only"}
    words = []
    for kind in ("expired", "future", "server-only", "unknown-ca", "self-signed", "no-email", "revoked"):
        c = zoo[kinds.get(kind, kind)]
        words += ["--bad", f"{kind}={c.certificate},{c.key}"]
    return words


BAD = ("expired", "future", "server-only", "unknown-ca", "self-signed", "no-email", "revoked")


def test_matrix_on_ourselves(house, zoo):
    """OPN-11: both ports, both versions of TLS, every case: none fails, none warns, and all columns agree."""
    targets = [f"submission://127.0.0.1:{house['implicit-starttls'].port}",
               f"submissions://127.0.0.1:{house['implicit-implicit'].port}"]
    report = run_probe(*targets, *own(zoo), *bad(zoo), status=0)
    assert [c["verdict"] for c in report["columns"]] == ["option-2"] * 4 and report["verdict"] == "option-2"
    assert [c["name"].split(", ")[1] for c in report["columns"]] == ["TLS 1.2", "TLS 1.3"] * 2
    seen = statuses(report)
    assert not {name: s for name, s in seen.items() if {"fail", "warning"} & set(s)}, report
    needless = {"relay", "deliver-explicit", "deliver-implicit"}
    assert {n for n, s in seen.items() if set(s) == {"not run"}} == needless
    assert all(c["works"] == "yes" for c in report["clients"]), report["clients"]
    by = {case["id"]: case["results"] for case in report["cases"]}
    assert all("carried over" in r["detail"] for r in by["resumption"]), by["resumption"]
    assert all("no CA is named" in r["detail"] for r in by["request"])
    assert "revoked on" in by["revoked"][0]["detail"] and "not offered" in by["revoked"][0]["detail"]


def test_bad_certificates_are_made(house, zoo, tmp_path):
    """--ca-cert and --ca-key: nothing is left behind; where a certificate is required each is an alert."""
    key = write_pem(tmp_path / "staff.key", key_pem(zoo.staff.key))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = ["probe", "server", "--json", f"submissions://127.0.0.1:{house['required'].port}", *own(zoo),
             "--ca-cert", zoo.staff.file, "--ca-key", key]
    report = json.loads(postern(*words, status=None, env={"TMPDIR": str(scratch)}).stdout)
    assert not list(scratch.iterdir())
    details = {case["id"]: [r["detail"] for r in case["results"]] for case in report["cases"]}
    seen = statuses(report)
    alerts = {"expired": "certificate_expired", "future": "bad_certificate", "unknown-ca": "unknown_ca",
              "self-signed": "unknown_ca", "server-only": "unsupported_certificate"}
    for kind, alert in alerts.items():
        assert seen[kind] == ["pass", "pass"], details[kind]
        assert all("TLS alert" in d for d in details[kind]), details[kind]
    assert "certificate_expired" in details["expired"][0] and "after the handshake" in details["expired"][1]
    assert all("who shows none is refused" in d or "asked for" in d for d in details["request"]), details["request"]
    assert report["verdict"] == "option-2" and seen["no-certificate"] == ["not run", "not run"]


def test_made_certificates_do_not_stay(zoo, tmp_path):
    """They are gone before the first connection: a probe that is killed leaves no key that the CA signed for."""
    key = write_pem(tmp_path / "staff.key", key_pem(zoo.staff.key))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(DEADLINE)
        process = subprocess.Popen([BINARY, "probe", "server", f"submissions://127.0.0.1:{silent.getsockname()[1]}",
                                    "--ca-cert", zoo.staff.file, "--ca-key", key], stdout=subprocess.DEVNULL,
                                   env=dict(environment(), TMPDIR=str(scratch)))
        try:
            silent.accept()[0].close()
            assert not list(scratch.iterdir())
        finally:
            process.kill()
            process.wait(DEADLINE)
    assert not list(scratch.iterdir())


def test_a_bad_certificate_that_is_taken(house, zoo):
    """CERT-09: the good one, given as if it were of an unknown CA, stands for a server that looks at nothing."""
    good = zoo["good"]
    report = run_probe(f"submissions://127.0.0.1:{house['implicit-implicit'].port}", *own(zoo), "--tls-version", "1.3",
                       "--bad", f"unknown-ca={good.certificate},{good.key}", status=1)
    assert statuses(report)["unknown-ca"] == ["fail"] and report["result"] == "not conforming"


def test_a_relay_tells_option_1_from_option_3(config, run, zoo):
    """O3-06: the same submission port beside a relay that obeys the certificate, and one that does not."""
    c = config.trust("staff").spool().maildir("example.org")
    c.route("default", maildir=f'"{c.folder}/mail/%d/%u"')
    c.listener("submission", "implicit", trust="{staff}", certificate_auth="explicit")
    c.listener("obeys", "starttls", role="relay", peers=f'{{"{zoo["good"].fingerprint}"}}')
    c.listener("does-not", "starttls", role="relay")
    server = run(c)
    for relay, verdict in (("obeys", "option-1"), ("does-not", "option-3")):
        report = run_probe(f"submissions://127.0.0.1:{server['submission'].port}", "--tls-version", "1.3",
                           *shown(zoo["good"]), "--identity", ALICE, "--to", "carol@elsewhere.test",
                           "--relay", f"127.0.0.1:{server[relay].port}", status=0)
        assert report["verdict"] == verdict, report


def test_delivers_only_when_told(config, run, zoo):
    c = config.trust("staff").spool().maildir("example.org")
    c.listener("submission", "implicit", trust="{staff}")
    server = run(c)
    words = [f"submissions://127.0.0.1:{server['submission'].port}", "--tls-version", "1.3", *shown(zoo["good"]),
             "--identity", ALICE]
    report = run_probe(*words, status=0)
    assert statuses(report)["deliver-explicit"] == ["not run"]
    assert not server.log.find("accepted") and not server.mailbox(ALICE).messages()
    report = run_probe(*words, "--deliver", status=0)
    assert statuses(report)["deliver-explicit"] == statuses(report)["deliver-implicit"] == ["pass"]
    until(lambda: len(server.mailbox(ALICE).messages()) == 2, "both messages are delivered")


def test_ports_that_differ(odd, house, zoo):
    """OPN-11: another rule on another port is a verdict of its own, and a client class works in part."""
    report = run_probe(f"submissions://127.0.0.1:{house['implicit-implicit'].port}",
                       f"submissions://127.0.0.1:{house['explicit-implicit'].port}", *own(zoo), status=0)
    assert report["verdict"] == "mixed" and "every port" in report["change"]
    works = {c["sends"]: c["works"] for c in report["clients"]}
    assert works["straight to MAIL"] == "partly" and works["AUTH EXTERNAL ="] == "yes"


@pytest.mark.parametrize("version,result", [("TLSv1_2", "conforming"), ("TLSv1_3", "not conforming")])
def test_only_one_version(odd, zoo, version, result):
    """TLS-04, TLS-05: without 1.3 a warning, without 1.2 a failure; the verdict is that of the version spoken."""
    only = getattr(ssl.TLSVersion, version)

    def answer(line, state):
        if line.startswith(("AUTH", "auth")):
            state["in"] = state["cert"] and line.upper() == "AUTH EXTERNAL =" and not state["in"]
            return "235 2.7.0 in" if state["in"] else "535 5.7.8 no"
        return "usual"
    report = run_probe(f"submissions://127.0.0.1:{odd(answer, versions=(only, only))}", *own(zoo))
    spoken = 0 if version == "TLSv1_2" else 1
    seen = statuses(report)
    assert seen["version"][spoken] == "pass" and seen["version"][1 - spoken] == ("fail" if spoken else "warning")
    assert report["columns"][1 - spoken]["verdict"] == "absent" and report["verdict"] == "option-1-or-3", report
    assert seen["equals"][1 - spoken] == "not run"


def test_injection(odd, zoo):
    """STLS-08: a line that came in the clear is answered inside TLS, unasked or in place of another."""
    report = probe(odd(lambda line, state: "usual", starttls=True, carry=True), "starttls", zoo["good"], status=1)
    assert report["by"]["injection"]["status"] == "fail", report["by"]["injection"]


def test_clear_text_faults(odd, zoo):
    """STLS-01, STLS-04, STLS-06, EXT-08: what a careless server lets through the border."""
    def answer(line, state):
        if line.startswith("EHLO"):
            return "250-odd\r\n250-STARTTLS\r\n250 AUTH EXTERNAL"
        if line.upper().startswith("AUTH"):
            return "235 2.7.0 anybody"
        if line.startswith("STARTTLS "):
            return "220 2.0.0 what about it"
        if line == "STARTTLS" and state["tls"]:
            return "220 2.0.0 again"
        if line.startswith(("MAIL", "RCPT")):
            return "250 2.1.0 fine"
        return "usual"
    report = probe(odd(answer, starttls=True), "starttls", zoo["good"], status=1)
    by = report["by"]
    assert by["state"]["status"] == "warning", by["state"]
    for case in ("clear", "clear-login", "starttls-argument", "transaction", "starttls-twice", "login-without",
                 "anonymous", "nul", "not-utf8", "not-base64"):
        assert by[case]["status"] == "fail", (case, by[case])
    assert report["verdict"] == "open"


# ---- servers that stall, break off, or talk too much ----

def test_an_octet_at_a_time(odd, zoo):
    """The deadline is for the whole answer: a trickle gains nothing."""
    begun = time.monotonic()
    port = odd(lambda line, state: "usual", greeting=b"220 " + b"x" * 1000 + b"\r\n", pause=0.5)
    report = probe(port, "implicit", zoo["good"], status=2, timeout=1)
    assert "no answer within 1 s" in report["by"]["offered"]["detail"] and time.monotonic() - begun < 30
    assert report["untold"] and "whether AUTH EXTERNAL logs in" in report["untold"]


@pytest.mark.parametrize("word", ["EHLO", "AUTH", "MAIL", "RCPT", "RSET", "QUIT"])
def test_closes_at(odd, zoo, word):
    """A server that breaks off at each step: every case ends, with words for it."""
    def answer(line, state):
        if line.upper().startswith(word):
            return None
        if line.upper().startswith("AUTH"):
            state["in"] = state["cert"]
            return "235 2.7.0 in" if state["cert"] else "535 5.7.8 no"
        return "usual"
    report = probe(odd(answer), "implicit", zoo["good"], timeout=10)
    assert all(r["detail"] for r in report["by"].values()), report
    if word in ("EHLO", "AUTH"):
        assert report["result"] == "could not tell"
        assert "closed" in report["by"]["equals"]["detail"] or "not reached" in report["by"]["equals"]["detail"]


@pytest.mark.parametrize("reply", ["250-more\r\n" * 500 + "250 end", "250 " + "x" * 200000, "banana", "250-a\r\n251 b",
                                   "250 one\r\n250 two", "421 4.3.2 too many", "450 4.3.2 later"],
                         ids=["lines", "length", "garbage", "codes", "twice", "421", "450"])
def test_hostile_ehlo(odd, zoo, reply):
    """Also 421 to EHLO, which is how some refuse a certificate."""
    port = odd(lambda line, state: reply if line.startswith("EHLO") else "usual")
    report = probe(port, "implicit", zoo["good"], status=2)
    assert report["verdict"] == "unknown" and "EHLO" in report["by"]["offered"]["detail"] or \
        "not reached" in report["by"]["offered"]["detail"], report["by"]["offered"]


def test_refuses_a_certificate_at_ehlo(odd, zoo):
    """421 at EHLO to a certificate it does not like is a refusal like any other, and told."""
    def answer(line, state):
        if line.startswith("EHLO") and state["cert"]:
            return "421 4.7.0 not with this certificate"
        return "usual"
    revoked = zoo["revoked"]
    port = odd(answer)
    report = probe(port, "implicit", None, "--bad", f"revoked={revoked.certificate},{revoked.key}")
    assert report["by"]["revoked"]["status"] == "pass" and "421" in report["by"]["revoked"]["detail"], report["by"]["revoked"]


def test_refused_for_now(odd, zoo):
    """A 451 is no answer to whether EXTERNAL logs in, whatever other shapes get."""
    def answer(line, state):
        if line.upper().startswith("AUTH"):
            return "451 4.7.0 the directory is away" if line.upper() != "AUTH EXTERNAL" else "535 5.7.8 no"
        return "usual"
    report = probe(odd(answer), "implicit", zoo["good"])
    assert report["verdict"] == "unknown" and "directory is away" in report["untold"], report


def test_swallows_what_is_pipelined(odd, zoo):
    """EDG-24: MAIL behind AUTH is eaten as a response; the case says so and ends in time."""
    def answer(line, state):
        if line == "AUTH EXTERNAL =":
            state["in"] = state["cert"]
            return "235 2.7.0 in"
        return "usual"

    class Eats(Odd):
        def session(self, c, state, left=b"", greet=True):
            self.send(c, self.greeting)
            while data := c.recv(4096):
                said = self.usual(data.split(b"\r\n")[0].decode(), state)
                if said is None:
                    return
                self.send(c, said.encode() + b"\r\n")
    server = Eats(zoo, answer)
    report = probe(server.port, "implicit", zoo["good"], timeout=1)
    server.close()
    assert report["by"]["pipelined"]["status"] == "fail" and "235 0 0" in report["by"]["pipelined"]["detail"]


def test_slow_to_refuse(odd, zoo):
    """Seconds of delay before a 535 are told."""
    def answer(line, state):
        if line == "AUTH EXTERNAL =":
            server_is_slow.wait(2.2)
            return "535 5.7.8 no"
        return "535 5.7.8 no" if line.upper().startswith("AUTH") else "usual"
    server_is_slow = threading.Event()
    report = probe(odd(answer), "implicit", zoo["good"], timeout=10)
    server_is_slow.set()
    assert "(after 2 s)" in report["by"]["equals"]["detail"], report["by"]["equals"]


def test_refuses_at_rcpt_only(odd, zoo):
    """EDG-24, EDG-26: MAIL is open to all and RCPT is not: nothing leaks through a login that fails, however it is prompted."""
    def answer(line, state):
        word = line.upper().split(" ")[0]
        if word == "AUTH":
            state["prompted"] = True
            return "334 "
        if state.pop("prompted", False):
            state["in"] = state["cert"] and line == ""
            return "235 2.7.0 in" if state["in"] else "535 5.7.8 no"
        if word == "MAIL":
            return "250 2.1.0 fine"
        return ("250 2.1.5 fine" if state["in"] else "550 5.7.1 no relaying") if word == "RCPT" else "usual"
    report = probe(odd(answer), "implicit", zoo["good"])
    assert report["verdict"] == "option-1-or-3", report
    for case in ("foreign", "after-failure", "failures", "login-opens", "nul"):
        assert report["by"][case]["status"] == "pass", (case, report["by"][case])
    assert report["by"]["after-failure"]["detail"].endswith("550 5.7.1 no relaying")


def test_total_time(odd, zoo):
    """No case is begun once the time for all is over."""
    port = odd(lambda line, state: "usual", pause=0.02)
    report = run_probe(f"submissions://127.0.0.1:{port}", *own(zoo), "--total", 1, status=2)
    assert "time for all cases" in report["cases"][-1]["results"][-1]["detail"]


# ---- IMAP and POP3 that follow a script ----

def test_preauth(odd, zoo):
    """RFC 8314 3.2: IMAP may greet so, and then there is nothing to log in to."""
    def answer(line, state):
        tag, _, rest = line.partition(" ")
        if rest == "CAPABILITY":
            return f"* CAPABILITY IMAP4rev1\r\n{tag} OK done"
        if rest.startswith("LIST"):
            return f'* LIST () "/" ""\r\n{tag} OK done' if state["cert"] else f"{tag} BAD log in"
        return f"* BYE\r\n{tag} OK" if rest == "LOGOUT" else f"{tag} NO no"

    class Preauth(Odd):
        def session(self, c, state, left=b"", greet=True):
            self.greeting = b"* PREAUTH in\r\n" if state["cert"] else b"* OK hello\r\n"
            super().session(c, state, left, greet)
    server = Preauth(zoo, answer)
    report = run_probe(f"imaps://127.0.0.1:{server.port}", *own(zoo), status=0)
    server.close()
    seen = statuses(report)
    assert report["verdict"] == "preauth" and set(seen["alone"]) == set(seen["enabled"]) == {"pass"}, report
    assert set(seen["equals"]) == {"not run"} and "clients" not in report


def test_pop3_logs_in_silently(odd, zoo):
    """RFC 8314 3.1: the certificate alone changes no state; one that lets it is told so."""
    def answer(line, state):
        if line == "CAPA":
            return "+OK\r\nUSER\r\n."
        if line == "STAT":
            return "+OK 0 0" if state["cert"] else "-ERR log in"
        return "+OK bye" if line == "QUIT" else "-ERR no"
    report = run_probe(f"pop3s://127.0.0.1:{odd(answer, greeting=b'+OK hello' + bytes([13, 10]))}", *own(zoo), status=1)
    assert report["verdict"] == "silent" and set(statuses(report)["alone"]) == {"fail"}, report


@pytest.mark.parametrize("greeting", [b"* OK " + b"x" * 10000, b"* OK\r\n" * 100, b"* OK {5}\r\nabcde\r\n", b"hello\r\n",
                                      b"* BYE go away\r\n", b""],
                         ids=["length", "lines", "literal", "garbage", "bye", "silence"])
def test_hostile_imap(odd, zoo, greeting):
    port = odd(lambda line, state: None, greeting=greeting)
    report = run_probe(f"imaps://127.0.0.1:{port}", *own(zoo), "--timeout", 1, "--tls-version", "1.3", status=2)
    assert report["result"] == "could not tell" and report["untold"]


# ---- the words of the command ----

@pytest.mark.parametrize("words,complaint", [
    (["gopher://host"], "scheme is not known"),
    (["imap://a", "pop3://b"], "one protocol"),
    (["host:"], "wants HOST"),
    (["::1"], "[2001:db8::1]"),
    (["host:99999"], "wants HOST"),
    (["a b"], "wants HOST"),
    (["host", "--timeout", "soon"], "--timeout: this value"),
    ([], "wants a target"),
    (["host", "--bad", "rotten=x"], "not understood"),
    (["host", "--ca-cert", "x"], "belong together"),
    (["host", "--tls-version", "1.1"], "not understood"),
    (["host", "--to", "a@b\nDATA"], "not understood"),
    ([f"h{i}" for i in range(5)], "more targets"),
])
def test_usage(words, complaint):
    assert complaint in postern("probe", "server", *words, status=64).stderr


def test_unreadable_papers(zoo):
    done = postern("probe", "server", "127.0.0.1:1", "--certificate", "/no/such.crt", "--key", zoo["good"].key, status=66)
    assert "/no/such.crt" in done.stderr


def test_a_host_alone_is_two_ports():
    """587 and 465; nobody is there, and that is told for each."""
    report = run_probe("127.77.66.55", "--timeout", 2, status=2)
    assert [c["name"].split(",")[0] for c in report["columns"]] == ["587 STARTTLS"] * 2 + ["465 implicit"] * 2
    assert report["verdict"] == "unknown" and "587" in report["untold"] and "refused" in str(report["cases"])


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
        names = dict(attributes)
        assert not {"src", "onload", "onclick"} & set(names) and names.get("href", "#")[0] == "#"
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
