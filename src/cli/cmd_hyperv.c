/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kdwire hyperv: prepares a VM of Hyper-V for debugging, and undoes it. It prints the PowerShell,
 * or runs it after asking; and then, when the wire is VMBus or a Hyper-V socket, it is the relay
 * that offers the channel. Nothing that runs already is ended, here or in the scripts.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "hyperv_script.h"
#include "io/endpoint.h"
#include "platform.h"
#include "powershell.h"
#include "viewer.h"

#define PIPE_FOLDER "\\\\.\\pipe\\"

enum {
    RELAY_ARGUMENTS_MAX = 64,              /* the user's own, behind -- */
    TARGET_MAX = 2 * HYPERV_NAME_MAX + 32, /* each character perhaps with a backslash */
    ANSWER_MAX = 16,
};

static const char help_text[] =
    "usage: kdwire hyperv --vm NAME [OPTION]... [-- RELAY OPTION...]\n"
    "Prepares a Generation 2 VM of Hyper-V for debugging with windbg.efi or Windows' own "
    "debugger.\n"
    "Prints the PowerShell that does it, unless told to do it:\n"
    "  kdwire hyperv --vm kd                            look at it\n"
    "  kdwire hyperv --vm kd --wire vmbus --auto        do it all, and debug\n"
    "\n"
    "  --vm NAME       the VM\n"
    "  --wire WIRE     com (the default): the VM's COM1 on a named pipe\n"
    "                  vmbus, hvsock: see docs/hyper-v.md\n"
    "  --pipe NAME     the pipe is \\\\.\\pipe\\NAME; default: the VM's name\n"
    "  --disk PATH     make the VM, with this disk (dist/images/kdwire.vhdx)\n"
    "  --dry-run       print (the default)\n"
    "  --apply         do it; says what will change, and asks first\n"
    "  --yes           do not ask\n"
    "  --start         also start the VM, what offers the channel, and WinDbg; with --apply this\n"
    "                  command then stays as the relay and offers it again when the VM restarts\n"
    "  --auto          --apply --start\n"
    "  --undo          instead: take the COM port's pipe away and turn Secure Boot on again\n"
    "\n"
    "What follows -- goes to the relay, for example: -- --record kd.pcapng\n"
    "Programs that run already are left alone. Who may open the pipe has the whole VM.\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage.\n";

struct hyperv {
    struct hyperv_plan plan;
    const char *pipe;
    char pipe_name[HYPERV_NAME_MAX + 1];
    char pipe_path[sizeof(PIPE_FOLDER) + HYPERV_NAME_MAX];
    char debugger[sizeof("pipe-listen:") + sizeof(PIPE_FOLDER) + 2 * HYPERV_NAME_MAX];
    char target[TARGET_MAX];
    char relay[sizeof("kdwire relay -d \"\" -t \"\"") + 2 * TARGET_MAX];
    char windbg[VIEWER_PATH_MAX];
    char **relay_options; /* the user's own */
    int relay_option_count;
    bool apply, yes, dry_run;
    bool parsed; /* everything is there and fits together */
};

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
    for (const char *c = hyperv->plan.vm; *c && n < HYPERV_NAME_MAX; c++) {
        bool plain = (*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= 'a' && *c <= 'z') || *c == '_' || *c == '-';
        hyperv->pipe_name[n++] = plain ? *c : '-';
    }
    hyperv->pipe_name[n] = '\0';
    hyperv->pipe = hyperv->pipe_name;
}

/* ---- options ---- */

static int set_wire(struct hyperv *hyperv, const char *name)
{
    static const char *const names[] = {
        [HYPERV_COM] = "com",
        [HYPERV_VMBUS] = "vmbus",
        [HYPERV_HVSOCK] = "hvsock",
    };
    for (int i = 0; i < 3; i++) {
        if (!strcmp(name, names[i])) {
            hyperv->plan.wire = (enum hyperv_wire)i;
            return CLI_DONE;
        }
    }
    return cli_usage_error("--wire: '%.40s' is none of com, vmbus and hvsock", name);
}

