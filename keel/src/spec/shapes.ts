import { prepared, type Shape } from "./shape.ts";

const hook: Shape = { path: "s!", args: ["s"], env: ["s"], timeout: "u" };
const mapping: Shape = { containerID: "d!", hostID: "d!", size: "u!" };
const capabilities: Shape = { bounding: ["s"], effective: ["s"], permitted: ["s"], inheritable: ["s"], ambient: ["s"] };

export const processShape: Shape = {
  terminal: "b",
  consoleSize: { height: "u!", width: "u!" },
  user: { uid: "d", gid: "d", umask: "u", additionalGids: ["d"] },
  args: ["s"],
  env: ["s"],
  cwd: "s!",
  capabilities,
  rlimits: [{ type: "s!", soft: "i!", hard: "i!" }],
  noNewPrivileges: "b",
  apparmorProfile: "s",
  selinuxLabel: "s",
  oomScoreAdj: "n",
  scheduler: {
    policy: "s!",
    nice: "n",
    priority: "n",
    flags: ["s"],
    runtime: "i",
    deadline: "i",
    period: "i",
  },
  ioPriority: { class: "s!", priority: "n" },
  execCPUAffinity: { initial: "s", final: "s" },
};

const throttle: Shape = { major: "u!", minor: "u!", rate: "i!" };

export const resourcesShape: Shape = {
  devices: [{ allow: "b!", type: "s", major: "n", minor: "n", access: "s" }],
  memory: {
    limit: "i",
    reservation: "i",
    swap: "i",
    kernel: "i",
    kernelTCP: "i",
    swappiness: "u",
    disableOOMKiller: "b",
    useHierarchy: "b",
    checkBeforeUpdate: "b",
  },
  cpu: {
    shares: "i",
    quota: "i",
    period: "i",
    burst: "i",
    idle: "n",
    realtimeRuntime: "i",
    realtimePeriod: "i",
    cpus: "s",
    mems: "s",
  },
  pids: { limit: "i" },
  blockIO: {
    weight: "u",
    leafWeight: "u",
    weightDevice: [{ major: "u!", minor: "u!", weight: "u", leafWeight: "u" }],
    throttleReadBpsDevice: [throttle],
    throttleWriteBpsDevice: [throttle],
    throttleReadIOPSDevice: [throttle],
    throttleWriteIOPSDevice: [throttle],
  },
  hugepageLimits: [{ pageSize: "s!", limit: "i!" }],
  network: { classID: "u", priorities: [{ name: "s!", priority: "u!" }] },
  rdma: { "*": { hcaHandles: "u", hcaObjects: "u" } },
  unified: { "*": "s" },
};

export const mountsShape: Shape = [
  { destination: "s!", type: "s", source: "s", options: ["s"], uidMappings: [mapping], gidMappings: [mapping] },
];

export const specShape: Shape = prepared({
  ociVersion: "s!",
  process: processShape,
  root: { "!": "", path: "s!", readonly: "b" },
  hostname: "s",
  domainname: "s",
  mounts: mountsShape,
  hooks: {
    prestart: [hook],
    createRuntime: [hook],
    createContainer: [hook],
    startContainer: [hook],
    poststart: [hook],
    poststop: [hook],
  },
  annotations: { "*": "s" },
  linux: {
    namespaces: [{ type: "s!", path: "s" }],
    uidMappings: [mapping],
    gidMappings: [mapping],
    devices: [{ path: "s!", type: "s!", major: "n", minor: "n", fileMode: "u", uid: "d", gid: "d" }],
    cgroupsPath: "s",
    resources: resourcesShape,
    rootfsPropagation: "s",
    seccomp: {
      defaultAction: "s!",
      defaultErrnoRet: "u",
      architectures: ["s"],
      flags: ["s"],
      listenerPath: "s",
      listenerMetadata: "s",
      syscalls: [
        {
          names: ["s"],
          action: "s!",
          errnoRet: "u",
          args: [{ index: "u!", value: "i!", valueTwo: "i", op: "s!" }],
        },
      ],
    },
    sysctl: { "*": "s" },
    maskedPaths: ["s"],
    readonlyPaths: ["s"],
    mountLabel: "s",
    netDevices: { "*": { name: "s" } },
    timeOffsets: { "*": { secs: "n", nanosecs: "u" } },
    personality: { domain: "s!", flags: ["s"] },
    memoryPolicy: { mode: "s", nodes: "s", flags: ["s"] },
    intelRdt: { closID: "s", schemata: ["s"], l3CacheSchema: "s", memBwSchema: "s", enableMonitoring: "b" },
  },
});
