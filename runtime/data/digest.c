#include "runtime/data/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "runtime/base/buf.h"

#define PIECE (256 * 1024)

struct vx_digest {
    EVP_MD_CTX *ctx;
    bool failed;
};

static int failed(struct vx_err *err)
{
    return vx_err_set(err, VX_UNSUPPORTED, 0, "libcrypto cannot compute a digest");
}

struct vx_digest *vx_digest_new(const char *algorithm, struct vx_err *err)
{
    const EVP_MD *md = NULL;
    struct vx_digest *digest = NULL;

    if (strcmp(algorithm, "sha256") == 0)
        md = EVP_sha256();
    else if (strcmp(algorithm, "sha512") == 0)
        md = EVP_sha512();
    if (md == NULL) {
        vx_err_set(err, VX_USAGE, 0, "there is no digest called '%s'; sha256 or sha512",
                   algorithm);
        return NULL;
    }
    digest = vx_zalloc(sizeof *digest);
    digest->ctx = EVP_MD_CTX_new();
    digest->failed = digest->ctx == NULL || EVP_DigestInit_ex(digest->ctx, md, NULL) != 1;
    return digest;
}

void vx_digest_add(struct vx_digest *digest, const void *data, size_t len)
{
    if (!digest->failed)
        digest->failed = EVP_DigestUpdate(digest->ctx, data, len) != 1;
}

int vx_digest_end(struct vx_digest *digest, char hex[VX_DIGEST_HEX], struct vx_err *err)
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (digest->failed || EVP_DigestFinal_ex(digest->ctx, raw, &len) != 1 ||
        len * 2 + 1 > VX_DIGEST_HEX)
        return failed(err);
    for (unsigned i = 0; i < len; i++)
        snprintf(hex + (size_t)i * 2, 3, "%02x", raw[i]);
    return 0;
}

void vx_digest_free(struct vx_digest *digest)
{
    if (digest != NULL)
        EVP_MD_CTX_free(digest->ctx);
    free(digest);
}

static int add_file(struct vx_digest *digest, const char *path, struct vx_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *piece = NULL;
    ssize_t len = 0;
    int rc = 0;

    if (fd < 0)
        return vx_err_errno(err, errno, "cannot open %s", path);
    piece = vx_alloc(PIECE);
    while (rc == 0 && (len = read(fd, piece, PIECE)) != 0) {
        if (len > 0)
            vx_digest_add(digest, piece, (size_t)len);
        else if (errno != EINTR)
            rc = vx_err_errno(err, errno, "cannot read %s", path);
    }
    free(piece);
    close(fd);
    return rc;
}

int vx_digest_file(const char *path, const char *algorithm, char hex[VX_DIGEST_HEX],
                   struct vx_err *err)
{
    struct vx_digest *digest = vx_digest_new(algorithm, err);
    int rc = -1;

    if (digest == NULL)
        return -1;
    if (add_file(digest, path, err) == 0)
        rc = vx_digest_end(digest, hex, err);
    vx_digest_free(digest);
    return rc;
}

int vx_sha256_file(const char *path, char hex[VX_SHA256_HEX], struct vx_err *err)
{
    char whole[VX_DIGEST_HEX] = "";

    if (vx_digest_file(path, "sha256", whole, err) != 0)
        return -1;
    memcpy(hex, whole, VX_SHA256_HEX);
    return 0;
}

int vx_sha256_bytes(const void *data, size_t len, char hex[VX_SHA256_HEX], struct vx_err *err)
{
    struct vx_digest *digest = vx_digest_new("sha256", err);
    char whole[VX_DIGEST_HEX] = "";
    int rc = -1;

    if (digest == NULL)
        return -1;
    vx_digest_add(digest, data, len);
    rc = vx_digest_end(digest, whole, err);
    if (rc == 0)
        memcpy(hex, whole, VX_SHA256_HEX);
    vx_digest_free(digest);
    return rc;
}
