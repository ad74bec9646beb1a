/**
 * A Backend without containers, for tests of the server and of clients. It passes the tests that `@fathom/engine/testing` has for every
 * backend, and each call can fail or hang (`faults`, by names like "containers.start").
 */
import { Faults } from "@fathom/base/testing";
import type { Backend } from "@fathom/engine";
import { FakeImages, FakeVolumes } from "@fathom/engine/testing";
import { FakeBuilds } from "./fake-builds.ts";
import { FakeContainers } from "./fake-containers.ts";
import { FakeEvents } from "./fake-events.ts";
import { FakeExecs } from "./fake-execs.ts";
import { FakeNetworks } from "./fake-networks.ts";
import { FakeSystem } from "./fake-system.ts";

export class FakeBackend {
  readonly faults = new Faults();
  readonly events = new FakeEvents();
  readonly containers = new FakeContainers(this.events);
  readonly execs = new FakeExecs(this.containers);
  readonly images = new FakeImages();
  readonly builds = new FakeBuilds();
  readonly volumes = new FakeVolumes();
  readonly networks = new FakeNetworks();
  readonly system = new FakeSystem(this);

  /** As the server receives it. */
  readonly backend: Backend = {
    system: this.faults.wrap("system", this.system),
    containers: this.faults.wrap("containers", this.containers),
    execs: this.faults.wrap("execs", this.execs),
    images: this.faults.wrap("images", this.images),
    builds: this.faults.wrap("builds", this.builds),
    volumes: this.faults.wrap("volumes", this.volumes),
    networks: this.faults.wrap("networks", this.networks),
  };
}
