"""A folder with the real programs in it, which the machine itself does not have.

Debian's mail servers refuse to be installed beside each other, and none of them should be installed just to test us.  So
each closure of dependencies is asked of apt against an empty list of installed packages, downloaded, and unpacked into
one folder below build-interop/, in which the programs run by chroot(8).  No maintainer script runs: users, devices and
configurations are written here and by the servers.  What is downloaded is kept; the folder is kept until its list of
packages changes.
"""
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("POSTERN_INTEROP", PROJECT / "build-interop"))
APT_LIMIT = 300  # seconds for one call; the first downloads 100 MB in all
ROUND = "/lab"  # inside: what one run of the lab writes

TOOLS = ["dash", "bash", "coreutils", "sed", "grep", "findutils", "hostname", "base-files", "tzdata"]

# Each group is one question to apt, because packages of different groups conflict.
GROUPS = {
    "postfix": ["postfix", "dovecot-core", "dovecot-submissiond", "nginx", "libnginx-mod-mail"],
    "exim": ["exim4-daemon-heavy"],
    "opensmtpd": ["opensmtpd"],
    "courier": ["courier-mta"],
    "sendmail": ["sendmail-bin", "sendmail-cf", "m4"],
    "nullmailer": ["nullmailer"],
    "dma": ["dma"],
    "clients": ["mutt", "neomutt", "s-nail", "git-email", "libmailtools-perl", "msmtp", "curl", "swaks", "gsasl", "python3",
                "libauthen-sasl-perl", "libio-socket-ssl-perl", "libnet-ssleay-perl"],
}

