# SPDX-License-Identifier: BSD-2-Clause
"""What the Wireshark tests share: tshark as an ordinary user with our plugin or Lua script, captures
made of packets, and fields out of tshark's JSON."""
import contextlib
import gzip
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import tempfile

from relay_ends import KDWIRE, Recording, blocks

ROOT = pathlib.Path(__file__).resolve().parents[2]
CAPTURES = pathlib.Path(os.environ.get("KDWIRE_CAPTURES", ROOT.parent / "shared/captures"))
OWN_CAPTURES = ROOT / "tests/captures"
NOBODY = 65534
KEY = "8.8.8.8"  # of the real capture
# Recordings of our own, each with what the plugin shows of it: a simulated machine with faults on the
# wire, and windbg.efi in QEMU with a break-in, a breakpoint, steps, memory and an MSR.
OWN_NAMES = ("session", "firmware")


def built(name):
    """What was just built: dist/ may hold an older build. None: it is not."""
    path = pathlib.Path(os.environ.get("KDWIRE_BUILD", ROOT / "build/linux")) / name
    return path if path.exists() else None


PLUGIN = built("wireshark/kdwire.so")
LUA = built("wireshark/kdwire.lua")


@contextlib.contextmanager
def open_folder():
    """A temporary folder that others may read: pytest's are open to their owner only."""
    with tempfile.TemporaryDirectory(prefix="kdwire-wireshark-") as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


def tshark_version():
    words = subprocess.run(["tshark", "--version"], capture_output=True, text=True).stdout.split()
    return ".".join(words[2].split(".")[:2])


def install_extcap(home):
    """kdwire in the interface list, where 4.0 and where later ones look."""
    for place in (".config/wireshark/extcap", ".local/lib/wireshark/extcap"):
        (home / place).mkdir(parents=True)
        shutil.copy(KDWIRE, home / place / "kdwire-extcap")


class Tshark:
    """tshark with a home of its own. Started by root, Wireshark ignores personal plugins: then it
    runs as nobody."""

    def __init__(self, home, plugin=PLUGIN, lua=None):
        self.home, self.lua = home, lua
        if plugin:
            folder = home / f".local/lib/wireshark/plugins/{tshark_version()}/epan"
            folder.mkdir(parents=True)
            shutil.copy(plugin, folder / "kdwire.so")
        self.prefix = []
        if os.getuid() == 0:
            self.prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        self.give(home)

    @staticmethod
    def give(path):
        """Lets the user that tshark runs as write there."""
        for one in [path, *path.rglob("*")] if os.getuid() == 0 else []:
            os.chown(one, NOBODY, NOBODY)

    def command(self, *arguments):
        script = ["-X", f"lua_script:{self.lua}"] if self.lua else []
        return [*self.prefix, "env", f"HOME={self.home}", "TZ=UTC", "LC_ALL=C.UTF-8", "tshark",
                *script, *map(str, arguments)]

    def run(self, *arguments, **options):
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=120,
                              **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lines(self, path, *arguments):
        return self.run("-r", path, *arguments).splitlines()

    def column(self, path, field, *arguments):
        """The values of FIELD, packet by packet; '' where it is not."""
        return self.lines(path, "-T", "fields", "-e", field, *arguments)

    def columns(self, path, *fields, options=()):
        """One list per field, as of `column`, by one run and two passes."""
        chosen = [word for field in fields for word in ("-e", field)]
        rows = [line.split("\t") for line in self.lines(path, "-2", "-T", "fields", *chosen,
                                                        *options)]
        return [list(column) for column in zip(*rows)]

    def layers(self, path, *arguments, passes="-2"):
        """One list of KD layers per frame, and its KDNET layer or None."""
        text = self.run("-r", path, *filter(None, [passes]), "-T", "json", "-J", "kd kdnet",
                        "--no-duplicate-keys", *arguments)
        frames = []
        for frame in json.loads(text or "[]"):
            layers = frame["_source"]["layers"]
            kd = layers.get("kd", [])
            frames.append((kd if isinstance(kd, list) else [kd], layers.get("kdnet")))
        return frames


def flatten(node, into=None):
    """{field: [values]} of a JSON tree: leaves are texts, subtrees objects."""
    into = {} if into is None else into
    for name, value in node.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                flatten(one, into)
            else:
                into.setdefault(name, []).append(one)
    return into


