/* SPDX-License-Identifier: BSD-2-Clause */
/* What vspControl's files share. */
#ifndef KDWIRE_CONTROL_H
#define KDWIRE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include <winsock2.h>
#include <ws2tcpip.h>

#include <windows.h>

#include "interface.h"

enum { DONE = 0, FAILED = 1, BAD_USAGE = 2 }; /* exit codes */

struct options {
    const char *command;
    const char *port;   /* COM7; NULL: the only one there is */
    const char *device; /* path of a control interface, instead of looking for one */
    const char *connect, *listen;
    const char *com;
    const char *offline, *lines, *when, *second;
    const char *inf, *certificate;
    const char *save;             /* log: a file instead of standard output */
    long keepalive, retry, level; /* below 0: not given */
    long protocol;                /* enum vsp_telnet; the same */
    bool json, watch, follow, yes, verbose;
};

/* say.c: one line for a person, on standard error: "vspControl: ...". */
__attribute__((format(printf, 1, 2))) int fail(const char *format, ...); /* FAILED */
/* The same, followed by what ERROR means and what to do about it. */
__attribute__((format(printf, 2, 3))) int fail_with(DWORD error, const char *format, ...);
void say_error(DWORD error, char *text, size_t size);
void put_json_text(const char *text);

/* ports.c: the control interfaces of the ports that run. */
struct port {
    HANDLE handle;
    struct vsp_status status;
    struct vsp_settings settings;
};
enum { PORTS_MAX = 64 }; /* more COM ports nobody has */
/* Opens the port that the options mean; false: it was said why not. */
bool port_open(const struct options *options, struct port *port);
void port_close(struct port *port);
bool port_refresh(struct port *port);
size_t ports_all(struct port ports[PORTS_MAX]);
bool port_control(struct port *port, uint32_t code, const void *in, size_t in_size, void *out,
                  size_t out_size, DWORD *done);

/* commands.c: each returns an exit code. */
int command_list(const struct options *options);
int command_status(const struct options *options);
int command_set(const struct options *options);
int command_log(const struct options *options);
void print_status(const struct port *port);
int command_reconnect(const struct options *options);
/* Puts what the options say into SETTINGS; false: it was said what is wrong. */
bool apply_options(const struct options *options, struct vsp_settings *settings);

/* doctor.c */
int command_doctor(const struct options *options);

/* setup.c: devices and the driver package. */
int command_add(const struct options *options);
int command_remove(const struct options *options);
int command_enable(const struct options *options);
int command_disable(const struct options *options);
int command_install(const struct options *options);
int command_uninstall(const struct options *options);
int command_devices(const struct options *options);

/* elevate.c: starts this program again as administrator when it is not; true: it has run, *CODE is
 * its exit code. */
bool run_elevated(int *code);

/* classic.c: the options of the first vspControl; -1: these are not its options. */
int classic_main(int count, char **arguments);

#endif
