/* The switch of private networks, with sockets of this test in the place of QEMU. */
#include "runtime/net/switch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/buf.h"

enum { PORTS = 3, WAIT = 5000, SILENCE = 60 };

static char folder[] = "/tmp/vmatrix-switch-XXXXXX";

struct rig {
    struct vx_switch *sw;
    int port[PORTS];
    int fd[PORTS];
};

static void path_of(int i, char *path, size_t size)
{
    snprintf(path, size, "%s/%d", folder, i);
}

static int plug(int i)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    path_of(i, addr.sun_path, sizeof addr.sun_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static void await_connected(struct vx_switch *sw, int port, bool wanted)
{
    for (int i = 0; i < 1000 && vx_switch_stats(sw, port).connected != wanted; i++)
        usleep(5000);
    assert_int_equal(vx_switch_stats(sw, port).connected, wanted);
}

static int setup(void **state)
{
    static struct rig rig;
    struct vx_err err = { 0 };
    char path[128];

    rig.sw = vx_switch_new(42, &err);
    assert_non_null(rig.sw);
    for (int i = 0; i < PORTS; i++) {
        path_of(i, path, sizeof path);
        rig.port[i] = vx_switch_add(rig.sw, path, &err);
        assert_true(rig.port[i] >= 0);
        rig.fd[i] = plug(i);
        await_connected(rig.sw, rig.port[i], true);
    }
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    vx_switch_free(rig->sw);
    for (int i = 0; i < PORTS; i++)
        close(rig->fd[i]);
    return 0;
}

/* A frame as QEMU sends it: its length, both addresses, and a text behind them. */
static void send_frame(int fd, int to, int from, const char *text)
{
    unsigned char frame[4 + 1500] = { 0 };
    size_t len = 14 + strlen(text);

    frame[2] = (unsigned char)(len >> 8);
    frame[3] = (unsigned char)len;
    if (to < 0)
        memset(frame + 4, 0xff, 6);
    else
        memcpy(frame + 4, (unsigned char[]){ 0x52, 0x54, 0, 0, 0, (unsigned char)to }, 6);
    memcpy(frame + 10, (unsigned char[]){ 0x52, 0x54, 0, 0, 0, (unsigned char)from }, 6);
    memcpy(frame + 18, text, strlen(text));
    assert_int_equal(write(fd, frame, 4 + len), 4 + len);
}

static bool readable(int fd, int milliseconds)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

    return poll(&poll_fd, 1, milliseconds) == 1;
}

static void read_all(int fd, void *to, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = 0;

        if (!readable(fd, WAIT))
            fail_msg("nothing came");
        n = read(fd, (char *)to + at, len - at);
        assert_true(n > 0);
        at += (size_t)n;
    }
}

static void expect_frame(int fd, const char *text)
{
    unsigned char head[4];
    unsigned char frame[1500] = { 0 };
    size_t len = 0;

    read_all(fd, head, sizeof head);
    len = (size_t)head[2] << 8 | head[3];
    assert_in_range(len, 14, sizeof frame - 1);
    read_all(fd, frame, len);
    assert_string_equal((const char *)frame + 14, text);
}

static void expect_silence(int fd)
{
    if (readable(fd, SILENCE))
        fail_msg("something came");
}

static void a_frame_to_all_reaches_all_others(void **state)
{
    struct rig *rig = *state;

    send_frame(rig->fd[0], -1, 1, "hello");
    expect_frame(rig->fd[1], "hello");
    expect_frame(rig->fd[2], "hello");
    expect_silence(rig->fd[0]);
}

static void a_frame_to_a_known_address_reaches_only_its_port(void **state)
{
    struct rig *rig = *state;

    send_frame(rig->fd[1], 1, 2, "to whom");
    expect_frame(rig->fd[0], "to whom");
    expect_frame(rig->fd[2], "to whom");
    send_frame(rig->fd[0], 2, 1, "to two");
    expect_frame(rig->fd[1], "to two");
    expect_silence(rig->fd[2]);
}

static void an_address_that_moves_is_found_behind_its_new_port(void **state)
{
    struct rig *rig = *state;

    send_frame(rig->fd[1], -1, 2, "here");
    expect_frame(rig->fd[0], "here");
    expect_frame(rig->fd[2], "here");
    send_frame(rig->fd[2], -1, 2, "now here");
    expect_frame(rig->fd[0], "now here");
    expect_frame(rig->fd[1], "now here");
    send_frame(rig->fd[0], 2, 1, "to two");
    expect_frame(rig->fd[2], "to two");
    expect_silence(rig->fd[1]);
}

