/* cmd_bench.h - `postern bench`: a load generator, and a sink for it to end in. */
#ifndef POSTERN_CMD_BENCH_H
#define POSTERN_CMD_BENCH_H

int cmd_bench(int argc, char **argv); /* returns a code of <sysexits.h> */

#endif
