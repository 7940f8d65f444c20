#include "runtime/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *ptr)
{
    if (ptr == NULL) {
        fputs("vmatrix: out of memory\n", stderr);
        abort();
    }
    return ptr;
}

void *vx_alloc(size_t len)
{
    return must(malloc(len > 0 ? len : 1));
}

void *vx_zalloc(size_t len)
{
    return must(calloc(1, len > 0 ? len : 1));
}

void *vx_realloc(void *old, size_t len)
{
    return must(realloc(old, len > 0 ? len : 1));
}

char *vx_strndup(const char *str, size_t len)
{
    char *copy = vx_alloc(len + 1);

    memcpy(copy, str, len);
    copy[len] = '\0';
    return copy;
}

char *vx_strdup(const char *str)
{
    return vx_strndup(str, strlen(str));
}

char *vx_buf_room(struct vx_buf *buf, size_t len)
{
    size_t need = buf->len + len + 1;

    if (need > buf->cap) {
        size_t cap = buf->cap > 0 ? buf->cap : 64;
        while (cap < need)
            cap *= 2;
        buf->data = vx_realloc(buf->data, cap);
        buf->cap = cap;
    }
    return buf->data + buf->len;
}

void vx_buf_added(struct vx_buf *buf, size_t len)
{
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void vx_buf_add(struct vx_buf *buf, const void *data, size_t len)
{
    char *to = vx_buf_room(buf, len);

    if (len > 0)
        memcpy(to, data, len);
    vx_buf_added(buf, len);
}

void vx_buf_str(struct vx_buf *buf, const char *str)
{
    vx_buf_add(buf, str, strlen(str));
}

static void add_fmt(struct vx_buf *buf, const char *fmt, va_list ap)
{
    va_list again;
    int len = 0;

    va_copy(again, ap);
    len = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (len < 0)
        return;
    vsnprintf(vx_buf_room(buf, (size_t)len), (size_t)len + 1, fmt, ap);
    vx_buf_added(buf, (size_t)len);
}

void vx_buf_fmt(struct vx_buf *buf, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_fmt(buf, fmt, ap);
    va_end(ap);
}

char *vx_strfmt(const char *fmt, ...)
{
    struct vx_buf buf = { 0 };
    va_list ap;

    va_start(ap, fmt);
    add_fmt(&buf, fmt, ap);
    va_end(ap);
    return buf.data != NULL ? buf.data : vx_strdup("");
}

void vx_buf_drop(struct vx_buf *buf, size_t len)
{
    if (len >= buf->len) {
        buf->len = 0;
    } else {
        memmove(buf->data, buf->data + len, buf->len - len);
        buf->len -= len;
    }
    if (buf->data != NULL)
        buf->data[buf->len] = '\0';
}

const char *vx_buf_cstr(const struct vx_buf *buf)
{
    return buf->data != NULL ? buf->data : "";
}

void vx_buf_free(struct vx_buf *buf)
{
    free(buf->data);
    *buf = (struct vx_buf){ 0 };
}
