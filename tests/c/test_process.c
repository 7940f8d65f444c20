/* runtime/loop/process, and what clears processes and folders away: runtime/base/proc, sweep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/base/buf.h"
#include "runtime/base/file.h"
#include "runtime/base/proc.h"
#include "runtime/base/sweep.h"
#include "runtime/loop/process.h"

struct fixture {
    struct vx_loop *loop;
    char *folder;
};

struct output {
    struct vx_buf text[3];
    int ended;
    int exits;
    int status, signal;
    int sent;
};

static int set_up(void **state)
{
    struct fixture *fixture = vx_zalloc(sizeof *fixture);

    fixture->loop = vx_loop_new(NULL);
    fixture->folder = mkdtemp(vx_strdup("/tmp/vx-proc-XXXXXX"));
    *state = fixture;
    return fixture->loop == NULL || fixture->folder == NULL;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    int rc = 0;

    vx_loop_turn(fixture->loop, false);
    rc = vx_loop_free(fixture->loop);
    if (vx_file_remove_tree(fixture->folder, NULL) != 0)
        rc = -1;
    free(fixture->folder);
    free(fixture);
    return rc;
}

static void got(int stream, const char *data, size_t len, void *arg)
{
    struct output *out = arg;

    if (len == 0)
        out->ended++;
    vx_buf_add(&out->text[stream], data, len);
}

static void exited(int status, int signum, void *arg)
{
    struct output *out = arg;

    out->exits++;
    out->status = status;
    out->signal = signum;
}

static void sent(const struct vx_err *err, void *arg)
{
    struct output *out = arg;

    assert_null(err);
    out->sent++;
}

static struct vx_process *start(struct fixture *fixture, struct output *out, const char *code,
                                const char *word, int stdin_pipe)
{
    const char *argv[] = { "/bin/sh", "-c", code, "sh", word, NULL };
    struct vx_process_opts opts = {
        .argv = argv,
        .stdin_pipe = stdin_pipe,
        .on_data = got,
        .on_exit = exited,
        .arg = out,
    };
    struct vx_err err = { 0 };
    struct vx_process *proc = vx_process_start(fixture->loop, &opts, &err);

    assert_non_null(proc);
    return proc;
}

static void turn_until(struct fixture *fixture, const int *value, int wanted)
{
    double deadline = vx_loop_now() + 30;

    while (*value < wanted && vx_loop_now() < deadline)
        vx_loop_turn(fixture->loop, true);
    assert_int_equal(*value, wanted);
}

static void free_output(struct output *out)
{
    vx_buf_free(&out->text[1]);
    vx_buf_free(&out->text[2]);
}

static void both_streams_and_the_status_come_back(void **state)
{
    struct output out = { 0 };
    struct vx_process *proc = start(*state, &out, "echo out; echo err >&2; exit 3", NULL, 0);

    turn_until(*state, &out.exits, 1);
    assert_string_equal(vx_buf_cstr(&out.text[1]), "out\n");
    assert_string_equal(vx_buf_cstr(&out.text[2]), "err\n");
    assert_int_equal(out.ended, 2);
    assert_int_equal(out.status, 3);
    assert_int_equal(out.signal, 0);
    vx_process_free(proc);
    free_output(&out);
}

static void what_is_written_arrives_before_the_input_ends(void **state)
{
    struct output out = { 0 };
    struct vx_process *proc = start(*state, &out, "cat", NULL, 1);
    char *text = vx_alloc(500000);

    memset(text, 'x', 500000);
    assert_int_equal(vx_process_write(proc, text, 500000, sent, &out, NULL), 0);
    assert_int_equal(out.sent, 0);
    vx_process_close_stdin(proc);
    turn_until(*state, &out.exits, 1);
    assert_int_equal(out.sent, 1);
    assert_int_equal(out.text[1].len, 500000);
    assert_int_equal(vx_process_write(proc, "x", 1, NULL, NULL, NULL), -1);
    vx_process_free(proc);
    free(text);
    free_output(&out);
}

static void a_program_that_is_not_there_is_an_error_that_names_it(void **state)
{
    struct fixture *fixture = *state;
    const char *argv[] = { "/no/such/program", NULL };
    struct output out = { 0 };
    struct vx_process_opts opts = {
        .argv = argv, .on_data = got, .on_exit = exited, .arg = &out
    };
    struct vx_err err = { 0 };

    assert_null(vx_process_start(fixture->loop, &opts, &err));
    assert_int_equal(err.kind, VX_NOTFOUND);
    assert_non_null(strstr(err.msg, "/no/such/program"));
    vx_loop_turn(fixture->loop, false);
    assert_int_equal(out.exits, 0);
}

static void a_signal_reaches_the_whole_group(void **state)
{
    struct output out = { 0 };
    struct vx_process *proc = start(*state, &out, "sleep 1000 & echo up; wait", NULL, 0);

    while (out.text[1].len == 0)
        vx_loop_turn(((struct fixture *)*state)->loop, true);
    vx_process_kill(proc, SIGTERM);
    /* Its sleep holds the streams: they end only when that has ended as well. */
    turn_until(*state, &out.exits, 1);
    assert_int_equal(out.signal, SIGTERM);
    vx_process_free(proc);
    free_output(&out);
}

