/* Runs one call in a process of its own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct text;

/* struct linux_dirent64 of getdents64(2) */
struct entry {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[];
};

bool wants_one_call(int argc, char **argv);
/* Returns the exit status. */
int one_call(char **argv);

/* Tries what the kernel can do, and adds "NAME=ERRNO NAME=ERRNO …" (probe.c). */
void probe(struct text *out);

/* Writes a tree to its output (read-tree.c). */
int call_read_tree(char **arguments);
/* Writes entries from its input into a directory (write-tree.c). */
int call_write_tree(char **arguments);

/* Removes a file or a tree, but no mount in it, and follows no symlink. -1 with errno; then a part of the tree may be removed. */
int remove_at(int directory, const char *name);
