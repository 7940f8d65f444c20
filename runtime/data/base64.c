#include "runtime/data/base64.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* A multiple of three, so that only the last piece is padded; libcrypto counts in int. */
enum { PIECE = 3 * 16384 };

void vx_base64_encode(const char *data, size_t len, struct vx_buf *out)
{
    unsigned char text[PIECE / 3 * 4 + 1];

    for (size_t at = 0; at < len; at += PIECE) {
        size_t take = len - at < PIECE ? len - at : PIECE;
        int made = EVP_EncodeBlock(text, (const unsigned char *)data + at, (int)take);

        vx_buf_add(out, text, (size_t)made);
    }
}

int vx_base64_bytes(const char *text, size_t len, struct vx_buf *out, struct vx_err *err)
{
    unsigned char bytes[PIECE];
    size_t padding = 0;

    while (padding < 2 && padding < len && text[len - padding - 1] == '=')
        padding++;
    if (len % 4 != 0 || memchr(text, '=', len - padding) != NULL)
        return vx_err_set(err, VX_FORMAT, 0, "this is not base64");
    for (size_t at = 0; at < len; at += PIECE / 3 * 4) {
        size_t take = len - at < PIECE / 3 * 4 ? len - at : PIECE / 3 * 4;
        int made = EVP_DecodeBlock(bytes, (const unsigned char *)text + at, (int)take);

        if (made != (int)(take / 4 * 3)) /* it passes over spaces at both ends */
            return vx_err_set(err, VX_FORMAT, 0, "this is not base64");
        vx_buf_add(out, bytes, (size_t)made - (at + take == len ? padding : 0));
    }
    return 0;
}
