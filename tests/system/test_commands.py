"""The command line: help, mistakes said with file and line, and a server that says why it does not start."""
import json
import os
import pwd
import re
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from cryptography import x509

from kit.server import BINARY, Config, Server, postern
from kit.store import pkcs12, secret
from kit.traffic import submit
from kit.wait import until

COMMANDS = ("serve", "queue", "cert", "check", "bench")


# ---- help ----

def test_help():
    """Every command is listed, once, and says how it is used on standard output."""
    said = postern("--help").stdout
    assert "usage: postern COMMAND" in said
    for command in COMMANDS:
        assert len(re.findall(rf"(?m)^  postern {command}\b", said)) == 1, said
        own = postern(command, "--help")
        assert f"usage: postern {command}" in own.stdout and not own.stderr
    assert re.match(r"postern \d+\.\d+\.\d+\n$", postern("--version").stdout)


@pytest.mark.parametrize("words,says", [
    ([], "usage: postern COMMAND"), (["sevre"], 'did you mean "postern serve"'), (["xyzzy"], "postern --help"),
    (["serve", "--nonsense"], "nonsense"), (["serve", "extra"], "extra"), (["check", "extra"], "extra"),
    (["queue", "lst"], 'did you mean "list"'), (["cert", "isue"], 'did you mean "issue"')])
def test_usage_mistakes(words, says):
    """EX_USAGE, and a word of help, on standard error."""
    assert says in postern(*words, status=64).stderr


@pytest.mark.parametrize("command", ("serve", "check", "queue list"))
def test_no_configuration(command):
    """A file that is not there is named."""
    done = postern(*command.split(), "-c", "/nonexistent/postern.conf", status=66)
    assert "/nonexistent/postern.conf" in done.stdout + done.stderr


# ---- check ----

MISTAKES = [
    ('hostnme = "mail.example.org"', 'unknown setting "hostnme"; did you mean "hostname"?'),
    ("workers = many", "is no number"),
    ('listenr in { }', 'unknown block "listenr"; did you mean "listener"?'),
    ('trust staff { ca = {"/nonexistent/ca.pem"} }', 'cannot read "/nonexistent/ca.pem"'),
    ('listener in { address = "nowhere" tls = none }', "is no address to listen on"),
    ('listener in { address = "*:587" }', "write certificate ="),
    ('listener in { address = "*:587" tls = none certificate-auth = implicit }', "comes with TLS"),
    ('listener in { address = "*:587" tls = none timeout = 3 years }', "timeout"),
    ("route default { }", "leads nowhere"),
    ('route default { smtp = "x:25" maildir = "/y" }', "keep one"),
    ('route default { maildir = "/y/%z" }', "stands for nothing"),
    ("delivery { retry-min = 2h retry-max = 1h }", "above retry-max"),
]


@pytest.mark.parametrize("line,says", MISTAKES, ids=[m[1][:30] for m in MISTAKES])
def test_check_names_file_and_line(tmp_path, line, says):
    """Each mistake with file, line and what would be right; `serve` says the same."""
    path = tmp_path / "postern.conf"
    path.write_text(f"# a comment\n\n\n{line}\n")
    said = postern("check", "-c", path, status=78).stdout
    assert any(x.startswith(f"{path}:4: ") and says in x for x in said.splitlines()), said
    assert f"{path}:4: " in postern("serve", "-c", path, status=78).stderr


def test_check_says_all_at_once(config, zoo):
    """Mistakes in included files, in certificates, and at the end how many."""
    (config.folder / "more.conf").write_text('route default { discrad = yes }\n')
    config.add('include("more.conf")').trust("staff", ca=zoo["good"].key)
    config.listener("in", "implicit", trust="{staff}", key=f'"{zoo["bob"].key}"')
    path = config.write()
    said = postern("check", "-c", path, status=78).stdout
    assert f'{config.folder}/more.conf:1: unknown setting "discrad"' in said
    (config.folder / "more.conf").write_text("route default { discard = yes }\n")
    said = postern("check", "-c", path, status=78).stdout
    assert 'trust staff: ' in said and 'listener "in"' in said and re.search(r"\d mistakes\n$", said), said
    report = json.loads(postern("check", "-c", path, "--json", status=78).stdout)
    assert report["ok"] is False and all({"file", "line", "text"} <= set(f) for f in report["findings"])


