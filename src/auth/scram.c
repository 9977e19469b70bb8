#include "auth/scram_internal.h"

#include "auth/prepare.h"
#include "base/b64.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define NAME_MAX_OCTETS 1024

struct scram {
    bool plus, plus_offered;
    struct scram_channel channel;
    struct str binding; /* what the client bound to */
    struct buf header;  /* gs2-header as it came */
    struct buf user, authzid;
    struct buf bare; /* client-first-message-bare */
    struct buf server_first;
    struct buf nonce; /* the client's, then both */
    struct scram_keys keys;
};

/* ---- keys ---- */

bool scram_hmac(const unsigned char key[SCRAM_KEY], struct str text, unsigned char out[SCRAM_KEY])
{
    unsigned len = SCRAM_KEY;
    return HMAC(EVP_sha256(), key, SCRAM_KEY, (const unsigned char *)text.p, text.len, out, &len) !=
           NULL;
}

bool scram_hash(const unsigned char in[SCRAM_KEY], unsigned char out[SCRAM_KEY])
{
    return EVP_Digest(in, SCRAM_KEY, out, NULL, EVP_sha256(), NULL) == 1;
}

/* The next of the parts that commas separate. */
struct str scram_next_part(struct str *rest)
{
    ssize_t comma = str_find(*rest, ',');
    struct str part = str_upto(*rest, comma < 0 ? rest->len : (size_t)comma);
    *rest = comma < 0 ? (struct str){rest->p + rest->len, 0} : str_from(*rest, (size_t)comma + 1);
    return part;
}

int scram_decode(struct str text, unsigned char *to, size_t min, size_t max, size_t *ret_len)
{
    CLEANUP(buf_wipe) struct buf octets = BUF_INIT(max + 3); /* decoded by threes */
    int r = b64_decode(text, &octets);
    if (r < 0 || octets.len < min || octets.len > max)
        return -EINVAL;
    memcpy(to, octets.data, octets.len);
    *ret_len = octets.len;
    return 0;
}

int scram_keys_parse(struct str text, struct scram_keys *ret)
{
    struct scram_keys k = {0};
    uint64_t iterations;
    size_t len;
    int r = str_to_u64(scram_next_part(&text), SCRAM_ITERATIONS_MAX, &iterations);
    if (r < 0 || iterations < SCRAM_ITERATIONS_MIN)
        return -EINVAL;
    k.iterations = (unsigned)iterations;
    r = scram_decode(scram_next_part(&text), k.salt, 1, SCRAM_SALT_MAX, &k.salt_len);
    if (r == 0)
        r = scram_decode(scram_next_part(&text), k.stored, SCRAM_KEY, SCRAM_KEY, &len);
    if (r == 0)
        r = scram_decode(scram_next_part(&text), k.server, SCRAM_KEY, SCRAM_KEY, &len);
    if (r < 0 || text.len)
        return -EINVAL;
    *ret = k;
    return 0;
}

int scram_put_b64(struct buf *out, const char *glue, const unsigned char *octets, size_t len)
{
    int r = buf_puts(out, glue);
    return r < 0 ? r : b64_encode((struct str){(const char *)octets, len}, out);
}

int scram_keys_format(const struct scram_keys *k, struct buf *out)
{
    int r = buf_printf(out, "%u", k->iterations);
    if (r == 0)
        r = scram_put_b64(out, ",", k->salt, k->salt_len);
    if (r == 0)
        r = scram_put_b64(out, ",", k->stored, SCRAM_KEY);
    return r < 0 ? r : scram_put_b64(out, ",", k->server, SCRAM_KEY);
}

/* [rfc5802 3] SaltedPassword, ClientKey, StoredKey, ServerKey */
int scram_derive(struct scram_keys *k, struct str password, unsigned char client[SCRAM_KEY])
{
    unsigned char salted[SCRAM_KEY];
    bool good = PKCS5_PBKDF2_HMAC(password.p, (int)password.len, k->salt, (int)k->salt_len,
                                  (int)k->iterations, EVP_sha256(), SCRAM_KEY, salted) == 1 &&
                scram_hmac(salted, STR("Client Key"), client) && scram_hash(client, k->stored) &&
                scram_hmac(salted, STR("Server Key"), k->server);
    OPENSSL_cleanse(salted, sizeof(salted));
    return good ? 0 : -ENOMEM;
}

