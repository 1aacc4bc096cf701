import * as c from "./consts.ts";
import { lookup } from "./lookup.ts";

/** fstab-style options of one mount, sorted by what they are for. */
export interface MountOptions {
  /** MS_* for mount(2). */
  readonly flags: number;
  /** What the file system itself gets: all that is no flag. */
  readonly data: string;
  /** MS_* of propagation, each with a mount(2) of its own. */
  readonly propagation: readonly number[];
  readonly bind: boolean;
  readonly recursive: boolean;
  /** MOUNT_ATTR_* for mount_setattr(2) on a bind mount, and for all mounts below it (`rro` and the like). */
  readonly attrSet: number;
  readonly attrClear: number;
  readonly recAttrSet: number;
  readonly recAttrClear: number;
  /** The tmpfs begins with a copy of what it hides. */
  readonly tmpcopyup: boolean;
  /** "idmap" or "ridmap" (with the mounts below), "" for none. */
  readonly idmap: "" | "idmap" | "ridmap";
  /** crun's `idmap=uids=0-1000-1;gids=…`, "" for none. */
  readonly idmapRanges: string;
  /** crun's options for a bind mount's ends that are symlinks. */
  readonly links: LinkOptions | undefined;
}

/** What a symlink at the end of a bind mount's source or destination means, other than what it points to. */
export interface LinkOptions {
  /** `src-nofollow`: the link itself is mounted. */
  readonly source?: boolean;
  /** `dest-nofollow`: the mount goes onto the link. */
  readonly destination?: boolean;
  /** `copy-symlink`: the destination becomes the same link, and nothing is mounted. */
  readonly copy?: boolean;
}

const LINKS: { readonly [option: string]: keyof LinkOptions } = {
  "src-nofollow": "source",
  "dest-nofollow": "destination",
  "copy-symlink": "copy",
};

const MS_RELATIME = 1 << 21;
const MS_STRICTATIME = 1 << 24;

/** MS_* that an option sets; negative: that it clears. 0: it says what is so anyway. */
const FLAGS: { readonly [option: string]: number } = {
  defaults: 0,
  ro: c.MS_RDONLY,
  rw: -c.MS_RDONLY,
  nosuid: c.MS_NOSUID,
  suid: -c.MS_NOSUID,
  nodev: c.MS_NODEV,
  dev: -c.MS_NODEV,
  noexec: c.MS_NOEXEC,
  exec: -c.MS_NOEXEC,
  sync: 16,
  async: -16,
  remount: c.MS_REMOUNT,
  mand: 64,
  nomand: -64,
  dirsync: 128,
  nosymfollow: c.MS_NOSYMFOLLOW,
  symfollow: -c.MS_NOSYMFOLLOW,
  noatime: c.MS_NOATIME,
  atime: -c.MS_NOATIME,
  nodiratime: c.MS_NODIRATIME,
  diratime: -c.MS_NODIRATIME,
  relatime: MS_RELATIME,
  norelatime: -MS_RELATIME,
  strictatime: MS_STRICTATIME,
  nostrictatime: -MS_STRICTATIME,
  silent: 1 << 15,
  loud: -(1 << 15),
  iversion: 1 << 23,
  noiversion: -(1 << 23),
  lazytime: 1 << 25,
  nolazytime: -(1 << 25),
};

const PROPAGATION: { readonly [option: string]: number } = {
  unbindable: 1 << 17,
  private: c.MS_PRIVATE,
  slave: c.MS_SLAVE,
  shared: 1 << 20,
};

/** The access time modes are one field of mount_setattr(2): it must be cleared to be set. */
export const ATTR_ATIME = 0x70;

interface Attributes {
  set: number;
  clear: number;
}

function withLink(
  links: { -readonly [key in keyof LinkOptions]: LinkOptions[key] } = {},
  link: keyof LinkOptions,
): LinkOptions {
  links[link] = true;
  return links;
}

const MAPPED: RegExp = /^(r?idmap)(?:=(.*))?$/;

