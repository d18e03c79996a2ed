/* SPDX-License-Identifier: BSD-2-Clause */
/* What the command needs of the system beyond endpoints; in posix/ and windows/. */
#ifndef KDWIRE_CLI_PLATFORM_H
#define KDWIRE_CLI_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

/* Before anything else: standard input and output carry bytes, a terminal shows UTF-8. */
void platform_start(void);

/* Opens a file (or named pipe) to be read as bytes. -1: see errno. */
int platform_open(const char *path);

/* The signals that ask the program to end, those left out that were ignored when it was started
 * (nohup); 0 ends the list. */
enum { PLATFORM_SIGNALS_MAX = 4 };
const int *platform_end_signals(void);

/* Whether a service manager asks by this signal, one of those above, to read the configuration
 * again, and not to end. */
bool platform_asks_reload(int number);

/* A file that takes everything and keeps nothing. */
const char *platform_null_device(void);

/* Handlers for all of them (signals.c). DATA goes to the handle's. */
struct end_signals {
    uv_signal_t handles[PLATFORM_SIGNALS_MAX];
};
void end_signals_start(uv_loop_t *loop, struct end_signals *signals, uv_signal_cb callback,
                       void *data);
void end_signals_close(struct end_signals *signals);

/* The system's PowerShell, as a path or a name to be looked for. False: the path is too long. */
bool platform_powershell(char *program, size_t size);

/* An argument of the program as UTF-8, to be freed; NULL: no memory. */
char *platform_utf8(const char *argument);

/* Text as UTF-16 without its end; returns the characters, 0: it is none, or longer than MAX. */
size_t platform_utf16(const char *text, uint16_t *to, size_t max);

/* Whether somebody can be asked on the terminal. */
bool platform_can_ask(void);

/* How a command of exec: begins that is one program, to be replaced by it: "exec " or nothing. */
const char *platform_shell_start(void);

/* Adds TEXT to OUT as one word for the shell of exec:; what has no room is cut. */
void platform_quote(char *out, size_t room, const char *text);

/* Where a user's own files lie: the home directory. NULL: nobody knows. */
const char *platform_home(void);

/* ---- standard input and terminal, for `kdwire debug` ---- */

/* Whether a person types and reads. */
bool platform_is_interactive(void);

/* Reads standard input once, at most ROOM bytes into TO, and then calls DONE with their number; 0:
 * the input has ended. A file is read at once, anything else when it has something. TO stays until
 * DONE or platform_read_stop. */
void platform_read(uv_loop_t *loop, char *to, size_t room, void (*done)(size_t size));
void platform_read_stop(void);
/* The handle closes on the loop. */
void platform_read_close(void);

/* Where the editor reports what was typed. */
struct editor_callbacks {
    /* A whole line, to be freed by the callee; NULL: end of input (Ctrl-D). The editor has stopped.
     */
    void (*line)(char *line);
    /* Ctrl-C, where the terminal does not make it a signal. */
    void (*interrupt)(void);
    /* The STATEth (0 first) completion of a word's beginning, to be freed; NULL: no more. */
    char *(*complete)(const char *text, int state);
};

/* A line editor with history; one per process. HISTORY is the file it is kept in, or NULL. */
void editor_open(uv_loop_t *loop, const struct editor_callbacks *callbacks, const char *history);
/* Shows the prompt and takes keys until the callback line. */
void editor_begin(const char *prompt);
/* Takes no more keys; what was typed is gone from the screen. */
void editor_end(void);
/* Takes the line off the screen for some output, and shows it again, with another prompt if not
 * NULL. */
void editor_hide(void);
void editor_show(const char *prompt);
/* Adds to the history. */
void editor_remember(const char *line);
void editor_close(void);

#endif
