#include "auth/password.h"

#include <crypt.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#define SCRAM_MARK "{SCRAM-SHA-256}"

/* What a password is compared with when there is no entry: of a password nobody knows. */
#define NOBODYS "$y$j9T$bAWvf42ypdCixh.sz4WmT/$dpCsw1qJdvbGLJRw.1vPWEPqj0hUbIHAvKzfBIDvnCB"

static void crypt_data_free(struct crypt_data **d)
{
    if (*d)
        explicit_bzero(*d, sizeof(**d));
    free(*d);
}

static int check_crypt(struct str entry, struct str password)
{
    CLEANUP(crypt_data_free) struct crypt_data *d = calloc(1, sizeof(*d));
    CLEANUP(buf_wipe) struct buf setting = BUF_INIT(PASSWORD_ENTRY_MAX);
    CLEANUP(buf_wipe) struct buf secret = BUF_INIT(PASSWORD_MAX);
    if (!d)
        return -ENOMEM;
    if (buf_append_str(&setting, entry) < 0 || buf_append_str(&secret, password) < 0 ||
        memchr(setting.data, '\0', setting.len) || memchr(secret.data, '\0', secret.len))
        return -EINVAL;
    const char *made = crypt_r(secret.data, setting.data, d);
    if (!made || made[0] == '*') /* crypt(3): what cannot be read yields "*0" or "*1" */
        return -EINVAL;
    bool same = strlen(made) == setting.len && CRYPTO_memcmp(made, setting.data, setting.len) == 0;
    return same ? 0 : -EACCES;
}

int password_scram_keys(struct str entry, struct scram_keys *ret)
{
    size_t mark = strlen(SCRAM_MARK);
    if (!str_starts_nocase(entry, STR(SCRAM_MARK)))
        return -EINVAL;
    return scram_keys_parse(str_from(entry, mark), ret);
}

static int check_scram(const struct scram_keys *k, struct str password)
{
    struct scram_keys made = *k;
    int r = scram_keys_derive(&made, password);
    bool same = r == 0 && CRYPTO_memcmp(made.stored, k->stored, SCRAM_KEY) == 0;
    OPENSSL_cleanse(&made, sizeof(made));
    return r < 0 ? r : same ? 0 : -EACCES;
}

int password_check(struct str entry, struct str password)
{
    struct scram_keys k;
    if (!entry.p) {
        int r = check_crypt(STR(NOBODYS), password);
        return r == 0 ? -EACCES : r;
    }
    if (entry.len && entry.p[0] == '{')
        return password_scram_keys(entry, &k) < 0 ? -EINVAL : check_scram(&k, password);
    /* A "$" in front, or it would be one of the methods of the last century, which fit almost anything. */
    return entry.len && entry.p[0] == '$' ? check_crypt(entry, password) : -EINVAL;
}

int password_make_crypt(struct str password, struct buf *out)
{
    CLEANUP(crypt_data_free) struct crypt_data *d = calloc(1, sizeof(*d));
    CLEANUP(buf_wipe) struct buf secret = BUF_INIT(PASSWORD_MAX);
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    if (!d)
        return -ENOMEM;
    int r = buf_append_str(&secret, password);
    if (r < 0)
        return r;
    if (!crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof(setting)))
        return -errno;
    const char *made = crypt_r(secret.data, setting, d);
    return !made || made[0] == '*' ? -EINVAL : buf_puts(out, made);
}

int password_make_scram(struct str password, struct buf *out)
{
    struct scram_keys k = {.iterations = SCRAM_ITERATIONS, .salt_len = 16};
    if (password.len > PASSWORD_MAX)
        return -EMSGSIZE;
    if (RAND_bytes(k.salt, (int)k.salt_len) != 1)
        return -EIO;
    int r = scram_keys_derive(&k, password);
    if (r == 0)
        r = buf_puts(out, SCRAM_MARK);
    if (r == 0)
        r = scram_keys_format(&k, out);
    OPENSSL_cleanse(&k, sizeof(k));
    return r;
}
