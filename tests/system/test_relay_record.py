# SPDX-License-Identifier: BSD-2-Clause
"""The recording of a relay, its live readers and its observers."""
import os
import random
import signal
import socket
import stat
import subprocess
import threading

import pytest
from relay_ends import (ACK, KDWIRE, MEMORY_MAX, PATIENCE, Recording, Relay, blocks, listening,
                        manipulate, packet, read, read_all, recording, stop_packet, wait_until)


def start(*options, **popen):
    return Relay("tcp-listen:0", "tcp-listen:0", *options, **popen)


def talk(debugger, target, rounds, seed=7):
    """KD memory reads; returns what each side sent."""
    chance = random.Random(seed)
    sent = [b"", b""]
    for number in range(rounds):
        ident = 0x80800000 | number % 2
        for direction, data in ((0, manipulate(ident)), (1, ACK),
                                (1, manipulate(ident, data=chance.randbytes(1000))), (0, ACK)):
            (debugger, target)[direction].sendall(data)
            read((target, debugger)[direction], len(data))
            sent[direction] += data
    return sent


def has_all(path, sent):
    return path.exists() and path.stat().st_size > 0 and recording(path).sent == sent


def test_record_has_every_byte_once_after_sigkill(tmp_path):
    record = tmp_path / "a.pcapng"
    with start("--record", str(record)) as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        sent = talk(debugger, target, 50)
        wait_until(lambda: has_all(record, sent), "the record follows the session")
        relay.stop(signal.SIGKILL)
    found = recording(record)
    assert found.sent == sent
    assert [len(r) for r in found.records] == [100, 100], "one record for each packet"


