"""`postern queue` beside the running server: it looks, and it steers."""
import json
import sqlite3

import pytest

from kit.nexthop import Hop
from kit.server import postern
from kit.traffic import ALICE, stats, submit, wait_empty, wait_gone
from kit.wait import until


@pytest.fixture
def hop():
    h = Hop()
    h.answers["rcpt:*"] = "450 4.2.1 Not today"
    yield h
    h.close()


@pytest.fixture
def waiting(run, config, hop):
    """A server whose next hop defers everything for an hour."""
    config.trust().spool().listener("in", "implicit", trust="{staff}").maildir("example.org")
    config.route("default", smtp=f'"{hop.address}"', tls="off")
    config.add("delivery { retry-min = 1h retry-max = 1h }")
    return run(config)


def queue(server, *words, **more):
    return postern("queue", *words, "-c", server.config.folder / "postern.conf", **more).stdout


def defer(server, *recipients, **more):
    token, queue_id = submit(server, *recipients, **more)
    server.log.wait("deferred", queue=queue_id, count=len(recipients))

    def states():
        return [r["state"] for m in listed(server, queue_id) for r in m["recipients"]]

    until(lambda: states() == ["deferred"] * len(recipients), f"{queue_id} to be deferred")
    return token, queue_id


def listed(server, queue_id=None):
    """The entries of `queue list --json`, grouped by message, whatever the report's own grouping is."""
    messages = json.loads(queue(server, "list", "--json"))
    return [m for m in messages if queue_id in (None, m["id"])]


def test_list_and_show(waiting, hop):
    """What waits, why, since when: in words and as JSON."""
    token, queue_id = defer(waiting, "u@far.test", "v@far.test")
    entry, = listed(waiting, queue_id)
    assert entry["from"] == ALICE and entry["identity"] == ALICE
    assert {r["to"] for r in entry["recipients"]} == {"u@far.test", "v@far.test"}
    assert all(r["attempts"] == 1 and "450 4.2.1 Not today" in r["last_reply"] for r in entry["recipients"])
    text = queue(waiting, "list")
    assert queue_id in text and "u@far.test" in text and "Not today" in text
    shown = queue(waiting, "show", queue_id)
    assert f"Subject: {token}" in shown and "Not today" in shown and "Hello." not in shown
    assert "\n by mail.example.org with " in shown  # folded by a tab
    body = queue(waiting, "show", queue_id, "--body")
    assert body.startswith("Received: from client.example.org") and body.rstrip().endswith("Hello.")


def test_stats(waiting, hop):
    """Counts by state."""
    empty = stats(waiting)
    assert (empty["messages"], empty["recipients"], empty["deferred"], empty["held"]) == (0, 0, 0, 0)
    _, first = defer(waiting, "u@far.test", "v@far.test")
    _, second = defer(waiting, "w@far.test")
    queue(waiting, "hold", second)
    now = stats(waiting)
    assert (now["messages"], now["recipients"], now["deferred"], now["held"]) == (2, 3, 2, 1)
    assert now["bytes"] > 0 and now["oldest"]
    assert "deferred" in queue(waiting, "stats")


def test_flush(waiting, hop):
    """Flush tries again now, one message or all."""
    one, one_id = defer(waiting, "u@far.test")
    two, two_id = defer(waiting, "v@far.test")
    three, three_id = defer(waiting, "w@far.test")
    hop.answers.clear()
    assert queue(waiting, "flush", two_id) == "1 recipient made due at once\n"
    hop.wait(two)
    wait_gone(waiting, two_id)
    assert not hop.holding(one)
    assert queue(waiting, "flush") == "2 recipients made due at once\n"
    hop.wait(one)
    hop.wait(three)
    wait_empty(waiting)


