/** The variables that describe a linked container: DB_PORT_5432_TCP_ADDR, as Docker sets them. */
import type { ContainerRecord, LinkedContainer } from "@fathom/containers";
import { linkName } from "@fathom/containers";
import { dockerOf } from "../containers/docker-extension.ts";

interface ExposedPort {
  readonly number: number;
  readonly protocol: string;
}

/** Variables that a program sets for itself are not passed on. */
const ownVariables = ["HOME", "PATH"];

export function environmentOf(record: Pick<ContainerRecord, "name">, links: readonly LinkedContainer[]): string[] {
  return links.flatMap(({ alias, record: target, address = "" }) => {
    const { ExposedPorts, Env } = dockerOf(target).config;
    const prefix = alias.toUpperCase().replaceAll("-", "_");
    return [
      ...portVariables(prefix, address, portsOf(Object.keys(ExposedPorts ?? {}))),
      `${prefix}_NAME=${linkName(record, alias)}`,
      ...(Env ?? []).flatMap((entry) => {
        const [name = ""] = entry.split("=", 1);
        return !entry.includes("=") || ownVariables.includes(name) ? [] : [`${prefix}_ENV_${entry}`];
      }),
    ];
  });
}

/** In the order of their numbers; with the same number, TCP first. */
function portsOf(exposed: readonly string[]): ExposedPort[] {
  return exposed
    .map((port) => {
      const [number = "", protocol = "tcp"] = port.split("/");
      return { number: Number(number), protocol };
    })
    .sort((a, b) => a.number - b.number || Number(b.protocol === "tcp") - Number(a.protocol === "tcp"));
}

function portVariables(prefix: string, address: string, ports: readonly ExposedPort[]): string[] {
  const [first] = ports;
  if (first === undefined) return [];
  const url = ({ protocol, number }: ExposedPort): string => `${protocol}://${address}:${number}`;
  const name = ({ protocol, number }: ExposedPort): string => `${prefix}_PORT_${number}_${protocol.toUpperCase()}`;
  const variables = [`${prefix}_PORT=${url(first)}`];
  for (let at = 0; at < ports.length; at++) {
    const end = lastOfRow(ports, at);
    const [start, last] = [ports[at], ports[end]];
    // Two neighbours are no range for Docker.
    if (start === undefined || last === undefined || end < at + 2) continue;
    variables.push(
      `${name(start)}_START=${url(start)}`,
      `${name(start)}_ADDR=${address}`,
      `${name(start)}_PROTO=${start.protocol}`,
      `${name(start)}_PORT_START=${start.number}`,
      `${name(last)}_END=${url(last)}`,
      `${name(last)}_PORT_END=${last.number}`,
    );
    at = end;
  }
  for (const port of ports)
    variables.push(
      `${name(port)}=${url(port)}`,
      `${name(port)}_ADDR=${address}`,
      `${name(port)}_PORT=${port.number}`,
      `${name(port)}_PROTO=${port.protocol}`,
    );
  return variables;
}

/** The last port of the row of numbers without a gap that begins at `first`. */
function lastOfRow(ports: readonly ExposedPort[], first: number): number {
  let last = first;
  while ((ports[last + 1]?.number ?? Infinity) <= (ports[last]?.number ?? 0) + 1) last++;
  return last;
}
