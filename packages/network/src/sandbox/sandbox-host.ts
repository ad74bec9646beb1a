/** What all sandboxes share. */
import type { Logger } from "@fathom/base";
import type { HostFirewall } from "../firewall/host-firewall.ts";
import type { SandboxNames } from "../names/sandbox-names.ts";
import type { PortPublisher } from "../ports/publisher.ts";
import type { EndpointTable } from "./endpoint-table.ts";
import type { InsideSys } from "./inside.ts";
import type { LiveNetwork } from "./live-network.ts";

/** The manager's objects that sandboxes share. */
export interface SandboxHost {
  readonly sys: InsideSys;
  readonly table: EndpointTable;
  readonly networks: {
    /** Undefined for one that is not open. */
    get(id: string): LiveNetwork | undefined;
    /** @throws not-found; what the driver throws for one that cannot be opened */
    opened(id: string): Promise<LiveNetwork>;
  };
  readonly firewall: HostFirewall;
  readonly publisher: PortPublisher;
  /** undefined: containers find nobody by name. */
  readonly names: SandboxNames | undefined;
  readonly logger: Logger;
}
