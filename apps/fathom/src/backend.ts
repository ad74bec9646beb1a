/** The engine as the API server asks it, an area each. */
import type { Backend } from "@fathom/api";
import type { Engine, ImageBackend, VolumeBackend } from "@fathom/engine";

export function backendOf(engine: Engine<ImageBackend, VolumeBackend>): Backend {
  const { system, containers, execs, networks, images, volumes } = engine;
  return {
    system: { ...system, authenticate: (auth, signal) => images.authenticate(auth, signal) },
    containers,
    execs,
    networks,
    images: {
      list: (request) => images.imageList(request),
      inspect: (name, platform) => images.imageInspect(name, platform),
      history: (name, platform) => images.imageHistory(name, platform),
      tag: (name, repository, tag) => images.imageTag(name, repository, tag),
      remove: (name, options) => images.imageRemove(name, options),
      prune: (filters) => images.imagePrune(filters),
      pull: (request, signal) => images.imagePull(request, signal),
      push: (request, signal) => images.imagePush(request, signal),
      load: (body, options, signal) => images.imageLoad(body, options, signal),
      save: (names, platform, signal) => images.imageSave(names, platform, signal),
      import: (request, signal) => images.imageImport(request, signal),
    },
    volumes: {
      list: (filters) => volumes.volumeList(filters),
      create: (body) => volumes.volumeCreate(body),
      inspect: (name) => volumes.volumeInspect(name),
      remove: (name, force) => volumes.volumeRemove(name, force),
      prune: (filters) => volumes.volumePrune(filters),
    },
  };
}
