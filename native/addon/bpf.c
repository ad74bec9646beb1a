/* Device rules of cgroup v2: BPF programs. */
#include "addon.h"

#include <linux/bpf.h>

/* A zeroed attribute that is larger than any kernel's: newer kernels write answers behind the fields that older headers know. */
union full_attribute {
  union bpf_attr attribute;
  char room[512];
};

#define INSTRUCTION_BYTES 8
#define MAX_INSTRUCTIONS 4096

static int64_t call_bpf(int command, union full_attribute *attribute) {
  return syscall(SYS_bpf, command, &attribute->attribute, sizeof attribute->attribute);
}

/* bpfLoadDeviceProgram(instructions) */
static napi_value method_bpfLoadDeviceProgram(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  byte_view instructions;
  CHECK(get_bytes(env, argv[0], &instructions));
  size_t count = instructions.length / INSTRUCTION_BYTES;
  if (count == 0 || count > MAX_INSTRUCTIONS || instructions.length % INSTRUCTION_BYTES != 0) return give(env, -EINVAL);
  union full_attribute load;
  memset(&load, 0, sizeof load);
  static const char license[] = "Apache-2.0";
  load.attribute.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.attribute.insns = (uint64_t)(uintptr_t)instructions.data;
  load.attribute.insn_cnt = (uint32_t)count;
  load.attribute.license = (uint64_t)(uintptr_t)license;
  return give_result(env, call_bpf(BPF_PROG_LOAD, &load));
}

/* bpfAttachDevice(cgroupFd, programFd, replaceFd or -1): other programs of a parent cgroup also stay active. */
static napi_value method_bpfAttachDevice(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int cgroup, program, replace;
  CHECK(get_int(env, argv[0], &cgroup));
  CHECK(get_int(env, argv[1], &program));
  CHECK(get_int(env, argv[2], &replace));
  union full_attribute attach;
  memset(&attach, 0, sizeof attach);
  attach.attribute.target_fd = (uint32_t)cgroup;
  attach.attribute.attach_bpf_fd = (uint32_t)program;
  attach.attribute.attach_type = BPF_CGROUP_DEVICE;
  attach.attribute.attach_flags = BPF_F_ALLOW_MULTI;
  if (replace >= 0) {
    attach.attribute.attach_flags |= BPF_F_REPLACE;
    attach.attribute.replace_bpf_fd = (uint32_t)replace;
  }
  return give_result(env, call_bpf(BPF_PROG_ATTACH, &attach));
}

const struct method bpf_methods[] = {
    {"bpfLoadDeviceProgram", method_bpfLoadDeviceProgram},
    {"bpfAttachDevice", method_bpfAttachDevice},
    {NULL, NULL},
};
