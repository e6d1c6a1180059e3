#include "operations.h"
#define TODO(n) void n(struct stream *s, struct reader *r) { (void)r; stream_close_with(s, RESULT_UNSUPPORTED, 0, "not available"); }
TODO(directory_list) TODO(tree_remove) TODO(tree_chown) TODO(xattr_get) TODO(xattr_set) TODO(directory_watch)
TODO(dial) TODO(network_set) TODO(configure) TODO(clock_set) TODO(entropy_add) TODO(system_sync) TODO(system_freeze) TODO(system_thaw)
TODO(system_metrics) TODO(system_info)
