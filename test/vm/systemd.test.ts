import { debianDisk, debianSkip } from "./debian.ts";
import { vmSkip } from "./guest.ts";
import { inGuest } from "./suites.ts";

const skip = vmSkip() || debianSkip();
const SYSTEMD = "keel/test/systemd.test.ts";

inGuest(
  "systemd as process 1 and cgroup v2: keel's scopes; layers are unpacked with Debian's tools beside",
  { skip, about: /process 1: systemd, controllers: .*\bmemory\b/, atLeast: 40 },
  () => ({
    kernel: "kernel",
    suites: [
      SYSTEMD,
      "keel/test/idmap.test.ts",
      "keel/test/layers.test.ts",
      "keel/test/tree-mounts.test.ts",
      "keel/test/trees.test.ts",
      "keel/test/unpack.test.ts",
    ],
    ...debianDisk(),
  }),
);

inGuest("systemd with hybrid cgroups: keel's scopes", { skip, about: /process 1: systemd/, atLeast: 15 }, () => {
  const { disk, append } = debianDisk();
  return { kernel: "kernel", suites: [SYSTEMD], disk, append: `${append} systemd.unified_cgroup_hierarchy=0` };
});
