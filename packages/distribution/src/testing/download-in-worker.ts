/** A program for tests: downloads a blob in a worker thread, as a pull does, and prints the bytes or the error. */
import { messageOf } from "@fathom/base";
import type { Descriptor } from "@fathom/spec";
import { openBlob } from "../blob.ts";
import type { BlobSource } from "../contract.ts";

export interface ProxyRun {
  readonly blob: BlobSource;
  readonly descriptor: Descriptor;
}

declare const self: Worker;

async function download({ blob, descriptor }: ProxyRun): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const chunk of openBlob(blob, descriptor, new AbortController().signal)) parts.push(chunk);
  return Buffer.concat(parts).toString();
}

if (Bun.isMainThread) {
  const worker = new Worker(import.meta.url);
  worker.onmessage = (event: MessageEvent<string>) => {
    process.stdout.write(event.data);
    worker.terminate();
  };
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  worker.postMessage(process.argv[2]);
} else {
  self.onmessage = async (event: MessageEvent<string>) => {
    const run: ProxyRun = JSON.parse(event.data);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    self.postMessage(await download(run).catch(messageOf));
  };
}
