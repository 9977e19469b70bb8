"""kill -9 under load: docs/QUEUE.md's I1, I2 and I3, message by message.

Clients send without pause over kept connections and note every message whose final dot was answered 250.  At random
moments the server is killed and started again.  In the end, when the queue has drained:

  I1  every message answered 250 has been delivered, whole;
  I2  every message delivered was answered 250, or its final dot was sent and the answer lost in the kill;
  I3  a message was delivered twice only if a kill lies between the two deliveries, and the earlier one was one of
      those whose outcome had not been committed: no client or next hop ever saw two from one life of the server.

POSTERN_SEED chooses the moments; a failure names it.
"""
import os
import random
import sqlite3
import threading
import time

from kit.nexthop import obliging
from kit.server import postern
from kit.traffic import ALICE, stats, wait_empty
from kit.wait import DEADLINE
from kit.wire import Closed

SEED = int(os.environ.get("POSTERN_SEED", "20260101"))
ROUNDS = int(os.environ.get("POSTERN_KILLS", "6"))
CLIENTS = 4

# Small, a full chunk and a bit, and several chunks: the last leave drafts behind when a kill cuts them short.
SIZES = (200, 200, 200, 70_000, 300_000)
LINE = b"the quick brown fox jumps over the lazy dog, again and again and again\r\n"


