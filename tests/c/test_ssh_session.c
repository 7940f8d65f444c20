#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/base/buf.h"
#include "runtime/loop/pool.h"
#include "runtime/loop/timer.h"
#include "runtime/ssh/run.h"
#include "runtime/ssh/session.h"
#include "tests/c/sshd.h"

static struct sshd server;
static struct vx_loop *loop;

struct outcome {
    int calls;
    struct vx_err err;
};

static void note(const struct vx_err *err, void *arg)
{
    struct outcome *outcome = arg;

    outcome->calls++;
    if (err != NULL)
        outcome->err = *err;
}

static struct vx_session_opts options(void)
{
    return (struct vx_session_opts){ .host = "127.0.0.1",
                                     .port = server.port,
                                     .user = server.user,
                                     .key = server.key,
                                     .host_key = server.host_key };
}

static void turn_until(int *calls, int wanted)
{
    double limit = vx_loop_now() + 60;

    while (*calls < wanted && vx_loop_now() < limit)
        vx_loop_turn(loop, true);
    assert_int_equal(*calls, wanted);
}

static struct vx_session *session_with(const struct vx_session_opts *opts,
                                       struct outcome *outcome)
{
    struct vx_err err = { 0 };
    struct vx_session *session = vx_session_open(loop, opts, note, outcome, &err);

    assert_string_equal(err.msg, "");
    assert_non_null(session);
    assert_int_equal(outcome->calls, 0);
    turn_until(&outcome->calls, 1);
    return session;
}

static struct vx_session *good_session(void)
{
    struct vx_session_opts opts = options();
    struct outcome outcome = { 0 };
    struct vx_session *session = session_with(&opts, &outcome);

    assert_string_equal(outcome.err.msg, "");
    return session;
}

static struct vx_run *start(struct vx_session *session, const char *line, const char *input,
                            struct outcome *outcome)
{
    struct vx_command_opts command = { .line = line, .line_len = strlen(line) };
    struct vx_run_opts opts = { .input = input,
                                .input_len = input != NULL ? strlen(input) : 0,
                                .max_output = 8 << 20,
                                .timeout = 60,
                                .done = note,
                                .arg = outcome };
    struct vx_err err = { 0 };
    struct vx_run *run = vx_run_start(loop, session, &command, &opts, &err);

    assert_string_equal(err.msg, "");
    return run;
}

static void a_command_gives_its_output_errors_and_status(void **state)
{
    struct vx_session *session = good_session();
    struct outcome outcome = { 0 };
    struct vx_run_output output;
    struct vx_run *run = start(session, "cat; echo oops >&2; exit 7", "hello", &outcome);

    (void)state;
    assert_int_equal(outcome.calls, 0);
    turn_until(&outcome.calls, 1);
    assert_string_equal(outcome.err.msg, "");
    vx_run_output(run, &output);
    assert_string_equal(vx_buf_cstr(output.out), "hello");
    assert_string_equal(vx_buf_cstr(output.err), "oops\n");
    assert_int_equal(output.result.status, 7);
    vx_run_free(run);
    vx_session_free(session);
}

static void a_signal_is_not_a_status(void **state)
{
    struct vx_session *session = good_session();
    struct outcome outcome = { 0 };
    struct vx_run_output output;
    struct vx_run *run = start(session, "kill -KILL $$", NULL, &outcome);

    (void)state;
    turn_until(&outcome.calls, 1);
    assert_string_equal(outcome.err.msg, "");
    vx_run_output(run, &output);
    assert_int_equal(output.result.status, -1);
    assert_string_equal(output.result.signal, "KILL");
    vx_run_free(run);
    vx_session_free(session);
}

