/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hvsim-qemu: the simulated Hyper-V host behind a guest in QEMU's software emulation.
 *
 * The guest's memory is a file that both map. Its privileged instructions are met by breakpoints of
 * QEMU's debugger interface: the engine's RDMSR, WRMSR and CPUID, and the first byte of the
 * hypercall page. Each is answered by the simulator, and the guest goes on behind it. So the image
 * under test is the one that is shipped, byte for byte.
 *
 *   hvsim-qemu GDB-SOCKET RAM-FILE PAGES EVENT RELEASE RDMSR WRMSR CPUID KD-SOCKET HOST MODE
 *
 * PAGES, EVENT and RELEASE are hvfw.efi's (hexadecimal); RDMSR, WRMSR and CPUID the addresses of
 * the engine's functions that contain the instructions; KD-SOCKET is made here and is the host's
 * end of the pipe; HOST is an index of hvsim_host_names; MODE is pipe, windbg-uefi (its GUID),
 * socket, isolated, none (no hypervisor) or silent (nothing is offered). Lines on standard input:
 * offer, rescind. Lines on standard output: what happened. Ends with the guest, and says then what
 * the host counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hvsim.h"
#include "vmbus/framing.h"
#include "vmbus/guid.h"

enum {
    RAX = 0,
    RBX = 1,
    RCX = 2,
    RDX = 3,
    RSP = 7,
    R8 = 8,
    RIP = 16,
    REGISTERS = 17,
    REPLY_MAX = 16384,
    SCAN = 96, /* bytes of a function in which its instruction is */
    IDLE_MS = 5,
};

static struct {
    struct hvsim sim;
    struct hvsim_channel *channel;
    uint8_t type[16];
    bool socket, framed;
    struct vmbus_framing framing; /* the host's side of it */
    int gdb, listener, kd;
    uint8_t *ram;
    uint64_t ram_size;
    uint64_t rdmsr, wrmsr, cpuid, event, hypercall;
    uint64_t r[REGISTERS];
    char in[REPLY_MAX];
    size_t in_size;
    uint8_t from_kd[4096];
    size_t from_kd_at, from_kd_size;
    uint64_t signals_seen;
    unsigned traps;
} q;

static void say(const char *text)
{
    puts(text);
    fflush(stdout);
}

