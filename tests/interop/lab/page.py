"""docs/INTEROP.md: the expectations as tables, with the versions of the run that confirmed them.

The page carries its versions in a comment, so that it can be written again from the expectations alone: a test does, and
compares.
"""
import json
import re

from expectations import BAD, OUTCOMES, SERVERS as EXPECTED, SHAPES, sequence_through, survives_hidden_auth

from .clients import CLIENTS
from .results import version_key
from .root import PROJECT
from .servers import SERVERS

PATH = PROJECT / "docs/INTEROP.md"
VERDICTS = {
    "option-1-or-3": "Option 1 or 3",
    "option-2": "Option 2",
    "hidden-auth": "access rule, no AUTH",
    "none": "no certificate login",
}
SENT = {"explicit": "by AUTH EXTERNAL", "implicit": "by MAIL alone", "password": "by PLAIN after the 535"}
WORDS = {"AUTH": "delivered after AUTH", "MAIL": "delivered after MAIL alone", "refused": "refused"}

HEAD = """# Who works with whom

<!-- Written by tests/interop/publish: change tests/interop/expectations.py instead.
confirmed: {confirmed} -->

What real servers do with a client certificate, as `postern probe server` sees them, and what real clients do to
`postern serve`. Each program is the one of Debian and configured as its own manual says; the message is a real one, and a
row counts as delivered when it has arrived behind the server. Confirmed {date} with Postern {postern} by

    tools/check interop

which downloads the programs, unpacks them in a folder of their own and runs them on loopback (tests/interop/README.md).

## Servers

How to read it: a client gets in when a shape of `AUTH EXTERNAL` that it sends stands in the fourth column, or when it goes
straight to `MAIL` and the sixth says yes. *Offered* is a promise only in the rows where the fourth column is not empty.
The verdict is explained in [PROBE.md](PROBE.md).

"""

DOORS_HEAD = """
## Through the door, and in front of it

How to read it: the third column is how `postern send` with `login = auto` delivered a message through the server, and what
its account had to say beside the certificate. *Stranger* is where a certificate of a CA that does not count is turned away; *another's name* is what becomes of
`AUTH EXTERNAL` with an authzid that is not the certificate's. The last column has the certificates that opened mail or logged
in all the same, of those tried:
{bad}.
One without an address is wrong only where the rule is about addresses.

"""

CLIENTS_HEAD = """
## Clients

How to read it: *sends* is what comes after EHLO inside TLS, as `postern probe client` saw it. With
`certificate-auth = explicit` only `AUTH EXTERNAL` opens mail, in whatever shape; with `implicit`, the default, `MAIL` alone
does too. Every refusal was a reply in words, which the client could show. *AUTH hidden* is a server that takes the certificate
as enough and offers no AUTH, as some of those above do: clients that insist on logging in are lost there.

"""


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def listed(names, words, none="none"):
    return "; ".join(text for name, text in words.items() if name in names) or none


def servers_table(versions):
    rows = []
    for server in SERVERS:
        want = EXPECTED[server.name]
        shapes = "all" if set(want.shapes) == set(SHAPES) else listed(want.shapes, SHAPES)
        rows.append([f"{server.title} {versions[version_key(server)]}", server.setting, want.offered, shapes, want.equals,
                     want.straight, VERDICTS[want.verdict]])
    return table(["server", "configuration", "EXTERNAL offered", "AUTH EXTERNAL works with", "`=` is answered", "MAIL alone",
                  "verdict"], rows)


def doors_table(versions):
    rows = []
    for server in SERVERS:
        want = EXPECTED[server.name]
        rows.append([f"{server.title} {versions[version_key(server)]}", server.setting, sent(want), want.stranger,
                     want.foreign or "no EXTERNAL", listed(want.admits, BAD)])
    return table(["server", "configuration", "`postern send`", "stranger", "another's name", "bad ones let in"], rows)


def sent(want):
    return SENT[sequence_through(want)] + (f", with {want.needs}" if want.needs else "")


def notes():
    told = [(server, EXPECTED[server.name].note) for server in SERVERS]
    return "".join(f"- {server.title}, {server.setting}: {note}\n" for server, note in told if note)


def clients_table(versions):
    rows = [[client.title, versions[version_key(client)], client.sends, *cells(client),
             "works" if survives_hidden_auth(client) else "lost"] for client in CLIENTS]
    return table(["client", "version", "sends", "`explicit`", "`implicit`", "AUTH hidden"], rows)


def cells(client):
    words = {**WORDS, "AUTH": "logged in"} if not client.submits else WORDS
    return [words[result] for result in OUTCOMES[client.sends]]


def render(confirmed):
    """confirmed: {"date": ..., "postern": ..., "versions": {package: version}}"""
    head = HEAD.format(confirmed=json.dumps(confirmed, sort_keys=True), date=confirmed["date"], postern=confirmed["postern"])
    return (head + servers_table(confirmed["versions"]) + "\n" + notes()
            + DOORS_HEAD.format(bad=", ".join(BAD.values())) + doors_table(confirmed["versions"])
            + CLIENTS_HEAD + clients_table(confirmed["versions"]))


def confirmed_by(page):
    return json.loads(re.search(r"(?m)^confirmed: (\{.*\}) -->$", page)[1])