static void a_hundred_commands_share_one_session(void **state)
{
    struct vx_session *session = good_session();
    struct outcome outcome = { 0 };
    struct vx_run *runs[100];

    (void)state;
    for (int i = 0; i < 100; i++) {
        char line[64];
        snprintf(line, sizeof line, "sleep 0.2; echo %d; exit %d", i, i);
        runs[i] = start(session, line, NULL, &outcome);
    }
    turn_until(&outcome.calls, 100);
    assert_string_equal(outcome.err.msg, "");
    for (int i = 0; i < 100; i++) {
        struct vx_run_output output;
        char expected[16];

        vx_run_output(runs[i], &output);
        snprintf(expected, sizeof expected, "%d\n", i);
        assert_string_equal(vx_buf_cstr(output.out), expected);
        assert_int_equal(output.result.status, i);
        vx_run_free(runs[i]);
    }
    vx_session_free(session);
}

static void another_host_key_is_refused_before_the_log_in(void **state)
{
    struct vx_session_opts opts = options();
    struct outcome outcome = { 0 };
    struct vx_session *session = NULL;

    (void)state;
    opts.host_key = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    session = session_with(&opts, &outcome);
    assert_int_equal(outcome.err.kind, VX_HOSTKEY);
    vx_session_free(session);
}

static void another_key_is_refused(void **state)
{
    struct vx_session_opts opts = options();
    struct outcome outcome = { 0 };
    struct vx_session *session = NULL;
    char other[160];

    (void)state;
    snprintf(other, sizeof other, "%s/other", server.dir);
    opts.key = other;
    session = session_with(&opts, &outcome);
    assert_int_equal(outcome.err.kind, VX_AUTH);
    vx_session_free(session);
}

static void everything_may_be_freed_at_any_moment(void **state)
{
    (void)state;
    for (int turns = 0; turns < 30; turns++) {
        struct vx_session_opts opts = options();
        struct outcome outcome = { 0 };
        struct vx_err err = { 0 };
        struct vx_session *session = vx_session_open(loop, &opts, note, &outcome, &err);
        struct vx_run *run = NULL;

        for (int i = 0; i < turns && outcome.calls < 2; i++) {
            if (outcome.calls > 0 && run == NULL)
                run = start(session, "echo a; sleep 0.1; echo b", NULL, &outcome);
            vx_loop_turn(loop, true);
        }
        if (turns % 2)
            vx_run_free(run);
        vx_session_free(session);
        if (turns % 2 == 0)
            vx_run_free(run);
        while (vx_loop_alive(loop) > 0)
            vx_loop_turn(loop, true);
    }
}

static void a_lost_server_ends_every_command(void **state)
{
    struct vx_session *session = good_session();
    struct outcome outcome = { 0 };
    struct vx_run *one = start(session, "echo $PPID; sleep 60", NULL, &outcome);
    struct vx_run *two = start(session, "sleep 60", NULL, &outcome);
    struct vx_run_output output;
    double limit = vx_loop_now() + 30;

    (void)state;
    do {
        vx_loop_turn(loop, true);
        vx_run_output(one, &output);
    } while (output.out->len == 0 && vx_loop_now() < limit);
    kill((pid_t)atoi(vx_buf_cstr(output.out)), SIGKILL);
    turn_until(&outcome.calls, 2);
    assert_int_equal(outcome.err.kind, VX_CONNECTION);
    vx_run_free(one);
    vx_run_free(two);
    assert_non_null(vx_session_error(session));
    vx_session_free(session);
}

static int setup(void **state)
{
    struct vx_err err = { 0 };

    (void)state;
    vx_pool_setup();
    loop = vx_loop_new(&err);
    if (!sshd_start(&server, NULL))
        exit(77);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sshd_stop(&server);
    return vx_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_gives_its_output_errors_and_status),
        cmocka_unit_test(a_signal_is_not_a_status),
        cmocka_unit_test(a_hundred_commands_share_one_session),
        cmocka_unit_test(another_host_key_is_refused_before_the_log_in),
        cmocka_unit_test(another_key_is_refused),
        cmocka_unit_test(a_lost_server_ends_every_command),
        cmocka_unit_test(everything_may_be_freed_at_any_moment),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
