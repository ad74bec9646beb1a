/** The stream of the classic builder, in Docker's words. */
import { StringDecoder } from "node:string_decoder";
import { shortId } from "@fathom/base";
import { StepFailed, type BuildEvent } from "@fathom/builder";
import { familiarString, type ProgressMessage } from "@fathom/spec";
import { pullLines } from "../images/progress-lines.ts";

export interface BuildLineOptions {
  /** Only the image's id, at the end. */
  readonly quiet: boolean;
  /** The client wants to read that containers were removed. */
  readonly showRemoved: boolean;
}

/** Text of a command may be cut within a character. */
export class BuildLines {
  readonly #options: BuildLineOptions;
  readonly #decoders = new Map<number, StringDecoder>();

  constructor(options: BuildLineOptions) {
    this.#options = options;
  }

  of(event: BuildEvent): readonly ProgressMessage[] {
    if (this.#options.quiet) return event.kind === "built" ? [{ stream: `${event.image}\n` }] : [];
    switch (event.kind) {
      case "step":
        return [{ stream: `Step ${event.number}/${event.total} : ${event.text}` }, { stream: "\n" }];
      case "triggers":
        return [
          { stream: `# Executing ${event.count} build trigger${event.count === 1 ? "" : "s"}` },
          { stream: "\n" },
        ];
      case "cached":
        return [{ stream: " ---> Using cache\n" }];
      case "running":
        return [{ stream: ` ---> Running in ${shortId(event.containerId)}\n` }];
      case "removed":
        return this.#options.showRemoved
          ? [{ stream: ` ---> Removed intermediate container ${shortId(event.containerId)}\n` }]
          : [];
      case "output": {
        const text = this.#text(event.stream, event.bytes);
        // As Docker's builder, stderr in red: clients print the text unchanged.
        return text === "" ? [] : [{ stream: event.stream === 2 ? `\u001b[91m${text}\u001b[0m` : text }];
      }
      case "pull":
        return pullLines(event.event);
      case "done":
        return [{ stream: ` ---> ${event.id}\n` }];
      case "unused-arguments":
        return [{ stream: `[Warning] One or more build-args [${event.names.join(" ")}] were not consumed\n` }];
      case "built":
        return [
          { aux: { ID: event.image } },
          { stream: `Successfully built ${shortId(event.image.slice("sha256:".length))}\n` },
        ];
      case "tagged":
        return [{ stream: `Successfully tagged ${familiarString(event.reference)}\n` }];
    }
  }

  #text(stream: number, bytes: Uint8Array): string {
    const decoder = this.#decoders.get(stream) ?? new StringDecoder("utf8");
    this.#decoders.set(stream, decoder);
    return decoder.write(Buffer.from(bytes));
  }
}

/** The line for a failed command; undefined for other errors, which the server writes itself. */
export function failureLine(error: unknown): ProgressMessage | undefined {
  if (!(error instanceof StepFailed)) return undefined;
  return { errorDetail: { code: error.exitCode, message: error.message }, error: error.message };
}