static void a_freed_process_is_killed_and_never_heard_of_again(void **state)
{
    struct fixture *fixture = *state;
    struct output out = { 0 };
    struct vx_process *proc = start(fixture, &out, "sleep 1000", NULL, 0);
    pid_t pid = vx_process_pid(proc);
    double deadline = vx_loop_now() + 30;

    vx_process_free(proc);
    while (kill(pid, 0) == 0 && vx_loop_now() < deadline)
        vx_loop_turn(fixture->loop, false);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(out.exits, 0);
    vx_process_free(NULL);
    free_output(&out);
}

static void a_paused_process_waits_and_goes_on_where_it_was(void **state)
{
    struct output out = { 0 };
    struct vx_process *proc =
        start(*state, &out, "i=0; while [ $i -lt 3000 ]; do echo 0123456789; i=$((i+1)); done",
              NULL, 0);

    vx_process_pause(proc);
    vx_process_pause(proc);
    vx_loop_turn(((struct fixture *)*state)->loop, false);
    assert_int_equal(out.exits, 0);
    assert_int_equal(out.text[1].len, 0);
    vx_process_resume(proc);
    vx_process_resume(proc);
    turn_until(*state, &out.exits, 1);
    assert_int_equal(out.text[1].len, 33000);
    vx_process_free(proc);
    free_output(&out);
}

/* --- proc and sweep --------------------------------------------------------------------- */

/* A process whose command line names the path, once it does. It starts no other: a child has the
 * same command line between fork and exec. */
static struct vx_process *start_naming(struct fixture *fixture, struct output *out,
                                       const char *path)
{
    struct vx_process *proc = start(fixture, out, "echo up; read line", path, 1);

    while (out->text[1].len == 0)
        vx_loop_turn(fixture->loop, true);
    return proc;
}

static size_t count_naming(const char *path)
{
    const char *paths[] = { path, NULL };
    struct vx_buf found = { 0 };
    size_t count = 0;

    assert_int_equal(vx_proc_find(paths, &found, NULL), 0);
    count = found.len / sizeof(struct vx_proc);
    vx_buf_free(&found);
    return count;
}

static void a_process_is_found_by_a_path_as_a_whole(void **state)
{
    struct fixture *fixture = *state;
    struct output out = { 0 };
    char *word = vx_strfmt("id=1,file=%s/a/b,x", fixture->folder);
    char *inside = vx_strfmt("%s/a", fixture->folder);
    char *longer = vx_strfmt("%s/a/b/c", fixture->folder);
    char *start_only = vx_strndup(fixture->folder, strlen(fixture->folder) - 1);
    struct vx_process *proc = start_naming(fixture, &out, word);

    assert_int_equal(count_naming(fixture->folder), 1);
    assert_int_equal(count_naming(inside), 1);
    assert_int_equal(count_naming(longer), 0);
    assert_int_equal(count_naming(start_only), 0);
    assert_int_equal(count_naming(strrchr(fixture->folder, '/')), 0);
    vx_process_free(proc);
    free(word);
    free(inside);
    free(longer);
    free(start_only);
    free_output(&out);
}

