#define _GNU_SOURCE
#include "supervisor.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

static void drop_born(struct process *process) {
  unmap_pages((void *)(uintptr_t)process->born, BORN_SIZE);
  process->born = NULL;
}

static void drop_shared(struct process *process) {
  drop_born(process);
  unmap_pages(process->shared, SHARED_SIZE);
  process->shared = NULL;
}

/*
 * The visible process takes the place of its maker. The kernel wrote its number on a page that only the maker and the supervisor have; the
 * process itself has no mapping of that page's file, so it cannot change the number. And the process is a child of the supervisor that nobody
 * else reaps, so the number cannot belong to another process.
 */
static void take_born(struct process *process) {
  pid_t pid = process->born ? *process->born : 0;
  siginfo_t about;
  if (pid <= 0 || waitid(P_PID, (id_t)pid, &about, WEXITED | WNOHANG | WNOWAIT) < 0)
    return;
  drop_born(process); /* count it only once */
  int pidfd = sys_pidfd_open(pid);
  if (pidfd < 0) {
    /* Without a descriptor, the supervisor could not follow the process. */
    process->shared->failure = (struct failure){.operation = FAILURE_STEM, .error = errno, .call = "pidfd_open"};
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return;
  }
  process->maker = process->pidfd;
  process->pidfd = pidfd;
  process->pid = pid;
}

void on_maker_end(struct process *process) {
  siginfo_t about = {0};
  if (waitid(P_PIDFD_ID, (id_t)process->maker, &about, WEXITED | WNOHANG) < 0 || about.si_pid != 0)
    close_fd(&process->maker);
  else
    process->reap_again = monotonic_ms() + REAP_AGAIN_MS;
}

/* Leaves the descriptor open when the process cannot be reaped: a container may trace the processes that it sees, and a dead process goes to
 * its tracer first. */
static void end_and_reap(int *pidfd) {
  siginfo_t about = {0};
  struct pollfd ended = {.fd = *pidfd, .events = POLLIN};
  if (*pidfd < 0)
    return;
  sys_pidfd_send_signal(*pidfd, SIGKILL);
  poll(&ended, 1, DROP_MS);
  if (waitid(P_PIDFD_ID, (id_t)*pidfd, &about, WEXITED | WNOHANG) < 0 || about.si_pid != 0)
    close_fd(pidfd);
}

void free_process(struct process *process) {
  /* Its clients get the remaining output, then the end. */
  for (unsigned i = 0; i < supervisor.clients.used; i++) {
    struct client *client = client_at(i);
    if (client->fd >= 0 && client->process == process)
      client->process = NULL;
  }
  unmap_pages(process->pending, PENDING_SIZE);
  process->pending = NULL;
  close_fd(&process->pidfd);
  close_fd(&process->maker);
  close_fd(&process->socket);
  if (process->input != process->output[0])
    close_fd(&process->input);
  process->input = -1;
  close_output(process);
  drop_shared(process);
  process->phase = process->container ? PHASE_ENDED : PHASE_FREE;
}

void drop_process(struct process *process) {
  take_born(process);
  if (process->maker < 0 && process->born) {
    /* After the maker has gone, nothing new can be made. */
    end_and_reap(&process->pidfd);
    take_born(process);
  }
  end_and_reap(&process->maker);
  end_and_reap(&process->pidfd);
  int kept = process->pidfd;
  process->pidfd = -1;
  free_process(process);
  if (kept >= 0 && !process->container) {
    /* The process has ended, except for this. */
    process->phase = PHASE_ENDED;
    process->maker = kept;
  } else {
    close_fd(&kept);
  }
  finish_clients();
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

/* A container that was created but not started is still a container: its end is an exit, reported when its pidfd reports it. */
static void conclude_created(struct process *process, const struct failure *what) {
  struct connection *asker = process->asker;
  process->asker = NULL;
  close_fd(&process->socket);
  drop_shared(process);
  process->phase = PHASE_RUNNING;
  if (asker)
    say_failure(asker, process->request, what);
}

/* After a direct launch nothing is left to do. The program becomes a child of this process's parent (or of the next subreaper), which sees its end. */
static void let_go(struct process *process) {
  end_and_reap(&process->maker);
  close_fd(&process->pidfd);
  supervisor.ended = true;
}

/* The end of the socket: the program runs, or the child ended before it. */
static void conclude(struct process *process) {
  take_born(process);
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
  drop_shared(process);
  bool starting = process->phase == PHASE_STARTING;
  process->phase = PHASE_RUNNING;
  if (process->container && !starting)
    format_now(supervisor.started);
  say_running(process);
  if (process->container && supervisor.direct)
    let_go(process);
}

/* The form of runc's --console-socket: one message with a name (readers ignore it) and the descriptor. */
static void give_console(struct process *process, int master) {
  static const char name[] = "/dev/ptmx";
  if (send_with_fds(supervisor.console, name, sizeof name - 1, &master, 1, MSG_DONTWAIT) < 0) {
    process->shared->failure = (struct failure){.operation = FAILURE_STEM, .error = errno, .call = "sendmsg", .detail = "console socket"};
    sys_pidfd_send_signal(process->pidfd, SIGKILL);
  }
  close_fd(&supervisor.console);
}

static void take_terminal(struct process *process, int master) {
  if (process->container && supervisor.console >= 0)
    give_console(process, master);
  if (!process->terminal || process->output[0] >= 0 || (process->container && supervisor.direct)) {
    close(master);
    return;
  }
  set_nonblocking(master);
  process->output[0] = process->input = master;
}

void on_child_socket(struct process *process) {
  /* The number of reads is limited: a process that can trace the child can also write to its socket. */
  for (int turns = 0; turns < 16; turns++) {
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
    if (letter == SAYS_READY && process->container && process->phase == PHASE_STEM) {
      process->phase = PHASE_PREPARED;
      say_running(process);
    } else if (letter == SAYS_WAITING && process->container && process->phase == PHASE_LAUNCHING) {
      take_born(process);
      process->phase = PHASE_WAITING;
      format_now(supervisor.started);
      say_running(process);
      if (supervisor.direct) {
        let_go(process); /* the process waits at its gate */
        return;
      }
    }
  }
}

static void end_container(struct process *process) {
  /* Without a pid namespace of its own, the execs continue after the first process has ended. Give them only a short time. */
  for (unsigned i = 1; i < supervisor.processes.used; i++) {
    struct process *other = process_at(i);
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
  /* A program that learns of the exit may remove the directory, so nothing in it changes from here on. */
  if (!supervisor.store_again)
    close_listener();
  tell_all(SAY_EXIT, payload, out.used);
  sync_exit();
}

void on_process_end(struct process *process) {
  siginfo_t about = {0};
  int pidfd = process->pidfd;
  if (process->phase != PHASE_RUNNING) {
    /* Either a maker that has finished its work, or a process that ended before its program ran. The end of the socket shows which. */
    take_born(process);
    if (process->pidfd != pidfd)
      return;
    if (process->socket >= 0)
      on_child_socket(process);
    /* The process is dead and its socket has no end: somebody has taken a copy of the socket. */
    if (process->phase != PHASE_RUNNING && process->pidfd == pidfd && process->socket >= 0)
      conclude(process);
    if (process->phase != PHASE_RUNNING || process->pidfd != pidfd)
      return;
  }
  if (waitid(P_PIDFD_ID, (id_t)process->pidfd, &about, WEXITED | WNOHANG) < 0 || about.si_pid == 0) {
    process->reap_again = monotonic_ms() + REAP_AGAIN_MS;
    return;
  }
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
