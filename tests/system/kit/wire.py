"""A raw SMTP client: exact octets out, parsed replies in, TLS of a chosen version, no help with the protocol."""
import socket
import ssl
from dataclasses import dataclass

from .wait import DEADLINE

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass
class Endpoint:
    port: int
    tls: str  # starttls | implicit | none
    name: str = ""
    host: str = "127.0.0.1"
    tls_name: str = "mail.example.org"


@dataclass
class Reply:
    code: int
    lines: list  # the text of each line, without the code

    @property
    def enhanced(self):
        word = self.lines[0].split(" ", 1)[0]
        return word if word.count(".") == 2 and word.replace(".", "").isdigit() else ""

    @property
    def text(self):
        return "\n".join(self.lines)

    def keyword(self, name):
        """The arguments of an EHLO keyword, or None when it is not listed."""
        for line in self.lines[1:]:
            words = line.split()
            if words and words[0].upper() == name:
                return words[1:]
        return None

    def __str__(self):
        return f"{self.code} {self.text}"


def context(ca, credential=None, version=None):
    """TLS as a client that checks the server, and shows a certificate when it has one."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.load_verify_locations(ca)
    if version:
        c.minimum_version = c.maximum_version = VERSIONS[version]
    if credential:
        c.load_cert_chain(credential.certificate, credential.key)
    return c


class Closed(Exception):
    """The server closed the connection where a reply was awaited."""


class Client:
    def __init__(self, endpoint, timeout=DEADLINE, source=""):
        self.endpoint = endpoint
        self.sock = socket.create_connection((endpoint.host, endpoint.port), timeout, (source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local_port = self.sock.getsockname()[1]
        self.pending = b""
        self.transcript = []
        self.greeting = self.ehlo = None

    # ---- octets ----

    def send(self, data):
        self.transcript.append(("C", data if len(data) < 300 else data[:300] + b"..."))
        self.sock.sendall(data)

    def line(self, text):
        self.send(text.encode() + b"\r\n")

    def read_line(self):
        while b"\n" not in self.pending:
            try:
                piece = self.sock.recv(65536)
            except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
                piece = b""
            if not piece:
                raise Closed(self.told())
            self.pending += piece
        line, self.pending = self.pending.split(b"\n", 1)
        self.transcript.append(("S", line + b"\n"))
        assert line.endswith(b"\r"), f"a reply line ends in LF alone\n{self.told()}"
        return line[:-1].decode()

    def reply(self):
        lines, code = [], None
        while True:
            line = self.read_line()
            assert len(line) >= 4 and line[:3].isdigit() and line[3] in " -", \
                f"no reply line: {line!r}\n{self.told()}"
            assert code in (None, line[:3]), f"codes differ within one reply\n{self.told()}"
            code = line[:3]
            lines.append(line[4:])
            if line[3] == " ":
                return Reply(int(code), lines)

    # ---- dialogue ----

    def __call__(self, command):
        self.line(command)
        return self.reply()

    def expect(self, command, code, enhanced=None, text=None):
        return self.check(self(command), command, code, enhanced, text)

    def expect_reply(self, code, enhanced=None, text=None):
        return self.check(self.reply(), "(reply)", code, enhanced, text)

    def check(self, reply, what, code, enhanced, text):
        codes = code if isinstance(code, tuple) else (code,)
        good = (reply.code in codes and (enhanced is None or reply.enhanced == enhanced)
                and (text is None or text.lower() in reply.text.lower()))
        assert good, f"{what!r}: wanted {code} {enhanced or ''} {text or ''}, got {reply}\n{self.told()}"
        return reply

    def start_tls(self, tls):
        assert not self.pending, f"octets before the handshake: {self.pending!r}"
        self.transcript.append(("-", b"TLS\r\n"))
        self.sock = tls.wrap_socket(self.sock, server_hostname=self.endpoint.tls_name)
        self.transcript[-1] = ("-", f"{self.sock.version()} {self.sock.cipher()[0]}\r\n".encode())

    def hello(self, tls=None, name="client.example.org"):
        """To the state in which a client decides between the sequences: greeted, TLS up, EHLO answered."""
        if self.endpoint.tls == "implicit":
            self.start_tls(tls)
        self.greeting = self.check(self.reply(), "(greeting)", 220, None, None)
        self.ehlo = self.expect(f"EHLO {name}", 250)
        if self.endpoint.tls == "starttls" and tls:
            self.expect("STARTTLS", 220, "2.0.0")
            self.start_tls(tls)
            self.ehlo = self.expect(f"EHLO {name}", 250)
        return self

    def message(self, data, code=250, enhanced="2.0.0"):
        """DATA with text that needs no dot-stuffing; returns the reply to the final dot."""
        self.expect("DATA", 354)
        self.send(data + b".\r\n")
        return self.expect_reply(code, enhanced)

    def mail(self, sender, *recipients):
        self.expect(f"MAIL FROM:<{sender}>", 250, "2.1.0")
        for recipient in recipients:
            self.expect(f"RCPT TO:<{recipient}>", 250, "2.1.5")

    def offers_external(self):
        return "EXTERNAL" in (self.ehlo.keyword("AUTH") or [])

    # ---- the end ----

    def expect_close(self):
        """The server closes, without another octet."""
        try:
            line = self.read_line()
        except Closed:
            return
        raise AssertionError(f"wanted the end of the connection, got {line!r}\n{self.told()}")

    def quit(self):
        self.expect("QUIT", 221, "2.0.0")
        self.expect_close()
        self.close()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def told(self):
        return "\n".join(f"  {who}: {data!r}" for who, data in self.transcript[-40:])