int scram_keys_derive(struct scram_keys *k, struct str password)
{
    unsigned char client[SCRAM_KEY];
    int r = scram_derive(k, password, client);
    OPENSSL_cleanse(client, sizeof(client));
    return r;
}

void scram_keys_fake(struct scram_keys *k, const unsigned char secret[SCRAM_KEY], struct str user)
{
    unsigned char made[SCRAM_KEY] = {0};
    (void)scram_hmac(secret, user, made);
    *k = (struct scram_keys){.iterations = SCRAM_ITERATIONS, .salt_len = 16};
    memcpy(k->salt, made, k->salt_len);
    /* A hash nobody knows what of. */
    (void)scram_hmac(made, STR("stored"), k->stored);
    (void)scram_hmac(made, STR("server"), k->server);
}

/* ---- the exchange ---- */

struct scram *scram_new(bool plus, bool plus_offered, struct scram_channel channel)
{
    struct scram *s = xcalloc(1, sizeof(*s));
    *s = (struct scram){.plus = plus, .plus_offered = plus_offered, .channel = channel};
    buf_init(&s->header, NAME_MAX_OCTETS);
    buf_init(&s->user, NAME_MAX_OCTETS);
    buf_init(&s->authzid, NAME_MAX_OCTETS);
    buf_init(&s->bare, SCRAM_MESSAGE_MAX);
    buf_init(&s->server_first, SCRAM_MESSAGE_MAX);
    buf_init(&s->nonce, SCRAM_MESSAGE_MAX);
    return s;
}

void scram_free(struct scram *s)
{
    if (!s)
        return;
    buf_done(&s->header);
    buf_done(&s->user);
    buf_done(&s->authzid);
    buf_done(&s->bare);
    buf_done(&s->server_first);
    buf_done(&s->nonce);
    OPENSSL_cleanse(&s->keys, sizeof(s->keys));
    free(s);
}

struct str scram_user(const struct scram *s)
{
    return buf_str(&s->user);
}

struct str scram_authzid(const struct scram *s)
{
    return buf_str(&s->authzid);
}

/* saslname [rfc5802 5.1]: "=2C" is a comma, "=3D" an equals sign, "=" stands for nothing else. */
static int saslname_decode(struct str s, struct buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c == '=') {
            struct str code = str_upto(str_from(s, i + 1), 2);
            if (!str_eq(code, STR("2C")) && !str_eq(code, STR("3D")))
                return -EINVAL;
            c = code.p[0] == '2' ? ',' : '=';
            i += 2;
        }
        int r = buf_append(out, &c, 1);
        if (r < 0)
            return r;
    }
    return out->len ? 0 : -EINVAL;
}

/* "x=value": the value, if that is the attribute. */
bool scram_attribute(struct str part, char name, struct str *ret)
{
    if (part.len < 2 || part.p[0] != name || part.p[1] != '=')
        return false;
    *ret = str_from(part, 2);
    return true;
}

/* The first flag of the header: does the client bind, and to what (CB-01, CB-04, CB-06)? */
static int choose_binding(struct scram *s, struct str flag)
{
    struct str type;
    if (str_eq(flag, STR("n")))
        return s->plus ? -EINVAL : 0;
    if (str_eq(flag, STR("y"))) /* "I could bind but you did not offer to" */
        return s->plus || s->plus_offered ? -EPERM : 0;
    if (!s->plus || !scram_attribute(flag, 'p', &type))
        return -EINVAL;
    if (str_eq(type, STR("tls-exporter")))
        s->binding = s->channel.exporter;
    else if (str_eq(type, STR("tls-server-end-point")))
        s->binding = s->channel.end_point;
    return s->binding.len ? 0 : -EPERM;
}

static int read_header(struct scram *s, struct str *message)
{
    const char *begin = message->p;
    struct str flag = scram_next_part(message), who = scram_next_part(message), name = {NULL, 0};
    int r = choose_binding(s, flag);
    if (r == 0 && who.len)
        r = scram_attribute(who, 'a', &name) ? 0 : -EINVAL;
    /* [rfc5802 7 not:] "a=" with nothing behind is what GNU SASL makes of an empty authzid. */
    if (r == 0 && who.len && name.len)
        r = saslname_decode(name, &s->authzid);
    return r < 0 ? r : buf_append(&s->header, begin, (size_t)(message->p - begin));
}

bool scram_is_nonce(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < '!' || s.p[i] > '~' || s.p[i] == ',')
            return false;
    return s.len > 0;
}

