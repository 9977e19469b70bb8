/* cmd_queue.h - `postern queue`: looks into the spool and steers it, beside the running server or without one. */
#ifndef POSTERN_CMD_QUEUE_H
#define POSTERN_CMD_QUEUE_H

int cmd_queue(int argc, char **argv); /* returns a code of <sysexits.h> */

#endif
