/** Answers about images in the form of older versions. */
import { zeroTime } from "@fathom/base";
import type { ImageInspect, ImageSummary } from "@fathom/spec";

export function adaptImageSummary(summary: ImageSummary, version: number): object {
  if (version >= 51) return summary;
  const { Descriptor: descriptor, Manifests: manifests, ...rest } = summary;
  const untagged = version < 43 && summary.RepoTags.length === 0 && summary.RepoDigests.length === 0;
  return {
    ...rest,
    // Before 1.51 the count was optional; -1 means "not counted".
    Containers: -1,
    ...(untagged ? { RepoTags: ["<none>:<none>"], RepoDigests: ["<none>@<none>"] } : {}),
    ...(version >= 48 && descriptor !== undefined ? { Descriptor: descriptor } : {}),
    ...(version >= 47 && manifests !== undefined ? { Manifests: manifests } : {}),
    ...(version < 44 ? { VirtualSize: summary.Size } : {}),
  };
}

/** Fields of an image's configuration that old versions always printed, set or not. */
const configFields50 = {
  Cmd: null,
  Entrypoint: null,
  Env: null,
  Labels: null,
  OnBuild: null,
  User: "",
  Volumes: null,
  WorkingDir: "",
};
const configFields49 = {
  AttachStderr: false,
  AttachStdin: false,
  AttachStdout: false,
  Domainname: "",
  Hostname: "",
  Image: "",
  OpenStdin: false,
  StdinOnce: false,
  Tty: false,
  ...configFields50,
};

export function adaptImageInspect(inspect: ImageInspect, version: number): object {
  if (version >= 52) {
    const { Comment: comment, Author: author, ...rest } = inspect;
    return { ...rest, ...(comment ? { Comment: comment } : {}), ...(author ? { Author: author } : {}) };
  }
  const { Descriptor: descriptor, Manifests: manifests, ...rest } = inspect;
  const config = { ...(version >= 50 ? configFields50 : configFields49), ...inspect.Config };
  return {
    ...rest,
    Parent: inspect.Parent ?? "",
    Comment: inspect.Comment ?? "",
    DockerVersion: "",
    Author: inspect.Author ?? "",
    Config: config,
    ...(version >= 48 && descriptor !== undefined ? { Descriptor: descriptor } : {}),
    ...(version >= 48 && manifests !== undefined ? { Manifests: manifests } : {}),
    // It was the configuration of the container from which the image was made. docker-compose 1 reads the volumes of an image there, and ends
    // with an error when it is null.
    ...(version < 45 ? { Container: "", ContainerConfig: config } : {}),
    ...(version < 44 ? { VirtualSize: inspect.Size, Created: inspect.Created ?? zeroTime } : {}),
  };
}
