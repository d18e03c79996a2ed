# SPDX-License-Identifier: BSD-2-Clause
"""The Wireshark plugin through tshark: a real WinDbg session over KDNET, the same session in every
other form KD comes in, our own recording against its golden file, damage, keys, taps."""
import gzip
import hashlib
import hmac
import json
import random
import re
import struct
import subprocess
import xml.etree.ElementTree as xml

import pytest

from relay_ends import KDWIRE
from test_kdnet import KEY as OWN_KEY, Relay, debug, kdnet_port, sim
from wireshark_run import (CAPTURES, KEY, LUA, MUTATED, MUTATED_OPTIONS, OWN_CAPTURES, OWN_NAMES, PLUGIN,
                           TcpTalk, Tshark, cut, digests, flatten, open_folder, own_capture, packet,
                           packets_of, pcapng, real_packets, recorded_packets, tshark_version, udp,
                           upper_pdu)

pytestmark = pytest.mark.skipif(not PLUGIN, reason="the plugin is not built")

LINK_USER0, LINK_RAW_IP, LINK_UPPER_PDU = 147, 101, 252
KEY_OPTION = ["-o", f"kdnet.key:{KEY}"]


@pytest.fixture(scope="module")
def base():
    with open_folder() as folder:
        yield folder


@pytest.fixture
def tmp_path():
    with open_folder() as folder:
        yield folder


