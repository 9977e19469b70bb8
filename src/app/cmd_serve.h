/* cmd_serve.h - `postern serve`: wires configuration, spool, relay and service, and obeys signals. */
#ifndef POSTERN_CMD_SERVE_H
#define POSTERN_CMD_SERVE_H

int cmd_serve(int argc, char **argv);

#endif
