#define _GNU_SOURCE
#include "child.h"
#include "reaper.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Both FIFOs are open for reading and writing here, so that neither open waits, and the read waits until the other program writes. */
int do_meet(const struct operation *op) {
  char word = 'r';
  int reached = open(op->meeting.reached, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  int proceed = open(op->meeting.proceed, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (reached < 0 || proceed < 0)
    return fail("open", reached < 0 ? op->meeting.reached : op->meeting.proceed);
  if (write(reached, &word, 1) != 1)
    return fail("write", op->meeting.reached);
  ssize_t got;
  do
    got = read(proceed, &word, 1);
  while (got < 0 && errno == EINTR);
  close_fd(&reached);
  close_fd(&proceed);
  return got == 1 && word == 'y' ? 0 : fail_with(ECONNABORTED, "read", "the other program gave up");
}

static int write_all(int fd, const char *text) {
  size_t length = strlen(text);
  for (size_t done = 0; done < length;) {
    ssize_t wrote = write(fd, text + done, length - done);
    if (wrote < 0)
      return -1;
    done += (size_t)wrote;
  }
  return 0;
}

/* A memory file and no pipe: the hook need not read it. */
static int make_input(const struct operation *op) {
  char digits[24];
  struct text number = {digits, 0, sizeof digits};
  int input = memfd_create("state", MFD_CLOEXEC);
  text_add_number(&number, (uint64_t)getpid(), 1);
  if (input < 0 || write_all(input, op->hook.before) < 0 || write_all(input, digits) < 0 || write_all(input, op->hook.after) < 0 ||
      lseek(input, 0, SEEK_SET) < 0)
    return fail("write", "the state for a hook");
  return input;
}

static _Noreturn void become_hook(const struct operation *op, int input, char **arguments, char **environment) {
  int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  reset_signals();
  umask(0022);
  if (dup2(input, 0) < 0 || (nowhere >= 0 && (dup2(nowhere, 1) < 0 || dup2(nowhere, 2) < 0)))
    end_child(126);
  sys_close_range(3, UINT32_MAX, 0);
  execve(op->hook.path, arguments, environment);
  end_child(127);
}

int do_hook(const struct operation *op) {
  char **arguments = pointers(op->hook.arguments), **environment = pointers(op->hook.environment);
  if (!arguments || !environment)
    return fail_with(ENOMEM, "mmap", op->hook.path);
  int input = make_input(op);
  if (input < 0)
    return -1;
  pid_t pid = fork();
  if (pid == 0)
    become_hook(op, input, arguments, environment);
  close_fd(&input);
  if (pid < 0)
    return fail("fork", op->hook.path);
  struct pollfd ended = {.fd = sys_pidfd_open(pid), .events = POLLIN};
  int ready = poll(&ended, 1, op->hook.timeout_ms ? (int)op->hook.timeout_ms : -1);
  close_fd(&ended.fd);
  int status = 0;
  if (ready != 1)
    kill(pid, SIGKILL);
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR)
      return fail("waitpid", op->hook.path);
  }
  if (ready != 1)
    return fail_with(ETIMEDOUT, "hook", op->hook.path);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
    return 0;
  char detail[1024];
  struct text text = {detail, 0, sizeof detail};
  text_add(&text, WIFEXITED(status) ? "exit status " : "signal ");
  text_add_number(&text, (uint64_t)(WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status)), 1);
  return fail_with(EIO, "hook", detail);
}
