/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest_test.efi: the program that the tests of windbg.efi debug. Its load options name one thing
 * to do; what it saw it reports on QEMU's debug console, which the engine does not know of, so that
 * a test compares the debugger's view with the program's.
 *
 * First come lines "sym NAME=ADDRESS" and "guest: begin"; "guest: end" comes last.
 */
#include "guest.h"

#include <kdwire/efi_debug.h>

#include <string.h>

struct probe {
    uint64_t general[16];
    uint8_t xmm[16][16];
};

/* guest_asm.S */
extern struct probe probe_in, probe_out;
extern volatile uint64_t exec_count, watch_variable, ap_hits;
extern const uint8_t probe_int3[], rip_other[], watch_written[], bad_rsp_int3[], bad_push_push[];
void probe_registers(void);
uint64_t rip_probe(void);
void six_nops(void);
void exec_target(void);
void watch_write(uint64_t value);
void bad_rsp(void);
void bad_push(void);
void write_at(uint64_t address, uint64_t value);
void undefined_at(void);
uint64_t divide_at(uint64_t a, uint64_t b, uint64_t divisor);
void EFIAPI ap_int3(void *argument);

/* The debugger writes 1 here to end a spin. */
static volatile uint64_t release;
/* Counts rounds of a spin: proof that the program went on. */
static volatile uint64_t rounds;
static KDWIRE_DEBUG_PROTOCOL *debug;
static uint8_t memory_map[64 << 10];

/* Repeats of the small loops. */
#define REPEATS 3u
/* One spin of Stall: long enough that a break-in falls into it. */
#define STALL_US 20000u
/* A spin that goes on shows it: a dot every so many rounds. */
#define ROUNDS_PER_DOT 0x1000u
/* UART registers, for the raw rate. */
#define UART_BURST   16u
#define LSR          5u
#define LSR_TX_EMPTY 0x20u
/* What the buffer command fills; a test's 1 MiB and some more. */
#define BUFFER_MAX (16u << 20)
/* How long the other processors may take, in microseconds. */
#define AP_PATIENCE_US 20000000u

#define SYMBOL(name)   say_hex("sym " #name "=", (uint64_t)(uintptr_t)(name), "\n")

static void symbols(void)
{
    SYMBOL(probe_int3);
    SYMBOL(rip_probe);
    SYMBOL(rip_other);
    SYMBOL(six_nops);
    SYMBOL(exec_target);
    SYMBOL(watch_written);
    SYMBOL(bad_rsp_int3);
    SYMBOL(bad_push_push);
    SYMBOL(read_at);
    SYMBOL(write_at);
    SYMBOL(undefined_at);
    SYMBOL(divide_at);
    SYMBOL(ap_int3);
    SYMBOL(foreign_handler);
    SYMBOL(&release);
    SYMBOL(&rounds);
    SYMBOL(&watch_variable);
    SYMBOL(&exec_count);
}

static void do_int3(const char *argument)
{
    (void)argument;
    __asm__ volatile("int3");
    say("guest: went on\n");
}

static void do_loop(const char *argument)
{
    (void)argument;
    while (release == 0) {
        rounds++;
        __asm__ volatile("int3");
    }
    say_hex("\nguest: rounds ", rounds, "\n");
}

/* Registers hold 0x1111.. x their number, XMM bytes 0x10 x register + byte. */
static void do_registers(const char *argument)
{
    static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    unsigned i, j;

    (void)argument;
    for (i = 0; i < 16; i++) {
        probe_in.general[i] = 0x0101010101010101u * (i + 1);
        for (j = 0; j < 16; j++)
            probe_in.xmm[i][j] = (uint8_t)(i * 16 + j);
    }
    probe_registers();
    for (i = 0; i < 16; i++) {
        say("saw ");
        say(names[i]);
        say_hex("=", probe_out.general[i], "\n");
    }
    for (i = 0; i < 16; i++) {
        uint64_t half[2];

        memcpy(half, probe_out.xmm[i], sizeof half);
        say_hex("saw xmm", i, "=");
        say_hex("", half[1], ":");
        say_hex("", half[0], "\n");
    }
}

static void do_rip(const char *argument)
{
    (void)argument;
    say_hex("guest: rip_probe returned ", rip_probe(), "\n");
}

static void do_ebs(const char *argument);

/* "nops ebs": leave boot services afterwards. */
static void do_nops(const char *argument)
{
    six_nops();
    say("guest: stepped\n");
    if (text_equal(argument, "ebs"))
        do_ebs("");
}

/* Stops once so that the debugger can set its breakpoints, then calls what it set them on. */
static void do_hardware(const char *argument)
{
    uint64_t i;

    (void)argument;
    __asm__ volatile("int3");
    for (i = 0; i < REPEATS; i++) {
        exec_target();
        watch_write(0x100 + i);
    }
    say_hex("guest: exec ", exec_count, "");
    say_hex(" watch ", watch_variable, "\n");
}

