import { expect, test } from "bun:test";
import type { ContainerRecord } from "@fathom/containers";
import { emptyContainerConfig, emptyHostConfig } from "@fathom/spec/testing";
import { environmentOf } from "./link-environment.ts";

const variables = (ports: readonly string[], env: readonly string[] = [], alias = "my-db"): string[] => {
  const config = {
    ...emptyContainerConfig,
    ExposedPorts: Object.fromEntries(ports.map((port) => [port, {}])),
    Env: env,
  };
  const record = { id: "1", extension: { config, hostConfig: emptyHostConfig } } as unknown as ContainerRecord;
  return environmentOf({ name: "web" }, [{ alias, record, address: "172.17.0.2" }]);
};

test("the first port, then each port, then name and environment", () => {
  expect(variables(["5432/tcp", "53/udp"], ["A=b=c", "HOME=/x", "PATH=/y", "BARE"])).toEqual([
    "MY_DB_PORT=udp://172.17.0.2:53",
    "MY_DB_PORT_53_UDP=udp://172.17.0.2:53",
    "MY_DB_PORT_53_UDP_ADDR=172.17.0.2",
    "MY_DB_PORT_53_UDP_PORT=53",
    "MY_DB_PORT_53_UDP_PROTO=udp",
    "MY_DB_PORT_5432_TCP=tcp://172.17.0.2:5432",
    "MY_DB_PORT_5432_TCP_ADDR=172.17.0.2",
    "MY_DB_PORT_5432_TCP_PORT=5432",
    "MY_DB_PORT_5432_TCP_PROTO=tcp",
    "MY_DB_NAME=/web/my-db",
    "MY_DB_ENV_A=b=c",
  ]);
});

test("no port, no variables of ports", () => {
  expect(variables([])).toEqual(["MY_DB_NAME=/web/my-db"]);
});

test("three ports without a gap are also a range; two are not", () => {
  const ranges = (ports: readonly string[]): string[] =>
    variables(ports, [], "db").filter((line) => /_(START|END)=/.test(line));
  expect(ranges(["12/tcp", "11/tcp", "10/tcp", "20/tcp"])).toEqual([
    "DB_PORT_10_TCP_START=tcp://172.17.0.2:10",
    "DB_PORT_10_TCP_PORT_START=10",
    "DB_PORT_12_TCP_END=tcp://172.17.0.2:12",
    "DB_PORT_12_TCP_PORT_END=12",
  ]);
  expect(ranges(["10/tcp", "11/tcp"])).toEqual([]);
});
