#include "runtime/loop/tick.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/time.h>

static pthread_t owner;
static vx_tick_fn volatile tick_fn;
static void *volatile tick_arg;

static void on_signal(int signum)
{
    int kept = errno;
    vx_tick_fn fn = tick_fn;

    if (!pthread_equal(pthread_self(), owner))
        pthread_kill(owner, signum); /* any thread may be the one that gets it */
    else if (fn != NULL)
        fn(tick_arg);
    errno = kept;
}

void vx_tick_start(double seconds, vx_tick_fn fn, void *arg)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    struct itimerval timer = { 0 };

    owner = pthread_self();
    tick_arg = arg;
    tick_fn = fn;
    sigemptyset(&action.sa_mask);
    sigaction(SIGVTALRM, &action, NULL);
    timer.it_interval.tv_sec = (time_t)seconds;
    timer.it_interval.tv_usec = (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6);
    timer.it_value = timer.it_interval;
    setitimer(ITIMER_VIRTUAL, &timer, NULL);
}

void vx_tick_stop(void)
{
    struct itimerval none = { 0 };

    setitimer(ITIMER_VIRTUAL, &none, NULL);
    tick_fn = NULL; /* the handler stays: a tick may be on its way */
}
