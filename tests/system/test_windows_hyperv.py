# SPDX-License-Identifier: BSD-2-Clause
"""kdwire.exe's endpoints vmbus: and hvsock: under Wine. What only a Hyper-V host has is played by two
DLLs of the tests: vmbuspiper.dll (windows/vmbuspiper.c), whose channels are named pipes, and the WMI
class that tells of virtual machines (windows/wbem_locator.c). The program is the shipped one.

KDWIRE_VMBUS_MB sets the size of the bulk transfers.
"""
import array
import base64
import os
import pathlib
import random
import shutil
import struct
import threading
import uuid

import pytest
from relay_ends import PATIENCE, Relay, read, wait_until
from test_viewers import place, user_folder  # noqa: F401
from test_windows_relay import EXE, End, WindowsRelay
import wine as wine_module

BUILT = pathlib.Path(__file__).resolve().parents[2] / "build/windows/tests/system/windows"
SYSTEM = wine_module.PREFIX / "drive_c/windows/system32"
PIPER, POWERSHELL = SYSTEM / "vmbuspiper.dll", SYSTEM / "WindowsPowerShell/v1.0/powershell.exe"
LOCATOR = r"HKLM\Software\Classes\CLSID\{4590F811-1D3A-11D0-891F-00AA004B2E24}\InprocServer32"
BULK = int(os.environ.get("KDWIRE_VMBUS_MB", "30")) * 1000 * 1000
LONG = PATIENCE + BULK // 500000
KDWIRE_TYPE, KDWIRE_INSTANCE = "1e7b9c52-4d0a-4b8e-9a37-6c51f0d2e8a4", "5a3c61d8-0f72-4e95-b1c4-83d97e20f6b1"
UEFI_TYPE, UEFI_INSTANCE = "a67dfbae-7897-42ad-9d10-d96156b36958", "9c7fe450-67fc-41aa-9732-8d4c3ed93db4"

pytestmark = pytest.mark.skipif(not EXE.exists(), reason="kdwire.exe is not built")


class Host:
    """A Hyper-V host with virtual machines."""

    def __init__(self, wine, folder):
        self.wine, self.folder = wine, folder
        self.environment = {**os.environ, "KDWIRE_STANDIN": wine_module.windows_path(folder)}

    def vm(self, name=None):
        """A new virtual machine, which does not run; its GUID."""
        guid = str(uuid.uuid4())
        if name:
            with open(self.folder / "vms", "a", encoding="utf-8") as file:
                file.write(f"{guid.upper()} {name}\n")
        return guid

    def set(self, file, there=True):
        if there:
            (self.folder / file).touch()
        else:
            (self.folder / file).unlink()

    def start(self, vm):
        self.set(vm)

    def stop(self, vm):
        self.set(vm, False)

    def relay(self, end, *options):
        return WindowsRelay("tcp-listen:0", end, *options, env=self.environment)

    def refused(self, end):
        """What `kdwire relay` says of an end it cannot use: one line."""
        done = self.wine.run(EXE, "relay", "-q", "-d", "tcp-listen:0", "-t", end, env=self.environment)
        assert done.returncode == 1, done
        lines = done.stderr.decode().splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    def guest(self, vm):
        """windbg.efi opens the channel."""
        return End(self.wine, "open", rf"\\.\pipe\{vm}").connected()

    def offers(self):
        file = self.folder / "offers"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture(scope="module")
def stand_ins(wine_session):
    """vmbuspiper.dll in Windows' folder, and our class instead of Wine's WMI."""
    if PIPER.exists():
        PIPER.unlink()

    def use(library):
        wine_session.run("reg.exe", "add", LOCATOR, "/ve", "/d", library, "/f", check=True)

    use(wine_module.windows_path(BUILT / "wbem-locator.dll"))
    shutil.copy(BUILT / "vmbuspiper.dll", PIPER)
    yield
    PIPER.unlink()
    use(r"C:\windows\system32\wbem\wbemprox.dll")


@pytest.fixture
def host(wine, stand_ins, tmp_path):
    return Host(wine, tmp_path)


# ---- windbg-uefi's framing, written again from its description ----

DATA, DATA_END, ACK, ACK_END = 0x56867960, 0x87283679, 0x15957899, 0x36133574


def xor(data):
    words = array.array("Q", data + bytes(-len(data) % 8))
    value = 0
    for word in words:
        value ^= word
    return (value ^ value >> 32) & 0xFFFFFFFF


def chunk(number, payload):
    header = struct.pack("<6I", DATA, 1, len(payload), number, 0, DATA_END)
    return struct.pack("<6I", DATA, 1, len(payload), number, xor(header + payload), DATA_END) + payload