def test_check_of_what_is_right(config):
    """Nothing to say, exit 0."""
    config.trust().spool().maildir("default").listener("in", "implicit", trust="{staff}")
    assert "no mistakes" in postern("check", "-c", config.write()).stdout
    assert json.loads(postern("check", "-c", config.write(), "--json").stdout)["ok"] is True


TABLES = ("aliases", "may-act-as", "senders", "disabled", "priorities", "identity", "passwords")


@pytest.mark.parametrize("where", TABLES)
@pytest.mark.parametrize("text,says", [
    ("alice a\nalice b\n", ":2: the key of line 1 stands here again"),
    ('# x\n"alice a\n', ":2: the quoted key is empty or does not end"),
    ("a\0b c\n", ":1: a NUL octet"),
], ids=("twice", "quote", "nul"))
def test_check_of_tables(config, where, text, says):
    """Every table of names, as far as `serve` would look, which then ends with the same words."""
    table = config.folder / "table"
    table.write_text(text)
    config.trust().spool().maildir("default")
    more = {where: f'"{table}"'} if where in TABLES[:5] else {}
    if where == "may-act-as":
        more["authzid"] = "table"
    if where == "senders":
        more["sender"] = "table"
    if where == "identity":
        config.add(f'identity one {{ source = san-email  table = "{table}" }}')
    if where == "passwords":
        config.add(f'passwords staff {{ table = "{table}" }}')
        more["passwords"] = "staff"
    config.listener("in", "implicit", trust="{staff}", **more)
    path = config.write()
    block = {"identity": "identity one", "passwords": "passwords staff"}.get(where, "listener in")
    line = 1 + path.read_text().splitlines().index(next(x for x in path.read_text().splitlines() if x.startswith(block)))
    said = postern("check", "-c", path, status=78).stdout
    assert said.startswith(f"{path}:{line}: ") and f"{table}{says}" in said and "\n" + f"{path}: 1 mistake\n" in said, said
    assert f"{table}{says}" in doomed(config)
    table.write_text("alice alice@example.org\n")
    assert "no mistakes" in postern("check", "-c", path).stdout


def test_check_looks_at_dates(config, zoo, tmp_path):
    """What has expired, or soon will, is a warning at its block: the server starts with it."""
    old = zoo.issue_server("checked-own", days=(-20, -2))
    list_file = tmp_path / "old.crl"
    list_file.write_bytes(zoo.staff.crl(days=-1))
    config.add(f'trust staff {{ ca = "{zoo.staff.file}" crl = "{list_file}" }}').spool().maildir("default")
    config.route("far.test", smtp='"127.0.0.1:1"', tls="verify", certificate=f'"{old.certificate}"', key=f'"{old.key}"')
    config.listener("in", "implicit", trust="{staff}", certificate=f'"{old.certificate}"', key=f'"{old.key}"')
    said = [line for line in postern("check", "-c", config.write()).stdout.splitlines() if ": warning: " in line]
    assert len([line for line in said if "checked-own expired on" in line]) == 2, said
    assert len([line for line in said if "list of CN=Staff CA went out of date" in line]) == 1, said


def test_check_folds_the_disabled(config):
    """Keys of `disabled` are the same in any case, as for the server; those of other tables are not."""
    table = config.folder / "table"
    table.write_text("alice a\nALICE b\n")
    config.trust().spool().maildir("default")
    config.listener("in", "implicit", trust="{staff}", aliases=f'"{table}"', disabled=f'"{table}"')
    said = postern("check", "-c", config.write(), status=78).stdout
    assert said.count("stands here again") == 1


# ---- a server that does not start ----

def doomed(config):
    server = Server(config, "doomed")
    server.start(wait=False)
    assert server.wait_exit() != 0
    server.check()
    return server.log.find("start-failed")[0]["message"]


def test_port_in_use(config):
    """The address, and how to find out who has it; also when the other one is a Postern."""
    config.trust().spool().maildir("default").listener("in", "implicit", trust="{staff}")
    port = config.endpoints["in"].port
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen()
        said = doomed(config)
    assert f"127.0.0.1:{port}" in said and "in use" in said and "ss -ltnp" in said, said


