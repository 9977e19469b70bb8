/* cmd_probe_client.h - `postern probe client`: plays each kind of server, and tells what the client did. */
#ifndef POSTERN_CMD_PROBE_CLIENT_H
#define POSTERN_CMD_PROBE_CLIENT_H

int cmd_probe_client(int argc, char **argv);

#endif
