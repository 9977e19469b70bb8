"""A real HAProxy in front of the server: it ends TLS and says by the PROXY protocol whom it speaks for."""
import shutil
import socket
import subprocess

from .server import PORTS
from .wait import until
from .wire import Endpoint

PROGRAM = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")


def is_installed():
    return PROGRAM is not None


class Haproxy:
    def __init__(self, folder, zoo, upstream, options):
        """`options` of a server line: what is sent ahead."""
        self.endpoint = Endpoint(next(PORTS), "implicit", "haproxy")
        own, conf, self.said = (folder / f"haproxy.{kind}" for kind in ("pem", "cfg", "log"))
        own.write_bytes(zoo.server.certificate.read_bytes() + zoo.server.key.read_bytes())
        conf.write_text(f"""
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
listen front
    bind 127.0.0.1:{self.endpoint.port} ssl crt {own} ca-file {zoo.staff.file} verify optional crt-ignore-err all
    server postern 127.0.0.1:{upstream.port} {options}
""")
        self.process = subprocess.Popen([PROGRAM, "-db", "-f", str(conf)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=self.said.open("wb"))
        until(self.is_listening, "HAProxy listens")

    def is_listening(self):
        assert self.process.poll() is None, self.said.read_text()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.endpoint.port)) == 0

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
