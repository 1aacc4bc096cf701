import { BerthError } from "@berth/base";
import { formatReference, parseReference, type Reference, repositoryOf } from "@berth/oci";
import type { RegistriesConf, RegistryRule } from "./registries-conf.ts";

/** A host that serves a repository. */
export interface Place {
  /** `host[:port]`; `docker.io` is Docker Hub. */
  readonly domain: string;
  readonly path: string;
  readonly insecure: boolean;
}

/** A name as the user wrote it, with the alias put in for a short name. */
export function expandName(text: string, conf: RegistriesConf): string {
  const named = text.split("@", 1)[0] ?? "";
  const colon = named.indexOf(":", named.lastIndexOf("/") + 1);
  const name = colon < 0 ? named : named.slice(0, colon);
  const alias = conf.aliases.get(name);
  return alias === undefined ? text : alias + text.slice(name.length);
}

/**
 * Where to look for an image, in this order: the mirrors, then the registry itself.
 *
 * @throws {BerthError} FailedPrecondition when the registry is blocked
 */
export function planSources(ref: Reference, conf: RegistriesConf): readonly Place[] {
  const rule = findRule(ref, conf);
  if (rule === undefined) return [{ domain: ref.domain, path: ref.path, insecure: false }];
  const wanted = ref.digest === undefined ? "tag-only" : "digest-only";
  const mirrors = rule.mirrors.filter(({ serves }) => serves === "all" || serves === wanted);
  return [...mirrors, rule].map((place) => rewrite(ref, rule, place));
}

/** Where to push: never to a mirror. */
export function planTarget(ref: Reference, conf: RegistriesConf): Place {
  const rule = findRule(ref, conf);
  return rule === undefined ? { domain: ref.domain, path: ref.path, insecure: false } : rewrite(ref, rule, rule);
}

function findRule(ref: Reference, conf: RegistriesConf): RegistryRule | undefined {
  const name = repositoryOf(ref);
  const rule = conf.registries.find(({ prefix }) =>
    prefix.startsWith("*.") ? hostOf(ref.domain).endsWith(prefix.slice(1)) : matches(name, prefix),
  );
  if (rule?.blocked) {
    throw new BerthError("FailedPrecondition", `use ${formatReference(ref)}: registries.conf blocks ${rule.prefix}`);
  }
  return rule;
}

const hostOf = (domain: string): string => domain.replace(/:\d+$/, "");

const matches = (name: string, prefix: string): boolean => name === prefix || name.startsWith(`${prefix}/`);

function rewrite(
  ref: Reference,
  rule: RegistryRule,
  place: { readonly location: string; readonly insecure: boolean },
): Place {
  // A wildcard's own location says nothing: hosts keep their names.
  const isKept = place.location === rule.prefix;
  const prefix = rule.prefix.startsWith("*.") ? ref.domain : rule.prefix;
  const name = isKept ? repositoryOf(ref) : place.location + repositoryOf(ref).slice(prefix.length);
  const slash = name.indexOf("/");
  const { domain, path } = isKept ? ref : { domain: name.slice(0, slash), path: name.slice(slash + 1) };
  if (!isPlace(domain, path)) {
    throw new BerthError("InvalidArgument", `use ${repositoryOf(ref)}: registries.conf makes "${name}" of it`, {
      hint: `write a host and a path as the location of ${rule.prefix}`,
    });
  }
  return { domain, path, insecure: place.insecure };
}

/** Checks what the file made of a name. */
function isPlace(domain: string, path: string): boolean {
  try {
    const parsed = parseReference(`${domain}/${path}`);
    return parsed.domain === domain && parsed.path === path;
  } catch {
    return false;
  }
}
