/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices and the driver package, by SetupAPI. What mingw-w64's import libraries lack is looked up
 * when the program runs.
 */
#include "control.h"

#include <cfgmgr32.h>
#include <newdev.h>
#include <setupapi.h>
#include <wincrypt.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const GUID ports_class = {
    0x4D36E978, 0xE325, 0x11CE, {0xBF, 0xC1, 0x08, 0x00, 0x2B, 0xE1, 0x03, 0x18}};

/* A function that may be missing, of a DLL of the system. */
static FARPROC look_up(const char *dll, const char *name)
{
    HMODULE module = LoadLibraryExA(dll, NULL, LOAD_LIBRARY_SEARCH_SYSTEM32);
    return module ? GetProcAddress(module, name) : NULL;
}

/* Walking through our devices, running or not */

struct device {
    HDEVINFO set;
    SP_DEVINFO_DATA data;
    char com[VSP_NAME_MAX];
    ULONG problem;
    bool runs;
};

static bool is_ours(HDEVINFO set, SP_DEVINFO_DATA *data)
{
    char ids[512] = "";
    if (!SetupDiGetDeviceRegistryPropertyA(set, data, SPDRP_HARDWAREID, NULL, (BYTE *)ids,
                                           sizeof(ids) - 2, NULL))
        return false;
    for (const char *id = ids; *id; id += strlen(id) + 1)
        if (!_stricmp(id, VSP_HARDWARE_ID))
            return true;
    return false;
}

static void read_name(struct device *device)
{
    DWORD size = sizeof(device->com) - 1;
    HKEY key =
        SetupDiOpenDevRegKey(device->set, &device->data, DICS_FLAG_GLOBAL, 0, DIREG_DEV, KEY_READ);
    memset(device->com, 0, sizeof(device->com));
    if (key == INVALID_HANDLE_VALUE)
        return;
    RegQueryValueExA(key, "PortName", NULL, NULL, (BYTE *)device->com, &size);
    RegCloseKey(key);
}

/* The next device of ours from *INDEX on. SET is made first and destroyed by the caller. */
static bool next_device(struct device *device, DWORD *index)
{
    ULONG status = 0;
    device->data.cbSize = sizeof(device->data);
    for (; SetupDiEnumDeviceInfo(device->set, *index, &device->data); (*index)++) {
        if (!is_ours(device->set, &device->data))
            continue;
        (*index)++;
        read_name(device);
        device->problem = 0;
        device->runs = !CM_Get_DevNode_Status(&status, &device->problem, device->data.DevInst, 0) &&
                       (status & DN_STARTED);
        return true;
    }
    return false;
}

static bool begin_devices(struct device *device)
{
    memset(device, 0, sizeof(*device));
    device->set = SetupDiGetClassDevsA(&ports_class, NULL, NULL, 0); /* also those not present */
    return device->set != INVALID_HANDLE_VALUE;
}

static const char *problem_text(ULONG problem)
{
    switch (problem) {
    case CM_PROB_DISABLED:
        return "disabled";
    case 0:
        return "not present";
    case CM_PROB_FAILED_INSTALL:
    case CM_PROB_NOT_CONFIGURED:
        return "no driver is installed for it";
    case CM_PROB_FAILED_START:
    case CM_PROB_FAILED_ADD:
        return "the driver did not start; the event log's DriverFrameworks-UserMode says why";
    default:
        return "stopped";
    }
}

int command_devices(const struct options *options)
{
    struct device device;
    DWORD index = 0;
    if (!begin_devices(&device))
        return fail_with(GetLastError(), "the devices cannot be listed");
    while (next_device(&device, &index)) {
        if (device.runs)
            continue;
        if (options->json) {
            printf("{\"port\":");
            put_json_text(device.com);
            printf(",\"state\":\"stopped\",\"problem\":");
            put_json_text(problem_text(device.problem));
            printf("}\n");
        } else {
            printf("%s  %s (code %lu)\n", device.com[0] ? device.com : "(no COM name)",
                   problem_text(device.problem), device.problem);
        }
    }
    SetupDiDestroyDeviceInfoList(device.set);
    return DONE;
}

/* Finds the device of the port that was named; false: it was said why not. */
static bool find_device(const struct options *options, struct device *device)
{
    DWORD index = 0;
    if (!options->port) {
        fail("say which port, for example 'vspControl %s COM7'", options->command);
        return false;
    }
    if (!begin_devices(device)) {
        fail_with(GetLastError(), "the devices cannot be listed");
        return false;
    }
    while (next_device(device, &index))
        if (!_stricmp(device->com, options->port))
            return true;
    SetupDiDestroyDeviceInfoList(device->set);
    fail("%s is no htsvsp port; 'vspControl list' shows those there are", options->port);
    return false;
}

