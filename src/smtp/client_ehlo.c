#include "smtp/client_ehlo.h"

#include "base/buf.h"

_Static_assert(SMTP_EXT_COUNT <= 32, "offered has a bit for each extension");

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

static const struct {
    const char *name;
    void (*read)(struct smtp_capabilities *caps, struct str args);
} extensions[SMTP_EXT_COUNT] = {
    [SMTP_EXT_8BITMIME] = {"8BITMIME",            NULL              },
    [SMTP_EXT_AUTH] = {"AUTH",                read_auth         },
    [SMTP_EXT_BINARYMIME] = {"BINARYMIME",          NULL              },
    [SMTP_EXT_BURL] = {"BURL",                NULL              },
    [SMTP_EXT_CHUNKING] = {"CHUNKING",            NULL              },
    [SMTP_EXT_DELIVERBY] = {"DELIVERBY",           read_deliverby    },
    [SMTP_EXT_DSN] = {"DSN",                 NULL              },
    [SMTP_EXT_ENHANCEDSTATUSCODES] = {"ENHANCEDSTATUSCODES", NULL              },
    [SMTP_EXT_ETRN] = {"ETRN",                NULL              },
    [SMTP_EXT_EXPN] = {"EXPN",                NULL              },
    [SMTP_EXT_FUTURERELEASE] = {"FUTURERELEASE",       read_futurerelease},
    [SMTP_EXT_HELP] = {"HELP",                NULL              },
    [SMTP_EXT_LIMITS] = {"LIMITS",              read_limits       },
    [SMTP_EXT_MT_PRIORITY] = {"MT-PRIORITY",         NULL              },
    [SMTP_EXT_PIPELINING] = {"PIPELINING",          NULL              },
    [SMTP_EXT_REQUIRETLS] = {"REQUIRETLS",          NULL              },
    [SMTP_EXT_SIZE] = {"SIZE",                read_size         },
    [SMTP_EXT_SMTPUTF8] = {"SMTPUTF8",            NULL              },
    [SMTP_EXT_STARTTLS] = {"STARTTLS",            NULL              },
    [SMTP_EXT_VRFY] = {"VRFY",                NULL              },
    [SMTP_EXT_XCLIENT] = {"XCLIENT",             NULL              },
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
    for (size_t i = 0; i < SMTP_EXT_COUNT; i++) {
        if (!str_eq_nocase(keyword, str_of(extensions[i].name)))
            continue;
        caps->offered |= 1U << i;
        if (extensions[i].read)
            extensions[i].read(caps, args);
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
    return caps->offered & (1U << ext);
}

bool smtp_offers_mechanism(const struct smtp_capabilities *caps, const char *mechanism)
{
    struct str rest = str_of(caps->mechanisms);
    for (struct str word; (word = next_word(&rest)).len;)
        if (str_eq(word, str_of(mechanism)))
            return true;
    return false;
}

const char *smtp_extension_name(enum smtp_extension ext)
{
    return extensions[ext].name;
}