def test_port_of_another_postern(run, config, tmp_path):
    """Two servers never share a port by accident."""
    config.trust().spool().maildir("default").listener("in", "implicit", trust="{staff}")
    run(config)
    other = Config(tmp_path / "other", config.zoo)
    other.folder.mkdir()
    other.trust().spool().maildir("default").listener("in", "implicit", trust="{staff}")
    other.parts = [p.replace(f':{other.endpoints["in"].port}"', f':{config.endpoints["in"].port}"') for p in other.parts]
    assert "in use" in doomed(other)


def test_key_of_another_certificate(config, zoo):
    """Certificate and key that do not belong together."""
    config.trust().spool().maildir("default").listener("in", "implicit", trust="{staff}", key=f'"{zoo["bob"].key}"')
    assert str(zoo["bob"].key) in doomed(config) or str(config.server.certificate) in doomed(config)


def test_unknown_user(config):
    """A user that does not exist is a mistake in the file, with the cure."""
    config.parts = [p for p in config.parts if not p.startswith("user")]
    config.add('user = "nobody-of-that-name"').trust().spool().maildir("default")
    config.listener("in", "implicit", trust="{staff}")
    assert "adduser" in postern("check", "-c", config.write(), status=78).stdout


# ---- who it runs as ----

@pytest.fixture
def open_folder():
    """A folder another user may get to."""
    with tempfile.TemporaryDirectory(prefix="postern-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may become somebody else")
def test_unprivileged_after_binding(open_folder, zoo, run):
    """Once bound, the server is somebody who may do little: no root in any of its ids, no capabilities, no way back;
    what it writes is that user's.  A port below 1024 and a key that only root can read were no obstacle."""
    nobody = pwd.getpwnam("nobody")
    config = Config(open_folder, zoo)
    config.parts = [p for p in config.parts if not p.startswith("user")]
    for name in ("spool", "mail"):
        (open_folder / name).mkdir()
        os.chown(open_folder / name, nobody.pw_uid, nobody.pw_gid)
    (open_folder / "ca.pem").write_bytes(zoo.staff.file.read_bytes())
    config.add('user = "nobody"').trust(ca=open_folder / "ca.pem", crl=False)
    config.spool(open_folder / "spool" / "spool.db").maildir("example.org").listener("in", "implicit", trust="{staff}")
    server = run(config, env={"ASAN_OPTIONS": "detect_leaks=0"})  # which would trace a process of another user
    assert set(server.status("Uid")) == {str(nobody.pw_uid)} and set(server.status("Gid")) == {str(nobody.pw_gid)}
    assert server.status("Groups") in ([], [str(nobody.pw_gid)])
    assert server.status("CapEff") == server.status("CapPrm") == ["0000000000000000"]
    assert server.status("NoNewPrivs") == ["1"]
    token, _ = submit(server, "bob@example.org")
    server.mailbox("bob@example.org").wait(token)
    for path in [*(open_folder / "spool").iterdir(), *(open_folder / "mail").rglob("*")]:
        assert path.stat().st_uid == nobody.pw_uid and path.stat().st_mode & 0o077 == 0, path
    server.log.wait("reloaded", since=server.reload(), failed=0)
    submit(server, "bob@example.org")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may become somebody else")
