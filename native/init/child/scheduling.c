#define _GNU_SOURCE
#include "child.h"

#define IOPRIO_WHO_PROCESS 1

struct scheduling_attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

int do_scheduler(const struct operation *op) {
  struct scheduling_attributes attributes = {
      .size = sizeof attributes,
      .policy = op->scheduler.policy,
      .flags = op->scheduler.flags,
      .nice = (int32_t)op->scheduler.nice,
      .priority = op->scheduler.priority,
      .runtime = op->scheduler.runtime,
      .deadline = op->scheduler.deadline,
      .period = op->scheduler.period,
  };
  return syscall(SYS_sched_setattr, 0, &attributes, 0) < 0 ? fail("sched_setattr", "") : 0;
}

int do_io_priority(uint32_t value) {
  return syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) < 0 ? fail("ioprio_set", "") : 0;
}

int do_cpu_affinity(const struct operation *op) {
  uint64_t aligned[1024] = {0};
  size_t length = op->processors.length < sizeof aligned ? op->processors.length : sizeof aligned;
  for (size_t i = 0; i < length; i++)
    aligned[i / 8] |= (uint64_t)op->processors.at[i] << 8 * (i % 8);
  return syscall(SYS_sched_setaffinity, 0, (length + 7) & ~(size_t)7, aligned) < 0 ? fail("sched_setaffinity", "") : 0;
}
