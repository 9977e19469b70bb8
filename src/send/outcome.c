#include "send/outcome.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

static bool starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

int outcome_exit_code(const struct smtp_outcome *o)
{
    static const struct {
        const char *enhanced; /* how it begins */
        int code;
    } codes[] = {
        {"5.1.1",  EX_NOUSER  },
        {"5.1.2",  EX_NOHOST  },
        {"5.1.3",  EX_NOUSER  },
        {"5.1.6",  EX_NOUSER  },
        {"5.1.10", EX_NOHOST  },
        {"5.2.1",  EX_NOUSER  },
        {"5.3.4",  EX_DATAERR },
        {"5.2.3",  EX_DATAERR },
        {"5.5.",   EX_PROTOCOL},
        {"5.6.",   EX_DATAERR },
        {"5.7.",   EX_NOPERM  },
    };
    if (o->code / 100 == 2)
        return EX_OK;
    if (o->code / 100 != 5)
        return EX_TEMPFAIL;
    size_t best = 0;
    int code = 0;
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        size_t len = strlen(codes[i].enhanced);
        if (len > best && starts(o->enhanced, codes[i].enhanced)) {
            best = len;
            code = codes[i].code;
        }
    }
    if (code)
        return code;
    if (o->code == 530 || o->code == 534 || o->code == 535 || o->code == 538)
        return EX_NOPERM;
    if (o->code == 552)
        return EX_DATAERR;
    return o->stage == SMTP_STAGE_RCPT && (o->code == 550 || o->code == 553) && !*o->enhanced
               ? EX_NOUSER
               : EX_UNAVAILABLE;
}

int outcome_worse(int a, int b)
{
    if (a == EX_OK || (a == EX_TEMPFAIL && b != EX_OK))
        return b;
    return a;
}

/* What may stand in a queue id of Postfix, Exim, Sendmail, ours, and the large providers. */
static size_t id_len(const char *s)
{
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@+/=");
}

void outcome_queue_id(const char *text, char ret[OUTCOME_ID_MAX])
{
    static const char *const in_front[] = {"queued as ", "id="};
    const char *id = NULL;
    size_t len = 0;
    for (size_t i = 0; !id && i < ARRAY_LEN(in_front); i++) {
        const char *at = strcasestr(text, in_front[i]);
        id = at ? at + strlen(in_front[i]) : NULL;
    }
    if (!id && strcasestr(text, " message accepted for delivery"))
        id = text;
    if (id && *id == '<')
        id++;
    if (id)
        len = MIN(id_len(id), OUTCOME_ID_MAX - 1);
    while (len > 0 && id[len - 1] == '.')
        len--;
    if (len > 0)
        memcpy(ret, id, len);
    ret[len] = '\0';
}
