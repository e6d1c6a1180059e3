#include "operations.h"

#include "protocol.h"

static operation_start *const table[] = {
	[OP_PROCESS_START] = process_start,
	[OP_PROCESS_ATTACH] = process_attach,
	[OP_PROCESS_LIST] = process_list,
	[OP_PROCESS_SIGNAL] = process_signal,
	[OP_PROCESS_RESIZE] = process_resize,
	[OP_PROCESS_INPUT] = process_input,
	[OP_FILE_READ] = file_read,
	[OP_FILE_WRITE] = file_write,
	[OP_FILE_STAT] = file_stat,
	[OP_DIR_LIST] = directory_list,
	[OP_DIR_MAKE] = directory_make,
	[OP_FILE_RENAME] = file_rename,
	[OP_FILE_REMOVE] = tree_remove,
	[OP_FILE_CHMOD] = file_chmod,
	[OP_FILE_CHOWN] = tree_chown,
	[OP_FILE_SYMLINK] = file_symlink,
	[OP_XATTR_GET] = xattr_get,
	[OP_XATTR_SET] = xattr_set,
	[OP_DIR_WATCH] = directory_watch,
	[OP_DIAL] = dial,
	[OP_CONFIGURE] = configure,
	[OP_CLOCK_SET] = clock_set,
	[OP_ENTROPY_ADD] = entropy_add,
	[OP_SYNC] = system_sync,
	[OP_FREEZE] = system_freeze,
	[OP_THAW] = system_thaw,
	[OP_METRICS] = system_metrics,
	[OP_SHUTDOWN] = system_shutdown,
	[OP_INFO] = system_info,
	[OP_NETWORK] = network_set,
	[OP_HOLD] = system_hold,
	[OP_WAKE] = system_wake,
};

void operation_open(struct stream *stream, uint16_t operation, struct reader *arguments)
{
	if (operation >= sizeof table / sizeof table[0] || !table[operation]) {
		stream_close_with(stream, RESULT_UNSUPPORTED, 0, "unknown operation");
		return;
	}
	table[operation](stream, arguments);
}
