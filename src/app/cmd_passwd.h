/* cmd_passwd.h - postern passwd: adds, changes and removes users of a password table. */
#ifndef POSTERN_CMD_PASSWD_H
#define POSTERN_CMD_PASSWD_H

int cmd_passwd(int argc, char **argv);

#endif
