/* crc32c.h - the checksum CRC32C (Castagnoli): RFC 3720 12.1, RFC 9260 appendix A.  For headers of some kilobytes: bit by bit. */
#ifndef POSTERN_CRC32C_H
#define POSTERN_CRC32C_H

#include "base/str.h"

/* Of all pieces one after the other; begins with 0. */
uint32_t crc32c(uint32_t before, struct str piece);

#endif
