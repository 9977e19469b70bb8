/* cmd_cert.h - `postern cert`: a small CA in a directory, and what the server would make of a certificate. */
#ifndef POSTERN_CMD_CERT_H
#define POSTERN_CMD_CERT_H

int cmd_cert(int argc, char **argv); /* returns a code of <sysexits.h> */

#endif
