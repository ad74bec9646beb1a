/** The host ports of one endpoint, as long as it has them. */
import type { PortBinding } from "../contract.ts";
import type { ForwardListener } from "./forwarders.ts";

/** A port of the host is taken as long as this object lives. */
export interface Reservation extends Disposable {
  /** The socket, when a forwarder must serve it. */
  readonly listener?: ForwardListener;
}

/** The ports of one endpoint. Disposing releases them. */
export interface PortLease extends Disposable {
  readonly bindings: readonly PortBinding[];
  /** Sockets that a forwarder must serve. */
  readonly listeners: readonly ForwardListener[];
  /** A forwarder has the listeners: closes the lease's own copies. */
  handOver(): void;
}

/** A lease that is being filled. `taken` is the table of the allocator: protocol → address → ports. */
export class TakenPorts implements PortLease {
  readonly #taken: Map<string, Map<string, Set<number>>>;
  #sockets: Reservation[] = [];
  #bindings: PortBinding[] = [];

  constructor(taken: Map<string, Map<string, Set<number>>>) {
    this.#taken = taken;
  }

  get bindings(): readonly PortBinding[] {
    return this.#bindings;
  }

  get listeners(): readonly ForwardListener[] {
    return this.#sockets.flatMap(({ listener }) => listener ?? []);
  }

  handOver(): void {
    for (const socket of this.#sockets) if (socket.listener !== undefined) socket[Symbol.dispose]();
    this.#sockets = this.#sockets.filter(({ listener }) => listener === undefined);
  }

  add(binding: PortBinding, socket: Reservation | undefined): void {
    let byAddress = this.#taken.get(binding.protocol);
    if (byAddress === undefined) this.#taken.set(binding.protocol, (byAddress = new Map()));
    let ports = byAddress.get(binding.hostIp);
    if (ports === undefined) byAddress.set(binding.hostIp, (ports = new Set()));
    ports.add(binding.hostPort);
    this.#bindings.push(binding);
    if (socket !== undefined) this.#sockets.push(socket);
  }

  [Symbol.dispose](): void {
    for (const binding of this.#bindings)
      this.#taken.get(binding.protocol)?.get(binding.hostIp)?.delete(binding.hostPort);
    this.#bindings = [];
    for (const socket of this.#sockets.splice(0)) socket[Symbol.dispose]();
  }
}
