/* cmd_report.h - `postern report`: what the log tells about how clients log in. */
#ifndef POSTERN_CMD_REPORT_H
#define POSTERN_CMD_REPORT_H

int cmd_report(int argc, char **argv); /* returns a code of <sysexits.h> */

#endif
