#include "conf/suggest.h"

#include <string.h>

#define WORD_MAX 40

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    return MIN(MIN(a, b), c);
}

/* Edit distance with swaps of neighbours; both words at most WORD_MAX long. */
static unsigned distance(const char *a, size_t la, const char *b, size_t lb)
{
    unsigned rows[WORD_MAX + 1][WORD_MAX + 1];
    for (unsigned i = 0; i <= la; i++)
        rows[i][0] = i;
    for (unsigned j = 0; j <= lb; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= la; i++) {
        for (size_t j = 1; j <= lb; j++) {
            unsigned change = rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            rows[i][j] = least(rows[i - 1][j] + 1, rows[i][j - 1] + 1, change);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                rows[i][j] = MIN(rows[i][j], rows[i - 2][j - 2] + 1);
        }
    }
    return rows[la][lb];
}

const char *suggest(const char *word, const char *const *known, size_t n_known)
{
    size_t len = strlen(word);
    if (len > WORD_MAX)
        return NULL;
    const char *best = NULL;
    unsigned least_slips = (unsigned)(len / 3) + 1;
    for (size_t i = 0; i < n_known; i++) {
        size_t known_len = strlen(known[i]);
        if (known_len > WORD_MAX)
            continue;
        unsigned slips = distance(word, len, known[i], known_len);
        if (slips < least_slips) {
            least_slips = slips;
            best = known[i];
        }
    }
    return best;
}