static void do_bad_stack(const char *argument)
{
    (void)argument;
    bad_rsp();
    say("guest: survived bad rsp\n");
    bad_push();
    say("guest: survived bad push\n");
}

void guest_spin(void)
{
    say("guest: spinning\n");
    while (release == 0) {
        if (++rounds % ROUNDS_PER_DOT == 0)
            say(".");
        __asm__ volatile("pause");
    }
}

static void do_spin(const char *argument)
{
    EFI_TPL level = (EFI_TPL)text_number(argument, NULL);
    EFI_TPL old = boot_services->RaiseTPL(level);

    guest_spin();
    boot_services->RestoreTPL(old);
    say_hex("\nguest: rounds ", rounds, "\n");
}

static void do_stall(const char *argument)
{
    (void)argument;
    say("guest: spinning\n");
    while (release == 0) {
        rounds++;
        boot_services->Stall(STALL_US);
        say(".");
    }
    say_hex("\nguest: rounds ", rounds, "\n");
}

static void do_cli(const char *argument)
{
    (void)argument;
    __asm__ volatile("cli");
    guest_spin();
    __asm__ volatile("sti");
    say_hex("\nguest: rounds ", rounds, "\n");
}

/* A driver's life, seen from the module list: loaded and started twice, then loaded and dropped. */
static void do_child(const char *argument)
{
    static const EFI_GUID loaded_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    EFI_LOADED_IMAGE_PROTOCOL *loaded;
    EFI_HANDLE handle;
    EFI_STATUS status;
    void *data;
    UINTN size;
    unsigned round;

    (void)argument;
    status = fw_cfg_load("opt/kd/child.efi", &data, &size);
    for (round = 1; round <= REPEATS && !EFI_ERROR(status); round++) {
        status = image_load(data, size, "count=1", &handle);
        if (EFI_ERROR(status))
            break;
        boot_services->HandleProtocol(handle, &loaded_guid, (void **)&loaded);
        say_hex("guest: child at ", (uint64_t)(uintptr_t)loaded->ImageBase, "\n");
        if (round < REPEATS)
            status = boot_services->StartImage(handle, NULL, NULL);
        else
            status = boot_services->UnloadImage(handle);
        say_hex("guest: child gone ", status, "\n");
    }
}

static EFI_STATUS leave_boot_services(UINTN *size, UINTN *descriptor_size)
{
    EFI_STATUS status = EFI_INVALID_PARAMETER;
    uint32_t version;
    UINTN key;
    unsigned i;

    /* The first try may fail because handlers of the event change the map; the spec allows one
     * more. */
    for (i = 0; i < REPEATS && EFI_ERROR(status); i++) {
        *size = sizeof memory_map;
        status = boot_services->GetMemoryMap(size, (EFI_MEMORY_DESCRIPTOR *)(void *)memory_map,
                                             &key, descriptor_size, &version);
        if (!EFI_ERROR(status))
            status = boot_services->ExitBootServices(this_image, key);
    }
    return status;
}

static void reset(void)
{
    system_table->RuntimeServices->ResetSystem(EfiResetCold, EFI_SUCCESS, 0, NULL);
}

/* "ebs": leave, spin with interrupts as they are, reset. "ebs int3": leave, int3, reset. */
static void do_ebs(const char *argument)
{
    UINTN size, descriptor_size;

    guest_say_gate("gate before", 3);
    say_hex("guest: left boot services ", leave_boot_services(&size, &descriptor_size), "\n");
    guest_say_gate("gate after", 3);
    if (text_equal(argument, "int3"))
        __asm__ volatile("int3");
    else if (text_equal(argument, "spin")) {
        __asm__ volatile("sti");
        guest_spin();
    }
    say("guest: after boot services\n");
    reset();
}

static void do_virtual(const char *argument)
{
    UINTN size, descriptor_size, at;
    EFI_STATUS status;

    (void)argument;
    say_hex("guest: left boot services ", leave_boot_services(&size, &descriptor_size), "\n");
    for (at = 0; at + descriptor_size <= size; at += descriptor_size) {
        EFI_MEMORY_DESCRIPTOR *descriptor = (EFI_MEMORY_DESCRIPTOR *)(void *)&memory_map[at];

        descriptor->VirtualStart = descriptor->PhysicalStart;
    }
    status = system_table->RuntimeServices->SetVirtualAddressMap(
        size, descriptor_size, 1, (EFI_MEMORY_DESCRIPTOR *)(void *)memory_map);
    say_hex("guest: virtual address map ", status, "\n");
    reset();
}

