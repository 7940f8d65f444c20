/* Errors: every failing call fills a struct vx_err that its caller owns. */
#ifndef VX_BASE_ERR_H
#define VX_BASE_ERR_H

#include <stdarg.h>

/* What kind of thing went wrong. Lua sees the lower-case name (vx_kind_name). */
enum vx_kind {
    VX_OK = 0,
    VX_USAGE,       /* the caller asked for something that makes no sense */
    VX_SYSTEM,      /* a system call failed; code is errno */
    VX_TIMEOUT,     /* a time limit passed */
    VX_CANCELLED,   /* the task was cancelled */
    VX_CLOSED,      /* the object was closed before or during the call */
    VX_NOTFOUND,    /* a file, guest or name that does not exist */
    VX_EXISTS,      /* a name or port that is taken already */
    VX_DENIED,      /* no permission */
    VX_NOSPACE,     /* a disk, a tmpfs or memory is full */
    VX_UNSUPPORTED, /* this host, library or guest cannot do it */
    VX_FORMAT,      /* data that is not what it should be */
    VX_LIMIT,       /* a bound of ours was exceeded */
    VX_UNSAFE,      /* refused: a hostile name, link or node */
    VX_LIBVIRT,     /* libvirt; code is virErrorNumber */
    VX_CONNECTION,  /* a connection could not be made or was lost */
    VX_AUTH,        /* the login was refused */
    VX_HOSTKEY,     /* the host key is not the one expected */
    VX_SSH,         /* libssh2; code is its error number */
    VX_EXIT,        /* a command ended with a status that was not asked for */
    VX_PANIC,       /* the guest's kernel panicked */
    VX_CRASHED,     /* the guest's process ended by itself */
    VX_BUSY,        /* somebody else still uses it */
    VX_KINDS
};

/* code: the library's own number (errno, virErrorNumber, LIBSSH2_ERROR_...), 0 if it has none. */
struct vx_err {
    enum vx_kind kind;
    int code;
    char msg[1000];
};

/* The name of a kind as scripts see it: "timeout", "notfound", ... Never NULL. */
const char *vx_kind_name(enum vx_kind kind);

/* Fills err (may be NULL); always returns -1 so that a caller can `return vx_err_set(...)`. */
int vx_err_set(struct vx_err *err, enum vx_kind kind, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
int vx_err_setv(struct vx_err *err, enum vx_kind kind, int code, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));

/* Fills err from an errno value: the kind follows from it (ENOENT: notfound, ENOSPC: nospace, ...),
 * ": " and strerror are appended to the message. Returns -1. */
int vx_err_errno(struct vx_err *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<text>: " before the message. Returns -1. */
int vx_err_prefix(struct vx_err *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
