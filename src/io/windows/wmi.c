/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM is an Msvm_ComputerSystem: ElementName is what people call it, Name its GUID. The host
 * itself is one, too; its Name is no GUID. */
#define COBJMACROS
#include "wmi.h"

#include <stdio.h>
#include <string.h>

#include <wbemcli.h>

#include "text.h"

enum {
    WMI_NEXT_MS = 10000, /* a busy host's provider takes seconds, never this long */
    WMI_VMS_MAX = 64,    /* answers looked at: a query by name has one as a rule */
    WMI_QUERY_MAX =
        1200, /* 100 characters of a name, each perhaps with a backslash, and the rest */
};

static int fail(int code, char *message, const char *name, HRESULT result)
{
    switch (code) {
    case KD_E_NOT_FOUND:
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "this host has no virtual machine '%.300s'; Get-VM lists them (an elevated "
                 "administrator sees all)",
                 name);
        break;
    case KD_E_EXISTS:
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "several virtual machines are called '%.300s'; name one by its GUID: "
                 "(Get-VM).Id",
                 name);
        break;
    case KD_E_UNSUPPORTED:
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "Hyper-V is not installed on this machine (WMI has no root\\virtualization\\v2), "
                 "so there is no virtual machine '%.300s'",
                 name);
        break;
    case KD_E_REFUSED:
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "this user may not ask Hyper-V for the virtual machine '%.300s'; run kdwire as "
                 "administrator (elevated)",
                 name);
        break;
    case KD_E_TIMEOUT:
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "Hyper-V's WMI provider does not answer; is the service vmms running?");
        break;
    default:
        snprintf(message, ENDPOINT_MESSAGE_MAX,
                 "cannot ask Hyper-V for the virtual machine '%.300s' (WMI error 0x%08lx)", name,
                 (unsigned long)result);
        break;
    }
    return code;
}

static int code_of(HRESULT result)
{
    switch ((DWORD)result) {
    case (DWORD)WBEM_E_INVALID_NAMESPACE:
    case (DWORD)WBEM_E_INVALID_CLASS:
    case (DWORD)REGDB_E_CLASSNOTREG:
        return KD_E_UNSUPPORTED;
    case (DWORD)WBEM_E_ACCESS_DENIED:
    case (DWORD)E_ACCESSDENIED:
        return KD_E_REFUSED;
    case (DWORD)E_OUTOFMEMORY:
        return KD_E_NO_MEMORY;
    default:
        return KD_E_IO;
    }
}

/* WMI acts in our name only when it is told so. What is no proxy (a provider inside this process)
 * cannot be told, and needs not. */
static void allow_impersonation(IUnknown *proxy)
{
    CoSetProxyBlanket(proxy, RPC_C_AUTHN_WINNT, RPC_C_AUTHZ_NONE, NULL, RPC_C_AUTHN_LEVEL_CALL,
                      RPC_C_IMP_LEVEL_IMPERSONATE, NULL, EOAC_NONE);
}

static HRESULT connect_server(IWbemServices **services)
{
    IWbemLocator *locator = NULL;
    HRESULT result = CoCreateInstance(&CLSID_WbemLocator, NULL, CLSCTX_INPROC_SERVER,
                                      &IID_IWbemLocator, (void **)&locator);
    if (FAILED(result))
        return result;
    BSTR space = SysAllocString(L"ROOT\\virtualization\\v2");
    result = space
                 ? IWbemLocator_ConnectServer(locator, space, NULL, NULL, NULL,
                                              WBEM_FLAG_CONNECT_USE_MAX_WAIT, NULL, NULL, services)
                 : E_OUTOFMEMORY;
    SysFreeString(space);
    IWbemLocator_Release(locator);
    if (SUCCEEDED(result))
        allow_impersonation((IUnknown *)*services);
    return result;
}

