import { expect, test } from "bun:test";
import { parseHostProcessors, parseInterfaces } from "./sample.ts";

test("the time of all processors is the sum of the first seven fields, and only lines of single processors are counted", () => {
  const text =
    "cpu  10 1 20 300 4 0 5 6 700 800\ncpu0 5 0 10 150 2 0 3 3 0 0\ncpu1 5 1 10 150 2 0 2 3 0 0\nintr 9\nctxt 5\n";
  expect(parseHostProcessors(text)).toEqual({ totalNs: 340 * 10_000_000, online: 2 });
});

test("interfaces without lo, with names that have colons, and without a blank after the colon", () => {
  const text = [
    "Inter-|   Receive                                                |  Transmit",
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed",
    "    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0",
    "  eth0:12345678      20    1    2    0     0          0         0      900      10    3    4    0     0       0          0",
    "a:b:       7       1    0    0    0     0          0         0        8       1    0    0    0     0       0          0",
    "",
  ].join("\n");
  const found = parseInterfaces(text);
  expect(Object.keys(found)).toEqual(["eth0", "a:b"]);
  expect(found["eth0"]).toEqual({
    receivedBytes: 12345678,
    receivedPackets: 20,
    receiveErrors: 1,
    receiveDropped: 2,
    sentBytes: 900,
    sentPackets: 10,
    sendErrors: 3,
    sendDropped: 4,
  });
});
