#define _GNU_SOURCE
#include "plan.h"

#include <string.h>

static struct attributes read_attributes(struct reader *in) {
  struct attributes attributes;
  attributes.set = read_u64(in);
  attributes.clear = read_u64(in);
  attributes.recursive = read_u32(in);
  return attributes;
}

static struct id_map read_id_map(struct reader *in) {
  struct id_map map;
  map.users = read_text(in);
  map.groups = read_text(in);
  map.recursive = read_u32(in);
  return map;
}

static void decode_mounting(struct reader *in, struct operation *op) {
  switch (op->kind) {
  case OP_JOIN_NAMESPACE:
    op->join.namespace_flag = read_u32(in);
    op->join.path = read_text(in);
    break;
  case OP_MEET:
    op->meeting.reached = read_text(in);
    op->meeting.proceed = read_text(in);
    break;
  case OP_HOOK:
    op->hook.path = read_text(in);
    op->hook.arguments = read_list(in, PLAN_LIST_LIMIT, 0, 1);
    op->hook.environment = read_list(in, PLAN_LIST_LIMIT, 0, 1);
    op->hook.timeout_ms = read_u32(in);
    op->hook.before = read_text(in);
    op->hook.after = read_text(in);
    break;
  case OP_ROOT_PROPAGATION:
    op->propagation.flags = read_u32(in);
    op->propagation.path = read_text(in);
    break;
  case OP_ATTACH_ROOT:
    op->root.from_descriptor = read_u32(in);
    op->root.path = read_text(in);
    op->root.at = read_text(in);
    break;
  case OP_MOUNT:
    op->mount.type = read_text(in);
    op->mount.source = read_text(in);
    op->mount.options = read_list(in, 256, 1, 2);
    op->mount.attributes = read_attributes(in);
    op->mount.target = read_text(in);
    op->mount.create = read_u32(in);
    op->mount.propagation = read_u32(in);
    op->mount.copy_up = read_u32(in);
    op->mount.ids = read_id_map(in);
    break;
  case OP_BIND:
    op->bind.source = read_text(in);
    op->bind.subpath = read_text(in);
    op->bind.flags = read_u32(in);
    op->bind.attributes = read_attributes(in);
    op->bind.propagation = read_u32(in);
    op->bind.target = read_text(in);
    op->bind.ids = read_id_map(in);
    break;
  case OP_MOUNT_ATTRIBUTES:
    op->change.target = read_text(in);
    op->change.attributes = read_attributes(in);
    op->change.propagation = read_u32(in);
    break;
  case OP_MAKE_DIRECTORY:
    op->directory.path = read_text(in);
    op->directory.mode = read_u32(in);
    op->directory.uid = read_u32(in);
    op->directory.gid = read_u32(in);
    break;
  case OP_MAKE_NODE:
    op->node.path = read_text(in);
    op->node.mode = read_u32(in);
    op->node.major = read_u32(in);
    op->node.minor = read_u32(in);
    op->node.uid = read_u32(in);
    op->node.gid = read_u32(in);
    break;
  case OP_MAKE_SYMLINK:
    op->symlink.path = read_text(in);
    op->symlink.target = read_text(in);
    op->symlink.replace = read_u32(in);
    break;
  default:
    in->bad = true;
  }
}