# The files over which they conflict; nothing in the lab is called by these names.
CLASHING = ["usr/sbin/sendmail", "usr/lib/sendmail", "usr/bin/mailq", "usr/bin/newaliases", "usr/sbin/newaliases"]
UNREAD = ["usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "usr/share/info/*", "usr/share/lintian/*"]

USERS = ["postfix", "postdrop", "dovecot", "dovenull", "www-data", "Debian-exim", "opensmtpd", "opensmtpq", "courier",
         "smmta", "smmsp", "mail", "nullmail", "nobody", "daemon", "vmail", "dma"]


class Missing(Exception):
    """The programs cannot be had here; the text says why."""


def apt(status, *words):
    archives = BUILD / "packages"
    command = ["apt-get", "-qq", "-y", "--no-install-recommends", "-o", f"Dir::State::status={status}",
               "-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root",
               "-o", "Acquire::Retries=2", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=APT_LIMIT, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise Missing("there is no apt-get: the lab unpacks Debian's packages") from None
    except subprocess.TimeoutExpired:
        raise Missing(f"apt-get took more than {APT_LIMIT} s") from None
    if done.returncode:
        raise Missing(f"{' '.join(command)} failed:\n{done.stderr[-1500:]}")
    return done.stdout


def closure(status, packages):
    """Names of the package files that hold these packages and everything they need, in the order of unpacking."""
    lines = apt(status, "-o", f"Dir::Cache::archives={BUILD / 'none'}", "install", "--print-uris", *TOOLS, *packages)
    return [line.split()[1] for line in lines.splitlines() if line.startswith("'")]


def solve(status):
    """Kept beside what was asked and what apt knew then, as asking takes seconds."""
    lists = sorted((p.name, p.stat().st_mtime) for p in Path("/var/lib/apt/lists").glob("*_*"))
    question = json.loads(json.dumps([GROUPS, TOOLS, lists]))
    kept = BUILD / "closures.json"
    if kept.exists() and (found := json.loads(kept.read_text()))["question"] == question:
        return found["lists"]
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(GROUPS, pool.map(lambda packages: closure(status, packages), GROUPS.values())))
    kept.write_text(json.dumps({"question": question, "lists": found}))
    return found


def download(status, lists):
    for name, files in lists.items():
        if not all((BUILD / "packages" / f).exists() for f in files):
            apt(status, "install", "--download-only", *TOOLS, *GROUPS[name])


def fetch(status):
    """Every package file is there afterwards; returns their names by group."""
    for last in (False, True):
        try:
            lists = solve(status)
            download(status, lists)
            return lists
        except Missing:  # the lists of a fresh machine are empty, those of an old one name files that are gone
            if last:
                raise
            subprocess.run(["apt-get", "update", "-qq"], stdin=subprocess.DEVNULL, capture_output=True, timeout=APT_LIMIT)


def unpack(package, folder):
    exclude = [f"--exclude=./{name}" for name in CLASHING + UNREAD]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as deb:
        tar = subprocess.run(["tar", "-x", "-C", folder, "--keep-directory-symlink", *exclude], stdin=deb.stdout,
                             capture_output=True, text=True, timeout=120)
    if tar.returncode or deb.returncode:
        raise Missing(f"{package} cannot be unpacked: {tar.stderr[-500:]}")


def unpack_all(files, folder):
    for name in ("bin", "sbin", "lib", "lib64"):
        (folder / "usr" / name).mkdir(parents=True)
        (folder / name).symlink_to(f"usr/{name}")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: unpack(BUILD / "packages" / name, folder), files))


def furnish(folder):
    """What maintainer scripts would have made, as far as the programs look for it."""
    (folder / "dev").mkdir(exist_ok=True)
    for name, minor in (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)):
        try:
            os.mknod(folder / "dev" / name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
        except PermissionError:
            raise Missing("no device files can be made here (the container has no CAP_MKNOD)") from None
        (folder / "dev" / name).chmod(0o666)
    etc = folder / "etc"
    users = ["root:x:0:0:root:/root:/bin/sh"]
    users += [f"{name}:x:{number}:{number}::/nonexistent:/bin/false" for number, name in enumerate(USERS, 200)]
    (etc / "passwd").write_text("\n".join(users) + "\n")
    groups = ["root:x:0:"] + [f"{name}:x:{number}:" for number, name in enumerate(USERS, 200)]
    (etc / "group").write_text("\n".join(groups) + "\n")
    (etc / "hosts").write_text("127.0.0.1 localhost mail.example.org\n")
    (etc / "hostname").write_text("mail.example.org\n")
    (etc / "mailname").write_text("mail.example.org\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\nservices: files\n")
    (etc / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")  # nobody: fails at once
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "tmp").chmod(0o1777)
    (folder / "run").mkdir(exist_ok=True)


class Root:
    """The folder, made or found.  One run of the lab has it for itself."""

    def __init__(self):
        self.path = BUILD / "root"
        self.lists = {}
        BUILD.mkdir(parents=True, exist_ok=True)
        self.lock = (BUILD / "lock").open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Missing(f"another run of the lab uses {BUILD}") from None

    def make(self):
        if os.geteuid() != 0:
            raise Missing("only root can run programs in a folder of their own (chroot)")
        status = BUILD / "status"
        status.write_text("")
        for name in ("packages", "none"):
            (BUILD / name / "partial").mkdir(parents=True, exist_ok=True)
        self.lists = fetch(status)
        files = list(dict.fromkeys(f for names in self.lists.values() for f in names))
        stamp = BUILD / "unpacked"
        if not (stamp.exists() and stamp.read_text().split() == files):
            stamp.unlink(missing_ok=True)
            shutil.rmtree(self.path, ignore_errors=True)
            unpack_all(files, self.path)
            furnish(self.path)
            stamp.write_text("\n".join(files) + "\n")
        self.sweep()
        shutil.rmtree(self.path / ROUND[1:], ignore_errors=True)
        (self.path / ROUND[1:]).mkdir()
        return self

    def version(self, package):
        """Of the upstream program, without Debian's own numbers."""
        for names in self.lists.values():
            for name in names:
                if name.startswith(package + "_"):
                    text = name.split("_")[1].replace("%3a", ":").split(":")[-1]
                    return text.rsplit("-", 1)[0].split("+")[0].split("~")[0]
        raise KeyError(package)

    def host(self, inside):
        """The path by which we, outside, reach a file."""
        return self.path / str(inside).lstrip("/")

    def inside(self, host):
        return Path("/") / Path(host).relative_to(self.path)

    def command(self, *words, user=None):
        switch = [f"--userspec={user}"] if user else []
        return ["chroot", *switch, str(self.path), *map(str, words)]

    def run(self, *words, user=None, timeout=60, status=0, env=(), input=None):
        """To the end; returns (exit code, all that it said)."""
        done = subprocess.run(self.command(*words, user=user), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=timeout, env=environment(env), input=input,
                              **({} if input is not None else {"stdin": subprocess.DEVNULL}))
        said = f"$ {' '.join(map(str, words))}\n{done.stdout.decode(errors='replace')}"
        assert status is None or done.returncode == status, f"{said}\nended with {done.returncode}"
        return done.returncode, said

    # ---- the end of what was started ----

    def processes(self):
        """Whoever runs inside: we started them all, since nobody else knows the folder."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    where = os.readlink(f"/proc/{entry}/root")
                except OSError:
                    continue
                if where == str(self.path) or where.startswith(f"{self.path}/"):
                    found.append(int(entry))
        return found

    def sweep(self, limit=10):
        end = time.monotonic() + limit
        while left := self.processes():
            assert time.monotonic() < end, f"these cannot be ended: {left}"
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)

    def close(self):
        self.sweep()
        self.lock.close()


def environment(more=()):
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root", **dict(more)}
