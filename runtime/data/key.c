#include "runtime/data/key.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "runtime/base/file.h"

#define TYPE   "ssh-ed25519"
#define HALF   32 /* bytes of a seed and of a public key: RFC 8032 */
#define BLOCK  8  /* PROTOCOL.key: what unencrypted keys are padded to */
#define COLUMN 70 /* as ssh-keygen wraps it */

static void put_u32(struct vx_buf *buf, uint32_t value)
{
    unsigned char raw[4] = { (unsigned char)(value >> 24), (unsigned char)(value >> 16),
                             (unsigned char)(value >> 8), (unsigned char)value };

    vx_buf_add(buf, raw, sizeof raw);
}

/* RFC 4251's "string": a length and the bytes. */
static void put_string(struct vx_buf *buf, const void *data, size_t len)
{
    put_u32(buf, (uint32_t)len);
    vx_buf_add(buf, data, len);
}

static void put_base64(struct vx_buf *text, const struct vx_buf *raw, size_t column)
{
    char *line = vx_alloc(raw->len / 3 * 4 + 5);
    size_t len = (size_t)EVP_EncodeBlock((unsigned char *)line,
                                         (const unsigned char *)raw->data, (int)raw->len);

    for (size_t at = 0; at < len; at += column) {
        size_t piece = len - at < column ? len - at : column;

        vx_buf_add(text, line + at, piece);
        if (column < len)
            vx_buf_str(text, "\n");
    }
    OPENSSL_cleanse(line, len);
    free(line);
}

/* Frees a buffer that held a secret. */
static void wipe(struct vx_buf *buf)
{
    if (buf->data != NULL)
        OPENSSL_cleanse(buf->data, buf->cap);
    vx_buf_free(buf);
}

/* pair is the seed followed by the public key. The layout is that of the file PROTOCOL.key in
 * OpenSSH's sources, with cipher and key derivation "none". */
static void put_openssh(struct vx_buf *text, const unsigned char *pair,
                        const struct vx_buf *blob, uint32_t check, const char *comment)
{
    struct vx_buf secret = { 0 }, raw = { 0 };

    put_u32(&secret, check); /* twice the same: shows that a passphrase was right */
    put_u32(&secret, check);
    vx_buf_add(&secret, blob->data, blob->len);
    put_string(&secret, pair, (size_t)2 * HALF);
    put_string(&secret, comment, strlen(comment));
    for (char pad = 1; secret.len % BLOCK != 0; pad++)
        vx_buf_add(&secret, &pad, 1);

    vx_buf_add(&raw, "openssh-key-v1", sizeof "openssh-key-v1"); /* its NUL belongs to it */
    put_string(&raw, "none", 4);
    put_string(&raw, "none", 4);
    put_string(&raw, "", 0);
    put_u32(&raw, 1);
    put_string(&raw, blob->data, blob->len);
    put_string(&raw, secret.data, secret.len);

    vx_buf_str(text, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    put_base64(text, &raw, COLUMN);
    vx_buf_str(text, "-----END OPENSSH PRIVATE KEY-----\n");
    wipe(&secret);
    wipe(&raw);
}

static int make_pair(unsigned char pair[2 * HALF], struct vx_err *err)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, NULL);
    EVP_PKEY *pkey = NULL;
    size_t len = HALF, len2 = HALF;
    int rc = 0;

    if (ctx == NULL || EVP_PKEY_keygen_init(ctx) != 1 || EVP_PKEY_keygen(ctx, &pkey) != 1 ||
        EVP_PKEY_get_raw_private_key(pkey, pair, &len) != 1 ||
        EVP_PKEY_get_raw_public_key(pkey, pair + HALF, &len2) != 1)
        rc = vx_err_set(err, VX_UNSUPPORTED, 0, "libcrypto cannot make an ed25519 key");
    EVP_PKEY_free(pkey);
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

int vx_key_new(const char *comment, struct vx_key *key, struct vx_err *err)
{
    unsigned char pair[2 * HALF];
    struct vx_buf blob = { 0 };
    uint32_t check = 0;

    *key = (struct vx_key){ 0 };
    if (strpbrk(comment, "\r\n") != NULL)
        return vx_err_set(err, VX_USAGE, 0, "the comment of a key must be one line");
    if (make_pair(pair, err) != 0 || vx_random(&check, sizeof check, err) != 0)
        return -1;
    put_string(&blob, TYPE, sizeof TYPE - 1);
    put_string(&blob, pair + HALF, HALF);

    put_openssh(&key->private_text, pair, &blob, check, comment);
    vx_buf_str(&key->public_line, TYPE " ");
    put_base64(&key->public_line, &blob, SIZE_MAX);
    if (*comment != '\0')
        vx_buf_fmt(&key->public_line, " %s", comment);
    /* dropbear: the type, then seed and public key as one string (its source: ed25519.c,
     * buf_put_ed25519_priv_key). */
    put_string(&key->dropbear, TYPE, sizeof TYPE - 1);
    put_string(&key->dropbear, pair, sizeof pair);
    OPENSSL_cleanse(pair, sizeof pair);
    vx_buf_free(&blob);
    return 0;
}

void vx_key_free(struct vx_key *key)
{
    wipe(&key->private_text);
    wipe(&key->public_line);
    wipe(&key->dropbear);
}
