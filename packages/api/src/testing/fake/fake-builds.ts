/** Builds of the fake: each reads its context and answers with its size. */
import type { BuildBackend, BuildImageRequest } from "@fathom/engine";
import type { BuildPruneReport, ProgressMessage } from "@fathom/spec";

export class FakeBuilds implements BuildBackend {
  /** The requests, newest last. */
  readonly requests: BuildImageRequest[] = [];
  readonly cancelled: string[] = [];

  async *build(request: BuildImageRequest): AsyncGenerator<ProgressMessage> {
    this.requests.push(request);
    let bytes = 0;
    for await (const chunk of request.context) bytes += chunk.length;
    yield { stream: `${bytes} bytes\n` };
  }

  async cancel(id: string): Promise<void> {
    this.cancelled.push(id);
  }

  async prune(): Promise<BuildPruneReport> {
    return { CachesDeleted: null, SpaceReclaimed: 0 };
  }
}
