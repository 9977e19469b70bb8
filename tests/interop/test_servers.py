"""The prober against each real server: its verdict and what it stands on, compared with what is known of the server."""
import json
import re

import pytest

from expectations import ALWAYS, BAD, IN_TLS, NOWHERE, SERVERS, SHAPES, WITH_CERTIFICATE
from kit.server import postern
from kit.wire import Client, Closed, Endpoint, context
from lab.people import ALICE, CAROL


@pytest.fixture(scope="session")
def report(server, bed):
    """One run of the prober for all tests of a server."""
    alice = bed.people.alice
    done = postern("probe", "server", f"127.0.0.1:{server.port}", "--tls", "starttls", "--tls-version", "1.3", "--json",
                   "--timeout", 20, "--ca-cert", bed.people.staff.file, "--ca-key", bed.people.staff_key,
                   "--ca", bed.people.server_ca.file, "--tls-name", "localhost", "--certificate", alice.certificate,
                   "--key", alice.key, "--identity", ALICE, "--to", CAROL, status=None, timeout=120)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    made = json.loads(done.stdout)
    made["by"] = {case["id"]: case["results"][0] for case in made["cases"]}
    return made


def offered(by):
    if by["clear"]["status"] == "fail":
        return ALWAYS
    if by["no-certificate"]["status"] == "warning":
        return IN_TLS
    return WITH_CERTIFICATE if "EXTERNAL" in by["offered"]["detail"].rpartition(": ")[2].split() else NOWHERE


def test_verdict(server, report, results):
    results.server(server, verdict=report["verdict"], words=report["verdict-text"])
    assert report["verdict"] == SERVERS[server.name].verdict, json.dumps(report, indent=1)


def test_to_whom_external_is_offered(server, report, results):
    seen = offered(report["by"])
    results.server(server, offered=seen)
    assert seen == SERVERS[server.name].offered, json.dumps(report, indent=1)


def test_shapes_of_external(server, report, results):
    """A shape works when the case of that name does: logged in, and mail is open."""
    seen = [name for name in SHAPES if report["by"][name]["status"] == "pass"]
    results.server(server, shapes=seen)
    assert sorted(seen) == sorted(SERVERS[server.name].shapes), json.dumps(report, indent=1)


def test_answer_to_equals(server, report, results):
    seen = re.search(r"\b[2-5]\d\d\b", report["by"]["equals"]["detail"])[0]
    results.server(server, equals=seen)
    assert seen == SERVERS[server.name].equals, json.dumps(report, indent=1)


def test_certificate_alone(server, report, results):
    straight = next(c for c in report["clients"] if c["sends"] == "straight to MAIL")["works"]
    results.server(server, straight=straight)
    assert straight == SERVERS[server.name].straight, json.dumps(report, indent=1)


def test_bad_certificates(server, report, results):
    """Which of them open mail, or log in, all the same."""
    details = {name: report["by"][name]["detail"] for name in BAD}
    assert not [name for name in BAD if report["by"][name]["status"] == "not run"], details
    seen = [name for name, detail in details.items() if detail.startswith("accepted")]
    results.server(server, admits=seen)
    assert seen == SERVERS[server.name].admits, details


def test_foreign_name(server, report, results):
    """Somebody else's name as the authzid."""
    case = report["by"]["foreign"]
    seen = {"fail": "taken", "pass": "refused"}.get(case["status"], "")
    results.server(server, foreign=seen)
    assert seen == SERVERS[server.name].foreign, case


def where_refused(port, tls):
    """How far somebody comes who tries AUTH EXTERNAL where it is offered, and then goes on to MAIL."""
    with Client(Endpoint(port, "starttls")) as c:
        c.expect_reply(220)
        c.expect("EHLO client.example.org", 250)
        c.expect("STARTTLS", 220)
        try:
            c.start_tls(tls)
            c.ehlo = c("EHLO client.example.org")
            if c.ehlo.code != 250:
                return "EHLO"
            if c.offers_external() and c("AUTH EXTERNAL =").code == 235:
                return "nowhere"
            refused = c(f"MAIL FROM:<{ALICE}>").code >= 400 or c(f"RCPT TO:<{CAROL}>").code >= 400
            return "MAIL or RCPT" if refused else "nowhere"
        except (Closed, OSError):
            return "TLS" if c.ehlo is None else "connection closed"


def test_stranger(server, bed, results):
    """A certificate with the right name, of a CA that the server does not trust."""
    seen = where_refused(server.port, context(bed.people.server_ca.file, bed.people.strangers))
    results.server(server, stranger=seen)
    assert seen == SERVERS[server.name].stranger
