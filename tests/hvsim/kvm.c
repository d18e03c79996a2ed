/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hvsim-kvm GUEST: a small virtual machine monitor on /dev/kvm with the simulated Hyper-V host
 * behind it. The guest runs the VMBus client at CPL 0: real #GP and #UD, real exits on its
 * registers and hypercalls, a real interrupt where SINTs are not polled. Exits 77 (skipped), saying
 * so, where /dev/kvm is not there or too old.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hvsim.h"
#include "kvm_guest.h"
#include "vmbus/guid.h"

enum {
    SKIPPED = 77,
    MEMORY = 16 * 1024 * 1024,
    FIRMWARE_AT = 0x8000, /* three pages */
    TABLES_AT = 0x10000,  /* page tables and GDT */
    STACK_TOP = 0x90000,
    TRAFFIC = 200000,
    PATIENCE_S = 60,
    HV_MSRS = 0x40000000,
    HV_MSR_COUNT = 0x100,
};

static struct {
    struct hvsim sim;
    struct hvsim_channel *channel;
    uint8_t *memory;
    int kvm, vm, cpu;
    struct kvm_run *run;
    pthread_t host, guest;
    int vector;  /* to be injected; 0: none. Atomic */
    bool ending; /* atomic */
    bool wrong;
    size_t echoed;
} v;

static void skip(const char *why)
{
    printf("hvsim-kvm: skipped: %s (%s)\n", why, strerror(errno));
    exit(SKIPPED);
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- The machine ---- */

static void load_guest(const char *path, uint64_t *entry)
{
    static uint8_t file[4 * 1024 * 1024];
    FILE *in = fopen(path, "rb");
    size_t size = in != NULL ? fread(file, 1, sizeof file, in) : 0;
    Elf64_Ehdr header;

    if (in == NULL || size < sizeof header)
        die(path);
    fclose(in);
    memcpy(&header, file, sizeof header);
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr part;

        memcpy(&part, file + header.e_phoff + (size_t)i * sizeof part, sizeof part);
        if (part.p_type != PT_LOAD)
            continue;
        if (part.p_paddr + part.p_memsz > MEMORY || part.p_offset + part.p_filesz > size) {
            fprintf(stderr, "%s does not fit\n", path);
            exit(1);
        }
        memcpy(v.memory + part.p_paddr, file + part.p_offset, part.p_filesz);
    }
    *entry = header.e_entry;
}

/* Long mode, the first GiB mapped to itself, flat segments. */
static void set_registers(uint64_t entry)
{
    uint64_t *tables = (uint64_t *)(void *)(v.memory + TABLES_AT);
    struct kvm_segment code = {.limit = 0xFFFFFFFFu,
                               .selector = GUEST_CS,
                               .type = 11,
                               .present = 1,
                               .s = 1,
                               .l = 1,
                               .g = 1};
    struct kvm_segment data = {
        .limit = 0xFFFFFFFFu, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    struct kvm_regs regs = {.rip = entry, .rsp = STACK_TOP - 8, .rflags = 2};
    struct kvm_sregs special;

    tables[0] = (TABLES_AT + 4096) | 3;
    tables[512] = 0x83; /* one page of 1 GiB */
    tables[1024 + 1] = 0x00AF9B000000FFFFu;
    tables[1024 + 2] = 0x00CF93000000FFFFu;
    if (ioctl(v.cpu, KVM_GET_SREGS, &special) != 0)
        die("KVM_GET_SREGS");
    special.cs = code;
    special.ds = special.es = special.fs = special.gs = special.ss = data;
    special.gdt.base = TABLES_AT + 2 * 4096;
    special.gdt.limit = 23;
    special.cr0 = 0x80000033u;
    special.cr3 = TABLES_AT;
    special.cr4 = 0x620; /* PAE, SSE */
    special.efer = 0x500;
    if (ioctl(v.cpu, KVM_SET_SREGS, &special) != 0 || ioctl(v.cpu, KVM_SET_REGS, &regs) != 0)
        die("KVM_SET_SREGS");
}

static void set_cpuid(void)
{
    static const uint32_t leaves[] = {1,          0x40000000, 0x40000001, 0x40000002,
                                      0x40000003, 0x40000004, 0x40000005, 0x4000000C};
    struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 entries[128];
    } all = {.head = {.nent = 128}};
    unsigned n = 0;

    if (ioctl(v.kvm, KVM_GET_SUPPORTED_CPUID, &all) != 0)
        die("KVM_GET_SUPPORTED_CPUID");
    for (unsigned i = 0; i < all.head.nent; i++) {
        if (all.entries[i].function >> 28 == 4)
            continue; /* KVM's own */
        all.entries[n] = all.entries[i];
        if (all.entries[n].function == 1)
            all.entries[n].ecx |= 0x80000000u;
        n++;
    }
    for (unsigned i = 1; i < sizeof leaves / sizeof leaves[0] && n < 128; i++) {
        uint32_t r[4];

        hvsim_cpuid(&v.sim, leaves[i], r);
        all.entries[n++] = (struct kvm_cpuid_entry2){
            .function = leaves[i], .eax = r[0], .ebx = r[1], .ecx = r[2], .edx = r[3]};
    }
    all.head.nent = n;
    if (ioctl(v.cpu, KVM_SET_CPUID2, &all) != 0)
        die("KVM_SET_CPUID2");
}

