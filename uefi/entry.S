/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ways into and out of the engine, and memory accesses that may fault. Windows x64 calling
 * convention. Frame layout: struct cpu_frame in cpu.h.
 *
 * The .seh directives describe the stub to a debugger, so that it can walk through it into the
 * interrupted code.
 */
#ifdef __clang__
#define SEH_PUSHFRAME_CODE .seh_pushframe @code
#else
#define SEH_PUSHFRAME_CODE .seh_pushframe code
#endif

        .text

        .set    FX, 0x000
        .set    CR, 0x200
        .set    DR, 0x228
        .set    SEG, 0x258
        .set    LEAVE, 0x278
        .set    SAVED, 0x280
        .set    FRAME_VECTOR, SAVED + 15 * 8

/* 256 stubs of 16 bytes: make every frame look alike (error code, vector), then go to common. */
        .balign 16
        .globl  cpu_stubs
cpu_stubs:
        .set    vector, 0
        .rept   256
        .balign 16
        .if     (vector == 8) || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
        .else
        pushq   $0
        .endif
        pushq   $vector
        jmp     cpu_common
        .set    vector, vector + 1
        .endr
        .balign 16

        .def    cpu_common; .scl 3; .type 32; .endef
        .seh_proc cpu_common
cpu_common:
        SEH_PUSHFRAME_CODE
        .seh_stackalloc 8
        pushq   %rax
        .seh_pushreg %rax
        pushq   %rbx
        .seh_pushreg %rbx
        pushq   %rcx
        .seh_pushreg %rcx
        pushq   %rdx
        .seh_pushreg %rdx
        pushq   %rsi
        .seh_pushreg %rsi
        pushq   %rdi
        .seh_pushreg %rdi
        pushq   %rbp
        .seh_pushreg %rbp
        pushq   %r8
        .seh_pushreg %r8
        pushq   %r9
        .seh_pushreg %r9
        pushq   %r10
        .seh_pushreg %r10
        pushq   %r11
        .seh_pushreg %r11
        pushq   %r12
        .seh_pushreg %r12
        pushq   %r13
        .seh_pushreg %r13
        pushq   %r14
        .seh_pushreg %r14
        pushq   %r15
        .seh_pushreg %r15
        subq    $SAVED, %rsp
        .seh_stackalloc SAVED
        .seh_endprologue
        cld
        fxsave64 FX(%rsp)
        movq    %cr0, %rax
        movq    %rax, CR+0x00(%rsp)
        movq    %cr2, %rax
        movq    %rax, CR+0x08(%rsp)
        movq    %cr3, %rax
        movq    %rax, CR+0x10(%rsp)
        movq    %cr4, %rax
        movq    %rax, CR+0x18(%rsp)
        movq    %cr8, %rax
        movq    %rax, CR+0x20(%rsp)
        movq    %dr7, %rax
        movq    %rax, DR+0x28(%rsp)
        movl    $0x400, %eax                    /* no watchpoint fires inside the engine */
        movq    %rax, %dr7
        movq    %dr0, %rax
        movq    %rax, DR+0x00(%rsp)
        movq    %dr1, %rax
        movq    %rax, DR+0x08(%rsp)
        movq    %dr2, %rax
        movq    %rax, DR+0x10(%rsp)
        movq    %dr3, %rax
        movq    %rax, DR+0x18(%rsp)
        movq    %dr6, %rax
        movq    %rax, DR+0x20(%rsp)
        xorl    %eax, %eax
        movw    %ds, %ax
        movq    %rax, SEG+0x00(%rsp)
        movw    %es, %ax
        movq    %rax, SEG+0x08(%rsp)
        movw    %fs, %ax
        movq    %rax, SEG+0x10(%rsp)
        movw    %gs, %ax
        movq    %rax, SEG+0x18(%rsp)
        movq    %rsp, %rcx
        subq    $32, %rsp
        call    cpu_dispatch
        addq    $32, %rsp
cpu_leave:
        /* rsp = frame, rax = enum cpu_leave */
        movq    %rax, LEAVE(%rsp)
        fxrstor64 FX(%rsp)
        movq    CR+0x08(%rsp), %rax
        movq    %rax, %cr2
        movq    DR+0x00(%rsp), %rax
        movq    %rax, %dr0
        movq    DR+0x08(%rsp), %rax
        movq    %rax, %dr1
        movq    DR+0x10(%rsp), %rax
        movq    %rax, %dr2
        movq    DR+0x18(%rsp), %rax
        movq    %rax, %dr3
        movq    DR+0x20(%rsp), %rax
        movq    %rax, %dr6
        movq    DR+0x28(%rsp), %rax
        movq    %rax, %dr7
        cmpq    $1, LEAVE(%rsp)                 /* the pops below keep the flags */
        leaq    SAVED(%rsp), %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %r11
        popq    %r10
        popq    %r9
        popq    %r8
        popq    %rbp
        popq    %rdi
        popq    %rsi
        popq    %rdx
        popq    %rcx
        popq    %rbx
        popq    %rax
        je      1f
        ja      2f
        leaq    16(%rsp), %rsp
        iretq
