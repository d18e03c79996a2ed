/* SPDX-License-Identifier: BSD-2-Clause */
/* kdwire hyperv: the PowerShell that prepares a VM of Hyper-V for debugging, and undoes it. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "vmbus/guid.h"

enum {
    NAME_MAX_BYTES = 100, /* Hyper-V's own limit for a VM's name */
    PATH_MAX_BYTES = 260, /* MAX_PATH of the cmdlets */
};

static const char help_text[] =
    "usage: kdwire hyperv --vm NAME [OPTION]...\n"
    "Prints what prepares a Generation 2 VM of Hyper-V for debugging with windbg.efi or Windows'\n"
    "own debugger: a PowerShell script, for an elevated PowerShell on the host. To look at it:\n"
    "  kdwire hyperv --vm kd\n"
    "To do it:\n"
    "  kdwire hyperv --vm kd --start | powershell -NoProfile -Command -\n"
    "\n"
    "  --vm NAME       the VM\n"
    "  --wire WIRE     com (the default): the VM's COM1 on a named pipe\n"
    "                  vmbus, hvsock: see docs/hyper-v.md\n"
    "  --pipe NAME     the pipe is \\\\.\\pipe\\NAME; default: the VM's name\n"
    "  --disk PATH     make the VM, with this disk (dist/images/kdwire.vhdx)\n"
    "  --start         also start the VM and WinDbg; processes that run already are left alone\n"
    "  --undo          instead: take the COM port's pipe away and turn Secure Boot on again\n"
    "\n"
    "Who may open the pipe has the whole VM. Exit status: 0 done, 1 failed, 2 wrong usage.\n";

struct hyperv {
    const char *vm, *wire, *pipe, *disk;
    bool start, undo;
    bool parsed; /* everything is there and fits together */
    char pipe_name[NAME_MAX_BYTES + 1];
};

/* A PowerShell string in single quotes: only the quote itself is special, and it is doubled. So are
 * the typographic ones, which PowerShell takes for quotes as well. */
static void quoted(const char *text)
{
    putchar('\'');
    for (; *text; text++) {
        bool typographic = !strncmp(text, "\xE2\x80\x98", 3) || !strncmp(text, "\xE2\x80\x99", 3) ||
                           !strncmp(text, "\xE2\x80\x9A", 3) || !strncmp(text, "\xE2\x80\x9B", 3);
        if (typographic) {
            printf("%.3s%.3s", text, text);
            text += 2;
        } else {
            if (*text == '\'')
                putchar('\'');
            putchar(*text);
        }
    }
    putchar('\'');
}

static void line(const char *before, const char *text, const char *after)
{
    fputs(before, stdout);
    quoted(text);
    puts(after);
}

/* Whether TEXT can stand in a script: short, one line. */
static bool is_usable(const char *text, size_t max)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            return false;
    return *text && strlen(text) <= max;
}

static void default_pipe(struct hyperv *hyperv)
{
    size_t n = 0;
    for (const char *c = hyperv->vm; *c && n < NAME_MAX_BYTES; c++) {
        bool plain = (*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= 'a' && *c <= 'z') || *c == '_' || *c == '-';
        hyperv->pipe_name[n++] = plain ? *c : '-';
    }
    hyperv->pipe_name[n] = '\0';
    hyperv->pipe = hyperv->pipe_name;
}

static void print_setup(const struct hyperv *hyperv)
{
    if (hyperv->disk) {
        fputs("New-VM -Name $vm -Generation 2 -MemoryStartupBytes 512MB -VHDPath ", stdout);
        quoted(hyperv->disk);
        puts(" | Out-Null");
    }
    puts("if ((Get-VM -Name $vm).Generation -ne 2) { throw \"$vm is not a Generation 2 VM\" }");
    puts("# Secure Boot can only be changed while the VM is off.");
    puts("if ((Get-VMFirmware -VMName $vm).SecureBoot -ne 'Off') {");
    puts("    if ((Get-VM -Name $vm).State -ne 'Off') { throw \"turn $vm off first: Secure Boot "
         "must be "
         "turned off\" }");
    puts("    Set-VMFirmware -VMName $vm -EnableSecureBoot Off");
    puts("}\n"); /* 'powershell -Command -' needs the empty line to see the block's end */
    if (!strcmp(hyperv->wire, "com")) {
        puts("Set-VMComPort -VMName $vm -Number 1 -Path $pipe");
    } else {
        puts("# What the engine falls back to; $pipe itself is made by what offers the channel.");
        puts("Set-VMComPort -VMName $vm -Number 1 -Path \"$pipe-com\"");
    }
    if (!strcmp(hyperv->wire, "hvsock")) {
        char service[VMBUS_GUID_TEXT];
        vmbus_guid_text(&vmbus_kdwire_type, service);
        puts("# Hyper-V connects guests only to services that are registered.");
        printf("$key = 'HKLM:\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Virtualization\\"
               "GuestCommunicationServices\\%s'\n",
               service);
        puts("if (-not (Test-Path $key)) { New-Item -Path $key | Out-Null }");
        puts("Set-ItemProperty -Path $key -Name ElementName -Value 'kdwire kernel debugger'");
    }
}

