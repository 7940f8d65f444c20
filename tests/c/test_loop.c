/* runtime/loop: turns, posts, timers, watches, signals and the pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netinet/in.h>

#include <cmocka.h>

#include "runtime/loop/loop.h"
#include "runtime/loop/pool.h"
#include "runtime/loop/signal.h"
#include "runtime/loop/timer.h"
#include "runtime/loop/watch.h"

static int open_loop(void **state)
{
    *state = vx_loop_new(NULL);
    return *state == NULL;
}

/* Fails a test that leaves something in its loop. */
static int close_loop(void **state)
{
    vx_loop_turn(*state, false);
    return vx_loop_free(*state);
}

struct record {
    int count;
    int last;
    int order[8];
    pthread_t thread;
};

static void count(void *arg)
{
    struct record *record = arg;

    record->count++;
    record->thread = pthread_self();
}

static void turn_until(struct vx_loop *loop, const int *count_of, int wanted)
{
    double deadline = vx_loop_now() + 30;

    while (*count_of < wanted && vx_loop_now() < deadline)
        vx_loop_turn(loop, true);
    assert_int_equal(*count_of, wanted);
}

static void a_timer_fires_once_and_not_before_its_time(void **state)
{
    struct record record = { 0 };
    double start = vx_loop_now();
    struct vx_timer *timer = vx_timer_new(*state, 0.05, count, &record);

    assert_int_equal(record.count, 0);
    assert_int_equal(vx_loop_alive(*state), 1);
    turn_until(*state, &record.count, 1);
    assert_true(vx_loop_now() - start >= 0.049);
    vx_loop_turn(*state, false);
    assert_int_equal(record.count, 1);
    vx_timer_free(timer);
    assert_int_equal(vx_loop_alive(*state), 0);
}

static void a_timer_of_no_time_fires_later_not_at_once(void **state)
{
    struct record record = { 0 };
    struct vx_timer *timer = vx_timer_new(*state, 0, count, &record);

    assert_int_equal(record.count, 0);
    turn_until(*state, &record.count, 1);
    vx_timer_free(timer);
}

static void a_freed_timer_never_fires(void **state)
{
    struct record freed = { 0 };
    struct record kept = { 0 };
    struct vx_timer *gone = vx_timer_new(*state, 0, count, &freed);
    struct vx_timer *timer = vx_timer_new(*state, 0.02, count, &kept);

    vx_timer_free(gone);
    vx_timer_free(NULL);
    turn_until(*state, &kept.count, 1);
    assert_int_equal(freed.count, 0);
    vx_timer_free(timer);
}

struct numbered {
    struct record *record;
    int number;
};

static void note(void *arg)
{
    struct numbered *numbered = arg;

    numbered->record->order[numbered->record->count++] = numbered->number;
}

static void posts_run_later_in_their_order(void **state)
{
    struct record record = { 0 };
    struct numbered posts[3];

    for (int i = 0; i < 3; i++) {
        posts[i] = (struct numbered){ &record, i };
        vx_loop_post(*state, note, &posts[i]);
    }
    assert_int_equal(record.count, 0);
    turn_until(*state, &record.count, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(record.order[i], i);
}

struct poster {
    struct vx_loop *loop;
    struct record record;
};

static void *post_many(void *arg)
{
    struct poster *poster = arg;

    for (int i = 0; i < 1000; i++)
        vx_loop_post(poster->loop, count, &poster->record);
    return NULL;
}

static void posts_of_another_thread_wake_the_loop_and_run_on_it(void **state)
{
    struct poster poster = { .loop = *state };
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, post_many, &poster), 0);
    turn_until(*state, &poster.record.count, 1000);
    pthread_join(thread, NULL);
    assert_true(pthread_equal(poster.record.thread, pthread_self()));
}

static void ready(int events, void *arg)
{
    struct record *record = arg;

    record->count++;
    record->last = events;
}

static void a_watch_tells_readiness_only_while_it_is_wanted(void **state)
{
    struct record record = { 0 };
    struct vx_err err = { 0 };
    struct vx_watch *watch = NULL;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    watch = vx_watch_new(*state, ends[0], ready, &record, &err);
    assert_non_null(watch);
    assert_int_equal(write(ends[1], "x", 1), 1);
    vx_loop_turn(*state, false);
    assert_int_equal(record.count, 0);
    vx_watch_want(watch, VX_READABLE);
    turn_until(*state, &record.count, 1);
    assert_true((record.last & VX_READABLE) != 0);
    vx_watch_want(watch, 0);
    vx_loop_turn(*state, false);
    assert_int_equal(record.count, 1);
    vx_watch_free(watch);
    close(ends[0]);
    close(ends[1]);
}

struct reader {
    struct vx_watch *watch;
    int fd;
    int bytes;
    int ends;
};

/* Takes one byte each time it is called, and goes on watching until the end. */
static void read_slowly(int events, void *arg)
{
    struct reader *reader = arg;
    char byte = 0;

    (void)events;
    if (recv(reader->fd, &byte, 1, MSG_DONTWAIT) > 0) {
        reader->bytes++;
    } else {
        reader->ends = 1;
        vx_watch_want(reader->watch, 0);
    }
}

