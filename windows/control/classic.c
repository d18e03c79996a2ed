/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of the first vspControl, so that scripts written for it go on working; its exit codes
 * were partly wrong way round, ours are not. */
#include "control.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPTION_ADD = 256,
    OPTION_REMOVE,
    OPTION_ENABLE,
    OPTION_DISABLE,
    OPTION_LIST,
    OPTION_STOP,
    OPTION_SELECT,
    OPTION_ECHO,
    OPTION_INSTALL,
    OPTION_UNINSTALL,
};

static const struct option long_options[] = {
    {"client", no_argument, NULL, 'c'},
    {"server", no_argument, NULL, 's'},
    {"port", required_argument, NULL, 'p'},
    {"ipaddress", required_argument, NULL, 'i'},
    {"listports", no_argument, NULL, 'l'},
    {"deleteport", required_argument, NULL, 'd'},
    {"trace", required_argument, NULL, 't'},
    {"report", no_argument, NULL, 'r'},
    {"verbose", no_argument, NULL, 'v'},
    {"waitUnits", required_argument, NULL, 'w'},
    {"addDevice", no_argument, NULL, OPTION_ADD},
    {"removeDevice", required_argument, NULL, OPTION_REMOVE},
    {"enableDevice", required_argument, NULL, OPTION_ENABLE},
    {"disableDevice", required_argument, NULL, OPTION_DISABLE},
    {"listDevices", no_argument, NULL, OPTION_LIST},
    {"stop", no_argument, NULL, OPTION_STOP},
    {"selectPort", required_argument, NULL, OPTION_SELECT},
    {"echoservice", required_argument, NULL, OPTION_ECHO},
    {"install", required_argument, NULL, OPTION_INSTALL},
    {"uninstall", required_argument, NULL, OPTION_UNINSTALL},
    {"device", required_argument, NULL, 'D'},
    {NULL, 0, NULL, 0},
};

struct request {
    int action; /* the option that says what to do; 0: configure */
    bool client, server, verbose;
    const char *value; /* of the action */
    const char *address;
    unsigned long port;
    char select[VSP_NAME_MAX];
    struct options options;
};

/* The COM database's functions (msports.dll); missing in some systems, so looked up. */
typedef HANDLE HCOMDB;
enum {
    CDB_REPORT_BYTES = 1,
    COM_NUMBER_MAX = 4096, /* the database's own limit (COMDB_MAX_PORTS_ARBITRATED) */
};
typedef LONG WINAPI com_open(HCOMDB *database);
typedef LONG WINAPI com_close(HCOMDB database);
typedef LONG WINAPI com_usage(HCOMDB database, PBYTE buffer, DWORD size, DWORD type,
                              DWORD *reported);
typedef LONG WINAPI com_release(HCOMDB database, DWORD number);

#define NO_COM_DATABASE "this system has no COM database (msports.dll)"

static bool com_function(const char *name, void *function)
{
    HMODULE module = LoadLibraryExA("msports.dll", NULL, LOAD_LIBRARY_SEARCH_SYSTEM32);
    FARPROC found = module ? GetProcAddress(module, name) : NULL;
    memcpy(function, &found, sizeof(found));
    return found != NULL;
}

static int list_numbers(HCOMDB database)
{
    BYTE usage[COM_NUMBER_MAX];
    DWORD count = 0;
    com_usage *get = NULL;
    if (!com_function("ComDBGetCurrentPortUsage", &get))
        return fail(NO_COM_DATABASE);
    LONG error = get(database, usage, sizeof(usage), CDB_REPORT_BYTES, &count);
    if (error)
        return fail_with((DWORD)error, "the COM database cannot be read");
    for (DWORD i = 0; i < count && i < COM_NUMBER_MAX; i++)
        if (usage[i])
            printf("COM%lu\n", i + 1);
    return DONE;
}

static int free_number(HCOMDB database, DWORD number)
{
    com_release *release = NULL;
    if (!com_function("ComDBReleasePort", &release))
        return fail(NO_COM_DATABASE);
    LONG error = release(database, number);
    return error ? fail_with((DWORD)error, "COM%lu cannot be freed", number) : DONE;
}

/* NUMBER 0: list them. */
static int com_database(DWORD number)
{
    HCOMDB database = NULL;
    com_open *open = NULL;
    com_close *close = NULL;
    if (!com_function("ComDBOpen", &open) || !com_function("ComDBClose", &close))
        return fail(NO_COM_DATABASE);
    LONG error = open(&database);
    if (error)
        return fail_with((DWORD)error, "the COM database cannot be opened");
    int code = number ? free_number(database, number) : list_numbers(database);
    close(database);
    return code;
}

/* "7" or "COM7"; 0: it is no number that a port can have. */
static DWORD com_number(const char *text)
{
    char *end = NULL;
    if (!_strnicmp(text, "COM", 3))
        text += 3;
    unsigned long number = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;
    return end && !*end && number <= COM_NUMBER_MAX ? number : 0;
}

static int free_named(const char *text)
{
    DWORD number = com_number(text);
    if (number)
        return com_database(number);
    fail("'%s' is no COM number; -d needs one from 1 to %d", text, COM_NUMBER_MAX);
    return BAD_USAGE;
}

