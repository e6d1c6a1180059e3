#include "hosts.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The agent's own line, whole: a line that only mentions the mark is not its own. */
#define OWN_START "127.0.1.1 "
#define OWN_END " # dormouse"
#define MAX_NAME_BYTES 128
#define LOCALHOST "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"

/* The bytes of the line at `at`, its newline not counted. */
static size_t line_length(const char *at, const char *end)
{
	const char *newline = memchr(at, '\n', (size_t)(end - at));
	return newline ? (size_t)(newline - at) : (size_t)(end - at);
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* The next word of a line, at `*word`; 0: there is none. */
static size_t next_word(const char **word, const char *end)
{
	const char *at = *word;
	while (at < end && is_blank(*at))
		at++;
	*word = at;
	while (at < end && !is_blank(*at) && *at != '\r')
		at++;
	return (size_t)(at - *word);
}

static bool word_is(const char *word, size_t length, const char *text)
{
	return length == strlen(text) && memcmp(word, text, length) == 0;
}

static bool is_own(const char *line, size_t length)
{
	size_t start = strlen(OWN_START);
	size_t end = strlen(OWN_END);
	return length > start + end && memcmp(line, OWN_START, start) == 0 && memcmp(line + length - end, OWN_END, end) == 0;
}

static bool names_localhost(const char *text, const char *end)
{
	while (text < end) {
		size_t length = line_length(text, end);
		const char *word = text;
		size_t bytes = next_word(&word, text + length);
		if (word_is(word, bytes, "127.0.0.1"))
			return true;
		text += length + (text + length < end);
	}
	return false;
}

char *hosts_with_name(const char *old, size_t length, const char *name, size_t *new_length)
{
	const char *end = old + length;
	char own[sizeof OWN_START + MAX_NAME_BYTES + sizeof OWN_END];
	size_t own_length = (size_t)snprintf(own, sizeof own, OWN_START "%.*s" OWN_END "\n", MAX_NAME_BYTES, name);
	char *new = malloc(length + own_length + sizeof LOCALHOST + 1);
	if (!new)
		return NULL;
	size_t at = 0;
	bool said = false;
	if (!names_localhost(old, end)) {
		memcpy(new, LOCALHOST, strlen(LOCALHOST));
		at = strlen(LOCALHOST);
	}
	for (const char *line = old; line < end;) {
		size_t bytes = line_length(line, end);
		bool own_line = is_own(line, bytes);
		bytes += line + bytes < end;
		if (!own_line) {
			memcpy(new + at, line, bytes);
			at += bytes;
		} else if (!said) {
			memcpy(new + at, own, own_length);
			at += own_length;
			said = true;
		}
		line += bytes;
	}
	if (!said) {
		if (at && new[at - 1] != '\n')
			new[at++] = '\n';
		memcpy(new + at, own, own_length);
		at += own_length;
	}
	*new_length = at;
	return new;
}

bool resolv_names_server(const char *text, size_t length, const char *address)
{
	const char *end = text + length;
	while (text < end) {
		size_t bytes = line_length(text, end);
		const char *word = text;
		size_t first = next_word(&word, text + bytes);
		if (word_is(word, first, "nameserver")) {
			word += first;
			size_t second = next_word(&word, text + bytes);
			if (word_is(word, second, address))
				return true;
		}
		text += bytes + (text + bytes < end);
	}
	return false;
}
