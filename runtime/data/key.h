/* ed25519 key pairs in the formats that SSH programs read. */
#ifndef VX_DATA_KEY_H
#define VX_DATA_KEY_H

#include "runtime/base/buf.h"
#include "runtime/base/err.h"

struct vx_key {
    struct vx_buf
        private_text; /* OpenSSH's own format, unencrypted: what ssh -i and libssh2 read */
    struct vx_buf public_line; /* "ssh-ed25519 AAAA... comment", with no newline */
    struct vx_buf dropbear;    /* the private key as dropbear keeps its host keys */
};

/* Makes a new key pair; the comment (may be "") has no newline. Returns 0, or -1 with err. */
int vx_key_new(const char *comment, struct vx_key *key, struct vx_err *err);

/* Wipes and frees the texts; legal on a zeroed key and when repeated. */
void vx_key_free(struct vx_key *key);

#endif
