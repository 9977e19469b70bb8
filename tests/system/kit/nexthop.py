"""Next hops to deliver to: aiosmtpd, an implementation that is not ours, and peers that follow a script."""
import asyncio
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, AuthResult

from .wait import DEADLINE


@dataclass
class Delivery:
    """One message as a next hop took it."""
    connection: int
    sender: str
    mail_options: list
    recipients: list
    content: bytes
    tls: str  # "" or the version
    login: str
    at: float = field(default_factory=time.monotonic)


class Inbox:
    """What a next hop has taken so far."""

    def __init__(self):
        self.taken, self.changed = [], threading.Condition()

    def put(self, delivery):
        with self.changed:
            self.taken.append(delivery)
            self.changed.notify_all()

    def holding(self, token):
        token = token.encode() if isinstance(token, str) else token
        return [d for d in list(self.taken) if token in d.content]

    def wait(self, token="", count=1, timeout=DEADLINE):
        with self.changed:
            self.changed.wait_for(lambda: len(self.holding(token)) >= count, timeout)
        found = self.holding(token)
        assert len(found) >= count, f"{len(found)} of {count} deliveries with {token!r}, {len(self.taken)} in all"
        return found[0] if count == 1 else found


class Handler:
    """aiosmtpd's side of the conversation.  `answers` maps the local part of a recipient (up to a "+") to what
    RCPT answers, "data:LOCAL" to what the end of DATA does; a list is used up answer by answer."""

    def __init__(self, hop):
        self.hop = hop

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        return [r for r in responses if not any(h in r for h in self.hop.hidden)]

    async def handle_MAIL(self, server, session, envelope, address, options):
        answer = self.hop.answer("mail", address)
        if not answer:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return answer or "250 2.1.0 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = self.hop.answer("rcpt", address)
        if not answer:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.append(options)
        return answer or "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        answers = [self.hop.answer("data", r) for r in envelope.rcpt_tos]
        lmtp = isinstance(server, LMTP)
        kept = [r for r, a in zip(envelope.rcpt_tos, answers) if not a or not lmtp]
        if kept and (lmtp or not any(answers)):
            tls = server.transport.get_extra_info("ssl_object")
            login = session.auth_data if session.authenticated else None
            self.hop.put(Delivery(server.number, envelope.mail_from, envelope.mail_options, kept,
                                  envelope.original_content, tls.version() if tls else "", login or ""))
        if lmtp:  # one answer a recipient (RFC 2033 4.2)
            return "\r\n".join(a or "250 2.0.0 OK" for a in answers)
        return next((a for a in answers if a), "250 2.0.0 OK")

    async def auth_EXTERNAL(self, server, args):
        certificate = server.transport.get_extra_info("peercert")
        if len(args) > 1 and args[1] == "=":
            self.hop.logins.append("=")
        else:
            self.hop.logins.append(await server.challenge_auth(b""))
        if not certificate or not self.hop.takes_external:
            return AuthResult(success=False, handled=False)
        names = [v for k, v in certificate.get("subjectAltName", ()) if k == "email"]
        return AuthResult(success=True, handled=False, auth_data=names[0] if names else "?")


class Hop(Inbox):
    """An aiosmtpd server in a thread of its own, on an ephemeral port or a UNIX socket."""

    def __init__(self, kind="smtp", path=None, server=None, client_ca=None, external=False, implicit=False,
                 port=0, starttls=True, login_required=False, newest=None, passwords=None):
        """`passwords`: of users, who may then log in by PLAIN; who tried, and whether in vain, comes to `logins`."""
        super().__init__()
        self.passwords = passwords
        self.kind, self.path, self.answers, self.logins = kind, path, {}, []
        self.takes_external, self.login_required = external, login_required
        self.hidden = ["AUTH"] if not external and not passwords else []
        self.connections, self.open = 0, set()
        self.context = self.make_context(server, client_ca) if server else None
        if newest:
            self.context.maximum_version = newest
        self.implicit, self.starttls = implicit, starttls
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.ready = threading.Event()
        self.wanted_port = port
        self.thread.start()
        assert self.ready.wait(DEADLINE)

    @staticmethod
    def make_context(server, client_ca):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(server.certificate, server.key)
        if client_ca:
            c.verify_mode = ssl.CERT_OPTIONAL
            c.load_verify_locations(client_ca)
        return c

    def make(self):
        self.connections += 1
        protocol = (LMTP if self.kind == "lmtp" else SMTP)(
            Handler(self), hostname="hop.example.net", loop=self.loop, enable_SMTPUTF8=True,
            data_size_limit=None, auth_exclude_mechanism=["LOGIN"] if self.passwords else ["LOGIN", "PLAIN"],
            auth_require_tls=False, authenticator=self.authenticate,
            auth_required=self.login_required,
            tls_context=self.context if self.starttls and not self.implicit else None)
        protocol.number = self.connections
        return protocol

    def authenticate(self, server, session, envelope, mechanism, data):
        user, good = data.login.decode(), self.passwords.get(data.login.decode()) == data.password.decode()
        self.logins.append((user, good))
        return AuthResult(success=good, handled=False, auth_data=user)

    def run(self):
        asyncio.set_event_loop(self.loop)
        tls = self.context if self.implicit else None
        if self.path:
            make = self.loop.create_unix_server(self.make, self.path, ssl=tls)
        else:
            make = self.loop.create_server(self.make, "127.0.0.1", self.wanted_port, ssl=tls)
        self.server = self.loop.run_until_complete(make)
        if not self.path:
            self.port = self.server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()
        self.server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def answer(self, phase, address):
        local = (address or "").split("@")[0].split("+")[0]
        said = self.answers.get(f"{phase}:{local}") or self.answers.get(f"{phase}:*")
        if isinstance(said, list):
            return said.pop(0) if said else None
        return said

    @property
    def address(self):
        return self.path or f"127.0.0.1:{self.port}"

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(DEADLINE)


