/** A connected pair of stream sockets, for tests that must not need the addon. */
import { dlopen, FFIType, ptr } from "bun:ffi";

const library = dlopen("libc.so.6", {
  socketpair: { args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
});

const unixFamily = 1;
/** SOCK_STREAM, SOCK_NONBLOCK, SOCK_CLOEXEC (socket(2)). */
const type = 1 | 0o4000 | 0o2000000;

export function socketPair(): [number, number] {
  const fds = new Int32Array(2);
  if (library.symbols.socketpair(unixFamily, type, 0, ptr(fds)) !== 0) throw new Error("socketpair failed");
  return [fds[0]!, fds[1]!];
}
