"""The real clients: each as its own manual would configure it for a certificate, sending one message to us.

A client is told where (`endpoint`), as whom, and with which file; how it went is read from our server, never from what
the client says.
"""
import re
import smtplib
from pathlib import Path

from kit.wait import DEADLINE, until

from .people import ALICE, CAROL
from .root import BOOKWORM, TRIXIE
from .servers import Exim, OpenSmtpd, Postfix

# What a client can send between EHLO and RCPT.
EQUALS = "AUTH EXTERNAL ="
INITIAL = "AUTH EXTERNAL authzid"
EMPTY_LINE = "bare, then an empty line"
PROMPTED = "bare, then authzid"
PROMPTED_EQUALS = "bare, then ="
TRAILING = "trailing space, then an empty line"
MAIL_AS_ANSWER = "bare, then MAIL as the answer"
CANCELLED = "bare, then *"
STRAIGHT = "straight to MAIL"
NO_CERTIFICATE = "no certificate"


class Job:
    """One message to bring to one listener of ours."""

    def __init__(self, bed, release, port, token, name, ca):
        self.bed, self.root, self.port, self.token = bed, bed.roots[release], port, token
        self.ca = ca  # of the server, as a path inside
        self.home = f"/lab/{name}"
        self.folder = self.root.host(self.home)
        self.folder.mkdir()
        self.text = f"From: {ALICE}\nTo: {CAROL}\nSubject: {token}\n\nHello.\n"
        self.message = self.write("message", self.text)

    def write(self, name, text, mode=0o644):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return self.root.inside(path)

    def run(self, *words, **more):
        """(exit code, what it said); any exit code, for refusals are part of the plan."""
        return self.root.run(*words, **{"status": None, "timeout": 60, **more})

    @property
    def certificate(self):
        return self.bed.inside(self.bed.people.alice.certificate)

    @property
    def key(self):
        return self.bed.inside(self.bed.people.alice.key)

    @property
    def both(self):
        """Certificate and key in one file."""
        alice = self.bed.people.alice
        return self.write("both.pem", Path(alice.certificate).read_text() + Path(alice.key).read_text(), 0o600)


class Client:
    """name: of the row; sends: what of the list above; send(job) runs it to its end."""

    def __init__(self, name, package, title, sends, send, submits=True, release=BOOKWORM):
        self.name, self.package, self.title, self.sends, self.send = name, package, title, sends, send
        self.release = release
        self.submits = submits  # else it logs in and goes away


# ---- programs that end by themselves ----

def curl(*more):
    def send(job):
        return job.run("curl", "-sS", "--ssl-reqd", "--url", f"smtp://localhost:{job.port}/client.example.org", "--cacert", job.ca,
                       "--cert", job.certificate, "--key", job.key, "--mail-from", ALICE, "--mail-rcpt", CAROL,
                       "--upload-file", job.message, "--crlf", "--max-time", 30, *more)
    return send


def msmtp(auth, user=None):
    def send(job):
        rc = job.write("msmtprc", "\n".join([
            "account default", "host localhost", f"port {job.port}", f"from {ALICE}", "tls on", "tls_starttls on", "timeout 30",
            f"tls_trust_file {job.ca}", f"tls_cert_file {job.certificate}", f"tls_key_file {job.key}", f"auth {auth}",
            f"user {user}" if user else "", ""]), 0o600)
        return job.run("msmtp", f"--file={rc}", CAROL, input=job.text.encode())
    return send


def swaks(job):
    return job.run("swaks", "--server", "localhost", "--port", job.port, "--tls", "--tls-cert", job.certificate, "--tls-key", job.key,
                   "--tls-verify", "--tls-ca-path", job.ca, "--ehlo", "client.example.org", "--from", ALICE, "--to", CAROL,
                   "--data", f"@{job.message}", "--timeout", "30s")


def s_nail(auth):
    def send(job):
        user = ALICE.replace("@", "%40") + "@" if auth == "external" else ""
        settings = ["v15-compat=yes", f"mta=smtp://{user}localhost:{job.port}", f"smtp-auth={auth}", f"from={ALICE}", "nosave",
                    "tls-verify=strict", f"tls-ca-file={job.ca}", "tls-ca-no-defaults", "smtp-use-starttls",
                    f"tls-config-pairs=Certificate={job.certificate},PrivateKey={job.key}"]
        return job.run("s-nail", "-:/", "-r", ALICE, *(w for s in settings for w in ("-S", s)), "-s", job.token, CAROL,
                       input=b"Hello.\n")
    return send


def mutt(program, user):
    def send(job):
        at = ALICE.replace("@", "%40") + "@" if user else ""
        rc = job.write("muttrc", f"""
set from = "{ALICE}"
set smtp_url = "smtp://{at}localhost:{job.port}/"
set smtp_authenticators = "external"
set ssl_client_cert = "{job.both}"
set ssl_ca_certificates_file = "{job.ca}"
set certificate_file = "{job.ca}"
set ssl_usesystemcerts = no
set ssl_force_tls = yes
set copy = no
""")
        return job.run(program, "-n", "-F", rc, "-s", job.token, CAROL, input=b"Hello.\n")
    return send


