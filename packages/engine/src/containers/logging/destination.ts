/** Where a container's log is sent, from its log driver and options. The options were checked at create. */
import { shortId } from "@fathom/base";
import type { ContainerRecord, LogDestination, Receiver, StreamPlace, DatagramPlace } from "@fathom/containers";
import { dockerOf } from "../docker-extension.ts";
import { fluentdPlace, gelfPlace, syslogPlace } from "./addresses.ts";
import { expandTag, selectAttributes } from "./attributes.ts";
import { atoi, fluentdOptions, sizeOf, syslogFacility, syslogFormat, type Options } from "./driver-options.ts";
import { logSettingsOf } from "./log-config.ts";

const defaultTag = "{{.ID}}";
const journalSocket = "/run/systemd/journal/socket";
/** What waits for a receiver in memory; the spool has the rest. */
const blockingBytes = 1024 * 1024;
/** Docker's "1MB". */
const lossyBytes = 1_000_000;

/** undefined when the log stays on this machine. @throws invalid-argument for a tag that is no template */
export function logDestination(record: ContainerRecord): LogDestination | undefined {
  const { Type: driver, Config: options } = logSettingsOf(dockerOf(record).hostConfig);
  switch (driver) {
    case "syslog":
      return { ...common(options), receiver: syslog(record, options), connectFirst: true };
    case "gelf": {
      const most = atoi(options["gelf-tcp-max-reconnect"] ?? "");
      const delay = atoi(options["gelf-tcp-reconnect-delay"] ?? "") ?? 1;
      return {
        ...common(options),
        receiver: gelf(record, options),
        connectFirst: true,
        retry: { waitMs: delay * 1000, most: most === undefined ? Number.POSITIVE_INFINITY : most + 1 },
      };
    }
    case "fluentd": {
      const { async, bufferBytes, retries, retryWaitMs } = fluentdOptions(options);
      const { buffer } = common(options);
      return {
        buffer: buffer.lossy ? buffer : { bytes: bufferBytes, lossy: false },
        receiver: fluentd(record, options),
        connectFirst: !async,
        retry: { waitMs: retryWaitMs, most: retries },
      };
    }
    case "journald":
      return { ...common(options), receiver: journald(record, options), connectFirst: true };
    default:
      return undefined;
  }
}

function common({ mode, "max-buffer-size": size }: Options): Pick<LogDestination, "buffer" | "retry"> {
  const lossy = mode === "non-blocking";
  const bytes = lossy ? (size === undefined ? lossyBytes : sizeOf(size)) : blockingBytes;
  return { buffer: { bytes, lossy }, retry: { waitMs: 1000, most: Number.POSITIVE_INFINITY } };
}

function tagOf(record: ContainerRecord, options: Options): string {
  const given = options["tag"] ?? "";
  return expandTag(given === "" ? defaultTag : given, record, options);
}

function syslog(record: ContainerRecord, options: Options): Receiver {
  return {
    kind: "syslog",
    place: withIdentity(syslogPlace(options["syslog-address"] ?? ""), options),
    facility: syslogFacility(options),
    format: syslogFormat(options),
    tag: tagOf(record, options),
  };
}

type SyslogPlace = StreamPlace | DatagramPlace | { readonly kind: "local" };

function withIdentity(place: SyslogPlace, options: Options): SyslogPlace {
  if (place.kind !== "tls") return place;
  const { "syslog-tls-ca-cert": ca = "", "syslog-tls-cert": certificate = "", "syslog-tls-key": key = "" } = options;
  return {
    ...place,
    identity: {
      // Its presence counts, whatever its value is.
      verify: options["syslog-tls-skip-verify"] === undefined,
      ...(ca === "" ? {} : { ca }),
      ...(certificate === "" ? {} : { certificate }),
      ...(key === "" ? {} : { key }),
    },
  };
}

function gelf(record: ContainerRecord, options: Options): Receiver {
  const compression = options["gelf-compression-type"];
  return {
    kind: "gelf",
    place: gelfPlace(options["gelf-address"] ?? ""),
    compression: compression === "zlib" || compression === "none" ? compression : "gzip",
    level: atoi(options["gelf-compression-level"] ?? "") ?? 1,
    fields: {
      _command: [record.path, ...record.arguments].join(" "),
      _container_id: record.id,
      _container_name: record.name,
      _created: record.createdAt,
      _image_id: record.imageId,
      _image_name: dockerOf(record).config.Image,
      _tag: tagOf(record, options),
      ...selectAttributes(record, options, (name) => (name.startsWith("_") ? name : `_${name}`)),
    },
  };
}

function fluentd(record: ContainerRecord, options: Options): Receiver {
  const { requestAck, subSecondPrecision, writeLimitMs, readLimitMs, reconnectMs } = fluentdOptions(options);
  return {
    kind: "fluentd",
    place: fluentdPlace(options["fluentd-address"] ?? ""),
    tag: tagOf(record, options),
    fields: {
      container_id: record.id,
      container_name: `/${record.name}`,
      ...selectAttributes(record, options),
    },
    requestAck,
    subSecondPrecision,
    ...(writeLimitMs === 0 ? {} : { writeLimitMs }),
    ...(readLimitMs === 0 ? {} : { readLimitMs }),
    ...(reconnectMs === 0 ? {} : { reconnectMs }),
  };
}

function journald(record: ContainerRecord, options: Options): Receiver {
  const tag = tagOf(record, options);
  return {
    kind: "journald",
    socket: journalSocket,
    fields: {
      CONTAINER_ID: shortId(record.id),
      CONTAINER_ID_FULL: record.id,
      CONTAINER_NAME: record.name,
      CONTAINER_TAG: tag,
      IMAGE_NAME: dockerOf(record).config.Image,
      SYSLOG_IDENTIFIER: tag,
      ...selectAttributes(record, options, journalName),
    },
  };
}

/** Capital letters, digits and underscores, without underscores at the beginning. */
function journalName(name: string): string {
  return name
    .toUpperCase()
    .replace(/[^A-Z0-9]/g, "_")
    .replace(/^_+/, "");
}
