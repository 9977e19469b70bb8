#include "base/crc32c.h"

#define POLYNOMIAL 0x82f63b78U /* reflected */

uint32_t crc32c(uint32_t before, struct str piece)
{
    uint32_t crc = ~before;
    for (size_t i = 0; i < piece.len; i++) {
        crc ^= (unsigned char)piece.p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
    }
    return ~crc;
}
