/* SPDX-License-Identifier: BSD-2-Clause */
#include "access.h"

#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The SID of the user we run as, as text; to be freed with LocalFree. */
static char *user_sid(void)
{
    HANDLE token;
    DWORD size = 0;
    char *text = NULL;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
        return NULL;
    GetTokenInformation(token, TokenUser, NULL, 0, &size);
    TOKEN_USER *user = malloc(size);
    if (user && GetTokenInformation(token, TokenUser, user, size, &size) &&
        !ConvertSidToStringSidA(user->User.Sid, &text))
        text = NULL;
    free(user);
    CloseHandle(token);
    return text;
}

PSECURITY_DESCRIPTOR access_descriptor(enum endpoint_access who)
{
    /* SDDL: protected from inheritance; all rights to the system and the user; reading and writing
     * to others. GENERIC_WRITE, which every client asks for, includes the right to make one more
     * instance of a pipe: let in only whom you trust. */
    static const char *const others[] = {
        [ENDPOINT_ACCESS_USER] = "",
        [ENDPOINT_ACCESS_ADMINS] = "(A;;GRGW;;;BA)",
        [ENDPOINT_ACCESS_EVERYONE] = "(A;;GRGW;;;AU)",
    };
    PSECURITY_DESCRIPTOR descriptor = NULL;
    char sddl[400];
    char *user = user_sid();
    if (!user)
        return NULL;
    /* A service acts for the administrators, and its own user is nobody who logs on. */
    if (!strcmp(user, "S-1-5-18") && who == ENDPOINT_ACCESS_USER)
        snprintf(sddl, sizeof(sddl), "D:P(A;;GA;;;SY)(A;;GA;;;BA)");
    else
        snprintf(sddl, sizeof(sddl), "D:P(A;;GA;;;SY)(A;;GA;;;%.190s)%s", user, others[who]);
    LocalFree(user);
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorA(sddl, SDDL_REVISION_1, &descriptor,
                                                              NULL))
        return NULL;
    return descriptor;
}
