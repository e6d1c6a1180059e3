#include "environment.h"

#include <stdlib.h>
#include <string.h>

static uint32_t hash(const char *name, size_t length)
{
	/* FNV-1a. */
	uint32_t value = 2166136261u;
	for (size_t i = 0; i < length; i++)
		value = (value ^ (uint8_t)name[i]) * 16777619u;
	return value;
}

static bool same_name(const char *a, const char *b, size_t length)
{
	return strncmp(a, b, length) == 0 && (b[length] == '=' || b[length] == 0);
}

bool environment_unique(char **list, uint32_t *count)
{
	uint32_t slots = 16;
	while (slots < *count * 2)
		slots *= 2;
	/* Positions in what is kept, and one more; 0: free. */
	uint32_t *table = calloc(slots, sizeof *table);
	if (!table)
		return false;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < *count; i++) {
		size_t length = strcspn(list[i], "=");
		uint32_t slot = hash(list[i], length) & (slots - 1);
		while (table[slot] && !same_name(list[i], list[table[slot] - 1], length))
			slot = (slot + 1) & (slots - 1);
		if (table[slot]) {
			list[table[slot] - 1] = list[i];
		} else {
			list[kept] = list[i];
			table[slot] = ++kept;
		}
	}
	free(table);
	*count = kept;
	return true;
}
