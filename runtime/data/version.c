#include "runtime/data/version.h"

#include <archive.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

/* "NAME VERSION more": the second word. */
static void second_word(const char *text, char *buf, size_t size)
{
    const char *word = strchr(text, ' ');

    word = word != NULL ? word + 1 : text;
    snprintf(buf, size, "%.*s", (int)strcspn(word, " "), word);
}

void vx_archive_version(char *buf, size_t size)
{
    second_word(archive_version_string(), buf, size);
}

void vx_crypto_version(char *buf, size_t size)
{
    second_word(OpenSSL_version(OPENSSL_VERSION), buf, size);
}