static void die(const char *what)
{
    fprintf(stderr, "hvsim-qemu: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The guest has ended. */
static void finish(void)
{
    printf(
        "{\"violations\":%u,\"violation\":\"%s\",\"signals\":%llu,\"contacts\":%u,\"unloads\":%u,"
        "\"posts\":%llu,\"traps\":%u,\"version\":%u,\"sint\":%u}\n",
        q.sim.violations, q.sim.violation, (unsigned long long)q.sim.signals, q.sim.contacts,
        q.sim.unloads, (unsigned long long)q.sim.posts, q.traps, q.sim.version, q.sim.message_sint);
    fflush(stdout);
    exit(0);
}

/* ---- QEMU's debugger interface ---- */

static void gdb_send(const char *text)
{
    char packet[256];
    unsigned sum = 0;
    int n;

    for (const char *c = text; *c != 0; c++)
        sum += (unsigned char)*c;
    n = snprintf(packet, sizeof packet, "$%s#%02x", text, sum & 0xFF);
    if (write(q.gdb, packet, (size_t)n) != n)
        finish();
}

/* The next packet's text in REPLY; false: none is whole yet. */
static bool gdb_take(char *reply)
{
    char *start = memchr(q.in, '$', q.in_size), *end;
    size_t used;

    if (start == NULL)
        return false;
    end = memchr(start, '#', q.in_size - (size_t)(start - q.in));
    if (end == NULL || (size_t)(end - q.in) + 3 > q.in_size)
        return false;
    memcpy(reply, start + 1, (size_t)(end - start - 1));
    reply[end - start - 1] = 0;
    used = (size_t)(end - q.in) + 3;
    memmove(q.in, q.in + used, q.in_size - used);
    q.in_size -= used;
    return true;
}

static bool gdb_fill(void)
{
    ssize_t n = read(q.gdb, q.in + q.in_size, sizeof q.in - q.in_size);

    if (n <= 0)
        return false;
    q.in_size += (size_t)n;
    return true;
}

/* QEMU also reports that it stopped for us when we came; no answer begins like that. */
static void gdb_call(const char *text, char *reply)
{
    gdb_send(text);
    do {
        while (!gdb_take(reply)) {
            if (!gdb_fill())
                finish();
        }
    } while (reply[0] == 'T');
}

static void set_register(unsigned number, uint64_t value)
{
    char text[64], reply[REPLY_MAX];
    int n = snprintf(text, sizeof text, "P%x=", number);

    for (unsigned i = 0; i < 8; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%02x",
                      (unsigned)(value >> (8 * i)) & 0xFF);
    gdb_call(text, reply);
    if (strcmp(reply, "OK") != 0)
        die("QEMU does not set a register");
}

static void read_registers(void)
{
    char reply[REPLY_MAX];

    gdb_call("g", reply);
    for (unsigned i = 0; i < REGISTERS; i++) {
        q.r[i] = 0;
        for (unsigned b = 0; b < 8; b++) {
            unsigned byte = 0;

            (void)sscanf(reply + (size_t)16 * i + (size_t)2 * b, "%2x", &byte);
            q.r[i] |= (uint64_t)byte << (8 * b);
        }
    }
}

static void set_breakpoint(uint64_t address)
{
    char text[64], reply[REPLY_MAX];

    snprintf(text, sizeof text, "Z1,%llx,1", (unsigned long long)address);
    gdb_call(text, reply);
    if (strcmp(reply, "OK") != 0)
        die("QEMU refuses a breakpoint");
}

/* ---- The guest's instructions ---- */

static void go_to(uint64_t rip)
{
    set_register(RIP, rip);
}

static bool is_hypervisors(uint64_t msr)
{
    return (uint32_t)msr >> 16 == 0x4000;
}

/* A register of the processor itself: lets it do what it does. */
static void let_it(uint64_t instruction)
{
    char text[64], reply[REPLY_MAX];

    snprintf(text, sizeof text, "z1,%llx,1", (unsigned long long)instruction);
    gdb_call(text, reply);
    gdb_send("s");
    while (!gdb_take(reply) || reply[0] != 'T') {
        if (!gdb_fill())
            finish();
    }
    set_breakpoint(instruction);
}

static void do_rdmsr(void)
{
    uint64_t value = 0;

    if (!is_hypervisors(q.r[RCX])) {
        let_it(q.rdmsr);
        return;
    }
    if (!hvsim_read_msr(&q.sim, (uint32_t)q.r[RCX], &value))
        hvsim_violation(&q.sim, "RDMSR of %#x", (unsigned)q.r[RCX]);
    set_register(RAX, value & 0xFFFFFFFFu);
    set_register(RDX, value >> 32);
    go_to(q.rdmsr + 2);
}

static void do_wrmsr(void)
{
    if (!is_hypervisors(q.r[RCX])) {
        let_it(q.wrmsr);
        return;
    }
    if (!hvsim_write_msr(&q.sim, (uint32_t)q.r[RCX], q.r[RDX] << 32 | (uint32_t)q.r[RAX]))
        hvsim_violation(&q.sim, "WRMSR of %#x", (unsigned)q.r[RCX]);
    go_to(q.wrmsr + 2);
}

static void do_cpuid(void)
{
    uint32_t r[4];

    hvsim_cpuid(&q.sim, (uint32_t)q.r[RAX], r);
    set_register(RAX, r[0]);
    set_register(RBX, r[1]);
    set_register(RCX, r[2]);
    set_register(RDX, r[3]);
    go_to(q.cpuid + 2);
}

static void do_event(void)
{
    uint64_t back;

    say(q.sim.connected ? "exit with the client on the bus" : "exit with the bus left");
    hvsim_exit_boot_services(&q.sim);
    memcpy(&back, q.ram + q.r[RSP], sizeof back);
    set_register(RSP, q.r[RSP] + 8);
    go_to(back);
}

static void on_stop(const char *reply)
{
    if (reply[0] == 'W' || reply[0] == 'X')
        finish();
    if (reply[0] != 'T' && reply[0] != 'S')
        return;
    read_registers();
    q.traps++;
    if (q.r[RIP] == q.rdmsr) {
        do_rdmsr();
    } else if (q.r[RIP] == q.wrmsr) {
        do_wrmsr();
    } else if (q.r[RIP] == q.cpuid) {
        do_cpuid();
    } else if (q.r[RIP] == q.event) {
        do_event();
    } else if (q.r[RIP] == q.hypercall) {
        set_register(RAX, hvsim_hypercall(&q.sim, q.r[RCX], q.r[RDX], q.r[R8]));
        go_to(q.hypercall + 1);
        hvsim_run(&q.sim);
    } else {
        q.traps--; /* stopped by QEMU's monitor: whoever did it goes on, too */
    }
    gdb_send("c");
}

static uint64_t find_instruction(uint64_t function, uint8_t second)
{
    for (uint64_t at = function; at < function + SCAN; at++) {
        if (q.ram[at] == 0x0F && q.ram[at + 1] == second)
            return at;
    }
    fprintf(stderr, "hvsim-qemu: no instruction 0f %02x at %llx\n", second,
            (unsigned long long)function);
    exit(1);
}

/* ---- The host's end of the pipe ---- */

static void offer(void)
{
    if (q.socket)
        hvsim_listen(&q.sim, q.type);
    else
        q.channel = hvsim_offer_pipe(&q.sim, q.type, vmbus_kdwire_instance.bytes, 0);
}

static void command(void)
{
    char line[64];
    ssize_t n = read(STDIN_FILENO, line, sizeof line - 1);

    if (n <= 0)
        return;
    line[n] = 0;
    if (strncmp(line, "rescind", 7) == 0 && q.channel != NULL)
        hvsim_rescind(&q.sim, q.channel);
    else if (strncmp(line, "offer", 5) == 0)
        offer();
}

static void accept_debugger(void)
{
    if (q.kd >= 0)
        close(q.kd);
    q.kd = accept(q.listener, NULL, NULL);
    q.from_kd_at = q.from_kd_size = 0;
}

static void to_guest(void)
{
    if (q.kd < 0 || q.channel == NULL)
        return;
    if (q.from_kd_at == q.from_kd_size) {
        struct pollfd look = {q.kd, POLLIN, 0};
        ssize_t n;

        if (poll(&look, 1, 0) != 1)
            return;
        n = read(q.kd, q.from_kd, sizeof q.from_kd);
        if (n <= 0) {
            close(q.kd);
            q.kd = -1;
            return;
        }
        q.from_kd_at = 0;
        q.from_kd_size = (size_t)n;
    }
    if (q.framed) {
        const uint8_t *chunk;
        size_t n = vmbus_framing_send(&q.framing, 0, q.from_kd + q.from_kd_at,
                                      q.from_kd_size - q.from_kd_at, &chunk, NULL);

        /* One chunk at a time, when the ring is empty: it is never cut. */
        if (hvsim_write(&q.sim, q.channel, chunk, n) == n)
            q.from_kd_at = q.from_kd_size;
        else
            vmbus_framing_take_back(&q.framing);
        return;
    }
    q.from_kd_at +=
        hvsim_write(&q.sim, q.channel, q.from_kd + q.from_kd_at, q.from_kd_size - q.from_kd_at);
}

static void to_debugger(const uint8_t *bytes, size_t size)
{
    if (q.kd >= 0 && write(q.kd, bytes, size) < 0) {
        close(q.kd);
        q.kd = -1;
    }
}

/* Only after a signal, as a host does it: a guest that forgets one is not heard. */
static void from_guest(void)
{
    uint8_t bytes[8192];
    size_t n;

    if (q.channel == NULL || q.channel->signals == q.signals_seen)
        return;
    q.signals_seen = q.channel->signals;
    while ((n = hvsim_read(&q.sim, q.channel, bytes, sizeof bytes)) != 0) {
        uint8_t payload[256];
        size_t at = 0, got;

        if (!q.framed) {
            to_debugger(bytes, n);
            continue;
        }
        while (at < n) {
            at += vmbus_framing_feed(&q.framing, bytes + at, n - at);
            while ((got = vmbus_framing_read(&q.framing, payload, sizeof payload)) != 0)
                to_debugger(payload, got);
        }
    }
}

static void watch_channel(void)
{
    static struct hvsim_channel *open;

    if (q.socket)
        q.channel = q.sim.socket;
    if (q.channel != NULL && open != q.channel && hvsim_is_open(&q.sim, q.channel)) {
        open = q.channel;
        q.signals_seen = 0;
        vmbus_framing_init(&q.framing, VMBUS_FRAMING_HOST, false);
        say("open");
    } else if (open != NULL && !hvsim_is_open(&q.sim, open)) {
        open = NULL;
        say("closed");
    }
}

/* ---- Start ---- */

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die(path);
    return fd;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1) != 0)
        die(path);
    return fd;
}