static void do_processors(const char *argument)
{
    static const EFI_GUID mp_guid = EFI_MP_SERVICES_PROTOCOL_GUID;
    EFI_MP_SERVICES_PROTOCOL *mp;
    UINTN all = 0, enabled = 0;
    EFI_STATUS status;

    (void)argument;
    status = boot_services->LocateProtocol(&mp_guid, NULL, (void **)&mp);
    if (!EFI_ERROR(status))
        status = mp->GetNumberOfProcessors(mp, &all, &enabled);
    say_hex("guest: processors ", enabled, "\n");
    if (!EFI_ERROR(status))
        status = mp->StartupAllAPs(mp, ap_int3, 0, NULL, AP_PATIENCE_US, NULL, NULL);
    say_hex("guest: processors done ", status, "");
    say_hex(" hits ", ap_hits, "\n");
}

/* Faults: "read ADDRESS", "write ADDRESS", "ud2", "divide". The debugger helps the program out. */
static void do_read(const char *argument)
{
    say_hex("guest: read ", read_at(text_number(argument, NULL)), "\n");
}

static void do_write(const char *argument)
{
    write_at(text_number(argument, NULL), 1);
    say("guest: written\n");
}

static void do_undefined(const char *argument)
{
    (void)argument;
    undefined_at();
    say("guest: passed ud2\n");
}

static void do_divide(const char *argument)
{
    (void)argument;
    say_hex("guest: divided ", divide_at(0, 0, 0), "\n");
}

/* Code that lies in read-only pages: a runtime service of the firmware. */
static void do_service(const char *argument)
{
    static const EFI_GUID any_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    const void *service = (const void *)(uintptr_t)system_table->RuntimeServices->GetVariable;
    UINTN size = 0;
    unsigned i;

    (void)argument;
    say_hex("sym service=", (uint64_t)(uintptr_t)service, "\n");
    __asm__ volatile("int3");
    for (i = 0; i < REPEATS; i++)
        system_table->RuntimeServices->GetVariable(L"none", &any_guid, NULL, &size, NULL);
    say("guest: served\n");
}

/* "buffer SIZE": memory with a pattern (32-bit little-endian: offset x 0x9E3779B1 >> 7), then int3.
 */
static void do_buffer(const char *argument)
{
    UINTN size = text_number(argument, NULL), i;
    EFI_PHYSICAL_ADDRESS address = 0;
    uint32_t *words;

    if (size > BUFFER_MAX)
        size = BUFFER_MAX;
    if (EFI_ERROR(boot_services->AllocatePages(AllocateAnyPages, EfiLoaderData,
                                               (size + 4095) / 4096, &address)))
        return;
    words = (uint32_t *)(uintptr_t)address;
    for (i = 0; i < size / 4; i++)
        words[i] = (uint32_t)((uint32_t)(i * 4) * 0x9E3779B1u) >> 7;
    say_hex("sym buffer=", address, "\n");
    __asm__ volatile("int3");
    say("guest: buffer done\n");
}

/* "burst PORT COUNT": COUNT bytes to the UART in bursts of its FIFO, nothing else: the raw rate. */
static void do_burst(const char *argument)
{
    const char *rest;
    uint16_t port = (uint16_t)text_number(argument, &rest);
    uint64_t count = text_number(rest + 1, NULL), at;
    unsigned i;

    port_write8((uint16_t)(port + 1), 0);
    port_write8((uint16_t)(port + 3), 0x83);
    port_write8(port, 1);
    port_write8((uint16_t)(port + 1), 0);
    port_write8((uint16_t)(port + 3), 3);
    port_write8((uint16_t)(port + 2), 0xC7);
    port_write8((uint16_t)(port + 4), 0x0B);
    say("guest: burst\n");
    for (at = 0; at < count; at += UART_BURST) {
        while ((port_read8((uint16_t)(port + LSR)) & LSR_TX_EMPTY) == 0) {
        }
        for (i = 0; i < UART_BURST; i++)
            port_write8(port, (uint8_t)(at + i));
    }
    say("guest: burst done\n");
}

/* "print COUNT": lines through the application protocol, which must arrive in order, none missing.
 */
static void do_print(const char *argument)
{
    uint64_t count = text_number(argument, NULL), i;
    char line[] = "line 0000\n";

    if (debug == NULL)
        return;
    for (i = 0; i < count; i++) {
        unsigned digit;

        for (digit = 0; digit < 4; digit++)
            line[8 - digit] = "0123456789abcdef"[i >> (4 * digit) & 15];
        debug->PrintAscii(debug, line);
    }
    debug->Print(debug, L"wide text\n");
}