int scram_first(struct scram *s, struct str message)
{
    CLEANUP(buf_done) struct buf typed = BUF_INIT(NAME_MAX_OCTETS);
    struct str name, nonce;
    int r = message.len > SCRAM_MESSAGE_MAX / 2 ? -EMSGSIZE : read_header(s, &message);
    if (r == 0)
        r = buf_append_str(&s->bare, message);
    if (r < 0)
        return r;
    /* [rfc5802 5.1] "m=" is a mandatory extension, and there is none we know: it is no "n=". */
    if (!scram_attribute(scram_next_part(&message), 'n', &name) ||
        !scram_attribute(scram_next_part(&message), 'r', &nonce) || !scram_is_nonce(nonce))
        return -EINVAL;
    r = saslname_decode(name, &typed);
    if (r == 0)
        r = prepare_typed(buf_str(&typed), &s->user);
    return r < 0 ? r : buf_append_str(&s->nonce, nonce);
}

int scram_challenge(struct scram *s, const struct scram_keys *k, struct str nonce, struct buf *out)
{
    s->keys = *k;
    int r = buf_append_str(&s->nonce, nonce);
    if (r == 0)
        r = buf_printf(&s->server_first, "r=%s", s->nonce.data);
    if (r == 0)
        r = scram_put_b64(&s->server_first, ",s=", k->salt, k->salt_len);
    if (r == 0)
        r = buf_printf(&s->server_first, ",i=%u", k->iterations);
    return r < 0 ? r : buf_append_str(out, buf_str(&s->server_first));
}

/* "c=" must be the header of before, and the channel we are in. */
static int check_channel(const struct scram *s, struct str c)
{
    CLEANUP(buf_done) struct buf got = BUF_INIT(NAME_MAX_OCTETS * 2);
    CLEANUP(buf_done) struct buf want = BUF_INIT(NAME_MAX_OCTETS * 2);
    int r = b64_decode(c, &got);
    if (r == 0)
        r = buf_append_str(&want, buf_str(&s->header));
    if (r == 0)
        r = buf_append_str(&want, s->binding);
    if (r < 0)
        return r;
    return str_eq(buf_str(&got), buf_str(&want)) ? 0 : -EPERM;
}

static int check_proof(const struct scram *s, struct str message, struct str proof, struct buf *out)
{
    unsigned char signature[SCRAM_KEY], client[SCRAM_KEY], stored[SCRAM_KEY];
    CLEANUP(buf_wipe) struct buf auth = BUF_INIT((size_t)3 * SCRAM_MESSAGE_MAX);
    size_t len;
    int r = scram_decode(proof, client, SCRAM_KEY, SCRAM_KEY, &len);
    if (r == 0)
        r = buf_printf(&auth, "%.*s,%.*s,%.*s", STR_FMT(buf_str(&s->bare)),
                       STR_FMT(buf_str(&s->server_first)), STR_FMT(message));
    if (r < 0)
        return r;
    if (!scram_hmac(s->keys.stored, buf_str(&auth), signature))
        return -ENOMEM;
    for (size_t i = 0; i < SCRAM_KEY; i++)
        client[i] ^= signature[i];
    bool good = scram_hash(client, stored) && CRYPTO_memcmp(stored, s->keys.stored, SCRAM_KEY) == 0;
    OPENSSL_cleanse(client, sizeof(client));
    if (!good)
        return -EACCES;
    if (!scram_hmac(s->keys.server, buf_str(&auth), signature))
        return -ENOMEM;
    return scram_put_b64(out, "v=", signature, SCRAM_KEY);
}

int scram_final(struct scram *s, struct str message, struct buf *out)
{
    struct str rest = message, c, nonce, proof, last = {NULL, 0};
    if (message.len > SCRAM_MESSAGE_MAX || memchr(message.p, '\0', message.len))
        return -EINVAL;
    if (!scram_attribute(scram_next_part(&rest), 'c', &c) || !scram_attribute(scram_next_part(&rest), 'r', &nonce))
        return -EINVAL;
    while (rest.len) /* extensions may stand between; the proof is the last */
        last = scram_next_part(&rest);
    if (!scram_attribute(last, 'p', &proof))
        return -EINVAL;
    int r = check_channel(s, c);
    if (r < 0)
        return r;
    if (!str_eq(nonce, buf_str(&s->nonce)))
        return -EPERM;
    /* The signature is over everything in front of ",p=". */
    return check_proof(s, str_upto(message, message.len - last.len - 1), proof, out);
}
