"""`postern serve` as a process: its configuration, its log as events, its beginning and its end."""
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import threading
from pathlib import Path

from .wait import DEADLINE, until
from .maildir import Maildir
from .wire import Client, Endpoint, context

ROOT = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("POSTERN", ROOT / "build/src/app/postern")).resolve()

# A report of one of these is a failure, whatever else the test saw.
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|UndefinedBehaviorSanitizer"
                       r"|ThreadSanitizer|Assertion .* failed|stack smashing|buffer overflow detected")
LINE = re.compile(r"^(\d{4}-\d\d-\d\dT\S+Z) (error|warning|notice|info|debug) (\S+)(.*)$")
FIELD = re.compile(r' ([A-Za-z0-9-]+)=("(?:[^"\\]|\\.)*"|\S*)')


def is_sanitized():
    return b"__asan_init" in BINARY.read_bytes()


def environment():
    env = dict(os.environ, LC_ALL="C")
    env["ASAN_OPTIONS"] = "detect_leaks=1:quarantine_size_mb=8:" + env.get("ASAN_OPTIONS", "")
    env["UBSAN_OPTIONS"] = "print_stacktrace=1:" + env.get("UBSAN_OPTIONS", "")
    return env


def free_ports():
    """Ports nobody has, from below the range out of which the kernel serves outgoing connections: none of those
    can take one before the server does."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = list(range(10000, max(low, 20000)))
    random.SystemRandom().shuffle(ports)
    for number in ports:
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", number))
            except OSError:
                continue
        yield number


PORTS = free_ports()


class Config:
    """A configuration file, written block by block."""

    def __init__(self, folder, zoo, hostname="mail.example.org"):
        self.folder, self.zoo = Path(folder), zoo
        self.parts, self.endpoints = [], {}
        self.server = zoo.server
        self.add(f'hostname = "{hostname}"', "workers = 2")
        if os.geteuid() == 0:
            self.add('user = "root"')  # else an account "postern" of the machine would be taken

    def add(self, *lines):
        self.parts.extend(lines)
        return self

    def trust(self, name="staff", ca=None, crl=True):
        crl = f'  crl = {{"{self.zoo.crl}"}}' if crl else ""
        return self.add(f'trust {name} {{ ca = {{"{ca or self.zoo.staff.file}"}}{crl} }}')

    def listener(self, name, tls="starttls", **settings):
        port = next(PORTS)
        self.endpoints[name] = Endpoint(port, tls, name)
        written = {"address": f'"127.0.0.1:{port}"', "tls": tls}
        if tls != "none":
            written.update(certificate=f'"{self.server.certificate}"', key=f'"{self.server.key}"')
        written.update((key.replace("_", "-"), value) for key, value in settings.items())
        body = "\n".join(f"    {key} = {value}" for key, value in written.items() if value is not None)
        return self.add(f"listener {name} {{\n{body}\n}}")

    def spool(self, path=None, **settings):
        self.database = path or self.folder / "spool.db"
        more = "".join(f" {k.replace('_', '-')} = {v}" for k, v in settings.items())
        return self.add(f'spool {{ database = "{self.database}"{more} }}')

    def route(self, domain, **settings):
        words = " ".join(f"{k.replace('_', '-')} = {v}" for k, v in settings.items())
        return self.add(f"route {domain} {{ {words} }}")

    def maildir(self, domain, template="%d/%u"):
        return self.route(domain, maildir=f'"{self.folder}/mail/{template}"')

    def write(self, name="postern.conf"):
        path = self.folder / name
        path.write_text("\n".join(self.parts) + "\n")
        return path


class Event(dict):
    """One line of the log: the fields by name, the event's own name, level and time beside them."""

    def __init__(self, line, time, level, name, rest):
        super().__init__((k, unquote(v)) for k, v in FIELD.findall(rest))
        self.line, self.time, self.level, self.name = line, time, level, name

    def __str__(self):
        return self.line


def unquote(value):
    if not value.startswith('"'):
        return value
    return re.sub(r"\\(x[0-9a-f]{2}|.)",
                  lambda m: chr(int(m[1][1:], 16)) if len(m[1]) == 3 else m[1], value[1:-1])


