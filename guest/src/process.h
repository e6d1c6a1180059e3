/* The processes started through the link, their output, input and end. Main thread only. */
#ifndef DORMOUSE_PROCESS_H
#define DORMOUSE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "loop.h"
#include "packet.h"
#include "ring.h"
#include "spawn.h"
#include "stream.h"

struct process;

/* One pipe or terminal the process writes to. */
struct process_output {
	struct source source;     /* fd -1: closed or never open */
	struct process *process;
	uint8_t channel;
	bool readable;
	uint64_t until_end;       /* bytes that stood in the pipe when the process ended */
};

/* A stream that follows the process; STARTED has been queued for it. */
struct attachment {
	struct attachment *next;
	struct process *process;
	struct stream *stream;
	uint64_t position;        /* of the next byte of the ring to send */
	bool owns_input;          /* its END closes the input */
};

/* Bytes on their way to the process. */
struct input_piece {
	struct input_piece *next;
	struct stream *stream;    /* who gets the credit back; NULL when it is gone */
	bool close_input;         /* when written: end of input */
	bool close_stream;        /* when written: the stream is done */
	uint32_t length;
	uint32_t offset;
	uint8_t data[];
};

struct process_input {
	struct source source;     /* the pipe; for a terminal fd -1, the output's is used */
	struct input_piece *first;
	struct input_piece *last;
	bool open;
	bool blocked;
};

struct process {
	struct process *next;
	uint64_t serial;          /* unlike the pid, never used again */
	pid_t pid;
	bool running;
	bool pty;
	bool unlisted;            /* nobody's business but its starter's */
	bool forgotten;           /* kept only to empty pipes that others still hold */
	bool superseded;          /* another has its pid by now; kept for the streams that follow it */
	uint64_t left_order;      /* of those that ended and that no stream follows, the lowest goes first */
	int32_t exit_code;
	int32_t signal;
	bool core_dumped;
	int64_t start_time_ms;
	uint8_t *description;     /* wire form of the PROCESS message from `tag` on */
	uint32_t description_bytes;
	struct process_output outputs[2];
	struct process_input input;
	struct ring ring;
	struct attachment *attachments;
	bool end_marked;
	uint64_t end_position;    /* output before this belongs before EXITED */
	bool young;               /* just started: what others send makes room for it */
	struct timer youth;
	struct timer retention;
	struct timer terminal_grace;
	struct timer rest;        /* armed: its pipes wake nobody until it fires */
	uint64_t last_output_ms;
	struct task pump_task;
};

extern struct process *process_first;

bool process_init(void);
struct process *process_find(uint32_t pid);
uint32_t process_running_count(void);
/* A start that is under way. The reaper leaves its child alone. */
struct starting {
	struct starting *next;
	struct spawn *spawn;
	bool hurried;             /* what others send makes room for it, for a while */
	struct timer hurry;
};

void process_starting(struct starting *starting, struct spawn *spawn);
void process_started(struct starting *starting);
/* Takes over the descriptors and the number of a program just spawned; NULL: memory is short. */
struct process *process_adopt(const struct spawn *spawn, uint8_t *description, uint32_t description_bytes,
			      uint32_t ring_bytes);
void process_attach_stream(struct process *process, struct stream *stream, uint64_t position, bool owns_input);

/* process-output.c */
void process_output_open(struct process *process, struct process_output *output, int fd, uint8_t channel);
void process_pump(struct process *process);
/* The process itself has ended: what is in its pipes now still belongs to it. */
void process_output_ended(struct process *process);
bool process_output_drained(const struct process *process);

/* process-input.c */
void process_input_open(struct process *process, int fd);
void process_input_write(struct process *process, struct stream *stream, const uint8_t *data, uint32_t length);
/* End of what a stream sends; optionally of the input, and of the stream. */
void process_input_finish(struct process *process, struct stream *stream, bool close_input, bool close_stream);
void process_input_ready(struct process *process);
void process_input_shut(struct process *process);
void process_input_forget_stream(struct process *process, const struct stream *stream);

#endif
