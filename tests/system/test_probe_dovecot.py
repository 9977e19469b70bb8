"""`postern probe server` and Dovecot: IMAP, POP3, and its submission proxy (RFC 8314 3.1, 3.2; OPN-12)."""
import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from kit.certs import key_pem, write_pem
from kit.server import PORTS, postern
from kit.wait import until

DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap pop3 submission
listen = 127.0.0.1
ssl = required
ssl_cert = <{server.certificate}
ssl_key = <{server.key}
ssl_ca = <{folder}/ca.pem
ssl_verify_client_cert = yes
ssl_min_protocol = TLSv1.2
ssl_cert_username_field = commonName
auth_ssl_username_from_cert = yes
auth_mechanisms = external
auth_failure_delay = 0
mail_location = maildir:~/mail
first_valid_uid = 0
first_valid_gid = 0
hostname = mail.example.org
submission_relay_host = 127.0.0.1
submission_relay_port = {relay}
submission_relay_trusted = yes
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={uid} gid={uid} home={folder}/home
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service submission-login {{
  inet_listener submission {{
    port = {submission}
  }}
}}
"""

NOBODY = 65534  # Dovecot opens no mailbox as root
NAMES = ("imap", "imaps", "pop3", "pop3s", "submission")


@pytest.fixture(scope="module")
def dovecot(zoo, house):
    if not shutil.which("dovecot") or os.geteuid() != 0 or not os.path.exists("/usr/lib/dovecot/pop3-login"):
        pytest.skip("needs dovecot-imapd, dovecot-pop3d, dovecot-submissiond, and root")
    # Its login processes run as users of their own, and walk to their sockets: nobody walks through pytest's folder.
    folder = Path(tempfile.mkdtemp(prefix="postern-dovecot."))
    folder.chmod(0o755)
    (folder / "home").mkdir()
    os.chown(folder / "home", NOBODY, NOBODY)
    (folder / "ca.pem").write_bytes(zoo.staff.file.read_bytes() + zoo.crl.read_bytes())
    ports = {name: next(PORTS) for name in NAMES}
    (folder / "dovecot.conf").write_text(DOVECOT.format(folder=folder, server=zoo.server, uid=NOBODY,
                                                            relay=house["mx-plain"].port, **ports))
    process = subprocess.Popen(["dovecot", "-F", "-c", folder / "dovecot.conf"])
    try:
        for port in ports.values():
            until(lambda port=port: listens(port), f"Dovecot listens on {port}")
        yield ports
    finally:
        process.terminate()
        process.wait(30)
        log = folder / "dovecot.log"
        print(log.read_text() if log.exists() else "no log")
        shutil.rmtree(folder)


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def probe(zoo, *targets, credential="named", more=(), status=None):
    c = credential
    report = json.loads(postern("probe", "server", *targets, "--json", "--tls-version", "1.3", "--timeout", "10", "--certificate", c.certificate,
                                "--key", c.key, "--identity", "alice@example.org", *more, status=status).stdout)
    report["by"] = {case["id"]: case["results"] for case in report["cases"]}
    return report


@pytest.fixture(scope="module")
def named(zoo):
    """Dovecot takes one subject field: here the common name."""
    return zoo.staff.issue("alice@example.org", ["alice@example.org"])


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_mailboxes(dovecot, zoo, named, protocol):
    """OPN-12: neither lets the certificate alone in; EXTERNAL works, with the name and without; bad certificates do not."""
    staff_key = write_pem(zoo.folder / "staff.key", key_pem(zoo.staff.key))
    revoked = zoo["revoked"]
    report = probe(zoo, f"{protocol}://127.0.0.1:{dovecot[protocol]}", f"{protocol}s://127.0.0.1:{dovecot[protocol + 's']}",
                   credential=named, more=("--ca-cert", zoo.staff.file, "--ca-key", staff_key,
                                           "--bad", f"revoked={revoked.certificate},{revoked.key}"))
    assert report["verdict"] == "explicit", report
    statuses = {name: {r["status"] for r in results} for name, results in report["by"].items()}
    for name in ("equals", "empty-line", "authzid", "prompted-authzid", "foreign", "alone", "enabled", "login-opens",
                 "second-auth", "version", "old-version"):
        assert statuses[name] == {"pass"}, (name, report["by"][name])
    # It lists EXTERNAL to everybody, even in the clear, and then refuses.
    assert "fail" in statuses["clear"] and report["result"] == "not conforming"
    assert statuses["no-certificate"] == {"warning"} and statuses["login-without"] == {"pass"}
    for name in ("expired", "future", "unknown-ca", "self-signed", "revoked", "server-only"):
        assert statuses[name] == {"warning"}, (name, report["by"][name])
    assert all("Staff CA" in r["detail"] for r in report["by"]["request"])


def test_submission(dovecot, zoo, named):
    """EXTERNAL is required, an empty line is as good as "=", and what follows a 334 must be base64."""
    report = probe(zoo, f"submission://127.0.0.1:{dovecot['submission']}", credential=named,
                   more=("--to", "alice@example.org"))
    assert report["verdict"] == "option-1-or-3", report
    works = {c["sends"]: c["works"] for c in report["clients"]}
    assert works["AUTH EXTERNAL ="] == works["bare, then an empty line"] == works["AUTH EXTERNAL authzid"] == "yes"
    assert works["bare, then ="] == works["straight to MAIL"] == "no"
    assert report["by"]["clear"][0]["status"] == "fail" and report["by"]["foreign"][0]["status"] == "pass"