/* The old interface prints as well. */
static void do_legacy(const char *argument)
{
    static const EFI_GUID legacy_guid = KDWIRE_LEGACY_DEBUG_PROTOCOL_GUID;
    KDWIRE_LEGACY_DEBUG_PROTOCOL *legacy;
    EFI_STATUS status;

    (void)argument;
    status = boot_services->LocateProtocol(&legacy_guid, NULL, (void **)&legacy);
    say_hex("guest: legacy ", status, "\n");
    if (!EFI_ERROR(status))
        legacy->OutputMsg(L"old but printing\n");
}

/* Every function of the application protocol that talks back. */
static void do_protocol(const char *argument)
{
    char answer[32];
    UINTN size = sizeof answer;
    EFI_STATUS status;

    (void)argument;
    if (debug == NULL)
        return;
    say_hex("guest: attached ", debug->IsDebuggerAttached(debug), "\n");
    status = debug->Break(debug);
    say_hex("guest: break returned ", status, "\n");
    status = debug->Prompt(debug, "name? ", answer, &size);
    say_hex("guest: prompt ", status, "");
    say_hex(" size ", size, " text ");
    say(EFI_ERROR(status) ? "" : answer);
    say("\n");
    status = debug->Command(debug, ".echo hi");
    say_hex("guest: command ", status, "\n");
    status = debug->ReportLoad(debug, (uint64_t)(uintptr_t)memory_map, 0x1000, "made");
    say_hex("guest: report load ", status, "\n");
    status = debug->ReportUnload(debug, (uint64_t)(uintptr_t)memory_map);
    say_hex("guest: report unload ", status, "\n");
}

static void do_break_on_load(const char *argument)
{
    if (debug != NULL)
        say_hex("guest: break on load ", debug->BreakOnLoad(debug, "HELLO"), "\n");
    do_child(argument);
}

static void do_nothing(const char *argument)
{
    (void)argument;
}

static const struct {
    const char *name;
    void (*run)(const char *argument);
} commands[] = {
    {"int3", do_int3},
    {"loop", do_loop},
    {"registers", do_registers},
    {"rip", do_rip},
    {"nops", do_nops},
    {"hardware", do_hardware},
    {"bad-stack", do_bad_stack},
    {"spin", do_spin},
    {"stall", do_stall},
    {"cli", do_cli},
    {"child", do_child},
    {"ebs", do_ebs},
    {"virtual", do_virtual},
    {"processors", do_processors},
    {"read", do_read},
    {"write", do_write},
    {"ud2", do_undefined},
    {"divide", do_divide},
    {"service", do_service},
    {"buffer", do_buffer},
    {"burst", do_burst},
    {"print", do_print},
    {"legacy", do_legacy},
    {"protocol", do_protocol},
    {"break-on-load", do_break_on_load},
    {"gate", guest_replace_gate},
    {"table", guest_replace_table},
    {"unload", guest_unload_engine},
    {"stacks", guest_bring_own_stacks},
    {"spoil", guest_spoil_image_table},
    {"watchdog", guest_arm_watchdog},
    {"acpi", guest_publish_acpi_late},
    {"nothing", do_nothing},
};

static void image_range(void)
{
    static const EFI_GUID loaded_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    EFI_LOADED_IMAGE_PROTOCOL *loaded;

    if (EFI_ERROR(boot_services->HandleProtocol(this_image, &loaded_guid, (void **)&loaded)))
        return;
    say_hex("sym image=", (uint64_t)(uintptr_t)loaded->ImageBase, "\n");
    say_hex("sym image_size=", loaded->ImageSize, "\n");
}

/* The load options as 8-bit text. */
static void get_options(char *text, size_t size)
{
    static const EFI_GUID loaded_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    EFI_LOADED_IMAGE_PROTOCOL *loaded;
    size_t i = 0;

    if (!EFI_ERROR(boot_services->HandleProtocol(this_image, &loaded_guid, (void **)&loaded)) &&
        loaded->LoadOptions != NULL) {
        const CHAR16 *wide = loaded->LoadOptions;

        for (; i < size - 1 && i < loaded->LoadOptionsSize / 2 && wide[i] != 0; i++)
            text[i] = (char)wide[i];
    }
    text[i] = 0;
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    static const EFI_GUID debug_guid = KDWIRE_DEBUG_PROTOCOL_GUID;
    char options[128];
    size_t i;

    common_init(image, system);
    if (EFI_ERROR(boot_services->LocateProtocol(&debug_guid, NULL, (void **)&debug)))
        debug = NULL;
    get_options(options, sizeof options);
    symbols();
    image_range();
    for (i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const char *rest = text_after(options, commands[i].name);

        if (rest != NULL && (*rest == 0 || *rest == ' ')) {
            say("guest: begin\n");
            commands[i].run(*rest == ' ' ? rest + 1 : rest);
            say("guest: end\n");
            return EFI_SUCCESS;
        }
    }
    say("guest: no such command\n");
    return EFI_INVALID_PARAMETER;
}