/* Hyper-V's registers come to us; all others are the processor's. */
static void trap_registers(void)
{
    static uint8_t none[HV_MSR_COUNT / 8];
    struct kvm_enable_cap exits = {.cap = KVM_CAP_X86_USER_SPACE_MSR,
                                   .args = {KVM_MSR_EXIT_REASON_FILTER |
                                            KVM_MSR_EXIT_REASON_UNKNOWN |
                                            KVM_MSR_EXIT_REASON_INVAL}};
    struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
                                    .ranges = {{.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
                                                .nmsrs = HV_MSR_COUNT,
                                                .base = HV_MSRS,
                                                .bitmap = none}}};

    if (ioctl(v.vm, KVM_ENABLE_CAP, &exits) != 0 ||
        ioctl(v.vm, KVM_X86_SET_MSR_FILTER, &filter) != 0)
        skip("this kernel does not hand registers to programs (Linux 5.10 does)");
}

static void make_machine(void)
{
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY};
    int size;

    v.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (v.kvm < 0)
        skip("/dev/kvm cannot be opened");
    v.vm = ioctl(v.kvm, KVM_CREATE_VM, 0);
    if (v.vm < 0)
        skip("no virtual machine can be made");
    v.memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (v.memory == MAP_FAILED)
        die("guest memory");
    region.userspace_addr = (uint64_t)(uintptr_t)v.memory;
    if (ioctl(v.vm, KVM_SET_USER_MEMORY_REGION, &region) != 0)
        die("KVM_SET_USER_MEMORY_REGION");
    trap_registers();
    v.cpu = ioctl(v.vm, KVM_CREATE_VCPU, 0);
    size = ioctl(v.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (v.cpu < 0 || size < 0)
        die("KVM_CREATE_VCPU");
    v.run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, v.cpu, 0);
    if (v.run == MAP_FAILED)
        die("the processor's state");
}

/* ---- Exits ---- */

static void install_page(void *context, uint64_t gpa)
{
    static const uint8_t text[] = {0xE6, PORT_HYPERCALL, 0xC3}; /* out, ret */

    (void)context;
    memcpy(v.memory + gpa, text, sizeof text);
}

static void on_hypercall(void)
{
    struct kvm_regs regs;

    if (ioctl(v.cpu, KVM_GET_REGS, &regs) != 0)
        die("KVM_GET_REGS");
    regs.rax = hvsim_hypercall(&v.sim, regs.rcx, regs.rdx, regs.r8);
    if (ioctl(v.cpu, KVM_SET_REGS, &regs) != 0)
        die("KVM_SET_REGS");
}

static void on_register(bool write)
{
    uint64_t value = v.run->msr.data;
    bool known = write ? hvsim_write_msr(&v.sim, v.run->msr.index, value)
                       : hvsim_read_msr(&v.sim, v.run->msr.index, &value);

    v.run->msr.error = !known; /* #GP */
    v.run->msr.data = value;
}

static void inject(void)
{
    int vector = __atomic_load_n(&v.vector, __ATOMIC_ACQUIRE);
    struct kvm_interrupt interrupt = {.irq = (uint32_t)vector};

    v.run->request_interrupt_window = 0;
    if (vector == 0)
        return;
    if (v.run->ready_for_interrupt_injection && v.run->if_flag) {
        if (ioctl(v.cpu, KVM_INTERRUPT, &interrupt) == 0)
            __atomic_store_n(&v.vector, 0, __ATOMIC_RELEASE);
    } else {
        v.run->request_interrupt_window = 1;
    }
}

