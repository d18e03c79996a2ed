/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Windows service.
 *
 *   state           event                          next            what happens
 *   start pending   sessions have been started     running         takes stop, shutdown,
 * paramchange start pending   the file has a fault           stopped         the exit code, and the
 * log, tell running         stop, shutdown                 stop pending    the sessions are ended
 *   running         paramchange                    running         the file is read again
 *   stop pending    all have ended                 stopped
 */
#include "../service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>
#include <windows.h>

#include "../cli.h"
#include "../log.h"
#include "../serve.h"
#include "io/windows/text.h"

enum {
    PATH_SIZE = 1024,
    COMMAND_SIZE = 2 * PATH_SIZE + SERVICE_NAME_MAX + 64,
    STOP_WAIT_MS = 30000, /* until a service that does not stop is given up; Windows's own limit */
    STOP_STEP_MS = 100,
    START_HINT_MS = 10000,
    RESTART_DELAY_MS = 5000,
    RESET_SECONDS = 3600,
};

static int say_error(const char *name, const char *what, DWORD error)
{
    switch (error) {
    case ERROR_ACCESS_DENIED:
        cli_error("%s: access denied; run this as administrator", name);
        break;
    case ERROR_SERVICE_EXISTS:
        cli_error("%s: there is a service of this name; remove it first, or choose another --name",
                  name);
        break;
    case ERROR_SERVICE_DOES_NOT_EXIST:
        cli_error("%s: there is no service of this name", name);
        break;
    case ERROR_SERVICE_MARKED_FOR_DELETE:
        cli_error("%s: is being removed; close what looks at it (services.msc) and try again",
                  name);
        break;
    case ERROR_SERVICE_NOT_ACTIVE:
        cli_error("%s: it does not run; start it with: net start %s", name, name);
        break;
    default:
        cli_error("%s: cannot %s: %s", name, what, uv_strerror(uv_translate_sys_error((int)error)));
        break;
    }
    return CLI_FAILED;
}

/* ---- install ---- */

/* What Windows is to start, each path in quotes: else C:\Program.exe could be run instead. */
static bool service_command(const char *name, const char *file, wchar_t *command)
{
    char self[PATH_SIZE], text[COMMAND_SIZE];
    size_t size = sizeof(self);
    uv_fs_t request;
    if (uv_exepath(self, &size) < 0 || uv_fs_realpath(NULL, &request, file, NULL) < 0)
        return false;
    snprintf(text, sizeof(text), "\"%s\" service run --name %s \"%s\"", self, name,
             (const char *)request.ptr);
    uv_fs_req_cleanup(&request);
    return strlen(text) < sizeof(text) - 1 && wide_text(text, command, COMMAND_SIZE);
}

static void describe(SC_HANDLE service)
{
    static wchar_t text[] = L"Joins kernel debuggers and the machines they debug (kdwire serve).";
    SC_ACTION again = {SC_ACTION_RESTART, RESTART_DELAY_MS};
    SERVICE_DESCRIPTIONW description = {text};
    SERVICE_FAILURE_ACTIONSW failure = {
        .dwResetPeriod = RESET_SECONDS, .cActions = 1, .lpsaActions = &again};
    ChangeServiceConfig2W(service, SERVICE_CONFIG_DESCRIPTION, &description);
    ChangeServiceConfig2W(service, SERVICE_CONFIG_FAILURE_ACTIONS, &failure);
}

int service_install(const char *name, const char *file)
{
    wchar_t command[COMMAND_SIZE], wide_name[SERVICE_NAME_MAX];
    int rc = serve_check(file);
    if (rc != CLI_DONE)
        return rc;
    if (!service_command(name, file, command) || !wide_text(name, wide_name, SERVICE_NAME_MAX)) {
        cli_error("%s: its path is too long", file);
        return CLI_FAILED;
    }
    SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CREATE_SERVICE);
    if (!manager)
        return say_error(name, "reach the service manager", GetLastError());
    SC_HANDLE service =
        CreateServiceW(manager, wide_name, wide_name, SERVICE_CHANGE_CONFIG | SERVICE_START,
                       SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START, SERVICE_ERROR_NORMAL, command,
                       NULL, NULL, NULL, NULL, NULL);
    rc = service ? CLI_DONE : say_error(name, "make the service", GetLastError());
    if (service) {
        describe(service);
        CloseServiceHandle(service);
        printf("%s is installed and starts with Windows; start it now with: net start %s\n"
               "Whoever may write %s can run programs as the system: let only administrators.\n",
               name, name, file);
    }
    CloseServiceHandle(manager);
    return rc;
}

/* ---- remove, reload ---- */

/* NULL: it was said why. */
static SC_HANDLE open_service(SC_HANDLE manager, const char *name, DWORD access)
{
    wchar_t wide_name[SERVICE_NAME_MAX];
    if (!manager || !wide_text(name, wide_name, SERVICE_NAME_MAX)) {
        say_error(name, "reach the service manager", GetLastError());
        return NULL;
    }
    SC_HANDLE service = OpenServiceW(manager, wide_name, access);
    if (!service)
        say_error(name, "open the service", GetLastError());
    return service;
}