static int change_state(const struct options *options, DWORD state)
{
    struct device device;
    int code = 0;
    if (run_elevated(&code))
        return code;
    if (!find_device(options, &device))
        return FAILED;
    SP_PROPCHANGE_PARAMS change = {
        .ClassInstallHeader = {sizeof(SP_CLASSINSTALL_HEADER), DIF_PROPERTYCHANGE},
        .StateChange = state,
        .Scope = DICS_FLAG_GLOBAL,
    };
    bool ok = SetupDiSetClassInstallParamsA(device.set, &device.data, &change.ClassInstallHeader,
                                            sizeof(change)) &&
              SetupDiCallClassInstaller(DIF_PROPERTYCHANGE, device.set, &device.data);
    DWORD error = GetLastError();
    SetupDiDestroyDeviceInfoList(device.set);
    return ok ? DONE : fail_with(error, "%s", options->port);
}

int command_enable(const struct options *options)
{
    return change_state(options, DICS_ENABLE);
}

int command_disable(const struct options *options)
{
    return change_state(options, DICS_DISABLE);
}

int command_remove(const struct options *options)
{
    struct device device;
    int code = 0;
    if (run_elevated(&code))
        return code;
    if (!find_device(options, &device))
        return FAILED;
    bool ok = SetupDiCallClassInstaller(DIF_REMOVE, device.set, &device.data);
    DWORD error = GetLastError();
    SetupDiDestroyDeviceInfoList(device.set);
    return ok ? DONE : fail_with(error, "%s", options->port);
}

/* A file beside this program. */
static void beside(const char *name, char path[MAX_PATH])
{
    GetModuleFileNameA(NULL, path, MAX_PATH);
    char *slash = strrchr(path, '\\');
    size_t used = slash ? (size_t)(slash + 1 - path) : 0;
    snprintf(path + used, MAX_PATH - used, "%s", name);
}

static bool inf_path(const struct options *options, char path[MAX_PATH])
{
    if (!options->inf)
        beside("htsvsp.inf", path);
    else if (!GetFullPathNameA(options->inf, MAX_PATH, path, NULL))
        path[0] = '\0';
    if (GetFileAttributesA(path) != INVALID_FILE_ATTRIBUTES)
        return true;
    fail_with(GetLastError(), "%s", path);
    return false;
}

static bool register_device(HDEVINFO set, SP_DEVINFO_DATA *data, const char *com)
{
    static const char ids[] = VSP_HARDWARE_ID "\0"; /* with the second terminator */
    data->cbSize = sizeof(*data);
    if (!SetupDiCreateDeviceInfoA(set, "Ports", &ports_class, NULL, NULL, DICD_GENERATE_ID, data) ||
        !SetupDiSetDeviceRegistryPropertyA(set, data, SPDRP_HARDWAREID, (const BYTE *)ids,
                                           sizeof(ids)) ||
        !SetupDiCallClassInstaller(DIF_REGISTERDEVICE, set, data))
        return false;
    if (!com)
        return true; /* the Ports class chooses a free number */
    HKEY key = SetupDiCreateDevRegKeyA(set, data, DICS_FLAG_GLOBAL, 0, DIREG_DEV, NULL, NULL);
    if (key == INVALID_HANDLE_VALUE)
        return false;
    LONG error =
        RegSetValueExA(key, "PortName", 0, REG_SZ, (const BYTE *)com, (DWORD)strlen(com) + 1);
    RegCloseKey(key);
    SetLastError((DWORD)error);
    return !error;
}

/* Settings for a port that has just come; the driver may need a moment to start. */
static int configure_new(const struct options *options, const char *com)
{
    enum { PATIENCE = 50, STEP_MS = 100 };
    static struct port ports[PORTS_MAX];
    for (int tries = 0; tries < PATIENCE; tries++) {
        size_t count = ports_all(ports);
        bool there = false;
        for (size_t i = 0; i < count; i++) {
            there |= !_stricmp(ports[i].status.name, com);
            port_close(&ports[i]);
        }
        if (there) {
            struct options set = *options;
            set.command = "set";
            set.port = com;
            return command_set(&set);
        }
        Sleep(STEP_MS);
    }
    return fail("%s was made but does not run; 'vspControl list' says why", com);
}

