/* What the confined agent has to start: says who it is, repeats its input, floods when called so. */
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char buffer[4096];
	ssize_t n;
	const char *name = argc ? argv[0] : "";
	(void)!write(1, name, strlen(name));
	(void)!write(2, "error", 5);
	if (strstr(name, "flood"))
		for (int i = 0; i < 4096; i++)
			(void)!write(i % 7 ? 1 : 2, buffer, sizeof buffer);
	if (strstr(name, "sleep"))
		sleep(1);
	while ((n = read(0, buffer, sizeof buffer)) > 0)
		(void)!write(1, buffer, (size_t)n);
	return 3;
}