static void map_ram(const char *path)
{
    int fd = open(path, O_RDWR);
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0)
        die(path);
    q.ram_size = (uint64_t)info.st_size;
    q.ram = mmap(NULL, (size_t)q.ram_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (q.ram == MAP_FAILED)
        die(path);
    close(fd);
}

static void start_host(const char *pages_text, const char *host, const char *mode)
{
    uint64_t pages = strtoull(pages_text, NULL, 16);
    struct hvsim_config config = {
        .host = (enum hvsim_host)atoi(host),
        .firmware = true,
        .no_hypervisor = strcmp(mode, "none") == 0,
        .isolated = strcmp(mode, "isolated") == 0,
        .firmware_pages = {pages, pages + HVSIM_PAGE, pages + 2 * (uint64_t)HVSIM_PAGE},
    };

    q.socket = strcmp(mode, "socket") == 0;
    q.framed = strcmp(mode, "windbg-uefi") == 0;
    memcpy(q.type, q.framed ? vmbus_windbg_uefi_type.bytes : vmbus_kdwire_type.bytes, 16);
    q.hypercall = pages;
    hvsim_init(&q.sim, &config);
    hvsim_add_memory(&q.sim, 0, q.ram_size, q.ram);
    hvsim_boot_firmware(&q.sim);
    hvsim_offer_devices(&q.sim);
    if (strcmp(mode, "silent") != 0)
        offer();
}

