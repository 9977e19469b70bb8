"""`postern cert`: a CA that OpenSSL and the server both accept, and an explainer that says what the server does."""
import json
import re
import subprocess

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from kit.certs import Credential
from kit.server import postern
from test_sequences import CERTIFICATES

ALICE = "alice@example.org"
KINDS = {"ec": [], "rsa": ["--rsa"], "ed25519": ["--ed25519"]}


def openssl(*words, status=0):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True)
    assert status is None or done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(params=KINDS)
def kind(request):
    """A kind of key, as options."""
    return KINDS[request.param]


@pytest.fixture
def ca(kind, tmp_path):
    folder = tmp_path / "ca"
    postern("cert", "init", folder, "--name", "Test CA", *kind)
    return folder


def issue(ca, *words):
    """Issues, and reads back what was made."""
    made = json.loads(postern("cert", "issue", ca, *words, "--json").stdout)
    path = ca / made["certificate"]
    return Credential(words[1], path, ca / made["key"], x509.load_pem_x509_certificate(path.read_bytes()))


def test_openssl_agrees(ca, kind):
    """CERT-09, CERT-10: what is issued verifies for its purpose, and for no other; keys are the owner's alone."""
    alice, server = issue(ca, "--email", ALICE, *kind), issue(ca, "--server", "mail.example.org", *kind)
    device = issue(ca, "--dns", "printer.example.org", *kind)
    for cred, purpose in ((alice, "sslclient"), (device, "sslclient"), (server, "sslserver")):
        verify = ("verify", "-CAfile", ca / "ca.pem", "-purpose")
        assert ": OK" in openssl(*verify, purpose, "-x509_strict", cred.certificate)
        other = {"sslclient": "sslserver", "sslserver": "sslclient"}[purpose]
        said = openssl(*verify, other, cred.certificate, status=2)
        assert re.search("unsuitable|unsupported", said), said
        assert cred.key.stat().st_mode & 0o777 == 0o600
    assert (ca / "ca.key").stat().st_mode & 0o777 == 0o600
    openssl("verify", "-CAfile", ca / "ca.pem", "-verify_hostname", "mail.example.org", server.certificate)
    openssl("verify", "-CAfile", ca / "ca.pem", "-verify_email", ALICE, alice.certificate)
    names = alice.x509.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    assert names.get_values_for_type(x509.RFC822Name) == [ALICE]
    usage = alice.x509.extensions.get_extension_for_oid(ExtensionOID.EXTENDED_KEY_USAGE).value
    assert ExtendedKeyUsageOID.CLIENT_AUTH in usage and ExtendedKeyUsageOID.SERVER_AUTH not in usage
    assert alice.x509.serial_number.bit_length() > 63


def test_revocation_list(ca, kind):
    """CERT-11: OpenSSL reads the list, finds the revoked one in it and no other."""
    alice, bob = issue(ca, "--email", ALICE, *kind), issue(ca, "--email", "bob@example.org", *kind)
    check = ("verify", "-crl_check", "-CAfile", ca / "ca.pem", "-CRLfile", ca / "crl.pem")
    openssl(*check, alice.certificate)
    postern("cert", "revoke", ca, alice.certificate, "--reason", "key-compromise")
    assert "certificate revoked" in openssl(*check, alice.certificate, status=2)
    openssl(*check, bob.certificate)
    text = openssl("crl", "-in", ca / "crl.pem", "-noout", "-text", "-CAfile", ca / "ca.pem")
    assert "verify OK" in text and "Key Compromise" in text
    serials = re.findall(r"Serial Number: ([0-9A-F]+)", text)
    assert [int(s, 16) for s in serials] == [alice.serial]
    postern("cert", "revoke", ca, f"{bob.serial:x}")
    assert "certificate revoked" in openssl(*check, bob.certificate, status=2)


def test_from_ca_to_message(run, config, tmp_path):
    """The way of `make run`: a CA, a server, two clients; one is revoked, and a reload shuts it out."""
    ca = tmp_path / "ca"
    postern("cert", "init", ca)
    server_cred = issue(ca, "--server", "mail.example.org", "--server", "localhost", "--address", "127.0.0.1")
    alice, bob = issue(ca, "--email", ALICE), issue(ca, "--email", "bob@example.org")
    config.server, config.zoo = server_cred, type("Own", (), {"server_ca": type("CA", (), {"file": ca / "ca.pem"})})
    config.add("reload-interval = 0", f'trust staff {{ ca = {{"{ca}/ca.pem"}} crl = {{"{ca}/crl.pem"}} }}').spool()
    config.maildir("example.org").listener("in", "implicit", trust="{staff}")
    assert "no mistakes" in postern("check", "-c", config.write()).stdout
    server = run(config)
    for cred, address in ((alice, ALICE), (bob, "bob@example.org")):
        with server.connect("in", cred) as c:
            c.mail(address, "carol@example.org")
            c.message(f"Subject: of-{cred.serial}\r\n\r\nx\r\n".encode())
        server.mailbox("carol@example.org").wait(f"of-{cred.serial}")
    postern("cert", "revoke", ca, alice.certificate)
    server.log.wait("reloaded", since=server.reload())
    with server.connect("in", alice) as c:
        c.expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0", "revoked")
    with server.connect("in", bob) as c:
        c.expect("MAIL FROM:<bob@example.org>", 250)


@pytest.mark.parametrize("name", [n for n in CERTIFICATES if n != "none"])
def test_explain_is_right(house, zoo, name):
    """The explainer says of every certificate of the zoo what the server does with it (CERT-14)."""
    want = CERTIFICATES[name]("implicit")
    done = postern("cert", "explain", zoo[name].certificate, "-c", house.folder / "postern.conf",
                   "--listener", "implicit-implicit", status=0 if want.mail[0] == 250 else 77)
    assert want.reason in done.stdout, done.stdout
    assert ALICE in done.stdout or not zoo[name].emails
    json.loads(postern("cert", "explain", zoo[name].certificate, "-c", house.folder / "postern.conf", "--listener",
                       "implicit-implicit", "--json", status=None).stdout)


def test_p12(tmp_path):
    """For programs that import PKCS#12: OpenSSL opens it with the password and finds key and certificate."""
    ca, secret = tmp_path / "ca", tmp_path / "secret"
    postern("cert", "init", ca)
    secret.write_text("correct horse\n")
    issue(ca, "--email", ALICE, "--out", ca / "a", "--p12", "--p12-password-file", secret)
    text = openssl("pkcs12", "-in", ca / "a.p12", "-nodes", "-passin", "pass:correct horse")
    assert "BEGIN CERTIFICATE" in text and "PRIVATE KEY" in text
    openssl("pkcs12", "-in", ca / "a.p12", "-nodes", "-passin", "pass:wrong", status=1)
