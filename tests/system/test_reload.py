"""Files that change under a running server: certificates, revocation lists, tables (TLS-16, EDG-18)."""
import os
from datetime import datetime

import pytest

from kit.certs import DAY, NOW, Authority, write_pem

ALICE, BOB = "alice@example.org", "bob@example.org"


class Site:
    """A server with a CA of its own, so that a test may revoke and renew as it likes."""

    def __init__(self, run, config, tmp_path, **settings):
        self.folder, self.zoo = tmp_path, config.zoo
        self.ca = Authority(tmp_path, "Site CA")
        self.crl = tmp_path / "site.crl"
        self.crl.write_bytes(self.ca.crl())
        self.disabled = tmp_path / "disabled"
        self.disabled.write_text("# nobody\n")
        self.alice = self.ca.issue("alice", [ALICE])
        self.bob = self.ca.issue("bob", [BOB])
        config.add("reload-interval = 200ms")
        config.add(f'trust site {{ ca = {{"{self.ca.file}"}} crl = {{"{settings.pop("crl", self.crl)}"}} }}')
        for policy in ("explicit", "implicit"):
            config.listener(policy, "starttls", trust="{site}", certificate_auth=policy,
                            disabled=f'"{self.disabled}"', **settings)
        config.spool().maildir("default", "elsewhere/%d/%u")
        self.server = run(config, "site")

    def replace(self, path, data):
        """As an administrator should: the new file takes the place of the old in one step."""
        mark = self.server.log.mark()
        fresh = path.with_name("." + path.name + ".new")
        fresh.write_bytes(data)
        os.replace(fresh, path)
        return mark

    def revoke(self, credential):
        self.ca.revoke(credential)
        return self.replace(self.crl, self.ca.crl())

    def loaded(self, mark, **fields):
        return self.server.log.wait("reloaded", since=mark, **fields)


@pytest.fixture
def site(run, config, tmp_path):
    return Site(run, config, tmp_path)


def login(client, policy):
    if policy == "explicit":
        client.expect("AUTH EXTERNAL =", 235)
    else:
        client.expect(f"MAIL FROM:<{ALICE}>", 250)
        client.expect("RSET", 250)


@pytest.mark.parametrize("version", ("1.2", "1.3"))
@pytest.mark.parametrize("policy", ("explicit", "implicit"))
def test_revoked_while_open(site, policy, version):
    """EDG-18: the list is picked up without a signal; the open session ends, another's goes on, a new one is told."""
    client = site.server.connect(policy, site.alice, version)
    other = site.server.connect(policy, site.bob, version)
    login(client, policy)
    site.loaded(site.revoke(site.alice), loaded=1, failed=0)
    client.expect(f"MAIL FROM:<{ALICE}>", 421, "4.7.0", "revoked")
    assert site.server.log.end_of(client)["reason"] == "not welcome any more"
    other.expect("AUTH EXTERNAL =", 235)
    again = site.server.connect(policy, site.alice, version)
    again.expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0", "revoked")
    again.expect("AUTH EXTERNAL =", 504)


