"""The servers that bench/compare puts the same load upon: Postern, and others as Debian has them.

The others are those of the interoperability lab (tests/interop/lab), run by chroot(8) from a folder of their own, with
what such a load asks for: no limit on one client, connections to the next hop kept, no look-ups.  All queues
lie on the same file system, all logs go to files.
"""
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests/system"), str(ROOT / "tests/interop")]
from lab.people import ALICE, People  # noqa: E402
from lab.root import BOOKWORM, Roots  # noqa: E402
from lab.servers import Bed, EximTls, OpenSmtpd, PostfixList, Program  # noqa: E402
from kit.certs import SERVER  # noqa: E402

END_LIMIT = 20  # seconds


class ControlGroup:
    """Of one server: what it and all its children used, so that nothing that forks is lost."""

    def __init__(self, name):
        legacy = "/sys/fs/cgroup/cpuacct"
        self.top = legacy if os.path.isdir(legacy) else "/sys/fs/cgroup"
        self.folder = os.path.join(self.top, f"postern-bench-{os.getpid()}-{name}")
        os.mkdir(self.folder)

    def ours(self):
        """The group this process is in."""
        with open("/proc/self/cgroup") as f:
            for line in f:
                _, controllers, path = line.strip().split(":", 2)
                if "cpuacct" in controllers.split(",") or (not controllers and self.top == "/sys/fs/cgroup"):
                    return self.top + path
        return self.top

    @contextlib.contextmanager
    def inside(self):
        """What is started meanwhile belongs to the group."""
        home = self.ours()
        self.move(self.folder)
        try:
            yield
        finally:
            self.move(home)

    @staticmethod
    def move(folder):
        with open(os.path.join(folder, "cgroup.procs"), "w") as f:
            f.write(str(os.getpid()))

    def members(self):
        with open(os.path.join(self.folder, "cgroup.procs")) as f:
            return [int(line) for line in f]

    def close(self):
        deadline = time.monotonic() + END_LIMIT
        while self.members() and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in self.members():  # all of them began below a server that we started
            os.kill(pid, signal.SIGKILL)
        while self.members():
            time.sleep(0.05)
        os.rmdir(self.folder)


class Postern(Program):
    name = "bench-postern"
    title = "Postern"

    def prepare(self):
        p = self.bed.people
        path = self.folder / "postern.conf"
        path.write_text(f"""
hostname = mail.bench.example
user     = root
trust bench {{ ca = "{p.staff.file}" }}
listener submission {{
    address     = "127.0.0.1:{self.port}"
    tls         = starttls
    certificate = "{p.server.certificate}"
    key         = "{p.server.key}"
    trust       = {{bench}}
    connections-per-client = 0
}}
spool {{ database = spool.db }}
route default {{ smtp = "127.0.0.1:{self.bed.sink.port}" tls = off }}
""")
        return [self.bed.postern, "serve", "-c", str(path)]

    def command(self):
        return self.prepare()

    @property
    def version(self):
        return subprocess.run([self.bed.postern, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]


class Postfix(PostfixList):
    name = "bench-postfix"
    more = """
smtpd_client_connection_count_limit = 0
smtp_connection_cache_destinations = 127.0.0.1
"""


class Exim(EximTls):
    """Delivers each message at once, whatever the load and however many came on a connection."""
    name = "bench-exim"
    main = """
smtp_accept_max = 500
smtp_accept_queue_per_connection = 0
smtp_accept_max_per_connection = 1000000
"""


class Opensmtpd(OpenSmtpd):
    """Without its limits on one session, and without the pauses between connections to one host.  Of connections that come
    together it leaves some without a greeting, so nothing is measured that is made of connections."""
    name = "bench-opensmtpd"
    only = ["messages"]

    def text(self):
        return super().text() + """
smtp limit max-mails 1000000
mta limit session-mail-max 1000000
mta limit session-transaction-delay 0
mta limit conn-delay-host 0
mta limit reconn-delay-route 0
mta limit conn-delay-source 0
mta limit conn-delay-connector 0
mta limit conn-delay-relay 0
mta limit conn-delay-domain 0
"""


SERVERS = {"postern": Postern, "postfix": Postfix, "opensmtpd": Opensmtpd, "exim": Exim}


class Field:
    """What all runs share: the folder with the programs, certificates, the address of the sink."""

    def __init__(self, postern, sink_port):
        self.roots = Roots()
        self.root = self.roots[BOOKWORM]
        folder = self.root.host("/lab/certificates")
        folder.mkdir()
        self.people = People(folder)
        self.people.server = self.people.server_ca.issue("bench-server", dns=["localhost"], ips=["127.0.0.1"], eku=SERVER)
        for path in folder.iterdir():
            path.chmod(0o644)
        self.roots.share(folder)
        self.bed = Bed(self.roots, self.people, SimpleNamespace(port=sink_port))
        self.bed.postern = postern
        self.sender = ALICE
        self.anchors = folder / "anchors.pem"
        self.anchors.write_bytes(self.people.staff.file.read_bytes() + self.people.server_ca.file.read_bytes())

    @contextlib.contextmanager
    def running(self, kind):
        """A server of this kind, from an empty queue, in a control group of its own."""
        server = kind(self.bed)
        server.group = ControlGroup(server.name)
        try:
            with server.group.inside():
                server.start()
            yield server
        finally:
            server.stop()
            server.group.close()
            subprocess.run(["rm", "-rf", str(server.folder)], check=True)

    def close(self):
        self.bed.close()
        self.roots.close()
