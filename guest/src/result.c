#include "result.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void result_ok(struct result *result)
{
	result->code = RESULT_OK;
	result->error = 0;
	result->message[0] = 0;
}

void result_fail(struct result *result, enum result_code code, int error, const char *format, ...)
{
	va_list arguments;
	result->code = (uint16_t)code;
	result->error = error;
	va_start(arguments, format);
	vsnprintf(result->message, sizeof result->message, format, arguments);
	va_end(arguments);
}

enum result_code result_code_of(int error)
{
	switch (error) {
	case 0:
		return RESULT_OK;
	case ENOENT:
		return RESULT_NOT_FOUND;
	case EEXIST:
		return RESULT_ALREADY_EXISTS;
	case EACCES:
	case EPERM:
		return RESULT_PERMISSION_DENIED;
	case ENOTDIR:
		return RESULT_NOT_DIRECTORY;
	case EISDIR:
		return RESULT_IS_DIRECTORY;
	case ENOTEMPTY:
		return RESULT_NOT_EMPTY;
	case ENOSPC:
	case EDQUOT:
		return RESULT_NO_SPACE;
	case ESRCH:
		return RESULT_NO_SUCH_PROCESS;
	case ECANCELED:
		return RESULT_CANCELLED;
	case EOPNOTSUPP:
	case ENOSYS:
	case ENOTTY:
		return RESULT_UNSUPPORTED;
	case EBUSY:
	case ETXTBSY:
	case EXDEV:
		return RESULT_FAILED_PRECONDITION;
	case EINVAL:
	case ENAMETOOLONG:
	case EFBIG:
		return RESULT_INVALID_ARGUMENT;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case EAGAIN:
		return RESULT_RESOURCE_EXHAUSTED;
	case ECONNREFUSED:
		return RESULT_CONNECTION_REFUSED;
	case ETIMEDOUT:
		return RESULT_TIMED_OUT;
	case ELOOP:
		return RESULT_SYMLINK_LOOP;
	case EROFS:
		return RESULT_READ_ONLY;
	default:
		return RESULT_IO_ERROR;
	}
}

void result_errno(struct result *result, int error, const char *subject)
{
	/* %.*s bounds the subject so that the kernel's text always fits behind it. */
	result_fail(result, result_code_of(error), error, "%.*s: %s", (int)MAX_PATH_BYTES, subject, strerror(error));
}