def acknowledgement(number, flag):
    header = struct.pack("<6I", ACK, flag, 0, number, 0, ACK_END)
    return struct.pack("<6I", ACK, flag, 0, number, xor(header), ACK_END)


class FramedGuest:
    """A guest's end that speaks windbg-uefi's framing over the End of a channel."""

    def __init__(self, end, acknowledges=False):
        self.end, self.acknowledges = end, acknowledges
        self.number = 2          # of the next chunk sent
        self.expected = 0x5687   # of the next chunk received

    def header(self):
        return struct.unpack("<6I", self.end.read(24, LONG))

    def send(self, data, size=3000):
        for at in range(0, len(data), size):
            self.end.send(chunk(self.number, data[at:at + size]))
            if self.acknowledges:
                assert self.header() == struct.unpack("<6I", acknowledgement(self.number, 2))
            self.number += 1

    def send_in_background(self, data):
        threading.Thread(target=self.send, args=(data,), daemon=True).start()

    def read(self, size, *_):
        got = bytearray()
        while len(got) < size:
            magic, flag, length, number, checksum, end = header = self.header()
            assert (magic, flag, number, end) == (DATA, 1, self.expected, DATA_END), header
            payload = self.end.read(length, LONG)
            assert length <= 4096 and xor(struct.pack("<6I", *header) + payload) == 0
            if self.acknowledges:
                self.end.send(acknowledgement(number, 3))
            self.expected += 1
            got += payload
        assert len(got) == size
        return bytes(got)


def exchange(debugger, guest):
    debugger.sendall(b"question")
    assert guest.read(8) == b"question"
    guest.send(b"answer")
    assert read(debugger, 6) == b"answer"


# ---- VMBus ----

def wire_guid(text):
    return uuid.UUID(text).bytes_le.hex()


@pytest.mark.parametrize("options, mode, channel", [
    ("", "0", (KDWIRE_TYPE, KDWIRE_INSTANCE)),
    (",mode=message", "4", (KDWIRE_TYPE, KDWIRE_INSTANCE)),
    (",framing=windbg-uefi", "0", (UEFI_TYPE, UEFI_INSTANCE)),
    (f",type={UEFI_INSTANCE},instance={UEFI_TYPE}", "0", (UEFI_INSTANCE, UEFI_TYPE)),
])
def test_the_offer_is_what_the_guest_looks_for(host, options, mode, channel):
    vm = host.vm()
    host.start(vm)
    with host.relay(f"vmbus:vm={vm}{options}") as relay:
        assert relay.wait("listening", "target")["text"].startswith(f"vmbus:vm={vm}")
        (open_mode, pipe_mode, offer), = host.offers()
    assert open_mode == "40000000" and pipe_mode == mode
    assert offer == wire_guid(vm) + "00" * 4 + wire_guid(channel[0]) + wire_guid(channel[1]) + "00" * 120


def test_guest_that_opens_the_channel_before_it_is_waited_for(host):
    vm = host.vm()
    host.start(vm)
    host.set("hold")
    with host.relay(f"vmbus:vm={vm}") as relay:
        relay.wait("listening", "target")
        guest = host.guest(vm)
        host.set("hold", False)
        relay.wait("up", "target")
        exchange(relay.connect("debugger"), guest)


@pytest.mark.parametrize("options, framed", [("", False), (",mode=message", False), (",framing=windbg-uefi", True)])
def test_bulk_both_ways_at_once_is_exact(host, options, framed):
    up, down = random.Random(1).randbytes(BULK), random.Random(2).randbytes(BULK)
    vm = host.vm()
    host.start(vm)
    with host.relay(f"vmbus:vm={vm}{options}") as relay:
        relay.wait("listening", "target")
        guest = host.guest(vm)
        relay.wait("up", "target")
        debugger = relay.connect("debugger")
        debugger.settimeout(LONG)
        if framed:
            guest = FramedGuest(guest)
        guest.send_in_background(up)
        threading.Thread(target=debugger.sendall, args=(down,), daemon=True).start()
        received = []
        reader = threading.Thread(target=lambda: received.append(guest.read(len(down), LONG)), daemon=True)
        reader.start()
        assert read(debugger, len(up)) == up
        reader.join(LONG)
        assert received == [down]


