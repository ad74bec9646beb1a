/** A builder without a cache, which builds nothing. */
import { EngineError } from "@fathom/base";
import type { Builder, CachePruned } from "@fathom/builder";

export class FakeBuilder implements Builder {
  async build(): Promise<never> {
    throw new EngineError("not-implemented", "the machine in memory has no files to build with");
  }

  cache(): [] {
    return [];
  }

  async prune(): Promise<CachePruned> {
    return { keys: [], reclaimedBytes: 0 };
  }
}
