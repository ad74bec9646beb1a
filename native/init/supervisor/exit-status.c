#define _GNU_SOURCE
#include "supervisor.h"

#include <stdio.h>
#include <string.h>

static int exit_file = -1;
static struct remembered *remembered; /* REMEMBERED_LIMIT entries, in a ring */
static unsigned remembered_total;

/* The file is visible at once under its name; it is on disk for good after sync_exit. */
bool store_exit(const struct process *process) {
  char json[256];
  struct text text = {json, 0, sizeof json};
  text_add(&text, "{\"code\":");
  text_add_number(&text, process->code, 1);
  text_add(&text, ",\"signal\":");
  text_add_number(&text, process->signal, 1);
  text_add(&text, ",\"finishedAt\":\"");
  text_add(&text, process->finished);
  text_add(&text, "\",\"lostLogRecords\":");
  text_add_number(&text, log_lost(), 1);
  text_add(&text, "}\n");
  close_fd(&exit_file);
  exit_file = openat(supervisor.directory, "exit.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (exit_file < 0 && errno == ELOOP) {
    unlinkat(supervisor.directory, "exit.new", 0);
    exit_file = openat(supervisor.directory, "exit.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  }
  if (exit_file < 0)
    return errno == ENOENT;
  if (write(exit_file, json, text.used) != (ssize_t)text.used)
    return false;
  return renameat(supervisor.directory, "exit.new", supervisor.directory, "exit") == 0 || errno == ENOENT;
}

void sync_exit(void) {
  if (exit_file >= 0) {
    fdatasync(exit_file);
    fsync(supervisor.directory);
  }
  close_fd(&exit_file);
}

void remember_exec(const struct process *process) {
  if (!remembered && !(remembered = map_own_pages(REMEMBERED_LIMIT * sizeof *remembered)))
    return;
  struct remembered *slot = &remembered[remembered_total++ % REMEMBERED_LIMIT];
  memcpy(slot->id, process->id, sizeof slot->id);
  memcpy(slot->finished, process->finished, sizeof slot->finished);
  slot->code = process->code;
  slot->signal = process->signal;
  tell_exec_exit(slot);
}

unsigned remembered_count(void) {
  return remembered_total < REMEMBERED_LIMIT ? remembered_total : REMEMBERED_LIMIT;
}

const struct remembered *remembered_exec(unsigned index) {
  unsigned first = remembered_total < REMEMBERED_LIMIT ? 0 : remembered_total % REMEMBERED_LIMIT;
  return &remembered[(first + index) % REMEMBERED_LIMIT];
}
