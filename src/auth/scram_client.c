#include "auth/scram_client.h"

#include "auth/prepare.h"
#include "auth/scram_internal.h"
#include "base/b64.h"

#include <errno.h>
#include <openssl/crypto.h>

#define NAME_MAX_OCTETS 1024

struct scram_client {
    struct buf password;                /* prepared */
    struct buf channel;                 /* gs2-header and channel binding: what "c=" holds */
    struct buf header;                  /* gs2-header */
    struct buf bare;                    /* client-first-message-bare */
    struct buf nonce;                   /* ours */
    unsigned char signature[SCRAM_KEY]; /* the server's, as it must be */
    bool expecting, proved;
};

/* saslname [rfc5802 5.1] */
static int put_saslname(struct str name, struct buf *out)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < name.len; i++) {
        if (name.p[i] == ',')
            r = buf_puts(out, "=2C");
        else if (name.p[i] == '=')
            r = buf_puts(out, "=3D");
        else
            r = buf_append(out, name.p + i, 1);
    }
    return r;
}

/* [rfc5802 7] flag "," [ "a=" saslname ] "," */
static int make_header(struct scram_client *s, const struct scram_login *login)
{
    static const char *const flags[] = {
        [SCRAM_UNBOUND] = "n,",
        [SCRAM_NOT_OFFERED] = "y,",
        [SCRAM_EXPORTER] = "p=tls-exporter,",
        [SCRAM_END_POINT] = "p=tls-server-end-point,",
    };
    int r = buf_puts(&s->header, flags[login->binding]);
    if (r == 0 && login->authzid.len)
        r = buf_puts(&s->header, "a=");
    if (r == 0)
        r = put_saslname(login->authzid, &s->header);
    if (r == 0)
        r = buf_puts(&s->header, ",");
    if (r == 0)
        r = buf_append_str(&s->channel, buf_str(&s->header));
    if (r == 0 && login->binding >= SCRAM_EXPORTER)
        r = buf_append_str(&s->channel, login->channel);
    return r;
}

static int make_bare(struct scram_client *s, const struct scram_login *login)
{
    CLEANUP(buf_done) struct buf user = BUF_INIT(NAME_MAX_OCTETS);
    int r = prepare_typed(login->user, &user);
    if (r == 0)
        r = buf_puts(&s->bare, "n=");
    if (r == 0)
        r = put_saslname(buf_str(&user), &s->bare);
    if (r == 0)
        r = buf_printf(&s->bare, ",r=%.*s", STR_FMT(login->nonce));
    return r < 0 ? r : buf_append_str(&s->nonce, login->nonce);
}

struct scram_client *scram_client_new(const struct scram_login *login)
{
    struct scram_client *s = xcalloc(1, sizeof(*s));
    buf_init(&s->password, NAME_MAX_OCTETS);
    buf_init(&s->channel, SCRAM_MESSAGE_MAX);
    buf_init(&s->header, SCRAM_MESSAGE_MAX);
    buf_init(&s->bare, SCRAM_MESSAGE_MAX);
    buf_init(&s->nonce, SCRAM_MESSAGE_MAX);
    if (str_has_control(login->authzid) || !str_is_utf8(login->authzid) ||
        !scram_is_nonce(login->nonce) || prepare_typed(login->password, &s->password) < 0 ||
        make_header(s, login) < 0 || make_bare(s, login) < 0) {
        scram_client_free(s);
        return NULL;
    }
    return s;
}

void scram_client_free(struct scram_client *s)
{
    if (!s)
        return;
    buf_wipe(&s->password);
    buf_done(&s->channel);
    buf_done(&s->header);
    buf_done(&s->bare);
    buf_done(&s->nonce);
    OPENSSL_cleanse(s->signature, sizeof(s->signature));
    free(s);
}

int scram_client_first(struct scram_client *s, struct buf *out)
{
    int r = buf_append_str(out, buf_str(&s->header));
    return r < 0 ? r : buf_append_str(out, buf_str(&s->bare));
}

