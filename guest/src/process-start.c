/* PROCESS_START: from the request's arguments to a process in the table. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "environment.h"
#include "job.h"
#include "operations.h"
#include "path.h"
#include "process.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define STANDARD_VARIABLES 6u
#define MIN_RING_BYTES 4096u

struct start {
	struct job job;
	/* The request; strings point into `arguments`. */
	uint8_t *arguments;
	uint32_t flags;
	uint16_t cols, rows;
	uint32_t ring_bytes;
	const char *user_name;
	const char *cwd;
	const char *tag;
	uint32_t argc;
	char **argv;
	uint32_t envc;
	char **env;              /* the request's */
	struct environment base; /* a copy of the sandbox's */
	struct starting starting;
	bool abandoned;          /* its stream was told that it was cancelled */
	/* The outcome. */
	struct user user;
	char path[MAX_PATH_BYTES + 1];
	struct spawn spawn;
	uint8_t *description;
	uint32_t description_bytes;
};

/* Reads a counted list of strings; NULL terminated. NULL and r->bad when it does not hold. */
static char **read_list(struct reader *r, uint32_t *count)
{
	*count = read_u32(r);
	if (r->bad || *count > (size_t)(r->end - r->at) / 4) {
		r->bad = true;
		*count = 0;
		return NULL;
	}
	char **list = calloc((size_t)*count + 1, sizeof *list);
	for (uint32_t i = 0; list && i < *count; i++)
		list[i] = read_string(r, MAX_PAYLOAD);
	return list;
}

static bool parse(struct start *start, uint32_t length)
{
	struct reader r = reader_over(start->arguments, length);
	start->flags = read_u32(&r);
	start->cols = read_u16(&r);
	start->rows = read_u16(&r);
	start->ring_bytes = read_u32(&r);
	start->user_name = read_string(&r, MAX_USER_BYTES);
	start->cwd = read_string(&r, MAX_PATH_BYTES);
	start->tag = read_string(&r, MAX_PAYLOAD);
	start->argv = read_list(&r, &start->argc);
	start->env = read_list(&r, &start->envc);
	if (start->ring_bytes == 0)
		start->ring_bytes = DEFAULT_RING_BYTES;
	else if (start->ring_bytes < MIN_RING_BYTES)
		start->ring_bytes = MIN_RING_BYTES;
	for (uint32_t i = 0; start->env && i < start->envc; i++)
		if (start->env[i][0] == '=' || !strchr(start->env[i], '='))
			r.bad = true;
	return reader_done(&r) && start->argv && start->env && start->argc >= 1 && start->argv[0][0] &&
	       start->ring_bytes <= MAX_RING_BYTES && !(start->flags & ~(START_PTY | START_STDIN | START_UNLISTED));
}

static const char *variable(char *const *list, const char *name_and_equals)
{
	size_t length = strlen(name_and_equals);
	for (; *list; list++)
		if (strncmp(*list, name_and_equals, length) == 0)
			return *list + length;
	return "";
}

/* The wire form of what PROCESS_LIST tells about it, from `tag` on. */
static bool describe(struct start *start)
{
	uint32_t fixed = 24;
	uint32_t capacity = MAX_PAYLOAD - MESSAGE_HEADER_BYTES - fixed;
	uint32_t need = 16 + (uint32_t)(strlen(start->tag) + strlen(start->user.name) + strlen(start->path));
	uint32_t argc = 0;
	/* Arguments that would not fit a message are left out of the listing. */
	while (argc < start->argc && need + 4 + strlen(start->argv[argc]) <= capacity)
		need += 4 + (uint32_t)strlen(start->argv[argc++]);
	start->description = malloc(need);
	if (!start->description)
		return false;
	struct writer w = { .data = start->description, .capacity = need };
	write_string(&w, start->tag);
	write_string(&w, start->user.name);
	write_string(&w, start->path);
	write_u32(&w, argc);
	for (uint32_t i = 0; i < argc; i++)
		write_string(&w, start->argv[i]);
	start->description_bytes = w.length;
	return !w.full;
}