static void frames_that_come_in_pieces_are_put_together(void **state)
{
    struct rig *rig = *state;
    unsigned char frame[4 + 14 + 3] = { 0, 0, 0, 17, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2 };

    memcpy(frame + 18, "abc", 3);
    for (size_t i = 0; i < sizeof frame; i++) {
        assert_int_equal(write(rig->fd[0], frame + i, 1), 1);
        usleep(200);
    }
    expect_frame(rig->fd[1], "abc");
}

static void what_cannot_be_frames_ends_the_connection(void **state)
{
    struct rig *rig = *state;
    unsigned char short_frame[4 + 5] = { 0, 0, 0, 5 };

    assert_int_equal(write(rig->fd[0], short_frame, sizeof short_frame), sizeof short_frame);
    assert_int_equal(write(rig->fd[0], "\xff\xff\xff\xff", 4), 4);
    await_connected(rig->sw, rig->port[0], false);
    expect_silence(rig->fd[1]);
    send_frame(rig->fd[1], -1, 2, "the others go on");
    expect_frame(rig->fd[2], "the others go on");
}

static void who_connects_again_takes_the_place(void **state)
{
    struct rig *rig = *state;
    char byte = 0;
    int anew = plug(0);

    assert_true(readable(rig->fd[0], WAIT));
    assert_int_equal(read(rig->fd[0], &byte, 1), 0); /* its end */
    close(rig->fd[0]);
    rig->fd[0] = anew;
    send_frame(rig->fd[1], -1, 2, "welcome");
    expect_frame(rig->fd[0], "welcome");
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void delay_is_kept_and_so_is_the_order(void **state)
{
    struct rig *rig = *state;
    const struct vx_shape late = { .delay = 0.15, .jitter = 0.05 };
    const struct vx_shape none = { 0 };
    double start = 0;
    char text[16];

    vx_switch_shape(rig->sw, rig->port[0], VX_FROM_GUEST, &late);
    start = now();
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "frame %d", i);
        send_frame(rig->fd[0], -1, 1, text);
    }
    expect_frame(rig->fd[1], "frame 0");
    assert_true(now() - start >= 0.099);
    vx_switch_shape(rig->sw, rig->port[0], VX_FROM_GUEST, &none);
    send_frame(rig->fd[0], -1, 1, "last");
    for (int i = 1; i < 20; i++) {
        snprintf(text, sizeof text, "frame %d", i);
        expect_frame(rig->fd[1], text);
    }
    expect_frame(rig->fd[1], "last");
}

static void delay_on_the_way_to_the_guest_is_of_that_guest_only(void **state)
{
    struct rig *rig = *state;
    const struct vx_shape late = { .delay = 0.3 };
    double start = now();

    vx_switch_shape(rig->sw, rig->port[1], VX_TO_GUEST, &late);
    send_frame(rig->fd[0], -1, 1, "x");
    expect_frame(rig->fd[2], "x");
    expect_silence(rig->fd[1]);
    expect_frame(rig->fd[1], "x");
    assert_true(now() - start >= 0.3);
}

static void loss_loses_its_share_and_counts_it(void **state)
{
    struct rig *rig = *state;
    const struct vx_shape bad = { .loss = 0.25 };
    const struct vx_shape all = { .loss = 1 };
    struct vx_port_stats stats = { 0 };

    vx_switch_shape(rig->sw, rig->port[0], VX_FROM_GUEST, &bad);
    for (int i = 0; i < 1000; i++)
        send_frame(rig->fd[0], -1, 1, "frame");
    for (int i = 0; i < 1000 && vx_switch_stats(rig->sw, rig->port[0]).count[0].frames < 1000;
         i++)
        usleep(5000);
    stats = vx_switch_stats(rig->sw, rig->port[0]);
    assert_int_equal(stats.count[VX_FROM_GUEST].frames, 1000);
    assert_in_range(stats.count[VX_FROM_GUEST].lost, 180, 320);
    assert_int_equal(stats.count[VX_FROM_GUEST].dropped, 0);
    while (vx_switch_stats(rig->sw, rig->port[1]).count[VX_TO_GUEST].frames <
           1000 - stats.count[VX_FROM_GUEST].lost)
        usleep(5000);
    for (uint64_t i = stats.count[VX_FROM_GUEST].lost; i < 1000; i++)
        expect_frame(rig->fd[1], "frame");
    vx_switch_shape(rig->sw, rig->port[0], VX_FROM_GUEST, &all);
    send_frame(rig->fd[0], -1, 1, "none");
    expect_silence(rig->fd[1]);
}

