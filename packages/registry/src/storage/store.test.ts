import { temporaryDirectory } from "@fathom/base/testing";
import { storeSuite } from "../testing/store-suite.ts";
import { openFileStore } from "./file-store.ts";
import { MemoryStore } from "./memory-store.ts";

storeSuite("files", true, async () => {
  const directory = temporaryDirectory("registry-store");
  return {
    store: await openFileStore(directory.path),
    reopen: () => openFileStore(directory.path),
    async [Symbol.asyncDispose]() {
      directory[Symbol.dispose]();
    },
  };
});

storeSuite("memory", false, async () => {
  const store = new MemoryStore();
  return { store, reopen: async () => store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
});
