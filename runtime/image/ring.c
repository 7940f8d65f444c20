#include "runtime/image/ring.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/buf.h"

struct vx_ring {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    char *data;
    size_t cap, at, len; /* len bytes from at on, around the end */
    bool waiting;        /* it was empty, and whoever takes waits until it is a quarter full */
    bool full;           /* it was full, and whoever puts waits until it is half empty */
    bool ended, broken;
    struct vx_err err;
};

struct vx_ring *vx_ring_new(size_t cap)
{
    struct vx_ring *ring = vx_zalloc(sizeof *ring);

    pthread_mutex_init(&ring->mutex, NULL);
    pthread_cond_init(&ring->changed, NULL);
    ring->data = vx_alloc(cap);
    ring->cap = cap;
    return ring;
}

void vx_ring_free(struct vx_ring *ring)
{
    if (ring == NULL)
        return;
    pthread_cond_destroy(&ring->changed);
    pthread_mutex_destroy(&ring->mutex);
    free(ring->data);
    free(ring);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

int vx_ring_put(struct vx_ring *ring, const void *data, size_t len, struct vx_err *err)
{
    const char *from = data;
    int rc = 0;

    pthread_mutex_lock(&ring->mutex);
    while (len > 0) {
        size_t end = (ring->at + ring->len) % ring->cap;
        size_t piece = smaller(smaller(len, ring->cap - ring->len), ring->cap - end);

        if (ring->broken) {
            *err = ring->err;
            rc = -1;
            break;
        }
        if (piece == 0 || ring->full) {
            ring->full = true;
            pthread_cond_wait(&ring->changed, &ring->mutex);
            continue;
        }
        memcpy(ring->data + end, from, piece);
        ring->len += piece;
        from += piece;
        len -= piece;
        if (ring->len >= ring->cap / 4)
            pthread_cond_broadcast(&ring->changed);
    }
    pthread_mutex_unlock(&ring->mutex);
    return rc;
}

ssize_t vx_ring_take(struct vx_ring *ring, void *data, size_t len, struct vx_err *err)
{
    ssize_t taken = 0;

    pthread_mutex_lock(&ring->mutex);
    /* The threads take turns on many bytes, not on few: each turn may wait for a processor. */
    while (ring->len == 0 || (ring->waiting && ring->len < ring->cap / 4)) {
        ring->waiting = true;
        if (ring->ended || ring->broken)
            break;
        pthread_cond_wait(&ring->changed, &ring->mutex);
    }
    ring->waiting = false;
    if (ring->broken) {
        *err = ring->err;
        taken = -1;
    } else if (ring->len > 0) {
        size_t piece = smaller(smaller(len, ring->len), ring->cap - ring->at);

        memcpy(data, ring->data + ring->at, piece);
        ring->at = (ring->at + piece) % ring->cap;
        ring->len -= piece;
        taken = (ssize_t)piece;
        if (ring->full && ring->len <= ring->cap / 2) {
            ring->full = false;
            pthread_cond_broadcast(&ring->changed);
        }
    }
    pthread_mutex_unlock(&ring->mutex);
    return taken;
}

void vx_ring_end(struct vx_ring *ring)
{
    pthread_mutex_lock(&ring->mutex);
    ring->ended = true;
    pthread_cond_broadcast(&ring->changed);
    pthread_mutex_unlock(&ring->mutex);
}

void vx_ring_break(struct vx_ring *ring, const struct vx_err *err)
{
    pthread_mutex_lock(&ring->mutex);
    if (!ring->broken)
        ring->err = *err;
    ring->broken = true;
    pthread_cond_broadcast(&ring->changed);
    pthread_mutex_unlock(&ring->mutex);
}
