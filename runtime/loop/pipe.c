#include "runtime/loop/pipe.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "runtime/base/buf.h"

struct vx_pipe {
    struct vx_loop *loop;
    uv_mutex_t lock;
    uv_cond_t changed; /* the thread waits here; the loop's side signals */

    /* under lock */
    char *ring;
    size_t cap;
    size_t head; /* where the oldest byte is */
    size_t len;
    uint64_t total;
    struct vx_err err;
    bool ended;
    bool broken;
    bool posted; /* a ready call is under way; it holds a reference */
    int refs;

    /* loop thread only */
    vx_pipe_ready_cb ready;
    void *arg;
    bool freed;
};

struct vx_pipe *vx_pipe_new(struct vx_loop *loop, size_t cap)
{
    struct vx_pipe *pipe = vx_zalloc(sizeof *pipe);

    pipe->loop = loop;
    pipe->cap = cap;
    pipe->ring = vx_alloc(cap);
    pipe->refs = 1;
    uv_mutex_init(&pipe->lock);
    uv_cond_init(&pipe->changed);
    return pipe;
}

struct vx_pipe *vx_pipe_ref(struct vx_pipe *pipe)
{
    uv_mutex_lock(&pipe->lock);
    pipe->refs++;
    uv_mutex_unlock(&pipe->lock);
    return pipe;
}

void vx_pipe_unref(struct vx_pipe *pipe)
{
    bool last = false;

    uv_mutex_lock(&pipe->lock);
    last = --pipe->refs == 0;
    uv_mutex_unlock(&pipe->lock);
    if (!last)
        return;
    uv_cond_destroy(&pipe->changed);
    uv_mutex_destroy(&pipe->lock);
    free(pipe->ring);
    free(pipe);
}

static void run_ready(void *arg)
{
    struct vx_pipe *pipe = arg;

    uv_mutex_lock(&pipe->lock);
    pipe->posted = false;
    uv_mutex_unlock(&pipe->lock);
    if (!pipe->freed && pipe->ready != NULL)
        pipe->ready(pipe->arg);
    vx_pipe_unref(pipe);
}

/* Under lock. What happens between the post and its run is seen by that run: one is enough. */
static void post_ready(struct vx_pipe *pipe)
{
    if (pipe->posted)
        return;
    pipe->posted = true;
    pipe->refs++;
    vx_loop_post(pipe->loop, run_ready, pipe);
}

void vx_pipe_free(struct vx_pipe *pipe)
{
    struct vx_err err = { 0 };

    if (pipe == NULL)
        return;
    vx_err_set(&err, VX_CLOSED, 0, "the other side of the stream was closed");
    vx_pipe_break(pipe, &err);
    pipe->freed = true;
    pipe->ready = NULL;
    vx_pipe_unref(pipe);
}

uint64_t vx_pipe_total(struct vx_pipe *pipe)
{
    uint64_t total = 0;

    uv_mutex_lock(&pipe->lock);
    total = pipe->total;
    uv_mutex_unlock(&pipe->lock);
    return total;
}

/* Under lock: where the next byte goes, and how many fit there in one piece. */
static size_t free_piece(const struct vx_pipe *pipe, char **data)
{
    size_t tail = (pipe->head + pipe->len) % pipe->cap;
    size_t room = pipe->cap - pipe->len;

    *data = pipe->ring + tail;
    return room < pipe->cap - tail ? room : pipe->cap - tail;
}

/* Under lock. */
static size_t full_piece(const struct vx_pipe *pipe, char **data)
{
    *data = pipe->ring + pipe->head;
    return pipe->len < pipe->cap - pipe->head ? pipe->len : pipe->cap - pipe->head;
}

/* Under lock. */
static void take_off(struct vx_pipe *pipe, size_t len)
{
    pipe->head = (pipe->head + len) % pipe->cap;
    pipe->len -= len;
    pipe->total += len;
}

