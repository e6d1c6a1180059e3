/* The operations of PROTOCOL.md: one entry per number, each takes over its stream. */
#ifndef DORMOUSE_OPERATIONS_H
#define DORMOUSE_OPERATIONS_H

#include "stream.h"
#include "wire.h"

/* Hands a new stream to its operation. */
void operation_open(struct stream *stream, uint16_t operation, struct reader *arguments);

/* Each of these reads its own arguments and owns the stream from then on. */
typedef void operation_start(struct stream *stream, struct reader *arguments);

/* process.c, process-list.c */
operation_start process_start, process_attach, process_list, process_signal, process_resize, process_input;
/* file-read.c, file-write.c, file-ops.c, directory.c, tree.c, attributes.c, watch.c */
operation_start file_read, file_write, file_stat, file_rename, file_chmod, file_symlink;
operation_start directory_list, directory_make, tree_remove, tree_chown;
operation_start xattr_get, xattr_set, directory_watch;
/* dial.c, network.c */
operation_start dial, network_set;
/* system.c, entropy.c, hold.c, metrics.c, shutdown.c */
operation_start configure, clock_set, entropy_add, system_sync, system_freeze, system_thaw;
operation_start system_hold, system_wake, system_metrics, system_info, system_shutdown;

#endif
