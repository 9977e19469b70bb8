"""Certificates of listeners and routes in other places than PEM files: PKCS#12 with a passphrase, and tokens."""
import socket

import pytest
from cryptography import x509

from kit.nexthop import Hop
from kit.server import postern
from kit.store import PIN, SOFTHSM, pkcs12, secret, token
from kit.traffic import ALICE, submit

PHRASE = "gehe im, s\u00fc\u00df"


def shown(server, listener="in"):
    with socket.create_connection(("127.0.0.1", server[listener].port), timeout=30) as s:
        with server.tls().wrap_socket(s, server_hostname="mail.example.org") as tls:
            return x509.load_der_x509_certificate(tls.getpeercert(True)).serial_number


def places(certificate, phrase=None, key=None):
    """Settings of a listener or route; without `key` that is beside the certificate."""
    more = {"key_password_file": f'"{phrase}"'} if phrase else {}
    return {"certificate": f'"{certificate}"', "key": f'"{key}"' if key else None, **more}


def written(settings):
    return {name: value for name, value in settings.items() if value}


def test_listener_with_pkcs12(run, config, zoo, tmp_path):
    """One file holds certificate, chain and key; file and passphrase are renewed together, or what was there stays."""
    first, second = zoo.issue_server("p12-first"), zoo.issue_server("p12-second")
    file, phrase = pkcs12(tmp_path / "mail.p12", first, PHRASE), secret(tmp_path / "phrase", PHRASE)
    config.trust().spool().maildir("example.org").add("reload-interval = 0")
    config.listener("in", "implicit", trust="{staff}", **places(file, phrase))
    server = run(config)
    assert shown(server) == first.serial
    pkcs12(file, second, "another")
    failed = server.log.wait("reload-failed", since=server.reload(), listener="in")["message"]
    assert "the passphrase does not open the certificate in" in failed and "mail.p12" in failed
    assert shown(server) == first.serial
    secret(phrase, "another")
    assert server.log.wait("reloaded", since=server.reload())["failed"] == "0"
    assert shown(server) == second.serial
    assert not [word for word in (PHRASE, "another") if word in "\n".join(server.log.lines)]


def test_route_with_pkcs12(run, config, zoo, tmp_path):
    """REL-09: what a smart host is shown, from one file that a CA handed out."""
    hop = Hop(server=zoo.server, client_ca=zoo.staff.file, external=True)
    file, phrase = pkcs12(tmp_path / "us.p12", zoo["good"], PHRASE), secret(tmp_path / "phrase", PHRASE)
    config.trust().spool().listener("in", "implicit", trust="{staff}", sender="any")
    config.route("default", smtp=f'"{hop.address}"', ca=f'"{zoo.server_ca.file}"', login="external",
                 **written(places(file, phrase)))
    server = run(config)
    mail, _ = submit(server, "u@strict.test")
    assert hop.wait(mail).login == ALICE
    hop.close()


def test_both_on_a_token(run, config, zoo, tmp_path, monkeypatch):
    """The keys of a listener and of a route never leave their token; its PIN comes from a file, or as the URI says."""
    uri = token(tmp_path, monkeypatch, mail=zoo.server, us=zoo["good"])
    pin = secret(tmp_path / "pin", PIN)
    hop = Hop(server=zoo.server, client_ca=zoo.staff.file, external=True)
    config.trust().spool()
    config.listener("in", "implicit", trust="{staff}", sender="any", **places(f"{uri};object=mail", pin, f"{uri};object=mail"))
    there = f"{uri};object=us?pin-source=file:{pin}&module-path={SOFTHSM}"
    config.route("default", smtp=f'"{hop.address}"', ca=f'"{zoo.server_ca.file}"', login="external",
                 **written(places(zoo["good"].certificate, key=there)))
    assert "no mistakes" in postern("check", "-c", config.write()).stdout
    server = run(config)
    for _ in range(3):  # by several workers
        mail, _ = submit(server, "u@strict.test")
        assert hop.wait(mail).login == ALICE
    server.log.wait("reloaded", since=server.reload(), failed="0")
    assert shown(server) == zoo.server.serial
    hop.close()


@pytest.mark.parametrize("block", ("listener", "route"))
def test_what_is_wrong_is_said(config, zoo, tmp_path, block):
    """By the check, with the file to blame, and with nothing that is secret."""
    file, phrase = pkcs12(tmp_path / "us.p12", zoo["good"], PHRASE), secret(tmp_path / "phrase", PHRASE)
    certificate = zoo["good"].certificate
    rows = [(places(file, phrase), None), (places(file), "us.p12 is encrypted"),
            (places(certificate), "needs a key file"), (places(file, secret(tmp_path / "wrong", "x")), "the passphrase does not open the certificate in"),
            (places(f"file:{tmp_path}/none.p12?pin-value=1234"), f"no certificate at file:{tmp_path}/none.p12"),
            (places(f"{tmp_path}/none.p12"), "none.p12"),
            (places(certificate, key="nowhere:a?pin-value=1234"), "no private key at nowhere:a")]
    for settings, want in rows:
        config.parts.clear()
        config.trust().spool()
        config.listener("in", "implicit", trust="{staff}", **(settings if block == "listener" else {}))
        config.route("default", smtp='"mail.example.net"', tls="verify", **(written(settings) if block == "route" else {}))
        said = postern("check", "-c", config.write(), status=78 if want else 0).stdout
        assert (want or "no mistakes") in said and "1234" not in said and PHRASE not in said, said
    secret(phrase, PHRASE, 0o604)
    config.parts.clear()
    config.trust().spool().listener("in", "implicit", trust="{staff}", **places(file, phrase)).maildir("default")
    assert "phrase holds a password and others may read it" in postern("check", "-c", config.write(), status=78).stdout


@pytest.mark.parametrize("kind", ("pkcs12", "token"))
def test_what_goes_out_of_date_is_said(run, config, zoo, tmp_path, monkeypatch, kind):
    """Wherever the certificate is."""
    old = zoo.issue_server("old", days=(-20, -2))
    if kind == "token":
        uri = token(tmp_path, monkeypatch, mail=old) + ";object=mail"
        where, mine = uri, places(f"{uri}?pin-value={PIN}", key=f"{uri}?pin-value={PIN}")
    else:
        where, phrase = pkcs12(tmp_path / "mail.p12", old, PHRASE), secret(tmp_path / "phrase", PHRASE)
        mine = places(where, phrase)
    config.trust().spool().maildir("default").add("reload-interval = 100ms")
    config.listener("in", "implicit", trust="{staff}", **mine)
    said = postern("check", "-c", config.write()).stdout
    server = run(config)
    logged = server.log.wait("out-of-date")["message"]
    for text in (said, logged):
        assert f"{where}: the certificate" in text and "expired on" in text and PIN not in text