static void print_start(const struct hyperv *hyperv)
{
    if (hyperv->start)
        puts("if ((Get-VM -Name $vm).State -ne 'Running') { Start-VM -Name $vm }");
    if (strcmp(hyperv->wire, "com") != 0)
        puts("# Now start what offers the channel: a pipe can only be offered to a running VM.");
    if (hyperv->start)
        puts("Start-Process windbg -ArgumentList '-k', "
             "\"com:pipe,port=$pipe,resets=0,reconnect\"");
    else
        puts("Write-Output \"Start the VM, then: windbg -k "
             "com:pipe,port=$pipe,resets=0,reconnect\"");
}

static void print_undo(void)
{
    puts("Set-VMComPort -VMName $vm -Number 1 -Path ''");
    puts("if ((Get-VM -Name $vm).State -eq 'Off') { Set-VMFirmware -VMName $vm -EnableSecureBoot "
         "On }");
    puts("else { Write-Output \"Secure Boot of $vm can be turned on again when it is off\" }");
}

static int parse(struct hyperv *hyperv, int argc, char **argv)
{
    static const struct option options[] = {
        {"vm", required_argument, NULL, 'v'},   {"wire", required_argument, NULL, 'w'},
        {"pipe", required_argument, NULL, 'p'}, {"disk", required_argument, NULL, 'd'},
        {"start", no_argument, NULL, 's'},      {"undo", no_argument, NULL, 'u'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0},
    };
    int option;
    memset(hyperv, 0, sizeof(*hyperv));
    hyperv->vm = "";
    hyperv->wire = "com";
    opterr = 0;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'v':
            hyperv->vm = optarg;
            break;
        case 'w':
            hyperv->wire = optarg;
            break;
        case 'p':
            hyperv->pipe = optarg;
            break;
        case 'd':
            hyperv->disk = optarg;
            break;
        case 's':
            hyperv->start = true;
            break;
        case 'u':
            hyperv->undo = true;
            break;
        case 'h':
            fputs(help_text, stdout);
            return CLI_DONE;
        default:
            return cli_usage_error("'%s' is no option, or its value is missing", argv[optind - 1]);
        }
    }
    if (optind < argc)
        return cli_usage_error("'%s' is not expected here", argv[optind]);
    if (!*hyperv->vm)
        return cli_usage_error("which VM? Name it with --vm NAME");
    if (!is_usable(hyperv->vm, NAME_MAX_BYTES))
        return cli_usage_error("--vm: a VM's name is one line of at most %d characters",
                               NAME_MAX_BYTES);
    if (!hyperv->pipe)
        default_pipe(hyperv);
    if (!is_usable(hyperv->pipe, NAME_MAX_BYTES) || strchr(hyperv->pipe, '\\'))
        return cli_usage_error("--pipe: give the name behind \\\\.\\pipe\\, without a backslash");
    if (hyperv->disk && !is_usable(hyperv->disk, PATH_MAX_BYTES))
        return cli_usage_error("--disk: a path is one line of at most %d characters",
                               PATH_MAX_BYTES);
    if (strcmp(hyperv->wire, "com") != 0 && strcmp(hyperv->wire, "vmbus") != 0 &&
        strcmp(hyperv->wire, "hvsock") != 0)
        return cli_usage_error("--wire: '%.40s' is none of com, vmbus and hvsock", hyperv->wire);
    if (hyperv->undo && (hyperv->start || hyperv->disk))
        return cli_usage_error("--undo goes with neither --start nor --disk");
    hyperv->parsed = true;
    return CLI_DONE;
}

int cmd_hyperv(int argc, char **argv)
{
    struct hyperv hyperv;
    char pipe[sizeof("\\\\.\\pipe\\") + NAME_MAX_BYTES];
    int rc = parse(&hyperv, argc, argv);
    if (!hyperv.parsed)
        return rc;
    snprintf(pipe, sizeof(pipe), "\\\\.\\pipe\\%s", hyperv.pipe);
    puts("# For an elevated PowerShell on the Hyper-V host.");
    puts("$ErrorActionPreference = 'Stop'");
    line("$vm = ", hyperv.vm, "");
    if (hyperv.undo) {
        print_undo();
    } else {
        line("$pipe = ", pipe, "");
        print_setup(&hyperv);
        print_start(&hyperv);
    }
    return fflush(stdout) ? CLI_FAILED : CLI_DONE;
}