def git_send_email(job):
    """2.39 knows no option for a certificate of its own."""
    patch = job.write("0001.patch", f"From 0 Mon Sep 17 00:00:00 2001\n{job.text}")
    return job.run("git", "-c", "user.name=Alice", "-c", f"user.email={ALICE}", "send-email", "--quiet", "--confirm=never",
                   "--suppress-cc=all", "--no-validate", "--smtp-server=localhost", f"--smtp-server-port={job.port}",
                   "--smtp-encryption=tls", f"--smtp-ssl-cert-path={job.ca}", "--smtp-domain=client.example.org",
                   f"--from={ALICE}", f"--to={CAROL}", patch)


def gsasl(user):
    def send(job):
        return job.run("gsasl", "--smtp", "--starttls", "--connect", f"localhost:{job.port}", "--mechanism", "EXTERNAL",
                       "--x509-ca-file", job.ca, "--x509-cert-file", job.certificate, "--x509-key-file", job.key,
                       *(["--authorization-id", user] if user else []), input=b"\nQUIT\n")
    return send


SMTPLIB = """
import smtplib, ssl
tls = ssl.create_default_context(cafile="{ca}")
tls.load_cert_chain("{certificate}", "{key}")
with smtplib.SMTP("localhost", {port}, timeout=30) as s:
    s.starttls(context=tls)
    s.ehlo()
    {login}
    s.sendmail("{alice}", ["{carol}"], open("{message}").read())
"""


def python_smtplib(login=""):
    def send(job):
        script = job.write("send.py", SMTPLIB.format(login=login, alice=ALICE, carol=CAROL, port=job.port, ca=job.ca, key=job.key,
                                                     certificate=job.certificate, message=job.message))
        return job.run("python3", script)
    return send


NET_SMTP = """
use Net::SMTP;
use Authen::SASL;
my $s = Net::SMTP->new("localhost", Port => {port}, Hello => "client.example.org", Timeout => 30) or die "connect: $@";
$s->starttls(SSL_ca_file => "{ca}", SSL_cert_file => "{certificate}", SSL_key_file => "{key}") or die "TLS: " . $s->message;
{login}
$s->mail('{alice}') && $s->to('{carol}') && $s->data && $s->datasend("Subject: {token}\\n\\nHello.\\n") && $s->dataend
    or die "message: " . $s->message;
$s->quit;
"""
NET_SMTP_LOGIN = """
$s->auth(Authen::SASL->new(mechanism => "EXTERNAL", callback => {{ user => '{user}', pass => '' }})) or die "login: " . $s->message;
"""


def net_smtp(user=None):
    def send(job):
        login = "" if user is None else NET_SMTP_LOGIN.format(user=user)
        script = job.write("send.pl", NET_SMTP.format(login=login, alice=ALICE, carol=CAROL, port=job.port, ca=job.ca, key=job.key,
                                                      certificate=job.certificate, token=job.token))
        return job.run("perl", script)
    return send


def nullmailer(job):
    """Its transport, as nullmailer-send would call it: options at descriptor 0, envelope and message at 3."""
    options = job.write("options", f"host=localhost\nport={job.port}\nstarttls\nx509certfile={job.certificate}\n"
                                   f"x509keyfile={job.key}\nx509cafile={job.ca}\n\n")
    queued = job.write("queued", f"{ALICE}\n{CAROL}\n\n{job.text}")
    return job.run("sh", "-c", f"exec /usr/lib/nullmailer/smtp <{options} 3<{queued}", env=[("HELOHOST", "client.example.org")])


# ---- mail servers as clients: a message goes in without ceremony, and on to us with the certificate ----

class PostfixClient(Postfix):
    outcome = r"status=(sent|deferred|bounced)"

    def __init__(self, job):
        self.name, self.release = job.folder.name, job.root.release
        super().__init__(job.bed)
        self.job = job

    def specifics(self):
        return f"""
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [127.0.0.1]:{self.job.port}
smtp_tls_security_level = encrypt
smtp_tls_cert_file = {self.job.certificate}
smtp_tls_key_file = {self.job.key}
smtp_tls_CAfile = {self.job.ca}
"""


class EximClient(Exim):
    outcome = r"(?m)^\S+ \S+ \S+ (=>|\*\*|==) "
    may_relay = "hosts = 127.0.0.1"

    def __init__(self, job, authenticators=""):
        self.name, self.release = job.folder.name, job.root.release
        super().__init__(job.bed)
        self.job, self.authenticators = job, authenticators

    @property
    def transport(self):
        return f"""  port = {self.job.port}
  hosts_require_tls = *
  tls_certificate = {self.job.certificate}
  tls_privatekey = {self.job.key}
  tls_verify_certificates = {self.job.ca}
  tls_verify_cert_hostnames =
{"  hosts_require_auth = *" if self.authenticators else ""}"""


