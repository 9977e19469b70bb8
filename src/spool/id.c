#include "spool/id.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define EPOCH_MS 1577836800000 /* 2020-01-01T00:00:00Z */
#define LOW_BITS 18

/* In the order of ASCII; i, l, o and u are left out because people read these aloud. */
static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

void id_source_init(struct id_source *s, int64_t floor)
{
    atomic_init(&s->last, floor);
}

/* The low bits start at random in each millisecond: should the clock be set back and the spool be empty, an id is
 * still unlikely to be given twice, and neighbours in a list differ where the eye looks first. */
static int64_t low_bits(void)
{
    static _Thread_local uint64_t state;
    if (state == 0 && getrandom(&state, sizeof(state), 0) != (ssize_t)sizeof(state))
        state = (uint64_t)(uintptr_t)&state;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (int64_t)(state & ((1u << LOW_BITS) - 1));
}

int64_t id_next(struct id_source *s, int64_t wall_ms)
{
    int64_t fresh = ((MAX(wall_ms, EPOCH_MS) - EPOCH_MS) << LOW_BITS) | low_bits();
    int64_t last = atomic_load_explicit(&s->last, memory_order_relaxed);
    int64_t id;
    do {
        id = MAX(fresh, last + 1);
    } while (!atomic_compare_exchange_weak_explicit(&s->last, &last, id, memory_order_relaxed,
                                                    memory_order_relaxed));
    return id;
}

void id_format(int64_t id, char text[ID_TEXT_LEN + 1])
{
    for (int i = ID_TEXT_LEN; i-- > 0; id >>= 5)
        text[i] = digits[id & 31];
    text[ID_TEXT_LEN] = '\0';
}

int id_parse(const char *text, int64_t *ret)
{
    if (strlen(text) != ID_TEXT_LEN)
        return -EINVAL;
    int64_t id = 0;
    for (int i = 0; i < ID_TEXT_LEN; i++) {
        const char *d = strchr(digits, text[i]);
        if (!d)
            return -EINVAL;
        id = id << 5 | (d - digits);
    }
    *ret = id;
    return 0;
}
