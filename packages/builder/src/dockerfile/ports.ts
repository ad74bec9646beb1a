/** Ports of EXPOSE. */
import { wrong } from "./dockerfile-error.ts";

export interface ExposedPorts {
  readonly protocol: string;
  readonly first: number;
  readonly last: number;
}

/** "80", "80/udp", "80-82". From "8080:80" only the container's port is used, because nothing is published here. @throws DockerfileError */
export function parseExposed(spec: string): ExposedPorts {
  const [ports = "", given = "tcp"] = spec.slice(spec.lastIndexOf(":") + 1).split("/");
  if (ports === "") throw wrong(`no port specified: ${spec}<empty>`);
  const protocol = given.toLowerCase() || "tcp";
  if (!["tcp", "udp", "sctp"].includes(protocol)) throw wrong(`invalid proto: ${protocol}`);
  const [, begin, end = begin] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(ports) ?? [];
  const first = Number(begin);
  const last = Number(end);
  if (begin === undefined || last > 65535 || first > last) throw wrong(`invalid containerPort: ${ports}`);
  return { protocol, first, last };
}
