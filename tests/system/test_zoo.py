"""The certificate zoo: every certificate of zoo.txt x TLS 1.2 and 1.3 x STARTTLS and implicit TLS x the three policies x
every shape of login, each cell held against that file.  One server with six listeners; one client process."""
import base64
import re
import ssl
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from conftest import MODES, POLICIES
from kit.menagerie import VARIANTS, Menagerie
from kit.server import Config, Server
from kit.wait import until
from kit.wire import Client, Closed, context

VERSIONS = ("1.2", "1.3")
FAILURES_MAX = 3  # AUTH-22: the server closes at the next AUTH after so many
THREADS = 6
VARIED = 3  # variants of a certificate with a + in zoo.txt


# ---- the expectations ----

def read_tables(path):
    """{section: [row]}, a row being {column: text}; the first line behind the prose names the columns."""
    tables, rows, columns = {}, None, None
    for line in path.read_text().splitlines():
        cells = re.split(r" {2,}", line.strip())
        if line.startswith("== "):
            rows, columns = tables.setdefault(line[3:], []), None
        elif rows is not None and len(cells) > 3 and columns is None:
            columns = cells
        elif columns and line:
            assert len(cells) == len(columns), f"{path.name}: {len(cells)} columns instead of {len(columns)}: {line}"
            rows.append(dict(zip(columns, cells)))
    return tables


TABLES = read_tables(Path(__file__).with_name("zoo.txt"))
SHAPES = TABLES["shapes"]
CERTIFICATES = {}
for kind in TABLES["certificates"]:
    kind["identity"] = kind["identity"].encode().decode("unicode_escape")
    kind["variants"] = VARIED if kind["certificate"].endswith(" +") else 1
    CERTIFICATES[kind["certificate"].removesuffix(" +")] = kind


def fits(pattern, value):
    return pattern in ("*", value)


@cache
def expectation(policy, worth, kind):
    return next(r for r in TABLES["replies"]
                if fits(r["policy"], policy) and fits(r["worth"], worth) and fits(r["class"], kind))


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


@dataclass
class Cell:
    certificate: str
    variant: str
    version: str
    mode: str
    policy: str
    shape: dict

    @property
    def kind(self):
        return CERTIFICATES[self.certificate]

    @property
    def want(self):
        return expectation(self.policy, self.kind["worth"], self.shape["class"])

    @property
    def is_offered(self):
        return self.policy != "off" and self.kind["worth"] in ("good", "several")

    @property
    def succeeds(self):
        return self.want["MAIL"].startswith("250")

    @property
    def sequence(self):
        return "implicit" if self.shape["class"] in ("mail", "command") else "explicit"

    @property
    def mail(self):
        identity = self.kind["identity"]
        return f"MAIL FROM:<{identity}>" + ("" if identity.isascii() else " SMTPUTF8")

    @property
    def lines(self):
        own = self.kind["identity"]
        words = {"own": b64(own), "other": b64("dave@example.org"), "nul": b64(own + "\0x"), "ill": b64(b"\xc3\x28\xff")}
        lines = [x.strip(" ").strip('"') for x in self.shape["lines"].split(" | ")]
        return [self.mail if x == "MAIL" else x.format(**words) for x in lines]

    def __str__(self):
        return (f"{self.certificate} ({self.variant}), TLS {self.version}, {self.mode}, {self.policy}, \"{self.shape['shape']}\" "
                f"[{self.kind['rows']} {self.shape['rows']} {self.want['rows']}]")


# ---- a connection shows several cells: some that fail, at the end one that succeeds ----

def connections(cells):
    """Every cell once.  MAIL at once stands first, as nothing may have been tried before it."""
    first = [c for c in cells if c.shape["class"] == "mail"]
    wins = [c for c in cells if c.succeeds and c not in first]
    losses = [c for c in cells if not c.succeeds and c not in first]
    if first and first[0].succeeds:
        yield first
        first = []
    while first or wins or losses:
        group = first + losses[:FAILURES_MAX - bool(wins)] + wins[:1]
        losses, wins, first = losses[FAILURES_MAX - bool(wins):], wins[1:], []
        yield group


class Failure(Exception):
    pass


def check(cell, reply, wanted, what, words):
    code, _, enhanced = wanted.partition(" ")
    if reply.code != int(code) or reply.enhanced != enhanced or words.lower() not in reply.text.lower():
        raise Failure(f"{cell}: {what}: wanted {wanted} {words!r}, got {reply}")


def log_in(cell, client):
    want, reply = cell.want, None
    if cell.shape["class"] == "mail":
        return
    for i, line in enumerate(cell.lines):
        reply = client(line)
        if reply.code != 334 and i + 1 < len(cell.lines):
            if cell.is_offered:
                raise Failure(f"{cell}: {line!r}: wanted 334, got {reply}")
            break
    if want["login"] != "-":
        said = {"reason": cell.kind["reason"], "identity": f"as {cell.kind['identity']}"}.get(want["says"], "-")
        if not said.isascii():
            said = "as "
        check(cell, reply, want["login"], "login", "" if said == "-" else said)
    elif reply:  # the command in place of a response is the MAIL
        check(cell, reply, want["MAIL"], "command", "")


