#include "runtime/loop/listener.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "runtime/base/buf.h"
#include "runtime/loop/internal.h"

enum { BACKLOG = 64 };

struct vx_listener {
    uv_pipe_t uv;
    struct vx_alive alive;
    vx_listener_cb on_ready;
    void *arg;
    int waiting; /* that have connected, and were not accepted */
};

static void connected(uv_stream_t *uv, int status)
{
    struct vx_listener *listener = uv->data;

    if (status < 0)
        return; /* out of descriptors for now: libuv tries again */
    listener->waiting++;
    vx_loop_ran(listener->alive.loop);
    listener->on_ready(listener->arg);
}

static void closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct vx_listener *vx_listener_new(struct vx_loop *loop, const char *path,
                                    vx_listener_cb on_ready, void *arg, struct vx_err *err)
{
    struct vx_listener *listener = NULL;
    int rc = 0;

    if (strlen(path) >= sizeof((struct sockaddr_un *)NULL)->sun_path) {
        vx_err_set(err, VX_LIMIT, 0, "the path is too long for a socket: %s", path);
        return NULL;
    }
    listener = vx_zalloc(sizeof *listener);
    rc = uv_pipe_init(&loop->uv, &listener->uv, 0);
    if (rc < 0) {
        vx_err_uv(err, rc, "cannot make a socket");
        free(listener);
        return NULL;
    }
    listener->uv.data = listener;
    listener->on_ready = on_ready;
    listener->arg = arg;
    rc = uv_pipe_bind(&listener->uv, path);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&listener->uv, BACKLOG, connected);
    if (rc < 0) {
        vx_err_uv(err, rc, "cannot listen at a socket");
        vx_err_prefix(err, "%s", path);
        uv_close((uv_handle_t *)&listener->uv, closed);
        return NULL;
    }
    vx_alive_add(&listener->alive, loop, "listener");
    return listener;
}

struct vx_channel *vx_listener_accept(struct vx_listener *listener, vx_channel_data_cb on_data,
                                      void *arg, struct vx_err *err)
{
    if (listener->waiting == 0)
        return NULL;
    listener->waiting--;
    return vx_channel_accept(listener->alive.loop, (uv_stream_t *)&listener->uv, on_data, arg,
                             err);
}

void vx_listener_free(struct vx_listener *listener)
{
    if (listener == NULL)
        return;
    vx_alive_remove(&listener->alive);
    uv_close((uv_handle_t *)&listener->uv, closed);
}