LINKS = re.compile(r"kd\.(reply_in|request_in|response_time|acknowledged_in|acknowledges|"
                   r"retransmission_of|resend_of|unanswered|stopped_in|continued_in|next_stop_in|"
                   r"stop_time|run_time|stream|fragment)$|_ws\.")


def packets_of(frames, links=False):
    """What the fields of each KD packet say, in order, wherever it came in; without the links,
    which are frame numbers and times."""
    packets = []
    for kd, _ in frames:
        for packet in kd:
            flat = flatten(packet)
            packets.append(flat if links else
                           {k: v for k, v in flat.items() if not LINKS.match(k)})
    return packets


def digests(frames):
    """One line per frame: what it is and a digest of all its fields. For a capture whose contents are
    not ours to publish."""
    lines = []
    for number, frame in enumerate(frames, 1):
        names = [one.get("kd.message", "?") for one in frame[0]] or ["-"]
        digest = hashlib.sha256(json.dumps(frame, sort_keys=True).encode()).hexdigest()
        lines.append(f"{number} {digest[:16]} {' '.join(names)}\n")
    return "".join(lines)


# ---- captures ----

def own_capture(name, folder):
    """The path of one of OWN_NAMES, unpacked into FOLDER if it is packed."""
    plain = OWN_CAPTURES / f"{name}.pcapng"
    if plain.exists():
        return plain
    unpacked = folder / plain.name
    unpacked.write_bytes(gzip.decompress((OWN_CAPTURES / f"{name}.pcapng.gz").read_bytes()))
    unpacked.chmod(0o644)
    return unpacked


def block(kind, body):
    size = 12 + len(body)
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def pcapng(path, link_type, records):
    """RECORDS: (bytes, flags) each, a millisecond apart. Flags: 1 inbound, 2 outbound, 0 unknown."""
    data = bytearray(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
    data += block(1, struct.pack("<HHI", link_type, 0, 0))
    for number, (payload, flags) in enumerate(records):
        time = 1_700_000_000_000_000 + number * 1000
        body = struct.pack("<IIIII", 0, time >> 32, time & 0xFFFFFFFF, len(payload), len(payload))
        body += payload + bytes(-len(payload) % 4)
        if flags:
            body += struct.pack("<HHIHH", 2, 4, flags, 0, 0)
        data += block(6, body)
    path.write_bytes(data)
    return path


def upper_pdu(payload, to_target, dissector=b"kd", direction=True):
    def tag(number, value):
        return struct.pack(">HH", number, len(value)) + value
    name = dissector + bytes(-len(dissector) % 4)
    ends = [(bytes([192, 168, 0, 2]), 51111), (bytes([192, 168, 0, 1]), 51112)]
    source, destination = ends if to_target else ends[::-1]
    tags = tag(12, name) + tag(20, source[0]) + tag(21, destination[0]) + tag(24, b"\0\0\0\3")
    tags += tag(25, struct.pack(">I", source[1])) + tag(26, struct.pack(">I", destination[1]))
    if direction:
        tags += tag(35, struct.pack(">I", 0 if to_target else 1))
    return tags + tag(0, b"") + payload


def ipv4(protocol, to_target, payload):
    ends = [bytes([10, 0, 0, 2]), bytes([10, 0, 0, 1])]
    source, destination = ends if to_target else ends[::-1]
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol,
                       0) + source + destination + payload


def udp(payload, to_target, ports=(51111, 51112)):
    source, destination = ports if to_target else ports[::-1]
    return ipv4(17, to_target, struct.pack(">HHHH", source, destination, 8 + len(payload), 0)
                + payload)


class TcpTalk:
    """TCP segments with right sequence numbers."""

    def __init__(self, ports=(40000, 7001)):
        self.ports = ports
        self.sent = [1, 1]
        self.records = [(self.segment(b"", True, 2), 0), (self.segment(b"", False, 0x12), 0)]
        self.sent = [2, 2]

    def segment(self, payload, to_target, flags=0x18):
        source, destination = self.ports if to_target else self.ports[::-1]
        own, other = self.sent[not to_target], self.sent[to_target]
        return ipv4(6, to_target, struct.pack(">HHIIBBHHH", source, destination, own,
                                              other if flags != 2 else 0, 0x50, flags, 65000, 0, 0)
                    + payload)

    def send(self, payload, to_target):
        self.records.append((self.segment(payload, to_target), 0))
        self.sent[not to_target] += len(payload)


