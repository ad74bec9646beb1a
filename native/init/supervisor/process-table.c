#define _GNU_SOURCE
#include "supervisor.h"

#include <string.h>
#include <sys/mman.h>

static void empty_process(struct process *process) {
  memset(process, 0, sizeof *process);
  process->pidfd = process->maker = process->socket = process->input = process->output[0] = process->output[1] = -1;
}

void make_container(void) {
  struct process *process = table_add(&supervisor.processes);
  if (!process)
    _exit(1);
  empty_process(process);
  process->container = true;
}

static struct process *free_slot(void) {
  for (unsigned i = 0; i < supervisor.processes.used; i++) {
    if (process_at(i)->phase == PHASE_FREE)
      return process_at(i);
  }
  return table_add(&supervisor.processes);
}

struct process *new_process(const char *id) {
  struct process *process = free_slot();
  /* The first request is for the container's first process. */
  bool is_container = process && process == container();
  void *shared = process ? map_pages(SHARED_SIZE, true) : NULL, *born = shared ? map_pages(BORN_SIZE, true) : NULL;
  if (!born) {
    unmap_pages(shared, SHARED_SIZE);
    fail_with(EAGAIN, "new process", process ? "no memory" : "too many processes under one supervisor");
    return NULL;
  }
  /* Only the child that needs these descriptors gets them (clone_process). */
  madvise(shared, SHARED_SIZE, MADV_DONTFORK);
  madvise(born, BORN_SIZE, MADV_DONTFORK);
  empty_process(process);
  process->container = is_container;
  process->born = born;
  process->shared = shared;
  struct text text = {process->id, 0, sizeof process->id};
  text_add(&text, id);
  process->phase = PHASE_STEM;
  return process;
}

struct process *find_process(const char *id) {
  if (!*id)
    return container();
  for (unsigned i = 1; i < supervisor.processes.used; i++) {
    if (process_at(i)->phase != PHASE_FREE && !strcmp(process_at(i)->id, id))
      return process_at(i);
  }
  return NULL;
}

int make_streams(struct process *process, bool open_stdin, int ends[3]) {
  int pair[2];
  for (int i = 0; i < 3; i++) {
    if (i == 0 && !open_stdin) {
      ends[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
      if (ends[0] < 0)
        return fail("open", "/dev/null");
      continue;
    }
    if (pipe2(pair, O_CLOEXEC) < 0)
      return fail("pipe2", "");
    int ours = i == 0 ? pair[1] : pair[0];
    ends[i] = i == 0 ? pair[0] : pair[1];
    if (i == 0)
      process->input = ours;
    else
      process->output[i - 1] = ours;
    if (set_nonblocking(ours) < 0)
      return fail("fcntl", "");
  }
  return 0;
}
