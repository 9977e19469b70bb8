"""`postern probe client`, and what it says about one real client."""
import json
import signal
import subprocess

from kit.server import BINARY, environment
from kit.wait import DEADLINE, until

from .clients import Job
from .people import ALICE
from .root import BOOKWORM

KINDS = ("explicit", "hidden")  # enough to tell the sequences apart


class Observer:
    name = "postern probe client"

    def __init__(self, bed):
        self.bed = bed
        self.folder = bed.roots[BOOKWORM].host("/lab/observer")
        self.lines = []

    def start(self):
        """A process for each client, with the certificates that the first of them made."""
        self.errors = (self.folder.parent / "observer.log").open("w+")
        self.process = subprocess.Popen(
            [BINARY, "probe", "client", "--json", "--folder", self.folder, "--identity", ALICE, "--timeout", str(int(DEADLINE * 4)),
             "--ca", self.bed.people.staff.file], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors,
            text=True, env=environment())
        until(lambda: "\nready" in self.log() or self.process.poll() is not None, lambda: f"an observer: {self.log()}")
        words = [line.split() for line in self.log().splitlines() if line.startswith("127.0.0.1:")]
        self.ports = {kind: int(address.rpartition(":")[2]) for address, kind, *_ in words}
        for root in self.bed.roots.values():
            root.host("/lab/observer.pem").write_text((self.folder / "ca/ca.pem").read_text())
        return self

    def log(self):
        self.errors.flush()
        return (self.folder.parent / "observer.log").read_text()

    def report(self):
        """What Ctrl-C makes it say."""
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=DEADLINE)
        self.errors.close()
        assert said, f"no report: {self.log()}"
        return json.loads(said)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def meet(self, client):
        """(the report, what the client said): it has come to each of KINDS once."""
        said = ""
        for kind in KINDS:
            job = Job(self.bed, client.release, self.ports[kind], f"token-{kind}", f"{client.name}-seen-{kind}",
                      "/lab/observer.pem")
            said += client.send(job)[1]
        return self.report(), said