static int check(struct hyperv *hyperv)
{
    const struct hyperv_plan *plan = &hyperv->plan;
    if (!*plan->vm)
        return cli_usage_error("which VM? Name it with --vm NAME");
    if (!is_usable(plan->vm, HYPERV_NAME_MAX))
        return cli_usage_error("--vm: a VM's name is one line of at most %d characters",
                               HYPERV_NAME_MAX);
    if (!hyperv->pipe)
        default_pipe(hyperv);
    if (!is_usable(hyperv->pipe, HYPERV_NAME_MAX) || strchr(hyperv->pipe, '\\'))
        return cli_usage_error("--pipe: give the name behind \\\\.\\pipe\\, without a backslash");
    if (plan->disk && !is_usable(plan->disk, HYPERV_PATH_MAX))
        return cli_usage_error("--disk: a path is one line of at most %d characters",
                               HYPERV_PATH_MAX);
    if (plan->undo && (plan->start || plan->disk))
        return cli_usage_error("--undo goes with neither --start nor --disk");
    if (hyperv->dry_run && hyperv->apply)
        return cli_usage_error("--dry-run prints and changes nothing; --apply and --auto do");
    if (hyperv->yes && !hyperv->apply)
        return cli_usage_error("--yes goes with --apply: printing asks nothing");
    bool stays = hyperv->apply && plan->start && plan->wire != HYPERV_COM;
    if (hyperv->relay_option_count && !stays)
        return cli_usage_error("'%s' is not expected here; options of the relay go with --auto and "
                               "--wire vmbus or hvsock",
                               hyperv->relay_options[0]);
    if (hyperv->relay_option_count > RELAY_ARGUMENTS_MAX)
        return cli_usage_error("at most %d options for the relay", RELAY_ARGUMENTS_MAX);
    hyperv->parsed = true;
    return CLI_DONE;
}

static int parse(struct hyperv *hyperv, int argc, char **argv)
{
    static const struct option options[] = {
        {"vm", required_argument, NULL, 'v'},   {"wire", required_argument, NULL, 'w'},
        {"pipe", required_argument, NULL, 'p'}, {"disk", required_argument, NULL, 'd'},
        {"start", no_argument, NULL, 's'},      {"undo", no_argument, NULL, 'u'},
        {"apply", no_argument, NULL, 'a'},      {"auto", no_argument, NULL, 'A'},
        {"yes", no_argument, NULL, 'y'},        {"dry-run", no_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0},
    };
    int option;
    memset(hyperv, 0, sizeof(*hyperv));
    hyperv->plan.vm = "";
    opterr = 0;
    while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
        switch (option) {
        case 'v':
            hyperv->plan.vm = optarg;
            break;
        case 'w':
            if (set_wire(hyperv, optarg) != CLI_DONE)
                return CLI_USAGE;
            break;
        case 'p':
            hyperv->pipe = optarg;
            break;
        case 'd':
            hyperv->plan.disk = optarg;
            break;
        case 's':
            hyperv->plan.start = true;
            break;
        case 'u':
            hyperv->plan.undo = true;
            break;
        case 'a':
            hyperv->apply = true;
            break;
        case 'A':
            hyperv->apply = hyperv->plan.start = true;
            break;
        case 'y':
            hyperv->yes = true;
            break;
        case 'n':
            hyperv->dry_run = true;
            break;
        case 'h':
            fputs(help_text, stdout);
            return CLI_DONE;
        default:
            return cli_usage_error("'%s' is no option, or its value is missing", argv[optind - 1]);
        }
    }
    hyperv->relay_options = argv + optind;
    hyperv->relay_option_count = argc - optind;
    return check(hyperv);
}

/* ---- the relay ---- */

static void name_ends(struct hyperv *hyperv)
{
    struct endpoint_spec spec = {.kind = ENDPOINT_PIPE_LISTEN};
    snprintf(hyperv->pipe_path, sizeof(hyperv->pipe_path), PIPE_FOLDER "%s", hyperv->pipe);
    hyperv->plan.pipe = hyperv->pipe_path;
    if (hyperv->plan.wire == HYPERV_COM)
        return;
    snprintf(spec.path, sizeof(spec.path), "%s", hyperv->pipe_path);
    endpoint_spec_text(&spec, hyperv->debugger, sizeof(hyperv->debugger));
    spec.kind = hyperv->plan.wire == HYPERV_VMBUS ? ENDPOINT_VMBUS : ENDPOINT_HVSOCK;
    spec.type = vmbus_kdwire_type;
    spec.instance = vmbus_kdwire_instance;
    spec.retry = 2;
    snprintf(spec.path, sizeof(spec.path), "%s", hyperv->plan.vm);
    endpoint_spec_text(&spec, hyperv->target, sizeof(hyperv->target));
    snprintf(hyperv->relay, sizeof(hyperv->relay), "kdwire relay -d \"%s\" -t \"%s\"",
             hyperv->debugger, hyperv->target);
    hyperv->plan.relay = hyperv->relay;
}

/* Whether the user says which WinDbg it is. */
static bool names_windbg(const struct hyperv *hyperv)
{
    for (int i = 0; i < hyperv->relay_option_count; i++)
        if (!strncmp(hyperv->relay_options[i], "--start-windbg", 14))
            return true;
    return false;
}