@pytest.fixture
def folder(tmp_path):
    """Where tshark may write."""
    Tshark.give(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def tshark(base):
    home = base / "home"
    home.mkdir()
    return Tshark(home)


@pytest.fixture(scope="module")
def real(base):
    packed = CAPTURES / "windbg-uncut.pcapng.gz"
    if not packed.exists():
        pytest.skip(f"the real capture is not at {packed}")
    path = base / "windbg-uncut.pcapng"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return path


@pytest.fixture(scope="module")
def real_frames(tshark, real):
    return tshark.layers(real, *KEY_OPTION)


# ---- the real session ----

def test_every_datagram_of_a_real_session_opens(real_frames):
    assert len(real_frames) == 955
    assert [kdnet["kdnet.authentic"] for _, kdnet in real_frames] == ["1"] * 955
    assert sum(len(kd) for kd, _ in real_frames) == 526


def test_real_session_as_a_whole(real_frames):
    """Compared by digests: the capture, and so what is in it, is not ours to publish. After a change
    that means to change what is shown, tools/golden writes them anew."""
    golden = (OWN_CAPTURES / "windbg-uncut.digests").read_text()
    assert digests(real_frames).splitlines() == golden.splitlines()


def test_values_that_the_sheet_gives(real_frames):
    def one(frame, **conditions):
        flat = flatten(real_frames[frame - 1][0][0])
        for name, value in conditions.items():
            assert flat["kd." + name.replace("__", ".")] == [value], (frame, name)
    one(12, getversion__majorversion="0x040f", getversion__minorversion="10586",
        getversion__machinetype="0x8664", getversion__kernbase="0x000000000096f000",
        getversion__psloadedmodulelist="0x0000000000ad5e60")
    one(8, loadsymbols__baseofdll="0x000000000096f000", text="winload.efi",
        controlreportamd64__dr6="0x00000000fffe0ff0")
    one(378, exception__exceptioncode="0x80000003", statechange__programcounter="0x00000000009cf07e")
    assert flatten(real_frames[377][0][0])["kd.location"] == ["winload.efi+0x6007e",
                                                              "winload.efi+0x6007d"]
    one(28, dosheader__signature="MZ", dosheader__imageheader="0x000000e8")
    one(32, peheader64__machine="0x8664", peheader64__sizeofimage="0x0017d000")
    one(24, text="\\Windows\\system32\\winload.efi")
    go = flatten(real_frames[949][0][0])
    assert go["kd.continue2amd64.traceflag"] == ["0"]
    assert go["kd.continue2amd64.dr7"] == ["0x0000000000000400"]
    assert go["kd.continue2amd64.currentsymbolstart"] == ["0x0000000000000001"]


def covered(element, start, size):
    """Which bytes of an element's SIZE bytes at START its fields account for."""
    seen = bytearray(size)
    for field in element.iter("field"):
        if len(field) or int(field.get("size")) == 0:
            continue
        at = int(field.get("pos")) - start
        length = int(field.get("size"))
        assert 0 <= at and at + length <= size, field.get("name")
        seen[at:at + length] = b"\1" * length
    return seen


def assert_covered(tshark, path, packets, *options):
    text = tshark.run("-r", path, *options, "-T", "pdml", "-J", "kd")
    protocols = [p for p in xml.fromstring(text).iter("proto") if p.get("name") == "kd"]
    assert len(protocols) == packets
    for protocol in protocols:
        size = int(protocol.get("size"))
        assert all(covered(protocol, int(protocol.get("pos")), size)), protocol.get("showname")


def test_every_byte_of_a_real_session_belongs_to_a_field(tshark, real):
    assert_covered(tshark, real, 526, *KEY_OPTION)


@pytest.mark.parametrize("name", OWN_NAMES)
def test_every_byte_of_our_recordings_belongs_to_a_field(tshark, tmp_path, name):
    path = own_capture(name, tmp_path)
    assert_covered(tshark, path, sum(len(kd) for kd, _ in golden_frames(name)))


@pytest.mark.parametrize("machine", [0x8664, 0x14C, 0xAA64])
def test_every_byte_of_every_message_belongs_to_a_field(tshark, tmp_path, machine):
    talk = talk_of(machine)
    assert_covered(tshark, records(tmp_path, *talk), len(talk))


def test_what_the_real_session_is_made_of(tshark, real):
    """The counts that were taken from it by hand."""
    types = tshark.column(real, "kd.packetheader.packettype", *KEY_OPTION)
    count = {name: types.count(name) for name in set(types)}
    assert count == {"": 429, "0x0004": 259, "0x0002": 187, "0x000b": 66, "0x0003": 7, "0x0007": 3,
                     "0x0005": 2, "0x0006": 2}
    kinds, hosts, ids, directions = tshark.columns(
        real, "kdnet.control.kind", "kdnet.check.host", "kd.packetheader.packetid", "kdnet.direction",
        options=KEY_OPTION)
    assert (kinds.count("1"), kinds.count("2")) == (427, 1)
    assert hosts[2] == "192.168.2.1" and hosts.count("") == 954
    assert (directions.count("0"), directions.count("1")) == (427 + 265, 1 + 262)
    data = [int(one, 0) for one, kind, way in zip(ids, types, directions)
            if way == "1" and kind in ("0x0002", "0x000b")]
    assert data[0] == 0x80000000 and sorted(set(data)) == list(range(data[0], data[-1] + 1, 2))


def test_links_of_a_real_session(real_frames):
    def frames(condition):
        return [n for n, one in enumerate(packets, 1) if one and condition(one[0])]
    packets = [[flatten(packet_) for packet_ in kd] for kd, _ in real_frames]
    requests = frames(lambda p: p.get("kd.role") == ["request"])
    assert len(requests) == 125
    assert frames(lambda p: "kd.reply_in" in p) == requests
    assert frames(lambda p: "kd.request_in" in p) == frames(
        lambda p: p.get("kd.role") == ["reply"])
    # the one reply that WinDbg lost, so that nothing acknowledges it, and what followed
    assert frames(lambda p: p["kd.packetheader.leader"] == ["0x30303030"]
                  and "kd.acknowledged_in" not in p) == [196]
    assert frames(lambda p: "kd.retransmission_of" in p) == [6, 199, 204]
    assert frames(lambda p: p["kd.packetheader.packettype"] == ["0x0004"]
                  and "kd.acknowledges" not in p) == []
    assert frames(lambda p: "kd.stop_time" in p) == [8, 234, 378, 950, 952, 954]


def test_values_agree_with_kdwire_decode(tshark, real, folder):
    decrypted = folder / "decrypted.pcapng"
    tshark.run("-r", real, *KEY_OPTION, "-U", "KD (decrypted)", "-w", decrypted)
    assert compare_with_decode(tshark, decrypted) == 526


# ---- kdwire decode --json against tshark -T json ----

def same_value(theirs, ours):
    if isinstance(theirs, int):
        return theirs == int(ours, 0)
    if theirs.startswith("0x") and ":" not in ours:
        return int(theirs, 16) == int(ours, 0)
    # Wireshark's texts end at a NUL
    return theirs == ours.replace(":", "") or theirs.rstrip("\0") == ours


def expected_fields(item):
    """(field, value) for everything `kdwire decode --json` says of a packet, as the plugin names
    it; the fixed part's fields are known by their own name alone."""
    for name, value in item.get("header", {}).items():
        yield "kd.packetheader." + name.lower(), value
    for name, value in item.get("fields", {}).items():
        yield "", (name.lower(), value)
    for structure, members in item.get("data", {}).items():
        for one in members if isinstance(members, list) else [members]:
            if not isinstance(one, dict):
                continue
            for name, value in one.items():
                if isinstance(value, dict):
                    for inner, number in value.items():
                        yield "kd.fxsave." + inner.lower(), number
                else:
                    yield f"kd.{structure.lower()}.{name.lower()}", value
    texts = [name for name in ("text", "component", "command") if name in item.get("data", {})]
    for name in texts:
        yield "kd." + name, item["data"][name]
    if not texts and "hex" in item.get("data", {}):
        yield "kd.data." + item["data"]["kind"].replace("-", "_"), item["data"]["hex"]


def fixed_field(shown, structures, name):
    """A field of the body's fixed part, which kdwire decode names without its structure."""
    found = [f"kd.{one.lower()}.{name}" for one in structures
             if shown.get(f"kd.{one.lower()}.{name}")]
    return found[0] if found else None


def compare_item(item, shown):
    for name, value in expected_fields(item):
        if not name:
            short, value = value
            name = fixed_field(shown, item["structures"], short)
            if not name:
                assert re.search("names?$", short), (short, shown)  # explains a number
                continue
        if name not in shown and re.search("names?$", name):
            continue
        for one in value if isinstance(value, list) else [value]:
            ours = shown[name].pop(0)
            assert same_value(one, ours), (name, one, ours)
    left = [name for name, values in shown.items() if values and re.fullmatch(
        r"kd\.(?!data\.|expert\.)\w+\.\w+", name)]
    assert not left, left


def compare_with_decode(tshark, path):
    done = subprocess.run([KDWIRE, "decode", "--json", path], capture_output=True, text=True,
                          check=True)
    items = [json.loads(line) for line in done.stdout.splitlines()]
    items = [item for item in items if item.get("kind") == "packet"]
    packets = [p for p in packets_of(tshark.layers(path)) if "kd.packetheader.leader" in p]
    assert len(items) == len(packets)
    for item, shown in zip(items, packets):
        compare_item(item, {name: list(values) for name, values in shown.items()})
    return len(items)


# ---- the same session in other forms ----

@pytest.fixture(scope="module")
def reference(base, tshark, own_packets):
    path = base / "records.pcapng"
    pcapng(path, LINK_UPPER_PDU, [(upper_pdu(p, down), 0) for p, down in own_packets])
    return packets_of(tshark.layers(path))


@pytest.fixture(scope="module")
def own_packets():
    """The real session where it is, else ours."""
    if (CAPTURES / "windows-kdnet").is_dir():
        return real_packets()
    return recorded_packets(OWN_CAPTURES / "session.pcapng")


def by_sender(packets):
    return [[p for p in packets if p["kd.direction"] == [way]] for way in ("1", "2")]


# What depends on the order of the two directions: where known structures and names begin.
def without_session(packets):
    keep = re.compile(r"kd\.(packetheader|manipulate|statechange|debugio|fileio|getversion)\.")
    return [[{k: v for k, v in p.items() if keep.match(k)} for p in side]
            for side in by_sender(packets)]


def test_records_without_trailer_and_user0(tshark, tmp_path, own_packets, reference):
    bare = [(p[:-1] if p[:4] == b"0000" else p, down) for p, down in own_packets]
    shown = packets_of(tshark.layers(pcapng(
        tmp_path / "bare.pcapng", LINK_USER0, [(p, 2 if down else 1) for p, down in bare]),
        "-o", 'uat:user_dlts:"User 0 (DLT=147)","kd","0","","0",""'))
    expected = [{k: v for k, v in p.items() if k != "kd.trailer"} for p in reference]
    assert shown == expected


def test_fake_udp(tshark, tmp_path, own_packets, reference):
    path = pcapng(tmp_path / "udp.pcapng", LINK_RAW_IP, [(udp(p, d), 0) for p, d in own_packets])
    assert packets_of(tshark.layers(path)) == reference


@pytest.mark.parametrize("passes", ["-2", None])
def test_tcp_cut_at_random_places(tshark, tmp_path, own_packets, reference, passes):
    talk = TcpTalk()
    for piece, down in cut(own_packets, 1, 1400):
        talk.send(piece, down)
    path = pcapng(tmp_path / "tcp.pcapng", LINK_RAW_IP, talk.records)
    shown = packets_of(tshark.layers(path, "-d", "tcp.port==7001,kd", passes=passes))
    assert without_session(shown) == without_session(reference)


@pytest.mark.parametrize("passes", ["-2", None])
def test_raw_pieces_in_records(tshark, tmp_path, own_packets, reference, passes):
    pieces = cut(own_packets, 2, 60)
    path = pcapng(tmp_path / "raw.pcapng", LINK_UPPER_PDU,
                  [(upper_pdu(p, d, b"kd_stream"), 0) for p, d in pieces])
    assert without_session(packets_of(tshark.layers(path, passes=passes))) == \
        without_session(reference)


def test_tcp_is_found_by_itself(tshark, tmp_path):
    """No Decode As: the first whole packet gives the conversation away."""
    talk = TcpTalk()
    talk.send(packet(6, 0), True)
    talk.send(b"b", True)
    path = pcapng(tmp_path / "tcp.pcapng", LINK_RAW_IP, talk.records)
    shown = packets_of(tshark.layers(path))
    assert [p.get("kd.packetheader.packettype") for p in shown] == [["0x0006"], None]
    assert shown[1]["kd.break_in"] == ["0x62"]


def test_a_target_that_connects_is_still_the_target(tshark, tmp_path):
    """QEMU may connect out: the side that prints is the target, whoever connected."""
    talk = TcpTalk()
    text = b"hello"
    talk.send(packet(3, 0x80800000, struct.pack("<IHHII", 0x3230, 6, 0, len(text), 0) + text), True)
    talk.send(packet(4, 0x80800000), False)
    path = pcapng(tmp_path / "tcp.pcapng", LINK_RAW_IP, talk.records)
    assert [p["kd.direction"] for p in packets_of(tshark.layers(path))] == [["2"], ["1"]]


# ---- our own recording ----

def golden_frames(name):
    """As of Tshark.layers."""
    golden = json.loads(gzip.decompress((OWN_CAPTURES / f"{name}.json.gz").read_bytes()))
    return [(kd, None) for kd in golden]


@pytest.mark.parametrize("name", OWN_NAMES)
def test_own_recording_against_its_golden_file(tshark, tmp_path, name):
    """After a change that means to change what is shown, tools/golden writes the file anew."""
    frames = tshark.layers(own_capture(name, tmp_path))
    golden = golden_frames(name)
    assert len(frames) == len(golden)
    for number, ((kd, _), (expected, _)) in enumerate(zip(frames, golden), 1):
        assert kd == expected, f"frame {number}"


@pytest.mark.parametrize("name", OWN_NAMES)
def test_own_recording_agrees_with_kdwire_decode(tshark, tmp_path, name):
    assert compare_with_decode(tshark, own_capture(name, tmp_path)) > 100


def every_message():
    """Each API number of every packet type, both ways, with bytes that differ everywhere."""
    def filled(size, seed):
        return bytes((seed * 37 + i * 11) % 251 for i in range(size))
    for api in range(0x3130, 0x3166):
        for down, extra in [(True, 0), (False, 0), (True, 24), (False, 24)]:
            body = struct.pack("<IHHII", api, 6, 0, 0, 0) + filled(40 + extra, api)
            yield packet(2, 0x80800000, body), down
    for state in (0x3030, 0x3031, 0x3032, 0x3033, 0x13030, 0x13031):
        text = b"name\0.echo hello\0" if state == 0x3032 else b"sys\\a.sys\0"
        body = struct.pack("<IHHII", state, 6, 1, 2, 0) + filled(224, state) + text
        yield packet(7, 0x80800000, body), False
    for kind, api, size in [(3, 0x3230, 16), (3, 0x3231, 16), (9, 0x3330, 64), (10, 0x4300, 16),
                            (10, 0x4301, 16), (11, 0x3430, 64), (11, 0x3431, 64),
                            (11, 0x3432, 64), (11, 0x3433, 64), (11, 0x3439, 64), (1, 0x3030, 64),
                            (12, 1, 32)]:
        for down in (False, True):
            text = "text ".encode("utf-16-le" if kind == 11 else "ascii")
            body = struct.pack("<I", api) + filled(size - 4, api) + text
            yield packet(kind, 0x80800000, body), down


def talk_of(machine):
    """Every message, as a target of that machine says it."""
    version = struct.pack("<HHBBHHBBBBHQQQ", 15, 9600, 6, 2, 7, machine, 12, 3, 0x31, 0, 0,
                          0xFFFFF80000000000, 0x1000, 0)
    return [(manipulate(VERSION, 0x80800000, version), False)] + [
        one for one in every_message() if not one[0][16:20] == struct.pack("<I", VERSION)]


@pytest.mark.parametrize("machine", [0x8664, 0x14C, 0xAA64, 0x1C4])
def test_every_message_agrees_with_kdwire_decode(tshark, tmp_path, machine):
    talk = talk_of(machine)
    path = records(tmp_path, *talk)
    assert compare_with_decode(tshark, path) == len(talk)
    assert "Malformed" not in tshark.run("-r", path, "-V")


# ---- keys ----

def poke_only(tshark, real, *options):
    return tshark.column(real, "_ws.col.Info", *options, "-c", "8")


def test_no_key_and_wrong_key_are_said(tshark, real):
    assert poke_only(tshark, real)[0] == "control: encrypted, no key is set"
    wrong = poke_only(tshark, real, "-o", "kdnet.key:8.8.8.9")
    assert wrong[0] == "control: encrypted, no key fits"
    assert wrong[3] == "data: encrypted, no key fits"
    experts = tshark.column(real, "_ws.expert.message", "-o", "kdnet.key:8.8.8", "-c", "1")
    assert "A key in the preferences is not valid" in experts[0]


def test_keys_by_list_port_and_file(tshark, real, folder):
    good = "poke: the target looks for its debugger"
    assert poke_only(tshark, real, "-o", "kdnet.key:1.2.3.4 8.8.8.8")[0] == good
    by_port = 'uat:kdnet_keys:"51111","8.8.8.8"'
    assert poke_only(tshark, real, "-o", by_port)[0] == good
    other = 'uat:kdnet_keys:"50000","8.8.8.8"'
    assert poke_only(tshark, real, "-o", other)[0] == "control: encrypted, no key fits"
    keys = folder / "keys.txt"
    keys.write_text("# the lab\n50000 1.1.1.1\n51111 8.8.8.8  # the laptop\n")
    tshark.give(folder)
    assert poke_only(tshark, real, "-o", f"kdnet.key_file:{keys}")[0] == good


def test_keys_inside_the_capture(tshark, tmp_path, monkeypatch):
    """What `kdwire relay --record-key` puts into a file opens it, with no key set."""
    monkeypatch.setenv("KDWIRE_KDNET_KEY", OWN_KEY)
    wire = tmp_path / "wire.pcapng"
    with Relay("tcp-listen:0", "kdnet-host:port=0", "--record-datagrams", f"{wire}",
               "--record-key") as relay:
        with sim(f"kdnet-target:host=127.0.0.1,port={kdnet_port(relay, 'target')}"):
            relay.wait("up", "target")
            debug(f"tcp:127.0.0.1:{relay.port('debugger')}", "r; qd")
        relay.stop()
    wire.chmod(0o644)
    info = tshark.column(wire, "_ws.col.Info")
    assert len(info) > 20
    if tshark_version() < "4.4":
        assert all("encrypted, no key is set" in line for line in info)
        pytest.skip("before 4.4, Wireshark gives no plugin the secrets of a file")
    assert set(tshark.column(wire, "kdnet.authentic")) <= {"1", "True"}
    assert any("GetContext" in line for line in info)


def test_a_response_late_in_the_capture_opens_what_came_before(tshark, real, folder):
    """Frame 2 is the response. With it behind the data, as after mergecap of parts in the wrong
    order, the second pass opens all."""
    parts = [folder / f"{n}.pcapng" for n in ("data", "response")]
    subprocess.run(["editcap", "-r", real, parts[0], "3-60"], check=True)
    subprocess.run(["editcap", "-r", real, parts[1], "2"], check=True)
    joined = folder / "joined.pcapng"
    subprocess.run(["mergecap", "-a", "-w", joined, *parts], check=True)
    opened = tshark.column(joined, "kdnet.authentic", "-2", *KEY_OPTION)
    assert len(opened) == 59 and set(opened) <= {"1", "True"}  # "True": from 4.4 on
    without = tshark.column(parts[0], "_ws.expert.message", "-2", *KEY_OPTION)
    assert all("No key fits" in m or "No session key" in m for m in without)


def test_damage_and_replay(tshark, real, folder):
    first = folder / "first.pcapng"
    subprocess.run(["editcap", "-r", real, first, "1-8"], check=True)
    again = folder / "again.pcapng"
    subprocess.run(["editcap", "-r", real, again, "4"], check=True)
    joined = folder / "joined.pcapng"
    subprocess.run(["mergecap", "-a", "-w", joined, first, again], check=True)
    assert "does not rise" in tshark.column(joined, "_ws.expert.message", *KEY_OPTION)[-1]
    data = bytearray(first.read_bytes())
    at = data.rfind(b"MDBG") + 40
    data[at] ^= 1
    first.write_bytes(data)
    messages = tshark.column(first, "_ws.expert.message", *KEY_OPTION)
    assert "Not authentic" in messages[-1]
    assert "Not authentic" not in messages[-2]


# ---- what a session's links and warnings are made of ----

def manipulate(api, packet_id, union=b"", data=b"", status=0):
    body = struct.pack("<IHHII", api, 6, 0, status, 0) + union.ljust(40, b"\0") + data
    return packet(2, packet_id, body)


READ, VERSION = 0x3130, 0x3146


def records(tmp_path, *packets):
    return pcapng(tmp_path / "made.pcapng", LINK_UPPER_PDU,
                  [(upper_pdu(raw, down), 0) for raw, down in packets])


def test_warnings(tshark, tmp_path):
    good = manipulate(READ, 0x80800000, struct.pack("<QI", 0x1000, 16))
    bad_sum = bytearray(good)
    bad_sum[12] ^= 1
    path = records(
        tmp_path,
        (bytes(bad_sum), True), (good[:-1] + b"\xab", True), (good[:40], True),
        (b"SeaBIOS (version", False), (b"b", True), (packet(6, 0), True),
        (good, True), (manipulate(VERSION, 0x80800001), True),
        (manipulate(VERSION, 0x80800000, status=0xC0000001), False))
    messages, unanswered = tshark.columns(path, "_ws.expert.message", "kd.unanswered")
    expected = ["The checksum is wrong: the header says", "No trailer byte", "never came",
                "belong to no packet", "Break-in", "Reset", "No reply in this", "was not answered",
                "The request failed"]
    assert all(e in m for e, m in zip(expected, messages, strict=True)), messages
    assert unanswered[7] == "7"


def test_resend_storm(tshark, tmp_path):
    again = [(manipulate(VERSION, 0x80800000), True), (packet(5, 0), False)] * 6
    storms = tshark.column(records(tmp_path, *again), "_ws.expert.message")
    assert ["Resend storm" in m for m in storms] == [False] * 8 + [True] * 4


def test_replies_find_their_requests_across_other_packets(tshark, tmp_path):
    """A print between request and reply, and a reply that is sent twice."""
    text = b"printed in between"
    printed = packet(3, 0x80800001, struct.pack("<IHHII", 0x3230, 6, 0, len(text), 0) + text)
    reply = manipulate(VERSION, 0x80800000)
    path = records(tmp_path, (manipulate(VERSION, 0x80800000), True), (packet(4, 0x80800000), False),
                   (printed, False), (packet(4, 0x80800001), True), (reply, False), (reply, False))
    assert tshark.columns(path, "kd.reply_in", "kd.request_in", "kd.retransmission_of") == [
        ["5", "", "", "", "", ""], ["", "", "", "", "1", "1"], [""] * 5 + ["5"]]


def test_ids_that_alternate_are_no_retransmissions(tshark, tmp_path):
    """On a serial line every other packet has the same id."""
    talk = []
    for number in range(4):
        talk.append((manipulate(READ, 0x80800000 ^ number & 1,
                                struct.pack("<QI", 0x1000 * number, 16)), True))
        talk.append((packet(4, 0x80800000 ^ number & 1), False))
    path = records(tmp_path, *talk)
    assert tshark.columns(path, "kd.retransmission_of", "kd.acknowledges") == [
        [""] * 8, ["", "1", "", "3", "", "5", "", "7"]]


def test_a_data_packet_of_an_acknowledgements_type_acknowledges_nothing(tshark, tmp_path):
    path = records(tmp_path, (manipulate(VERSION, 0x80800000), True),
                   (packet(4, 0x80800000, b"no ACK"), False), (packet(5, 0), False))
    assert tshark.columns(path, "kd.acknowledged_in", "kd.resend_of") == [[""] * 3, ["", "", "1"]]


def load(name, base, size, unload=0):
    path = name + b"\0"
    body = struct.pack("<IHHIIQQ", 0x3031, 6, 0, 1, 0, 0, base) + struct.pack(
        "<IIQQIIB", len(path), 0, base, 0, 0, size, unload)
    return packet(7, 0x80800000, body.ljust(240, b"\0") + path)


def test_modules_come_and_go(tshark, tmp_path):
    """A name is shown while the module is loaded, and not for an address outside it."""
    def read(address):
        return manipulate(READ, 0x80800000, struct.pack("<QI", address, 4)), True
    path = records(tmp_path, read(0x5010), (load(b"\\Windows\\a.sys", 0x5000, 0x100), False),
                   read(0x5010), read(0x5100), (load(b"", 0x5000, 0, 1), False), read(0x5014),
                   (load(b"b.sys", 0x5000, 0x100), False), read(0x5000))
    locations = tshark.column(path, "kd.location", "-2")
    assert [one.split(",")[-1] for one in locations] == [
        "", "a.sys", "a.sys+0x10", "", "a.sys", "", "b.sys", "b.sys"]


def test_the_closest_module_below_an_address(tshark, lua, tmp_path):
    """One module inside another, one that came where small ones were, and many loads of the same."""
    def read(address):
        return manipulate(READ, 0x80800000, struct.pack("<QI", address, 4)), True
    small = [(load(b"small%d.sys" % n, 0x10000 + n * 0x100, 0x100), False) for n in range(40)]
    gone = [(load(b"", 0x10000 + n * 0x100, 0, 1), False) for n in range(40)]
    again = [(load(b"again.sys", 0x90000, 0x1000 + n), False) for n in range(300)]
    path = records(tmp_path, *small, read(0x12710), *gone, read(0x12710),
                   (load(b"outer.sys", 0xF000, 0x10000), False), read(0x12710),
                   (load(b"inner.sys", 0x12000, 0x1000), False), read(0x12710), read(0x13010),
                   *again, read(0x90010))
    for program in (tshark, lua):
        names = [where for what, where in zip(*program.columns(path, "kd.message", "kd.location"))
                 if what == "ReadVirtualMemory"]
        assert names == ["small39.sys+0x10", "", "outer.sys+0x3710", "inner.sys+0x710",
                         "outer.sys+0x4010", "again.sys+0x10"]


def test_x86_and_arm64_contexts_follow_the_machine(tshark, tmp_path):
    for machine, size, field in [(0x14C, 716, "kd.contextx86.eip"),
                                 (0xAA64, 912, "kd.contextarm64.pc"),
                                 (0x8664, 1232, "kd.contextamd64.rip")]:
        version = manipulate(VERSION, 0x80800000,
                             struct.pack("<HHBBHH", 15, 9600, 6, 0, 0, machine))
        context = manipulate(0x3132, 0x80800001, data=(bytes(range(256)) * 5)[:size])
        path = records(tmp_path, (version, False), (context, False))
        assert tshark.column(path, field)[1] != ""


# ---- statistics, follow, objects ----

def test_statistics(tshark, real):
    text = tshark.run("-r", real, *KEY_OPTION, "-q", "-z", "kd,stats")
    rows = {line.split("|")[0].strip(): [c.strip() for c in line.split("|")[1:]]
            for line in text.splitlines() if line.count("|") > 5}
    assert rows["ReadVirtualMemory"][:3] == ["88", "11104", "44"]
    assert rows["ReadVirtualMemory"][6] == "470"  # the slowest reply's frame
    assert rows["(target stopped)"][0] == "3" and float(rows["(target stopped)"][8]) > 99.9
    assert rows["ACKNOWLEDGE"][0] == "259"


def test_follow_shows_what_the_target_printed(tshark, real):
    text = tshark.run("-r", real, *KEY_OPTION, "-q", "-z", "follow,kd,ascii,0")
    assert text.count("BD: Boot Debugger Initialized") == 1
    assert "hal.chk.  It will be allowed to load" in text


def test_objects(tshark, real, folder):
    tshark.run("-r", real, *KEY_OPTION, "-q", "--export-objects", f"kd,{folder}")
    header = (folder / "memory-0x96f0e8.bin").read_bytes()
    assert header[:4] == b"PE\0\0" and len(header) == 624  # four reads that touch each other
    assert (folder / "debug-output.txt").read_text().startswith("BD: Boot Debugger Initialized\n")


def test_objects_join_reads_in_any_order_and_files(tshark, tmp_path, folder):
    def read(address, data):
        union = struct.pack("<QII", address, len(data), len(data))
        return manipulate(READ, 0x80800000, union, data), False
    name = "\\SystemRoot\\drivers\\my.sys\0".encode("utf-16-le")
    def file_io(api, union, data=b"", down=True):
        return packet(11, 0x80800000, struct.pack("<II", api, 0) + union.ljust(56, b"\0")
                      + data), down
    path = records(
        tmp_path, read(0x2000, b"cc"), read(0x1FFE, b"bb"), read(0x1FFC, b"aaB"),
        read(0x9000, b"elsewhere"),
        file_io(0x3430, b"", name, False), file_io(0x3430, bytes(24) + struct.pack("<QQ", 7, 6)),
        file_io(0x3431, struct.pack("<QQI", 7, 3, 3), b"", False),
        file_io(0x3431, struct.pack("<QQI", 7, 3, 3), b"def"),
        file_io(0x3431, struct.pack("<QQI", 7, 0, 3), b"", False),
        file_io(0x3431, struct.pack("<QQI", 7, 0, 3), b"abc"))
    tshark.run("-r", path, "-q", "--export-objects", f"kd,{folder}")
    assert (folder / "memory-0x1ffc.bin").read_bytes() == b"aaBbcc"
    assert (folder / "memory-0x9000.bin").read_bytes() == b"elsewhere"
    assert (folder / "my.sys").read_bytes() == b"abcdef"
    assert len(list(folder.glob("memory-*"))) == 2


def test_a_late_read_joins_two_objects(tshark, tmp_path, folder):
    """The bytes of both are in one file, nothing old is left, and the next region takes the place."""
    def read(address, data):
        union = struct.pack("<QII", address, len(data), len(data))
        return manipulate(READ, 0x80800000, union, data), False
    path = records(tmp_path, read(0x1000, b"aaaa"), read(0x1008, b"cccc"), read(0x1004, b"bbbbC"))
    tshark.run("-r", path, "-q", "--export-objects", f"kd,{folder}")
    assert (folder / "memory-0x1000.bin").read_bytes() == b"aaaabbbbCccc"
    left = [one for one in folder.iterdir() if one.name.startswith(("memory", "joined"))]
    assert sorted(one.name for one in left) == ["joined-with-0x1000.txt", "memory-0x1000.bin"]
    assert (folder / "joined-with-0x1000.txt").stat().st_size == 0
    (folder / "more").mkdir()
    tshark.give(folder)
    path = records(tmp_path, read(0x1000, b"aaaa"), read(0x1008, b"cccc"), read(0x1004, b"bbbb"),
                   read(0x9000, b"next"))
    tshark.run("-r", path, "-q", "--export-objects", f"kd,{folder}/more")
    assert {one.name: one.read_bytes() for one in (folder / "more").iterdir()} == {
        "memory-0x1000.bin": b"aaaabbbbcccc", "memory-0x9000.bin": b"next"}


def test_conversations(tshark, real):
    text = tshark.run("-r", real, *KEY_OPTION, "-q", "-z", "conv,kd")
    assert re.search(r"192\.168\.2\.72 +<-> 192\.168\.2\.1 +262 .* 264 .* 526", text)


# ---- hostile input ----

def test_mutated_captures(tshark, tmp_path, own_packets):
    """Flipped, cut and doubled bytes: never a crash, and never Wireshark's own complaint about a
    dissector that read too far. fuzz/tshark.py does more of it."""
    chance = random.Random(3)
    for number, make in enumerate(MUTATED):
        path = make(tmp_path / f"{number}.pcapng", own_packets, 1000, chance)
        for passes in (["-2"], []):
            out = tshark.run("-r", path, *passes, "-V", "-z", "kd,stats", *MUTATED_OPTIONS)
            assert "Malformed" not in out and "Dissector bug" not in out


# ---- the Lua dissector ----

def lua_tshark(home, before=""):
    """tshark with our script instead of the plugin, behind what BEFORE defines."""
    if not LUA:
        pytest.skip("kdwire.lua is not built")
    home.mkdir()
    script = home / "kdwire.lua"
    script.write_text(before + LUA.read_text())
    return Tshark(home, plugin=None, lua=script)


@pytest.fixture(scope="module")
def lua(base):
    return lua_tshark(base / "lua-home")


def said_by_both(frames):
    """The fields of each KD packet, then those of each KDNET datagram; the plugin alone links them
    and has warnings about links."""
    return [{k: v for k, v in fields.items() if "expert" not in k and k != "kdnet.session_in"}
            for fields in packets_of(frames) + [flatten(kdnet or {}) for _, kdnet in frames]]


def assert_same_fields(tshark, lua, path, *options):
    """Returns what the plugin shows."""
    plugin, script = (one.layers(path, *options, passes=None) for one in (tshark, lua))
    assert packets_of(plugin)
    for number, (ours, theirs) in enumerate(zip(said_by_both(plugin), said_by_both(script),
                                                strict=True)):
        assert theirs == ours, number
    return plugin


@pytest.mark.parametrize("name", OWN_NAMES)
def test_lua_agrees_on_own_recording(tshark, lua, tmp_path, name):
    assert_same_fields(tshark, lua, own_capture(name, tmp_path))


def test_lua_agrees_on_a_real_session(tshark, lua, real, folder):
    decrypted = folder / "decrypted.pcapng"
    tshark.run("-r", real, *KEY_OPTION, "-U", "KD (decrypted)", "-w", decrypted)
    assert_same_fields(tshark, lua, decrypted)


def test_lua_agrees_on_tcp(tshark, lua, tmp_path, own_packets):
    talk = TcpTalk()
    for piece, down in cut(own_packets, 1, 1400):
        talk.send(piece, down)
    path = pcapng(tmp_path / "tcp.pcapng", LINK_RAW_IP, talk.records)
    assert_same_fields(tshark, lua, path, "-d", "tcp.port==7001,kd")


def test_lua_agrees_on_every_message(tshark, lua, tmp_path):
    """All machines in one capture: each GetVersion reply changes what follows."""
    talk = [one for machine in (0x8664, 0x14C, 0xAA64, 0x1C4) for one in talk_of(machine)]
    assert_same_fields(tshark, lua, records(tmp_path, *talk))


def test_lua_says_that_it_cannot_decrypt(lua, real):
    """Or decrypts, where Wireshark's Lua has a cipher (4.6)."""
    message, authentic = lua.columns(real, "_ws.expert.message", "kdnet.authentic",
                                     options=[*KEY_OPTION, "-c", "1"])
    assert "no cipher" in message[0] or authentic in (["1"], ["True"])


# What the Lua script asks of the module luagcrypt, where Wireshark's own Lua has no cipher (before
# 4.6) and Debian has no such package.
LUAGCRYPT = """
package.preload.luagcrypt = function()
    local function hex(text)
        return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
    end
    local Cipher = {}
    Cipher.__index = Cipher
    function Cipher:setkey(key) self.key = hex(key) end
    function Cipher:setiv(vector) self.vector = hex(vector) end
    function Cipher:decrypt(text)
        local name = os.tmpname()
        local file = assert(io.open(name, "wb"))
        file:write(text)
        file:close()
        local pipe = assert(io.popen("openssl enc -d -aes-256-cbc -nopad -K " .. self.key ..
                                     " -iv " .. self.vector .. " -in " .. name))
        local plain = pipe:read("*a")
        pipe:close()
        os.remove(name)
        return plain
    end
    return {CIPHER_AES256 = 9, CIPHER_MODE_CBC = 3,
            Cipher = function() return setmetatable({}, Cipher) end}
end
"""


@pytest.fixture(scope="module")
def deciphering_lua(base):
    return lua_tshark(base / "deciphering-home", LUAGCRYPT)


MADE_KEY, MADE_KEY_BYTES = "1.2.3.4", struct.pack("<4Q", 1, 2, 3, 4)


def datagram(payload, to_target, channel=1, key=MADE_KEY_BYTES, last=None):
    """A KDNET datagram made without kdwire. LAST: of the data header, if not what is right."""
    padding = -(8 + len(payload)) % 16
    last = last if last is not None else to_target << 7 | padding
    clear = b"MDBG" + bytes([4, channel])
    plain = bytes(6) + b"\1" + bytes([last]) + payload + bytes(padding)
    tag = hmac.digest(bytes(b ^ 0xFF for b in MADE_KEY_BYTES), clear + plain, "sha256")[:16]
    secret = subprocess.run(["openssl", "enc", "-e", "-aes-256-cbc", "-nopad", "-K", key.hex(),
                             "-iv", tag.hex()], input=plain, capture_output=True, check=True).stdout
    return udp(clear + secret + tag, to_target), 0


def authentic(frames):
    return sum(kdnet["kdnet.authentic"] in ("1", "True") for _, kdnet in frames)


def test_lua_agrees_on_the_datagrams_of_a_real_session(tshark, deciphering_lua, real):
    """Pokes, a response, the connection check and KD packets."""
    options = [*KEY_OPTION, "-c", "20"]
    assert authentic(assert_same_fields(tshark, deciphering_lua, real, *options)) == 20


def test_lua_agrees_on_control_payloads(tshark, deciphering_lua, tmp_path):
    """Of every kind, of sizes that they do not have, with padding that cannot be; and only what the
    debugger sends begins a session."""
    def filled(size, first=1, kind=1):
        return bytes([first, kind]) + bytes(i * 7 % 251 for i in range(size - 2))
    response, reflected = filled(322, kind=2), filled(322, kind=2)[:-1] + b"\xff"
    session, no_session = (hashlib.sha256(MADE_KEY_BYTES + one).digest()
                           for one in (response, reflected))
    talk = manipulate(VERSION, 0x80800000)[:-1]
    path = pcapng(tmp_path / "datagrams.pcapng", LINK_RAW_IP, [
        datagram(filled(344), False), datagram(filled(34), False), datagram(filled(35), False),
        datagram(filled(344, first=2), False), datagram(filled(322), False),
        datagram(filled(344, kind=2), True), datagram(filled(33, kind=3), True),
        datagram(b"\1", True), datagram(b"", False), datagram(filled(34), False, last=0x76),
        datagram(filled(8), False, last=0x0F), datagram(b"", False, last=0x09),
        datagram(response, True), datagram(reflected, False),
        datagram(bytes(8) + b"\1\2\xa8\xc0", False, 0, session),
        datagram(talk, True, 0, session), datagram(talk, True, 0, no_session),
        datagram(talk, True, 0, session, last=0xF0)])
    options = ["-o", f"kdnet.key:{MADE_KEY}"]
    assert authentic(assert_same_fields(tshark, deciphering_lua, path, *options)) == 15