class Peer:
    """One connection to a scripted next hop."""

    def __init__(self, sock, number):
        self.sock, self.number, self.pending = sock, number, b""

    def say(self, *lines):
        self.sock.sendall("".join(line + "\r\n" for line in lines).encode())

    def line(self):
        """The next line without its end, or None when the client is gone."""
        while b"\r\n" not in self.pending:
            piece = self.sock.recv(65536)
            if not piece:
                return None
            self.pending += piece
        line, self.pending = self.pending.split(b"\r\n", 1)
        return line.decode("utf-8", "replace")

    def text(self):
        """The text of a message, up to the final dot."""
        while not (self.pending.startswith(b".\r\n") or b"\r\n.\r\n" in self.pending):
            piece = self.sock.recv(65536)
            if not piece:
                return None
            self.pending += piece
        if self.pending.startswith(b".\r\n"):
            text, self.pending = b"", self.pending[3:]
        else:
            text, self.pending = self.pending.split(b"\r\n.\r\n", 1)
        return text + b"\r\n"


class ScriptedHop(Inbox):
    """Calls script(peer) in a thread for each connection; the script ends the connection by returning."""

    def __init__(self, script, port=0):
        super().__init__()
        self.script, self.connections = script, 0
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.socks, self.closed = [], False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.connections += 1
                number = self.connections
                self.changed.notify_all()
            self.socks.append(sock)
            threading.Thread(target=self.serve, args=(Peer(sock, number),), daemon=True).start()

    def serve(self, peer):
        try:
            self.script(peer)
        except OSError:
            pass
        finally:
            peer.sock.close()

    def close(self):
        # close() alone leaves a thread in accept() holding the port.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for sock in self.socks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def plain_script(hop, extensions=("PIPELINING", "8BITMIME", "SIZE 100000000", "ENHANCEDSTATUSCODES", "SMTPUTF8"),
                 before_answer=None):
    """An obliging next hop: takes everything.  before_answer(peer, recipients, text) may act, or answer itself,
    once the text is there and before the reply to it is."""

    def script(peer):
        sender, recipients = None, []
        peer.say("220 hop.example.net ESMTP scripted")
        while (line := peer.line()) is not None:
            verb = line.split(" ")[0].split(":")[0].upper()
            if verb in ("EHLO", "LHLO"):
                lines = ["hop.example.net", *extensions]
                peer.say(*(f"250{' ' if n == len(lines) - 1 else '-'}{text}" for n, text in enumerate(lines)))
            elif verb == "MAIL":
                sender, recipients = line.split("<", 1)[1].split(">")[0], []
                peer.say("250 2.1.0 OK")
            elif verb == "RCPT":
                recipients.append(line.split("<", 1)[1].split(">")[0])
                peer.say("250 2.1.5 OK")
            elif verb == "DATA":
                peer.say("354 go on")
                text = peer.text()
                if text is None:
                    return
                if before_answer and before_answer(peer, recipients, text):
                    return
                hop().put(Delivery(peer.number, sender, [], recipients, text, "", ""))
                peer.say("250 2.0.0 OK")
            elif verb == "QUIT":
                peer.say("221 2.0.0 bye")
                return
            else:
                peer.say("250 2.0.0 OK")

    return script


def obliging(port=0, **more):
    """A scripted next hop that takes everything, pipelined."""
    box = []
    hop = ScriptedHop(plain_script(lambda: box[0], **more), port)
    box.append(hop)
    return hop
