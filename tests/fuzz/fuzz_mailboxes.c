/* From and Sender fields.  What was completed is complete, and names as many as before. */
#include "message/mailboxes.h"

#include <stdlib.h>

#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static int each(void *arg, struct str address)
{
    must(++*(int *)arg > 0);
    must(address.len >= 3 && str_find(address, '@') > 0 && str_is_utf8(address));
    return 0;
}

static int any(void *arg, struct str address)
{
    (void)address;
    return ++*(int *)arg > 0 ? 0 : -1;
}

static void check_completing(struct str body)
{
    struct buf out = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
    int had = 0, has = 0;
    int had_r = mailboxes_each_unqualified(body, any, &had);
    int r = mailboxes_complete(body, "x.org", &out);
    must(r < 0 || (had_r == had && r <= had));
    if (r >= 0) {
        must(mailboxes_each(buf_str(&out), each, &has) == had && has == had);
        must(mailboxes_complete(buf_str(&out), "y.org", &again) == 0);
        must(str_eq(buf_str(&out), buf_str(&again)));
    }
    buf_done(&out);
    buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int found = 0, r = mailboxes_each((struct str){(const char *)data, size}, each, &found);
    must(r < 0 || r == found);
    check_completing((struct str){(const char *)data, size});
    return 0;
}
