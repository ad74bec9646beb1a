#define _GNU_SOURCE
#include "../child/reaper.h"
#include "supervisor.h"

#include <string.h>
#include <sys/stat.h>

#define LAUNCH_OPEN_STDIN 1
#define LAUNCH_LOG 2
#define LAUNCH_PLAN_BY_DESCRIPTOR 4
#define LAUNCH_ROOT 8
#define LAUNCH_CHROOT 16
#define LAUNCH_DIRECT 32
#define LAUNCH_GATE 64
#define LAUNCH_LOG_ENTRIES 128
#define CLIENTS_PER_PROCESS 64

static struct stem_request read_stem(struct reader *in) {
  struct stem_request stem;
  stem.namespaces = read_u32(in);
  stem.cgroups = read_list(in, CGROUPS_LIMIT, 0, 1);
  stem.join_pid = read_text(in);
  stem.uid_map = read_text(in);
  stem.gid_map = read_text(in);
  stem.time_offsets = "";
  return stem;
}

void prepare(struct connection *connection, uint32_t request, struct reader *in) {
  struct stem_request stem = read_stem(in);
  const char *title = read_text(in);
  stem.time_offsets = read_text(in);
  if (in->bad || container()->phase != PHASE_FREE) {
    refuse_with(connection, request, EINVAL, "prepare");
    return;
  }
  set_title(title, NULL);
  if (make_stem(&stem) < 0) {
    refuse(connection, request);
    supervisor.ended = true;
    return;
  }
  container()->asker = connection;
  container()->request = request;
}

/* Copies the plan's bytes, inline or from a file, into the memory shared with the child. Only its header is checked here. */
static int take_plan(struct process *process, struct bytes inline_plan, int file) {
  struct shared *shared = process->shared;
  size_t length = inline_plan.length;
  if (file >= 0) {
    struct stat about;
    if (fstat(file, &about) < 0 || about.st_size < 0 || about.st_size > (off_t)PLAN_LIMIT)
      return fail_with(E2BIG, "plan", "too large");
    length = (size_t)about.st_size;
    for (size_t done = 0; done < length;) {
      ssize_t got = pread(file, shared->plan + done, length - done, (off_t)done);
      if (got <= 0)
        return fail_with(EIO, "pread", "plan");
      done += (size_t)got;
    }
  } else if (length > PLAN_LIMIT) {
    return fail_with(E2BIG, "plan", "too large");
  } else {
    memcpy(shared->plan, inline_plan.at, length);
  }
  shared->plan_length = (uint32_t)length;
  struct plan plan;
  if (!open_plan(shared->plan, length, &plan))
    return fail_with(EBADMSG, "plan", "the bytes are no plan");
  process->terminal = plan.terminal;
  return 0;
}

static int add_clients(struct connection *connection, unsigned *next, struct list wanted, struct process *process) {
  for (uint32_t i = 0; i < wanted.count; i++) {
    int fd = take_fd(connection, next);
    if (fd < 0)
      return fail_with(EBADF, "attach", "a descriptor is missing");
    if (!add_client(fd, process, connection, read_u32(&wanted.items)))
      return -1;
  }
  return 0;
}

/* A child that ended meanwhile left its reason in the shared memory. The end of its socket reports it. */
static int tell_child(const struct process *process, char letter, const int *fds, unsigned count) {
  if (send_letter(process->socket, letter, fds, count) == 0 || errno == EPIPE || errno == ECONNRESET)
    return 0;
  return fail("sendmsg", "to the child");
}

/* The last descriptors of a message: the console's socket (terminal) or three streams, the gate (flag), then the program's descriptors. */
static int take_direct(struct connection *connection, unsigned *next, struct process *process, int ends[5], bool gate, unsigned *preserved) {
  supervisor.direct = true;
  if (process->terminal) {
    supervisor.console = take_fd(connection, next);
    if (supervisor.console < 0)
      return fail_with(EBADF, "request", "a descriptor is missing");
  }
  for (int i = 0; !process->terminal && i < 3; i++) {
    if ((ends[i] = take_fd(connection, next)) < 0)
      return fail_with(EBADF, "request", "a descriptor is missing");
  }
  if (gate && (ends[4] = take_fd(connection, next)) < 0)
    return fail_with(EBADF, "request", "a descriptor is missing");
  *preserved = connection->fd_count - *next;
  return *preserved > PRESERVED_LIMIT ? fail_with(E2BIG, "request", "too many descriptors") : 0;
}

static int hand_over(struct process *process, const int ends[5], const int *preserved, unsigned count) {
  int fds[LETTER_FDS];
  unsigned used = 0;
  process->shared->handed = (struct handed){!process->terminal, ends[3] >= 0, ends[4] >= 0, supervisor.direct, count};
  for (int i = 0; !process->terminal && i < 3; i++)
    fds[used++] = ends[i];
  if (ends[3] >= 0)
    fds[used++] = ends[3];
  if (ends[4] >= 0)
    fds[used++] = ends[4];
  for (unsigned i = 0; i < count; i++)
    fds[used++] = preserved[i];
  return tell_child(process, SAYS_GO, fds, used);
}

