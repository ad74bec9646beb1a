/** Mounts and processes. */
import type { SpawnRequest, Sys } from "../contract.ts";
import { type CallContext, checked } from "./context.ts";
import { MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH } from "../constants.ts";
import { errnoNumber, SysError } from "../errors.ts";
import { openOverlay } from "./overlay.ts";
import { programSegments } from "./program-segments.ts";

const EINVAL = errnoNumber("EINVAL");

type MountCalls = Pick<Sys, "openOverlay" | "moveMount" | "mount" | "umount">;
type ProcessCalls = Pick<
  Sys,
  "spawn" | "pidfdOpen" | "pidfdSendSignal" | "kill" | "waitpid" | "setSubreaper" | "allRun" | "releaseFilePages"
>;

export function mountCalls(context: CallContext): MountCalls {
  const { native } = context;
  return {
    openOverlay: (mount) => openOverlay(context, mount),
    moveMount(fromFd, toDirFd, toPath) {
      const flags = MOVE_MOUNT_F_EMPTY_PATH | (toPath.length === 0 ? MOVE_MOUNT_T_EMPTY_PATH : 0);
      checked("move_mount", native.moveMount(fromFd, toDirFd, toPath, flags), toPath);
    },
    mount: (source, target, type, flags, data) =>
      void checked("mount", native.mount(source, target, type, flags, data), target),
    umount: (target, flags) => void checked("umount2", native.umount(target, flags), target),
  };
}

/** Strings in the kernel's form, each ended by NUL. A string with a NUL inside would silently become two. */
function terminated(strings: readonly string[], what: string): Uint8Array {
  for (const text of strings) {
    if (text.includes("\0")) throw new SysError("execveat", EINVAL, `${what} with a NUL byte in it`);
  }
  return Buffer.from(strings.map((text) => `${text}\0`).join(""), "utf8");
}

export function processCalls({ native }: CallContext): ProcessCalls {
  return {
    spawn(request: SpawnRequest) {
      const result = native.spawn(
        request.executableFd,
        terminated(request.argv, "argument"),
        terminated(request.env, "environment variable"),
        Int32Array.from(request.fds),
        request.newSession === true ? 1 : 0,
        request.cgroupFd ?? -1,
      );
      return checked("execveat", result, request.argv[0] ?? "");
    },
    pidfdOpen: (pid) => checked("pidfd_open", native.pidfdOpen(pid), pid),
    pidfdSendSignal: (pidfd, signal) =>
      void checked("pidfd_send_signal", native.pidfdSendSignal(pidfd, signal), `signal ${signal}`),
    kill: (pid, signal) => void checked("kill", native.kill(pid, signal), `${pid} with signal ${signal}`),
    waitpid(pid) {
      const result = checked("waitpid", native.waitpid(pid), pid);
      if (result === 0) return undefined;
      return { code: (result >> 8) & 0xff, signal: result & 0x7f };
    },
    setSubreaper: (on) => void checked("prctl", native.setSubreaper(on ? 1 : 0), "PR_SET_CHILD_SUBREAPER"),
    allRun(processes) {
      const numbers = new Float64Array(2 * processes.length);
      for (const [index, { pid, startTime }] of processes.entries()) {
        numbers[2 * index] = pid;
        numbers[2 * index + 1] = Number(startTime);
      }
      return native.countRunning(numbers) === processes.length;
    },
    releaseFilePages(afterMs) {
      const ranges = BigUint64Array.from(programSegments().flatMap(({ start, length }) => [start, length]));
      checked("madvise", native.releasePages(ranges, afterMs), "the program's own pages");
    },
  };
}
