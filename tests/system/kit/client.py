"""`postern send` as a user has it: a home with send.conf, and the command run there."""
import json
import os
import subprocess

from .server import BINARY, environment, postern


class Home:
    """A home directory of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.conf = folder / ".config/postern/send.conf"
        self.conf.parent.mkdir(parents=True)
        self.queue = folder / ".local/state/postern/send.db"
        self.wrapper = folder / "postern-sendmail"
        self.wrapper.symlink_to(BINARY)

    @property
    def env(self):
        env = {k: v for k, v in environment().items() if not k.startswith("XDG_")}
        return dict(env, HOME=str(self.folder), TZ="UTC")

    def write(self, *accounts, aliases=None):
        head = [f'aliases = "{aliases}"'] if aliases else []
        self.conf.write_text("\n".join(head + list(accounts)) + "\n")
        return self

    def send(self, *words, input="", status=0, **more):
        return postern("send", *words, input=input, status=status, env=self.env, **more)

    def json(self, *words, input="", status=0):
        done = self.send("--json", *words, input=input, status=status)
        report = json.loads(done.stdout)
        assert report["exit_code"] == done.returncode
        return report

    def popen(self, *words, program=None, **more):
        command = [program or BINARY, *(() if program else ("send",)), *map(str, words)]
        return subprocess.Popen(command, env=self.env, **dict({"stderr": subprocess.PIPE}, **more))


def account(name, port, zoo, credential=None, tls="implicit", sender=None, **more):
    """The text of an account at a port of this machine."""
    lines = {"host": f'"localhost:{port}"', "tls": tls}
    if tls != "off":
        lines["ca"] = f'"{zoo.server_ca.file}"'
    if credential:
        lines.update(certificate=f'"{zoo[credential].certificate}"', key=f'"{zoo[credential].key}"')
    if sender:
        lines["from"] = f'{{"{sender}"}}'
    lines.update((k.replace("_", "-"), v) for k, v in more.items())
    return f"account {name} {{\n" + "".join(f"    {k} = {v}\n" for k, v in lines.items()) + "}"


def sanitizer_is_silent(done):
    from .server import SANITIZER
    text = done.stderr if isinstance(done.stderr, str) else (done.stderr or b"").decode(errors="replace")
    assert not SANITIZER.search(text), text


def run_program(command, home, input=b"", timeout=120, **more):
    """A program of somebody else, in that home."""
    done = subprocess.run(list(map(str, command)), input=input, capture_output=True, timeout=timeout,
                          env=dict(home.env, LC_ALL="C.UTF-8", PATH=os.environ["PATH"]), **more)
    sanitizer_is_silent(done)
    return done
