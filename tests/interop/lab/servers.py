"""The real submission servers: each as its own manual would configure it for certificates, in front of one sink."""
import os
import re
import shutil
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kit.nexthop import Hop
from kit.server import PORTS
from kit.wait import until

from .people import ALICE
from .root import BOOKWORM, TRIXIE, environment

SECRET = "hush-hush"  # the password of ALICE where passwords count


def greets(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
            return s.recv(4).startswith(b"220")
    except OSError:
        return False


class Syslog:
    """/dev/log of a folder: where those write who have no log of their own."""

    def __init__(self, root):
        self.path = root.host("/dev/log")
        self.path.unlink(missing_ok=True)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(self.path))
        self.path.chmod(0o666)
        self.lines = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            try:
                line = self.sock.recv(8192)
            except OSError:
                return
            self.lines.append(line.decode(errors="replace").strip("\0\n"))

    def close(self):
        self.sock.close()
        self.path.unlink(missing_ok=True)


class Bed:
    """What all servers share: the folders with the programs, the certificates (at one place in each), the sink."""

    def __init__(self, roots, people, sink):
        self.roots, self.people, self.sink = roots, people, sink
        self.syslogs = {release: Syslog(root) for release, root in roots.items()}

    def inside(self, path):
        """A path to a certificate or key as the programs see it, of whatever release."""
        return self.roots[BOOKWORM].inside(path)

    @property
    def tls(self):
        p = self.people
        return {"cert": self.inside(p.server.certificate), "key": self.inside(p.server.key), "ca": self.inside(p.staff.file)}

    def close(self):
        for syslog in self.syslogs.values():
            syslog.close()


class Program:
    """One real program that serves, from configuration to end."""
    name = None  # of the configuration, unique
    package = None  # whose version counts
    title = None  # for people
    setting = ""  # what is peculiar about its configuration, for people
    release = BOOKWORM

    def __init__(self, bed):
        self.bed, self.root = bed, bed.roots[self.release]
        self.port = next(PORTS)
        self.home = f"/lab/{self.name}"
        self.folder = self.root.host(self.home)
        self.process = None

    def write(self, name, text, mode=0o644):
        path = self.root.host(name) if name.startswith("/") else self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return self.root.inside(path)

    def own(self, name, user, mode=0o755):
        """A folder of somebody else's."""
        path = self.root.host(name) if name.startswith("/") else self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        number = self.uid(user)
        os.chown(path, number, number)
        path.chmod(mode)
        return self.root.inside(path)

    def uid(self, user):
        for line in self.root.host("/etc/passwd").read_text().splitlines():
            if line.startswith(user + ":"):
                return int(line.split(":")[2])
        raise KeyError(user)

    def prepare(self):
        """Writes the configuration; returns the command that stays in the foreground."""
        raise NotImplementedError

    def ready(self):
        return greets(self.port)

    def command(self):
        return self.root.command(*self.prepare())

    def start(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        command = self.command()
        with open(self.folder / "output", "wb") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            start_new_session=True, env=environment())
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def wait_ready(self):
        def ready_or_ended():
            assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}:\n{self.log()}"
            return self.ready()
        until(ready_or_ended, lambda: f"a greeting of {self.name} on port {self.port}:\n{self.log()}", every=0.05)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def log(self, lines=60):
        """The ends of whatever it has written."""
        parts = []
        for path in [self.folder / "output", *sorted(self.folder.rglob("*log"))]:
            if path.is_file() and (text := path.read_text(errors="replace").splitlines()[-lines:]):
                parts += [f"-- {path.name}", *text]
        if said := self.bed.syslogs[self.release].lines[-lines:]:
            parts += ["-- syslog", *said]
        return "\n".join(parts)

    @property
    def version(self):
        return self.root.version(self.package)

    @property
    def sink(self):
        """Where it delivers."""
        return self.bed.sink


# ---- Postfix, by itself and with Dovecot as its SASL ----

