import { existsSync } from "node:fs";
import { parseReference, type Reference } from "@berth/oci";
import { expandName } from "./plan.ts";
import { type RegistriesConf, readRegistriesConf } from "./registries-conf.ts";
import type { HostsOptions } from "./types.ts";

const NONE: RegistriesConf = { aliases: new Map(), registries: [] };

/** The rules of registries.conf, or none: most hosts have no such file. */
export function readRules({ registriesConf }: HostsOptions): RegistriesConf {
  return registriesConf !== undefined && existsSync(registriesConf) ? readRegistriesConf(registriesConf) : NONE;
}

/** Reads a name of the user; short names by their aliases. */
export function parseName(text: string, options: HostsOptions): Reference {
  return parseReference(expandName(text, readRules(options)));
}