static void explain(struct start *start)
{
	struct result *result = &start->job.result;
	int error = start->spawn.error;
	const char *command = start->argv[0];
	switch (start->spawn.stage) {
	case SPAWN_CWD:
		if (error == ENOENT || error == ENOTDIR)
			result_fail(result, RESULT_CWD_NOT_FOUND, error, "cwd '%s' does not exist", start->path);
		else
			result_errno(result, error, start->path);
		break;
	case SPAWN_EXEC:
		if (error == ENOENT || error == ENOTDIR)
			result_fail(result, RESULT_COMMAND_NOT_FOUND, error, "%.*s: command not found", 4096, command);
		else if (error == ENOEXEC || error == E2BIG)
			result_fail(result, RESULT_INVALID_ARGUMENT, error, "%.*s: %s", 4096, command, strerror(error));
		else
			result_errno(result, error, command);
		break;
	default:
		result_errno(result, error, "start");
	}
}

static bool expand_cwd(struct start *start)
{
	char workdir[MAX_PATH_BYTES + 1];
	const char *cwd = start->cwd;
	if (!*cwd) {
		settings_workdir(workdir, sizeof workdir);
		cwd = workdir;
	}
	/* Without any directory asked for, a missing home is no reason to fail. */
	start->spawn.cwd_optional = !*cwd;
	return path_expand(*cwd ? cwd : "~", start->user.home, start->path, sizeof start->path);
}

static enum job_next run(struct start *start, char **env)
{
	char home[sizeof start->user.home + 8], shell[sizeof start->user.shell + 8];
	char user[sizeof start->user.name + 8], logname[sizeof start->user.name + 8];
	gid_t groups[MAX_GROUPS];
	uint32_t count = 0;
	struct {
		const char *name;
		const char *value;
		char *space;
		size_t size;
	} standard[] = {
		{ "HOME=", start->user.home, home, sizeof home },
		{ "USER=", start->user.name, user, sizeof user },
		{ "LOGNAME=", start->user.name, logname, sizeof logname },
		{ "SHELL=", start->user.shell, shell, sizeof shell },
	};
	static char standard_path[] = "PATH=" DEFAULT_PATH;
	static char terminal_type[] = "TERM=xterm-256color";
	env[count++] = standard_path;
	for (size_t i = 0; i < sizeof standard / sizeof standard[0]; i++) {
		size_t name = strlen(standard[i].name);
		memcpy(standard[i].space, standard[i].name, name);
		copy_string(standard[i].space + name, standard[i].size - name, standard[i].value);
		env[count++] = standard[i].space;
	}
	if (start->flags & START_PTY)
		env[count++] = terminal_type;
	char *at = start->base.strings;
	for (uint32_t i = 0; i < start->base.count; i++, at += strlen(at) + 1)
		env[count++] = at;
	for (uint32_t i = 0; i < start->envc; i++)
		env[count++] = start->env[i];
	/* Later values win. */
	if (!environment_unique(env, &count))
		return job_fail(&start->job, ENOMEM, "start");
	env[count] = NULL;

	struct spawn *s = &start->spawn;
	s->user = &start->user;
	s->groups = groups;
	s->group_count = user_groups(&start->user, groups, MAX_GROUPS);
	s->cwd = start->path;
	s->argv = start->argv;
	s->env = env;
	s->path = variable(env, "PATH=");
	s->pty = start->flags & START_PTY;
	s->stdin_open = start->flags & START_STDIN;
	s->unlisted = start->flags & START_UNLISTED;
	s->cols = start->cols;
	s->rows = start->rows;
	/* Looking up the user may have taken long. */
	if (job_cancelled(&start->job))
		return job_cancel(&start->job);
	if (!spawn(s)) {
		explain(start);
		s->pid = -1;
		return JOB_DONE;
	}
	return job_ok(&start->job);
}