class Log:
    """What a process writes to standard error, read as it comes, so that it never waits for us."""

    def __init__(self, stream, copy):
        self.events, self.lines, self.ended = [], [], False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.read, args=(stream, copy), daemon=True)
        self.thread.start()

    def read(self, stream, copy):
        with copy.open("ab") as out, stream:
            for raw in stream:
                out.write(raw)
                out.flush()
                line = raw.decode("utf-8", "backslashreplace").rstrip("\n")
                m = LINE.match(line)
                with self.changed:
                    self.lines.append(line)
                    if m:
                        self.events.append(Event(line, *m.groups()))
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def find(self, name, since=0, **fields):
        wanted = {k.replace("_", "-"): str(v) for k, v in fields.items()}
        return [e for e in list(self.events[since:])
                if e.name == name and all(e.get(k) == v for k, v in wanted.items())]

    def mark(self):
        return len(self.events)

    def wait(self, name, since=0, count=1, timeout=DEADLINE, **fields):
        """The first event that fits, once there are `count` of them."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.find(name, since, **fields)) >= count or self.ended, timeout)
            found = self.find(name, since, **fields)
        assert len(found) >= count, (f"waited in vain for {count} log line(s) {name} {fields}; the log ends:\n"
                                     + "\n".join(self.lines[-30:]))
        return found[0]

    def session_of(self, client):
        """The session id under which the log speaks of this client's connection."""
        return self.wait("connect", since=client.mark, port=client.local_port)["session"]

    def of_session(self, session, name=None):
        return [e for e in list(self.events) if e.get("session") == session and name in (None, e.name)]

    def end_of(self, client):
        """The line that says how a connection ended."""
        return self.wait("disconnect", session=self.session_of(client))

    def ended_session(self, client):
        """All lines of a connection that is over."""
        session = self.session_of(client)
        self.wait("disconnect", session=session)
        return self.of_session(session)


class Server:
    def __init__(self, config, name="server"):
        self.config, self.name = config, name
        self.folder = config.folder
        self.process = self.log = None
        self.logs = []

    def __getitem__(self, listener):
        return self.config.endpoints[listener]

    def start(self, wait=True, env=()):
        path = self.config.write()
        self.process = subprocess.Popen([BINARY, "serve", "-c", path], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        env=dict(environment(), **dict(env)))
        self.log = Log(self.process.stderr, self.folder / f"{self.name}.log")
        self.logs.append(self.log)
        if wait:
            self.log.wait("ready")
        return self

    def wait_start(self):
        """How the start went: "ready" or "start-failed"."""
        outcomes = ("ready", "start-failed")
        return until(lambda: next((e.name for e in list(self.log.events) if e.name in outcomes), None), "a start")

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, timeout=DEADLINE):
        status = self.process.wait(timeout)
        self.log.thread.join(timeout)
        return status

    def stop(self, timeout=DEADLINE + 10):
        """SIGTERM, and the end as it should be: status 0, everything said, nothing to report."""
        if self.is_running():
            self.signal(signal.SIGTERM)
        status = self.wait_exit(timeout)
        self.check()
        assert status == 0, f"{self.name} ended with {status}:\n" + "\n".join(self.log.lines[-60:])
        return self

    def kill(self):
        """The end as a power cut sees it."""
        self.process.kill()
        self.process.wait()
        self.log.thread.join(DEADLINE)

    def restart(self, **more):
        self.stop()
        return self.start(**more)

    def reload(self):
        mark = self.log.mark()
        self.signal(signal.SIGHUP)
        return mark

    def check(self):
        for log in self.logs:
            bad = [n for n, line in enumerate(log.lines) if SANITIZER.search(line)]
            assert not bad, "a sanitizer reports:\n" + "\n".join(log.lines[bad[0]:bad[0] + 60])

    def end(self):
        """For fixtures: whatever became of it, nothing is left running and no report is missed."""
        if self.is_running():
            self.stop()
        self.check()

    # ---- looking at it ----

    def connect(self, listener, credential=None, version=None, timeout=DEADLINE, name="client.example.org"):
        """A client in the state where the sequences part (see Client.hello)."""
        client = self.client(listener, timeout)
        tls = self.tls(credential, version) if client.endpoint.tls != "none" else None
        try:
            return client.hello(tls, name)
        except BaseException:
            client.close()
            raise

    def client(self, listener, timeout=DEADLINE, source=""):
        """A connection on which nothing has been said or read yet."""
        mark = self.log.mark()  # before it: ports are used again
        client = Client(self[listener], timeout, source)
        client.mark = mark
        return client

    def tls(self, credential=None, version=None):
        credential = self.config.zoo[credential] if isinstance(credential, str) else credential
        return context(self.config.zoo.server_ca.file, credential, version)

    def status(self, field):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return line.split(":", 1)[1].split()
        raise AssertionError(f"/proc/{self.pid}/status has no {field}")

    def memory_kib(self, field="VmRSS"):
        return int(self.status(field)[0])

    def reset_peak(self):
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def mailbox(self, address):
        user, domain = address.rsplit("@", 1)
        return Maildir(self.folder / "mail" / domain / user)


def postern(*words, status=0, env=(), input=None, cwd=None, timeout=DEADLINE * 2):
    """Runs a postern command; `status` None: whatever it is."""
    done = subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True, timeout=timeout,
                          env=dict(environment(), **dict(env)), input=input, cwd=cwd)
    said = f"$ postern {shlex.join(map(str, words))}\n{done.stdout}{done.stderr}"
    assert not SANITIZER.search(done.stderr), said
    assert status is None or done.returncode == status, f"{said}\nended with {done.returncode}, not {status}"
    return done
