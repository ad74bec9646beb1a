#define _GNU_SOURCE
#include "supervisor.h"

#include <string.h>
#include <sys/ioctl.h>

#define FEATURES_LIMIT 256

static void reply(struct connection *connection, uint32_t request) {
  say(connection, SAY_OK, request, NULL, 0);
}

void refuse(struct connection *connection, uint32_t request) {
  say_failure(connection, request, failure);
}

void refuse_with(struct connection *connection, uint32_t request, int error, const char *why) {
  fail_with(error, "request", why);
  refuse(connection, request);
}

int take_fd(struct connection *connection, unsigned *next) {
  if (*next >= connection->fd_count)
    return -1;
  int fd = connection->fds[*next];
  connection->fds[(*next)++] = -1;
  return fd;
}

/* The answer to prepare, launch, start and exec, depending on the phase of the process. */
void say_running(struct process *process) {
  uint8_t payload[128];
  struct writer out = {payload, 0, sizeof payload};
  struct connection *asker = process->asker;
  put_u32(&out, (uint32_t)process->pid);
  put_text(&out, process->container ? supervisor.started : "");
  process->asker = NULL;
  say(asker, SAY_OK, process->request, payload, out.used);
}

static void write_exec_exit(struct writer *out, const struct remembered *what) {
  put_text(out, what->id);
  put_u32(out, what->code);
  put_u32(out, what->signal);
  put_text(out, what->finished);
}

void tell_exec_exit(const struct remembered *what) {
  uint8_t payload[256];
  struct writer out = {payload, 0, sizeof payload};
  write_exec_exit(&out, what);
  tell_all(SAY_EXEC_EXIT, payload, out.used);
}

/* First the state. Then the exits that happened before this connection, in the same form as a new exit. */
static void state(struct connection *connection, uint32_t request) {
  uint8_t payload[1024];
  struct writer out = {payload, 0, sizeof payload};
  put_u32(&out, container()->phase);
  put_u32(&out, (uint32_t)container()->pid);
  put_u32(&out, (uint32_t)supervisor.own_pid);
  put_text(&out, supervisor.started);
  put_u32(&out, (uint32_t)log_lost());
  put_u32(&out, (uint32_t)(log_lost() >> 32));
  say(connection, SAY_OK, request, payload, out.used);
  /* Execs that ended while no daemon was connected. */
  for (unsigned i = 0; i < remembered_count(); i++) {
    out.used = 0;
    write_exec_exit(&out, remembered_exec(i));
    say(connection, SAY_EXEC_EXIT, 0, payload, out.used);
  }
  if (container()->phase == PHASE_ENDED && container()->finished[0]) {
    out.used = 0;
    put_u32(&out, container()->code);
    put_u32(&out, container()->signal);
    put_text(&out, container()->finished);
    say(connection, SAY_EXIT, 0, payload, out.used);
  }
}

static void attach(struct connection *connection, uint32_t request, struct reader *in) {
  const char *id = read_text(in);
  uint32_t wants = read_u32(in);
  struct process *process = in->bad ? NULL : find_process(id);
  unsigned next = 0;
  int fd = take_fd(connection, &next);
  if (fd < 0 || !process || process->phase < PHASE_LAUNCHING || process->phase == PHASE_ENDED) {
    close_fd(&fd);
    refuse_with(connection, request, process ? ESRCH : EINVAL, "attach");
    return;
  }
  if (add_client(fd, process, connection, wants))
    reply(connection, request);
  else
    refuse(connection, request);
}

static void send_signal(struct connection *connection, uint32_t request, struct reader *in) {
  const char *id = read_text(in);
  uint32_t signal = read_u32(in);
  struct process *process = in->bad ? NULL : find_process(id);
  if (!process || process->pidfd < 0)
    refuse_with(connection, request, ESRCH, "no such process");
  else if (sys_pidfd_send_signal(process->pidfd, (int)signal) < 0)
    refuse_with(connection, request, errno, "pidfd_send_signal");
  else
    reply(connection, request);
}

