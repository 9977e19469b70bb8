/* Who is sending: the names a program without a configuration has to go by. */
#include "app/cmd_send_internal.h"

#include "base/b64.h"
#include "conf/value.h"

#include <pwd.h>

#define WORD_OCTETS                                                                                \
    42 /* of a name in one encoded word: its base64 and what is around it stay below 75 */

/* The machine's own name, without asking the network: a name server that is away must not hold up a mail. */
static void read_hostname(struct send_self *self)
{
    char name[256] = "";
    bool known = gethostname(name, sizeof(name) - 1) == 0 && value_is_domain(name);
    (void)snprintf(self->hostname, sizeof(self->hostname), "%s", known ? name : "localhost");
}

void send_self_read(struct send_self *self)
{
    *self = (struct send_self){0};
    read_hostname(self);
    const struct passwd *pw = getpwuid(getuid());
    const char *user = pw ? pw->pw_name : getenv("LOGNAME");
    (void)snprintf(self->user, sizeof(self->user), "%s", user && *user ? user : "nobody");
    if (!pw || !pw->pw_gecos)
        return;
    struct str gecos = str_upto(str_of(pw->pw_gecos), strcspn(pw->pw_gecos, ","));
    if (str_is_utf8(gecos) && !str_has_control(gecos))
        (void)snprintf(self->full_name, sizeof(self->full_name), "%.*s", STR_FMT(gecos));
}

/* ---- the From field ---- */

static bool is_plain_phrase(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && !strchr(" !#$%&'*+-/=?^_`{|}~", c))
            return false;
    }
    return true;
}

static int put_quoted(struct str name, struct buf *out)
{
    int r = buf_puts(out, "\"");
    for (size_t i = 0; r == 0 && i < name.len; i++) {
        if (name.p[i] == '"' || name.p[i] == '\\')
            r = buf_puts(out, "\\");
        if (r == 0)
            r = buf_append(out, &name.p[i], 1);
    }
    return r < 0 ? r : buf_puts(out, "\"");
}

/* As many whole characters as fit. */
static size_t word_octets(struct str name)
{
    size_t n = MIN(name.len, (size_t)WORD_OCTETS);
    while (n < name.len && n > 0 && ((unsigned char)name.p[n] & 0xc0) == 0x80)
        n--;
    return n;
}

static int put_encoded(struct str name, struct buf *out)
{
    int r = 0;
    for (bool first = true; r == 0 && name.len; first = false) {
        struct str piece = str_upto(name, word_octets(name));
        r = buf_puts(out, first ? "=?utf-8?B?" : "\r\n =?utf-8?B?");
        if (r == 0)
            r = b64_encode(piece, out);
        if (r == 0)
            r = buf_puts(out, "?=");
        name = str_from(name, piece.len);
    }
    return r;
}

int send_from_field(const char *name, const char *address, struct buf *out)
{
    struct str s = str_of(name);
    if (!name || s.len == 0)
        return buf_puts(out, address);
    int r = !str_is_ascii(s)     ? put_encoded(s, out)
            : is_plain_phrase(s) ? buf_append_str(out, s)
                                 : put_quoted(s, out);
    return r < 0 ? r : buf_printf(out, " <%s>", address);
}
