/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions under the system's service manager; in posix/ and windows/. All return an exit code of
 * cli.h, and have said what is wrong. */
#ifndef KDWIRE_CLI_SERVICE_H
#define KDWIRE_CLI_SERVICE_H

enum {
    SERVICE_NAME_MAX = 80, /* with the NUL; Windows takes 256, a person reads fewer */
};

/* Makes the service NAME, which runs the sessions of FILE and starts with the system. */
int service_install(const char *name, const char *file);

/* Stops it and removes it. */
int service_remove(const char *name);

/* Has it read its file again. */
int service_reload(const char *name);

/* What the service manager starts: the service itself. Its log is FILE with .log at its end. */
int service_run(const char *name, const char *file);

#endif
