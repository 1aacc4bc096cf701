import { BerthError } from "./error.ts";

const BINARY: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
  p: 1024 ** 5,
};
const DECIMAL_UNITS = ["B", "kB", "MB", "GB", "TB", "PB"] as const;
const BINARY_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/**
 * Bytes of a size as docker's flags take it: a number with an optional unit `b k m g t p` (also `kb`, `KiB`, …),
 * 1024-based, any case.
 *
 * @throws {BerthError} InvalidArgument if it is no size, negative, or beyond 2^53
 */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?(b|[kmgtp](?:i?b)?)?$/i.exec(text);
  const value = match
    ? Number(match[1]) * (BINARY[(match[2] ?? "").charAt(0).toLowerCase()] ?? Number.NaN)
    : Number.NaN;
  if (!Number.isSafeInteger(Math.floor(value))) {
    throw new BerthError("InvalidArgument", `parse size "${text}": not a number of bytes`, {
      hint: "write a number with an optional unit b, k, m or g, for example 512m",
    });
  }
  return Math.floor(value);
}

/** As docker prints sizes: 1000-based, `precision` significant digits, for example `7.05MB`. */
export function formatBytes(bytes: number, precision = 4): string {
  return format(bytes, { base: 1000, units: DECIMAL_UNITS, precision });
}

/** 1024-based twin of {@link formatBytes}, for memory: `512MiB`. */
export function formatBinaryBytes(bytes: number, precision = 4): string {
  return format(bytes, { base: 1024, units: BINARY_UNITS, precision });
}

interface Scale {
  readonly base: number;
  readonly units: readonly string[];
  readonly precision: number;
}

function format(bytes: number, scale: Scale): string {
  let unit = 0;
  while (bytes >= scale.base && unit < scale.units.length - 1) {
    bytes /= scale.base;
    unit++;
  }
  return `${Number(bytes.toPrecision(scale.precision))}${scale.units[unit]}`;
}