def test_hold_and_release(waiting, hop):
    """Held is not tried, not even by a flush; released it is."""
    token, queue_id = defer(waiting, "u@far.test")
    assert queue(waiting, "hold", queue_id) == "1 recipient held\n"
    hop.answers.clear()
    queue(waiting, "flush")
    other, other_id = submit(waiting, "v@far.test")  # the server has looked at the queue since
    hop.wait(other)
    wait_gone(waiting, other_id)
    assert not hop.holding(token)
    assert listed(waiting, queue_id)[0]["recipients"][0]["state"] == "held"
    assert queue(waiting, "release", queue_id) == "1 recipient released\n"
    queue(waiting, "flush", queue_id)
    hop.wait(token)
    wait_empty(waiting)


def test_hold_outlives_a_restart(waiting, hop):
    """Held is written down."""
    token, queue_id = defer(waiting, "u@far.test")
    queue(waiting, "hold", "--all")
    hop.answers.clear()
    waiting.restart()
    assert stats(waiting)["held"] == 1 and not hop.holding(token)
    queue(waiting, "release", "--all")
    queue(waiting, "flush")
    hop.wait(token)


def test_delete(waiting, hop):
    """Deleted is gone, with its text, and nobody is told."""
    token, queue_id = defer(waiting, "u@far.test")
    big, big_id = defer(waiting, "v@far.test", body=b"0123456789abcdef\r\n" * 20000)
    assert queue(waiting, "delete", queue_id) == "1 recipient deleted\n"
    assert queue(waiting, "delete", big_id) == "1 recipient deleted\n"
    assert stats(waiting)["messages"] == 0
    queue(waiting, "show", queue_id, status=66)
    waiting.stop()
    with sqlite3.connect(f"file:{waiting.config.database}?mode=ro", uri=True) as db:
        tables = [name for name, in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        left = {t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables}
    assert left["message"] == left["recipient"] == left["chunk"] == 0, left
    assert not waiting.mailbox(ALICE).messages()


def test_all_is_a_word_to_type(waiting, hop):
    """A forgotten id empties no queue."""
    defer(waiting, "u@far.test")
    for word in ("hold", "release", "delete"):
        done = postern("queue", word, "-c", waiting.config.folder / "postern.conf", status=64)
        assert "--all" in done.stderr
    assert stats(waiting)["deferred"] == 1
    assert queue(waiting, "delete", "--all") == "1 recipient deleted\n"


@pytest.mark.parametrize("words,status,says", [
    (["list", "--database", "/nonexistent/spool.db"], 66, "/nonexistent/spool.db"),
    (["show"], 64, "needs the id"),
    (["show", "nonsense"], 64, "no queue id"),
    (["shwo", "x"], 64, "did you mean \"show\""),
    ([], 64, "what is to be done"),
    (["list", "x"], 64, "takes no id"),
])
def test_wrong_words(waiting, words, status, says):
    """Mistakes are said in words, with the exit codes of sysexits."""
    more = [] if "--database" in words else ["-c", waiting.config.folder / "postern.conf"]
    assert says in postern("queue", *words, *more, status=status).stderr


def test_without_a_server(waiting, hop):
    """Looking and steering work while nothing runs, and what was said holds when it runs again."""
    token, queue_id = defer(waiting, "u@far.test")
    waiting.stop()
    assert queue_id in queue(waiting, "list")
    assert queue(waiting, "flush") == "1 recipient made due at once\n"
    hop.answers.clear()
    waiting.start()
    hop.wait(token)


def test_beside_load(waiting, hop):
    """List and stats read beside a server that writes; nobody waits for nobody."""
    hop.answers.clear()
    tokens = []
    with waiting.connect("in", "good") as c:
        for n in range(60):
            c.mail(ALICE, f"u{n}@far.test")
            c.message(f"Subject: load-{n}-load\r\n\r\nx\r\n".encode())
            if n % 6 == 0:
                queue(waiting, "list", "--json")
                stats(waiting)
    for n in range(60):
        hop.wait(f"load-{n}-load")
    wait_empty(waiting)
    assert not [e for e in waiting.log.events if e.level == "error"]
