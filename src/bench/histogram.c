#include "bench/histogram.h"

#define OCTAVE_BITS 6
#define OCTAVE (1U << OCTAVE_BITS)

/* Slot n < 2 * OCTAVE is the value n; from there on 64 slots share each power of two. */
static size_t slot_of(uint64_t us)
{
    if (us < 2 * OCTAVE)
        return us;
    unsigned shift = 63 - (unsigned)__builtin_clzll(us) - OCTAVE_BITS;
    size_t slot = (size_t)shift * OCTAVE + (size_t)(us >> shift);
    return MIN(slot, (size_t)HISTOGRAM_SLOTS - 1);
}

/* The largest value that falls into the slot. */
static int64_t top_of(size_t slot)
{
    if (slot < 2 * OCTAVE)
        return (int64_t)slot;
    unsigned shift = (unsigned)(slot / OCTAVE) - 1;
    uint64_t base = (uint64_t)(slot % OCTAVE + OCTAVE) << shift;
    return (int64_t)(base + ((uint64_t)1 << shift) - 1);
}

void histogram_add(struct histogram *h, int64_t us)
{
    us = MAX(us, (int64_t)0);
    h->count++;
    h->sum_us += us;
    h->max_us = MAX(h->max_us, us);
    h->slots[slot_of((uint64_t)us)]++;
}

int64_t histogram_mean(const struct histogram *h)
{
    return h->count ? h->sum_us / (int64_t)h->count : 0;
}

int64_t histogram_percentile(const struct histogram *h, double percent)
{
    double wanted = (double)h->count * percent / 100;
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_SLOTS && h->count; i++) {
        seen += h->slots[i];
        if (h->slots[i] && (double)seen >= wanted)
            return MIN(top_of(i), h->max_us);
    }
    return 0;
}