1:      leaq    8(%rsp), %rsp                   /* the chain address is in the error slot */
2:      ret                                     /* or in the vector slot */
        .seh_endproc

        .globl  cpu_frame_leave
cpu_frame_leave:
        movq    %rcx, %rsp
        movq    %rdx, %rax
        jmp     cpu_leave

/* uint64_t cpu_service(number, argument): a frame made by hand. Two nops stand at the address that
 * the debugger sees as program counter: one that steps over an expected int3 does no harm. */
        .def    cpu_service; .scl 2; .type 32; .endef
        .globl  cpu_service
        .seh_proc cpu_service
cpu_service:
        .seh_endprologue
        movq    %rsp, %rax
        movq    %ss, %r8
        pushfq
        popq    %r9
        cli
        andq    $-16, %rsp
        pushq   %r8
        pushq   %rax
        pushq   %r9
        movq    %cs, %r8
        pushq   %r8
        leaq    1f(%rip), %r8
        pushq   %r8
        pushq   $0
        leaq    0x100(%rcx), %rcx
        pushq   %rcx
        jmp     cpu_common
1:      nop
        nop
        ret
        .seh_endproc

/* uint64_t cpu_on_stack(function, argument, stack_top) */
        .def    cpu_on_stack; .scl 2; .type 32; .endef
        .globl  cpu_on_stack
        .seh_proc cpu_on_stack
cpu_on_stack:
        pushq   %rbp
        .seh_pushreg %rbp
        movq    %rsp, %rbp
        .seh_setframe %rbp, 0
        .seh_endprologue
        movq    %r8, %rsp
        subq    $32, %rsp
        movq    %rcx, %rax
        movq    %rdx, %rcx
        call    *%rax
        movq    %rbp, %rsp
        popq    %rbp
        ret
        .seh_endproc

/* size_t safe_copy(to, from, size): the number of bytes that were not copied. */
        .globl  safe_copy
safe_copy:
        pushq   %rsi
        pushq   %rdi
        movq    %rcx, %rdi
        movq    %rdx, %rsi
        movq    %r8, %rcx
safe_copy_begin:
        rep movsb
safe_copy_end:
        movq    %rcx, %rax
        popq    %rdi
        popq    %rsi
        ret

/* uint64_t safe_load(address, size, value): one access of exactly that size, for device registers */
        .globl  safe_load
safe_load:
        xorl    %eax, %eax
        cmpl    $8, %edx
        je      8f
        cmpl    $4, %edx
        je      4f
        cmpl    $2, %edx
        je      2f
safe_one_begin:
        movb    (%rcx), %al
        jmp     9f
2:      movw    (%rcx), %ax
        jmp     9f
4:      movl    (%rcx), %eax
        jmp     9f
8:      movq    (%rcx), %rax
9:      movq    %rax, (%r8)
        xorl    %eax, %eax
        ret

        .globl  safe_store
safe_store:
        xorl    %eax, %eax
        cmpl    $8, %edx
        je      8f
        cmpl    $4, %edx
        je      4f
        cmpl    $2, %edx
        je      2f
        movb    %r8b, (%rcx)
        ret
2:      movw    %r8w, (%rcx)
        ret
4:      movl    %r8d, (%rcx)
        ret
8:      movq    %r8, (%rcx)
        ret

        .globl  safe_read_msr
safe_read_msr:
        movq    %rdx, %r8
        rdmsr
        movl    %eax, (%r8)
        movl    %edx, 4(%r8)
        xorl    %eax, %eax
        ret

        .globl  safe_write_msr
safe_write_msr:
        movl    %edx, %eax
        shrq    $32, %rdx
        wrmsr
        xorl    %eax, %eax
        ret

        .globl  safe_write_cr
safe_write_cr:
        xorl    %eax, %eax
        cmpl    $3, %ecx
        je      3f
        cmpl    $4, %ecx
        je      4f
        cmpl    $8, %ecx
        je      8f
        movq    %rdx, %cr0
        ret
3:      movq    %rdx, %cr3
        ret
4:      movq    %rdx, %cr4
        ret
8:      movq    %rdx, %cr8
        ret
safe_one_end:
safe_one_exit:
        movl    $1, %eax
        ret

        .globl  safe_read_xcr0
safe_read_xcr0:
        movq    %cr4, %rax
        btl     $18, %eax                       /* OSXSAVE */
        jnc     1f
        xorl    %ecx, %ecx
        xgetbv
        shlq    $32, %rdx
        orq     %rdx, %rax
        ret
1:      xorl    %eax, %eax
        ret

        .section .rdata, "dr"
        .balign 8
        .globl  safe_ranges
safe_ranges:
        .quad   safe_copy_begin, safe_copy_end, safe_copy_end
        .quad   safe_one_begin, safe_one_end, safe_one_exit
        .globl  safe_range_count
safe_range_count:
        .quad   2
