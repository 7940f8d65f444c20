/* Delay, jitter, loss and rate of one direction of a port. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/net/internal.h"

/* What a line with a rate holds at most, in seconds of sending. */
#define BACKLOG 0.25

double net_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void line_init(struct line *line)
{
    *line = (struct line){ 0 };
    vx_list_init(&line->frames);
}

void line_clear(struct line *line)
{
    while (!vx_list_empty(&line->frames)) {
        struct frame *frame = VX_OF(line->frames.next, struct frame, link);

        vx_list_unlink(&frame->link);
        free(frame);
    }
    line->bytes = 0;
    line->busy_until = line->last_due = 0;
}

bool line_is_clear(const struct line *line)
{
    const struct vx_shape *shape = &line->shape;

    return shape->delay <= 0 && shape->jitter <= 0 && shape->loss <= 0 && shape->rate <= 0 &&
           vx_list_empty(&line->frames);
}

/* From 0 to below 1; xorshift64*. */
static double draw(uint64_t *random)
{
    uint64_t x = *random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *random = x;
    return (double)((x * 0x2545f4914f6cdd1dULL) >> 11) * 0x1p-53;
}

void line_put(struct line *line, struct vx_port_count *count, uint64_t *random,
              const unsigned char *bytes, size_t len)
{
    const struct vx_shape *shape = &line->shape;
    double now = net_now();
    double due = now;
    struct frame *frame = NULL;

    if (shape->loss > 0 && draw(random) < shape->loss) {
        count->lost++;
        return;
    }
    if (line->bytes + len > SHAPED_MAX ||
        (shape->rate > 0 && line->busy_until - now > BACKLOG)) {
        count->dropped++;
        return;
    }
    if (shape->rate > 0) {
        due = (line->busy_until > now ? line->busy_until : now) + (double)len / shape->rate;
        line->busy_until = due;
    }
    due += shape->delay;
    if (shape->jitter > 0)
        due += (draw(random) * 2 - 1) * shape->jitter;
    if (due < line->last_due)
        due = line->last_due;
    line->last_due = due;
    frame = vx_alloc(sizeof *frame + len);
    frame->due = due;
    frame->len = len;
    memcpy(frame->bytes, bytes, len);
    vx_list_init(&frame->link);
    vx_list_push(&line->frames, &frame->link);
    line->bytes += len;
}

struct frame *line_take(struct line *line, double now)
{
    struct frame *frame = VX_OF(line->frames.next, struct frame, link);

    if (vx_list_empty(&line->frames) || frame->due > now)
        return NULL;
    vx_list_unlink(&frame->link);
    line->bytes -= frame->len;
    return frame;
}

double line_due(const struct line *line)
{
    if (vx_list_empty(&line->frames))
        return -1;
    return VX_OF(line->frames.next, struct frame, link)->due;
}
