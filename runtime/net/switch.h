/* A switch of Ethernet frames between guests: a thread of its own, and a unix socket for each
 * card, where QEMU's `-netdev stream` connects. */
#ifndef VX_NET_SWITCH_H
#define VX_NET_SWITCH_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/err.h"

struct vx_switch;

enum { VX_SWITCH_PORTS_MAX = 256 };

/* What one direction of a port does to frames; all zero is a perfect cable. Order is kept. */
struct vx_shape {
    double delay;  /* seconds */
    double jitter; /* seconds: each frame's delay is within delay +- jitter */
    double loss;   /* the share of frames that is lost, 0 to 1 */
    double rate;   /* bytes a second; 0: no limit. What waits longer than 0.25 s is dropped. */
};

/* From the guest to the switch, and from the switch to the guest. */
enum vx_direction { VX_FROM_GUEST, VX_TO_GUEST };

struct vx_port_count {
    uint64_t frames;
    uint64_t bytes;
    uint64_t lost;    /* by its shape's loss */
    uint64_t dropped; /* for want of room: the rate's queue, or a guest that takes nothing */
};

struct vx_port_stats {
    bool connected;
    struct vx_port_count count[2]; /* by direction */
};

/* Starts the thread. The functions here may be called from any thread, never block on a guest,
 * and the switch is the caller's to free. Equal seeds lose the same frames of the same traffic.
 * NULL with err. */
struct vx_switch *vx_switch_new(uint64_t seed, struct vx_err *err);

/* Disconnects everybody, ends the thread and removes the sockets. NULL is fine. */
void vx_switch_free(struct vx_switch *sw);

/* Listens at path, which must not exist; the folder above decides who can connect. Who connects
 * later takes the place of who did before. Returns the port's number, or -1 with err. */
int vx_switch_add(struct vx_switch *sw, const char *path, struct vx_err *err);

/* Disconnects the port and removes its socket. Its number may be given anew. */
void vx_switch_remove(struct vx_switch *sw, int port);

/* From now on; frames on their way keep the time they have. A port that does not exist is
 * ignored, here and below. */
void vx_switch_shape(struct vx_switch *sw, int port, enum vx_direction direction,
                     const struct vx_shape *shape);

/* What went through a port since it was added. */
struct vx_port_stats vx_switch_stats(struct vx_switch *sw, int port);

/* Writes every frame that the switch takes in to path, a new file in the format of libpcap, until
 * it is called with NULL or the switch is freed. Returns 0, or -1 with err. */
int vx_switch_capture(struct vx_switch *sw, const char *path, struct vx_err *err);

#endif
