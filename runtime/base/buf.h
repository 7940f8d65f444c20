/* A growable run of bytes, always followed by a NUL that does not count. */
#ifndef VX_BASE_BUF_H
#define VX_BASE_BUF_H

#include <stddef.h>

/* Zero-initialised is empty. data is NULL until the first byte; len never counts the NUL. */
struct vx_buf {
    char *data;
    size_t len;
    size_t cap;
};

/* Memory that cannot be had ends the program with a message: vx_buf_add and the allocators below
 * never return failure. */
void vx_buf_add(struct vx_buf *buf, const void *data, size_t len);
void vx_buf_str(struct vx_buf *buf, const char *str);
void vx_buf_fmt(struct vx_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for len more bytes and returns where they go; vx_buf_added counts those written. */
char *vx_buf_room(struct vx_buf *buf, size_t len);
void vx_buf_added(struct vx_buf *buf, size_t len);

/* Drops the first len bytes. */
void vx_buf_drop(struct vx_buf *buf, size_t len);

/* The bytes as a C string, "" when empty; valid until the next change. */
const char *vx_buf_cstr(const struct vx_buf *buf);

/* Frees the bytes and leaves an empty buffer. */
void vx_buf_free(struct vx_buf *buf);

/* malloc, calloc(1, n), realloc and strdup that do not fail. */
void *vx_alloc(size_t len);
void *vx_zalloc(size_t len);
void *vx_realloc(void *old, size_t len);
char *vx_strdup(const char *str);
char *vx_strndup(const char *str, size_t len);
char *vx_strfmt(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
