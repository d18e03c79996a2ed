/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void sleep_ms(unsigned ms)
{
    const struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

void expect_done(const struct fake_request *request)
{
    WAIT_UNTIL(fake_is_done(request));
}

static socklen_t make_address(struct sockaddr_storage *storage, const char *text, uint16_t port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)storage;
    memset(storage, 0, sizeof(*storage));
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return sizeof(*v4);
    }
    assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    return sizeof(*v6);
}

int listen_at(const char *address, uint16_t *port)
{
    struct sockaddr_storage storage;
    socklen_t size = make_address(&storage, address, *port);
    int on = 1;
    int s = socket(storage.ss_family, SOCK_STREAM, 0);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(s, (struct sockaddr *)&storage, size), 0);
    assert_int_equal(listen(s, 4), 0);
    assert_int_equal(getsockname(s, (struct sockaddr *)&storage, &size), 0);
    *port = ntohs(((struct sockaddr_in *)&storage)->sin_port); /* the same place in sockaddr_in6 */
    return s;
}

static void wait_readable(int s)
{
    struct pollfd p = {.fd = s, .events = POLLIN};
    assert_int_equal(poll(&p, 1, WAIT_MS), 1);
}

int accept_peer(int listener)
{
    wait_readable(listener);
    int peer = accept(listener, NULL, NULL);
    assert_true(peer >= 0);
    return peer;
}

int connect_to(const char *address, uint16_t port)
{
    struct sockaddr_storage storage;
    socklen_t size = make_address(&storage, address, port);
    int s = socket(storage.ss_family, SOCK_STREAM, 0);
    assert_int_equal(connect(s, (struct sockaddr *)&storage, size), 0);
    return s;
}

void send_text(int peer, const char *text)
{
    assert_int_equal(send(peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

void expect_text(int peer, const char *text)
{
    char got[256];
    size_t have = 0;
    while (have < strlen(text)) {
        wait_readable(peer);
        ssize_t count = recv(peer, got + have, strlen(text) - have, 0);
        assert_true(count > 0);
        have += (size_t)count;
    }
    assert_memory_equal(got, text, have);
}

void reset_peer(int peer)
{
    const struct linger at_once = {1, 0};
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(peer);
}

int start_device(void **state)
{
    (void)state;
    fake_forget();
    fake_fail_call(0);
    fake_set_port_name(u"COM7");
    assert_int_equal(fake_load(FxDriverEntryUm), WDF_OK);
    assert_int_equal(fake_add_device(), WDF_OK);
    return 0;
}

int end_device(void **state)
{
    (void)state;
    fake_remove_device();
    assert_int_equal(fake_pending(), 0);
    assert_int_equal(fake_objects(), 0);
    assert_null(fake_serialcomm());
    return 0;
}

struct wdf_file_handle *open_port(void)
{
    struct wdf_file_handle *file = NULL;
    assert_int_equal(fake_open(u"", &file), WDF_OK);
    return file;
}

struct wdf_file_handle *open_control(void)
{
    struct wdf_file_handle *file = NULL;
    assert_int_equal(fake_open(u"\\control", &file), WDF_OK);
    return file;
}

wdf_status control(struct wdf_file_handle *file, uint32_t code, const void *in, size_t in_size,
                   void *out, size_t out_size)
{
    struct fake_request *request = fake_new(file);
    fake_control(request, code, in, in_size, out_size);
    assert_true(fake_is_done(request));
    wdf_status status = request->status;
    if (out)
        memcpy(out, request->data, request->information);
    fake_free(request);
    return status;
}

struct vsp_status get_status(struct wdf_file_handle *control_file)
{
    struct vsp_status status;
    assert_int_equal(control(control_file, VSP_GET_STATUS, NULL, 0, &status, sizeof(status)), 0);
    return status;
}

void wait_for_state(struct wdf_file_handle *control_file, enum vsp_state state)
{
    WAIT_UNTIL(get_status(control_file).state == state);
}

struct vsp_settings get_settings(struct wdf_file_handle *control_file)
{
    struct vsp_settings s;
    assert_int_equal(control(control_file, VSP_GET_SETTINGS, NULL, 0, &s, sizeof(s)), 0);
    return s;
}

void set_settings(struct wdf_file_handle *control_file, const struct vsp_settings *settings)
{
    assert_int_equal(control(control_file, VSP_SET_SETTINGS, settings, sizeof(*settings), NULL, 0),
                     0);
}

void connect_port(struct wdf_file_handle *control_file, const char *host, uint16_t port)
{
    struct vsp_settings s = get_settings(control_file);
    s.mode = VSP_CONNECT;
    s.port = port;
    snprintf(s.host, sizeof(s.host), "%s", host);
    set_settings(control_file, &s);
}

uint16_t listen_port(struct wdf_file_handle *control_file, const char *host)
{
    struct vsp_settings s = get_settings(control_file);
    s.mode = VSP_LISTEN;
    s.port = 0;
    snprintf(s.host, sizeof(s.host), "%s", host);
    set_settings(control_file, &s);
    wait_for_state(control_file, VSP_LISTENING);
    return (uint16_t)get_status(control_file).local_port;
}

void set_timeouts(struct wdf_file_handle *port, uint32_t interval, uint32_t multiplier,
                  uint32_t constant)
{
    const uint32_t in[5] = {interval, multiplier, constant, 0, 0};
    assert_int_equal(control(port, SERIAL_SET_TIMEOUTS, in, sizeof(in), NULL, 0), 0);
}

void write_text(struct wdf_file_handle *port, const char *text)
{
    struct fake_request *write = fake_new(port);
    fake_write(write, text, strlen(text));
    expect_done(write);
    assert_int_equal(write->status, WDF_OK);
    assert_int_equal(write->information, strlen(text));
    fake_free(write);
}

void read_text(struct wdf_file_handle *port, const char *text)
{
    struct fake_request *read = fake_new(port);
    fake_read(read, strlen(text));
    expect_done(read);
    assert_int_equal(read->information, strlen(text));
    assert_memory_equal(read->data, text, strlen(text));
    fake_free(read);
}
