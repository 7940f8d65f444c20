#include "runtime/loop/signal.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "runtime/base/buf.h"
#include "runtime/loop/internal.h"

struct vx_signal {
    uv_signal_t uv;
    struct vx_alive alive;
    vx_signal_cb fn;
    void *arg;
};

static void deliver(uv_signal_t *uv, int signum)
{
    struct vx_signal *sig = uv->data;

    sig->fn(signum, sig->arg);
}

static void closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct vx_signal *vx_signal_new(struct vx_loop *loop, int signum, vx_signal_cb fn, void *arg,
                                struct vx_err *err)
{
    struct vx_signal *sig = vx_zalloc(sizeof *sig);
    int rc = 0;

    sig->fn = fn;
    sig->arg = arg;
    sig->uv.data = sig;
    uv_signal_init(&loop->uv, &sig->uv);
    rc = uv_signal_start(&sig->uv, deliver, signum);
    if (rc < 0) {
        vx_err_uv(err, rc, "cannot catch a signal");
        uv_close((uv_handle_t *)&sig->uv, closed);
        return NULL;
    }
    vx_alive_add(&sig->alive, loop, "signal");
    return sig;
}

void vx_signal_free(struct vx_signal *sig)
{
    if (sig == NULL)
        return;
    vx_alive_remove(&sig->alive);
    uv_close((uv_handle_t *)&sig->uv, closed);
}

void vx_signal_suspend(void)
{
    struct sigaction usual = { 0 };
    struct sigaction listening = { 0 };
    sigset_t stop;
    sigset_t mask;

    usual.sa_handler = SIG_DFL;
    sigemptyset(&usual.sa_mask);
    sigaction(SIGTSTP, &usual, &listening);
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    pthread_sigmask(SIG_UNBLOCK, &stop, &mask);
    /* To this thread: another one might take it later, when it would be listened to again. */
    pthread_kill(pthread_self(), SIGTSTP);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    sigaction(SIGTSTP, &listening, NULL);
}