class Postfix(Program):
    package = "postfix"
    title = "Postfix"
    restrictions = None
    more = ""

    def prepare(self):
        self.own("data", "postfix", 0o700)
        (self.folder / "queue").mkdir()
        self.write("etc/main.cf", f"""
compatibility_level = 3.6
queue_directory = {self.home}/queue
data_directory = {self.home}/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
sendmail_path = /usr/bin/true
mail_owner = postfix
setgid_group = postdrop
maillog_file = {self.home}/mail.log
maillog_file_prefixes = /lab
myhostname = mail.example.org
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
disable_dns_lookups = yes
smtp_host_lookup = native
{self.specifics()}
""")
        self.write("etc/master.cf", f"""
{self.listener()}
pickup    unix  n - n 60   1 pickup
cleanup   unix  n - n -    0 cleanup
qmgr      unix  n - n 300  1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -    - trivial-rewrite
bounce    unix  - - n -    0 bounce
defer     unix  - - n -    0 bounce
trace     unix  - - n -    0 bounce
verify    unix  - - n -    1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -    - proxymap
proxywrite unix - - n -    1 proxymap
smtp      unix  - - n -    - smtp
relay     unix  - - n -    - smtp
showq     unix  n - n -    - showq
error     unix  - - n -    - error
retry     unix  - - n -    - error
discard   unix  - - n -    - discard
anvil     unix  - - n -    1 anvil
scache    unix  - - n -    1 scache
postlog   unix-dgram n - n - 1 postlogd
""")
        return ["postfix", "-c", f"{self.home}/etc", "start-fg"]

    def listener(self):
        return f"127.0.0.1:{self.port} inet n - n - - smtpd"

    def specifics(self):
        self.write("etc/clients", f"{self.bed.people.fingerprint} alice\n")
        return f"""
mynetworks =
relayhost = [127.0.0.1]:{self.bed.sink.port}
smtp_tls_security_level = none
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = {self.bed.tls["cert"]}
smtpd_tls_key_file = {self.bed.tls["key"]}
smtpd_tls_CAfile = {self.bed.tls["ca"]}
smtpd_tls_ask_ccert = yes
smtpd_tls_fingerprint_digest = sha256
relay_clientcerts = texthash:{self.home}/etc/clients
smtpd_relay_restrictions = {self.restrictions}, reject
smtpd_recipient_restrictions =
{self.more}"""


class PostfixList(Postfix):
    name = "postfix-list"
    setting = "`permit_tls_clientcerts`"
    restrictions = "permit_tls_clientcerts"


class PostfixList13(PostfixList):
    release = TRIXIE
    name = "postfix-list-13"


class PostfixChain(Postfix):
    name = "postfix-chain"
    setting = "`permit_tls_all_clientcerts`"
    restrictions = "permit_tls_all_clientcerts"


# Without its delays after a failure, which grow from case to case.
DOVECOT = """
base_dir = {home}/run
instance_name = {name}
log_path = {home}/dovecot.log
auth_verbose = yes
mail_location = maildir:{home}/mail
default_login_user = dovenull
default_internal_user = dovecot
default_internal_group = dovecot
first_valid_uid = 100
auth_failure_delay = 0
ssl_cert = <{cert}
ssl_key = <{key}
ssl_ca = <{ca}
passdb {{
  driver = static
  args = nopassword=y
  mechanisms = external
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {home}/passwords
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
userdb {{
  driver = static
  args = uid=vmail gid=vmail home={home}/mail
}}
"""


class Dovecot(Program):
    package = "dovecot-core"
    title = "Dovecot submission"

    def text(self):
        return DOVECOT.format(home=self.home, name=self.name, **self.bed.tls)

    def prepare(self):
        self.own("mail", "vmail", 0o700)
        self.write("passwords", f"{ALICE}:{SECRET}\n", 0o644)
        return ["dovecot", "-F", "-c", self.write("dovecot.conf", self.text())]