static int run_relay(struct hyperv *hyperv)
{
    static char relay[] = "relay", debugger[] = "--debugger", target[] = "--target",
                windbg[] = "--start-windbg";
    char *arguments[7 + RELAY_ARGUMENTS_MAX] = {relay,  debugger,       hyperv->debugger,
                                                target, hyperv->target, windbg};
    int count = 6;
    for (int i = 0; i < hyperv->relay_option_count; i++)
        arguments[count++] = hyperv->relay_options[i];
    optind = 0; /* getopt starts anew */
    opterr = 1;
    return cmd_relay(count, arguments);
}

/* What the relay will need is looked for before anything is changed. */
static int check_ends(const struct hyperv *hyperv)
{
    struct endpoint_spec spec;
    char message[ENDPOINT_MESSAGE_MAX], path[VIEWER_PATH_MAX];
    const char *missing = NULL;
    if (!hyperv->plan.runs_relay)
        return CLI_DONE;
    if (endpoint_parse(&spec, hyperv->target, message) < 0 ||
        endpoint_parse(&spec, hyperv->debugger, message) < 0) {
        cli_error("%s", message);
        return CLI_FAILED;
    }
    if (!names_windbg(hyperv) && !platform_find_viewer(VIEWER_WINDBG, path, &missing)) {
        cli_error("WinDbg was not found (%s); install it, or add -- --start-windbg=PROGRAM",
                  missing);
        return CLI_FAILED;
    }
    return CLI_DONE;
}

/* ---- doing it ---- */

static void say_what_changes(const struct hyperv *hyperv)
{
    const struct hyperv_plan *plan = &hyperv->plan;
    fprintf(stderr, "The virtual machine '%s' of this computer:\n", plan->vm);
    if (plan->undo) {
        fputs("  its COM1 loses its pipe\n  Secure Boot is turned on, if it is off\n", stderr);
        return;
    }
    if (plan->disk)
        fprintf(stderr, "  is made, if there is none, with the disk %s\n", plan->disk);
    fputs("  Secure Boot is turned off\n", stderr);
    fprintf(stderr, "  its COM1 gets the pipe %s%s\n", plan->pipe,
            plan->wire == HYPERV_COM ? "" : "-com");
    if (plan->wire == HYPERV_HVSOCK)
        fputs("  may connect to a Hyper-V socket service, which is registered\n", stderr);
    if (plan->start)
        fprintf(stderr, "  is started, if it does not run; then WinDbg, at %s\n", plan->pipe);
}

static int ask(const struct hyperv *hyperv)
{
    char answer[ANSWER_MAX] = "";
    say_what_changes(hyperv);
    if (hyperv->yes)
        return CLI_DONE;
    if (!platform_can_ask())
        return cli_usage_error("--apply asks before it changes anything, and nobody is there to "
                               "answer; add --yes");
    fputs("Do it? [y/N] ", stderr);
    fflush(stderr);
    if (fgets(answer, sizeof(answer), stdin) && (*answer == 'y' || *answer == 'Y'))
        return CLI_DONE;
    cli_error("nothing was changed");
    return CLI_FAILED;
}

static int apply(struct hyperv *hyperv, struct hyperv_script *script)
{
    hyperv->plan.runs_relay = hyperv->plan.start && hyperv->plan.wire != HYPERV_COM;
    int rc = check_ends(hyperv);
    if (rc == CLI_DONE)
        rc = ask(hyperv);
    if (rc != CLI_DONE)
        return rc;
    if (hyperv->plan.runs_relay)
        hyperv->plan.relay = NULL; /* nothing is left for a person to start */
    const char *missing;
    if (hyperv->plan.start && platform_find_viewer(VIEWER_WINDBG, hyperv->windbg, &missing))
        hyperv->plan.windbg = hyperv->windbg;
    hyperv_script_make(script, &hyperv->plan);
    rc = powershell_run(script->text);
    return rc == CLI_DONE && hyperv->plan.runs_relay ? run_relay(hyperv) : rc;
}

/* A name goes into a script, where another code page could make a quote of it. The texts stay as
 * long as the program. */
static bool make_utf8(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        argv[i] = platform_utf8(argv[i]);
        if (!argv[i])
            return false;
    }
    return true;
}

int cmd_hyperv(int argc, char **argv)
{
    static struct hyperv hyperv;
    static struct hyperv_script script;
    if (!make_utf8(argc, argv)) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    int rc = parse(&hyperv, argc, argv);
    if (!hyperv.parsed)
        return rc;
    name_ends(&hyperv);
    if (hyperv.apply)
        return apply(&hyperv, &script);
    hyperv_script_make(&script, &hyperv.plan);
    fputs(script.text, stdout);
    return fflush(stdout) ? CLI_FAILED : CLI_DONE;
}