def test_acknowledged_chunks(host):
    """One side at a time, as KD speaks: each chunk is acknowledged before the next; a lost one is sent again."""
    vm = host.vm()
    host.start(vm)
    with host.relay(f"vmbus:vm={vm},framing=windbg-uefi-ack") as relay:
        relay.wait("listening", "target")
        end = host.guest(vm)
        relay.wait("up", "target")
        debugger = relay.connect("debugger")
        guest = FramedGuest(end, acknowledges=True)
        data = random.Random(3).randbytes(100000)
        debugger.sendall(data)
        assert guest.read(len(data)) == data
        guest.send(data)
        assert read(debugger, len(data)) == data
        debugger.sendall(b"lost")
        first = end.read(28)
        assert end.read(28, PATIENCE) == first == chunk(guest.expected, b"lost")
        end.send(acknowledgement(guest.expected, 3))
        guest.expected += 1
        exchange(debugger, guest)


@pytest.mark.parametrize("options, says", [("", "add framing=windbg-uefi"), (",framing=windbg-uefi", "set framing=windbg-uefi in the guest")])
def test_ends_with_different_framing_are_told(host, options, says):
    vm = host.vm()
    host.start(vm)
    with host.relay(f"vmbus:vm={vm}{options}") as relay:
        relay.wait("listening", "target")
        end = host.guest(vm)
        end.send(bytes(100) if options else chunk(2, b"hello"))
        assert says in relay.wait("warning", "target")["text"]


def test_a_vm_by_name_that_restarts(host):
    """Named as people do; started after the relay; restarted while connected and while offered."""
    name = "Tür's \\ \"kd\""
    vm = host.vm(name)
    host.vm("another")
    end = name.replace("\\", "\\\\").replace("kd", "KD")
    with host.relay(f"vmbus:vm={end}") as relay:
        assert "is the virtual machine running" in relay.wait("retrying", "target")["text"]
        debugger = relay.connect("debugger")
        for number in (1, 2, 3):
            host.start(vm)
            relay.wait("listening", "target", number)
            guest = host.guest(vm)
            relay.wait("up", "target", number)
            exchange(debugger, guest)
            host.stop(vm)
            guest.close()
            relay.wait("down", "target", number)
        host.start(vm)
        relay.wait("listening", "target", 4)
        retries = relay.count("retrying", "target")
        host.stop(vm)  # nobody has opened what was offered
        relay.wait("retrying", "target", retries + 1)
        host.start(vm)
        relay.wait("listening", "target", 5)
        guest = host.guest(vm)
        relay.wait("up", "target", 4)
        exchange(debugger, guest)
    assert len(host.offers()) == 5 and {offer for _, _, offer in host.offers()} == {host.offers()[0][2]}


def test_the_guest_closes_and_opens_again(host):
    """windbg.efi leaves at ExitBootServices and is started again while the VM goes on."""
    vm = host.vm()
    host.start(vm)
    with host.relay(f"vmbus:vm={vm}") as relay:
        debugger = relay.connect("debugger")
        for number in range(1, 6):
            relay.wait("listening", "target", number)
            guest = host.guest(vm)
            relay.wait("up", "target", number)
            exchange(debugger, guest)
            guest.close()
            relay.wait("down", "target", number)


def test_a_guest_that_reads_nothing_costs_no_memory(host):
    vm = host.vm()
    host.start(vm)
    with host.relay(f"vmbus:vm={vm}") as relay:
        relay.wait("listening", "target")
        end = End(host.wine, "hold", rf"\\.\pipe\{vm}").connected()
        relay.wait("up", "target")
        debugger = relay.connect("debugger")
        debugger.settimeout(2)
        with pytest.raises(TimeoutError):
            while True:
                debugger.sendall(bytes(1 << 20))
        end.kill()
        assert relay.wait("down", "target")["bytes"] > 0  # the loss is counted


# ---- errors: one line each, that says what to do ----

def test_without_hyper_v(host):
    aside = PIPER.rename(PIPER.with_suffix(".aside"))
    try:
        line = host.refused("vmbus:vm=kd")
    finally:
        aside.rename(PIPER)
    assert "no vmbuspiper.dll" in line and "host with Hyper-V" in line


def test_unknown_vm(host):
    host.vm("another")
    line = host.refused("vmbus:vm=kd")
    assert "no virtual machine 'kd'" in line and "Get-VM" in line


def test_several_vms_of_one_name(host):
    host.vm("kd")
    host.vm("KD")
    assert "by its GUID" in host.refused("vmbus:vm=kd")


@pytest.mark.parametrize("kind", ["vmbus", "hvsock"])
@pytest.mark.parametrize("file, says", [("no-hyperv", "Hyper-V is not installed"), ("denied-wmi", "run kdwire as administrator")])
def test_wmi_refuses(host, kind, file, says):
    host.vm("kd")
    host.set(file)
    assert says in host.refused(f"{kind}:vm=kd")


def test_not_elevated(host):
    host.start(vm := host.vm())
    host.set("denied")
    line = host.refused(f"vmbus:vm={vm}")
    assert "access denied" in line and "elevated" in line


