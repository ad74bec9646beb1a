/** Filters of `docker events`: the values of one key are alternatives, all keys must match, and all labels must match. */
import { EngineError } from "@fathom/base";
import type { EventMessage, Filters } from "@fathom/spec";
import { filterValues } from "../filters/filters.ts";

const knownKeys = [
  "config",
  "container",
  "daemon",
  "event",
  "image",
  "label",
  "network",
  "node",
  "plugin",
  "scope",
  "secret",
  "service",
  "type",
  "volume",
];

/** @throws invalid-argument "invalid filter 'nosuch'" */
export function compileEventFilter(filters: Filters): (event: EventMessage) => boolean {
  for (const key of Object.keys(filters))
    if (!knownKeys.includes(key)) throw new EngineError("invalid-argument", `invalid filter '${key}'`);
  const tests: ((event: EventMessage) => boolean)[] = [];
  const any = (key: string, test: (event: EventMessage, value: string) => boolean): void => {
    const values = filterValues(filters, key);
    if (values.length > 0) tests.push((event) => values.some((value) => test(event, value)));
  };
  any("type", (event, value) => event.Type === value);
  any("scope", (event, value) => event.scope === value);
  // "exec_create: sh -c true" and "health_status: healthy" also match by their first part.
  any("event", (event, value) => event.Action === value || event.Action.startsWith(`${value}:`));
  any("image", matchesImage);
  for (const key of ["container", "network", "volume", "daemon", "plugin", "service", "node", "secret", "config"])
    any(key, (event, value) => event.Actor.ID.startsWith(value) || (attribute(event, "name") ?? "").startsWith(value));
  for (const label of filterValues(filters, "label")) {
    const equals = label.indexOf("=");
    const key = equals < 0 ? label : label.slice(0, equals);
    tests.push((event) => {
      const value = attribute(event, key);
      return value !== undefined && (equals < 0 || value === label.slice(equals + 1));
    });
  }
  return (event) => tests.every((test) => test(event));
}

function attribute(event: EventMessage, key: string): string | undefined {
  const attributes = event.Actor.Attributes ?? {};
  return Object.hasOwn(attributes, key) ? attributes[key] : undefined;
}

function matchesImage(event: EventMessage, value: string): boolean {
  const name = attribute(event, event.Type === "image" ? "name" : "image") ?? "";
  const candidates = event.Type === "image" ? [event.Actor.ID, name] : [name];
  return candidates.some((candidate) => candidate === value || candidate.replace(/:[^:/]+$/, "") === value);
}
