import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Directories in which libnvidia-ml.so.1 may be where the loader does not find it. */
export const libraryDirectories: readonly string[] = [
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/usr/lib64',
  '/lib64',
  '/usr/lib',
  '/usr/lib/wsl/lib',
  '/run/opengl-driver/lib', // NixOS
  '/usr/local/nvidia/lib64', // GKE, in a container
  '/home/kubernetes/bin/nvidia/lib64', // GKE, on the node
  '/var/lib/nvidia/lib64', // Container-Optimized OS
  '/usr/local/glibc/usr/lib', // Talos
  // The root of a driver that runs in a container of its own (GPU operator).
  '/run/nvidia/driver/usr/lib/x86_64-linux-gnu',
  '/run/nvidia/driver/usr/lib/aarch64-linux-gnu',
  '/run/nvidia/driver/usr/lib64',
];

const file = 'libnvidia-ml.so.1';

/**
 * Where the driver's library is looked for, in order. First by the loader's own search (the driver's package,
 * LD_LIBRARY_PATH, the container toolkit), which knows nothing of another root.
 */
export const libraryPaths = (root = '/'): readonly string[] => [
  ...(root === '/' ? [file] : []),
  ...libraryDirectories.map((directory) => join(root, directory, file)),
];

/** Device files of cards; `/dev/nvidiactl` and others are of the driver. */
export const deviceFile = /^\/dev\/nvidia[0-9]+$/;

/**
 * The driver of the GPU that is part of a Tegra (Jetson boards). It lists nothing below /proc/driver/nvidia, and before
 * JetPack 6 no libnvidia-ml comes with it.
 */
export const tegraDriver = (sysRoot: string): boolean => existsSync(join(sysRoot, 'module/nvgpu'));

/** GPUs that the kernel module lists. A listing of /proc does not enter the driver, so it does not block. */
export function moduleGpus(procDriver: string): readonly string[] {
  try {
    return readdirSync(join(procDriver, 'gpus'));
  } catch {
    return [];
  }
}
