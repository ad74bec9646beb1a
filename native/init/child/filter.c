/* The answer of a seccomp program to the calls that be_born makes after it is installed. This code runs the program on those calls as the
 * kernel will. */
#define _GNU_SOURCE
#include "child.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

struct machine {
  uint32_t a, x, memory[BPF_MEMWORDS];
};

static bool load(struct machine *machine, const struct sock_filter *at, const struct seccomp_data *call, uint32_t *value) {
  switch (BPF_MODE(at->code)) {
  case BPF_IMM:
    *value = at->k;
    return true;
  case BPF_ABS:
    if (at->k % 4 || at->k + 4 > sizeof *call)
      return false;
    memcpy(value, (const uint8_t *)call + at->k, 4);
    return true;
  case BPF_LEN:
    *value = sizeof *call;
    return true;
  case BPF_MEM:
    *value = at->k < BPF_MEMWORDS ? machine->memory[at->k] : 0;
    return at->k < BPF_MEMWORDS;
  default:
    return false;
  }
}

static bool calculate(struct machine *machine, const struct sock_filter *at) {
  uint32_t by = BPF_SRC(at->code) == BPF_X ? machine->x : at->k;
  switch (BPF_OP(at->code)) {
  case BPF_ADD: machine->a += by; return true;
  case BPF_SUB: machine->a -= by; return true;
  case BPF_MUL: machine->a *= by; return true;
  case BPF_DIV: machine->a = by ? machine->a / by : 0; return by != 0;
  case BPF_OR: machine->a |= by; return true;
  case BPF_AND: machine->a &= by; return true;
  case BPF_XOR: machine->a ^= by; return true;
  case BPF_LSH: machine->a = by < 32 ? machine->a << by : 0; return true;
  case BPF_RSH: machine->a = by < 32 ? machine->a >> by : 0; return true;
  case BPF_NEG: machine->a = -machine->a; return true;
  default: return false;
  }
}

static size_t jump(const struct machine *machine, const struct sock_filter *at) {
  uint32_t with = BPF_SRC(at->code) == BPF_X ? machine->x : at->k;
  bool so = false;
  switch (BPF_OP(at->code)) {
  case BPF_JA: return at->k;
  case BPF_JEQ: so = machine->a == with; break;
  case BPF_JGT: so = machine->a > with; break;
  case BPF_JGE: so = machine->a >= with; break;
  case BPF_JSET: so = (machine->a & with) != 0; break;
  }
  return so ? at->jt : at->jf;
}

/* Returns the program's answer; SECCOMP_RET_KILL_PROCESS for a program that the kernel would reject. Jumps only go forward, so the program ends. */
static uint32_t run(struct bytes program, const struct seccomp_data *call) {
  struct machine machine = {0};
  size_t count = program.length / sizeof(struct sock_filter);
  for (size_t i = 0; i < count; i++) {
    struct sock_filter at;
    memcpy(&at, program.at + i * sizeof at, sizeof at);
    switch (BPF_CLASS(at.code)) {
    case BPF_LD:
      if (!load(&machine, &at, call, &machine.a))
        return SECCOMP_RET_KILL_PROCESS;
      break;
    case BPF_LDX:
      if (!load(&machine, &at, call, &machine.x))
        return SECCOMP_RET_KILL_PROCESS;
      break;
    case BPF_ST:
    case BPF_STX:
      if (at.k >= BPF_MEMWORDS)
        return SECCOMP_RET_KILL_PROCESS;
      machine.memory[at.k] = BPF_CLASS(at.code) == BPF_ST ? machine.a : machine.x;
      break;
    case BPF_ALU:
      if (!calculate(&machine, &at))
        return SECCOMP_RET_KILL_PROCESS;
      break;
    case BPF_JMP:
      i += jump(&machine, &at);
      break;
    case BPF_RET:
      return BPF_RVAL(at.code) == BPF_A ? machine.a : at.k;
    default:
      if (BPF_MISCOP(at.code) == BPF_TAX)
        machine.x = machine.a;
      else
        machine.a = machine.x;
    }
  }
  return SECCOMP_RET_KILL_PROCESS;
}

bool filter_lets_be_born(const struct child *child, struct bytes program) {
  const struct {
    int number;
    uint64_t first, second;
    bool needed;
  } calls[] = {
      {SYS_clone, CLONE_PARENT | CLONE_PARENT_SETTID | SIGCHLD, 0, true},
      {SYS_setns, 0, CLONE_NEWPID, child->pid_namespace >= 0},
      {SYS_exit_group, 0, 0, true},
      {SYS_madvise, 0, BORN_SIZE, true},
      {SYS_close_range, 3, 0, true},
      {SYS_close, 3, 0, true},
      {SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, true},
      {SYS_prlimit64, 0, RLIMIT_NPROC, child->limits_processes},
      {SYS_setsid, 0, 0, child->wants_session},
      {SYS_ioctl, 0, TIOCSCTTY, child->wants_session && child->terminal},
  };
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    struct seccomp_data call = {.nr = calls[i].number, .arch = OWN_ARCHITECTURE, .args = {calls[i].first, calls[i].second}};
    if (!calls[i].needed)
      continue;
    uint32_t answer = run(program, &call) & SECCOMP_RET_ACTION_FULL;
    if (answer != SECCOMP_RET_ALLOW && answer != SECCOMP_RET_LOG)
      return false;
  }
  return true;
}
