import { BerthError } from "@berth/base";
import type { ImageConfig } from "@berth/oci";

type Settings = { -readonly [K in keyof NonNullable<ImageConfig["config"]>]: NonNullable<ImageConfig["config"]>[K] };

const badChange = (line: string, why: string): BerthError =>
  new BerthError("InvalidArgument", `apply change ${JSON.stringify(line)}: ${why}`, {
    hint: "write it as in a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR",
  });

/** The image settings that these Dockerfile instructions make, applied in order. */
export function planChanges(lines: readonly string[]): NonNullable<ImageConfig["config"]> {
  const settings: Settings = {};
  for (const line of lines) {
    const [, name = "", text = ""] = /^\s*([A-Za-z]+)\s+(.*?)\s*$/s.exec(line) ?? [];
    if (text === "") throw badChange(line, "no instruction with a value");
    apply(settings, name.toUpperCase(), text, line);
  }
  return settings;
}

function apply(settings: Settings, name: string, text: string, line: string): void {
  switch (name) {
    case "CMD":
      settings.Cmd = commandOf(text);
      return;
    case "ENTRYPOINT":
      settings.Entrypoint = commandOf(text);
      return;
    case "ENV":
      for (const [key, value] of pairsOf(text, line)) {
        const others = (settings.Env ?? []).filter((entry) => !entry.startsWith(`${key}=`));
        settings.Env = [...others, `${key}=${value}`];
      }
      return;
    case "LABEL":
      settings.Labels = { ...settings.Labels, ...Object.fromEntries(pairsOf(text, line)) };
      return;
    case "EXPOSE":
      settings.ExposedPorts = { ...settings.ExposedPorts, ...portsOf(text, line) };
      return;
    case "VOLUME":
      settings.Volumes = { ...settings.Volumes, ...setOf(listOf(text) ?? text.split(/\s+/)) };
      return;
    case "USER":
      settings.User = text;
      return;
    case "WORKDIR":
      if (!text.startsWith("/")) throw badChange(line, "the directory is not absolute");
      settings.WorkingDir = text;
      return;
    case "STOPSIGNAL":
      settings.StopSignal = text;
      return;
    default:
      throw badChange(line, `${name} changes no setting of an image`);
  }
}

/** A JSON list is the command itself, anything else is for a shell. */
const commandOf = (text: string): readonly string[] => listOf(text) ?? ["/bin/sh", "-c", text];

function listOf(text: string): readonly string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((item) => typeof item === "string") ? value : undefined;
  } catch {
    return undefined; // docker takes it for a shell's words, too
  }
}

/** `a=b "c"="d e"`, or the old form of one pair without `=`. */
function pairsOf(text: string, line: string): readonly (readonly [string, string])[] {
  const words = text.match(/(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+/g) ?? [];
  const first = words[0] ?? "";
  if (!first.includes("=")) {
    const value = text.slice(first.length).trim();
    if (value === "") throw badChange(line, "it is no KEY=VALUE");
    return [[unquote(first), value]];
  }
  return words.map((word) => {
    const equals = word.indexOf("=");
    if (equals < 1) throw badChange(line, `${word} is no KEY=VALUE`);
    return [unquote(word.slice(0, equals)), unquote(word.slice(equals + 1))];
  });
}

function unquote(word: string): string {
  return word.replaceAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'|\\(.)/g, (_, double?: string, single?: string, one?: string) =>
    double !== undefined ? double.replaceAll(/\\(.)/g, "$1") : (single ?? one ?? ""),
  );
}

function portsOf(text: string, line: string): Readonly<Record<string, object>> {
  const ports = text.split(/\s+/).map((port) => (port.includes("/") ? port : `${port}/tcp`));
  const bad = ports.find((port) => !/^\d{1,5}(-\d{1,5})?\/(tcp|udp|sctp)$/.test(port));
  if (bad !== undefined) throw badChange(line, `${bad} is no port`);
  return setOf(ports);
}

const setOf = (names: readonly string[]): Readonly<Record<string, object>> =>
  Object.fromEntries(names.map((name) => [name, {}]));
