/**
 * A small language for the shapes of JSON: "s" string, "b" boolean, "n" integer that fits 2^53, "u" the same and not
 * negative, "d" user or group id, "i" 64-bit integer (number or decimal string), "a" anything; `!` after it: must be there. An array of one
 * shape is a list, `{"*": shape}` a map, any other object a record whose unknown fields are ignored (runtime-spec
 * "Extensibility"); a record with "!" must be there.
 */
export type Shape = string | readonly [Shape] | { readonly [field: string]: Shape };

const WORDS: { [tag: string]: string } = {
  s: "a string",
  b: "a boolean",
  n: "an integer",
  u: "an integer, 0 or more",
  d: "an integer from 0 to 4294967294",
  i: "a 64-bit integer",
};

/** Appends one sentence for each place of `value` that does not fit `shape`: `process.args[1]: must be a string`. */
export function checkShape(value: unknown, shape: Shape, path: string, problems: string[]): void {
  if (value === undefined || value === null) {
    const required =
      typeof shape === "string" ? shape.charAt(1) === "!" : (shape as { "!"?: string })["!"] !== undefined;
    if (required) problems.push(`${path}: is required`);
    return;
  }
  if (typeof shape === "string") {
    const tag = shape.charAt(0);
    if (!fits(value, tag)) problems.push(`${path}: must be ${WORDS[tag]}`);
    return;
  }
  const isArray = Object.prototype.toString.call(value) === "[object Array]";
  if (Object.prototype.toString.call(shape) === "[object Array]") {
    if (!isArray) {
      problems.push(`${path}: must be an array`);
      return;
    }
    const list = value as unknown[];
    const element = (shape as readonly [Shape])[0];
    for (let i = 0; i < list.length; i++) {
      if (list[i] === null) problems.push(`${path}[${i}]: must not be null`);
      else checkShape(list[i], element, `${path}[${i}]`, problems);
    }
    return;
  }
  if (typeof value !== "object" || isArray) {
    problems.push(`${path}: must be an object`);
    return;
  }
  const record = value as { [field: string]: unknown };
  const fields = shape as { [field: string]: Shape };
  const prefix = path === "" ? "" : `${path}.`;
  const every = fields["*"];
  if (every) {
    for (const key in record) checkShape(record[key], every, prefix + key, problems);
    return;
  }
  const before = problems.length;
  const known = checkFields(record, fields, prefix, problems);
  if (known === Object.keys(record).length || !adoptCase(record, fields)) return;
  problems.length = before;
  checkFields(record, fields, prefix, problems);
}

/** Returns how many of the fields are there. */
function checkFields(
  record: { [field: string]: unknown },
  fields: { [field: string]: Shape },
  prefix: string,
  problems: string[],
): number {
  let known = 0;
  for (const key in fields) {
    if (key === "!") continue;
    const value = record[key];
    if (value !== undefined) known++;
    checkShape(value, fields[key] as Shape, prefix + key, problems);
  }
  return known;
}

/**
 * Go's decoder, and so runc, takes a field in any case of its letters; one that we overlooked could be a limit of the
 * container. Gives such a field its name, unless that is there too, and tells whether there was one.
 */
function adoptCase(record: { [field: string]: unknown }, fields: { [field: string]: Shape }): boolean {
  const names: { [lower: string]: string } = {};
  for (const key in fields) names[key.toLowerCase()] = key;
  const keys = Object.keys(record);
  let adopted = false;
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string;
    const name = names[key.toLowerCase()];
    if (typeof name !== "string" || record[name] !== undefined) continue;
    record[name] = record[key];
    delete record[key];
    adopted = true;
  }
  return adopted;
}

function fits(value: unknown, tag: string): boolean {
  switch (tag) {
    case "s":
      return typeof value === "string" && value.indexOf("\u0000") < 0;
    case "b":
      return typeof value === "boolean";
    case "n":
      return typeof value === "number" && Math.floor(value) === value && Math.abs(value) <= 9007199254740991;
    case "u":
      return typeof value === "number" && value >= 0 && Math.floor(value) === value && value <= 9007199254740991;
    case "d":
      // (uid_t)-1 means "leave it as it is" to the kernel: a container asking for it would stay root
      return typeof value === "number" && value >= 0 && Math.floor(value) === value && value < 4294967295;
    case "i":
      return typeof value === "number"
        ? Math.floor(value) === value && Math.abs(value) <= 9007199254740991
        : typeof value === "string" && isInt64(value);
    default:
      return true;
  }
}

/** From -2^63 to 2^64 - 1, since the kernel has limits of both kinds. */
function isInt64(text: string): boolean {
  const match = /^(-?)0*(\d{1,20})$/.exec(text);
  if (!match) return false;
  const digits = match[2] as string;
  const largest = match[1] === "-" ? "9223372036854775808" : "18446744073709551615";
  return digits.length < largest.length || (digits.length === largest.length && digits <= largest);
}
