"""What the real programs are expected to do, as measured by hand on Debian 12 and 13 before this lab was built.

A difference is a discovery: about a new version (change the table, and say so here), or about our prober or server
(mend it).  The page docs/INTEROP.md is written from these tables and the versions the lab met.
"""
from dataclasses import dataclass, field

from lab import clients as c

# The cases of `postern probe server` that try AUTH EXTERNAL, each in one shape.
SHAPES = {
    "equals": "`=`",
    "authzid": "authzid",
    "empty-line": "empty line after 334",
    "prompted-equals": "`=` after 334",
    "trailing-space": "trailing space, empty line",
}
EMPTY = ["equals", "empty-line", "trailing-space"]

# Certificates that should count for nobody, and one that only a rule about its name can keep out.
BAD = {
    "expired": "expired",
    "future": "not yet valid",
    "server-only": "for servers only",
    "unknown-ca": "of an unknown CA",
    "self-signed": "self-signed",
    "no-email": "without e-mail address",
}

NOWHERE, WITH_CERTIFICATE, IN_TLS, ALWAYS = "no", "with the certificate", "to everybody inside TLS", "to everybody, also before TLS"

NOTHING, PASSWORD = "", "`user` and a password"


@dataclass
class Server:
    verdict: str        # of the prober
    offered: str        # to whom EXTERNAL is offered
    shapes: list = field(default_factory=list)  # of AUTH EXTERNAL after which mail is open
    equals: str = "503"    # what answers AUTH EXTERNAL =
    straight: str = "no"  # MAIL with the certificate alone
    stranger: str = "MAIL or RCPT"  # where a certificate of a CA that does not count is turned away
    foreign: str = ""  # what becomes of EXTERNAL with another name than the certificate's; "" where nobody logs in so
    admits: list = field(default_factory=list)  # bad certificates
    needs: str = NOTHING  # what an account of `postern send` must say beside the certificate
    note: str = ""


SERVERS = {
    "postfix-list": Server("hidden-auth", NOWHERE, straight="yes",
                           note="The certificate is an access rule: whose fingerprint is listed may relay. There is no AUTH."),
    "postfix-list-13": Server("hidden-auth", NOWHERE, straight="yes"),
    "postfix-chain": Server("hidden-auth", NOWHERE, straight="yes", admits=["no-email"],
                            note="As before, for every certificate of the CA."),
    "postfix-dovecot": Server("none", IN_TLS, equals="535", needs=PASSWORD,
                              note="EXTERNAL is offered and always 535: Postfix tells Dovecot nothing about the certificate."),
    "dovecot": Server("option-1-or-3", ALWAYS, ["authzid", *EMPTY], "235", foreign="refused",
                      note="`=` after 334 is no base64 to it: curl needs `--sasl-ir` or `-u`."),
    "dovecot-workaround": Server("option-2", ALWAYS, ["authzid", *EMPTY], "235", foreign="refused", straight="yes"),
    "exim-external": Server("option-1-or-3", WITH_CERTIFICATE, ["authzid"], "535", foreign="refused",
                            admits=["server-only"],
                            note="The example compares the authzid with the certificate, so an empty one is refused."),
    "exim-external-13": Server("option-1-or-3", WITH_CERTIFICATE, ["authzid"], "535", foreign="refused",
                               admits=["server-only"]),
    "exim-tls": Server("hidden-auth", NOWHERE, straight="yes", admits=["server-only"],
                       note="Authenticated during the handshake, and AUTH is gone. GnuTLS does not look at what a certificate is for."),
    "exim-tls-13": Server("hidden-auth", NOWHERE, straight="yes", admits=["server-only"]),
    "exim-both": Server("hidden-auth", NOWHERE, straight="yes", admits=["server-only"],
                        note="`tls` comes first, and `external` is never reached."),
    "opensmtpd": Server("hidden-auth", NOWHERE, equals="503", straight="yes", stranger="TLS", admits=["no-email"],
                        note="Whoever has no certificate of the CA does not get through the handshake, and there are no users."),
    "sendmail": Server("option-1-or-3", WITH_CERTIFICATE, ["authzid", *EMPTY], "235", foreign="taken", admits=["no-email"],
                       note="Its name for the user is the subject; an authzid is taken as it comes."),
    "nginx": Server("option-1-or-3", IN_TLS, list(SHAPES), "235", foreign="refused", stranger="EHLO", admits=["no-email"],
                    note="Who may enter is decided by the HTTP server behind it."),
    "nginx-none": Server("option-2", IN_TLS, list(SHAPES), "235", foreign="refused", straight="yes", stranger="EHLO",
                         admits=["no-email"]),
    "aiosmtpd": Server("option-1-or-3", ALWAYS, EMPTY, "235", foreign="taken", stranger="TLS", admits=["no-email"],
                       note="A library: this is a handler that takes the name from the certificate."),
}


def sequence_through(server):
    """By which `postern send` gets in."""
    return "explicit" if server.shapes else "implicit" if server.straight == "yes" else "password"


# After how a client begins: what comes of it where only AUTH counts, and where MAIL does too.
OUTCOMES = {
    c.EQUALS: ("AUTH", "AUTH"),
    c.INITIAL: ("AUTH", "AUTH"),
    c.EMPTY_LINE: ("AUTH", "AUTH"),
    c.PROMPTED: ("AUTH", "AUTH"),
    c.PROMPTED_EQUALS: ("AUTH", "AUTH"),
    c.TRAILING: ("AUTH", "AUTH"),
    c.MAIL_AS_ANSWER: ("refused", "MAIL"),
    c.CANCELLED: ("refused", "refused"),
    c.STRAIGHT: ("refused", "MAIL"),
    c.NO_CERTIFICATE: ("refused", "refused"),
}

# The observer's names for how a client begins.
SHAPE_SEEN = {
    c.EQUALS: "equals",
    c.INITIAL: "name",
    c.EMPTY_LINE: "bare-empty",
    c.PROMPTED: "bare-name",
    c.PROMPTED_EQUALS: "bare-equals",
    c.TRAILING: "space-empty",
    c.MAIL_AS_ANSWER: "command",
    c.CANCELLED: "cancelled",
    c.STRAIGHT: "",
    c.NO_CERTIFICATE: "",
}

# Those who log in where EXTERNAL is offered and go straight to MAIL where no AUTH is; the others of their kind give up.
ELSE_STRAIGHT = {"curl", "curl-ir", "curl-user", "curl-user-ir", "mutt", "mutt-bare", "smtplib-empty", "smtplib-name"}


def sequence_of(client):
    """The observer's verdict."""
    return {c.STRAIGHT: "sequence-2", c.NO_CERTIFICATE: "no-certificate", c.MAIL_AS_ANSWER: "unfinished", c.CANCELLED: "unfinished",
            }.get(client.sends) or ("sequence-1-else-2" if client.name in ELSE_STRAIGHT else "sequence-1")


def survives_hidden_auth(client):
    return sequence_of(client) in ("sequence-2", "sequence-1-else-2")