class DovecotSubmission(Dovecot):
    name = "dovecot"
    setting = "`auth_ssl_username_from_cert`"
    workarounds = ""

    def text(self):
        return super().text() + f"""
protocols = submission
ssl = required
ssl_verify_client_cert = yes
auth_ssl_username_from_cert = yes
ssl_cert_username_field = commonName
ssl_require_crl = no
auth_mechanisms = plain external
service submission-login {{
  inet_listener submission {{
    address = 127.0.0.1
    port = {self.port}
  }}
}}
submission_relay_host = 127.0.0.1
submission_relay_port = {self.bed.sink.port}
submission_client_workarounds = {self.workarounds}
"""


class DovecotWorkaround(DovecotSubmission):
    name = "dovecot-workaround"
    setting = "the same and `submission_client_workarounds = implicit-auth-external`"
    workarounds = "implicit-auth-external"


class DovecotAuth(Dovecot):
    """Only its authentication, for Postfix."""
    name = "dovecot-auth"

    def __init__(self, bed):
        super().__init__(bed)
        self.auth_port = next(PORTS)

    def text(self):
        return super().text() + f"""
protocols =
ssl = no
auth_mechanisms = plain external
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {self.auth_port}
  }}
}}
"""

    def ready(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.auth_port)) == 0


class PostfixDovecot(Postfix):
    name = "postfix-dovecot"
    title = "Postfix with Dovecot SASL"
    setting = "`smtpd_sasl_mechanism_filter = static:all`"
    restrictions = "permit_sasl_authenticated"

    def __init__(self, bed):
        super().__init__(bed)
        self.auth = DovecotAuth(bed)

    @property
    def more(self):
        return f"""
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{self.auth.auth_port}
smtpd_sasl_mechanism_filter = static:all
smtpd_sasl_security_options = noanonymous
"""

    def start(self):
        self.auth.start()
        try:
            return super().start()
        except BaseException:
            self.auth.stop()
            raise

    def stop(self):
        super().stop()
        self.auth.stop()

    def log(self, lines=60):
        return super().log(lines) + "\n" + self.auth.log(lines)


# ---- Exim ----

class Exim(Program):
    package = "exim4-daemon-heavy"
    title = "Exim"
    authenticators = ""
    main = ""  # settings beside those below
    may_relay = "authenticated = *"

    @property
    def transport(self):
        return f"  port = {self.bed.sink.port}\n  hosts_avoid_tls = *"

    def prepare(self):
        self.own("spool", "Debian-exim", 0o750)
        self.own("log", "Debian-exim", 0o750)
        self.write("/etc/exim4/exim4.conf", f"""
primary_hostname = mail.example.org
daemon_smtp_ports = {self.port}
local_interfaces = 127.0.0.1
spool_directory = {self.home}/spool
log_file_path = {self.home}/log/%slog
pid_file_path = {self.home}/spool/pid
disable_ipv6
{self.main}
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max_per_host =
tls_advertise_hosts = *
tls_certificate = {self.bed.tls["cert"]}
tls_privatekey = {self.bed.tls["key"]}
tls_verify_certificates = {self.bed.tls["ca"]}
tls_try_verify_hosts = *
auth_advertise_hosts = *
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
keep_environment =
never_users =

begin acl
rcpt:
  accept {self.may_relay}
  deny   message = relay not permitted

begin routers
sink:
  driver = manualroute
  transport = sink
  route_list = * 127.0.0.1
  self = send

begin transports
sink:
  driver = smtp
  allow_localhost
  hosts_try_fastopen =
{self.transport}

begin retry
* * F,1h,1m

begin authenticators
{self.authenticators}""")
        return ["exim4", "-bdf", "-q10m"]


EXIM_EXTERNAL = """
certificate:
  driver = external
  public_name = EXTERNAL
  server_advertise_condition = $tls_in_certificate_verified
  server_param2 = ${certextract {subj_altname,mail,>:}{$tls_in_peercert}}
  server_condition = ${if forany {$auth2}{eq {$item}{$auth1}}}
  server_set_id = $auth1
"""

EXIM_TLS = """
handshake:
  driver = tls
  server_param1 = ${certextract {subj_altname,mail,>:}{$tls_in_peercert}}
  server_condition = ${if and {{eq{$tls_in_certificate_verified}{1}}{!eq{$auth1}{}}}}
  server_set_id = $auth1
"""


