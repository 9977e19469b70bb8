/* cmd_send.h - `postern send`: submits messages, by hand and in place of sendmail. */
#ifndef POSTERN_CMD_SEND_H
#define POSTERN_CMD_SEND_H

#define SENDMAIL_NAME "postern-sendmail" /* the program is this command when it is called so */

int cmd_send(int argc, char **argv); /* returns a code of <sysexits.h> */

#endif
