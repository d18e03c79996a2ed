# SPDX-License-Identifier: BSD-2-Clause
"""Recordings as Wireshark's own tools see them: every record, byte, time, direction and comment.

The recordings come from build/linux/tests/unit/capture/record-session (KDWIRE_BUILD names another
build folder), which also prints what each record must be.
"""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("KDWIRE_BUILD", TOP / "build" / "linux"))
PROGRAM = BUILD / "tests" / "unit" / "capture" / "record-session"
TAGS = 60  # bytes of exported-PDU tags before the payload, dissector name "kd"
RAW_TAGS = 68  # the same for the longer name "kd_stream"
WAIT = 60  # seconds until a tool that hangs is a failure; none takes one

pytestmark = [
    pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built"),
    pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed"),
]


@pytest.fixture
def folder():
    """A folder that an ordinary user may read: pytest's own belongs to the caller alone."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="kdwire-capture-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def as_user(folder):
    """Wireshark's tools ignore much of their set-up as root, so they never run as root here."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    if os.geteuid() != 0:
        return ["env", f"HOME={home}"]
    os.chown(home, 65534, 65534)
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", f"HOME={home}"]


def run(folder, *command):
    done = subprocess.run([*as_user(folder), *command], stdin=subprocess.DEVNULL, timeout=WAIT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def expected_records(text):
    for line in text.splitlines():
        direction, time_ns, payload, comment = line.split("\t", 3)
        yield {"direction": int(direction), "time": int(time_ns), "payload": payload,
               "comment": comment}


def record(folder, form, seed=1, items=60):
    path = folder / f"{form}.capture"
    text = subprocess.run([PROGRAM, form, str(seed), str(items), path], check=True, timeout=WAIT,
                          stdout=subprocess.PIPE, text=True).stdout
    path.chmod(0o644)
    records = list(expected_records(text))
    assert len(records) >= items / 2
    return path, records


def nanoseconds(epoch):
    seconds, fraction = epoch.split(".")
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0"))


def frames(folder, path):
    """What tshark says of each frame: fields as strings, `raw` the whole frame in hex."""
    packets = json.loads(run(folder, "tshark", "-r", str(path), "-T", "json", "-x"))
    for packet in packets:
        layers = packet["_source"]["layers"]
        frame = layers["frame"]
        yield {"raw": layers["frame_raw"][0] if "frame_raw" in layers else "", "layers": layers,
               "interface": frame.get("frame.interface_id_tree", {}).get("frame.interface_name"),
               "direction": frame.get("frame.packet_flags_tree", {}).get(
                   "frame.packet_flags_direction"),
               "time": nanoseconds(frame["frame.time_epoch"])}


@pytest.mark.parametrize("form, tags", [("upper-pdu", TAGS), ("user0", 0), ("raw", RAW_TAGS)])
def test_tshark_sees_every_record(folder, form, tags):
    path, expected = record(folder, form)
    seen = list(frames(folder, path))
    assert len(seen) == len(expected)
    for frame, want in zip(seen, expected):
        assert frame["raw"][2 * tags:] == want["payload"]
        assert frame["time"] == want["time"]
        assert frame["interface"] == ("debugger", "target")[want["direction"]]
        assert int(frame["direction"], 0) == (2, 1)[want["direction"]]  # out, in


def test_exported_pdu_tells_direction_ends_and_dissector(folder):
    path, expected = record(folder, "upper-pdu", items=10)
    lines = run(folder, "tshark", "-r", str(path), "-T", "fields", "-e",
                "exported_pdu.prot_name", "-e", "exported_pdu.ipv4_src", "-e",
                "exported_pdu.ipv4_dst", "-e", "exported_pdu.src_port", "-e",
                "exported_pdu.dst_port", "-e", "exported_pdu.p2p_dir").splitlines()
    ends = (("192.168.0.2", "192.168.0.1", "51111", "51112", "0"),
            ("192.168.0.1", "192.168.0.2", "51112", "51111", "1"))
    assert [tuple(line.split("\t")) for line in lines] == [
        ("kd", *ends[want["direction"]]) for want in expected]


def test_names_are_shown_for_the_ends(folder):
    path, expected = record(folder, "upper-pdu", items=10)
    lines = run(folder, "tshark", "-N", "n", "-r", str(path), "-T", "fields", "-e",
                "_ws.col.Source").splitlines()
    assert lines == [("debugger", "target")[want["direction"]] for want in expected]


def test_comments_are_shown(folder):
    path, expected = record(folder, "upper-pdu")
    shown = run(folder, "tshark", "-r", str(path), "-Y", "frame.comment", "-T", "fields", "-e",
                "frame.comment").splitlines()
    wanted = [want["comment"] for want in expected if want["comment"] != "-"]
    assert shown == wanted
    text = "\n".join(shown)
    for part in ("first packet from the debugger", "first packet from the target",
                 "bad checksum", "resynchronising", "the end"):
        assert part in text


def test_fake_frames_are_what_existing_scripts_read(folder):
    path, expected = record(folder, "pcap-udp")
    text = run(folder, "tshark", "-r", str(path), "-o", "udp.check_checksum:TRUE", "-o",
               "ip.check_checksum:TRUE", "-T", "fields", "-e", "ip.src", "-e", "udp.srcport", "-e",
               "ip.dst", "-e", "udp.dstport", "-e", "udp.payload", "-e", "frame.time_epoch", "-e",
               "udp.checksum.status", "-e", "ip.checksum.status", "-e", "eth.src.ig", "-e",
               "eth.src.lg")
    ends = (["192.168.0.2", "51111", "192.168.0.1", "51112"],
            ["192.168.0.1", "51112", "192.168.0.2", "51111"])
    seen = [line.split("\t") for line in text.splitlines()]
    wanted = [want for want in expected if want["payload"]]  # no place for a comment alone
    assert len(seen) == len(wanted)
    for fields, want in zip(seen, wanted):
        assert fields[:4] == ends[want["direction"]]
        assert fields[4].replace(":", "") == want["payload"]
        assert nanoseconds(fields[5]) == want["time"]
        assert fields[6:8] == ["1", "1"]  # checksums good
        assert fields[8:10] == ["0", "1"]  # unicast, locally administered


def test_fake_frames_raise_no_expert_warning(folder):
    path, _ = record(folder, "pcap-udp")
    text = run(folder, "tshark", "-r", str(path), "-q", "-z", "expert,warn")
    assert "Warn" not in text and "Error" not in text


def test_capinfos_shows_the_session(folder):
    path, expected = record(folder, "upper-pdu")
    text = run(folder, "capinfos", str(path))
    for part in ("kdwire test", "a made-up session", "nanoseconds (9)", "Name = debugger",
                 "Name = target", "unix-listen:kd.sock", "tcp:localhost:7001",
                 f"Number of packets:   {len(expected)}"):
        assert part in text


@pytest.mark.parametrize("form", ["upper-pdu", "pcap-udp"])
def test_a_file_cut_in_the_middle_is_still_read(folder, form):
    path, expected = record(folder, form)
    whole = path.read_bytes()
    cut = folder / "cut.capture"
    cut.write_bytes(whole[:len(whole) // 2])
    cut.chmod(0o644)
    done = subprocess.run([*as_user(folder), "tshark", "-r", str(cut), "-T", "fields", "-e",
                           "frame.number"], stdin=subprocess.DEVNULL, timeout=WAIT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    count = len(done.stdout.splitlines())
    assert 0 < count < len(expected)
    assert "cut short" in done.stderr


@pytest.mark.parametrize("form", ["upper-pdu", "pcap-udp"])
def test_tshark_reads_a_live_fifo(folder, form):
    if not shutil.which("dumpcap"):
        pytest.skip("dumpcap is not installed")
    fifo = folder / "live"
    os.mkfifo(fifo)
    fifo.chmod(0o644)
    reader = subprocess.Popen([*as_user(folder), "tshark", "-i", str(fifo), "-T", "fields", "-e",
                               "frame.time_epoch"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        writer = subprocess.run([PROGRAM, form, "5", "40", fifo], check=True, timeout=WAIT,
                                stdout=subprocess.PIPE, text=True)
        shown, errors = reader.communicate(timeout=WAIT)
    finally:
        reader.kill()
        reader.wait()
    wanted = [want["time"] for want in expected_records(writer.stdout)
              if form == "upper-pdu" or want["payload"]]
    assert [nanoseconds(line) for line in shown.splitlines()] == wanted, errors
