/*
 * without-call NUMBER ARGUMENT MASK ERRNO PROGRAM…: runs the program with a filter that answers system call NUMBER with ERRNO, as a kernel
 * without this call does. With a MASK other than 0 it does so only when argument ARGUMENT has a bit of the mask.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 6) return 2;
  unsigned number = (unsigned)atoi(argv[1]), argument = (unsigned)atoi(argv[2]), mask = (unsigned)strtoul(argv[3], NULL, 0), error = (unsigned)atoi(argv[4]);
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, args) + 8 * argument),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, mask, 0, mask ? 1 : 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
    perror("seccomp");
    return 2;
  }
  execvp(argv[5], argv + 5);
  perror(argv[5]);
  return 2;
}