def test_wine_has_no_hyper_v_sockets(host):
    assert "no Hyper-V sockets" in host.refused(f"hvsock:vm={host.vm()}")


# ---- kdwire hyperv ----

class Auto(WindowsRelay):
    """kdwire hyperv --auto, which becomes the relay."""

    def __init__(self, vm, pipe, *options, **popen):
        self.start(["hyperv", "--vm", vm, "--pipe", pipe, "--wire", "vmbus", "--auto", "--yes", "--", *options], True,
                   **popen)


@pytest.fixture
def powershell(host):
    """Ours in place of Wine's; what it was asked to run."""
    aside = POWERSHELL.rename(POWERSHELL.with_suffix(".aside"))
    shutil.copy(BUILT / "powershell.exe", POWERSHELL)

    def scripts():
        file = host.folder / "powershell"
        lines = file.read_text().splitlines() if file.exists() else []
        return [base64.b64decode(line.split()[-1]).decode("utf-16-le") for line in lines]
    yield scripts
    aside.replace(POWERSHELL)


def test_auto_sets_up_and_stays_as_the_relay(host, powershell):
    """The script, WinDbg, the wait for the VM, the offer, and all again when the VM restarts."""
    windbg = wine_module.windows_path(BUILT / "stand-in.exe")
    pipe, log = "kdwire-test-" + uuid.uuid4().hex[:12], host.folder / "windbg"
    host.environment["KDWIRE_STAND_IN"] = wine_module.windows_path(log)
    vm = host.vm("kd, our VM")
    with Auto("kd, our VM", pipe, f"--start-windbg={windbg}", env=host.environment) as relay:
        relay.wait("up", "debugger")  # WinDbg
        script, = powershell()
        assert "Start-VM" in script and "Start-Process" not in script and "Stop-" not in script
        wait_until(lambda: log.exists() and "connected" in log.read_text(), "WinDbg is at its pipe")
        assert rf"com:pipe,port=\\.\pipe\{pipe}," in log.read_text()
        relay.wait("retrying", "target")
        for number in (1, 2):
            host.start(vm)
            relay.wait("listening", "target", number)
            guest = host.guest(vm)
            relay.wait("up", "target", number)
            host.stop(vm)
            guest.close()
            relay.wait("down", "target", number)
        assert relay.count("down", "debugger") == 0


def test_a_set_up_that_fails_starts_nothing(host, powershell):
    host.vm("kd")
    host.set("powershell-fails")
    done = host.wine.run(EXE, "hyperv", "--vm", "kd", "--wire", "vmbus", "--auto", "--yes", "--",
                         f"--start-windbg={wine_module.windows_path(BUILT / 'stand-in.exe')}", env=host.environment)
    assert done.returncode == 1 and b"PowerShell could not do it all (exit status 1)" in done.stderr
    assert len(powershell()) == 1 and not host.offers()


def test_com_port_with_the_windbg_that_is_there(host, powershell, place):  # noqa: F811
    path = f"users/{user_folder()}/AppData/Local/Microsoft/WindowsApps/WinDbgX.exe"
    place(path)
    done = host.wine.run(EXE, "hyperv", "--vm", "kd", "--auto", "--yes", env=host.environment)
    assert done.returncode == 0, done
    script, = powershell()
    windbg = "C:\\" + path.replace("/", "\\")
    start = f"Start-Process -FilePath '{windbg}' -ArgumentList '-k', \"com:pipe,port=$pipe,resets=0,reconnect\""
    assert start.lower() in script.lower() and r"$pipe = '\\.\pipe\kd'" in script
    assert script.index("Set-VMComPort") < script.index("Start-VM") < script.index("Start-Process")


@pytest.mark.parametrize("name", ["T\u00fcr", "\u2019; calc; \u2018"])
def test_a_name_stays_a_name_in_windows_code_page(host, powershell, name):
    """Windows gives a program its arguments in a code page of one byte for each character."""
    done = host.wine.run(EXE, "hyperv", "--vm", name, "--apply", "--yes", env=host.environment)
    assert done.returncode == 0, done
    script, = powershell()
    assert "\n$vm = '" + name.replace("\u2019", 2 * "\u2019").replace("\u2018", 2 * "\u2018") + "'\n" in script
    assert f"'{name}'" in done.stderr.decode()


def test_auto_without_windbg_changes_nothing(host, powershell):
    done = host.wine.run(EXE, "hyperv", "--vm", "kd", "--wire", "vmbus", "--auto", "--yes", env=host.environment)
    assert done.returncode == 1 and b"WinDbg was not found" in done.stderr and not powershell()
