#define _GNU_SOURCE
#include "supervisor.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

struct process *new_process(const char *id) {
  for (unsigned i = 0; i < PROCESSES_LIMIT; i++) {
    struct process *process = &supervisor.processes[i];
    if (process->phase != PHASE_FREE)
      continue;
    memset(process, 0, sizeof *process);
    process->pidfd = process->socket = process->input = process->output[0] = process->output[1] = -1;
    process->container = i == 0;
    struct text text = {process->id, 0, sizeof process->id};
    text_add(&text, id);
    process->shared = map_pages(SHARED_SIZE, true);
    if (!process->shared)
      break;
    process->phase = PHASE_STEM;
    if (i >= supervisor.process_count)
      supervisor.process_count = i + 1;
    return process;
  }
  fail_with(EAGAIN, "new process", "too many processes under one supervisor");
  return NULL;
}

struct process *find_process(const char *id) {
  if (!*id)
    return container();
  for (unsigned i = 1; i < supervisor.process_count; i++) {
    if (supervisor.processes[i].phase != PHASE_FREE && !strcmp(supervisor.processes[i].id, id))
      return &supervisor.processes[i];
  }
  return NULL;
}

void free_process(struct process *process) {
  /* Its clients get what they have not got yet, then their end. */
  for (unsigned i = 0; i < supervisor.client_count; i++) {
    struct client *client = &supervisor.clients[i];
    if (client->fd >= 0 && client->process == process)
      client->process = NULL;
  }
  unmap_pages(process->pending, PENDING_SIZE);
  process->pending = NULL;
  close_fd(&process->pidfd);
  close_fd(&process->socket);
  if (process->input != process->output[0])
    close_fd(&process->input);
  process->input = -1;
  close_output(process);
  unmap_pages(process->shared, SHARED_SIZE);
  process->shared = NULL;
  process->phase = process->container ? PHASE_ENDED : PHASE_FREE;
}

void drop_process(struct process *process) {
  siginfo_t about;
  if (process->pidfd >= 0) {
    sys_pidfd_send_signal(process->pidfd, SIGKILL);
    waitid(P_PIDFD_ID, (id_t)process->pidfd, &about, WEXITED);
  }
  free_process(process);
  finish_clients();
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

static void launch_failed(struct process *process, const struct failure *what) {
  struct connection *asker = process->asker;
  uint32_t request = process->request;
  struct failure copy = *what;
  bool was_container = process->container;
  drop_process(process);
  if (asker)
    say_failure(asker, request, &copy);
  if (was_container)
    supervisor.ended = true;
}

/* A created container that was not started is a container all the same: its end is an exit, reported when its pidfd says so. */
static void conclude_created(struct process *process, const struct failure *what) {
  struct connection *asker = process->asker;
  process->asker = NULL;
  close_fd(&process->socket);
  unmap_pages(process->shared, SHARED_SIZE);
  process->shared = NULL;
  process->phase = PHASE_RUNNING;
  if (asker)
    say_failure(asker, process->request, what);
}

/* The socket's end: the program runs, or the child ended before it. */
static void conclude(struct process *process) {
  struct failure copy = process->shared->failure;
  copy.call[sizeof copy.call - 1] = copy.detail[sizeof copy.detail - 1] = 0;
  if (copy.error == 0 && process->shared->stage != STAGE_EXECUTING) {
    copy = (struct failure){.operation = copy.operation, .error = ECANCELED, .call = "killed", .detail = ""};
  }
  if (copy.error != 0 && (process->phase == PHASE_WAITING || process->phase == PHASE_STARTING)) {
    conclude_created(process, &copy);
    return;
  }
  if (copy.error != 0) {
    launch_failed(process, &copy);
    return;
  }
  close_fd(&process->socket);
  unmap_pages(process->shared, SHARED_SIZE);
  process->shared = NULL;
  bool starting = process->phase == PHASE_STARTING;
  process->phase = PHASE_RUNNING;
  if (process->container && !starting)
    format_now(supervisor.started);
  say_running(process);
}

static void take_terminal(struct process *process, int master) {
  if (!process->terminal || process->output[0] >= 0) {
    close(master);
    return;
  }
  set_nonblocking(master);
  process->output[0] = process->input = master;
}

void on_child_socket(struct process *process) {
  for (;;) {
    int fds[1] = {-1};
    unsigned count = 1;
    int letter = receive_letter(process->socket, fds, &count);
    if (letter < 0 && errno == EAGAIN)
      return;
    if (letter <= 0) {
      conclude(process);
      return;
    }
    if (letter == SAYS_TERMINAL && count == 1)
      take_terminal(process, fds[0]);
    else if (count)
      close_fd(&fds[0]);
    if (letter == SAYS_READY) {
      process->phase = PHASE_PREPARED;
      say_running(process);
    } else if (letter == SAYS_WAITING) {
      process->phase = PHASE_WAITING;
      format_now(supervisor.started);
      say_running(process);
    }
  }
}

static void end_container(struct process *process) {
  /* Without a pid namespace of their own the execs outlive the first process: not for long. */
  for (unsigned i = 1; i < supervisor.process_count; i++) {
    struct process *other = &supervisor.processes[i];
    if (other->pidfd >= 0 && other->phase != PHASE_FREE && other->phase != PHASE_ENDED)
      sys_pidfd_send_signal(other->pidfd, SIGKILL);
  }
  drain_output(process);
  log_flush();
  uint8_t payload[128];
  struct writer out = {payload, 0, sizeof payload};
  put_u32(&out, process->code);
  put_u32(&out, process->signal);
  put_text(&out, process->finished);
  if (!store_exit(process))
    supervisor.store_again = monotonic_ms() + STORE_AGAIN_MS;
  /* Whoever hears of the exit may remove the directory: nothing is changed in it from here on. */
  if (!supervisor.store_again)
    close_listener();
  tell_all(SAY_EXIT, payload, out.used);
  sync_exit();
}

void on_process_end(struct process *process) {
  siginfo_t about = {0};
  if (process->phase != PHASE_RUNNING) {
    /* It ended before its program: what it wrote about that is on the socket's end. */
    if (process->socket >= 0)
      on_child_socket(process);
    if (process->phase != PHASE_RUNNING)
      return;
  }
  if (waitid(P_PIDFD_ID, (id_t)process->pidfd, &about, WEXITED | WNOHANG) < 0 || about.si_pid == 0)
    return;
  process->signal = about.si_code == CLD_EXITED ? 0 : (uint32_t)about.si_status;
  process->code = process->signal ? 128 + process->signal : (uint32_t)about.si_status & 255;
  format_now(process->finished);
  close_fd(&process->pidfd);
  process->phase = PHASE_ENDED;
  process->deadline = monotonic_ms() + DRAIN_MS;
  if (process->input != process->output[0])
    close_fd(&process->input);
  process->input = -1;
  process->pending_start = process->pending_end = 0;
  process->pause_until = process->orphan_until = 0;
  if (process->container) {
    end_container(process);
  } else {
    drain_output(process);
    remember_exec(process);
  }
}