def test_broken_list_keeps_the_old(site):
    """A list that cannot be read changes nothing, and is complained about once."""
    site.loaded(site.revoke(site.alice))
    mark = site.replace(site.crl, b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    site.loaded(mark, loaded=0, failed=1)
    error = site.server.log.wait("reload-failed", since=mark)
    assert error.level == "error" and str(site.crl) in error["message"]
    for _ in range(3):
        client = site.server.connect("implicit", site.alice)
        client.expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0", "revoked")
    site.server.connect("implicit", site.bob).expect("AUTH EXTERNAL =", 235)
    # Another change is looked at anew, which also shows that in between nothing was.
    site.loaded(site.replace(site.crl, site.ca.crl()), loaded=1, failed=0)
    assert len(site.server.log.find("reload-failed", since=mark)) == 1


def test_dates_are_looked_at(site, zoo):
    """A list that nobody renews is announced before its end, and when it refuses everybody from then on, once each."""
    log = site.server.log
    mark = site.replace(site.crl, site.ca.crl(days=0.5))
    assert "from then on every certificate of that CA is refused" in log.wait("expires-soon", since=mark)["message"]
    at_once = (datetime.utcnow() - NOW) / DAY + 2 / 86400
    mark = site.replace(site.crl, site.ca.crl(days=at_once))
    log.wait("expires-soon", since=mark)
    past = log.wait("out-of-date", since=mark)
    assert past.level == "error" and "the revocation list of CN=Site CA went out of date" in past["message"]
    site.server.connect("implicit", site.alice).expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0", "out of date")
    site.loaded(site.replace(site.crl, site.ca.crl()))
    assert len(log.find("out-of-date", since=mark)) == 1 and len(log.find("expires-soon", since=mark)) == 1


def test_own_certificate_has_expired(run, config, zoo):
    """Clients of a server whose certificate has expired say nothing and go away, so the server does."""
    old = zoo.issue_server("expired-own", days=(-20, -2))
    config.trust().spool().maildir("default")
    config.listener("in", "implicit", trust="{staff}", certificate=f'"{old.certificate}"', key=f'"{old.key}"')
    past = run(config).log.wait("out-of-date")
    assert past.level == "error" and f"{old.certificate}: the certificate CN=expired-own expired on" in past["message"]


def test_directory_of_lists(run, config, tmp_path):
    """A list that appears in a directory counts."""
    lists = tmp_path / "lists"
    lists.mkdir()
    site = Site(run, config, tmp_path, crl=lists)
    mark = site.server.log.mark()
    write_pem(lists / "site.crl", site.ca.crl())
    site.loaded(mark, loaded=1)
    site.server.connect("implicit", site.alice).expect("AUTH EXTERNAL =", 235)
    site.ca.revoke(site.alice)
    mark = site.replace(lists / "site.crl", site.ca.crl())
    site.loaded(mark, loaded=1)
    site.server.connect("implicit", site.alice).expect("AUTH EXTERNAL =", 504, text="revoked")


def test_server_certificate_is_replaced(site, tmp_path):
    """TLS-16: new connections see the new certificate, the open one goes on."""
    server = site.zoo.server
    old = server.certificate.read_bytes(), server.key.read_bytes()
    client = site.server.connect("implicit", site.alice)
    assert client.sock.getpeercert(True) == site.zoo.server.x509.public_bytes(encoding_der())
    fresh = site.zoo.issue_server("server-renewed")
    try:
        mark = site.replace(server.key, fresh.key.read_bytes())
        site.loaded(mark, loaded=0, failed=2)  # a key without its certificate is of no use
        mark = site.replace(server.certificate, fresh.certificate.read_bytes())
        site.loaded(mark, loaded=2, failed=0)  # two listeners
        renewed = site.server.connect("implicit", site.alice)
        assert renewed.sock.getpeercert(True) == fresh.x509.public_bytes(encoding_der())
        client.expect("AUTH EXTERNAL =", 235)
    finally:
        server.certificate.write_bytes(old[0])
        server.key.write_bytes(old[1])


def encoding_der():
    from cryptography.hazmat.primitives.serialization import Encoding
    return Encoding.DER


@pytest.mark.parametrize("by", ("identity", "fingerprint"))
@pytest.mark.parametrize("policy", ("explicit", "implicit"))
def test_disabled(site, policy, by):
    """O2-08, EDG-18: the table acts at once, on open sessions too, and says nothing to others."""
    client = site.server.connect(policy, site.alice)
    other = site.server.connect(policy, site.bob)
    login(client, policy)
    key = ALICE.upper() if by == "identity" else site.alice.fingerprint
    site.loaded(site.replace(site.disabled, f"{key}  left\n".encode()))
    client.expect(f"MAIL FROM:<{ALICE}>", 421, "4.7.0", "disabled")
    again = site.server.connect(policy, site.alice)
    assert "EXTERNAL" not in (again.ehlo.keyword("AUTH") or [])
    again.expect(f"MAIL FROM:<{ALICE}>", 525, "5.7.13", "disabled")
    again.expect("AUTH EXTERNAL =", 525, "5.7.13")
    other.expect("AUTH EXTERNAL =", 235)
    site.loaded(site.replace(site.disabled, b""))
    site.server.connect(policy, site.alice).expect("AUTH EXTERNAL =", 235)


def test_hangup_loads_everything(site):
    """SIGHUP does at once what the timer does for what has changed."""
    client = site.server.connect("implicit", site.alice)
    login(client, "implicit")
    mark = site.server.reload()
    site.loaded(mark, loaded=3, failed=0)  # one trust block, two server certificates
    client.expect(f"MAIL FROM:<{ALICE}>", 250)


def test_chain_is_remembered(run, config, tmp_path):
    """An open session of a certificate below an intermediate survives a reload that does not concern it."""
    site = Site(run, config, tmp_path)
    branch = Authority(tmp_path, "Site Branch CA", parent=site.ca)
    credential = branch.issue("branch-alice", [ALICE])
    site.loaded(site.replace(site.crl, site.ca.crl() + branch.crl()))
    client = site.server.connect("explicit", credential)
    client.expect("AUTH EXTERNAL =", 235)
    site.loaded(site.server.reload())
    client.expect(f"MAIL FROM:<{ALICE}>", 250)
    client.expect("RSET", 250)
    branch.revoke(credential)
    site.loaded(site.replace(site.crl, site.ca.crl() + branch.crl()))
    client.expect(f"MAIL FROM:<{ALICE}>", 421, "4.7.0", "revoked")


def test_large_list_under_load(site):
    """A list of 10,000 entries is swapped in while sessions work; none is dropped."""
    import threading
    import types
    wrong, stop = [], threading.Event()

    def work():
        try:
            while not stop.is_set():
                client = site.server.connect("implicit", site.bob)
                client.expect(f"MAIL FROM:<{BOB}>", 250)
                client.expect("QUIT", 221)
                client.close()
        except Exception as error:  # noqa: BLE001 - told in the test's thread
            wrong.append(error)
    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for serial in range(1, 10001):
        site.ca.revoke(types.SimpleNamespace(serial=serial << 64 | 1))
    for _ in range(3):
        site.loaded(site.replace(site.crl, site.ca.crl()), loaded=1)
    site.loaded(site.revoke(site.alice), loaded=1)
    stop.set()
    for worker in workers:
        worker.join(60)
    assert not wrong, wrong[0]
    site.server.connect("implicit", site.alice).expect("AUTH EXTERNAL =", 504, text="revoked")
