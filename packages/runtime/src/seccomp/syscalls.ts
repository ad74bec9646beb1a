/** Numbers of system calls by name, for each machine for which a filter can be made. */
import { packedTables } from "./syscall-tables.ts";

/** A machine's calling convention. One audit architecture may have two: x32 uses that of x86_64 and marks its numbers. */
export type Abi = keyof typeof packedTables;

const tables = new Map<Abi, ReadonlyMap<string, number>>();

/** All calls of a convention, by name; the numbers of x32 without its mark. Unpacked at the first use. */
export function syscallsOf(abi: Abi): ReadonlyMap<string, number> {
  const known = tables.get(abi);
  if (known !== undefined) return known;
  const table = new Map<string, number>();
  let number = 0;
  for (const word of packedTables[abi].split(" ")) {
    if (/^\d/.test(word)) number = Number(word);
    else table.set(word, number++);
  }
  tables.set(abi, table);
  return table;
}

interface Multiplexed {
  readonly call: "socketcall" | "ipc";
  readonly number: number;
}

const socketCalls =
  "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown setsockopt " +
  "getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg";

const ipcCalls: readonly (readonly [string, number])[] = [
  ["semop", 1],
  ["semget", 2],
  ["semctl", 3],
  ["semtimedop", 4],
  ["msgsnd", 11],
  ["msgrcv", 12],
  ["msgget", 13],
  ["msgctl", 14],
  ["shmat", 21],
  ["shmdt", 22],
  ["shmget", 23],
  ["shmctl", 24],
];

/** Calls that i386 also reaches through one call with a number in its first argument: that call, and the number. */
export const multiplexed: ReadonlyMap<string, Multiplexed> = new Map([
  ...socketCalls
    .split(" ")
    .map((name, index): [string, Multiplexed] => [name, { call: "socketcall", number: index + 1 }]),
  ...ipcCalls.map(([name, number]): [string, Multiplexed] => [name, { call: "ipc", number }]),
]);