static void decode_identity(struct reader *in, struct operation *op) {
  switch (op->kind) {
  case OP_SYSCTL:
    op->setting.path = read_text(in);
    op->setting.value = read_text(in);
    break;
  case OP_RLIMIT:
    op->limit.resource = read_u32(in);
    op->limit.soft = read_u64(in);
    op->limit.hard = read_u64(in);
    break;
  case OP_SET_USER:
    op->user.uid = read_u32(in);
    op->user.gid = read_u32(in);
    op->user.groups = read_list(in, 65536, 1, 0);
    break;
  case OP_BOUNDING_SET:
    op->capabilities.effective = read_u64(in);
    break;
  case OP_CAPABILITIES:
    op->capabilities.effective = read_u64(in);
    op->capabilities.permitted = read_u64(in);
    op->capabilities.inheritable = read_u64(in);
    op->capabilities.ambient = read_u64(in);
    break;
  case OP_SECCOMP:
    op->filter.program = read_bytes(in);
    op->filter.flags = read_u32(in);
    if (op->filter.program.length % 8 || op->filter.program.length / 8 > 4096)
      in->bad = true;
    break;
  case OP_WORKING_DIRECTORY:
    op->working.path = read_text(in);
    op->working.create = read_u32(in);
    break;
  case OP_SCHEDULER:
    op->scheduler.policy = read_u32(in);
    op->scheduler.nice = read_u32(in);
    op->scheduler.priority = read_u32(in);
    op->scheduler.flags = read_u64(in);
    op->scheduler.runtime = read_u64(in);
    op->scheduler.deadline = read_u64(in);
    op->scheduler.period = read_u64(in);
    break;
  case OP_CPU_AFFINITY:
    op->processors = read_bytes(in);
    break;
  case OP_FIND_PROGRAM:
    op->exec.candidates = read_list(in, 4096, 0, 1);
    break;
  case OP_EXEC:
    op->exec.candidates = read_list(in, 4096, 0, 1);
    op->exec.arguments = read_list(in, PLAN_LIST_LIMIT, 0, 1);
    op->exec.environment = read_list(in, PLAN_LIST_LIMIT, 0, 1);
    op->exec.init = read_u32(in);
    break;
  default:
    decode_mounting(in, op);
  }
}

static void decode_payload(struct reader *in, struct operation *op) {
  switch (op->kind) {
  case OP_READONLY_ROOT:
  case OP_PIVOT_ROOT:
  case OP_CHROOT:
  case OP_LOOPBACK_UP:
  case OP_NEW_SESSION:
  case OP_NO_NEW_PRIVILEGES:
  case OP_WAIT_START:
    break;
  case OP_JOIN_PROCESS:
  case OP_IO_PRIORITY:
  case OP_OOM_SCORE_ADJ:
  case OP_UMASK:
  case OP_PERSONALITY:
    op->number = read_u32(in);
    break;
  case OP_BIND_CONSOLE:
  case OP_MASK:
  case OP_READONLY_PATH:
  case OP_SET_HOSTNAME:
  case OP_SET_DOMAINNAME:
  case OP_SESSION_KEYRING:
    op->text = read_text(in);
    break;
  default:
    decode_identity(in, op);
  }
}

bool decode_operation(struct reader *operations, struct operation *op) {
  if (operations->bad || operations->at == operations->end)
    return false;
  memset(op, 0, sizeof *op);
  op->kind = read_u32(operations);
  struct bytes payload = read_bytes(operations);
  if (operations->bad)
    return false;
  struct reader in = {payload.at, payload.at + payload.length, false};
  decode_payload(&in, op);
  if (in.bad || in.at != in.end)
    operations->bad = true;
  return !operations->bad;
}

bool open_plan(const uint8_t *at, size_t length, struct plan *plan) {
  struct reader in = {at, at + length, false};
  bool known = read_u32(&in) == PLAN_MAGIC;
  known &= read_u32(&in) == PLAN_VERSION;
  known &= read_u32(&in) == length;
  plan->count = read_u32(&in);
  plan->terminal = read_u16(&in) != 0;
  plan->rows = read_u16(&in);
  plan->columns = read_u16(&in);
  read_u16(&in);
  if (in.bad || !known || length > PLAN_LIMIT || plan->count > PLAN_OPERATIONS_LIMIT)
    return false;
  plan->operations = in;
  struct operation operation;
  uint32_t count = 0;
  while (decode_operation(&in, &operation))
    count++;
  return !in.bad && count == plan->count;
}
