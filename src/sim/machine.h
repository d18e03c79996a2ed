/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A simulated amd64 machine: memory, processors that really execute a subset of the instruction
 * set, modules that are real PE images with a loader list, MSRs, I/O ports, PCI configuration
 * space. It is what `kdwire sim` serves and what tests and fuzzers debug. Sans-I/O and
 * deterministic: the same start and the same calls give the same run.
 *
 * The built-in program counts, calls, loops, pushes, writes a table, calls into a
 * second module, prints now and then, and (when asked for) prompts and loads and unloads a
 * driver. Its debug services are NT's own: int 2Dh followed by int3, the service in eax.
 *
 * How to use it:
 *     sim_init(machine, config)
 *     for (;;) { sim_run(machine, 10000, &event); act on event; sim_resume(machine) after a stop }
 *     sim_close(machine)
 * and give sim_machine_ops() and the machine to kd_target_init.
 */
#ifndef KDWIRE_SIM_MACHINE_H
#define KDWIRE_SIM_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kdwire/machine.h"

enum {
    SIM_CPUS_MAX = 64,    /* what fits the idle counters of the built-in program */
    SIM_REGIONS_MAX = 24, /* the built-in ones (12 with all modules) and some of the user's */
    SIM_MODULES_MAX = 8,  /* loader entries that fit the system page */
    SIM_MSRS_MAX = 32,
    SIM_PORTS = 0x10000,
    SIM_PCI_DEVICES = 4, /* of bus 0: host bridge, ISA bridge, a network card, nothing */
    SIM_TEXT_MAX = 512,  /* longest print or prompt, as NT cuts */
    SIM_NAME_MAX = 32,
    SIM_PAGE = 4096,
};

/* The built-in machine's map. The names are the ones its guides and tests use. */
#define SIM_SYSTEM_BASE   0xFFFFF80000800000u /* GDT, IDT, loader entries, names */
#define SIM_CPU_BASE      0xFFFFF80000900000u /* one page per processor: KPCR, KPRCB, KTHREAD */
#define SIM_STACK_BASE    0xFFFFF80000A00000u /* 16 KiB per processor */
#define SIM_KERNEL_BASE   0xFFFFF80001000000u
#define SIM_HAL_BASE      0xFFFFF80001100000u
#define SIM_DRIVER_BASE   0xFFFFF80001200000u
#define SIM_ROM_BASE      0xFFFFF80001F00000u /* cannot be written */
#define SIM_PCR_OFFSET    0x000u
#define SIM_PRCB_OFFSET   0x180u
#define SIM_THREAD_OFFSET 0x800u

enum sim_access { SIM_R = 1, SIM_W = 2, SIM_X = 4, SIM_FIXED = 8 /* nobody writes: a ROM */ };

struct sim_region {
    uint64_t base, size;
    uint64_t physical; /* where its bytes are in physical memory */
    unsigned access;   /* enum sim_access, OR-ed; the debugger writes all but SIM_FIXED */
    uint8_t *bytes;    /* the machine's own */
};

enum sim_register { SIM_RAX, SIM_RCX, SIM_RDX, SIM_RBX, SIM_RSP, SIM_RBP, SIM_RSI, SIM_RDI };

struct sim_cpu {
    uint64_t gpr[16];
    uint64_t rip;
    uint64_t rflags;
    uint64_t cr0, cr2, cr3, cr4, cr8;
    uint64_t dr[8]; /* 4 and 5 unused */
    uint16_t cs, ds, es, fs, gs, ss, tr;
    uint32_t mxcsr;
    uint64_t gs_base, fs_base;
    bool halted; /* hlt: until the next break-in */
    uint64_t
        stop_skip; /* behind int 2Dh: the int3 at this address is not to be executed; 0 = none */
    uint64_t retired;
};

struct sim_module {
    char name[SIM_NAME_MAX];
    uint64_t base;
    uint32_t size, checksum;
    uint64_t entry;
    bool loaded;
};

enum sim_event_kind {
    SIM_RAN,          /* the instructions are used up */
    SIM_IDLE,         /* all processors halted */
    SIM_EXCEPTION,    /* for kd_target_report_exception */
    SIM_IMAGE_LOAD,   /* module */
    SIM_IMAGE_UNLOAD, /* module; its memory is gone */
    SIM_PRINT,        /* text */
    SIM_PROMPT,       /* text; answer with sim_answer */
};

struct sim_event {
    enum sim_event_kind kind;
    uint32_t cpu;
    uint32_t code; /* SIM_EXCEPTION: NTSTATUS */
    uint32_t parameter_count;
    uint64_t parameters[2];
    uint64_t address; /* of the instruction */
    unsigned module;
    uint32_t answer_max;
    size_t text_size;
    char text[SIM_TEXT_MAX];
};

struct sim_config {
    uint32_t cpus;         /* 0 = 1 */
    uint32_t print_every;  /* iterations of the program's loop; 0 = never */
    uint32_t prompt_every; /* the same */
    uint32_t load_every;   /* load, then unload, then load ... the driver */
    bool windows_kernel;   /* GetVersion of a kernel (0x000F) instead of a boot debugger */
};

struct sim_msr {
    uint32_t number;
    uint64_t value;
};

