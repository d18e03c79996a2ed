/* SPDX-License-Identifier: BSD-2-Clause */
#include "vm.h"

#include <stdio.h>
#include <string.h>

#include "wmi.h"

static struct vm_work *work_of(uv_work_t *request)
{
    return (struct vm_work *)((char *)request - offsetof(struct vm_work, work));
}

static void find_and_step(uv_work_t *request)
{
    struct vm_work *work = work_of(request);
    struct endpoint *endpoint = request->data;
    const char *name = endpoint->spec.path;
    work->result = KD_OK;
    /* Each time: a VM that was made anew has the old name and a new GUID. */
    if (!vmbus_guid_parse(&work->vm, name, strlen(name)))
        work->result = wmi_find_vm(name, &work->vm, work->message);
    if (work->result < 0)
        return;
    work->known = true;
    work->result = work->step(endpoint, &work->vm, work->message);
}

static bool is_hopeless(const struct vm_work *work)
{
    switch (work->result) {
    case KD_E_NOT_FOUND:
        return !work->known;
    case KD_E_EXISTS:
    case KD_E_UNSUPPORTED:
    case KD_E_REFUSED:
        return true;
    default:
        return false;
    }
}

static void on_done(uv_work_t *request, int status)
{
    struct vm_work *work = work_of(request);
    struct endpoint *endpoint = request->data;
    char reason[ENDPOINT_MESSAGE_MAX];
    work->working = false;
    if (status < 0) { /* cancelled: the endpoint closes */
        endpoint_release(endpoint);
        return;
    }
    snprintf(reason, sizeof(reason), "%.120s: %.380s", endpoint->where, work->message);
    if (work->result >= 0)
        work->done(endpoint);
    else if (is_hopeless(work))
        endpoint_gives_up(endpoint, reason);
    else
        endpoint_failed(endpoint, reason);
    endpoint_release(endpoint);
}

void vm_work_start(struct vm_work *work, struct endpoint *endpoint)
{
    if (work->working)
        return;
    work->work.data = endpoint;
    if (uv_queue_work(endpoint->loop, &work->work, find_and_step, on_done) < 0) {
        endpoint_failed(endpoint, "out of memory");
        return;
    }
    work->working = true;
    endpoint_hold(endpoint);
}

void vm_work_close(struct vm_work *work)
{
    if (work->working)
        uv_cancel((uv_req_t *)&work->work);
}