class EximExternal(Exim):
    name = "exim-external"
    setting = "`external` authenticator, the manual's example"
    authenticators = EXIM_EXTERNAL


class EximExternal13(EximExternal):
    release = TRIXIE
    name = "exim-external-13"


class EximTls(Exim):
    name = "exim-tls"
    setting = "`tls` authenticator"
    authenticators = EXIM_TLS


class EximTls13(EximTls):
    release = TRIXIE
    name = "exim-tls-13"


class EximBoth(Exim):
    name = "exim-both"
    setting = "both authenticators"
    authenticators = EXIM_EXTERNAL + EXIM_TLS


# ---- OpenSMTPD ----

class OpenSmtpd(Program):
    """Of trixie: the version of bookworm was never ported to OpenSSL 3, and its TLS fails with every key."""
    release = TRIXIE
    name = "opensmtpd"
    package = "opensmtpd"
    title = "OpenSMTPD"
    setting = "`tls-require verify`"

    @property
    def authority(self):
        """Whom it believes as a client."""
        return self.bed.people.server_ca.file

    def prepare(self):
        spool = self.root.host("/var/spool/smtpd")
        subprocess.run(["rm", "-rf", str(spool)], check=True)
        self.own("/var/spool/smtpd", "root", 0o711)
        self.own("/var/lib/opensmtpd/empty", "root", 0o755)
        self.own("/var/empty", "root", 0o755)
        self.own("/run/opensmtpd", "root", 0o755)
        self.write("/etc/ssl/certs/ca-certificates.crt", self.authority.read_text())  # it knows no other place
        return ["smtpd", "-d", "-f", self.write("smtpd.conf", self.text())]

    def text(self):
        key = self.write("key", self.root.host(self.bed.tls["key"]).read_text(), 0o600)  # it wants a key nobody else can read
        return f"""
ca staff cert "{self.bed.tls["ca"]}"
pki lab cert "{self.bed.tls["cert"]}"
pki lab key "{key}"
listen on 127.0.0.1 port {self.port} tls-require verify pki lab ca staff hostname mail.example.org
action sink relay host smtp://127.0.0.1:{self.bed.sink.port}
match from any for any action sink
"""


# ---- Sendmail ----

class Sendmail(Program):
    name = "sendmail"
    package = "sendmail-bin"
    title = "Sendmail"
    setting = "EXTERNAL in `TRUST_AUTH_MECH`"

    def prepare(self):
        for name in ("queue", "hosts"):
            self.own(name, "root", 0o700)
        source = self.write("sendmail.mc", f"""divert(-1)
include(`/usr/share/sendmail/cf/m4/cf.m4')
divert(0)dnl
OSTYPE(`debian')dnl
define(`QUEUE_DIR', `{self.home}/queue')dnl
define(`STATUS_FILE', `{self.home}/statistics')dnl
define(`confPID_FILE', `{self.home}/pid')dnl
define(`confDOMAIN_NAME', `mail.example.org')dnl
define(`confHOST_STATUS_DIRECTORY', `{self.home}/hosts')dnl
define(`confTO_IDENT', `0')dnl
define(`confSERVICE_SWITCH_FILE', `{self.home}/service.switch')dnl
define(`SMART_HOST', `esmtp:[127.0.0.1]')dnl
define(`ESMTP_MAILER_ARGS', `TCP $h {self.bed.sink.port}')dnl
define(`confAUTH_MECHANISMS', `EXTERNAL')dnl
TRUST_AUTH_MECH(`EXTERNAL')dnl
define(`confCACERT', `{self.bed.tls["ca"]}')dnl
define(`confCACERT_PATH', `{self.home}')dnl
define(`confSERVER_CERT', `{self.bed.tls["cert"]}')dnl
define(`confSERVER_KEY', `{self.home}/key')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`no_default_msa')dnl
DAEMON_OPTIONS(`Port={self.port}, Addr=127.0.0.1, Name=MSA, Family=inet')dnl
MAILER(`smtp')dnl
""")
        self.write("service.switch", "hosts files\naliases files\n")
        self.write("key", self.root.host(self.bed.tls["key"]).read_text(), 0o600)
        text = self.root.run("m4", source)[1].split("\n", 1)[1]
        # Who comes from the machine itself needs no login by default: here everybody does.
        text = re.sub(r"(?m)^R(127\.0\.0\.1|(<\?> )?\$=w)\s+\$@ RELAY.*\n", "", text)
        return ["/usr/libexec/sendmail/sendmail", "-bD", "-q10m", f"-C{self.write('sendmail.cf', text)}"]


