/* cmd_check.h - `postern check -c FILE [--json]`: every mistake of a configuration, without starting anything. */
#ifndef POSTERN_CMD_CHECK_H
#define POSTERN_CMD_CHECK_H

int cmd_check(int argc, char **argv); /* returns a code of <sysexits.h> */

#endif