static void stop_service(SC_HANDLE service)
{
    SERVICE_STATUS status;
    if (!ControlService(service, SERVICE_CONTROL_STOP, &status))
        return; /* it does not run */
    for (int waited = 0; waited < STOP_WAIT_MS; waited += STOP_STEP_MS) {
        if (!QueryServiceStatus(service, &status) || status.dwCurrentState == SERVICE_STOPPED)
            return;
        Sleep(STOP_STEP_MS);
    }
}

int service_remove(const char *name)
{
    int rc = CLI_FAILED;
    SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
    SC_HANDLE service = open_service(manager, name, SERVICE_STOP | SERVICE_QUERY_STATUS | DELETE);
    if (service) {
        stop_service(service);
        if (DeleteService(service)) {
            printf("%s is removed\n", name);
            rc = CLI_DONE;
        } else {
            say_error(name, "remove the service", GetLastError());
        }
        CloseServiceHandle(service);
    }
    if (manager)
        CloseServiceHandle(manager);
    return rc;
}

int service_reload(const char *name)
{
    int rc = CLI_FAILED;
    SERVICE_STATUS status;
    SC_HANDLE manager = OpenSCManagerW(NULL, NULL, SC_MANAGER_CONNECT);
    SC_HANDLE service = open_service(manager, name, SERVICE_PAUSE_CONTINUE);
    if (service) {
        if (ControlService(service, SERVICE_CONTROL_PARAMCHANGE, &status))
            rc = CLI_DONE;
        else
            say_error(name, "have the file read again", GetLastError());
        CloseServiceHandle(service);
    }
    if (manager)
        CloseServiceHandle(manager);
    return rc;
}

/* ---- run ---- */

static struct {
    const char *file;
    wchar_t name[SERVICE_NAME_MAX];
    SERVICE_STATUS_HANDLE handle;
    int exit_code;
} running;

static void tell_state(DWORD state)
{
    SERVICE_STATUS status = {.dwServiceType = SERVICE_WIN32_OWN_PROCESS, .dwCurrentState = state};
    if (state == SERVICE_RUNNING)
        status.dwControlsAccepted =
            SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN | SERVICE_ACCEPT_PARAMCHANGE;
    if (state == SERVICE_START_PENDING || state == SERVICE_STOP_PENDING)
        status.dwWaitHint = START_HINT_MS;
    if (state == SERVICE_STOPPED && running.exit_code != CLI_DONE) {
        status.dwWin32ExitCode = ERROR_SERVICE_SPECIFIC_ERROR;
        status.dwServiceSpecificExitCode = (DWORD)running.exit_code;
    }
    SetServiceStatus(running.handle, &status);
}

static void on_started(void)
{
    tell_state(SERVICE_RUNNING);
}

static DWORD WINAPI on_control(DWORD control, DWORD type, void *data, void *context)
{
    (void)type, (void)data, (void)context;
    switch (control) {
    case SERVICE_CONTROL_STOP:
    case SERVICE_CONTROL_SHUTDOWN:
        tell_state(SERVICE_STOP_PENDING);
        serve_ask(SERVE_END);
        return NO_ERROR;
    case SERVICE_CONTROL_PARAMCHANGE:
        serve_ask(SERVE_RELOAD);
        return NO_ERROR;
    case SERVICE_CONTROL_INTERROGATE:
        return NO_ERROR;
    default:
        return ERROR_CALL_NOT_IMPLEMENTED;
    }
}

static int run_sessions(void)
{
    char log[PATH_SIZE + 8];
    struct serve_options options = {.file = running.file, .started = on_started};
    snprintf(log, sizeof(log), "%.*s.log", PATH_SIZE, running.file);
    if (!log_open(log))
        return CLI_FAILED; /* nobody would hear why a session fails */
    return serve(&options);
}

static void WINAPI service_main(DWORD argc, wchar_t **argv)
{
    (void)argc, (void)argv;
    running.handle = RegisterServiceCtrlHandlerExW(running.name, on_control, NULL);
    if (!running.handle)
        return;
    tell_state(SERVICE_START_PENDING);
    running.exit_code = run_sessions();
    tell_state(SERVICE_STOPPED);
}

int service_run(const char *name, const char *file)
{
    SERVICE_TABLE_ENTRYW table[] = {{running.name, service_main}, {NULL, NULL}};
    running.file = file;
    if (!wide_text(name, running.name, SERVICE_NAME_MAX))
        return say_error(name, "run as a service", ERROR_INVALID_NAME);
    if (StartServiceCtrlDispatcherW(table))
        return running.exit_code;
    if (GetLastError() == ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) {
        cli_error("Windows starts this, nobody else: net start %s. By hand: kdwire serve FILE",
                  name);
        return CLI_USAGE;
    }
    return say_error(name, "run as a service", GetLastError());
}
