#include "runtime/ssh/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "runtime/data/digest.h"
#include "runtime/ssh/state.h"

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

size_t vx_base64_decode(const char *text, size_t len, unsigned char *out, size_t size)
{
    unsigned bits = 0;
    int count = 0;
    size_t made = 0;

    for (size_t i = 0; i < len; i++) {
        int value = base64_value(text[i]);

        if (value < 0)
            break;
        bits = bits << 6 | (unsigned)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            if (made == size)
                break;
            out[made++] = (unsigned char)(bits >> count);
        }
    }
    return made;
}

static void base64_encode(const unsigned char *data, size_t len, char *out)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0;
    int count = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | data[i];
        count += 8;
        while (count >= 6) {
            count -= 6;
            *out++ = digits[bits >> count & 63];
        }
    }
    if (count > 0)
        *out++ = digits[bits << (6 - count) & 63];
    *out = '\0';
}

static bool blob_type(const unsigned char *blob, size_t len, char *type, size_t size)
{
    size_t want = 0;

    if (len < 4)
        return false;
    want = (size_t)blob[0] << 24 | (size_t)blob[1] << 16 | (size_t)blob[2] << 8 | blob[3];
    if (want == 0 || want > len - 4 || want >= size)
        return false;
    for (size_t i = 0; i < want; i++)
        if (!isgraph(blob[4 + i]))
            return false;
    memcpy(type, blob + 4, want);
    type[want] = '\0';
    return true;
}

static int hex_value(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

int vx_hostkey_describe(struct vx_hostkey *key, const void *blob, size_t len)
{
    char hex[VX_SHA256_HEX];
    unsigned char digest[32];
    struct vx_err err;

    *key = (struct vx_hostkey){ 0 };
    if (len > sizeof key->blob || !blob_type(blob, len, key->type, sizeof key->type))
        return -1;
    memcpy(key->blob, blob, len);
    key->blob_len = len;
    if (vx_sha256_bytes(blob, len, hex, &err) != 0)
        return -1;
    for (size_t i = 0; i < sizeof digest; i++)
        digest[i] = (unsigned char)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
    memcpy(key->fingerprint, "SHA256:", 7);
    base64_encode(digest, sizeof digest, key->fingerprint + 7);
    return 0;
}

int vx_hostkey_parse(struct vx_hostkey *key, const char *text, struct vx_err *err)
{
    unsigned char blob[sizeof key->blob];
    const char *at = text;
    size_t len = 0;

    *key = (struct vx_hostkey){ 0 };
    while (isspace((unsigned char)*at))
        at++;
    if (strncmp(at, "SHA256:", 7) == 0) {
        len = 7 + strcspn(at + 7, "= \t\r\n");
        if (len == 7 + 43) {
            memcpy(key->fingerprint, at, len);
            return 0;
        }
        return vx_err_set(err, VX_USAGE, 0,
                          "host_key: \"%.80s\" is not a fingerprint: SHA256: is followed by 43 "
                          "characters, as ssh-keygen -l prints them",
                          text);
    }
    /* "type blob comment", "host type blob", or the blob alone: every blob begins with AAAA. */
    while (*at != '\0' && strncmp(at, "AAAA", 4) != 0) {
        at += strcspn(at, " \t\r\n");
        at += strspn(at, " \t\r\n");
    }
    len = vx_base64_decode(at, strlen(at), blob, sizeof blob);
    if (len == 0 || vx_hostkey_describe(key, blob, len) != 0)
        return vx_err_set(
            err, VX_USAGE, 0,
            "host_key: \"%.80s\" is neither a public key (\"ssh-ed25519 AAAA...\") "
            "nor a fingerprint (\"SHA256:...\")",
            text);
    return 0;
}

void vx_hostkey_prefer(const struct vx_hostkey *key, char *list, size_t size)
{
    static const char *const order[] = { "ssh-ed25519",
                                         "ecdsa-sha2-nistp256",
                                         "ecdsa-sha2-nistp384",
                                         "ecdsa-sha2-nistp521",
                                         "rsa-sha2-512",
                                         "rsa-sha2-256",
                                         "ssh-rsa" };
    bool rsa = strcmp(key->type, "ssh-rsa") == 0;
    size_t used = 0;

    list[0] = '\0';
    /* First what the expected key can prove, then the rest, so that a wrong key is named as such
     * and not as a failed negotiation. */
    for (int wanted = 1; wanted >= 0; wanted--) {
        for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
            bool fits = strcmp(order[i], key->type) == 0 || (rsa && strstr(order[i], "rsa"));

            if (fits == (wanted == 1))
                used += (size_t)snprintf(list + used, size - used, "%s%s", used > 0 ? "," : "",
                                         order[i]);
        }
    }
}

bool vx_hostkey_matches(const struct vx_hostkey *expected, const struct vx_hostkey *seen)
{
    if (expected->blob_len > 0)
        return expected->blob_len == seen->blob_len &&
               memcmp(expected->blob, seen->blob, seen->blob_len) == 0;
    return expected->fingerprint[0] != '\0' &&
           strcmp(expected->fingerprint, seen->fingerprint) == 0;
}
