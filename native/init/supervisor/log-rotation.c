#define _GNU_SOURCE
#include "supervisor.h"

#include <stdio.h>
#include <sys/stat.h>

/* `packed`: the same file after the daemon has compressed it. */
static void numbered(char *out, size_t size, const char *log, uint32_t number, bool packed) {
  struct text text = {out, 0, size};
  text_add(&text, log);
  if (number) {
    text_add(&text, ".");
    text_add_number(&text, number, 1);
    if (packed)
      text_add(&text, ".gz");
  }
}

static bool is_taken(int directory, const char *log, uint32_t number) {
  char name[300];
  struct stat about;
  for (int packed = 0; packed < 2; packed++) {
    numbered(name, sizeof name, log, number, packed);
    if (fstatat(directory, name, &about, AT_SYMLINK_NOFOLLOW) == 0)
      return true;
  }
  return false;
}

/* The file with a number, packed or not, gets the next number, and replaces the file that had it. */
static void move_up(int directory, const char *log, uint32_t number) {
  char from[300], to[300];
  for (int packed = 0; packed < 2; packed++) {
    numbered(to, sizeof to, log, number + 1, packed);
    (void)!unlinkat(directory, to, 0);
  }
  for (int packed = 0; packed < 2 && (packed == 0 || number); packed++) {
    numbered(from, sizeof from, log, number, packed);
    numbered(to, sizeof to, log, number + 1, packed);
    renameat(directory, from, directory, to);
  }
}

void move_files_up(int directory, const char *log, uint32_t max_files) {
  uint32_t last = 1;
  while (last < max_files && is_taken(directory, log, last))
    last++;
  for (uint32_t i = last < max_files ? last : max_files - 1; i >= 1; i--)
    move_up(directory, log, i - 1);
}