static void only_a_process_that_still_names_the_path_is_killed(void **state)
{
    struct fixture *fixture = *state;
    const char *others[] = { "/no/such/folder", NULL };
    const char *paths[] = { fixture->folder, NULL };
    struct output out = { 0 };
    struct vx_process *proc = start_naming(fixture, &out, fixture->folder);
    pid_t pid = vx_process_pid(proc);

    assert_int_equal(vx_proc_kill(pid, others), 0);
    assert_int_equal(vx_proc_kill(getpid(), paths), 0);
    assert_int_equal(out.exits, 0);
    assert_int_equal(vx_proc_kill(pid, paths), 1);
    vx_process_kill(proc, SIGKILL); /* what it had started */
    turn_until(fixture, &out.exits, 1);
    assert_int_equal(out.signal, SIGKILL);
    assert_int_equal(vx_proc_kill(pid, paths), 0);
    vx_process_free(proc);
    free_output(&out);
}

static void a_sweep_kills_first_and_removes_then_following_no_link(void **state)
{
    struct fixture *fixture = *state;
    char *run = vx_strfmt("%s/run", fixture->folder);
    char *deep = vx_strfmt("%s/a/b", run);
    char *kept = vx_strfmt("%s/kept", fixture->folder);
    char *link = vx_strfmt("%s/a/link", run);
    const char *paths[] = { run, "/no/such/folder/at/all", NULL };
    struct output out = { 0 };
    struct vx_process *proc = NULL;
    struct vx_sweep done;
    struct vx_err err = { 0 };

    assert_int_equal(vx_file_mkdir_p(deep, 0700, &err), 0);
    assert_int_equal(vx_file_mkdir_p(kept, 0700, &err), 0);
    assert_int_equal(symlink(kept, link), 0);
    proc = start_naming(fixture, &out, run);
    assert_int_equal(vx_sweep(paths, true, &done, &err), 0);
    assert_int_equal(done.killed, 1);
    assert_int_equal(done.removed, 1);
    assert_int_equal(access(run, F_OK), -1);
    assert_int_equal(access(kept, F_OK), 0);
    vx_process_free(proc);
    assert_int_equal(vx_sweep(paths, false, &done, &err), 0);
    assert_int_equal(done.killed + done.removed, 0);
    free(run);
    free(deep);
    free(kept);
    free(link);
    free_output(&out);
}

static void a_sweep_refuses_what_no_run_could_own(void **state)
{
    /* Names that no process has on its command line, should one not be refused. */
    static const char *const refused[] = { "/no-such-folder-1b7", "/no-such-folder-1b7/",
                                           "no-such-folder-1b7/x", "/no-such-folder-1b7/../x" };

    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const char *paths[] = { refused[i], NULL };
        struct vx_sweep done;
        struct vx_err err = { 0 };

        assert_int_equal(vx_sweep(paths, false, &done, &err), -1);
        assert_int_equal(err.kind, VX_UNSAFE);
        assert_int_equal(done.removed, 0);
    }
}

#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOOP(both_streams_and_the_status_come_back),
        WITH_LOOP(what_is_written_arrives_before_the_input_ends),
        WITH_LOOP(a_program_that_is_not_there_is_an_error_that_names_it),
        WITH_LOOP(a_signal_reaches_the_whole_group),
        WITH_LOOP(a_freed_process_is_killed_and_never_heard_of_again),
        WITH_LOOP(a_paused_process_waits_and_goes_on_where_it_was),
        WITH_LOOP(a_process_is_found_by_a_path_as_a_whole),
        WITH_LOOP(only_a_process_that_still_names_the_path_is_killed),
        WITH_LOOP(a_sweep_kills_first_and_removes_then_following_no_link),
        WITH_LOOP(a_sweep_refuses_what_no_run_could_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