static int report(struct port *port)
{
    struct vsp_report r;
    if (!port_control(port, VSP_REPORT, NULL, 0, &r, sizeof(r), NULL))
        return fail_with(GetLastError(), "report");
    const struct {
        const char *name;
        int64_t value;
    } rows[] = {
        {"bytes written", r.written},           {"bytes read", r.read},
        {"interval events", r.interval_timer},  {"total tm events", r.total_timer},
        {"total sock events", r.socket_events}, {"read sock events", r.read_events},
        {"recv data success", r.receives},      {"read queue events", r.read_queue_events},
        {"read de-queues", r.dequeues},         {"wait timeouts", r.wait_timeouts},
        {"wait units", r.wait_units},           {"trace level", r.log_level},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        printf("%s: %lld\n", rows[i].name, (long long)rows[i].value);
    return DONE;
}

static int set_number(struct port *port, uint32_t code, const char *text)
{
    uint32_t value = (uint32_t)strtoul(text, NULL, 10);
    return port_control(port, code, &value, sizeof(value), NULL, 0, NULL)
               ? DONE
               : fail_with(GetLastError(), "%s", text);
}

static int configure(struct port *port, const struct request *request)
{
    struct vsp_configure in = {.close = request->action == OPTION_STOP, .client = request->client};
    if (!in.close && (!request->port || request->port > 65535))
        return fail("-p PORT must be from 1 to 65535");
    if (request->client && !request->address)
        return fail("-c needs -i ADDRESS, an address or a name");
    if (request->address && strlen(request->address) >= sizeof(in.address))
        return fail("the address is longer than %u characters", (unsigned)sizeof(in.address) - 1);
    in.port = (uint16_t)request->port;
    if (request->address)
        memcpy(in.address, request->address, strlen(request->address));
    if (!port_control(port, VSP_CONFIGURE, &in, sizeof(in), NULL, 0, NULL))
        return fail_with(GetLastError(), "%s cannot be configured", port->status.name);
    printf("%s %s\n", port->status.name, in.close ? "stopped" : "configured");
    return DONE;
}

/* Sends back whatever a peer sends, one peer after the other, for ever. */
static int echo_service(const char *text)
{
    WSADATA data;
    char block[4096];
    struct sockaddr_in address = {.sin_family = AF_INET};
    int size = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((u_short)strtoul(text, NULL, 10));
    WSAStartup(MAKEWORD(2, 2), &data);
    SOCKET listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&address, &size))
        return fail_with((DWORD)WSAGetLastError(), "port %s", text);
    printf("echo service at 127.0.0.1:%u; Ctrl-C ends it\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        SOCKET peer = accept(listener, NULL, NULL);
        int count = 0;
        while (peer != INVALID_SOCKET && (count = recv(peer, block, sizeof(block), 0)) > 0)
            send(peer, block, count, 0);
        closesocket(peer);
    }
}

static int add_bare(const struct request *request)
{
    struct options options = request->options;
    char endpoint[VSP_HOST_MAX + 16];
    /* It was made first and configured later; one that listens for nobody in particular is the
     * same. */
    if (request->client && request->address) {
        snprintf(endpoint, sizeof(endpoint), "%.255s:%lu", request->address, request->port);
        options.connect = endpoint;
    } else {
        snprintf(endpoint, sizeof(endpoint), "%lu", request->port);
        options.listen = endpoint;
    }
    return command_add(&options);
}

static int act_on_port(const struct request *request)
{
    struct port port;
    if (!port_open(&request->options, &port))
        return FAILED;
    int code = DONE;
    if (request->action == 't')
        code = set_number(&port, VSP_SET_LOG_LEVEL, request->value);
    else if (request->action == 'w')
        code = set_number(&port, VSP_SET_WAIT_UNITS, request->value);
    else if (request->action == 'r')
        code = report(&port);
    else
        code = configure(&port, request);
    if (request->verbose && port_refresh(&port))
        print_status(&port);
    port_close(&port);
    return code;
}

static int act(struct request *request)
{
    struct options *options = &request->options;
    switch (request->action) {
    case 'l':
        return com_database(0);
    case 'd':
        return free_named(request->value);
    case OPTION_ADD:
        return add_bare(request);
    case OPTION_REMOVE:
        options->port = request->value;
        return command_remove(options);
    case OPTION_ENABLE:
        options->port = request->value;
        return command_enable(options);
    case OPTION_DISABLE:
        options->port = request->value;
        return command_disable(options);
    case OPTION_LIST:
        return command_list(options);
    case OPTION_ECHO:
        return echo_service(request->value);
    case OPTION_INSTALL:
        options->inf = request->value;
        return command_install(options);
    case OPTION_UNINSTALL:
        options->inf = request->value;
        return command_uninstall(options);
    default:
        return act_on_port(request);
    }
}

int classic_main(int count, char **arguments)
{
    static struct request request = {
        .options = {.command = "set", .keepalive = -1, .retry = -1, .level = -1, .protocol = -1}};
    int option = 0;
    while ((option = getopt_long(count, arguments, "csp:i:ld:t:rvw:", long_options, NULL)) != -1) {
        switch (option) {
        case 'c':
            request.client = true;
            break;
        case 's':
            request.server = true;
            break;
        case 'p':
            request.port = strtoul(optarg, NULL, 10);
            break;
        case 'i':
            request.address = optarg;
            break;
        case 'v':
            request.verbose = true;
            break;
        case 'D':
            request.options.device = optarg;
            break;
        case OPTION_SELECT:
            snprintf(request.select, sizeof(request.select), "COM%.20s", optarg);
            request.options.port = request.select;
            break;
        case '?':
            return BAD_USAGE;
        default:
            request.action = option;
            request.value = optarg;
        }
    }
    if (request.client && request.server) {
        fail("-c and -s exclude each other");
        return BAD_USAGE;
    }
    return act(&request);
}