static void resize(struct connection *connection, uint32_t request, struct reader *in) {
  const char *id = read_text(in);
  uint32_t rows = read_u32(in), columns = read_u32(in);
  struct winsize size = {.ws_row = (uint16_t)rows, .ws_col = (uint16_t)columns};
  struct process *process = in->bad ? NULL : find_process(id);
  if (!process || !process->terminal || process->output[0] < 0)
    refuse_with(connection, request, process ? ENOTTY : ESRCH, "no such terminal");
  else if (rows > UINT16_MAX || columns > UINT16_MAX || ioctl(process->output[0], TIOCSWINSZ, &size) < 0)
    refuse_with(connection, request, EINVAL, "TIOCSWINSZ");
  else
    reply(connection, request);
}

static void start(struct connection *connection, uint32_t request) {
  struct process *process = container();
  if (process->phase != PHASE_WAITING) {
    refuse_with(connection, request, EALREADY, "not waiting for start");
    return;
  }
  process->phase = PHASE_STARTING;
  process->asker = connection;
  process->request = request;
  if (send_letter(process->socket, SAYS_START, NULL, 0) < 0) {
    process->asker = NULL;
    refuse_with(connection, request, errno, "start");
  }
}

static const char *const features[] = {"place", "many-execs", "direct"};

/* This version does not use the list of features that the daemon sends. It is there so that a later supervisor can work with an older daemon. */
static void hello(struct connection *connection, uint32_t request, struct reader *in) {
  uint8_t payload[256];
  struct writer out = {payload, 0, sizeof payload};
  read_u32(in);
  read_list(in, FEATURES_LIMIT, 0, 1);
  if (in->bad) {
    refuse_with(connection, request, EBADMSG, "hello");
    return;
  }
  put_u32(&out, PROTOCOL_VERSION);
  put_u32(&out, sizeof features / sizeof *features);
  for (size_t i = 0; i < sizeof features / sizeof *features; i++)
    put_text(&out, features[i]);
  say(connection, SAY_OK, request, payload, out.used);
}

static void place(struct connection *connection, uint32_t request, struct reader *in) {
  struct list cgroups = read_list(in, CGROUPS_LIMIT, 0, 1);
  const char *score = read_text(in);
  if (in->bad) {
    refuse_with(connection, request, EBADMSG, "place");
    return;
  }
  for (uint32_t i = 0; i < cgroups.count; i++) {
    const char *file = read_text(&cgroups.items);
    if (write_file(AT_FDCWD, file, "0", 1) < 0)
      fail("write", file);
  }
  if (*score && write_file(AT_FDCWD, "/proc/self/oom_score_adj", score, strlen(score)) < 0)
    fail("write", "oom_score_adj");
  if (failure->error)
    refuse(connection, request);
  else
    reply(connection, request);
}

void handle_request(struct connection *connection, uint32_t type, uint32_t request) {
  struct reader in = {connection->body, connection->body + connection->length, false};
  clear_failure();
  switch (type) {
  case ASK_PREPARE:
    prepare(connection, request, &in);
    break;
  case ASK_LAUNCH:
    launch(connection, request, &in);
    break;
  case ASK_STATE:
    state(connection, request);
    break;
  case ASK_ATTACH:
    attach(connection, request, &in);
    break;
  case ASK_EXEC:
    exec(connection, request, &in);
    break;
  case ASK_SIGNAL:
    send_signal(connection, request, &in);
    break;
  case ASK_RESIZE:
    resize(connection, request, &in);
    break;
  case ASK_START:
    start(connection, request);
    break;
  case ASK_REOPEN_LOG:
    if (log_reopen() < 0)
      refuse(connection, request);
    else
      reply(connection, request);
    break;
  case ASK_HELLO:
    hello(connection, request, &in);
    break;
  case ASK_PLACE:
    place(connection, request, &in);
    break;
  default:
    refuse_with(connection, request, ENOSYS, "unknown request");
  }
}
