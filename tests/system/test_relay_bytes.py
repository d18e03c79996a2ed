# SPDX-License-Identifier: BSD-2-Clause
"""The relay's first duty: every byte arrives, in order, whatever happens to the ends; and what
cannot arrive is counted."""
import random
import threading
import time

import pytest
from relay_ends import (MEMORY_MAX, PATIENCE, Relay, packet, read, read_all, recording, reset,
                        wait_until)

MEGABYTE = 1 << 20
ENDS = ("debugger", "target")


def start(*options):
    return Relay("tcp-listen:0", "tcp-listen:0", *options)


def send_in_background(end, data):
    thread = threading.Thread(target=end.sendall, args=(data,), daemon=True)
    thread.start()
    return thread


def test_bulk_both_ways_at_once_is_exact():
    up, down = random.Random(1).randbytes(24 * MEGABYTE), random.Random(2).randbytes(24 * MEGABYTE)
    with start() as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        senders = [send_in_background(debugger, up), send_in_background(target, down)]
        got = []
        reader = threading.Thread(target=lambda: got.append(read(debugger, len(down))))
        reader.start()
        assert read(target, len(up)) == up
        reader.join(PATIENCE)
        assert got[0] == down
        for sender in senders:
            sender.join(PATIENCE)


def test_a_reader_that_sleeps_loses_nothing_and_costs_no_memory():
    data = random.Random(3).randbytes(64 * MEGABYTE)
    with start() as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        sender = send_in_background(target, data)
        sender.join(1)  # it fills the relay and the system's buffers, and must then wait
        assert sender.is_alive()
        assert read(debugger, len(data)) == data
        assert relay.peak_memory() < MEMORY_MAX


