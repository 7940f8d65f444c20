#include "runtime/loop/channel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "runtime/base/buf.h"
#include "runtime/loop/internal.h"

struct vx_channel {
    uv_pipe_t uv;
    uv_connect_t connect;
    struct vx_alive alive;
    vx_channel_data_cb on_data;
    void *arg;
    char chunk[65536];
    bool connected, paused, ended, freed;
};

struct send {
    uv_write_t uv;
    char data[];
};

/* The end, which is told once. */
static void end(struct vx_channel *channel, int status, const char *what)
{
    struct vx_err err;

    if (channel->freed || channel->ended)
        return;
    channel->ended = true;
    uv_read_stop((uv_stream_t *)&channel->uv);
    if (status != UV_EOF)
        vx_err_uv(&err, status, what);
    vx_loop_ran(channel->alive.loop);
    channel->on_data(NULL, 0, status != UV_EOF ? &err : NULL, channel->arg);
}

static void give_chunk(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct vx_channel *channel = handle->data;

    (void)size;
    *buf = uv_buf_init(channel->chunk, sizeof channel->chunk);
}

static void got_data(uv_stream_t *uv, ssize_t len, const uv_buf_t *buf)
{
    struct vx_channel *channel = uv->data;

    if (len < 0)
        end(channel, (int)len, "the connection was lost");
    else if (len > 0 && !channel->freed)
        channel->on_data(buf->base, (size_t)len, NULL, channel->arg);
}

static void connected(uv_connect_t *connect, int status)
{
    struct vx_channel *channel = connect->data;

    if (status < 0) {
        end(channel, status, "cannot connect to a socket");
        return;
    }
    if (channel->freed || channel->ended)
        return;
    channel->connected = true;
    if (!channel->paused)
        uv_read_start((uv_stream_t *)&channel->uv, give_chunk, got_data);
}

static struct vx_channel *new_channel(struct vx_loop *loop, vx_channel_data_cb on_data,
                                      void *arg, struct vx_err *err)
{
    struct vx_channel *channel = vx_zalloc(sizeof *channel);
    int rc = uv_pipe_init(&loop->uv, &channel->uv, 0);

    if (rc < 0) {
        vx_err_uv(err, rc, "cannot make a socket");
        free(channel);
        return NULL;
    }
    channel->uv.data = channel;
    channel->connect.data = channel;
    channel->on_data = on_data;
    channel->arg = arg;
    vx_alive_add(&channel->alive, loop, "channel");
    return channel;
}

struct vx_channel *vx_channel_open(struct vx_loop *loop, const char *path,
                                   vx_channel_data_cb on_data, void *arg, struct vx_err *err)
{
    struct vx_channel *channel = NULL;

    if (strlen(path) >= sizeof((struct sockaddr_un *)NULL)->sun_path) {
        vx_err_set(err, VX_LIMIT, 0, "the path is too long for a socket: %s", path);
        return NULL;
    }
    channel = new_channel(loop, on_data, arg, err);
    if (channel != NULL)
        uv_pipe_connect(&channel->connect, &channel->uv, path, connected);
    return channel;
}

struct vx_channel *vx_channel_accept(struct vx_loop *loop, uv_stream_t *server,
                                     vx_channel_data_cb on_data, void *arg, struct vx_err *err)
{
    struct vx_channel *channel = new_channel(loop, on_data, arg, err);
    int rc = 0;

    if (channel == NULL)
        return NULL;
    rc = uv_accept(server, (uv_stream_t *)&channel->uv);
    if (rc == 0)
        rc = uv_read_start((uv_stream_t *)&channel->uv, give_chunk, got_data);
    if (rc < 0) {
        vx_err_uv(err, rc, "cannot accept a connection");
        vx_channel_free(channel);
        return NULL;
    }
    channel->connected = true;
    return channel;
}

static void written(uv_write_t *uv, int status)
{
    struct send *send = (struct send *)uv;
    struct vx_channel *channel = uv->data;

    if (status < 0 && status != UV_ECANCELED)
        end(channel, status, "the connection was lost");
    free(send);
}

int vx_channel_write(struct vx_channel *channel, const char *data, size_t len,
                     struct vx_err *err)
{
    struct send *send = NULL;
    uv_buf_t buf;
    int rc = 0;

    if (channel->ended)
        return vx_err_set(err, VX_CONNECTION, 0, "the connection was lost");
    send = vx_zalloc(sizeof *send + len);
    memcpy(send->data, data, len);
    send->uv.data = channel;
    buf = uv_buf_init(send->data, (unsigned)len);
    /* A pipe that could not be connected takes nothing; why will be told by on_data. */
    rc = uv_write(&send->uv, (uv_stream_t *)&channel->uv, &buf, 1, written);
    if (rc < 0) {
        free(send);
        if (rc == UV_EPIPE && !channel->connected)
            return 0;
        return vx_err_uv(err, rc, "cannot write to a socket");
    }
    return 0;
}

size_t vx_channel_unsent(const struct vx_channel *channel)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&channel->uv);
}

void vx_channel_pause(struct vx_channel *channel)
{
    channel->paused = true;
    if (channel->connected)
        uv_read_stop((uv_stream_t *)&channel->uv);
}

void vx_channel_resume(struct vx_channel *channel)
{
    channel->paused = false;
    if (channel->connected && !channel->ended)
        uv_read_start((uv_stream_t *)&channel->uv, give_chunk, got_data);
}

static void closed(uv_handle_t *handle)
{
    free(handle->data);
}

void vx_channel_free(struct vx_channel *channel)
{
    if (channel == NULL)
        return;
    channel->freed = true;
    vx_alive_remove(&channel->alive);
    uv_close((uv_handle_t *)&channel->uv, closed);
}
