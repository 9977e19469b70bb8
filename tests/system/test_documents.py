"""What docs/CERTIFICATES.md and postern.conf(5) tell an operator to write and to run, written and run."""
import re
import shlex

import pytest

from kit.server import ROOT, Config, postern

PAGE = (ROOT / "docs/CERTIFICATES.md").read_text()
SHOWN = re.findall(r"`(identity \w+ \{.*?\})`(?= )", PAGE)
SETTINGS = re.findall(r"`((?:sender|ocsp|crl-stale|require-eku|pin|client-certificate|workarounds) = [^`]+)`", PAGE)


@pytest.fixture
def page_config(config, zoo):
    """The shown paths lead to what there is here."""
    table = config.folder / "table"
    table.write_text("x y\n")

    def make(*parts, trust="", **listener):
        c = Config(config.folder, zoo)
        c.spool().maildir("default").add(f'trust staff {{ ca = {{"{zoo.staff.file}"}} {trust} }}')
        c.add(f'trust partner {{ ca = {{"{zoo.stranger.file}"}} }}')
        c.add(*(re.sub(r'"/etc/postern/[^"]*"', f'"{table}"', p) for p in parts))
        c.listener("in", "implicit", **{"trust": "{staff}", **listener})
        return c.write()
    return make


@pytest.mark.parametrize("rule", SHOWN, ids=lambda r: r.split()[1] + str(SHOWN.index(r)))
def test_identity_rules(page_config, rule):
    """CERT-14: each rule of the page is one that the server takes."""
    assert "no mistakes" in postern("check", "-c", page_config(rule)).stdout


def test_whose_rules_they_are():
    """O3-07: the page claims nothing about other people's servers."""
    assert "rules of your listeners and of nobody else's" in PAGE


def test_rules_are_found():
    """The page has a rule for each kind of certificate that it speaks of."""
    assert len(SHOWN) >= 9 and len(SETTINGS) >= 5


@pytest.mark.parametrize("setting", sorted(set(SETTINGS)))
def test_settings(page_config, zoo, setting):
    """Settings named in the text are known, in the block where they belong."""
    setting = setting.replace("sha256:...", f"sha256:{zoo['good'].fingerprint}")
    name, value = setting.split(" = ", 1)
    if name in ("ocsp", "crl-stale", "require-eku", "pin"):
        path = page_config(trust=setting)
    else:
        path = page_config(**{name.replace("-", "_"): value})
    assert "no mistakes" in postern("check", "-c", path).stdout


def test_listeners(page_config, zoo, config):
    """The two listeners under "three answers", their dots filled in."""
    lines = re.findall(r"^    (listener .*\})$", PAGE, re.M)
    assert len(lines) == 2
    key = f'certificate = "{zoo.server.certificate}" key = "{zoo.server.key}"'
    path = page_config(*(x.replace("...", key) for x in lines))
    assert "no mistakes" in postern("check", "-c", path).stdout


def test_commands(tmp_path, zoo, page_config):
    """`postern report sequences` behind a pipe, `postern cert explain FILE`, `postern cert crl DIR`."""
    command = re.search(r"\| (postern report .*)$", PAGE, re.M)[1]
    log = ("2026-11-01T10:00:00.000Z info login session=x listener=in identity=alice@example.org mechanism=EXTERNAL "
           "sequence=implicit helo=a\n")
    assert "alice@example.org" in postern(*shlex.split(command)[1:], input=log).stdout
    for words in re.findall(r"`postern (cert (?:explain|crl) [A-Z]+)`", PAGE):
        assert words in ("cert explain FILE", "cert crl DIR")
    said = postern("cert", "explain", zoo["good"].certificate, "-c", page_config()).stdout
    assert "alice@example.org" in said and zoo["good"].fingerprint[:8] in said.replace(":", "").lower()
    postern("cert", "init", tmp_path / "ca")
    (tmp_path / "ca/crl.pem").unlink()
    postern("cert", "crl", tmp_path / "ca")
    assert (tmp_path / "ca/crl.pem").exists()


def test_replies_are_the_servers(house):
    """Words of the table "what replies mean" are those of the server."""
    with house.connect("explicit-implicit", "good") as c:
        assert "present the certificate with AUTH EXTERNAL" in PAGE
        c.expect("MAIL FROM:<alice@example.org>", 530, text="present the certificate with AUTH EXTERNAL")
        c.expect("AUTH EXTERNAL *", 501)
    for certificate, words in (("expired", "client certificate expired"), ("no-san", "has no e-mail address (subjectAltName)"),
                               ("two-sans", "holds several addresses")):
        assert words in PAGE
        with house.connect("implicit-implicit", certificate) as c:
            c.expect("MAIL FROM:<alice@example.org>", 530, text=words)


def test_every_setting_of_the_manual(config, zoo, tmp_path):
    """The example of postern.conf(5) that has every setting is a configuration without a mistake."""
    page = (ROOT / "man/postern.conf.5").read_text()
    text = re.search(r"^Every setting once.*?\n\.Bd [^\n]*\n(.*?)^\.Ed", page, re.S | re.M)[1].replace("\\e", "\\")
    table = tmp_path / "table"
    table.write_text("x y\n")
    table.chmod(0o600)  # some are passwords
    (tmp_path / "ours.crl").write_bytes(zoo.crl.read_bytes())
    places = {"staff-ca.pem": zoo.staff.file, "partner-ca.pem": zoo.server_ca.file, "staff.crl": zoo.crl,
              "fullchain.pem": zoo.server.certificate, "key.pem": zoo.server.key,
              "client.pem": zoo["good"].certificate, "client-key.pem": zoo["good"].key}
    text = re.sub(r'"/etc/postern/([^"]*)"', lambda m: f'"{places.get(m[1], table)}"', text)
    text = text.replace("/var/lib/postern", str(tmp_path)).replace('user = "postern"  group = "postern"', "")
    path = tmp_path / "postern.conf"
    path.write_text(text)
    said = postern("check", "-c", path).stdout
    assert "no mistakes" in said and "warning" not in said, said
