/** A world in which the suites of containers, execs and the system run, and what they make in it. */
import { emptyContainerConfig, emptyHostConfig } from "@fathom/spec/testing";
import type { ContainerCreateRequest, ExecCreateRequest } from "@fathom/spec";
import type { Backend, StreamAttachment } from "../../backend.ts";

export interface ContainerWorld extends AsyncDisposable {
  readonly backend: Pick<Backend, "containers" | "execs" | "system" | "networks">;
  /** An existing image. A container made from it waits until the test ends it. */
  readonly image: string;
  /** The first process of a running container ends with this code. */
  end(container: string, code: number): Promise<void>;
  /** Ends a stream as a server does. */
  close(attachment: StreamAttachment): void;
}

/** Returns the id. Its process waits until the test ends it. */
export async function createContainer(
  { backend, image }: ContainerWorld,
  name: string,
  more: Partial<ContainerCreateRequest> = {},
): Promise<string> {
  const { Id } = await backend.containers.create(name, undefined, {
    ...emptyContainerConfig,
    Image: image,
    Cmd: ["sleep", "1000"],
    HostConfig: { ...emptyHostConfig, NetworkMode: "none" },
    NetworkingConfig: { EndpointsConfig: {} },
    ...more,
  });
  return Id;
}

/** As `createContainer`, and running. */
export async function runContainer(world: ContainerWorld, name: string): Promise<string> {
  const id = await createContainer(world, name);
  await world.backend.containers.start(name, undefined);
  return id;
}

export const execRequest: ExecCreateRequest = {
  Cmd: ["true"],
  User: "",
  Privileged: false,
  Tty: false,
  DetachKeys: "",
  AttachStdin: false,
  AttachStdout: true,
  AttachStderr: true,
  Env: null,
  WorkingDir: "",
};
