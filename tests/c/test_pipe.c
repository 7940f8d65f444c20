/* The bridge between a blocking thread and the loop. */
#include "runtime/loop/pipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/loop/pool.h"
#include "runtime/loop/timer.h"

enum { TOTAL = 8 * 1024 * 1024 };

struct rig {
    struct vx_loop *loop;
    struct vx_pipe *pipe;
    size_t count;   /* bytes the thread handled */
    size_t seen;    /* bytes the loop handled */
    size_t readies; /* ready calls */
    int bad;        /* bytes that were not the ones expected */
    int rc;         /* what the thread's last call returned */
    struct vx_err err;
    bool done;     /* the thread has ended */
    bool finished; /* the loop's side has */
};

static char byte_at(size_t pos)
{
    return (char)((pos * 2654435761u) >> 13);
}

static int setup(void **state)
{
    static struct rig rig;

    rig = (struct rig){ 0 };
    rig.loop = vx_loop_new(NULL);
    rig.pipe = vx_pipe_new(rig.loop, 1 << 16);
    *state = &rig;
    return rig.loop == NULL;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    vx_pipe_free(rig->pipe);
    vx_loop_turn(rig->loop, false);
    return vx_loop_free(rig->loop);
}

static void thread_ended(void *arg)
{
    ((struct rig *)arg)->done = true;
}

static void put_work(void *arg)
{
    struct rig *rig = arg;
    char chunk[5000];

    while (rig->count < TOTAL && rig->rc == 0) {
        size_t len = 1 + rig->count % sizeof chunk;
        if (len > TOTAL - rig->count)
            len = TOTAL - rig->count;
        for (size_t i = 0; i < len; i++)
            chunk[i] = byte_at(rig->count + i);
        rig->rc = vx_pipe_put(rig->pipe, chunk, len, &rig->err);
        rig->count += len;
    }
    if (rig->rc == 0)
        vx_pipe_end(rig->pipe);
    vx_pipe_unref(rig->pipe);
}

static void drain(void *arg)
{
    struct rig *rig = arg;
    const char *data = NULL;
    size_t len = 0;

    rig->readies++;
    while ((len = vx_pipe_peek(rig->pipe, &data)) > 0) {
        len = len > 3001 ? 3001 : len;
        for (size_t i = 0; i < len; i++)
            rig->bad += data[i] != byte_at(rig->seen + i);
        rig->seen += len;
        vx_pipe_drop(rig->pipe, len);
    }
    rig->finished = vx_pipe_ended(rig->pipe);
}

static void thread_to_loop_keeps_every_byte_in_order(void **state)
{
    struct rig *rig = *state;

    vx_pipe_on_ready(rig->pipe, drain, rig);
    vx_pipe_ref(rig->pipe);
    assert_int_equal(vx_pool_thread(rig->loop, put_work, thread_ended, rig, NULL), 0);
    while (!rig->done || !rig->finished)
        vx_loop_turn(rig->loop, true);
    assert_int_equal(rig->rc, 0);
    assert_int_equal(rig->seen, TOTAL);
    assert_int_equal(rig->bad, 0);
    assert_int_equal(vx_pipe_total(rig->pipe), TOTAL);
}

static void take_work(void *arg)
{
    struct rig *rig = arg;
    char chunk[7001];
    ssize_t len = 0;

    while ((len = vx_pipe_take(rig->pipe, chunk, 1 + rig->count % sizeof chunk, &rig->err)) >
           0) {
        for (ssize_t i = 0; i < len; i++)
            rig->bad += chunk[i] != byte_at(rig->count + (size_t)i);
        rig->count += (size_t)len;
    }
    rig->rc = (int)len;
    vx_pipe_unref(rig->pipe);
}

static void fill(void *arg)
{
    struct rig *rig = arg;
    char *to = NULL;
    size_t len = 0;

    while (rig->seen < TOTAL && (len = vx_pipe_room(rig->pipe, &to)) > 0) {
        len = len > 4999 ? 4999 : len;
        len = len > TOTAL - rig->seen ? TOTAL - rig->seen : len;
        for (size_t i = 0; i < len; i++)
            to[i] = byte_at(rig->seen + i);
        vx_pipe_added(rig->pipe, len);
        rig->seen += len;
    }
    if (rig->seen == TOTAL && !rig->finished) {
        rig->finished = true;
        vx_pipe_end(rig->pipe);
    }
}

