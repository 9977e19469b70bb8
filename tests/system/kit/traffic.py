"""Sending a message, and following it to its end."""
import email
import email.policy
import json
import uuid

from .server import postern
from .wait import DEADLINE, until

ALICE = "alice@example.org"


def submit(server, *recipients, sender=ALICE, token=None, body=b"Hello.\r\n", parameters="", rcpt_parameters="",
           listener="in", head=""):
    """One message by sequence 2; returns its token and its queue id."""
    token = token or uuid.uuid4().hex
    with server.connect(listener, "good") as c:
        c.expect(f"MAIL FROM:<{sender}>{parameters}", 250)
        for recipient in recipients:
            c.expect(f"RCPT TO:<{recipient}>{rcpt_parameters}", 250)
        text = f"Message-ID: <{token}@x>\r\nFrom: {ALICE}\r\nSubject: {token}\r\n{head}\r\n".encode() + body
        reply = c.message(text)
        c.quit()
    return token, reply.text.split()[-1]


def stats(server):
    return json.loads(postern("queue", "stats", "--json", "--database", server.config.database).stdout)


def wait_empty(server, timeout=DEADLINE):
    until(lambda: stats(server)["recipients"] == 0, lambda: f"an empty queue: {stats(server)}", timeout, every=0.1)


def wait_gone(server, queue_id):
    """Nothing of this message waits any more."""
    until(lambda: postern("queue", "show", queue_id, "--database", server.config.database, status=None).returncode == 66,
          f"the end of {queue_id}", every=0.1)


def report_for(server, address, token):
    """The report in a sender's Maildir, taken apart: (message, delivery-status groups, returned header)."""
    raw = server.mailbox(address).wait(token).octets
    report = email.message_from_bytes(raw, policy=email.policy.default)
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    text, status, returned = report.get_payload()
    assert text.get_content_type() == "text/plain"
    assert status.get_content_type() == "message/delivery-status"
    return report, status.get_payload(), returned
