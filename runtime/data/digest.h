/* SHA-256 and SHA-512 of bytes, of files and of streams. */
#ifndef VX_DATA_DIGEST_H
#define VX_DATA_DIGEST_H

#include <stddef.h>

#include "runtime/base/err.h"

/* 64 lower-case hexadecimal digits and a NUL. */
#define VX_SHA256_HEX 65
/* The longest of any algorithm here. */
#define VX_DIGEST_HEX 129

/* Any thread. Returns 0, or -1 with err. */
int vx_sha256_bytes(const void *data, size_t len, char hex[VX_SHA256_HEX], struct vx_err *err);
int vx_sha256_file(const char *path, char hex[VX_SHA256_HEX], struct vx_err *err);

/* The same of a file by an algorithm's name, "sha256" or "sha512". */
int vx_digest_file(const char *path, const char *algorithm, char hex[VX_DIGEST_HEX],
                   struct vx_err *err);

/* A digest that is made as its bytes come; one thread at a time. */
struct vx_digest;

/* The caller frees it. NULL with err: an algorithm that is not known. */
struct vx_digest *vx_digest_new(const char *algorithm, struct vx_err *err);

/* Adds bytes. Cannot fail: what libcrypto could not do shows at the end. */
void vx_digest_add(struct vx_digest *digest, const void *data, size_t len);

/* Ends it, once. Returns 0, or -1 with err. */
int vx_digest_end(struct vx_digest *digest, char hex[VX_DIGEST_HEX], struct vx_err *err);

/* NULL is fine. */
void vx_digest_free(struct vx_digest *digest);

#endif
