/* SPDX-License-Identifier: BSD-2-Clause */
/* systemd does here what Windows wants programs to do themselves. */
#include "../service.h"

#include "../cli.h"

static int use_systemd(void)
{
    cli_error(
        "here systemd does this: put the sessions into /etc/kdwire/sessions.conf and the unit "
        "kdwire.service into /etc/systemd/system, then systemctl enable --now kdwire; see "
        "kdwire-serve(1)");
    return CLI_FAILED;
}

int service_install(const char *name, const char *file)
{
    (void)name, (void)file;
    return use_systemd();
}

int service_remove(const char *name)
{
    (void)name;
    return use_systemd();
}

int service_reload(const char *name)
{
    (void)name;
    return use_systemd();
}

int service_run(const char *name, const char *file)
{
    (void)name, (void)file;
    return use_systemd();
}