class OpenSmtpdClient(OpenSmtpd):
    outcome = r" mta delivery .* result="

    def __init__(self, job):
        self.name, self.release = job.folder.name, job.root.release
        super().__init__(job.bed)
        self.job = job

    @property
    def authority(self):
        return self.root.host(self.job.ca)

    def text(self):
        key = self.write("key", self.root.host(self.job.key).read_text(), 0o600)
        return f"""
pki me cert "{self.job.certificate}"
pki me key "{key}"
listen on 127.0.0.1 port {self.port} hostname mail.example.org
action out relay host smtp+tls://localhost:{self.job.port} pki me
match from any for any action out
"""


EXIM_CLIENT = """
certificate:
  driver = external
  public_name = EXTERNAL
  client_send = {user}
"""


def relay(program, *more):
    def send(job):
        mta = program(job, *more).start()
        try:
            with smtplib.SMTP("127.0.0.1", mta.port, timeout=DEADLINE) as s:
                s.sendmail(ALICE, [CAROL], job.text)
            until(lambda: re.search(mta.outcome, mta.log()), lambda: f"an attempt of {mta.name}:\n{mta.log()}")
        finally:
            mta.stop()
            job.root.sweep()  # an attempt to bounce must not run into the next client
        return None, mta.log()
    return send


CLIENTS = [
    Client("curl", "curl", "curl, `AUTH=EXTERNAL`", PROMPTED_EQUALS, curl("--login-options", "AUTH=EXTERNAL")),
    Client("curl-ir", "curl", "curl, `--sasl-ir`", EQUALS, curl("--login-options", "AUTH=EXTERNAL", "--sasl-ir")),
    Client("curl-user", "curl", "curl, `-u`", PROMPTED, curl("--login-options", "AUTH=EXTERNAL", "-u", f"{ALICE}:")),
    Client("curl-user-ir", "curl", "curl, `--sasl-ir -u`", INITIAL,
           curl("--login-options", "AUTH=EXTERNAL", "--sasl-ir", "-u", f"{ALICE}:")),
    Client("curl-none", "curl", "curl, no login options", STRAIGHT, curl()),
    Client("msmtp-user", "msmtp", "msmtp, `auth external`, `user`", PROMPTED, msmtp("external", ALICE)),
    Client("msmtp-bare", "msmtp", "msmtp, `auth external` without `user`", MAIL_AS_ANSWER, msmtp("external")),
    Client("msmtp-off", "msmtp", "msmtp, `auth off`", STRAIGHT, msmtp("off")),
    Client("swaks", "swaks", "swaks", STRAIGHT, swaks),
    Client("s-nail", "s-nail", "s-nail, `external`", INITIAL, s_nail("external")),
    Client("s-nail-anon", "s-nail", "s-nail, `externanon`", EQUALS, s_nail("externanon")),
    Client("s-nail-none", "s-nail", "s-nail, `none`", STRAIGHT, s_nail("none")),
    Client("mutt", "mutt", "mutt, with a user", PROMPTED, mutt("mutt", True)),
    Client("mutt-bare", "mutt", "mutt, without a user", EMPTY_LINE, mutt("mutt", False)),
    Client("neomutt", "neomutt", "neomutt", STRAIGHT, mutt("neomutt", False)),
    Client("git", "git-email", "git send-email", NO_CERTIFICATE, git_send_email),
    Client("gsasl", "gsasl", "gsasl", EMPTY_LINE, gsasl(None), submits=False),
    Client("gsasl-user", "gsasl", "gsasl, `--authorization-id`", PROMPTED, gsasl(ALICE), submits=False),
    Client("smtplib-empty", "python3", "Python smtplib, an empty name", TRAILING,
           python_smtplib('s.auth("EXTERNAL", lambda challenge=None: "")')),
    Client("smtplib-name", "python3", "Python smtplib, a name", INITIAL,
           python_smtplib(f's.auth("EXTERNAL", lambda challenge=None: "{ALICE}")')),
    Client("smtplib", "python3", "Python smtplib, no login", STRAIGHT, python_smtplib()),
    Client("net-smtp-empty", "perl", "Perl Net::SMTP, an empty name", EMPTY_LINE, net_smtp("")),
    Client("net-smtp-name", "perl", "Perl Net::SMTP, a name", INITIAL, net_smtp(ALICE)),
    Client("net-smtp", "perl", "Perl Net::SMTP, no login", STRAIGHT, net_smtp()),
    Client("nullmailer", "nullmailer", "nullmailer", STRAIGHT, nullmailer),
    Client("postfix", "postfix", "Postfix as client", STRAIGHT, relay(PostfixClient)),
    Client("postfix-13", "postfix", "Postfix as client", STRAIGHT, relay(PostfixClient), release=TRIXIE),
    Client("opensmtpd", "opensmtpd", "OpenSMTPD as client", STRAIGHT, relay(OpenSmtpdClient), release=TRIXIE),
    Client("exim", "exim4-daemon-heavy", "Exim as client, no authenticator", STRAIGHT, relay(EximClient)),
    Client("exim-send", "exim4-daemon-heavy", "Exim as client, `client_send`", INITIAL,
           relay(EximClient, EXIM_CLIENT.format(user=ALICE))),
    Client("exim-empty", "exim4-daemon-heavy", "Exim as client, `client_send` empty", CANCELLED,
           relay(EximClient, EXIM_CLIENT.format(user=""))),
]