def show(cell, client):
    want = cell.want
    if client.offers_external() != cell.is_offered:
        raise Failure(f"{cell}: EXTERNAL is {'not ' if cell.is_offered else ''}offered")
    log_in(cell, client)
    if want["login"] == "-" and cell.shape["class"] != "mail":
        return
    words = cell.kind["reason"] if want["says"] == "reason" else want["says"]
    check(cell, client(cell.mail), want["MAIL"], "MAIL", "" if words in ("-", "identity") else words)


class Visitor:
    """Makes connections to the server of the zoo, several at a time."""

    def __init__(self, server, menagerie):
        self.server, self.menagerie = server, menagerie
        self.contexts, self.lock = {}, threading.Lock()

    def context(self, credential, version):
        with self.lock:
            key = credential and credential.certificate, version
            if key not in self.contexts:
                made = context(self.server.config.zoo.server_ca.file, None, version)
                made.set_ciphers("DEFAULT@SECLEVEL=0")  # else the weak ones could not even be shown
                if credential:
                    made.load_cert_chain(credential.certificate, credential.key)
                self.contexts[key] = made
            return self.contexts[key]

    def visit(self, group):
        """The failures of a connection; what it cannot come to because of one counts as failed, too."""
        a = group[0]
        credential = self.menagerie.credentials[a.certificate, a.variant]
        try:
            with Client(self.server[f"{a.policy}-{a.mode}"]) as client:
                client.hello(self.context(credential, a.version))
                for cell in group:
                    show(cell, client)
        except (Failure, Closed, AssertionError, OSError, ssl.SSLError) as trouble:
            return [f"{trouble if isinstance(trouble, Failure) else f'{a}: {trouble!r}'}"]
        return []


@pytest.fixture(scope="module")
def menagerie(tmp_path_factory):
    return Menagerie(tmp_path_factory.mktemp("menagerie"), {name: k["variants"] for name, k in CERTIFICATES.items()})


@pytest.fixture(scope="module")
def visitor(tmp_path_factory, zoo, menagerie):
    config = Config(tmp_path_factory.mktemp("zoo-server"), zoo)
    more = menagerie.config(config.spool().maildir("default", "elsewhere/%d/%u"))
    for policy, mode in product(POLICIES, MODES):
        config.listener(f"{policy}-{mode}", mode, certificate_auth=policy, **more)
    server = Server(config, "zoo-server").start()
    yield Visitor(server, menagerie)
    server.end()


def plan(certificate, variants):
    """All connections to show a certificate, in every way."""
    for variant, version, mode, policy in product(variants, VERSIONS, MODES, POLICIES):
        yield from connections([Cell(certificate, variant, version, mode, policy, shape) for shape in SHAPES])


@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_zoo(visitor, menagerie, certificate):
    """A row of zoo.txt: each of its cells; those it cites are CERT-*, EDG-*, EXT-*, O1-*, O2-*, O3-*, OPN-*, AUTH-*."""
    mark = visitor.server.log.mark()
    groups = list(plan(certificate, [v for c, v in menagerie.credentials if c == certificate]))
    with ThreadPoolExecutor(THREADS) as pool:
        failures = [f for found in pool.map(visitor.visit, groups) for f in found]
    cells = sum(map(len, groups))
    assert not failures, f"{len(failures)} of {cells} cells:\n" + "\n".join(failures[:20])
    wins = Counter(c.sequence for group in groups for c in group if c.succeeds)

    def logins():
        events = visitor.server.log.find("login", mark)
        return Counter(e["sequence"] for e in events if e["identity"] == CERTIFICATES[certificate]["identity"])
    until(lambda: logins().total() >= wins.total(), lambda: f"{wins} logins in the log, there are {logins()}")
    assert logins() == wins  # O2-02, O2-04: one each, told by which sequence


def test_every_cell_is_planned():
    """The product is complete: no cell is left out by the grouping, and none is shown twice."""
    cells = [c for name, k in CERTIFICATES.items() for group in plan(name, VARIANTS[:k["variants"]]) for c in group]
    keys = {(c.certificate, c.variant, c.version, c.mode, c.policy, c.shape["shape"]) for c in cells}
    certificates = sum(k["variants"] for k in CERTIFICATES.values())
    assert len(cells) == len(keys) == certificates * len(VERSIONS) * len(MODES) * len(POLICIES) * len(SHAPES)
    assert len(cells) > 5000


@pytest.mark.parametrize("row", TABLES["replies"], ids=lambda r: " ".join(list(r.values())[:3]))
def test_every_row_of_replies_is_used(row):
    """A row that no cell comes to would expect nothing."""
    assert any(expectation(policy, kind["worth"], shape["class"]) is row
               for policy, kind, shape in product(POLICIES, CERTIFICATES.values(), SHAPES))