/* The guest's result. */
static int run_guest(void)
{
    for (;;) {
        inject();
        if (ioctl(v.cpu, KVM_RUN, 0) != 0) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            die("KVM_RUN");
        }
        switch (v.run->exit_reason) {
        case KVM_EXIT_X86_RDMSR:
        case KVM_EXIT_X86_WRMSR:
            on_register(v.run->exit_reason == KVM_EXIT_X86_WRMSR);
            break;
        case KVM_EXIT_IO:
            if (v.run->io.port == PORT_RESULT)
                return *((uint8_t *)v.run + v.run->io.data_offset);
            on_hypercall();
            break;
        case KVM_EXIT_IRQ_WINDOW_OPEN:
        case KVM_EXIT_INTR:
            break;
        default:
            fprintf(stderr, "hvsim-kvm: the guest stopped with exit reason %u\n",
                    v.run->exit_reason);
            return 0;
        }
    }
}

/* ---- The host ---- */

static void interrupt_guest(void *context, uint8_t vector)
{
    (void)context;
    __atomic_store_n(&v.vector, (int)vector, __ATOMIC_RELEASE);
    pthread_kill(v.guest, SIGUSR1);
}

static void on_kick(int number)
{
    (void)number; /* only to leave KVM_RUN */
}

static uint8_t traffic(size_t at)
{
    return (uint8_t)(at * 31 & 0x3F);
}

/* Sends, compares what is echoed, and says END when all of it has come back. */
static void *host_thread(void *argument)
{
    static const uint8_t end = END;
    size_t sent = 0, got = 0;

    while (!__atomic_load_n(&v.ending, __ATOMIC_ACQUIRE)) {
        uint8_t block[1000];
        size_t n = TRAFFIC - sent < sizeof block ? TRAFFIC - sent : sizeof block;

        hvsim_run(&v.sim);
        for (size_t i = 0; i < n; i++)
            block[i] = traffic(sent + i);
        sent += hvsim_write(&v.sim, v.channel, block, n);
        n = hvsim_read(&v.sim, v.channel, block, sizeof block);
        for (size_t i = 0; i < n && got < TRAFFIC; i++, got++)
            v.wrong = v.wrong || block[i] != traffic(got);
        if (got == TRAFFIC && v.echoed != TRAFFIC && hvsim_write(&v.sim, v.channel, &end, 1) == 1)
            v.echoed = got;
    }
    return argument;
}

static int run(const char *guest, bool firmware, bool polling)
{
    struct hvsim_config config = {
        .host = HVSIM_2022,
        .firmware = firmware,
        .no_polling = !polling,
        .firmware_pages = {FIRMWARE_AT, FIRMWARE_AT + HVSIM_PAGE, FIRMWARE_AT + 2 * HVSIM_PAGE}};
    uint64_t entry;
    int result;

    memset(&v, 0, sizeof v);
    make_machine();
    hvsim_init(&v.sim, &config);
    hvsim_add_memory(&v.sim, 0, MEMORY, v.memory);
    v.sim.install_page = install_page;
    v.sim.interrupt = interrupt_guest;
    v.guest = pthread_self();
    if (firmware)
        hvsim_boot_firmware(&v.sim);
    v.channel = hvsim_offer_pipe(&v.sim, vmbus_kdwire_type.bytes, vmbus_kdwire_instance.bytes, 0);
    load_guest(guest, &entry);
    set_cpuid();
    set_registers(entry);
    if (pthread_create(&v.host, NULL, host_thread, NULL) != 0)
        die("the host's thread");
    alarm(PATIENCE_S);
    result = run_guest();
    alarm(0);
    __atomic_store_n(&v.ending, true, __ATOMIC_RELEASE);
    pthread_join(v.host, NULL);
    printf("hvsim-kvm: %s, %s: result %d, %zu bytes echoed, %u violations%s%s\n",
           firmware ? "beside firmware" : "alone", polling ? "polled" : "with interrupts", result,
           v.echoed, v.sim.violations, v.sim.violations != 0 ? ": " : "", v.sim.violation);
    close(v.cpu);
    close(v.vm);
    close(v.kvm);
    return result != (polling ? RESULT_DONE : RESULT_DONE_WITH_INTERRUPTS) || v.wrong ||
           v.echoed != TRAFFIC || v.sim.violations != 0;
}

int main(int argc, char **argv)
{
    struct sigaction kick = {.sa_handler = on_kick};

    if (argc != 2) {
        fprintf(stderr, "usage: hvsim-kvm GUEST\n");
        return 2;
    }
    sigaction(SIGUSR1, &kick, NULL);
    return run(argv[1], true, true) | run(argv[1], true, false) | run(argv[1], false, true);
}