int command_add(const struct options *options)
{
    char inf[MAX_PATH];
    BOOL restart = FALSE;
    int code = 0;
    struct device device;
    struct vsp_settings probe = {0};
    if (!options->connect && !options->listen)
        return fail(
            "say what the port's other end is: --connect HOST:PORT or --listen [ADDRESS:]PORT");
    if (!apply_options(options, &probe))
        return BAD_USAGE;
    if (run_elevated(&code))
        return code;
    if (!inf_path(options, inf))
        return FAILED;
    memset(&device, 0, sizeof(device));
    device.set = SetupDiCreateDeviceInfoList(&ports_class, NULL);
    if (device.set == INVALID_HANDLE_VALUE)
        return fail_with(GetLastError(), "no device can be made");
    if (!register_device(device.set, &device.data, options->com)) {
        code = fail_with(GetLastError(), "no device can be made");
    } else if (!UpdateDriverForPlugAndPlayDevicesA(NULL, VSP_HARDWARE_ID, inf, INSTALLFLAG_FORCE,
                                                   &restart)) {
        code = fail_with(GetLastError(), "the driver cannot be installed");
        SetupDiCallClassInstaller(DIF_REMOVE, device.set, &device.data); /* nothing half there */
    } else {
        read_name(&device);
        code = configure_new(options, device.com);
    }
    SetupDiDestroyDeviceInfoList(device.set);
    if (restart)
        fprintf(stderr, "vspControl: Windows wants to be restarted first\n");
    return code;
}

/* Certificate and package */

static bool ask(const char *question, bool yes)
{
    char answer[16] = "";
    if (yes)
        return true;
    printf("%s [y/N] ", question);
    fflush(stdout);
    return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static bool add_to_store(const WCHAR *store_name, const BYTE *der, DWORD size)
{
    HCERTSTORE store =
        CertOpenStore(CERT_STORE_PROV_SYSTEM_W, 0, 0, CERT_SYSTEM_STORE_LOCAL_MACHINE, store_name);
    if (!store)
        return false;
    bool ok = CertAddEncodedCertificateToStore(store, X509_ASN_ENCODING, der, size,
                                               CERT_STORE_ADD_REPLACE_EXISTING, NULL);
    DWORD error = GetLastError();
    CertCloseStore(store, 0);
    SetLastError(error);
    return ok;
}

static BYTE *read_certificate(const char *path, DWORD *size)
{
    enum { CERTIFICATE_MAX = 65536 }; /* a certificate has one or two thousand bytes */
    static char text[CERTIFICATE_MAX];
    FILE *file = fopen(path, "rb");
    if (!file) {
        fail("%s: the certificate cannot be read", path);
        return NULL;
    }
    size_t count = fread(text, 1, sizeof(text), file);
    fclose(file);
    BYTE *der = malloc(CERTIFICATE_MAX);
    *size = sizeof(text);
    if (!der)
        return NULL;
    if (CryptStringToBinaryA(text, (DWORD)count, CRYPT_STRING_BASE64HEADER, der, size, NULL, NULL))
        return der;
    memcpy(der, text, count); /* DER already */
    *size = (DWORD)count;
    return der;
}

static int trust(const char *path, bool yes)
{
    DWORD size = 0;
    BYTE *der = read_certificate(path, &size);
    if (!der)
        return FAILED;
    printf(
        "The certificate in %s is to be trusted by this computer: whatever its owner signs, "
        "drivers\n"
        "included, is then accepted by Windows. Its stores: Trusted Root and Trusted Publishers.\n",
        path);
    int code = DONE;
    if (!ask("Trust it?", yes))
        code = fail("not installed: the certificate was not accepted");
    else if (!add_to_store(L"ROOT", der, size) || !add_to_store(L"TrustedPublisher", der, size))
        code = fail_with(GetLastError(), "%s", path);
    free(der);
    return code;
}

int command_install(const struct options *options)
{
    char inf[MAX_PATH];
    char stored[MAX_PATH];
    int code = DONE;
    if (run_elevated(&code))
        return code;
    if (!inf_path(options, inf))
        return FAILED;
    if (options->certificate)
        code = trust(options->certificate, options->yes);
    if (code)
        return code;
    if (!SetupCopyOEMInfA(inf, NULL, SPOST_PATH, 0, stored, sizeof(stored), NULL, NULL))
        return fail_with(GetLastError(), "%s", inf);
    printf("installed: %s\n", stored);
    return DONE;
}

typedef BOOL WINAPI uninstall_driver(HWND parent, const char *inf, DWORD flags, BOOL *restart);

int command_uninstall(const struct options *options)
{
    char inf[MAX_PATH];
    BOOL restart = FALSE;
    int code = DONE;
    if (run_elevated(&code))
        return code;
    if (!inf_path(options, inf))
        return FAILED;
    FARPROC found = look_up("newdev.dll", "DiUninstallDriverA");
    uninstall_driver *uninstall = NULL;
    memcpy(&uninstall, &found, sizeof(uninstall));
    if (!uninstall)
        return fail("this Windows cannot remove a driver by its INF (DiUninstallDriver needs "
                    "Windows 10 1703); use "
                    "'pnputil /delete-driver'");
    if (!uninstall(NULL, inf, 0, &restart))
        return fail_with(GetLastError(), "%s", inf);
    printf("removed%s\n", restart ? "; Windows wants to be restarted" : "");
    return DONE;
}