static enum job_next step(struct job *job)
{
	struct start *start = container_of(job, struct start, job);
	start->spawn.pid = -1;
	if (job_cancelled(job))
		return job_cancel(job);
	if (!user_find(start->user_name, &start->user, &job->result))
		return JOB_DONE;
	if (!expand_cwd(start))
		return job_invalid(job, "working directory too long");
	char **env = calloc(STANDARD_VARIABLES + (size_t)start->base.count + start->envc + 1, sizeof *env);
	if (!env || !describe(start)) {
		free(env);
		return job_fail(job, ENOMEM, "start");
	}
	enum job_next next = run(start, env);
	free(env);
	return next;
}

static void close_descriptors(const struct spawn *spawn)
{
	int fds[] = { spawn->terminal_fd, spawn->stdin_fd, spawn->stdout_fd, spawn->stderr_fd };
	for (int i = 0; i < 4; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* The host was told that the program did not start, so it must not run later. */
static void abandoned(struct job *job)
{
	struct start *start = container_of(job, struct start, job);
	start->abandoned = true;
	if (start->spawn.born > 0)
		kill(start->spawn.born, SIGKILL);
}

/* The program runs, whether or not a stream still waits for it. */
static struct process *adopt(struct start *start)
{
	struct process *process = NULL;
	if (!start->abandoned)
		process = process_adopt(&start->spawn, start->description, start->description_bytes, start->ring_bytes);
	if (process) {
		start->description = NULL;
		return process;
	}
	close_descriptors(&start->spawn);
	kill(start->spawn.pid, SIGKILL);
	kill(-start->spawn.pid, SIGKILL);
	result_errno(&start->job.result, ENOMEM, "start");
	return NULL;
}

static bool finish(struct job *job)
{
	struct start *start = container_of(job, struct start, job);
	struct process *process = start->spawn.pid > 0 ? adopt(start) : NULL;
	struct stream *stream = job->stream;
	bool took = process && stream && !job_cancelled(job);
	if (took) {
		bool ended;
		struct packet_list input = job_take_input(job, &ended);
		job->stream = NULL;
		process_attach_stream(process, stream, 0, true);
		for (struct packet *packet = packet_take(&input); packet; packet = packet_take(&input)) {
			if (stream->ops)
				process_input_write(process, stream, packet->data, packet->length);
			packet_free(packet);
		}
		if (ended && stream->ops)
			stream->ops->end(stream);
	} else if (process && stream) {
		result_fail(&job->result, RESULT_CANCELLED, 0, "cancelled");
	}
	process_started(&start->starting);
	return took;
}

static void dispose(struct job *job)
{
	struct start *start = container_of(job, struct start, job);
	free(start->arguments);
	free(start->argv);
	free(start->env);
	free(start->base.strings);
	free(start->description);
}

static const struct job_ops ops = { .lane = LANE_SPAWN, .step = step, .finish = finish, .abandoned = abandoned, .dispose = dispose };

static bool copy_environment(struct environment *to)
{
	const struct environment *from = settings_environment();
	to->strings = malloc(from->bytes + 1);
	if (!to->strings)
		return false;
	if (from->bytes)
		memcpy(to->strings, from->strings, from->bytes);
	to->bytes = from->bytes;
	to->count = from->count;
	return true;
}

void process_start(struct stream *stream, struct reader *arguments)
{
	size_t length = (size_t)(arguments->end - arguments->at);
	struct start *start = job_new(sizeof *start, &ops);
	if (start)
		start->arguments = malloc(length + 1);
	if (!start || !start->arguments || !copy_environment(&start->base)) {
		if (start)
			dispose(&start->job);
		free(start);
		stream_close_with(stream, RESULT_RESOURCE_EXHAUSTED, ENOMEM, "start: memory is short");
		return;
	}
	memcpy(start->arguments, arguments->at, length);
	if (!parse(start, (uint32_t)length)) {
		dispose(&start->job);
		free(start);
		stream_close_with(stream, RESULT_INVALID_ARGUMENT, 0, "malformed arguments");
		return;
	}
	process_starting(&start->starting, &start->spawn);
	job_start(&start->job, stream);
}