static void a_rate_is_kept_and_what_waits_too_long_is_dropped(void **state)
{
    struct rig *rig = *state;
    const struct vx_shape slow = { .rate = 100 * 1024 };
    struct vx_port_count count = { 0 };
    char text[1001];
    double start = 0;
    uint64_t passed = 0;

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    vx_switch_shape(rig->sw, rig->port[0], VX_FROM_GUEST, &slow);
    start = now();
    for (int i = 0; i < 200; i++)
        send_frame(rig->fd[0], -1, 1, text);
    for (int i = 0; i < 1000 && count.frames < 200; i++) {
        usleep(5000);
        count = vx_switch_stats(rig->sw, rig->port[0]).count[VX_FROM_GUEST];
    }
    passed = 200 - count.dropped;
    assert_in_range(passed, 24, 150); /* a quarter of a second, and what went meanwhile */
    for (uint64_t i = 0; i < passed; i++)
        expect_frame(rig->fd[1], text);
    assert_true(now() - start >= (double)(passed * 1014) / (100 * 1024) - 0.01);
    expect_silence(rig->fd[1]);
}

static void a_guest_that_takes_nothing_holds_nobody_up(void **state)
{
    struct rig *rig = *state;
    char text[1401];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < 8000; i++) { /* 11 MB, of which port 2 reads nothing */
        send_frame(rig->fd[0], -1, 1, text);
        expect_frame(rig->fd[1], text);
    }
    assert_true(vx_switch_stats(rig->sw, rig->port[2]).count[VX_TO_GUEST].dropped > 0);
    expect_frame(rig->fd[2], text);
}

static void sockets_are_private_and_go_with_their_ports(void **state)
{
    struct rig *rig = *state;
    struct vx_err err = { 0 };
    struct stat st;
    char path[256];

    path_of(0, path, sizeof path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(vx_switch_add(rig->sw, path, &err), -1);
    assert_non_null(strstr(err.msg, path));
    vx_switch_remove(rig->sw, rig->port[0]);
    assert_int_equal(stat(path, &st), -1);
    vx_switch_remove(rig->sw, rig->port[0]);
    assert_int_equal(vx_switch_add(rig->sw, path, &err), rig->port[0]);
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(vx_switch_add(rig->sw, path, &err), -1);
    assert_int_equal(err.kind, VX_LIMIT);
}

static void the_number_of_ports_is_bounded(void **state)
{
    struct rig *rig = *state;
    struct vx_err err = { 0 };
    char path[128];

    for (int i = PORTS; i < VX_SWITCH_PORTS_MAX; i++) {
        path_of(i, path, sizeof path);
        assert_int_equal(vx_switch_add(rig->sw, path, &err), i);
    }
    path_of(VX_SWITCH_PORTS_MAX, path, sizeof path);
    assert_int_equal(vx_switch_add(rig->sw, path, &err), -1);
    assert_int_equal(err.kind, VX_LIMIT);
    assert_int_equal(access(path, F_OK), -1);
}

static void a_capture_holds_the_frames(void **state)
{
    struct rig *rig = *state;
    struct vx_err err = { 0 };
    char path[128];
    unsigned char bytes[256];
    FILE *file = NULL;
    size_t len = 0;

    snprintf(path, sizeof path, "%s/capture", folder);
    assert_int_equal(vx_switch_capture(rig->sw, path, &err), 0);
    send_frame(rig->fd[0], -1, 1, "captured");
    expect_frame(rig->fd[1], "captured");
    assert_int_equal(vx_switch_capture(rig->sw, NULL, &err), 0);
    send_frame(rig->fd[0], -1, 1, "not any more");
    expect_frame(rig->fd[1], "not any more");
    file = fopen(path, "re");
    assert_non_null(file);
    len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    unlink(path);
    assert_int_equal(len, 24 + 16 + 14 + 8);
    assert_memory_equal(bytes + 24 + 16 + 14, "captured", 8);
    assert_int_equal(vx_switch_capture(rig->sw, "/nowhere/at/all", &err), -1);
    assert_int_equal(err.kind, VX_NOTFOUND);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder); /* only an empty one goes: every socket was removed */
}

#define ON_A_RIG(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_RIG(a_frame_to_all_reaches_all_others),
        ON_A_RIG(a_frame_to_a_known_address_reaches_only_its_port),
        ON_A_RIG(an_address_that_moves_is_found_behind_its_new_port),
        ON_A_RIG(frames_that_come_in_pieces_are_put_together),
        ON_A_RIG(what_cannot_be_frames_ends_the_connection),
        ON_A_RIG(who_connects_again_takes_the_place),
        ON_A_RIG(delay_is_kept_and_so_is_the_order),
        ON_A_RIG(delay_on_the_way_to_the_guest_is_of_that_guest_only),
        ON_A_RIG(loss_loses_its_share_and_counts_it),
        ON_A_RIG(a_rate_is_kept_and_what_waits_too_long_is_dropped),
        ON_A_RIG(a_guest_that_takes_nothing_holds_nobody_up),
        ON_A_RIG(sockets_are_private_and_go_with_their_ports),
        ON_A_RIG(the_number_of_ports_is_bounded),
        ON_A_RIG(a_capture_holds_the_frames),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