def test_a_quarter_gigabyte_stays_within_16_mb(tmp_path):
    body = bytes(range(256)) * 15 + bytes(160)
    block = packet(2, 0x80800000, body) + packet(2, 0x80800001, body)
    count = 256 * MEGABYTE // len(block)
    with start("--record", str(tmp_path / "a.pcapng"), "--rotate-size", "16M",
               "--keep", "1") as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        sender = threading.Thread(
            target=lambda: [target.sendall(block * 64) for _ in range(count // 64)])
        sender.start()
        left = count // 64 * 64 * len(block)
        while left:
            left -= len(debugger.recv(min(left, MEGABYTE)))
        sender.join(PATIENCE)
        assert relay.peak_memory() < MEMORY_MAX
        relay.stop()
        assert relay.summary()["target"]["forwarded"] == count // 64 * 64 * len(block)


class Sender(threading.Thread):
    """Sends without end, a little at a time, until told to stop; remembers what it sent."""

    def __init__(self, end):
        super().__init__(daemon=True)
        self.end, self.sent = end, bytearray()
        self.random, self.stopped = random.Random(4), threading.Event()

    def run(self):
        while not self.stopped.wait(0.0005):
            block = self.random.randbytes(4096)
            self.sent += block
            self.end.sendall(block)

    def finish(self):
        self.stopped.set()
        self.join(PATIENCE)


def assert_runs_of(stream, pieces):
    """Each piece is a run of the stream, and they follow each other."""
    at = 0
    for piece in pieces:
        if piece:
            found = stream.find(piece, at)
            assert found >= 0, f"{len(piece)} received bytes are no run of what was sent"
            at = found + len(piece)


@pytest.mark.parametrize("mortal,steady", [ENDS, ENDS[::-1]])
def test_an_end_is_restarted_100_times_during_a_transfer(mortal, steady):
    with start() as relay:
        sender = Sender(relay.connect(steady))
        sender.start()
        pieces, clean_total, reset_total = [], 0, 0
        for number in range(100):
            end = relay.connect(mortal)
            piece = read(end, 5000)
            if number % 2:
                reset(end)  # what is in the system's buffers then is lost, and nobody can know
                reset_total += len(piece)
            else:
                end.shutdown(1)  # says good-bye and reads what was sent before it was heard
                piece += read_all(end)
                end.close()
                clean_total += len(piece)
            pieces.append(piece)
            relay.wait("down", mortal, number + 1)
            if number % 10 == 0:  # away for a while, so that something must be dropped
                before = len(sender.sent)
                wait_until(lambda: len(sender.sent) > before + 20000, "bytes for an absent end")
        sender.finish()
        assert relay.process.poll() is None, "the relay lives"
        final = relay.connect(mortal)  # and it still forwards
        sender.end.sendall(b"the end")
        assert read_all_until(final, b"the end")
        assert relay.stop() == 0
        side = relay.summary()[steady]
        total = len(sender.sent) + len(b"the end")
        assert side["received"] == total
        assert side["forwarded"] + side["dropped"] == total
        assert side["dropped"] > 0, "while an end is away its bytes are dropped"
        drops = [e for e in relay.events if e["event"] == "drop"]
        assert drops[-1]["total"] == side["dropped"], "every drop is reported"
        assert clean_total + reset_total <= side["forwarded"]
        assert_runs_of(bytes(sender.sent), pieces)


def read_all_until(end, text):
    got = b""
    while not got.endswith(text):
        piece = end.recv(65536)
        assert piece
        got += piece
    return got


def test_received_plus_dropped_is_sent_when_ends_leave_politely():
    """With no reset the account is exact to the byte."""
    with start() as relay:
        sender = Sender(relay.connect("target"))
        sender.start()
        received = 0
        for number in range(20):
            end = relay.connect("debugger")
            received += len(read(end, 20000))
            end.shutdown(1)
            received += len(read_all(end))
            relay.wait("down", "debugger", number + 1)
        sender.finish()
        sender.end.close()
        relay.wait("down", "target")
        assert relay.stop() == 0
        side = relay.summary()["target"]
        assert side["received"] == len(sender.sent) == received + side["dropped"]


def test_bytes_for_an_absent_end_are_dropped_counted_and_recorded(tmp_path):
    record = tmp_path / "a.pcapng"
    with start("--record", str(record)) as relay:
        target = relay.connect("target")
        target.sendall(b"x" * 1000)
        assert relay.wait("drop", "target")["total"] == 1000
        debugger = relay.connect("debugger")
        target.sendall(b"y" * 10)
        assert read(debugger, 10) == b"y" * 10, "nothing old is sent to a newcomer"
        relay.stop()
    found = recording(record)
    assert found.sent[1] == b"x" * 1000 + b"y" * 10
    assert any("1000 bytes from the target were not delivered" in c for c in found.comments)


def recorded(path):
    return recording(path).sent[1].count(b"console text")


def test_drops_of_a_long_outage_are_summed_up(tmp_path):
    """A console that prints for ever with no debugger there: not one line and record per read."""
    record = tmp_path / "a.pcapng"
    with start("--record", str(record)) as relay:
        target = relay.connect("target")
        sent = 0
        for outage in (1, 2):
            for _ in range(100):  # each a read of its own
                target.sendall(b"console text 0123456789\r\n")
                sent += 25
                time.sleep(0.01)  # over several ticks of the relay
            # The relay has read them all, or the newcomer might get the last ones.
            wait_until(lambda: recorded(record) == 100 * outage, "the text in the recording")
            debugger = relay.connect("debugger")
            drops = [e for e in relay.events if e["event"] == "drop"]
            assert drops[-1]["total"] == sent, "told at the end"
            assert len(drops) < 20 * outage, "and seldom before"
            debugger.close()
            relay.wait("down", "debugger", outage)
        assert relay.stop() == 0
        assert sum(e["bytes"] for e in drops) == drops[-1]["total"] == sent
        assert relay.summary()["target"]["dropped"] == sent
    comments = [c for c in recording(record).comments if c.startswith("dropped: ")]
    assert [int(c.split()[1]) for c in comments] == [e["bytes"] for e in drops]
    assert recorded(record) == 200


def test_pacing_keeps_the_rate_and_every_byte():
    data = random.Random(5).randbytes(3000)
    with start("--pace", "100/10000") as relay:  # 100 bytes in 10 ms: 3000 bytes need 290 ms
        debugger, target = relay.connect("debugger"), relay.connect("target")
        began = time.monotonic()
        debugger.sendall(data)
        assert read(target, len(data)) == data
        assert time.monotonic() - began > 0.25, "a loaded machine makes it longer, nothing shorter"
        target.sendall(b"back" * 1000)  # the other way is not paced
        assert read(debugger, 4000) == b"back" * 1000


def test_pacing_with_more_than_its_queue_holds_the_debugger_back():
    data = random.Random(6).randbytes(2 * MEGABYTE)
    with start("--pace", "100000/1000") as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        sender = send_in_background(debugger, data)
        assert read(target, len(data)) == data
        sender.join(PATIENCE)
        assert relay.peak_memory() < MEMORY_MAX
