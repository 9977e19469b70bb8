/* cmd_probe.h - `postern probe`: which rule for client certificates does a server follow? */
#ifndef POSTERN_CMD_PROBE_H
#define POSTERN_CMD_PROBE_H

int cmd_probe(
    int argc,
    char **argv); /* 0 conforming, 1 not conforming, 2 could not tell; or of <sysexits.h> */

#endif