static int set_up_launch(struct connection *connection, struct reader *in) {
  struct process *process = container();
  unsigned next = 0, preserved = 0;
  int ends[5] = {-1, -1, -1, -1, -1}, plan_file = -1, done = -1;
  uint32_t flags = read_u32(in);
  const char *log_path = read_text(in);
  uint64_t max_size = read_u64(in);
  uint32_t max_files = read_u32(in);
  const char *attributes = read_text(in);
  struct list clients = read_list(in, CLIENTS_PER_PROCESS, 1, 0);
  struct bytes plan = read_bytes(in);
  if (in->bad)
    return fail_with(EBADMSG, "request", "launch");
  supervisor.directory = take_fd(connection, &next);
  ends[3] = flags & LAUNCH_ROOT ? take_fd(connection, &next) : -1;
  plan_file = flags & LAUNCH_PLAN_BY_DESCRIPTOR ? take_fd(connection, &next) : -1;
  if (supervisor.directory < 0 || (flags & LAUNCH_ROOT && ends[3] < 0) || (flags & LAUNCH_PLAN_BY_DESCRIPTOR && plan_file < 0)) {
    fail_with(EBADF, "request", "a descriptor is missing");
    goto out;
  }
  supervisor.chrooted = flags & LAUNCH_CHROOT;
  if (take_plan(process, plan, plan_file) < 0 || add_clients(connection, &next, clients, process) < 0)
    goto out;
  if (flags & LAUNCH_DIRECT) {
    if (take_direct(connection, &next, process, ends, flags & LAUNCH_GATE, &preserved) < 0)
      goto out;
  } else if (!process->terminal && make_streams(process, flags & LAUNCH_OPEN_STDIN, ends) < 0) {
    goto out;
  }
  if (hand_over(process, ends, connection->fds + next, preserved) < 0)
    goto out;
  /* The child works from here on. Its program does not run before the commit. */
  if (flags & LAUNCH_LOG && log_open(log_path, max_size, max_files, attributes, flags & LAUNCH_LOG_ENTRIES) < 0)
    goto out;
  unlinkat(supervisor.directory, "exit", 0);
  if (open_listener() < 0)
    goto out;
  done = tell_child(process, SAYS_COMMIT, NULL, 0);
out:
  for (int i = 0; i < 5; i++)
    close_fd(&ends[i]);
  close_fd(&plan_file);
  return done;
}

void launch(struct connection *connection, uint32_t request, struct reader *in) {
  struct process *process = container();
  if (process->phase != PHASE_PREPARED) {
    refuse_with(connection, request, EINVAL, "launch without a stem");
    supervisor.ended = supervisor.ended || !supervisor.launched;
    return;
  }
  if (set_up_launch(connection, in) < 0) {
    refuse(connection, request);
    drop_process(process);
    supervisor.ended = true;
    return;
  }
  supervisor.launched = true;
  process->phase = PHASE_LAUNCHING;
  process->asker = connection;
  process->request = request;
}

void exec(struct connection *connection, uint32_t request, struct reader *in) {
  const char *id = read_text(in);
  uint32_t flags = read_u32(in);
  struct stem_request stem = read_stem(in);
  struct list clients = read_list(in, CLIENTS_PER_PROCESS, 1, 0);
  struct bytes plan = read_bytes(in);
  if (in->bad || !*id || strlen(id) >= ID_SIZE || find_process(id)) {
    refuse_with(connection, request, EINVAL, "exec");
    return;
  }
  if (container()->phase != PHASE_RUNNING) {
    refuse_with(connection, request, ESRCH, "the container does not run");
    return;
  }
  int ends[3] = {-1, -1, -1}, plan_file = -1;
  unsigned next = 0;
  struct process *process = new_process(id);
  if (!process) {
    refuse(connection, request);
    return;
  }
  bool ready = true;
  if (flags & LAUNCH_PLAN_BY_DESCRIPTOR && (plan_file = take_fd(connection, &next)) < 0)
    ready = fail_with(EBADF, "request", "a descriptor is missing") == 0;
  ready = ready && take_plan(process, plan, plan_file) == 0 && add_clients(connection, &next, clients, process) == 0;
  ready = ready && (process->terminal || make_streams(process, flags & LAUNCH_OPEN_STDIN, ends) == 0);
  ready = ready && start_exec(process, &stem, ends) == 0;
  close_fd(&plan_file);
  for (int i = 0; i < 3; i++)
    close_fd(&ends[i]);
  if (!ready) {
    refuse(connection, request);
    drop_process(process);
    return;
  }
  process->phase = PHASE_LAUNCHING;
  process->asker = connection;
  process->request = request;
}

