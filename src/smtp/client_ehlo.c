#include "smtp/client_ehlo.h"

#include "base/buf.h"

/* Takes the next word off *rest; empty at the end. */
static struct str next_word(struct str *rest)
{
    *rest = str_trim(*rest);
    ssize_t space = str_find(*rest, ' ');
    struct str word = space < 0 ? *rest : str_upto(*rest, (size_t)space);
    *rest = str_from(*rest, word.len);
    return word;
}

/* A number that does not parse says nothing: the extension is offered, its limit unknown. */
static uint64_t number_or_0(struct str s)
{
    uint64_t v = 0;
    return str_to_u64(s, INT64_MAX, &v) == 0 ? v : 0;
}

static void read_size(struct smtp_capabilities *caps, struct str args)
{
    caps->size_max = number_or_0(next_word(&args));
}

static void read_deliverby(struct smtp_capabilities *caps, struct str args)
{
    caps->by_seconds_min = number_or_0(next_word(&args));
}

static void read_futurerelease(struct smtp_capabilities *caps, struct str args)
{
    caps->hold_seconds_max = number_or_0(next_word(&args));
}

static bool is_mechanism(struct str word)
{
    static const char legal[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < word.len; i++)
        if (!memchr(legal, word.p[i], sizeof(legal) - 1))
            return false;
    return word.len > 0 && word.len <= 20; /* RFC 4422 section 3.1 */
}

static void add_mechanism(struct smtp_capabilities *caps, struct str word)
{
    size_t len = strlen(caps->mechanisms);
    if (len + word.len + 2 > sizeof(caps->mechanisms))
        return;
    if (len)
        caps->mechanisms[len++] = ' ';
    for (size_t i = 0; i < word.len; i++) {
        char c = word.p[i];
        caps->mechanisms[len + i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    caps->mechanisms[len + word.len] = '\0';
}

static void read_auth(struct smtp_capabilities *caps, struct str args)
{
    for (struct str word; (word = next_word(&args)).len;)
        if (is_mechanism(word))
            add_mechanism(caps, word);
}

/* [rfc9422 3] Unknown and malformed limits are ignored (LIM-01). */
static void read_limits(struct smtp_capabilities *caps, struct str args)
{
    const struct {
        struct str name;
        uint64_t *value;
    } limits[] = {
        {STR("MAILMAX="),       &caps->mail_max  },
        {STR("RCPTMAX="),       &caps->rcpt_max  },
        {STR("RCPTDOMAINMAX="), &caps->domain_max},
    };
    for (struct str word; (word = next_word(&args)).len;)
        for (size_t i = 0; i < ARRAY_LEN(limits); i++)
            if (str_starts_nocase(word, limits[i].name))
                *limits[i].value = number_or_0(str_from(word, limits[i].name.len));
}

/* Extensions whose line has more than the keyword for us. */
static void (*const readers[SMTP_EXT_COUNT])(struct smtp_capabilities *caps, struct str args) = {
    [SMTP_EXT_AUTH] = read_auth,
    [SMTP_EXT_DELIVERBY] = read_deliverby,
    [SMTP_EXT_FUTURERELEASE] = read_futurerelease,
    [SMTP_EXT_LIMITS] = read_limits,
    [SMTP_EXT_SIZE] = read_size,
};

static void read_line(struct smtp_capabilities *caps, struct str line)
{
    struct str args = line;
    struct str keyword = next_word(&args);
    /* The form "AUTH=LOGIN" is older than RFC 2554; servers list it beside the right one. */
    if (str_starts_nocase(keyword, STR("AUTH="))) {
        args = str_from(str_trim(line), 5);
        keyword = STR("AUTH");
    }
    for (enum smtp_extension e = 0; e < SMTP_EXT_COUNT; e++) {
        if (!str_eq_nocase(keyword, str_of(smtp_extension_name(e))))
            continue;
        caps->offered |= SMTP_SET(e);
        if (readers[e])
            readers[e](caps, args);
        return;
    }
}

static struct str next_line(struct str *rest)
{
    ssize_t lf = str_find(*rest, '\n');
    struct str line = lf < 0 ? *rest : str_upto(*rest, (size_t)lf);
    *rest = str_from(*rest, line.len + 1);
    return line;
}

void smtp_capabilities_read(struct smtp_capabilities *caps, struct str text)
{
    *caps = (struct smtp_capabilities){0};
    (void)next_line(&text); /* the server's name and greeting */
    while (text.len)
        read_line(caps, next_line(&text));
}

bool smtp_offers(const struct smtp_capabilities *caps, enum smtp_extension ext)
{
    return smtp_set_has(caps->offered, ext);
}

bool smtp_offers_mechanism(const struct smtp_capabilities *caps, const char *mechanism)
{
    struct str rest = str_of(caps->mechanisms);
    for (struct str word; (word = next_word(&rest)).len;)
        if (str_eq(word, str_of(mechanism)))
            return true;
    return false;
}