def packet(kind, packet_id, body=b"", leader=None):
    """A KD packet as on a serial line."""
    leader = leader or (b"0000" if body else b"iiii")
    header = leader + struct.pack("<HHII", kind, len(body), packet_id, sum(body))
    return header + body + (b"\xaa" if leader == b"0000" else b"")


def real_packets():
    """The real session as [(packet as on a serial line, to_target)], in the order of the wire."""
    folder = CAPTURES / "windows-kdnet"
    streams = {"T>H": (folder / "kd-target-to-host.bin").read_bytes(),
               "H>T": (folder / "kd-host-to-target.bin").read_bytes()}
    packets = []
    for line in (folder / "index.txt").read_text().splitlines():
        columns = line.split("\t")
        if line.startswith("#") or columns[4] == "-":
            continue
        start, size = int(columns[4]), 16 + int(columns[7])
        raw = streams[columns[2]][start:start + size]
        packets.append((raw + (b"\xaa" if raw[:4] == b"0000" else b""), columns[2] == "H>T"))
    return packets


def recorded_packets(path):
    """The good packets of a recording of kdwire, in order."""
    packets = []
    for block in blocks(path.read_bytes()):
        if block.kind != 6:
            continue
        interface, _, _, size, _ = struct.unpack_from("<IIIII", block.body)
        raw = Recording._strip_tags(block.body[20:20 + size])
        if raw[:4] == b"iiii" or raw[:4] == b"0000" and sum(raw[16:-1]) == int.from_bytes(
                raw[12:16], "little") and raw[-1] == 0xAA:
            packets.append((raw, interface == 0))
    return packets


def cut(own_packets, seed, longest):
    """The session as the two streams are read: pieces of any size, in the order of the wire."""
    chance = random.Random(seed)
    pieces, held = [], {True: b"", False: b""}
    for raw, down in own_packets:
        held[down] += raw
        while held[down] and (chance.random() < 0.8 or len(held[down]) > 2000):
            size = chance.randint(1, longest)
            pieces.append((held[down][:size], down))
            held[down] = held[down][size:]
    pieces += [(rest, down) for down, rest in held.items() if rest]
    return pieces


# ---- mutated captures ----

def mutate(raw, chance):
    """Flipped bytes, a piece, a wrong length; mostly with the sums right, else they hide the body."""
    data = bytearray(raw)
    for _ in range(chance.randint(0, 4)):
        data[chance.randrange(len(data))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF,
                                                          chance.randrange(256)])
    start, end = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
    if chance.random() < 0.1:
        data = data[start:end]
    elif chance.random() < 0.1:
        data[end:end] = data[start:end]
    if len(data) >= 17 and chance.random() < 0.7:
        size = min(len(data) - 17, 4000) if data[:4] == b"0000" else 0
        if size > 0:
            data[6:8] = struct.pack("<H", size)
            data[12:16] = struct.pack("<I", sum(data[16:16 + size]))
    return bytes(data)


def mutated_records(path, packets, count, chance):
    chosen = [packets[n % len(packets)] for n in range(chance.randrange(len(packets)), count)]
    return pcapng(path, 252, [(upper_pdu(mutate(raw, chance), down,
                                         chance.choice([b"kd", b"kd", b"kd_stream"])), 0)
                              for raw, down in chosen])


def mutated_datagrams(path, packets, count, chance):
    chosen = [packets[n % len(packets)] for n in range(count)]
    return pcapng(path, 101, [(udp(mutate(raw, chance), down), 0) for raw, down in chosen])


def mutated_tcp(path, packets, count, chance):
    """Also lost and repeated segments."""
    talk = TcpTalk()
    broken = [(mutate(packets[n % len(packets)][0], chance), packets[n % len(packets)][1])
              for n in range(count)]
    for piece, down in cut([one for one in broken if one[0]], chance.random(), 1400):
        talk.send(piece, down)
    records = [one for one in talk.records for _ in range(chance.choice([1] * 40 + [0, 2]))]
    return pcapng(path, 101, records)


MUTATED = (mutated_records, mutated_datagrams, mutated_tcp)
MUTATED_OPTIONS = ["-d", "tcp.port==7001,kd", "-d", "udp.port==51111,kd"]