/* server-first-message = nonce "," salt "," iteration-count ["," extensions]; a mandatory extension is none we know. */
static int read_challenge(const struct scram_client *s,
                          struct str message,
                          struct str *ret_nonce,
                          struct scram_keys *ret)
{
    struct str nonce, salt, count, ours = buf_str(&s->nonce);
    uint64_t iterations;
    if (!scram_attribute(scram_next_part(&message), 'r', &nonce) || !scram_is_nonce(nonce) ||
        !scram_attribute(scram_next_part(&message), 's', &salt) ||
        !scram_attribute(scram_next_part(&message), 'i', &count) ||
        scram_decode(salt, ret->salt, 1, sizeof(ret->salt), &ret->salt_len) < 0)
        return -EINVAL;
    if (nonce.len <= ours.len || !str_eq(str_upto(nonce, ours.len), ours))
        return -EPERM;
    int r = str_to_u64(count, SCRAM_CLIENT_ITERATIONS_MAX, &iterations);
    if (r == -EINVAL)
        return r;
    if (r < 0 || iterations < SCRAM_CLIENT_ITERATIONS_MIN)
        return -ERANGE;
    ret->iterations = (unsigned)iterations;
    *ret_nonce = nonce;
    return 0;
}

/* client-final-message-without-proof */
static int put_final(const struct scram_client *s, struct str nonce, struct buf *out)
{
    struct str c = buf_str(&s->channel);
    int r = scram_put_b64(out, "c=", (const unsigned char *)c.p, c.len);
    return r < 0 ? r : buf_printf(out, ",r=%.*s", STR_FMT(nonce));
}

/* [rfc5802 3] ClientProof = ClientKey XOR HMAC(StoredKey, AuthMessage) */
static int
prove(struct scram_client *s, struct scram_keys *k, struct str auth, unsigned char proof[SCRAM_KEY])
{
    unsigned char signature[SCRAM_KEY];
    int r = scram_derive(k, buf_str(&s->password), proof);
    if (r == 0 &&
        !(scram_hmac(k->stored, auth, signature) && scram_hmac(k->server, auth, s->signature)))
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < SCRAM_KEY; i++)
        proof[i] ^= signature[i];
    return r;
}

int scram_client_proof(struct scram_client *s, struct str challenge, struct buf *out)
{
    struct scram_keys k = {0};
    struct str nonce;
    unsigned char proof[SCRAM_KEY];
    CLEANUP(buf_done) struct buf final = BUF_INIT(SCRAM_MESSAGE_MAX);
    CLEANUP(buf_done) struct buf auth = BUF_INIT((size_t)3 * SCRAM_MESSAGE_MAX);
    if (s->expecting || challenge.len > SCRAM_MESSAGE_MAX / 2 ||
        memchr(challenge.p, '\0', challenge.len))
        return -EINVAL;
    int r = read_challenge(s, challenge, &nonce, &k);
    if (r == 0)
        r = put_final(s, nonce, &final);
    if (r == 0)
        r = buf_printf(&auth, "%.*s,%.*s,%.*s", STR_FMT(buf_str(&s->bare)), STR_FMT(challenge),
                       STR_FMT(buf_str(&final)));
    if (r == 0)
        r = prove(s, &k, buf_str(&auth), proof);
    if (r == 0)
        r = buf_append_str(out, buf_str(&final));
    if (r == 0)
        r = scram_put_b64(out, ",p=", proof, SCRAM_KEY);
    OPENSSL_cleanse(&k, sizeof(k));
    OPENSSL_cleanse(proof, sizeof(proof));
    s->expecting = r == 0;
    return r;
}

int scram_client_check(struct scram_client *s, struct str challenge)
{
    unsigned char signature[SCRAM_KEY];
    size_t len;
    struct str v;
    if (!s->expecting || !scram_attribute(scram_next_part(&challenge), 'v', &v) ||
        scram_decode(v, signature, SCRAM_KEY, SCRAM_KEY, &len) < 0)
        return -EINVAL;
    s->proved = CRYPTO_memcmp(signature, s->signature, SCRAM_KEY) == 0;
    return s->proved ? 0 : -EACCES;
}

bool scram_client_is_proved(const struct scram_client *s)
{
    return s->proved;
}
