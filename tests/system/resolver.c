/* SPDX-License-Identifier: BSD-2-Clause */
/* Loaded before the C library: "moving.test" has the address that the file KDWIRE_TEST_ADDRESS
 * holds at the moment. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*resolver)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    char address[64] = "";
    resolver real = (resolver)dlsym(RTLD_NEXT, "getaddrinfo");
    if (node && !strcmp(node, "moving.test")) {
        FILE *file = fopen(getenv("KDWIRE_TEST_ADDRESS"), "r");
        if (!file || !fgets(address, sizeof(address), file))
            return EAI_AGAIN;
        fclose(file);
        node = address;
    }
    return real(node, service, hints, result);
}
