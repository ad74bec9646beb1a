/** The target stage as an image. A build that changed nothing gives the same image again. */
import { hostPlatform, type Digest } from "@fathom/spec";
import { EngineError, formatRfc3339Nano } from "@fathom/base";
import type { RunConfig } from "../config/apply.ts";
import type { Build, StageResult } from "./build-context.ts";
import { keyOf } from "./step-cache.ts";

export async function imageOfStage(
  { parts, cache, request, lease, signal }: Build,
  stage: StageResult,
): Promise<Digest> {
  if (stage.base === undefined && stage.history.length === 0)
    throw new EngineError("invalid-argument", "No image was generated. Is your Dockerfile empty?");
  const config = withoutEmpty({ ...stage.config, Labels: { ...stage.config.Labels, ...request.labels } });
  const { base, author } = stage;
  const { os, architecture, variant } = request.platform ?? hostPlatform();
  const platform = base === undefined ? { os, architecture, variant } : base.config;
  const key = keyOf(
    stage.key,
    base?.id ?? "",
    config,
    author ?? "",
    stage.history.map(({ created_by }) => created_by),
    platform.architecture,
  );
  const known = request.noCache ? undefined : cache.image(key);
  if (known !== undefined && parts.images.byId(known) !== undefined) return known;
  const created = formatRfc3339Nano(parts.clock.nowNs());
  const image = await parts.images.make(
    {
      top: stage.top,
      base: base?.id,
      lease,
      config: {
        created,
        ...(author === undefined ? {} : { author }),
        architecture: platform.architecture,
        os: platform.os,
        ...(platform.variant ? { variant: platform.variant } : {}),
        config,
        history: [...(base?.config.history ?? []), ...stage.history],
      },
    },
    signal,
  );
  cache.putImage(key, image);
  return image;
}

function withoutEmpty(config: RunConfig): RunConfig {
  return Object.fromEntries(
    Object.entries(config).filter(([, value]) =>
      typeof value === "object" && value !== null ? Object.keys(value).length > 0 : value !== "" && value !== null,
    ),
  );
}