def test_files_only_root_can_read(open_folder, zoo, run):
    """What the account that serves cannot read again stays as it is: a user taken out would go on logging in.  Said
    by the check, and by the server when it starts, each with the cure; and so is a spool that is not that account's."""
    config = Config(open_folder, zoo)
    config.parts = [p for p in config.parts if not p.startswith("user")]
    closed = open_folder / "ca"
    closed.mkdir(mode=0o700)
    (closed / "ca.pem").write_bytes(zoo.staff.file.read_bytes())
    tables = {}
    for name in ("passwords", "aliases", "disabled", "names"):
        tables[name] = open_folder / name
        tables[name].write_text("")
        tables[name].chmod(0o600)
    config.add('user = "nobody"').trust(ca=closed / "ca.pem", crl=False)
    config.add(f'passwords p {{ table = "{tables["passwords"]}" }}',
               f'identity i {{ source = san-email table = "{tables["names"]}" }}')
    config.spool(open_folder / "spool" / "spool.db").maildir("example.org")
    config.listener("in", "implicit", trust="{staff}", passwords="p", aliases=f'"{tables["aliases"]}"',
                    disabled=f'"{tables["disabled"]}"')
    (open_folder / "spool").mkdir()
    path = config.write()
    said = postern("check", "-c", path, status=78, env={"ASAN_OPTIONS": "detect_leaks=0"}).stdout.splitlines()
    for denied in (closed / "ca.pem", *tables.values()):
        assert any("warning" in line and f'{denied}: "nobody" may not read it' in line and "chgrp nobody" in line
                   for line in said), said
    line = next(n for n, text in enumerate(Path(path).read_text().splitlines(), 1) if text.startswith("spool"))
    assert any(s.startswith(f"{path}:{line}: the folder of the spool") and "chown nobody" in s for s in said), said

    os.chown(open_folder / "spool", pwd.getpwnam("nobody").pw_uid, -1)
    server = run(config, env={"ASAN_OPTIONS": "detect_leaks=0"})
    assert len(server.log.find("unreadable")) == 5

    for denied in (closed, *tables.values()):
        denied.chmod(0o755)
    said = postern("check", "-c", path, env={"ASAN_OPTIONS": "detect_leaks=0"}).stdout
    assert "may not read" not in said and "spool" not in said


def serial_shown(server, listener="in"):
    with socket.create_connection(("127.0.0.1", server[listener].port), timeout=30) as s:
        with server.tls().wrap_socket(s, server_hostname="mail.example.org") as tls:
            return x509.load_der_x509_certificate(tls.getpeercert(True)).serial_number


@pytest.fixture
def certbot(open_folder, zoo):
    """live/mail/*.pem -> archive/mail/*N.pem, and only root gets into live and archive; renew() as certbot does."""
    class Certbot:
        live, archive = open_folder / "live/mail", open_folder / "archive/mail"
        number = 0

        def renew(self):
            self.number += 1
            fresh = zoo.issue_server(f"renewed-{self.number}")
            for name, source in (("fullchain", fresh.certificate), ("privkey", fresh.key)):
                path = self.archive / f"{name}{self.number}.pem"
                path.write_bytes(source.read_bytes())
                path.chmod(0o600)
                link = self.live / f"{name}.pem"
                fresh_link = self.live / f".{name}"
                fresh_link.symlink_to(f"../../archive/mail/{path.name}")
                fresh_link.replace(link)
            return fresh
    made = Certbot()
    for folder in (made.live, made.archive):
        folder.mkdir(parents=True)
        folder.parent.chmod(0o700)
    return made


def serve_as_nobody(open_folder, zoo, run, certbot, **more):
    nobody = pwd.getpwnam("nobody")
    config = Config(open_folder, zoo)
    config.parts = [p for p in config.parts if not p.startswith("user")]
    (open_folder / "spool").mkdir()
    os.chown(open_folder / "spool", nobody.pw_uid, nobody.pw_gid)
    (open_folder / "ca.pem").write_bytes(zoo.staff.file.read_bytes())
    config.add('user = "nobody"', *more.pop("parts", ())).trust(ca=open_folder / "ca.pem", crl=False)
    config.spool(open_folder / "spool" / "spool.db")
    pair = more.pop("pair", {"certificate": f'"{certbot.live}/fullchain.pem"', "key": f'"{certbot.live}/privkey.pem"'})
    (certbot.live / "password").write_text("secret\n")
    (certbot.live / "password").chmod(0o600)
    config.route("default", smtp='"127.0.0.1:1"', tls="verify", user="ann", password_file=f'"{certbot.live}/password"', **pair)
    config.listener("in", "implicit", trust="{staff}", **{"key": None, **pair})
    return run(config, env={"ASAN_OPTIONS": "detect_leaks=0"})


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may become somebody else")
@pytest.mark.parametrize("how", ("signal", "interval"))
def test_renewal_of_roots_key(open_folder, zoo, run, certbot, how):
    """TLS-16: certificate and key that only root can read are taken up when they are renewed, on SIGHUP and by looking;
    open sessions go on.  Key and password of a route, read after the server is root no more, are no obstacle either."""
    first = certbot.renew()
    server = serve_as_nobody(open_folder, zoo, run, certbot,
                             parts=["reload-interval = 0" if how == "signal" else "reload-interval = 200ms"])
    assert serial_shown(server) == first.serial
    client = server.connect("in", "good")
    for _ in range(2):
        mark = server.log.mark()
        fresh = certbot.renew()
        if how == "signal":
            server.reload()
        until(lambda: serial_shown(server) == fresh.serial, lambda: "\n".join(server.log.lines[-10:]))
        assert not server.log.find("reload-failed", since=mark) or how == "interval"  # it may have looked in between
    client.expect("MAIL FROM:<alice@example.org>", 250)
    client.expect("RSET", 250)
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    assert len(children) == 1
    status = dict(line.split(":", 1) for line in Path(f"/proc/{children[0]}/status").read_text().splitlines())
    assert status["CapEff"].strip() == f"{1 << 2:016x}" and status["Threads"].strip() == "1"
    assert len(list(Path(f"/proc/{children[0]}/fd").iterdir())) == 4  # three and its socket
    server.stop()
    assert not Path(f"/proc/{children[0]}").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may become somebody else")
