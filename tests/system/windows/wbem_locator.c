/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The COM class WbemLocator for tests, as far as kdwire asks it: Wine's has no Hyper-V. The folder
 * KDWIRE_STANDIN is the host: its file `vms` holds a line "GUID NAME" for each VM that this user
 * may see; with `no-hyperv` the namespace is missing, with `denied-wmi` nobody may connect.
 *
 * One static object per interface; nothing is counted, because nothing is ever freed.
 */
#define COBJMACROS
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <initguid.h>

#include <wbemcli.h>

enum { ANSWERS_MAX = 8 };

static wchar_t answers[ANSWERS_MAX][64];
static unsigned answer_count, answer_next;

static HRESULT WINAPI query_interface(IUnknown *self, REFIID iid, void **out)
{
    (void)iid;
    if (IsEqualGUID(iid, &IID_IClientSecurity)) { /* no proxy */
        *out = NULL;
        return E_NOINTERFACE;
    }
    *out = self;
    return S_OK;
}

static ULONG WINAPI count(IUnknown *self)
{
    (void)self;
    return 1;
}

#define UNKNOWN(type)                                                                              \
    .QueryInterface = (HRESULT(WINAPI *)(type *, REFIID, void **))(void (*)(void))query_interface, \
    .AddRef = (ULONG(WINAPI *)(type *))(void (*)(void))count,                                      \
    .Release = (ULONG(WINAPI *)(type *))(void (*)(void))count

static FILE *host_file(const char *name)
{
    char path[MAX_PATH];
    snprintf(path, sizeof(path), "%s\\%s", getenv("KDWIRE_STANDIN"), name);
    return fopen(path, "rb");
}

static bool host_has(const char *name)
{
    FILE *file = host_file(name);
    if (file)
        fclose(file);
    return file != NULL;
}

/* ---- an answer ---- */

static HRESULT WINAPI object_get(IWbemClassObject *self, LPCWSTR name, LONG flags, VARIANT *value,
                                 CIMTYPE *type, LONG *flavor)
{
    (void)self, (void)flags, (void)type, (void)flavor;
    if (lstrcmpW(name, L"Name") != 0)
        return WBEM_E_NOT_FOUND;
    V_VT(value) = VT_BSTR;
    V_BSTR(value) = SysAllocString(answers[answer_next - 1]);
    return S_OK;
}

static IWbemClassObjectVtbl object_table = {UNKNOWN(IWbemClassObject), .Get = object_get};
static IWbemClassObject object = {&object_table};

static HRESULT WINAPI answer_get(IEnumWbemClassObject *self, LONG timeout, ULONG wanted,
                                 IWbemClassObject **out, ULONG *got)
{
    (void)self;
    *got = 0;
    if (timeout == (LONG)WBEM_INFINITE || wanted != 1)
        return WBEM_E_INVALID_PARAMETER;
    if (answer_next == answer_count)
        return WBEM_S_FALSE;
    answer_next++;
    *got = 1;
    *out = &object;
    return S_OK;
}

static IEnumWbemClassObjectVtbl all_table = {UNKNOWN(IEnumWbemClassObject), .Next = answer_get};
static IEnumWbemClassObject all = {&all_table};

/* ---- a query ---- */

/* Whether QUERY asks for NAME: the one form that kdwire uses, strictly. */
static bool asks_for(const wchar_t *query, const wchar_t *name)
{
    static const wchar_t start[] = L"SELECT Name FROM Msvm_ComputerSystem WHERE ElementName='";
    size_t size = sizeof(start) / sizeof(start[0]) - 1;
    if (wcsncmp(query, start, size) != 0)
        return false;
    for (query += size; *query != L'\''; query++, name++) {
        if (*query == L'\\')
            query++;
        if (!*query || towlower(*query) != towlower(*name))
            return false;
    }
    return !*name && !query[1];
}

static void add_answer(const char *guid)
{
    if (answer_count < ANSWERS_MAX)
        MultiByteToWideChar(CP_UTF8, 0, guid, -1, answers[answer_count++], 64);
}

static HRESULT WINAPI run_query(IWbemServices *self, const BSTR language, const BSTR query,
                                LONG flags, IWbemContext *context, IEnumWbemClassObject **out)
{
    char line[512];
    wchar_t name[512];
    FILE *file = host_file("vms");
    (void)self, (void)flags, (void)context;
    if (lstrcmpW(language, L"WQL") != 0)
        return WBEM_E_INVALID_QUERY_TYPE;
    answer_count = answer_next = 0;
    while (file && fgets(line, sizeof(line), file)) {
        char *space = strchr(line, ' ');
        *space++ = '\0';
        space[strcspn(space, "\r\n")] = '\0';
        MultiByteToWideChar(CP_UTF8, 0, space, -1, name, 512);
        if (asks_for(query, name))
            add_answer(line);
    }
    if (file)
        fclose(file);
    *out = &all;
    return S_OK;
}

static IWbemServicesVtbl services_table = {UNKNOWN(IWbemServices), .ExecQuery = run_query};
static IWbemServices services = {&services_table};

/* ---- the class ---- */

static HRESULT WINAPI connect_server(IWbemLocator *self, const BSTR space, const BSTR user,
                                     const BSTR password, const BSTR locale, LONG flags,
                                     const BSTR authority, IWbemContext *context,
                                     IWbemServices **out)
{
    (void)self, (void)user, (void)password, (void)locale, (void)authority, (void)context;
    if (lstrcmpiW(space, L"ROOT\\virtualization\\v2") != 0 || host_has("no-hyperv"))
        return WBEM_E_INVALID_NAMESPACE;
    if (host_has("denied-wmi"))
        return WBEM_E_ACCESS_DENIED;
    if (!(flags & WBEM_FLAG_CONNECT_USE_MAX_WAIT))
        return WBEM_E_INVALID_PARAMETER;
    *out = &services;
    return S_OK;
}

static IWbemLocatorVtbl locator_table = {UNKNOWN(IWbemLocator), .ConnectServer = connect_server};
static IWbemLocator locator = {&locator_table};

static HRESULT WINAPI create(IClassFactory *self, IUnknown *outer, REFIID iid, void **out)
{
    (void)self, (void)outer, (void)iid;
    *out = &locator;
    return S_OK;
}

static HRESULT WINAPI lock(IClassFactory *self, BOOL on)
{
    (void)self, (void)on;
    return S_OK;
}

static IClassFactoryVtbl factory_table = {UNKNOWN(IClassFactory), .CreateInstance = create,
                                          .LockServer = lock};
static IClassFactory factory = {&factory_table};

__declspec(dllexport) HRESULT WINAPI DllGetClassObject(REFCLSID class_id, REFIID iid, void **out);
HRESULT WINAPI DllGetClassObject(REFCLSID class_id, REFIID iid, void **out)
{
    (void)class_id, (void)iid;
    *out = &factory;
    return S_OK;
}