static void loop_to_thread_keeps_every_byte_in_order(void **state)
{
    struct rig *rig = *state;

    vx_pipe_on_ready(rig->pipe, fill, rig);
    vx_pipe_ref(rig->pipe);
    assert_int_equal(vx_pool_thread(rig->loop, take_work, thread_ended, rig, NULL), 0);
    while (!rig->done)
        vx_loop_turn(rig->loop, true);
    assert_int_equal(rig->rc, 0);
    assert_int_equal(rig->count, TOTAL);
    assert_int_equal(rig->bad, 0);
}

static void freeing_the_loop_side_ends_a_thread_that_waits_for_room(void **state)
{
    struct rig *rig = *state;
    struct vx_pipe *pipe = rig->pipe;
    const char *data = NULL;

    vx_pipe_ref(pipe);
    assert_int_equal(vx_pool_thread(rig->loop, put_work, thread_ended, rig, NULL), 0);
    while (vx_pipe_peek(pipe, &data) < 1 << 16)
        vx_loop_turn(rig->loop, false);
    vx_pipe_ref(pipe); /* the thread lets its own go through rig->pipe, which must stay */
    vx_pipe_free(pipe);
    while (!rig->done)
        vx_loop_turn(rig->loop, true);
    assert_int_equal(rig->rc, -1);
    assert_int_equal(rig->err.kind, VX_CLOSED);
    vx_pipe_unref(pipe);
    rig->pipe = NULL;
}

static void breaking_ends_a_thread_that_waits_for_bytes_with_that_error(void **state)
{
    struct rig *rig = *state;
    struct vx_err err = { 0 };

    vx_pipe_ref(rig->pipe);
    assert_int_equal(vx_pool_thread(rig->loop, take_work, thread_ended, rig, NULL), 0);
    vx_err_set(&err, VX_CONNECTION, 7, "the line went dead");
    vx_pipe_break(rig->pipe, &err);
    vx_err_set(&err, VX_SYSTEM, 8, "a later one");
    vx_pipe_break(rig->pipe, &err);
    while (!rig->done)
        vx_loop_turn(rig->loop, true);
    assert_int_equal(rig->rc, -1);
    assert_int_equal(rig->err.kind, VX_CONNECTION);
    assert_string_equal(rig->err.msg, "the line went dead");
}

static void fail_work(void *arg)
{
    struct rig *rig = arg;
    struct vx_err err = { 0 };

    vx_err_set(&err, VX_UNSAFE, 0, "refused");
    vx_pipe_break(rig->pipe, &err);
    vx_pipe_unref(rig->pipe);
}

static void see_failure(void *arg)
{
    struct rig *rig = arg;

    rig->finished = vx_pipe_broken(rig->pipe, &rig->err);
}

static void a_failing_thread_is_seen_by_the_loop(void **state)
{
    struct rig *rig = *state;

    vx_pipe_on_ready(rig->pipe, see_failure, rig);
    vx_pipe_ref(rig->pipe);
    assert_int_equal(vx_pool_thread(rig->loop, fail_work, thread_ended, rig, NULL), 0);
    while (!rig->done || !rig->finished)
        vx_loop_turn(rig->loop, true);
    assert_int_equal(rig->err.kind, VX_UNSAFE);
}

static void ready_never_runs_after_free(void **state)
{
    struct rig *rig = *state;

    vx_pipe_on_ready(rig->pipe, drain, rig); /* posts one */
    vx_pipe_free(rig->pipe);
    rig->pipe = NULL;
    vx_loop_turn(rig->loop, false);
    vx_loop_turn(rig->loop, false);
    assert_int_equal(rig->readies, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(thread_to_loop_keeps_every_byte_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(loop_to_thread_keeps_every_byte_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(freeing_the_loop_side_ends_a_thread_that_waits_for_room,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            breaking_ends_a_thread_that_waits_for_bytes_with_that_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failing_thread_is_seen_by_the_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(ready_never_runs_after_free, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
