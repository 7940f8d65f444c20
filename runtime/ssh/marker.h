/* Takes one private line out of a command's output: the one that gives its process group. */
#ifndef VX_SSH_MARKER_H
#define VX_SSH_MARKER_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/buf.h"

struct vx_marker {
    char *text; /* what the line starts with; NULL when there is none to look for any more */
    int stream; /* where it is to come */
    struct vx_buf held; /* bytes of that stream that wait for a verdict, or to be taken */
    bool decided;       /* what is held may be taken */
    long group;         /* what the line said, 0 before */
};

/* text may be NULL: then everything passes. */
void vx_marker_init(struct vx_marker *marker, const char *text, int stream);
void vx_marker_free(struct vx_marker *marker);

/* Bytes of a stream have come, in buf: returns how many of them may go on; those that may not are
 * held, to be taken later. */
size_t vx_marker_pass(struct vx_marker *marker, int stream, char *buf, size_t len);
/* The same, but all of it is held. */
void vx_marker_hold(struct vx_marker *marker, const char *buf, size_t len);
/* No more will come: what is held may go on. */
void vx_marker_end(struct vx_marker *marker);
/* Moves bytes that were held and may go on; 0 when there are none. */
size_t vx_marker_take(struct vx_marker *marker, int stream, char *buf, size_t len);

#endif
