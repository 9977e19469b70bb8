"""Reading a Maildir (https://cr.yp.to/proto/maildir.html): what is in new/ is complete."""
import email
import email.policy
from pathlib import Path

from .wait import DEADLINE, until


class Message:
    def __init__(self, path):
        self.path = path
        self.octets = path.read_bytes()
        self.parsed = email.message_from_bytes(self.octets, policy=email.policy.SMTP.clone(max_line_length=0))

    def __getitem__(self, name):
        return self.parsed[name]

    def all(self, name):
        return self.parsed.get_all(name, [])

    @property
    def header(self):
        return self.octets.replace(b"\r\n", b"\n").split(b"\n\n", 1)[0]

    @property
    def body(self):
        return self.octets.replace(b"\r\n", b"\n").split(b"\n\n", 1)[1]


class Maildir:
    def __init__(self, path):
        self.path = Path(path)

    def messages(self):
        new = self.path / "new"
        return [Message(p) for p in sorted(new.iterdir())] if new.is_dir() else []

    def holding(self, token):
        token = token.encode() if isinstance(token, str) else token
        return [m for m in self.messages() if token in m.octets]

    def wait(self, token, count=1, timeout=DEADLINE):
        """The message with this token in it; all of them when `count` is above one."""
        found = until(lambda: (m := self.holding(token)) and len(m) >= count and m,
                      lambda: f"{count} message(s) with {token!r} in {self.path}, which holds "
                              f"{len(self.messages())}", timeout)
        assert len(found) == count, f"{len(found)} messages hold {token!r} in {self.path}"
        return found[0] if count == 1 else found
