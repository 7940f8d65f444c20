/* What the files of this folder share. Nobody else includes it. */
#ifndef VX_NET_INTERNAL_H
#define VX_NET_INTERNAL_H

#include <stddef.h>
#include <stdio.h>

#include "runtime/base/buf.h"
#include "runtime/base/list.h"
#include "runtime/net/switch.h"

enum {
    MAC = 6,
    FRAME_MIN = 14,    /* an Ethernet header */
    FRAME_MAX = 69632, /* the most that QEMU sends */
    MACS = 8,          /* addresses that are known of a port */
    READ_AT_ONCE = 256 * 1024,
    OUT_MAX = 4 * 1024 * 1024,    /* bytes that wait for a guest to take them */
    SHAPED_MAX = 16 * 1024 * 1024 /* bytes on their way in one direction of a port */
};

/* Frames on their way, in the order in which they are due. */
struct line {
    struct vx_shape shape;
    struct vx_link frames; /* struct frame */
    size_t bytes;
    double busy_until; /* when the last one has been sent, at the line's rate */
    double last_due;
};

struct frame {
    struct vx_link link;
    double due;
    size_t len;
    unsigned char bytes[];
};

struct port {
    char *path;
    int listener;
    int fd;            /* -1: nobody is connected */
    struct vx_buf in;  /* the beginning of what is to be a frame */
    struct vx_buf out; /* what the socket has not taken yet */
    struct line line[2];
    struct vx_port_count count[2];
    unsigned char macs[MACS][MAC];
    unsigned macs_next;
    unsigned macs_len;
};

/* shape.c */
double net_now(void);
void line_init(struct line *line);
void line_clear(struct line *line);
/* Whether frames may go past the line at once: it shapes nothing, and none are on their way. */
bool line_is_clear(const struct line *line);
/* Takes a copy of the frame unless it is lost or there is no room. */
void line_put(struct line *line, struct vx_port_count *count, uint64_t *random,
              const unsigned char *bytes, size_t len);
/* The next frame that is due, to be freed; NULL when there is none. */
struct frame *line_take(struct line *line, double now);
/* When the next one is due; a negative number when there is none. */
double line_due(const struct line *line);

/* port.c */
struct port *port_new(const char *path, struct vx_err *err);
void port_free(struct port *port);
void port_accept(struct port *port);
void port_disconnect(struct port *port);
/* Reads what is there once: false when it is the end. */
bool port_read(struct port *port);
/* The next whole frame in what was read; `at` is where to look, and goes on. NULL when there is no
 * more; *bad when what came cannot be frames. */
const unsigned char *port_frame(struct port *port, size_t *at, size_t *len, bool *bad);
void port_send(struct port *port, const unsigned char *bytes, size_t len);
void port_flush(struct port *port);
void port_learn(struct port *port, const unsigned char *mac);
bool port_knows(const struct port *port, const unsigned char *mac);
void port_forget(struct port *port, const unsigned char *mac);

/* capture.c */
FILE *capture_open(const char *path, struct vx_err *err);
void capture_frame(FILE *file, const unsigned char *bytes, size_t len);

#endif
