# SPDX-License-Identifier: BSD-2-Clause
"""windbg.efi debugs a program in OVMF: restored from a snapshot, tenths of a second per test.

The debugger is tests/system/uefi/kd.py, which shares no code with kdwire. What the program itself
saw comes through QEMU's debug console, past the engine.
"""

import os
import re
import struct
import time

import pytest

from uefi import kd as k
from uefi import qemu
from uefi.session import Session, gates, run_until_spinning

GENERAL = ("Rax", "Rcx", "Rdx", "Rbx", None, "Rbp", "Rsi", "Rdi", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15")
EXCEPTION_DUMP = "X64 Exception Type"      # how OVMF's own dump of an unhandled exception begins
CR0_WP = 1 << 16
LEAF, WRITABLE, PRESENT = 0x80, 2, 1
DR6_SINGLE_STEP = 1 << 14


def leaf_entry(kd, address):
    """The page table entry that maps an address (4 levels), and its level."""
    table = kd.special().Cr3 & ~0xFFF
    for level in (4, 3, 2, 1):
        entry = kd.read_u64(table + 8 * (address >> (3 + 9 * level) & 511))
        if not entry & PRESENT:
            return 0, level
        if level == 1 or entry & LEAF:
            return entry, level
        table = entry & 0x000FFFFFFFFFF000
    return 0, 0


# ---- what the debugger learns at the first stop -----------------------------------------------


def test_version_names_a_boot_debugger_and_a_list_it_can_walk():
    with Session() as s:
        version = s.kd.version()
        assert version["major"] >> 8 == 4 and version["protocol"] == 6 and version["secondary"] == 2
        assert version["machine"] == 0x8664 and version["flags"] & 2
        assert s.kd.read(version["kern_base"], 2) == b"MZ"
        modules = s.kd.module_list()
        names = [name.lower() for _, _, name in modules]
        assert "windbg.efi" in names and "dxecore.efi" in names
        assert len(set(base for base, _, _ in modules)) == len(modules)
        assert len(modules) > 50
        for base, size, name in modules:
            assert s.kd.read(base, 2) in (b"MZ", b"VZ"), name
            assert size > 0, name


def test_all_modules_are_reported_when_asked_for():
    with Session(modules="all") as s:
        s.kd.go()
        s.to_end()
        reported = {stop.base: stop for stop in s.kd.loads if not stop.unload}
        names = {stop.name.lower() for stop in reported.values()}
        assert len(reported) > 50 and {"windbg.efi", "dxecore.efi", "guest_test.efi"} <= names


def test_the_code_segment_is_found_through_the_gdt():
    # A debugger decides between 16, 32 and 64 bits by the descriptor that it reads as memory.
    with Session("int3") as s:
        stop = s.go_to_program()
        special = s.kd.special()
        assert stop.cs <= special.GdtrLimit
        descriptor = s.kd.read_u64(special.GdtrBase + (stop.cs & ~7))
        assert descriptor >> 53 & 1 == 1
        assert special.Cr3 and special.Cr0 & CR0_WP


# ---- int3, steps, breakpoints ------------------------------------------------------------------


def test_int3_stops_at_the_instruction_and_goes_on_behind_it():
    with Session("int3") as s:
        stop = s.go_to_program()
        assert stop.code == k.STATUS_BREAKPOINT and stop.first_chance == 1 and stop.processors == 1
        assert s.in_guest(stop.pc) and stop.instructions[0] == 0xCC
        context = s.kd.context()
        assert context.Rip == stop.pc and context.SegCs == stop.cs and context.EFlags == stop.eflags
        s.kd.go_past_int3()
        assert "guest: went on" in s.to_end()


def test_go_at_a_hard_coded_int3_gets_past_it():
    with Session("int3") as s:
        s.go_to_program()
        assert "guest: went on" in s.end()


def test_int3_in_a_loop():
    with Session("loop") as s:
        stop = s.go_to_program()
        for n in range(1, 21):
            assert struct.unpack("<Q", s.kd.read(s.sym("rounds"), 8))[0] == n
            if n == 20:
                s.kd.write(s.sym("release"), b"\x01")
            s.kd.go_past_int3()
            if n < 20:
                again = s.kd.wait_stop()
                assert (again.pc, again.code) == (stop.pc, k.STATUS_BREAKPOINT)
        assert "guest: rounds 14" in s.to_end()


def test_single_steps_see_every_instruction():
    with Session("nops") as s:
        stop = s.go_to_program()
        assert stop.pc == s.sym("six_nops")
        context = s.kd.context()
        context.Rip += 1
        s.kd.set_context(context)
        for n in range(1, 7):
            stop = s.kd.step()
            assert stop.code == k.STATUS_SINGLE_STEP
            assert stop.pc == s.sym("six_nops") + 1 + n
            assert stop.dr6 & DR6_SINGLE_STEP
            assert not s.kd.context().EFlags & k.TRAP_FLAG
        assert "guest: stepped" in s.end()


def test_stepping_through_the_return_into_c():
    with Session("nops") as s:
        s.go_to_program()
        context = s.kd.context()
        caller = s.kd.read_u64(context.Rsp)
        context.Rip += 7
        s.kd.set_context(context)
        assert s.kd.step().pc == caller
        for _ in range(50):
            assert s.kd.step().code == k.STATUS_SINGLE_STEP
        assert "guest: stepped" in s.end()


def test_software_breakpoint_hits_every_call_and_leaves_no_trace():
    with Session("hardware") as s:
        s.go_to_program()
        target = s.sym("exec_target")
        original = s.kd.read(target, 4)
        context = s.kd.context()
        context.Rip += 1
        s.kd.set_context(context)
        for n in range(3):
            handle = s.kd.set_breakpoint(target)
            assert 1 <= handle <= 32
            s.kd.go()
            stop = s.kd.wait_stop()
            assert (stop.code, stop.pc) == (k.STATUS_BREAKPOINT, target)
            s.kd.clear_breakpoint(handle)
            assert s.kd.read(target, 4) == original
            assert s.kd.read_u64(s.sym("exec_count")) == n
            s.kd.step()
        assert "guest: exec 3 watch 102" in s.end()


def test_hardware_execution_breakpoint():
    with Session("hardware") as s:
        s.go_to_program()
        special = s.kd.special()
        special.KernelDr0 = s.sym("exec_target")
        s.kd.set_special(special)
        context = s.kd.context()
        context.Rip += 1
        s.kd.set_context(context)
        for n in range(3):
            s.kd.go(dr7=0x401)
            stop = s.kd.wait_stop()
            assert (stop.code, stop.pc) == (k.STATUS_SINGLE_STEP, s.sym("exec_target"))
            assert stop.dr6 & 1
            assert s.kd.read_u64(s.sym("exec_count")) == n
        s.kd.go(dr7=0x401)          # nothing calls it again: the resume flag must let this one pass
        assert "guest: exec 3" in s.to_end()


def test_hardware_write_breakpoint():
    with Session("hardware") as s:
        s.go_to_program()
        special = s.kd.special()
        special.KernelDr1 = s.sym("watch_variable")
        s.kd.set_special(special)
        context = s.kd.context()
        context.Rip += 1
        s.kd.set_context(context)
        enabled = 0x400 | 0x4 | 0x1 << 20 | 0x3 << 22        # DR1: local, write, 4 bytes
        for n in range(3):
            s.kd.go(dr7=enabled)
            stop = s.kd.wait_stop()
            assert (stop.code, stop.pc) == (k.STATUS_SINGLE_STEP, s.sym("watch_written"))
            assert stop.dr6 & 2
            assert s.kd.read_u64(s.sym("watch_variable")) == 0x100 + n
        assert "guest: exec 3 watch 102" in s.end()


def test_breakpoint_in_read_only_code():
    with Session("service") as s:
        s.go_to_program()
        service = s.sym("service")
        entry, _ = leaf_entry(s.kd, service)
        assert entry and not entry & WRITABLE, "the firmware's page is writable: the test proves nothing"
        original = s.kd.read(service, 1)
        context = s.kd.context()
        context.Rip += 1
        s.kd.set_context(context)
        handle = s.kd.set_breakpoint(service)
        s.kd.go()
        stop = s.kd.wait_stop()
        assert (stop.code, stop.pc) == (k.STATUS_BREAKPOINT, service)
        s.kd.clear_breakpoint(handle)
        assert s.kd.read(service, 1) == original
        assert s.kd.special().Cr0 & CR0_WP, "write protection must be back on"
        assert "guest: served" in s.end()


def test_no_breakpoint_in_the_engine_itself():
    with Session("int3") as s:
        s.go_to_program()
        base, size, _ = next(m for m in s.kd.module_list() if m[2].lower() == "windbg.efi")
        before = s.kd.read(base + 0x1000, 16)
        with pytest.raises(k.KdError):
            s.kd.set_breakpoint(base + 0x1000)
        assert s.kd.read(base + 0x1000, 16) == before
        assert "guest: went on" in s.end()


# ---- registers ---------------------------------------------------------------------------------


def expected_xmm(n):
    return bytes(16 * n + i & 0xFF for i in range(16))


def test_registers_are_seen_and_survive_the_stop():
    with Session("registers") as s:
        stop = s.go_to_program()
        assert stop.pc == s.sym("probe_int3")
        context = s.kd.context()
        for n, name in enumerate(GENERAL):
            if name:
                assert getattr(context, name) == 0x0101010101010101 * (n + 1), name
        for n in range(16):
            assert context.xmm(n) == expected_xmm(n)
        s.kd.read(context.Rsp, 4000 - 56)
        s.end()
        for n, name in enumerate(GENERAL):
            if name:
                assert int(s.saw(name.lower()), 16) == 0x0101010101010101 * (n + 1), name
        for n in range(16):
            high, low = (int(x, 16) for x in s.saw(f"xmm{n:x}").split(":"))
            assert struct.pack("<QQ", low, high) == expected_xmm(n)


def test_register_edits_reach_the_program():
    with Session("registers") as s:
        s.go_to_program()
        context = s.kd.context()
        for n, name in enumerate(GENERAL):
            if name:
                setattr(context, name, 0xA5A5000000000000 | n << 8 | 0x5A)
        for n in range(16):
            context.set_xmm(n, bytes(0xFF - b for b in expected_xmm(n)))
        context.Rip += 1
        s.kd.set_context(context)
        s.end()
        for n, name in enumerate(GENERAL):
            if name:
                assert int(s.saw(name.lower()), 16) == 0xA5A5000000000000 | n << 8 | 0x5A, name
        for n in range(16):
            high, low = (int(x, 16) for x in s.saw(f"xmm{n:x}").split(":"))
            assert struct.pack("<QQ", low, high) == bytes(0xFF - b for b in expected_xmm(n))


def test_rip_edit():
    with Session("rip") as s:
        s.go_to_program()
        context = s.kd.context()
        context.Rip = s.sym("rip_other")
        s.kd.set_context(context)
        assert "guest: rip_probe returned 2" in s.end()


def test_context_is_what_was_set():
    with Session("int3") as s:
        s.go_to_program()
        context = s.kd.context()
        context.Rbp = 0x1234567890ABCDEF
        context.R15 = 0xFEDCBA0987654321
        context.set_xmm(6, b"0123456789abcdef")
        s.kd.set_context(context)
        again = s.kd.context()
        assert (again.Rbp, again.R15, again.xmm(6)) == (context.Rbp, context.R15, b"0123456789abcdef")


def test_msr_and_ports():
    with Session("int3") as s:
        s.go_to_program()
        status, efer = s.kd.msr(0xC0000080)
        assert status == 0 and efer & 0x500 == 0x500          # long mode enabled and active
        assert s.kd.read_io(0x402, 1) == (0, 0xE9)            # QEMU's debug console says so when read
        assert s.kd.read_io(0x402, 3)[0] == 0xC000000D
        assert "guest: went on" in s.end()


# ---- memory ------------------------------------------------------------------------------------


BAD_ADDRESSES = (0xFFFF800000000000, 0x0000800000000000, 0x8000000000000000, 0xFFFFFFFFFFFFFFF8, 1 << 41, 1 << 46)
GOOD_ADDRESSES = (0, 0xD0000000, 0xFFFFFFE0, 0xFEE00000)     # page 0, a hole, the flash, the local APIC


def test_bad_addresses_fail_and_good_ones_do_not():
    with Session("int3") as s:
        s.go_to_program()
        for address in BAD_ADDRESSES:
            status, data = s.kd.try_read(address, 8)
            assert (status, data) == (k.STATUS_UNSUCCESSFUL, b""), hex(address)
            status, actual = s.kd.try_write(address, b"\0" * 8)
            assert (status, actual) == (k.STATUS_UNSUCCESSFUL, 0), hex(address)
            with pytest.raises(k.KdError):
                s.kd.set_breakpoint(address)
        for address in GOOD_ADDRESSES:
            status, data = s.kd.try_read(address, 8)
            assert status == 0 and len(data) == 8, hex(address)
        assert "guest: went on" in s.end()


def test_a_read_across_the_end_of_memory_brings_what_there_is():
    with Session("int3") as s:
        s.go_to_program()
        end = 1 << 39
        while s.kd.try_read(end, 1)[0] == 0:
            end <<= 1
            assert end < 1 << 52
        status, data = s.kd.try_read(end - 16, 48)
        assert len(data) == 16 and status == k.STATUS_UNSUCCESSFUL


def test_memory_written_is_memory_read():
    with Session("buffer 20000") as s:
        s.kd.ACK_WAIT = s.kd.patience       # nothing is sent again only because the machine is slow
        s.go_to_program()
        at = s.sym("buffer")
        pattern = b"".join(struct.pack("<I", (i * 4 * 0x9E3779B1 & 0xFFFFFFFF) >> 7) for i in range(0x20000 // 4))
        assert s.kd.read(at, len(pattern)) == pattern
        noise = os.urandom(0x10000)
        for i in range(0, len(noise), k.MAX_DATA):
            s.kd.write(at + i, noise[i:i + k.MAX_DATA])
        assert s.kd.read(at, 0x20000) == noise + pattern[0x10000:]
        assert s.kd.read(at, 0x1000, k.READ_PHYSICAL) == noise[:0x1000]
        s.kd.write(at + 5, b"physical", k.WRITE_PHYSICAL)
        assert s.kd.read(at + 4, 10) == noise[4:5] + b"physical" + noise[13:14]
        assert s.kd.resends == 0 and not s.kd.noise, "a clean line must not lose anything"


# ---- faults of the program ---------------------------------------------------------------------


def test_page_fault_is_reported_and_repaired():
    with Session("read ffff800000000010") as s:
        stop = s.go_to_program()
        assert (stop.code, stop.pc) == (k.STATUS_ACCESS_VIOLATION, s.sym("read_at"))
        assert stop.parameters >= 2 and stop.information[:2] == (0, 0xFFFF800000000010)
        assert s.kd.special().Cr2 == 0xFFFF800000000010
        s.kd.write(s.sym("release"), struct.pack("<Q", 0x4711))
        context = s.kd.context()
        context.Rcx = s.sym("release")
        s.kd.set_context(context)
        assert "guest: read 4711" in s.end()


def test_write_fault_says_that_it_was_a_write():
    with Session("write ffff800000000010") as s:
        stop = s.go_to_program()
        assert (stop.code, stop.pc) == (k.STATUS_ACCESS_VIOLATION, s.sym("write_at"))
        assert stop.information[:2] == (1, 0xFFFF800000000010)
        context = s.kd.context()
        context.Rcx = s.sym("release")
        s.kd.set_context(context)
        assert "guest: written" in s.end()


def test_general_protection_fault():
    with Session("read 8000000000000000") as s:
        stop = s.go_to_program()
        assert (stop.code, stop.pc) == (k.STATUS_ACCESS_VIOLATION, s.sym("read_at"))
        context = s.kd.context()
        context.Rip += 3
        s.kd.set_context(context)
        assert "guest: read" in s.end()


@pytest.mark.parametrize("command, code, symbol, length, end",
                         [("ud2", 0xC000001D, "undefined_at", 2, "guest: passed ud2"),
                          ("divide", 0xC0000094, "divide_at", 3, "guest: divided")])
def test_other_faults(command, code, symbol, length, end):
    with Session(command) as s:
        stop = s.go_to_program()
        assert (stop.code, stop.pc) == (code, s.sym(symbol))
        context = s.kd.context()
        context.Rip += length
        s.kd.set_context(context)
        assert end in s.end()


def test_not_handled_goes_to_the_firmware():
    # The firmware's own dump must come out as if no engine were there.
    with Session("ud2") as s:
        s.go_to_program()
        s.kd.go(status=k.DBG_EXCEPTION_NOT_HANDLED)
        s.machine.until(lambda: EXCEPTION_DUMP in s.machine.serial_text(1), "dumping its registers")


def test_bad_stack_pointers_are_survived():
    with Session("bad-stack") as s:
        stop = s.go_to_program()
        assert stop.pc == s.sym("bad_rsp_int3")
        context = s.kd.context()
        assert context.Rsp == 0xDEAD000000000000
        context.Rip += 1
        s.kd.set_context(context)
        s.kd.go()
        stop = s.kd.wait_stop()
        assert stop.pc == s.sym("bad_push_push")
        assert "guest: survived bad rsp" in s.machine.debug_text()
        context = s.kd.context()
        assert context.Rsp == 0x0000600000000000
        context.Rsp = context.Rbx
        context.Rip += 1
        s.kd.set_context(context)
        assert "guest: survived bad push" in s.end()


# ---- break-in ----------------------------------------------------------------------------------


def spin_and_break(s):
    """Break in twice while the program spins, then let it go."""
    run_until_spinning(s)
    seen = []
    for _ in range(2):
        stop = s.kd.break_in()
        assert stop.code == k.STATUS_BREAKPOINT
        assert s.kd.context().Rip == stop.pc
        seen.append((stop.pc, s.kd.read_u64(s.sym("rounds"))))
        dots = s.machine.debug_text().count(".")
        s.kd.go()
        s.until(lambda: s.machine.debug_text().count(".") > dots, "sign of life")
    stop = s.kd.break_in()
    s.kd.write(s.sym("release"), b"\x01")
    s.kd.go()
    assert "guest: rounds" in s.to_end()
    assert seen[0][1] < seen[1][1], "the program must have gone on between the stops"
    return [pc for pc, _ in seen]


@pytest.mark.parametrize("level", [4, 8, 16])
def test_break_in_at_task_priority(level):
    with Session(f"spin {level:x}") as s:
        for pc in spin_and_break(s):
            assert s.in_guest(pc), "the interrupted place, not the engine's"


def test_break_in_during_stall():
    with Session("stall") as s:
        spin_and_break(s)


def test_steps_after_a_break_in():
    with Session("spin 10") as s:
        run_until_spinning(s)
        s.kd.break_in()
        for _ in range(8):
            stop = s.kd.step()
            assert stop.code == k.STATUS_SINGLE_STEP and s.in_guest(stop.pc)
        s.kd.write(s.sym("release"), b"\x01")
        s.end()


def test_nmi_breaks_in_with_interrupts_off():
    with Session("cli") as s:
        run_until_spinning(s)
        s.machine.nmi()
        stop = s.kd.wait_stop()
        assert s.in_guest(stop.pc)
        assert not s.kd.context().EFlags & k.INTERRUPT_FLAG
        s.kd.write(s.sym("release"), b"\x01")
        assert "guest: rounds" in s.end()


# ---- modules, text -----------------------------------------------------------------------------


def child_bases(s):
    return [int(x, 16) for x in re.findall(r"child at ([0-9a-f]+)", s.machine.debug_text())]


def test_modules_load_unload_and_load_again():
    with Session("child") as s:
        s.end()
        bases = child_bases(s)

        # By name: when the program has ended, the firmware may load something else to the same place.
        def events():
            return [(stop.base, bool(stop.unload)) for stop in s.kd.loads
                    if stop.base in bases and stop.name.lower() == "hello.efi"]

        # An unload is noticed at the next tick, which may come after the program's last word.
        s.until(lambda: len(events()) >= 2 * len(bases), "the last unload")
        assert events() == [x for base in bases for x in ((base, False), (base, True))]
        load = next(stop for stop in s.kd.loads if stop.base == bases[0] and not stop.unload)
        assert load.name.lower() == "hello.efi" and load.size >= 0x4000
        assert any(stop.name.lower() == "guest_test.efi" for stop in s.kd.loads)


def test_a_load_is_reported_before_the_first_instruction():
    # Stop at the report, put a breakpoint on the entry point: it must be hit.
    with Session("child") as s:
        s.kd.go()
        while True:
            stop = s.kd.wait_stop(loads=True)
            if stop.state == k.LOAD_SYMBOLS and stop.name.lower() == "hello.efi":
                break
            s.kd.go()
        assert s.kd.read(stop.base, 2) == b"MZ"
        header = struct.unpack("<I", s.kd.read(stop.base + 0x3C, 4))[0]
        entry = stop.base + struct.unpack("<I", s.kd.read(stop.base + header + 0x28, 4))[0]
        handle = s.kd.set_breakpoint(entry)
        s.kd.go()
        hit = s.kd.wait_stop()
        assert (hit.code, hit.pc) == (k.STATUS_BREAKPOINT, entry)
        s.kd.clear_breakpoint(handle)
        s.end()


def test_the_pdb_is_found_in_memory():
    with Session("int3") as s:
        s.go_to_program()
        base = s.sym("image")
        header = base + struct.unpack("<I", s.kd.read(base + 0x3C, 4))[0]
        directory, size = struct.unpack("<II", s.kd.read(header + 0x18 + 0x70 + 6 * 8, 8))
        assert size >= 28
        codeview = [e for e in range(0, size, 28)
                    if struct.unpack("<I", s.kd.read(base + directory + e + 12, 4))[0] == 2]
        rva = struct.unpack("<I", s.kd.read(base + directory + codeview[0] + 20, 4))[0]
        record = s.kd.read(base + rva, 40)
        assert record[:4] == b"RSDS" and record[24:].split(b"\0")[0] == b"guest_test.pdb"


def test_text_of_the_program_arrives_whole_and_in_order():
    with Session("print 100") as s:
        s.end()
        lines = re.findall(r"line ([0-9a-f]{4})\n", s.kd.prints)
        assert [int(x, 16) for x in lines] == list(range(0x100))
        assert "wide text\n" in s.kd.prints


def test_old_programs_still_print():
    with Session("legacy") as s:
        assert "guest: legacy 0" in s.end()
        assert "old but printing" in s.kd.prints


def test_application_protocol():
    with Session("protocol") as s:
        stop = s.go_to_program()
        assert stop.code == k.STATUS_BREAKPOINT
        assert "guest: attached 1" in s.machine.debug_text()
        s.kd.go()
        s.until(lambda: s.kd.prompts, "prompt")
        assert s.kd.prompts[0] == ("name? ", 31) or s.kd.prompts[0] == ("name? ", 32)
        s.kd.answer("Grace")
        stop = s.kd.wait_stop()
        assert stop.state == k.COMMAND_STRING and b".echo hi\0" in stop.body[240:]
        text = s.end()
        assert "guest: break returned 0" in text and "guest: prompt 0 size 5 text Grace" in text
        assert "guest: command 0" in text
        assert "guest: report load 0" in text and "guest: report unload 0" in text
        assert [stop.unload for stop in s.kd.loads if stop.name.startswith("made.")] == [0, 1]


def test_sample_application():
    with Session("break count=2", app="hello") as s:
        stop = s.go_to_program()
        module = next(m for m in s.kd.loads if m.name.lower() == "hello.efi")
        assert 0 <= stop.pc - module.base < module.size
        s.end()
        assert "hello from hello.efi" in s.kd.prints and "the total is 3" in s.kd.prints
        assert "hello.efi is done" in s.machine.serial_text(1)


# ---- the end of boot services ------------------------------------------------------------------


def test_exit_boot_services_detaches():
    with Session("ebs") as s:
        windbg = next(m for m in s.kd.module_list() if m[2].lower() == "windbg.efi")
        s.kd.go()
        s.to_reset()
        text = s.machine.debug_text()
        assert "guest: left boot services 0" in text and "guest: after boot services" in text
        before, after = gates(text)
        assert 0 <= before - windbg[0] < windbg[1]
        assert not 0 <= after - windbg[0] < windbg[1], "the gates must be the firmware's again"
        assert any(stop.unload and stop.base == 0xFFFFFFFFFFFFFFFF for stop in s.kd.loads)


def test_exit_boot_services_stays_when_asked_to():
    with Session("ebs int3", ebs="stay") as s:
        stop = s.go_to_program()
        assert stop.code == k.STATUS_BREAKPOINT and s.in_guest(stop.pc)
        assert "guest: left boot services 0" in s.machine.debug_text()
        assert len(s.kd.read(s.sym("image"), 64)) == 64
        s.kd.go()
        s.to_reset()
        assert "guest: after boot services" in s.machine.debug_text()


def test_break_in_after_exit_boot_services():
    with Session("ebs spin", ebs="stay") as s:
        run_until_spinning(s)
        stop = s.kd.break_in()
        assert s.in_guest(stop.pc)
        s.kd.write(s.sym("release"), b"\x01")
        s.kd.go()
        s.to_reset()


@pytest.mark.parametrize("policy", ["detach", "stay"])
def test_virtual_addresses(policy):
    with Session("virtual", ebs=policy) as s:
        s.kd.go()
        s.to_reset()
        assert "guest: virtual address map 0" in s.machine.debug_text()


def test_reboot_on_request():
    with Session("int3") as s:
        s.go_to_program()
        s.kd.reboot()
        s.to_reset()


# ---- ports, machines, processors ---------------------------------------------------------------


@pytest.mark.parametrize("port", [1, 3, 4])
def test_other_serial_ports(port):
    with Session("int3", port=port) as s:
        s.go_to_program()
        assert s.kd.read(s.sym("image"), 0x2000)[:2] == b"MZ"
        assert "guest: went on" in s.end()


@pytest.mark.parametrize("name", ["com1", "0x3f8"])
def test_console_text_stays_off_the_grabbed_port(name):
    # hello.efi prints on the console, which OVMF would send to COM1 as well.
    with Session("count=3", app="hello", port=1, options=f"port={name}") as s:
        s.kd.go()
        s.to_end()
        assert "hello.efi is done" in s.kd.prints
        assert b"hello" not in s.kd.noise


@pytest.mark.parametrize("machine, cpus", [("pc", 1), ("q35", 3)])
def test_other_machines(machine, cpus):
    with Session("nops", machine=machine, cpus=cpus) as s:
        s.go_to_program()
        context = s.kd.context()
        context.Rip += 1
        s.kd.set_context(context)
        for n in range(1, 7):
            assert s.kd.step().pc == s.sym("six_nops") + 1 + n
        assert "guest: stepped" in s.end()


def test_break_in_with_three_processors():
    with Session("spin 10", cpus=3) as s:
        spin_and_break(s)


def test_int3_on_other_processors_does_not_hang_the_machine():
    with Session("processors", cpus=3) as s:
        s.kd.go()
        for _ in range(2):
            stop = s.kd.wait_stop()
            assert stop.pc == s.sym("ap_int3")
            s.kd.go()
        s.to_end()
        assert "guest: processors 3" in s.machine.debug_text()
        assert re.search(r"processors done 0 hits 2", s.machine.debug_text())


# ---- debuggers that come, go and misbehave -----------------------------------------------------


def test_without_a_debugger_the_machine_goes_on():
    with Session("print 3", attach=False, **{"initial-break": "off", "timeout": "200"}) as s:
        assert "guest: end" in s.machine.wait_debug("waiter: done")


def test_a_late_debugger_attaches_to_the_running_machine():
    with Session("spin 4", attach=False, **{"initial-break": "off", "timeout": "200"}) as s:
        s.machine.wait_debug("guest: spinning")
        stop = s.kd.attach(break_in=True)
        assert stop.code == k.STATUS_BREAKPOINT and s.in_guest(s.kd.context().Rip)
        s.kd.write(s.sym("release"), b"\x01")
        assert "guest: rounds" in s.end()


def test_a_new_debugger_takes_over_a_stopped_machine():
    with Session("int3") as s:
        first = s.go_to_program()
        s.kd = k.Kd(s.machine.reconnect(), qemu.PATIENCE)
        again = s.kd.attach()
        assert (again.pc, again.code) == (first.pc, first.code)
        assert s.kd.context().Rip == first.pc
        s.kd.go_past_int3()
        assert "guest: went on" in s.to_end()


def test_damaged_and_doubled_packets():
    with Session("int3") as s:
        s.go_to_program()
        version = s.kd.version()
        s.machine.kd.sendall(b"console noise 000iii\r\n")
        assert s.kd.version() == version
        request = struct.pack("<IHHII", k.GET_VERSION, 0, 0, 0x103, 0).ljust(56, b"\0")
        damaged = k.DATA_LEADER + struct.pack("<HHII", 2, 56, s.kd.out_id, sum(request) + 1) + request + b"\xaa"
        s.kd.resend_asked = False
        s.machine.kd.sendall(damaged)
        while not s.kd.resend_asked:
            assert s.kd._one(time.monotonic() + qemu.PATIENCE)
        assert s.kd.version() == version
        old = k.DATA_LEADER + struct.pack("<HHII", 2, 56, s.kd.out_id ^ 1, sum(request)) + request + b"\xaa"
        s.machine.kd.sendall(old)                              # an old packet: acknowledged, not answered
        assert s.kd.version() == version and not s.kd.replies
        assert "guest: went on" in s.end()


def test_a_cut_packet_is_forgotten():
    with Session("int3") as s:
        s.go_to_program()
        version = s.kd.version()
        s.machine.kd.sendall(k.DATA_LEADER + struct.pack("<HHII", 2, 56, s.kd.out_id, 0) + b"half of")
        assert s.kd.version() == version
        assert "guest: went on" in s.end()


# ---- settings ----------------------------------------------------------------------------------


def test_load_options_overrule_fw_cfg():
    # As a shell passes them: the program's name comes first. The last port that fw_cfg names is wrong.
    with Session("int3", port=3, options="windbg.efi port=com3", baud="9600 port=com2") as s:
        s.go_to_program()
        assert "guest: went on" in s.end()


def test_a_bad_setting_is_named_and_the_rest_counts():
    with Session("int3", tpyo="1") as s:
        s.go_to_program()
        assert "tpyo=1" in s.kd.prints
        assert "guest: went on" in s.end()


@pytest.mark.parametrize("settings", [{"poll": "event"}, {"poll": "off", "rxirq": "on"}])
def test_other_ways_to_notice_a_break_in(settings):
    with Session("spin 4", **settings) as s:
        run_until_spinning(s)
        stop = s.kd.break_in()
        assert stop.code == k.STATUS_BREAKPOINT
        s.kd.write(s.sym("release"), b"\x01")
        assert "guest: rounds" in s.end()


def test_without_stacks_of_its_own():
    with Session("registers", ist="off") as s:
        stop = s.go_to_program()
        assert stop.pc == s.sym("probe_int3") and s.kd.context().xmm(5) == expected_xmm(5)
        assert s.kd.try_read(1 << 46, 8)[0] == k.STATUS_UNSUCCESSFUL
        s.end()
        assert int(s.saw("r15"), 16) == 0x0101010101010101 * 16


def test_a_program_can_ask_to_stop_at_a_load():
    with Session("break-on-load") as s:
        stop = s.go_to_program()
        assert stop.code == k.STATUS_BREAKPOINT
        assert "guest: break on load 0" in s.machine.debug_text()
        assert s.kd.loads[-1].name.lower() == "hello.efi" and "hello from" not in s.kd.prints
        assert "guest: end" in s.end()
