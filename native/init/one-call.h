/* One call in a process of its own. */
#pragma once

#include <stdbool.h>

struct text;

bool wants_one_call(int argc, char **argv);
/* Gives the exit status. */
int one_call(char **argv);

/* Tries what the kernel does, and adds "NAME=ERRNO NAME=ERRNO …" (probe.c). */
void probe(struct text *out);

/* Writes a tree on its output (read-tree.c). */
int call_read_tree(char **arguments);
