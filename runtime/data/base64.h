/* Base64, as JSON carries bytes. */
#ifndef VX_DATA_BASE64_H
#define VX_DATA_BASE64_H

#include <stddef.h>

#include "runtime/base/buf.h"
#include "runtime/base/err.h"

/* Appends the text for bytes, padded, in one line. */
void vx_base64_encode(const char *data, size_t len, struct vx_buf *out);

/* Appends the bytes of a text: padded, in one line. -1 with err of kind "format" for any other. */
int vx_base64_bytes(const char *text, size_t len, struct vx_buf *out, struct vx_err *err);

#endif
