/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The places of guest_test.efi where a test needs to know every instruction: what is at an address,
 * how long it is, which register holds what. Windows calling convention.
 */
    .intel_syntax noprefix

    .bss
    .balign 16
    .globl probe_in, probe_out, exec_count, watch_variable, ap_hits, foreign_hits
/* struct probe (guest.h): 16 general registers in the CPU's numbering, then 16 XMM registers. */
probe_in:       .skip 384
probe_out:      .skip 384
probe_rsp:      .skip 8
exec_count:     .skip 8
watch_variable: .skip 8
ap_hits:        .skip 8
foreign_hits:   .skip 8

    .text

/* Loads every register from probe_in (not RSP), stops, and stores what it then finds in probe_out. */
    .globl probe_registers, probe_int3
probe_registers:
    push rbx
    push rbp
    push rsi
    push rdi
    push r12
    push r13
    push r14
    push r15
    sub rsp, 0xA8
    .irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups [rsp + (\n - 6) * 16], xmm\n
    .endr
    mov [rip + probe_rsp], rsp
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups xmm\n, [rip + probe_in + 128 + \n * 16]
    .endr
    mov rax, [rip + probe_in]
    mov rcx, [rip + probe_in + 8]
    mov rdx, [rip + probe_in + 16]
    mov rbx, [rip + probe_in + 24]
    mov rbp, [rip + probe_in + 40]
    mov rsi, [rip + probe_in + 48]
    mov rdi, [rip + probe_in + 56]
    .irp n, 8, 9, 10, 11, 12, 13, 14, 15
    mov r\n, [rip + probe_in + \n * 8]
    .endr
probe_int3:
    int3
    mov [rip + probe_out], rax
    mov [rip + probe_out + 8], rcx
    mov [rip + probe_out + 16], rdx
    mov [rip + probe_out + 24], rbx
    mov [rip + probe_out + 32], rsp
    mov [rip + probe_out + 40], rbp
    mov [rip + probe_out + 48], rsi
    mov [rip + probe_out + 56], rdi
    .irp n, 8, 9, 10, 11, 12, 13, 14, 15
    mov [rip + probe_out + \n * 8], r\n
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups [rip + probe_out + 128 + \n * 16], xmm\n
    .endr
    mov rsp, [rip + probe_rsp]
    .irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups xmm\n, [rsp + (\n - 6) * 16]
    .endr
    add rsp, 0xA8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rdi
    pop rsi
    pop rbp
    pop rbx
    ret

/* Returns 1; 2 when the debugger moved RIP from the int3 to rip_other. */
    .globl rip_probe, rip_other
rip_probe:
    int3
    mov eax, 1
    ret
rip_other:
    mov eax, 2
    ret

/* An int3, then six instructions of one byte each. */
    .globl six_nops
six_nops:
    int3
    nop
    nop
    nop
    nop
    nop
    nop
    ret

/* Counts its calls; the place for an execution breakpoint. */
    .globl exec_target
exec_target:
    inc qword ptr [rip + exec_count]
    ret

/* Writes its argument to watch_variable. A data breakpoint stops behind the write. */
    .globl watch_write, watch_written
watch_write:
    mov [rip + watch_variable], rcx
watch_written:
    ret

/* RSP is no address at all when the int3 comes. Interrupts are off: they need a stack, too. */
    .globl bad_rsp, bad_rsp_int3
bad_rsp:
    push rbx
    cli
    mov rbx, rsp
    movabs rsp, 0xDEAD000000000000
bad_rsp_int3:
    int3
    mov rsp, rbx
    sti
    pop rbx
    ret

/* RSP is an address where no memory is: the push faults, and so would the exception's own pushes.
 * The debugger repairs RSP from RBX and goes on behind the push (one byte). */
    .globl bad_push, bad_push_push
bad_push:
    push rbx
    cli
    mov rbx, rsp
    movabs rsp, 0x0000600000000000
bad_push_push:
    push rax
    mov rsp, rbx
    sti
    pop rbx
    ret

/* Faults with known addresses: the faulting instruction is the first one. */
    .globl read_at, write_at, undefined_at, divide_at
read_at:
    mov rax, [rcx]
    ret
write_at:
    mov [rcx], rdx
    ret
undefined_at:
    ud2
    ret
divide_at:
    div r8
    ret

/* What the other processors run: one int3 each, then a count. */
    .globl ap_int3
ap_int3:
    int3
    lock inc qword ptr [rip + ap_hits]
    ret

/* A handler of int3 that is not the engine's. */
    .globl foreign_handler
foreign_handler:
    inc qword ptr [rip + foreign_hits]
    iretq
