#define _GNU_SOURCE
#include "reaper.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* A terminal's hangup or a signal to the process group must not end a supervisor. */
static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGALRM, SIGTERM, SIGUSR1, SIGUSR2, SIGTSTP, SIGTTIN, SIGTTOU};

static void dispose(void (*handler)(int)) {
  for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
    signal(ignored[i], handler);
}

void ignore_signals(void) {
  dispose(SIG_IGN);
}

void reset_signals(void) {
  sigset_t none;
  dispose(SIG_DFL);
  signal(SIGCHLD, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static char *title;
static size_t title_size;

void keep_title(char **argv) {
  char **last = argv;
  while (last[1])
    last++;
  title = argv[0];
  title_size = (size_t)(*last + strlen(*last) - argv[0]);
}

void set_title(const char *first, char **rest) {
  if (!title)
    return;
  struct text text = {title, 0, title_size + 1};
  text_add(&text, first);
  for (; rest && *rest; rest++) {
    text_add(&text, " ");
    text_add(&text, *rest);
  }
  memset(title + text.used, 0, title_size - text.used);
}

static void reap(pid_t program) {
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid == program)
      _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
  }
}

int become_init(struct child *child, char **arguments) {
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  pid_t self = getpid();
  pid_t program = fork();
  if (program < 0)
    return fail("fork", "");
  if (program == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != self)
      _exit(137);
    if (child->terminal) {
      /* The program leads the foreground group of the terminal, as if a shell had started it. */
      signal(SIGTTOU, SIG_IGN);
      setpgid(0, 0);
      tcsetpgrp(0, getpid());
      signal(SIGTTOU, SIG_DFL);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return 0;
  }
  /* The end of this socket tells the supervisor that the program runs, so from now on only the program may hold it. */
  set_title("fathom-init --", arguments);
  sys_close_range(3, UINT32_MAX, 0);
  unmap_pages(child->shared, SHARED_SIZE);
  for (;;) {
    siginfo_t about;
    int signal = sigwaitinfo(&all, &about);
    if (signal == SIGCHLD)
      reap(program);
    else if (signal > 0 && signal != SIGTTIN && signal != SIGTTOU)
      kill(program, signal);
  }
}