# ---- nginx as a proxy for mail ----

class AuthHttp:
    """The HTTP server that nginx asks: yes to who has a verified certificate."""

    def __init__(self, backend):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                for name, value in self.decide():
                    self.send_header(name, value)
                self.end_headers()

            def decide(self):
                if self.headers.get("Auth-SSL-Verify") != "SUCCESS":
                    return [("Auth-Status", "certificate required"), ("Auth-Error-Code", "535 5.7.8")]
                name = re.search(r"CN=([^,]+)", self.headers.get("Auth-SSL-Subject", ""))
                if self.headers.get("Auth-Method") == "external" and self.headers.get("Auth-User") not in ("", None, name[1]):
                    return [("Auth-Status", "not yours"), ("Auth-Error-Code", "535 5.7.8")]
                return [("Auth-Status", "OK"), ("Auth-Server", "127.0.0.1"), ("Auth-Port", str(backend))]

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Nginx(Program):
    name = "nginx"
    package = "nginx"
    title = "nginx mail proxy"
    setting = "`smtp_auth external`"
    methods = "external"

    def prepare(self):
        self.asked = AuthHttp(self.bed.sink.port)
        self.own("temp", "www-data")
        self.own("/var/lib/nginx", "root")
        self.own("/var/log/nginx", "root")
        return ["nginx", "-c", self.write("nginx.conf", f"""
load_module /usr/lib/nginx/modules/ngx_mail_module.so;
user www-data;
daemon off;
worker_processes 1;
pid {self.home}/nginx.pid;
error_log {self.home}/error.log info;
events {{ worker_connections 256; }}
mail {{
    server_name mail.example.org;
    auth_http 127.0.0.1:{self.asked.port}/;
    auth_http_pass_client_cert on;
    proxy_pass_error_message on;
    ssl_certificate {self.bed.tls["cert"]};
    ssl_certificate_key {self.bed.tls["key"]};
    ssl_client_certificate {self.bed.tls["ca"]};
    ssl_verify_client optional;
    ssl_protocols TLSv1.2 TLSv1.3;
    server {{
        listen 127.0.0.1:{self.port};
        protocol smtp;
        starttls only;
        smtp_auth {self.methods};
        smtp_capabilities 8BITMIME "SIZE 10240000" ENHANCEDSTATUSCODES;
        xclient off;
    }}
}}
""")]

    def stop(self):
        super().stop()
        self.asked.close()


class NginxNone(Nginx):
    name = "nginx-none"
    setting = "`smtp_auth external none`"
    methods = "external none"


# ---- aiosmtpd: a library; its rule is the caller's ----

class Aiosmtpd:
    name = package = "aiosmtpd"
    release = BOOKWORM
    title = "aiosmtpd"
    setting = "a handler for EXTERNAL, `auth_required`"

    def __init__(self, bed):
        self.bed = bed

    @property
    def version(self):
        import aiosmtpd
        return aiosmtpd.__version__

    def start(self):
        people = self.bed.people
        self.hop = Hop(server=people.server, client_ca=people.staff.file, external=True, login_required=True)
        self.port, self.sink = self.hop.port, self.hop
        return self

    def stop(self):
        self.hop.close()

    def log(self, lines=60):
        return ""


SERVERS = [PostfixList, PostfixList13, PostfixChain, PostfixDovecot, DovecotSubmission, DovecotWorkaround, EximExternal,
           EximExternal13, EximTls, EximTls13, EximBoth, OpenSmtpd, Sendmail, Nginx, NginxNone, Aiosmtpd]
