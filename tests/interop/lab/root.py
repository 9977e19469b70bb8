"""Folders with the real programs in them, which the machine itself does not have: one for each release of Debian.

Debian's mail servers refuse to be installed beside each other, and none of them should be installed just to test us.  So
each closure of dependencies is asked of apt against an empty list of installed packages, downloaded, and unpacked into
one folder below build-interop/, in which the programs run by chroot(8).  No maintainer script runs: users, devices and
configurations are written here and by the servers.  What is downloaded is kept; a folder is kept until its list of
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
APT_LIMIT = 300  # seconds for one call; the first downloads 130 MB in all
LISTS_AGE = 7 * 86400  # seconds until apt's lists are asked for again; a file that is gone has the same effect
ROUND = "/lab"  # inside: what one run of the lab writes

TOOLS = ["dash", "bash", "coreutils", "sed", "grep", "findutils", "hostname", "base-files", "tzdata"]

# Each group is one question to apt, because packages of different groups conflict.
BOOKWORM, TRIXIE = "bookworm", "trixie"
GROUPS = {
    BOOKWORM: {
        "postfix": ["postfix", "dovecot-core", "dovecot-submissiond", "nginx", "libnginx-mod-mail"],
        "exim": ["exim4-daemon-heavy"],
        "sendmail": ["sendmail-bin", "sendmail-cf", "m4"],
        "nullmailer": ["nullmailer"],
        "clients": ["mutt", "neomutt", "s-nail", "git-email", "libmailtools-perl", "msmtp", "curl", "swaks", "gsasl", "python3",
                    "libauthen-sasl-perl", "libio-socket-ssl-perl", "libnet-ssleay-perl"],
    },
    TRIXIE: {
        "postfix": ["postfix"],
        "exim": ["exim4-daemon-heavy"],
        "opensmtpd": ["opensmtpd"],
    },
}

# The files over which they conflict; nothing in the lab is called by these names.
CLASHING = ["usr/sbin/sendmail", "usr/lib/sendmail", "usr/bin/mailq", "usr/bin/newaliases", "usr/sbin/newaliases"]
UNREAD = ["usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "usr/share/info/*", "usr/share/lintian/*"]

USERS = ["postfix", "postdrop", "dovecot", "dovenull", "www-data", "Debian-exim", "opensmtpd", "opensmtpq", "mail", "nobody",
         "daemon", "vmail", "smmta", "smmsp"]
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Missing(Exception):
    """The programs cannot be had here; the text says why."""


def run(command, limit):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise Missing(f"there is no {command[0]}: the lab unpacks Debian's packages") from None
    except subprocess.TimeoutExpired:
        raise Missing(f"{command[0]} took more than {limit} s") from None
    if done.returncode:
        raise Missing(f"{' '.join(command)} failed:\n{done.stderr[-1500:]}")
    return done.stdout


def mirror():
    """Whence this machine has its own Debian."""
    known = run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian"], 60).split()
    return known[0] if known else "http://deb.debian.org/debian"


class Packages:
    """apt with a release, lists and a store of its own, that believes nothing to be installed."""

    def __init__(self, release):
        self.release, self.groups = release, GROUPS[release]
        self.folder = BUILD / release
        self.store, self.lists = self.folder / "packages", self.folder / "lists"
        for folder in (self.store, self.lists):
            (folder / "partial").mkdir(parents=True, exist_ok=True)
        (self.folder / "status").write_text("")
        (self.folder / "debian.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {release} main\n")

    def apt(self, *words):
        f = self.folder
        options = {"Dir::State::status": f / "status", "Dir::State::lists": self.lists, "Dir::Cache::archives": self.store,
                   "Dir::Cache::pkgcache": "", "Dir::Cache::srcpkgcache": "", "Dir::Etc::sourcelist": f / "debian.list",
                   "Dir::Etc::sourceparts": "/dev/null", "Debug::NoLocking": 1, "APT::Sandbox::User": "root",
                   "Acquire::Retries": 2, "Acquire::Languages": "none"}
        settings = [w for name, value in options.items() for w in ("-o", f"{name}={value}")]
        return run(["apt-get", "-qq", "-y", "--no-install-recommends", *settings, *words], APT_LIMIT)

    def update(self, even_if_new=False):
        stamp = self.folder / "updated"
        if even_if_new or not stamp.exists() or time.time() - stamp.stat().st_mtime > LISTS_AGE:
            try:
                self.apt("update")
            except Missing:
                if even_if_new or not stamp.exists():
                    raise
            stamp.touch()

    def closure(self, packages):
        """Names of the package files that hold these packages and everything they need."""
        lines = self.apt("-o", f"Dir::Cache::archives={self.folder / 'none'}", "install", "--print-uris", *TOOLS, *packages)
        return [line.split()[1] for line in lines.splitlines() if line.startswith("'")]

    def solve(self):
        """Kept beside what was asked and what apt knew then, as asking takes seconds."""
        lists = sorted((p.name, p.stat().st_mtime) for p in self.lists.glob("*_Packages*"))
        question = json.loads(json.dumps([self.groups, TOOLS, lists]))
        kept = self.folder / "closures.json"
        if kept.exists() and (found := json.loads(kept.read_text()))["question"] == question:
            return found["files"]
        (self.folder / "none/partial").mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(2) as pool:
            found = dict(zip(self.groups, pool.map(self.closure, self.groups.values())))
        kept.write_text(json.dumps({"question": question, "files": found}))
        return found

    def download(self, files):
        for group, names in files.items():
            if not all((self.store / name).exists() for name in names):
                self.apt("install", "--download-only", *TOOLS, *self.groups[group])

    def fetch(self):
        """Every package file is there afterwards; returns their names, in the order of unpacking."""
        self.update()
        try:
            files = self.solve()
            self.download(files)
        except Missing:  # old lists name files that are gone
            self.update(even_if_new=True)
            files = self.solve()
            self.download(files)
        return list(dict.fromkeys(name for names in files.values() for name in names))


def unpack(package, folder):
    exclude = [f"--exclude=./{name}" for name in CLASHING + UNREAD]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as deb:
        tar = subprocess.run(["tar", "-x", "-C", folder, "--keep-directory-symlink", *exclude], stdin=deb.stdout,
                             capture_output=True, text=True, timeout=120)
    if tar.returncode or deb.returncode:
        raise Missing(f"{package} cannot be unpacked: {tar.stderr[-500:]}")


def unpack_all(packages, folder):
    for name in ("bin", "sbin", "lib", "lib64"):
        (folder / "usr" / name).mkdir(parents=True)
        (folder / name).symlink_to(f"usr/{name}")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda package: unpack(package, folder), packages))


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
    """The folder of one release, made or found."""

    def __init__(self, release):
        self.release = release
        self.path = BUILD / release / "root"

    def make(self):
        packages = Packages(self.release)
        self.files = packages.fetch()
        stamp = packages.folder / "unpacked"
        if not (stamp.exists() and stamp.read_text().split() == self.files):
            stamp.unlink(missing_ok=True)
            shutil.rmtree(self.path, ignore_errors=True)
            unpack_all([packages.store / name for name in self.files], self.path)
            furnish(self.path)
            stamp.write_text("\n".join(self.files) + "\n")
        self.sweep()
        shutil.rmtree(self.path / ROUND[1:], ignore_errors=True)
        (self.path / ROUND[1:]).mkdir()
        return self

    def version(self, package):
        """Of the upstream program, without Debian's own numbers."""
        name = next(name for name in self.files if name.startswith(package + "_"))
        text = name.split("_")[1].replace("%3a", ":").split(":")[-1]
        return text.rsplit("-", 1)[0].split("+")[0].split("~")[0]

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


class Roots(dict):
    """The folders by release.  One run of the lab has them for itself."""

    def __init__(self, releases=tuple(GROUPS)):
        super().__init__()
        if os.geteuid() != 0:
            raise Missing("only root can run programs in a folder of their own (chroot)")
        BUILD.mkdir(parents=True, exist_ok=True)
        self.lock = (BUILD / "lock").open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Missing(f"another run of the lab uses {BUILD}") from None
        for release in releases:
            self[release] = Root(release).make()

    def share(self, folder):
        """A folder of the first release, in the same place of the others, too."""
        first, *others = self.values()
        for other in others:
            shutil.copytree(folder, other.host(first.inside(folder)))

    def sweep(self):
        for root in self.values():
            root.sweep()

    def close(self):
        self.sweep()
        self.lock.close()


def environment(more=()):
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root", **dict(more)}