int main(int argc, char **argv)
{
    static const uint64_t one = 1;
    char reply[REPLY_MAX];

    if (argc != 12) {
        fprintf(stderr, "usage: see the head of tests/hvsim/qemu.c\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    q.kd = -1;
    q.gdb = connect_to(argv[1]);
    map_ram(argv[2]);
    start_host(argv[3], argv[10], argv[11]);
    q.event = strtoull(argv[4], NULL, 16);
    q.rdmsr = find_instruction(strtoull(argv[6], NULL, 16), 0x32);
    q.wrmsr = find_instruction(strtoull(argv[7], NULL, 16), 0x30);
    q.cpuid = find_instruction(strtoull(argv[8], NULL, 16), 0xA2);
    q.listener = listen_at(argv[9]);
    /* QEMU stops the guest for a debugger that comes. It sets single registers only for one that
     * has asked for their description. */
    gdb_call("qXfer:features:read:target.xml:0,ff", reply);
    set_breakpoint(q.rdmsr);
    set_breakpoint(q.wrmsr);
    set_breakpoint(q.cpuid);
    set_breakpoint(q.event);
    set_breakpoint(q.hypercall);
    memcpy(q.ram + strtoull(argv[5], NULL, 16), &one, sizeof one);
    gdb_send("c");
    say("running");
    for (;;) {
        struct pollfd fds[] = {{q.gdb, POLLIN, 0},
                               {q.listener, POLLIN, 0},
                               {STDIN_FILENO, POLLIN, 0},
                               {q.kd, POLLIN, 0}};

        (void)poll(fds, 4, IDLE_MS);
        if ((fds[0].revents & (POLLIN | POLLHUP)) != 0 && !gdb_fill())
            finish();
        while (gdb_take(reply))
            on_stop(reply);
        if ((fds[1].revents & POLLIN) != 0)
            accept_debugger();
        if ((fds[2].revents & POLLIN) != 0)
            command();
        watch_channel();
        to_guest();
        from_guest();
    }
}