/* A connection that was reset reports an error while what came before is still to be read. */
static void a_watch_goes_on_after_a_reset_until_all_is_read(void **state)
{
    struct reader reader = { .fd = socket(AF_INET, SOCK_STREAM, 0) };
    struct linger at_once = { .l_onoff = 1 };
    struct sockaddr_in here = { .sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof here;
    int door = socket(AF_INET, SOCK_STREAM, 0), other = -1;

    assert_int_equal(bind(door, (struct sockaddr *)&here, sizeof here), 0);
    assert_int_equal(listen(door, 1), 0);
    assert_int_equal(getsockname(door, (struct sockaddr *)&here, &len), 0);
    assert_int_equal(connect(reader.fd, (struct sockaddr *)&here, sizeof here), 0);
    other = accept(door, NULL, NULL);
    assert_true(other >= 0);
    assert_int_equal(send(other, "ten bytes!", 10, 0), 10);
    assert_int_equal(setsockopt(other, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(other);
    reader.watch = vx_watch_new(*state, reader.fd, read_slowly, &reader, NULL);
    assert_non_null(reader.watch);
    vx_watch_want(reader.watch, VX_READABLE);
    turn_until(*state, &reader.ends, 1);
    assert_int_equal(reader.ends, 1);
#ifdef __linux__ /* others drop what was not read yet */
    assert_int_equal(reader.bytes, 10);
#endif
    vx_watch_free(reader.watch);
    close(reader.fd);
    close(door);
}

static void a_watch_sees_the_other_end_close(void **state)
{
    struct record record = { 0 };
    struct vx_watch *watch = NULL;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    watch = vx_watch_new(*state, ends[0], ready, &record, NULL);
    vx_watch_want(watch, VX_READABLE);
    close(ends[1]);
    turn_until(*state, &record.count, 1);
    vx_watch_free(watch);
    close(ends[0]);
}

static void caught(int signum, void *arg)
{
    struct record *record = arg;

    record->last = signum;
    record->count++;
}

static void a_signal_arrives_on_the_loop_until_it_is_freed(void **state)
{
    struct record record = { 0 };
    struct vx_signal *sig = vx_signal_new(*state, SIGUSR1, caught, &record, NULL);
    struct vx_signal *second = NULL;
    struct record other = { 0 };

    kill(getpid(), SIGUSR1);
    assert_int_equal(record.count, 0);
    turn_until(*state, &record.count, 1);
    assert_int_equal(record.last, SIGUSR1);
    second = vx_signal_new(*state, SIGUSR1, caught, &other, NULL);
    vx_signal_free(sig);
    kill(getpid(), SIGUSR1);
    turn_until(*state, &other.count, 1);
    assert_int_equal(record.count, 1);
    vx_signal_free(second);
}

struct job {
    struct record *record;
    pthread_t worked_on;
    int worked;
};

static void job_work(void *arg)
{
    struct job *job = arg;

    job->worked_on = pthread_self();
    job->worked++;
}

static void job_done(void *arg)
{
    struct job *job = arg;

    count(job->record);
}

static void the_pool_works_elsewhere_and_tells_here_exactly_once(void **state)
{
    struct record record = { 0 };
    struct job jobs[100];

    for (int i = 0; i < 100; i++) {
        jobs[i] = (struct job){ .record = &record };
        assert_int_equal(vx_pool_run(*state, job_work, job_done, &jobs[i], NULL), 0);
    }
    assert_int_equal(record.count, 0);
    turn_until(*state, &record.count, 100);
    assert_true(pthread_equal(record.thread, pthread_self()));
    for (int i = 0; i < 100; i++) {
        assert_int_equal(jobs[i].worked, 1);
        assert_false(pthread_equal(jobs[i].worked_on, pthread_self()));
    }
}

static void a_thread_of_its_own_does_the_same(void **state)
{
    struct record record = { 0 };
    struct job job = { .record = &record };

    assert_int_equal(vx_pool_thread(*state, job_work, job_done, &job, NULL), 0);
    turn_until(*state, &record.count, 1);
    assert_int_equal(job.worked, 1);
    assert_false(pthread_equal(job.worked_on, pthread_self()));
}

static void what_is_left_in_a_loop_is_counted(void **state)
{
    struct record record = { 0 };
    struct vx_timer *timer = vx_timer_new(*state, 60, count, &record);

    assert_int_equal(vx_loop_alive(*state), 1);
    vx_timer_free(timer);
    assert_int_equal(vx_loop_alive(*state), 0);
}

#define IN_LOOP(test) cmocka_unit_test_setup_teardown(test, open_loop, close_loop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_LOOP(a_timer_fires_once_and_not_before_its_time),
        IN_LOOP(a_timer_of_no_time_fires_later_not_at_once),
        IN_LOOP(a_freed_timer_never_fires),
        IN_LOOP(posts_run_later_in_their_order),
        IN_LOOP(posts_of_another_thread_wake_the_loop_and_run_on_it),
        IN_LOOP(a_watch_tells_readiness_only_while_it_is_wanted),
        IN_LOOP(a_watch_sees_the_other_end_close),
        IN_LOOP(a_watch_goes_on_after_a_reset_until_all_is_read),
        IN_LOOP(a_signal_arrives_on_the_loop_until_it_is_freed),
        IN_LOOP(the_pool_works_elsewhere_and_tells_here_exactly_once),
        IN_LOOP(a_thread_of_its_own_does_the_same),
        IN_LOOP(what_is_left_in_a_loop_is_counted),
    };

    vx_pool_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
