import { expect, test } from "bun:test";
import { silentLogger } from "@fathom/base";
import { SysError } from "@fathom/sys";
import { serviceNotifier, takeListenFds } from "./service-manager.ts";

test("sockets are taken once, by the process for which they are meant", () => {
  const environment = { LISTEN_PID: "12", LISTEN_FDS: "2", LISTEN_FDNAMES: "a:b", HOME: "/" };
  expect(takeListenFds(environment, 12)).toEqual([3, 4]);
  expect(environment).toEqual({ HOME: "/" } as never);
  expect(() => takeListenFds(environment, 12)).toThrow("no sockets found via socket activation");
  for (const wrong of [
    { LISTEN_PID: "13", LISTEN_FDS: "1" },
    { LISTEN_PID: "12", LISTEN_FDS: "0" },
    { LISTEN_PID: "12", LISTEN_FDS: "1000000" },
    { LISTEN_PID: "12", LISTEN_FDS: "x" },
  ])
    expect(() => takeListenFds(wrong, 12)).toThrow("no sockets found");
});

test("the service manager gets the messages; a missing or deaf one is no failure", () => {
  const told: unknown[] = [];
  const sys = {
    sendDatagram: (path: string, data: Uint8Array) => void told.push([path, Buffer.from(data).toString()]),
  };
  const environment = { NOTIFY_SOCKET: "@x" };
  serviceNotifier(environment, sys, silentLogger)("READY=1");
  expect(told).toEqual([["@x", "READY=1"]]);
  expect(environment).toEqual({} as never);
  serviceNotifier(environment, sys, silentLogger)("READY=1");
  expect(told).toHaveLength(1);
  const deaf = {
    sendDatagram: () => {
      throw new SysError("sendto", 111);
    },
  };
  expect(() => serviceNotifier({ NOTIFY_SOCKET: "/x" }, deaf, silentLogger)("READY=1")).not.toThrow();
});