/** Last option wins, as in fstab. */
export function parseMountOptions(options: readonly string[]): MountOptions {
  let flags = 0;
  let bind = false;
  let recursive = false;
  let tmpcopyup = false;
  let idmap: MountOptions["idmap"] = "";
  let idmapRanges = "";
  let links: LinkOptions | undefined;
  const data: string[] = [];
  const propagation: number[] = [];
  const own: Attributes = { set: 0, clear: 0 };
  const below: Attributes = { set: 0, clear: 0 };
  for (let i = 0; i < options.length; i++) {
    const option = options[i] as string;
    const flag = lookup(FLAGS, option);
    if (flag !== undefined) {
      flags = flag < 0 ? flags & ~-flag : flags | flag;
      // taking an access time option away is no option of its own: the source's stays, as with mount(8)
      if (flag >= 0 || !isAccessTime(flag)) putAttribute(own, flag);
      continue;
    }
    if (option === "bind" || option === "rbind") {
      bind = true;
      recursive = recursive || option === "rbind";
      continue;
    }
    const link = lookup(LINKS, option);
    const mapped = option.indexOf("idmap") < 0 ? undefined : MAPPED.exec(option);
    if (mapped) {
      idmap = mapped[1] as "idmap";
      idmapRanges = mapped[2] || "";
      continue;
    }
    const moved = propagationOf(option);
    const deep = option.charAt(0) === "r" ? lookup(FLAGS, option.substring(1)) : undefined;
    if (link) links = withLink(links, link);
    else if (option === "tmpcopyup") tmpcopyup = true;
    else if (moved !== undefined) propagation.push(moved);
    else if (deep !== undefined && attributeOf(deep) >= 0) putAttribute(below, deep);
    else data.push(option);
  }
  // without a mode of access times it means relatime, as with mount(8)
  if ((own.set & c.MOUNT_ATTR_NODIRATIME) !== 0) own.clear = own.clear | ATTR_ATIME;
  return {
    flags,
    data: data.join(","),
    propagation,
    bind,
    recursive,
    attrSet: own.set,
    attrClear: own.clear,
    recAttrSet: below.set,
    recAttrClear: below.clear,
    tmpcopyup,
    idmap,
    idmapRanges,
    links,
  };
}

/** MS_* of `slave`, `rslave` and the like. */
function propagationOf(option: string): number | undefined {
  const plain = lookup(PROPAGATION, option);
  if (plain !== undefined || option.charAt(0) !== "r") return plain;
  const tree = lookup(PROPAGATION, option.substring(1));
  return tree === undefined ? undefined : tree | c.MS_REC;
}

/** MOUNT_ATTR_* of an MS_* flag (either sign), -1 when there is none. */
function attributeOf(flag: number): number {
  switch (Math.abs(flag)) {
    case c.MS_RDONLY:
    case c.MS_NOSUID:
    case c.MS_NODEV:
    case c.MS_NOEXEC:
      return Math.abs(flag);
    case c.MS_NODIRATIME:
      return c.MOUNT_ATTR_NODIRATIME;
    case c.MS_NOSYMFOLLOW:
      return c.MOUNT_ATTR_NOSYMFOLLOW;
    case c.MS_NOATIME:
      return c.MOUNT_ATTR_NOATIME;
    case MS_STRICTATIME:
      return c.MOUNT_ATTR_STRICTATIME;
    case MS_RELATIME:
      return 0;
    default:
      return -1;
  }
}

function isAccessTime(flag: number): boolean {
  const attribute = attributeOf(flag);
  return attribute === 0 || (attribute & (ATTR_ATIME | c.MOUNT_ATTR_NODIRATIME)) !== 0;
}

function putAttribute(into: Attributes, flag: number): void {
  const attribute = attributeOf(flag);
  if (attribute < 0) return;
  if (attribute === 0 || (attribute & ATTR_ATIME) !== 0) {
    into.set = (into.set & ~ATTR_ATIME) | (flag > 0 ? attribute : 0);
    into.clear = into.clear | ATTR_ATIME;
  } else if (flag > 0) {
    into.set = into.set | attribute;
    into.clear = into.clear & ~attribute;
  } else {
    into.set = into.set & ~attribute;
    into.clear = into.clear | attribute;
  }
}
