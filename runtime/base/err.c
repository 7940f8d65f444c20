#include "runtime/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[VX_KINDS] = {
    [VX_OK] = "ok",
    [VX_USAGE] = "usage",
    [VX_SYSTEM] = "system",
    [VX_TIMEOUT] = "timeout",
    [VX_CANCELLED] = "cancelled",
    [VX_CLOSED] = "closed",
    [VX_NOTFOUND] = "notfound",
    [VX_EXISTS] = "exists",
    [VX_DENIED] = "denied",
    [VX_NOSPACE] = "nospace",
    [VX_UNSUPPORTED] = "unsupported",
    [VX_FORMAT] = "format",
    [VX_LIMIT] = "limit",
    [VX_UNSAFE] = "unsafe",
    [VX_LIBVIRT] = "libvirt",
    [VX_CONNECTION] = "connection",
    [VX_AUTH] = "auth",
    [VX_HOSTKEY] = "hostkey",
    [VX_SSH] = "ssh",
    [VX_EXIT] = "exit",
    [VX_PANIC] = "panic",
    [VX_CRASHED] = "crashed",
    [VX_BUSY] = "busy",
};

const char *vx_kind_name(enum vx_kind kind)
{
    if ((int)kind < 0 || kind >= VX_KINDS || kind_names[kind] == NULL)
        return "unknown";
    return kind_names[kind];
}

int vx_err_setv(struct vx_err *err, enum vx_kind kind, int code, const char *fmt, va_list ap)
{
    if (err == NULL)
        return -1;
    err->kind = kind;
    err->code = code;
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    return -1;
}

int vx_err_set(struct vx_err *err, enum vx_kind kind, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vx_err_setv(err, kind, code, fmt, ap);
    va_end(ap);
    return -1;
}

static enum vx_kind kind_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
    case ENOTDIR:
        return VX_NOTFOUND;
    case EEXIST:
    case EADDRINUSE:
        return VX_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return VX_DENIED;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
        return VX_NOSPACE;
    case ETIMEDOUT:
        return VX_TIMEOUT;
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EPIPE:
        return VX_CONNECTION;
    default:
        return VX_SYSTEM;
    }
}

int vx_err_errno(struct vx_err *err, int errnum, const char *fmt, ...)
{
    va_list ap;
    size_t len = 0;

    if (err == NULL)
        return -1;
    va_start(ap, fmt);
    vx_err_setv(err, kind_of_errno(errnum), errnum, fmt, ap);
    va_end(ap);
    len = strlen(err->msg);
    snprintf(err->msg + len, sizeof err->msg - len, ": %s", strerror(errnum));
    return -1;
}

int vx_err_prefix(struct vx_err *err, const char *fmt, ...)
{
    char old[sizeof err->msg];
    va_list ap;
    size_t len = 0;

    if (err == NULL)
        return -1;
    memcpy(old, err->msg, sizeof old);
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    len = strlen(err->msg);
    snprintf(err->msg + len, sizeof err->msg - len, ": %.*s", (int)sizeof old - 1, old);
    return -1;
}