struct sim_machine {
    struct sim_config config;
    struct sim_cpu cpus[SIM_CPUS_MAX];
    uint8_t fxsave[SIM_CPUS_MAX][512]; /* apart: instructions copy the rest */
    uint32_t next_cpu;                 /* whose turn it is */
    struct sim_region regions[SIM_REGIONS_MAX];
    size_t region_count;
    size_t last_region; /* found last: most accesses stay there */
    struct sim_module modules[SIM_MODULES_MAX];
    size_t module_count;
    struct sim_msr msrs[SIM_MSRS_MAX];
    size_t msr_count;
    uint8_t ports[SIM_PORTS];
    uint8_t pci[SIM_PCI_DEVICES][256];
    uint64_t prompt_buffer; /* where the answer to the prompt under way goes */
    uint32_t prompt_cpu;
    uint64_t physical_next; /* first unused physical address */
};

/* KD_E_ARGUMENT for too many processors, KD_E_NO_MEMORY. sim_close is due even after a failure. */
int sim_init(struct sim_machine *machine, const struct sim_config *config);
void sim_close(struct sim_machine *machine);

/* Maps memory (zeroed); *BYTES may be NULL. KD_E_NO_SPACE, KD_E_EXISTS on overlap, KD_E_ARGUMENT
 * for size 0 or a range that wraps. */
int sim_map(struct sim_machine *machine, uint64_t base, uint64_t size, unsigned access,
            uint8_t **bytes);
/* Removes the region that starts at BASE; KD_E_NOT_FOUND. */
int sim_unmap(struct sim_machine *machine, uint64_t base);

/* Executes up to INSTRUCTIONS over all processors, in turns; stops early at an event. Returns how
 * many it tried. */
uint64_t sim_run(struct sim_machine *machine, uint64_t instructions, struct sim_event *event);
/* To be called once after each stop that was reported, before sim_run: a processor still at the
 * int3 behind int 2Dh goes on behind it; execution breakpoints at the present RIP do not fire
 * again; halted processors go on. */
void sim_resume(struct sim_machine *machine);
/* Calls the built-in int3 routine as NT's break-in does: afterwards CPU's RIP is at the int3, and
 * its `ret` leads back. Going on from there works whether or not the debugger steps over the int3.
 */
void sim_enter_break_point(struct sim_machine *machine, uint32_t cpu);
/* The user's answer to SIM_PROMPT. */
void sim_answer(struct sim_machine *machine, const uint8_t *bytes, size_t size);

const struct kd_machine_ops *sim_machine_ops(void);

/* ---- Between the simulator's own files ---- */

enum sim_fetch { SIM_READ, SIM_WRITE, SIM_EXECUTE };
/* What a processor may do itself; false = page fault. Sizes up to 16. */
bool sim_cpu_access(struct sim_machine *machine, uint64_t address, void *bytes, size_t size,
                    enum sim_fetch how);
/* One instruction of one processor; true when EVENT was filled in. */
bool sim_step(struct sim_machine *machine, uint32_t cpu, struct sim_event *event);
int sim_read_msr(struct sim_machine *machine, uint32_t cpu, uint32_t msr, uint64_t *value);
int sim_write_msr(struct sim_machine *machine, uint32_t cpu, uint32_t msr, uint64_t value);
uint32_t sim_read_port(struct sim_machine *machine, uint16_t port, uint32_t size);
void sim_write_port(struct sim_machine *machine, uint16_t port, uint32_t size, uint32_t value);

/* image.c: builds a module's image at its base and keeps the loader list right. */
int sim_modules_init(struct sim_machine *machine);
int sim_module_load(struct sim_machine *machine, unsigned module);
int sim_module_unload(struct sim_machine *machine, unsigned module);
uint64_t sim_loaded_module_list(void);

/* program.c: the code of the built-in modules. */
struct sim_code {
    const uint8_t *bytes;
    size_t size;
};
extern const struct sim_code sim_kernel_code, sim_hal_code, sim_driver_code;

/* The modules by number, and places in them (RVAs) that machine, guides and tests name. */
enum { SIM_KERNEL, SIM_HAL, SIM_DRIVER, SIM_BUILT_IN_MODULES };
enum {
    SIM_RVA_TEXT = 0x1000,
    SIM_RVA_RDATA = 0x2000,
    SIM_RVA_DATA = 0x3000,
    SIM_IMAGE_SIZE = 0x4000,
    SIM_RVA_MAIN = 0x1000,
    SIM_RVA_WORK = 0x1070,
    SIM_RVA_FIB = 0x10B0,
    SIM_RVA_SAY = 0x10D0,
    SIM_RVA_IDLE = 0x1170,
    SIM_RVA_BREAK_POINT = 0x1180,
    SIM_RVA_TICK_TEXT = 0x2100,
    SIM_RVA_QUESTION_TEXT = 0x2140,
    SIM_RVA_COUNTER = 0x3000,
    SIM_RVA_PRINT_LEFT = 0x3008,
    SIM_RVA_PROMPT_LEFT = 0x3010,
    SIM_RVA_LOAD_LEFT = 0x3018,
    SIM_RVA_HAL_ENTRY = 0x3028,
    SIM_RVA_DRIVER_ENTRY = 0x3030,
    SIM_RVA_RESULTS = 0x3040,
    SIM_RVA_IDLE_COUNTS = 0x30C0,
    SIM_RVA_ANSWER = 0x32C0,
};

#endif
