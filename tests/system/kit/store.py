"""A credential as PKCS#12 file, and on a token."""
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "482916"


def run(*command):
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def pkcs12(path, credential, password):
    """Certificate and key as one file, made by openssl, and put in place in one step."""
    fresh = path.with_name("fresh.p12")
    run("openssl", "pkcs12", "-export", "-in", credential.certificate, "-inkey", credential.key, "-out", fresh,
        "-passout", f"pass:{password}")
    fresh.replace(path)
    return path


def secret(path, text, mode=0o600):
    fresh = path.with_name("fresh-secret")
    fresh.write_text(text + "\n")
    fresh.chmod(mode)
    fresh.replace(path)
    return path


def token(folder, monkeypatch, **credentials):
    """A SoftHSM with the credentials, each under its name; SOFTHSM2_CONF names it from then on.  Its URI, but for the object."""
    if not SOFTHSM.exists() or not all(map(shutil.which, ("softhsm2-util", "pkcs11-tool"))):
        pytest.skip("no SoftHSM or no pkcs11-tool (packages softhsm2, opensc)")
    engines = subprocess.run(["openssl", "version", "-e"], check=True, capture_output=True, text=True).stdout
    if not Path(re.search(r'"(.*)"', engines)[1], "pkcs11.so").exists():
        pytest.skip("OpenSSL has no engine pkcs11 (package libengine-pkcs11-openssl)")
    tokens, conf, key = folder / "tokens", folder / "softhsm2.conf", folder / "key.p8"
    tokens.mkdir()
    conf.write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(conf))
    run("softhsm2-util", "--init-token", "--free", "--label", "staff", "--pin", PIN, "--so-pin", "5678")
    for number, (name, credential) in enumerate(credentials.items(), 1):
        run("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", credential.key, "-out", key)
        run("softhsm2-util", "--import", key, "--token", "staff", "--label", name, "--id", f"{number:02}", "--pin", PIN)
        run("pkcs11-tool", "--module", SOFTHSM, "--token-label", "staff", "--pin", PIN, "--write-object", credential.certificate,
            "--type", "cert", "--id", f"{number:02}", "--label", name)
        key.unlink()
    return "pkcs11:token=staff"
