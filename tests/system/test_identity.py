"""Identity rules and trust blocks in the running server: tables that change, namesakes, pins, long lists."""
import os
import threading

from cryptography import x509

from kit.certs import DAY, NOW, Authority, digest_for, pem

ALICE = "alice@example.org"


def serve(run, config, *parts, trust):
    config.add("reload-interval = 200ms", *parts)
    for policy in ("explicit", "implicit"):
        config.listener(policy, "starttls", trust=trust, certificate_auth=policy, sender="any")
    config.spool().maildir("default", "elsewhere/%d/%u")
    return run(config, "site")


def replace(path, data):
    fresh = path.with_name("." + path.name + ".new")
    fresh.write_bytes(data)
    os.replace(fresh, path)


def test_pattern_and_table(run, config, tmp_path):
    """CERT-14: a device by pattern and template, another by a table; the log names the rule; a new table acts at once."""
    ca = Authority(tmp_path, "Device CA")
    table = tmp_path / "devices"
    table.write_text("cam-1.lab.example.net lab@example.org\n")
    server = serve(run, config,
                   f'trust devices {{ ca = {{"{ca.file}"}} }}',
                   "identity printer { source = san-dns  pattern = '(.+)\\.devices\\.example\\.org'  "
                   "name = '$1@example.org' }",
                   f'identity lab {{ source = san-dns  table = "{table}" }}', trust="{devices}")
    printer = ca.issue("printer", dns=["printer-7.devices.example.org"])
    camera = ca.issue("camera", dns=["cam-1.lab.example.net"])
    client = server.connect("explicit", printer)
    client.expect("AUTH EXTERNAL =", 235, "2.7.0", "printer-7@example.org")
    assert server.log.wait("tls", rule="printer")
    client = server.connect("explicit", camera)
    client.expect("AUTH EXTERNAL =", 235, "2.7.0", "lab@example.org")
    mark = server.log.mark()
    replace(table, b"other.lab.example.net lab@example.org\n")
    server.log.wait("reloaded", since=mark, failed=0)
    client.expect("MAIL FROM:<lab@example.org>", 421, "4.7.0", "names nobody known here")
    server.connect("implicit", camera).expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0", "names nobody known here")


def test_namesakes(run, config, tmp_path):
    """Two CAs with one subject name are both known, each in its block; a third of that name is not."""
    folders = [tmp_path / n for n in "abc"]
    for folder in folders:
        folder.mkdir()
    first, second, third = (Authority(folder, "Staff CA") for folder in folders)
    server = serve(run, config,
                   f'trust first {{ ca = {{"{first.file}"}} }}', f'trust second {{ ca = {{"{second.file}"}} }}',
                   trust="{first, second}")
    for ca in (first, second):
        server.connect("explicit", ca.issue("alice", [ALICE])).expect("AUTH EXTERNAL =", 235, "2.7.0", ALICE)
    server.connect("implicit", third.issue("alice", [ALICE])).expect(
        f"MAIL FROM:<{ALICE}>", 530, "5.7.0", "not the one known here by that name")


def test_pins(run, config, tmp_path, zoo):
    """EDG-20: a certificate known by its fingerprint needs no CA; its neighbour is not known."""
    ca = Authority(tmp_path, "Nobody's CA")
    known, other = ca.issue("known", [ALICE]), ca.issue("other", [ALICE])
    server = serve(run, config, f'trust pins {{ pin = {{"sha256:{known.fingerprint}"}} }}', trust="{pins}")
    server.connect("explicit", known).expect("AUTH EXTERNAL =", 235, "2.7.0", ALICE)
    server.connect("implicit", known).expect(f"MAIL FROM:<{ALICE}>", 250)
    server.connect("implicit", other).expect(f"MAIL FROM:<{ALICE}>", 530, "5.7.0", "unknown CA")


def long_list(ca, serials):
    builder = (x509.CertificateRevocationListBuilder().issuer_name(ca.subject)
               .last_update(NOW - DAY).next_update(NOW + 30 * DAY))
    for serial in serials:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY).build())
    return pem(builder.sign(ca.key, digest_for(ca.key)))


def test_long_list_under_load(run, config, tmp_path):
    """EDG-18: a list of 10,000 is taken up again and again while clients talk; nobody of them is dropped but who is on it."""
    ca = Authority(tmp_path, "Busy CA")
    crl = tmp_path / "busy.crl"
    crl.write_bytes(ca.crl())
    server = serve(run, config, f'trust busy {{ ca = {{"{ca.file}"}} crl = {{"{crl}"}} }}', trust="{busy}")
    people = [ca.issue(f"user{i}", [f"user{i}@example.org"]) for i in range(8)]
    victim = ca.issue("victim", [ALICE])
    lists = [long_list(ca, range(1, 10001 + i)) for i in range(2)]
    lists.append(long_list(ca, [*range(1, 10001), victim.serial]))
    done, troubles = threading.Event(), []

    def talk(credential):
        try:
            client = server.connect("implicit", credential)
            while not done.is_set():
                client.expect(f"MAIL FROM:<{credential.emails[0]}>", 250)
                client.expect("RSET", 250)
            client.expect("NOOP", 250)
        except Exception as trouble:  # told by the test's own thread
            troubles.append((credential.name, trouble))

    open_victim = server.connect("explicit", victim)
    open_victim.expect("AUTH EXTERNAL =", 235)
    talkers = [threading.Thread(target=talk, args=(p,)) for p in people]
    for talker in talkers:
        talker.start()
    for data in lists:
        mark = server.log.mark()
        replace(crl, data)
        server.log.wait("reloaded", since=mark, loaded=1, failed=0)
    open_victim.expect(f"MAIL FROM:<{ALICE}>", 421, "4.7.0", "revoked")
    done.set()
    for talker in talkers:
        talker.join()
    assert not troubles
