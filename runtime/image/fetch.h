/* One download: from a URL into a file, its digest made and its content decompressed on the way. */
#ifndef VX_IMAGE_FETCH_H
#define VX_IMAGE_FETCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/err.h"
#include "runtime/data/digest.h"

/* What is asked for, how far it has come, and what came out. Whoever starts it owns it until
 * vx_fetch_work has returned; only cancel, received, total and written may be touched meanwhile. */
struct vx_fetch {
    /* Asked for; strings are the owner's. */
    const char *url;       /* https, http or file */
    const char *part;      /* what has come so far: the download goes on behind it */
    const char *into;      /* where the decompressed content goes; NULL: it is not compressed */
    const char *algorithm; /* "sha256" or "sha512", of the download */
    const char *ca_file, *ca_folder, *proxy, *agent; /* NULL: libcurl's own, and none */
    bool fresh;                                      /* what has come before is thrown away */
    uint64_t max; /* bytes of the download; more is an error of kind "limit" */
    uint64_t max_unpacked;
    uint64_t rate;                         /* bytes a second at most; 0: no limit */
    uint64_t spare;                        /* bytes that must stay free on the disk */
    double connect_timeout, stall_timeout; /* seconds; 0: none */

    _Atomic bool cancel;
    _Atomic uint64_t received,
        total;                /* of the download, what was there before included; total 0:
                                         not known */
    _Atomic uint64_t written; /* of the decompressed content */

    /* What came out. */
    int status;       /* of HTTP; 0 for a file */
    char *redirect;   /* where a 3xx leads to, which is not followed; the owner frees it */
    uint64_t resumed; /* bytes that were there before and were not sent again */
    char digest[VX_DIGEST_HEX];         /* of the download, whole */
    char content_digest[VX_DIGEST_HEX]; /* of the decompressed content, sha256 */
    int rc;                             /* 0, or -1 with err */
    struct vx_err err;
};

/* Downloads; a worker of vx_pool_thread, arg is a struct vx_fetch. Nothing is followed, tried again
 * or removed: that is the caller's. A status that is neither 2xx nor 3xx is an error: 404 and 410
 * "notfound", 401 and 403 "denied", 408, 429 and 5xx "connection". So is a connection that was
 * lost or ended early; a limit of time is "timeout", a certificate that is not believed "unsafe", a
 * full disk "nospace", a cancel "cancelled". The part stays where it was written. */
void vx_fetch_work(void *arg);

#endif