class Sender(threading.Thread):
    """One client on one connection, until the connection is gone."""

    def __init__(self, server, name, ledger):
        super().__init__(daemon=True)
        self.server, self.prefix, self.ledger, self.error = server, name, ledger, None
        self.random = random.Random(f"{SEED} {name}")

    def run(self):
        try:
            with self.server.connect("in", "good") as c:
                for n in range(1_000_000):
                    self.send(c, f"{self.prefix}-{n}")
        except (Closed, OSError):
            pass
        except Exception as e:  # noqa: BLE001: shown by the test
            self.error = e

    def send(self, c, name):
        size = self.random.choice(SIZES)
        body = LINE * (size // len(LINE) + 1)
        c.send(f"MAIL FROM:<{ALICE}>\r\nRCPT TO:<u@far.test>\r\nDATA\r\n".encode())
        assert [c.reply().code for _ in range(3)] == [250, 250, 354], c.told()
        head, end = f"X-Id: {name}\r\nX-Lines: {body.count(LINE)}\r\n\r\n", f"X-End: {name}\r\n"
        c.send(head.encode() + body + end.encode())  # from here to the final dot nothing can have been accepted
        self.ledger.doubtful(name)
        c.send(b".\r\n")
        reply = c.reply()
        assert reply.code == 250, c.told()
        self.ledger.acknowledged(name)


class Ledger:
    """What became of each message as its client saw it."""

    def __init__(self):
        self.lock, self.acked, self.doubt = threading.Lock(), set(), set()

    def doubtful(self, name):
        with self.lock:
            self.doubt.add(name)

    def acknowledged(self, name):
        with self.lock:
            self.doubt.remove(name)
            self.acked.add(name)


def name_of(delivery):
    return next(line[6:].decode() for line in delivery.content.split(b"\r\n") if line.startswith(b"X-Id: "))


def is_whole(delivery):
    lines = int(next(x for x in delivery.content.split(b"\r\n") if x.startswith(b"X-Lines: "))[9:])
    return delivery.content.count(LINE) == lines and delivery.content.endswith(
        b"X-End: " + name_of(delivery).encode() + b"\r\n")


def kill_in_the_middle(server, number, ledger, moment):
    """One round: clients at work, a kill after `moment` seconds of it, the time of the kill."""
    senders = [Sender(server, f"r{number}c{n}", ledger) for n in range(CLIENTS)]
    before = len(ledger.acked)
    for s in senders:
        s.start()
    end = time.monotonic() + DEADLINE
    while len(ledger.acked) == before and time.monotonic() < end:  # a kill before the first 250 shows nothing
        time.sleep(0.005)
    time.sleep(moment)  # the moment itself is what the seed chooses
    server.kill()
    killed = time.monotonic()
    for s in senders:
        s.join(DEADLINE)
        assert s.error is None, f"seed {SEED}, round {number}: {s.error}"
    return killed


def test_kill_under_load(run, config):
    """I1, I2, I3, REL-10."""
    chance = random.Random(SEED)
    hop = obliging()
    config.trust().spool().listener("in", "implicit", trust="{staff}")
    config.route("default", smtp=f'"{hop.address}"', tls="off")
    config.add("delivery { retry-min = 1s retry-max = 1s }")
    server = run(config)
    ledger, kills = Ledger(), []
    for number in range(ROUNDS):
        kills.append(kill_in_the_middle(server, number, ledger, chance.uniform(0.02, 0.7)))
        server.start()
    wait_empty(server, DEADLINE * 2)
    hop.close()
    server.stop()

    where = f"seed {SEED}, {ROUNDS} kills, {len(ledger.acked)} acknowledged, {len(ledger.doubt)} in doubt"
    by_name = {}
    for d in hop.taken:
        by_name.setdefault(name_of(d), []).append(d)
    assert len(ledger.acked) >= 10 * ROUNDS, f"too little load to show anything: {where}"

    lost = ledger.acked - set(by_name)
    assert not lost, f"I1: {len(lost)} acknowledged and never delivered, such as {sorted(lost)[:5]}: {where}"
    cut = [name_of(d) for d in hop.taken if not is_whole(d)]
    assert not cut, f"I1: delivered in part: {cut[:5]}: {where}"

    unknown = set(by_name) - ledger.acked - ledger.doubt
    assert not unknown, f"I2: delivered and never completed by a client: {sorted(unknown)[:5]}: {where}"
    assert len(ledger.doubt) <= ROUNDS * CLIENTS, where  # one a connection: no client sends ahead of its 250

    for name, deliveries in by_name.items():
        times = [d.at for d in deliveries]
        for first, second in zip(times, times[1:]):
            died = [k for k in kills if first <= k <= second]
            assert died, f"I3: {name} delivered twice with no kill in between: {where}"
            assert died[0] - first < 2, f"I3: {name} delivered again, long after the next hop's 250: {where}"
    print(where, f"{sum(len(d) > 1 for d in by_name.values())} delivered twice,",
          f"{len(ledger.doubt & set(by_name))} of those in doubt delivered")


def test_kill_leaves_no_debris(run, config):
    """After a kill in the middle of large drafts and the next start nothing is left of them, and the file is sound."""
    config.trust().spool().listener("in", "implicit", trust="{staff}").route("default", discard="yes")
    server = run(config)
    clients = []
    for _ in range(3):
        c = server.connect("in", "good")
        c.mail(ALICE, "u@far.test")
        c.expect("DATA", 354)
        c.send(b"X-Id: debris\r\n\r\n" + LINE * 10_000)  # some 700 KiB: chunks of it are in the spool
        clients.append(c)
    server.kill()
    for c in clients:
        c.close()
    server.start()
    with server.connect("in", "good") as c:
        c.mail(ALICE, "u@far.test")
        c.message(b"X-Id: after\r\n\r\nx\r\n")
        c.quit()
    wait_empty(server)
    server.stop()
    with sqlite3.connect(f"file:{config.database}?mode=ro", uri=True) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM chunk").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM message").fetchone() == (0,)


def test_kill_between_two_starts(run, config):
    """I1: kills right after a start, in the recovery too, cost nothing: what is queued stays queued, once."""
    hop = obliging()
    hop.close()
    config.trust().spool().listener("in", "implicit", trust="{staff}")
    config.route("default", smtp=f'"{hop.address}"', tls="off").add("delivery { retry-min = 1h retry-max = 1h }")
    server = run(config)
    names = {f"kept{n}" for n in range(30)}
    with server.connect("in", "good") as c:
        for name in sorted(names):
            c.mail(ALICE, "u@far.test")
            c.message(f"X-Id: {name}\r\nX-Lines: 0\r\n\r\nX-End: {name}\r\n".encode())
    chance = random.Random(SEED)
    for _ in range(6):
        server.kill()
        server.start(wait=False)
        time.sleep(chance.uniform(0, 0.3))  # anywhere between exec and the first deliveries: the seed's choice
    server.kill()
    hop = obliging(hop.port)
    server.start()
    assert stats(server)["messages"] == 30, f"seed {SEED}"
    postern("queue", "flush", "-c", config.folder / "postern.conf")
    wait_empty(server)
    assert sorted(name_of(d) for d in hop.taken) == sorted(names), f"seed {SEED}"
    hop.close()
