/* From and Sender fields. */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int found = 0, r = mailboxes_each((struct str){(const char *)data, size}, each, &found);
    must(r < 0 || r == found);
    return 0;
}
