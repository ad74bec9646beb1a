/** Reading of Docker's filter maps. */
import { EngineError } from "@fathom/base";
import type { Filters } from "@fathom/spec";

/** Values of a key; none when it is absent. */
export function filterValues(filters: Filters, key: string): readonly string[] {
  return Object.hasOwn(filters, key) ? (filters[key] ?? []) : [];
}

/** @throws invalid-argument "invalid filter 'nosuch'" */
export function checkFilterKeys(filters: Filters, known: readonly string[]): void {
  for (const key of Object.keys(filters))
    if (!known.includes(key)) throw new EngineError("invalid-argument", `invalid filter '${key}'`);
}

/**
 * "1" and "true", "0" and "false"; undefined when the key is absent.
 * @throws invalid-argument "invalid filter 'dangling=[perhaps]'", also for values that contradict each other
 */
export function booleanFilter(filters: Filters, key: string): boolean | undefined {
  const values = filterValues(filters, key);
  if (values.length === 0) return undefined;
  const isTrue = values.some((value) => value === "1" || value === "true");
  const isFalse = values.some((value) => value === "0" || value === "false");
  if (isTrue === isFalse) throw new EngineError("invalid-argument", `invalid filter '${key}=[${values.join(" ")}]'`);
  return isTrue;
}

/** Every `key` or `key=value` of `wanted` is among the labels. */
export function matchesLabels(labels: Readonly<Record<string, string>>, wanted: readonly string[]): boolean {
  return wanted.every((label) => hasLabel(labels, label));
}

/** The filters `label` and `label!` of prune: all of the first, and not all of the second. */
export function prunesLabels(labels: Readonly<Record<string, string>>, filters: Filters): boolean {
  const without = filterValues(filters, "label!");
  if (without.length > 0 && matchesLabels(labels, without)) return false;
  return matchesLabels(labels, filterValues(filters, "label"));
}

function hasLabel(labels: Readonly<Record<string, string>>, label: string): boolean {
  const equals = label.indexOf("=");
  const key = equals < 0 ? label : label.slice(0, equals);
  return Object.hasOwn(labels, key) && (equals < 0 || labels[key] === label.slice(equals + 1));
}