def test_record_is_a_whole_prefix_when_killed_in_the_middle(tmp_path):
    record = tmp_path / "a.pcapng"
    block = manipulate(0x80800000, data=bytes(3000)) + manipulate(0x80800001, data=bytes(3000))
    with start("--record", str(record)) as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        reader = threading.Thread(target=read_all, args=(debugger,), daemon=True)
        reader.start()

        def flood():
            try:
                while True:
                    target.sendall(block)
            except OSError:
                pass
        threading.Thread(target=flood, daemon=True).start()
        wait_until(lambda: os.path.exists(record) and record.stat().st_size > 1 << 20, "a record")
        relay.stop(signal.SIGKILL)
        reader.join(PATIENCE)
    found = recording(record).sent[1]
    assert len(found) > 500000
    assert (block * (len(found) // len(block) + 1)).startswith(found)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_record_is_flushed_at_the_end(tmp_path, number):
    record = tmp_path / "a.pcapng"
    with start("--record", str(record)) as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        sent = talk(debugger, target, 3)
        assert relay.stop(number) == 0
    assert recording(record).sent == sent


def test_record_is_not_overwritten_unless_asked(tmp_path):
    record = tmp_path / "a.pcapng"
    record.write_bytes(b"precious")
    with start("--record", str(record)) as relay:
        assert relay.finish() == 1
    assert b"exists already and is not overwritten" in relay.errors
    assert record.read_bytes() == b"precious"
    with start("--record", str(record), "--overwrite") as relay:
        relay.wait("listening", "target")
        assert relay.stop() == 0
    assert list(blocks(record.read_bytes()))


def test_what_holds_memory_of_the_target_is_private(tmp_path):
    """Whatever the umask says: recordings (also the next of a rotation, also one that replaces a
    public file), FIFOs and observers' sockets."""
    def mode(name):
        return stat.S_IMODE((tmp_path / name).stat().st_mode)
    public = tmp_path / "b.pcapng"
    public.write_bytes(b"old")
    public.chmod(0o644)
    with start("--record", str(tmp_path / "a.pcapng"), "--rotate-size", "20K", "--live",
               str(tmp_path / "live"), "--observe", f"unix-listen:{tmp_path}/socket",
               umask=0) as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        talk(debugger, target, 60)
        assert (mode("live"), mode("socket")) == (0o600, 0o600)
        relay.stop()
    files = list(tmp_path.glob("a_*.pcapng"))
    assert len(files) > 3 and {mode(path.name) for path in files} == {0o600}
    with start("--record", str(public), "--overwrite", umask=0) as relay:
        relay.wait("listening", "target")
        relay.stop()
    assert mode("b.pcapng") == 0o600 and not public.read_bytes().startswith(b"old")


def test_record_does_not_follow_a_link_that_someone_laid(tmp_path):
    (tmp_path / "a.pcapng").symlink_to(tmp_path / "elsewhere")
    with start("--record", str(tmp_path / "a.pcapng")) as relay:
        assert relay.finish() == 1
    assert not (tmp_path / "elsewhere").exists()


def test_record_to_a_place_that_does_not_exist(tmp_path):
    with start("--record", str(tmp_path / "no" / "a.pcapng")) as relay:
        assert relay.finish() == 1
    assert b"cannot record there: No such file or directory" in relay.errors


def test_session_goes_on_when_the_disk_is_full():
    """/dev/full takes the header's place: every write fails."""
    with start("--record", "/dev/full", "--overwrite") as relay:
        code = relay.finish()
    assert code == 1 and b"No space left" in relay.errors


def test_rotation_keeps_all_bytes_in_order(tmp_path):
    with start("--record", str(tmp_path / "a.pcapng"), "--rotate-size", "20K") as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        sent = talk(debugger, target, 60)
        relay.stop()
    files = sorted(tmp_path.iterdir())
    assert len(files) > 3
    found = [recording(path).sent for path in files]
    assert [b"".join(f[0] for f in found), b"".join(f[1] for f in found)] == sent


def test_old_tools_get_udp_packets(tmp_path):
    record = tmp_path / "a.pcap"
    with start("--record", str(record), "--format", "pcap-udp") as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        talk(debugger, target, 5)
        relay.stop()
    data = record.read_bytes()
    assert data[:4] == bytes.fromhex("4d3cb2a1"), "classic pcap with nanoseconds"
    assert manipulate(0x80800000) in data


def test_observers_get_the_whole_session_live():
    with start("--observe", "tcp-listen:0") as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        observers = []
        for number in range(5):
            observers.append(socket.create_connection(("127.0.0.1", relay.port("observer"))))
            observers[-1].settimeout(PATIENCE)
            relay.wait("observer-up", number=number + 1)
        sent = talk(debugger, target, 20)
        observers[0].sendall(b"b" * 1000)  # has no say
        target.setblocking(False)
        with pytest.raises(BlockingIOError):
            target.recv(1)
        observers[1].close()
        relay.wait("observer-down")
        late = socket.create_connection(("127.0.0.1", relay.port("observer")))
        relay.wait("observer-up", number=6)
        relay.stop()
        for observer in (observers[0], *observers[2:]):
            assert Recording(read_all(observer)).sent == sent
        assert Recording(read_all(late)).sent == [b"", b""], "a late one gets the headers first"


def test_a_sleeping_observer_never_slows_the_session_and_is_told_what_it_missed():
    megabytes = 48
    block = packet(2, 0x80800000, bytes(4000)) + packet(2, 0x80800001, bytes(4000))
    block *= (1 << 20) // len(block)
    with start("--observe", "tcp-listen:0") as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        sleeper = socket.create_connection(("127.0.0.1", relay.port("observer")))
        relay.wait("observer-up")
        sender = threading.Thread(target=lambda: [target.sendall(block) for _ in range(megabytes)])
        sender.start()
        assert len(read(debugger, len(block) * megabytes)) == len(block) * megabytes
        sender.join(PATIENCE)
        relay.wait("observer-missed")
        assert relay.peak_memory() < MEMORY_MAX
        awake = threading.Thread(target=lambda: results.append(read_all(sleeper)))
        results = []
        awake.start()
        talk(debugger, target, 200)  # it reads again now, and there is room for new records
        relay.stop()
        awake.join(PATIENCE)
    found = Recording(results[0])  # parses: whole blocks only
    assert any("missing here" in comment for comment in found.comments)
    assert len(found.sent[1]) < len(block) * megabytes


def test_an_observer_on_standard_output_needs_no_input():
    with open("/dev/null", "rb") as nothing, \
            Relay("tcp-listen:0", "tcp-listen:0", "--observe", "stdio", events=False,
                  stdin=nothing, stdout=subprocess.PIPE) as relay:
        relay.wait_error("target: listening on")
        ports = [int(line.split(b",")[0].rsplit(b":", 1)[1])
                 for line in relay.errors.splitlines() if b"listening on" in line]
        ends = []
        for port in ports:
            ends.append(socket.create_connection(("127.0.0.1", port), PATIENCE))
            ends[-1].settimeout(PATIENCE)
        relay.wait_error("target: connected")
        relay.wait_error("debugger: connected")
        sent = talk(*ends, 5)
        relay.process.send_signal(signal.SIGTERM)
        assert Recording(relay.process.stdout.read()).sent == sent
        assert relay.finish() == 0


def test_an_observer_can_be_a_program(tmp_path):
    copy = tmp_path / "copy"
    with start("--observe", f"exec:cat > {copy}") as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        relay.wait("observer-up")
        sent = talk(debugger, target, 5)
        wait_until(lambda: has_all(copy, sent), "the program wrote it down")


def test_live_fifo_readers_come_and_go(tmp_path):
    fifo = tmp_path / "live"
    with start("--live", str(fifo)) as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        talk(debugger, target, 3)  # nobody reads: nothing waits
        assert stat.S_ISFIFO(fifo.stat().st_mode)
        for number in range(5):
            with open(fifo, "rb", buffering=0) as reader:
                relay.wait("observer-up", number=number + 1)
                sent = talk(debugger, target, 10, seed=number)
                data = b""
                while not data or Recording(data).sent != sent:
                    piece = reader.read(65536)
                    assert piece
                    data += piece
            relay.wait("observer-down", number=number + 1)
            talk(debugger, target, 2)
        assert relay.stop() == 0
    assert not fifo.exists(), "made by the relay, removed by it"


def test_live_fifo_of_the_user_stays(tmp_path):
    fifo = tmp_path / "live"
    os.mkfifo(fifo)
    with start("--live", str(fifo)) as relay:
        relay.wait("listening", "target")
        relay.stop()
    assert fifo.exists()
    fifo.unlink()
    fifo.write_text("no pipe")
    with start("--live", str(fifo)) as relay:
        assert relay.finish() == 1
    assert b"is no named pipe" in relay.errors


def test_events_tell_stops_resends_and_breakins():
    with start() as relay:
        debugger, target = relay.connect("debugger"), relay.connect("target")
        for data in (stop_packet(0x80800000), stop_packet(0x80800000)):
            target.sendall(data)
            read(debugger, len(data))
        debugger.sendall(b"b" + packet(6, 0))
        read(target, 17)
        event = relay.wait("stop", "target")
        assert "12345678" in event["text"].lower()
        relay.wait("resend", "target")
        relay.wait("reset", "debugger")
        talk(debugger, target, 4)
        relay.stop()
        summary = relay.summary()
    assert (summary["stops"], summary["breakins"], summary["round_trips"]) == (1, 1, 4)
    assert summary["target"]["resends"] == 1
    assert 0 < summary["round_trip_us"]["min"] <= summary["round_trip_us"]["max"]


def test_events_that_nobody_reads_do_not_stop_the_session():
    """Standard output is a pipe that is full: the session matters more."""
    reading, writing = os.pipe()
    ends = [listening(), listening()]
    names = [f"tcp:127.0.0.1:{end.getsockname()[1]}" for end in ends]
    process = subprocess.Popen([KDWIRE, "relay", "-d", names[0], "-t", names[1], "--events",
                                "json"], stdout=writing, stderr=writing)
    try:
        debugger, target = ends[0].accept()[0], ends[1].accept()[0]
        for side in (debugger, target):
            side.settimeout(PATIENCE)
        story = b""  # what comes before both ends are up in the relay's eyes is rightly dropped
        while story.count(b'"event":"up"') < 2:
            story += os.read(reading, 4096)
            assert process.poll() is None, story
        again = stop_packet(0x80800000)
        for _ in range(2000):  # each is an event: far more than a pipe holds
            target.sendall(again)
            read(debugger, len(again))
        talk(debugger, target, 5)
    finally:
        process.kill()
        process.wait()
        os.close(reading)
        os.close(writing)