/* The query for NAME; in WQL a backslash stands before a quote or another. False: too long. */
static bool make_query(const char *name, wchar_t *query, size_t size)
{
    static const wchar_t start[] = L"SELECT Name FROM Msvm_ComputerSystem WHERE ElementName='";
    wchar_t wide[WMI_QUERY_MAX / 2];
    size_t at = sizeof(start) / sizeof(start[0]) - 1;
    if (!wide_text(name, wide, WMI_QUERY_MAX / 2))
        return false;
    memcpy(query, start, sizeof(start));
    for (const wchar_t *c = wide; *c; c++) {
        if (size - at < 4) /* two characters, the closing quote, the end */
            return false;
        if (*c == L'\'' || *c == L'\\')
            query[at++] = L'\\';
        query[at++] = *c;
    }
    query[at++] = L'\'';
    query[at] = L'\0';
    return true;
}

static HRESULT start_query(IWbemServices *services, const wchar_t *text, IEnumWbemClassObject **all)
{
    BSTR language = SysAllocString(L"WQL");
    BSTR query = SysAllocString(text);
    HRESULT result = E_OUTOFMEMORY;
    if (language && query)
        result = IWbemServices_ExecQuery(services, language, query,
                                         WBEM_FLAG_FORWARD_ONLY | WBEM_FLAG_RETURN_IMMEDIATELY,
                                         NULL, all);
    SysFreeString(language);
    SysFreeString(query);
    if (SUCCEEDED(result))
        allow_impersonation((IUnknown *)*all);
    return result;
}

static bool guid_of(IWbemClassObject *object, struct vmbus_guid *guid)
{
    VARIANT value;
    char text[VMBUS_GUID_TEXT + 2]; /* braces */
    bool is_guid = false;
    VariantInit(&value);
    if (SUCCEEDED(IWbemClassObject_Get(object, L"Name", 0, &value, NULL, NULL)) &&
        V_VT(&value) == VT_BSTR && V_BSTR(&value) &&
        WideCharToMultiByte(CP_UTF8, 0, V_BSTR(&value), -1, text, sizeof(text), NULL, NULL))
        is_guid = vmbus_guid_parse(guid, text, strlen(text));
    VariantClear(&value);
    return is_guid;
}

/* The one GUID among the answers. */
static int take_answers(IEnumWbemClassObject *all, struct vmbus_guid *vm, HRESULT *result)
{
    struct vmbus_guid found;
    unsigned count = 0;
    for (unsigned i = 0; i < WMI_VMS_MAX; i++) {
        IWbemClassObject *object = NULL;
        ULONG got = 0;
        *result = IEnumWbemClassObject_Next(all, WMI_NEXT_MS, 1, &object, &got);
        if (FAILED(*result))
            return code_of(*result);
        if (*result == WBEM_S_TIMEDOUT)
            return KD_E_TIMEOUT;
        if (!got || !object)
            break;
        if (guid_of(object, &found) && count++ == 0)
            *vm = found;
        IWbemClassObject_Release(object);
    }
    return count == 0 ? KD_E_NOT_FOUND : count > 1 ? KD_E_EXISTS : KD_OK;
}

static int ask(const char *name, struct vmbus_guid *vm, HRESULT *result)
{
    wchar_t query[WMI_QUERY_MAX];
    IWbemServices *services = NULL;
    IEnumWbemClassObject *all = NULL;
    if (!make_query(name, query, WMI_QUERY_MAX))
        return KD_E_NOT_FOUND; /* no name is so long, or no UTF-8 */
    *result = connect_server(&services);
    if (FAILED(*result))
        return code_of(*result);
    int rc;
    *result = start_query(services, query, &all);
    if (FAILED(*result)) {
        rc = code_of(*result);
    } else {
        rc = take_answers(all, vm, result);
        IEnumWbemClassObject_Release(all);
    }
    IWbemServices_Release(services);
    return rc;
}

int wmi_find_vm(const char *name, struct vmbus_guid *vm, char message[ENDPOINT_MESSAGE_MAX])
{
    HRESULT result = CoInitializeEx(NULL, COINIT_MULTITHREADED);
    if (FAILED(result))
        return fail(KD_E_IO, message, name, result);
    int rc = ask(name, vm, &result);
    CoUninitialize();
    return rc < 0 ? fail(rc, message, name, result) : KD_OK;
}
