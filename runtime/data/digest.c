#include "runtime/data/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "runtime/base/buf.h"

#define PIECE (256 * 1024)

static int failed(struct vx_err *err)
{
    return vx_err_set(err, VX_UNSUPPORTED, 0, "libcrypto cannot compute a SHA-256 digest");
}

static int finish(EVP_MD_CTX *ctx, char hex[VX_SHA256_HEX], struct vx_err *err)
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (EVP_DigestFinal_ex(ctx, raw, &len) != 1 || len * 2 + 1 != VX_SHA256_HEX)
        return failed(err);
    for (unsigned i = 0; i < len; i++)
        snprintf(hex + (size_t)i * 2, 3, "%02x", raw[i]);
    return 0;
}

int vx_sha256_bytes(const void *data, size_t len, char hex[VX_SHA256_HEX], struct vx_err *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int rc = -1;

    if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(ctx, data, len) != 1)
        failed(err);
    else
        rc = finish(ctx, hex, err);
    EVP_MD_CTX_free(ctx);
    return rc;
}

int vx_sha256_file(const char *path, char hex[VX_SHA256_HEX], struct vx_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    EVP_MD_CTX *ctx = NULL;
    char *piece = NULL;
    ssize_t len = 0;
    int rc = -1;

    if (fd < 0)
        return vx_err_errno(err, errno, "cannot open %s", path);
    piece = vx_alloc(PIECE);
    ctx = EVP_MD_CTX_new();
    if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
        failed(err);
        goto out;
    }
    while ((len = read(fd, piece, PIECE)) != 0) {
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0) {
            vx_err_errno(err, errno, "cannot read %s", path);
            goto out;
        }
        if (EVP_DigestUpdate(ctx, piece, (size_t)len) != 1) {
            failed(err);
            goto out;
        }
    }
    rc = finish(ctx, hex, err);
out:
    EVP_MD_CTX_free(ctx);
    free(piece);
    close(fd);
    return rc;
}
