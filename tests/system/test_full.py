"""No room: 4xx to the client, nothing accepted, nothing lost, and it works again once there is room (invariant I5)."""
import subprocess

import pytest

from kit.nexthop import Hop
from kit.server import Server, postern
from kit.traffic import ALICE, stats, submit, wait_empty
from kit.wait import until

LINE = b"0123456789abcdef" * 4 + b"\r\n"


@pytest.fixture
def hop():
    h = Hop()
    h.answers["rcpt:*"] = "450 4.2.1 Not now"
    yield h
    h.close()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 12 MiB, where we may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", place], capture_output=True)
    if done.returncode:
        pytest.skip(f"cannot mount a small file system: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def settle(config, hop, **spool):
    config.trust().spool(**spool).listener("in", "implicit", trust="{staff}").maildir("example.org")
    config.route("default", smtp=f'"{hop.address}"', tls="off")
    return config.add("delivery { retry-min = 1h retry-max = 1h }")


def fill(server, size):
    """Sends messages of that size until one is not taken; returns the tokens of those that were."""
    taken = []
    with server.connect("in", "good") as c:
        for n in range(2000):
            reply = c(f"MAIL FROM:<{ALICE}>")
            if reply.code != 250:
                assert (reply.code, reply.enhanced) == (452, "4.3.1"), c.told()
                return taken
            c.expect("RCPT TO:<u@far.test>", 250)
            c.expect("DATA", 354)
            token = f"fill-{size}-{n}-fill"
            c.send(f"Subject: {token}\r\n\r\n".encode() + LINE * (size // len(LINE)) + b".\r\n")
            reply = c.reply()
            if reply.code != 250:
                assert (reply.code, reply.enhanced) == (452, "4.3.1"), c.told()
                c.expect("NOOP", 250)  # in step
                return taken
            taken.append(token)
    raise AssertionError("it never filled up")


def wait_room(server):
    """Room that came back is seen within a second."""
    with server.connect("in", "good") as c:
        until(lambda: c(f"MAIL FROM:<{ALICE}>").code == 250, "room", every=0.1)


def drain(server, hop, tokens):
    """Everything that was taken is delivered, once; what was not taken is not."""
    until(lambda: (s := stats(server))["deferred"] == s["messages"], "all to have been tried")
    hop.answers.clear()
    postern("queue", "flush", "-c", server.config.folder / "postern.conf")
    wait_empty(server)
    for token in tokens:
        assert len(hop.holding(f"Subject: {token}\r\n")) == 1, token
    assert len(hop.taken) == len(tokens)


@pytest.mark.parametrize("size,limit", [(8000, "1M"), (150_000, "4M")])
def test_spool_at_its_limit(run, config, hop, size, limit):
    """I5, SIZE-01: `max-size` reached, with small messages and with such as come in pieces."""
    server = run(settle(config, hop, max_size=limit))
    taken = fill(server, size)
    assert len(taken) > 5
    assert stats(server)["messages"] == len(taken)
    assert "max-size" in server.log.wait("spool-trouble")["detail"]
    again = fill(server, size)  # another try, another connection: still no, or room for very few
    assert len(again) <= 3
    drain(server, hop, taken + again)
    wait_room(server)
    token, _ = submit(server, "v@far.test", body=LINE * 2000)
    hop.wait(token)
    assert not [e for e in server.log.events if e.name == "stopped"]


def test_restart_when_full(run, config, hop):
    """I1, I5: a full spool opens again, and what is in it is delivered."""
    server = run(settle(config, hop, max_size="4M"))
    taken = fill(server, 20_000)
    server.restart()
    assert stats(server)["messages"] == len(taken)
    drain(server, hop, taken)


def grow(place, size):
    subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)


def everything_arrives(server, hop, taken):
    def flushed():  # again, for those that were under way when it was said
        postern("queue", "flush", "-c", server.config.folder / "postern.conf")
        return stats(server)["recipients"] == 0

    until(flushed, "an empty queue", every=0.5)
    for token in taken:
        assert len(hop.holding(f"Subject: {token}\r\n")) == 1, token
    wait_room(server)
    token, _ = submit(server, "v@far.test")
    hop.wait(token)


def test_disk_full(run, config, hop, small_disk):
    """I3, I5: the file system itself is full.  What becomes of deliveries meanwhile is kept until it can be written
    down, and nothing is sent twice."""
    server = run(settle(config, hop, path=small_disk / "spool.db", min_free="16K"))
    taken = fill(server, 100_000) + fill(server, 3000)
    assert len(taken) > 5
    hop.answers.clear()
    postern("queue", "flush", "-c", config.folder / "postern.conf", status=None)  # may find no room for itself
    grow(small_disk, "48m")
    everything_arrives(server, hop, taken)


def test_crash_on_a_full_disk(run, config, hop, small_disk):
    """I1, I5: a start that finds no room for its own notes says so and leaves everything as it is."""
    server = run(settle(config, hop, path=small_disk / "spool.db", min_free="16K"))
    taken = fill(server, 100_000) + fill(server, 3000)
    server.kill()
    (small_disk / "ballast").write_bytes(b"")
    with (small_disk / "ballast").open("wb", buffering=0) as f, pytest.raises(OSError):
        while True:
            f.write(b"x" * 4096)
    server.start(wait=False)
    if server.wait_start() != "ready":
        assert "full" in server.log.find("start-failed")[0]["message"]
        assert server.wait_exit() == 73
    else:
        server.kill()
    grow(small_disk, "48m")
    server.start()
    assert stats(server)["messages"] == len(taken)
    hop.answers.clear()
    everything_arrives(server, hop, taken)


def test_others_fill_the_disk(run, config, hop, small_disk):
    """I5: `min-free` keeps the rest of the disk for what is already there; room comes back when others make it."""
    server = run(settle(config, hop, path=small_disk / "spool.db", min_free="4M"))
    token, _ = submit(server, "u@far.test")
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * (9 << 20))
    assert fill(server, 2000) == []
    assert "min-free keeps 4096" in server.log.wait("spool-trouble")["detail"]
    with server.connect("in", "good") as c:
        c.expect(f"MAIL FROM:<{ALICE}>", 452, "4.3.1")
        ballast.unlink()
        server.log.wait("spool-recovered")
        c.expect(f"MAIL FROM:<{ALICE}>", 250)
    other, _ = submit(server, "v@far.test")
    drain(server, hop, [token, other])


def test_full_maildir(run, config, small_disk):
    """A Maildir without room defers, and nothing of the message is left there in part."""
    config.trust().spool().listener("in", "implicit", trust="{staff}")
    config.route("default", maildir=f'"{small_disk}/%u"').add("delivery { retry-min = 1s retry-max = 1s }")
    server = run(config)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * (11 << 20))
    token, queue_id = submit(server, "u@far.test", body=LINE * 40_000)
    event = server.log.wait("deferred", queue=queue_id)
    assert event["status"] in ("4.2.2", "4.3.1"), event
    assert not [p for p in (small_disk / "u").rglob("*") if p.is_file()]
    ballast.unlink()
    server.log.wait("delivered", queue=queue_id)
    found = [p for p in (small_disk / "u" / "new").iterdir()]
    assert len(found) == 1 and found[0].read_bytes().count(b"0123456789abcdef") == 160_000
    wait_empty(server)


def test_spool_folder_is_gone(run, config, hop, tmp_path):
    """I5: a spool that cannot be opened is said at the start, with its path and the cure."""
    settle(config, hop, path=tmp_path / "nowhere" / "spool.db")
    server = Server(config, "doomed")
    server.start(wait=False)
    assert server.wait_exit() != 0
    assert f"{tmp_path}/nowhere" in server.log.wait("start-failed")["message"]