int vx_pipe_put(struct vx_pipe *pipe, const void *data, size_t len, struct vx_err *err)
{
    const char *from = data;
    int rc = 0;

    uv_mutex_lock(&pipe->lock);
    while (len > 0) {
        char *to = NULL;
        size_t piece = 0;
        while (pipe->len == pipe->cap && !pipe->broken)
            uv_cond_wait(&pipe->changed, &pipe->lock);
        if (pipe->broken) {
            if (err != NULL)
                *err = pipe->err;
            rc = -1;
            break;
        }
        piece = free_piece(pipe, &to);
        piece = piece < len ? piece : len;
        memcpy(to, from, piece);
        if (pipe->len == 0)
            post_ready(pipe);
        pipe->len += piece;
        from += piece;
        len -= piece;
    }
    uv_mutex_unlock(&pipe->lock);
    return rc;
}

ssize_t vx_pipe_take(struct vx_pipe *pipe, void *data, size_t len, struct vx_err *err)
{
    char *from = NULL;
    size_t piece = 0;
    ssize_t rc = 0;

    uv_mutex_lock(&pipe->lock);
    while (pipe->len == 0 && !pipe->ended && !pipe->broken)
        uv_cond_wait(&pipe->changed, &pipe->lock);
    if (pipe->broken) {
        if (err != NULL)
            *err = pipe->err;
        rc = -1;
    } else if (pipe->len > 0) {
        /* The loop is told only when half is free again: a wake-up a byte would be slow. */
        bool low = pipe->len > pipe->cap / 2;
        piece = full_piece(pipe, &from);
        piece = piece < len ? piece : len;
        memcpy(data, from, piece);
        take_off(pipe, piece);
        rc = (ssize_t)piece;
        if (pipe->len == 0 || (low && pipe->len <= pipe->cap / 2))
            post_ready(pipe);
    }
    uv_mutex_unlock(&pipe->lock);
    return rc;
}

void vx_pipe_end(struct vx_pipe *pipe)
{
    uv_mutex_lock(&pipe->lock);
    pipe->ended = true;
    uv_cond_broadcast(&pipe->changed);
    post_ready(pipe);
    uv_mutex_unlock(&pipe->lock);
}

void vx_pipe_break(struct vx_pipe *pipe, const struct vx_err *err)
{
    uv_mutex_lock(&pipe->lock);
    if (!pipe->broken) {
        pipe->broken = true;
        pipe->err = *err;
        uv_cond_broadcast(&pipe->changed);
        post_ready(pipe);
    }
    uv_mutex_unlock(&pipe->lock);
}

void vx_pipe_on_ready(struct vx_pipe *pipe, vx_pipe_ready_cb ready, void *arg)
{
    pipe->ready = ready;
    pipe->arg = arg;
    if (ready == NULL)
        return;
    uv_mutex_lock(&pipe->lock);
    post_ready(pipe);
    uv_mutex_unlock(&pipe->lock);
}

size_t vx_pipe_peek(struct vx_pipe *pipe, const char **data)
{
    char *at = NULL;
    size_t len = 0;

    uv_mutex_lock(&pipe->lock);
    len = full_piece(pipe, &at);
    uv_mutex_unlock(&pipe->lock);
    *data = at;
    return len;
}

void vx_pipe_drop(struct vx_pipe *pipe, size_t len)
{
    uv_mutex_lock(&pipe->lock);
    take_off(pipe, len);
    uv_cond_signal(&pipe->changed);
    uv_mutex_unlock(&pipe->lock);
}

bool vx_pipe_ended(struct vx_pipe *pipe)
{
    bool ended = false;

    uv_mutex_lock(&pipe->lock);
    ended = pipe->ended && pipe->len == 0;
    uv_mutex_unlock(&pipe->lock);
    return ended;
}

size_t vx_pipe_room(struct vx_pipe *pipe, char **data)
{
    size_t len = 0;

    uv_mutex_lock(&pipe->lock);
    len = free_piece(pipe, data);
    uv_mutex_unlock(&pipe->lock);
    return len;
}

void vx_pipe_added(struct vx_pipe *pipe, size_t len)
{
    uv_mutex_lock(&pipe->lock);
    pipe->len += len;
    uv_cond_signal(&pipe->changed);
    uv_mutex_unlock(&pipe->lock);
}

bool vx_pipe_broken(struct vx_pipe *pipe, struct vx_err *err)
{
    bool broken = false;

    uv_mutex_lock(&pipe->lock);
    broken = pipe->broken;
    if (broken && err != NULL)
        *err = pipe->err;
    uv_mutex_unlock(&pipe->lock);
    return broken;
}