def test_renewal_of_roots_pkcs12(open_folder, zoo, run, certbot):
    """TLS-16: the same of one file with all in it, and of its passphrase."""
    first, second = zoo.issue_server("p12-first"), zoo.issue_server("p12-second")
    file, phrase = pkcs12(certbot.live / "mail.p12", first, "one"), secret(certbot.live / "phrase", "one")
    server = serve_as_nobody(open_folder, zoo, run, certbot, parts=["reload-interval = 0"],
                             pair={"certificate": f'"{file}"', "key_password_file": f'"{phrase}"'})
    assert serial_shown(server) == first.serial
    pkcs12(file, second, "two")
    secret(phrase, "two")
    assert server.log.wait("reloaded", since=server.reload())["failed"] == "0"
    assert serial_shown(server) == second.serial


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may become somebody else")
def test_porter_ends_with_a_killed_server(open_folder, zoo, run, certbot):
    """Nothing is left behind, no port is held, however the server ends."""
    certbot.renew()
    server = serve_as_nobody(open_folder, zoo, run, certbot)
    child = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()[0]
    server.kill()
    until(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/status").read_text().split("State:")[1][:4],
          "the porter's end")
    with socket.socket() as s:
        s.bind(("127.0.0.1", server["in"].port))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may become somebody else")
def test_porter_follows_no_way_of_others(open_folder, zoo, run, certbot):
    """A folder that the account itself could change leads to no file of root's: what was loaded stays, and the log
    says why, and what would be right."""
    first = certbot.renew()
    server = serve_as_nobody(open_folder, zoo, run, certbot, parts=["reload-interval = 0"])
    certbot.renew()
    os.chown(certbot.live.parent, pwd.getpwnam("nobody").pw_uid, -1)
    mark = server.reload()
    failed = server.log.wait("reload-failed", since=mark, listener="in")
    assert "chmod 640" in failed["message"] and "ermission denied" in failed["message"]
    assert "changed by others than root" in server.log.wait("porter", since=mark)["message"]
    assert serial_shown(server) == first.serial


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may start it as somebody else")
def test_started_as_nobody(open_folder, zoo):
    """Started by an ordinary user it serves as that user; a user to become is then refused with the cure."""
    config = Config(open_folder, zoo)
    config.parts = [p for p in config.parts if not p.startswith("user")]
    for path in (zoo.server.certificate, zoo.server.key, zoo.staff.file):
        (open_folder / path.name).write_bytes(path.read_bytes())
    config.server = type(zoo.server)("copy", open_folder / zoo.server.certificate.name,
                                     open_folder / zoo.server.key.name, zoo.server.x509)
    config.add('user = "daemon"').trust(ca=open_folder / zoo.staff.file.name, crl=False).spool().maildir("default")
    config.listener("in", "implicit", trust="{staff}")
    for path in (open_folder, *open_folder.iterdir()):
        os.chmod(path, 0o777)
    done = subprocess.run([BINARY, "serve", "-c", config.write()], user="nobody", group="nogroup", extra_groups=[],
                          capture_output=True, text=True, timeout=60, cwd="/")
    if "error while loading" in done.stderr or done.returncode == 126:
        pytest.skip("the binary lies where nobody cannot get to it")
    assert done.returncode == 77 and "only root can become" in done.stderr, done.stderr
